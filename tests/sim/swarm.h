// One random server and everything that happens to it, from one seed: how many shards,
// which limits, which faults at which weights, who connects and what they do, in which
// order anybody moves. Each seed leaves a random subset of all that out, since what is
// always on hides what only shows without it.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "tests/sim/coverage.h"
#include "tests/sim/trace.h"

namespace ringcast::sim {

struct SwarmResult {
  std::vector<std::string> failures;  // empty: it held its promises
  uint64_t turns = 0;                 // of shards that had something to do
  uint64_t published = 0;
  uint64_t delivered = 0;
  uint64_t trace_hash = 0;
};

SwarmResult run_swarm(uint64_t seed, Coverage& coverage, Trace& trace);

}  // namespace ringcast::sim
