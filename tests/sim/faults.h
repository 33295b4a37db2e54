// What a kernel and a network may do at any time and seldom do. One seed feeds all of
// it, so that a run repeats; a weight is the chance at each opportunity. Plain values.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>

#include "base/prng.h"

namespace ringcast::sim {

enum class Fault : uint8_t {
  short_send,        // a send takes a random part of what it could have taken
  send_enobufs,      // and one takes nothing: -ENOBUFS
  connection_reset,  // RST in both directions: -ECONNRESET, then -EPIPE
  broken_pipe,       // the same, already told: a send meets -EPIPE
  split_recv,        // a receive brings a random part of what is there
  recv_ends,         // a multishot receive ends with its data
  recv_enobufs,      // or with -ENOBUFS, its data still there
  recv_enomem,
  cancel_race,     // what is cancelled completes first
  late,            // what is ready is told a turn later; so are closes
  reorder,         // completions of different descriptors change places
  queue_pressure,  // a turn hands over a few completions, the rest waits
  spurious_poll,   // a poll for writability completes though the socket takes nothing
  accept_ends,     // a multishot accept ends with its descriptor
  accept_emfile,
  accept_enomem,
  accept_aborted,  // -ECONNABORTED: the peer was gone already
  kCount,
};

inline constexpr size_t kFaults = static_cast<size_t>(Fault::kCount);

inline const char* to_string(Fault fault) {
  static constexpr const char* kNames[] = {
      "short_send",    "send_enobufs", "connection_reset", "broken_pipe",   "split_recv",    "recv_ends",
      "recv_enobufs",  "recv_enomem",  "cancel_race",      "late",          "reorder",       "queue_pressure",
      "spurious_poll", "accept_ends",  "accept_emfile",    "accept_enomem", "accept_aborted"};
  static_assert(std::size(kNames) == kFaults);
  return kNames[static_cast<size_t>(fault)];
}

struct Faults {
  explicit Faults(uint64_t seed) : prng(seed) {}

  double& operator[](Fault fault) { return weights[static_cast<size_t>(fault)]; }

  // Whether it happens now; counted, since a fault that never fires has shown nothing.
  bool happens(Fault fault) {
    const double weight = weights[static_cast<size_t>(fault)];
    if (weight == 0 || !prng.chance(weight)) return false;
    ++counts[static_cast<size_t>(fault)];
    return true;
  }

  Prng prng;
  std::array<double, kFaults> weights{};
  std::array<uint64_t, kFaults> counts{};
};

}  // namespace ringcast::sim
