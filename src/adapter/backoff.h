// How long to wait before the next attempt at an engine: twice as long after each
// failure up to a cap, and jittered, so that processes which lost the same engine do not
// all come back in the same millisecond. One owner.
#pragma once

#include <algorithm>

#include "base/prng.h"
#include "base/time.h"

namespace ringcast {

class Backoff {
 public:
  Backoff(milliseconds at_most, uint64_t seed) : at_most_(at_most), prng_(seed) {}

  // Between half of the present bound and all of it.
  Duration next() {
    const auto bound = static_cast<uint64_t>(std::chrono::nanoseconds(bound_).count());
    bound_ = std::min(at_most_, bound_ * 2);
    return Duration(bound / 2 + prng_.below(bound / 2 + 1));
  }
  void succeeded() { bound_ = kFirst; }

 private:
  static constexpr milliseconds kFirst{20};

  const milliseconds at_most_;
  milliseconds bound_ = kFirst;
  Prng prng_;
};

}  // namespace ringcast
