// A small seeded pseudo-random generator for jitter, sampling and everything
// that must replay from one seed. Not for secrets. One owner, no locks.
#pragma once

#include <cstdint>
#include <limits>

#include "base/assert.h"

namespace ringcast {

// SplitMix64: 8 bytes of state, every seed (0 too) is good, equal seeds give
// equal sequences on every platform. Models UniformRandomBitGenerator, so that
// std::shuffle takes it.
class Prng {
 public:
  using result_type = uint64_t;
  static constexpr uint64_t min() { return 0; }
  static constexpr uint64_t max() { return std::numeric_limits<uint64_t>::max(); }

  explicit constexpr Prng(uint64_t seed) : state_(seed) {}

  constexpr uint64_t next() {
    state_ += 0x9e3779b97f4a7c15;
    uint64_t mixed = state_;
    mixed = (mixed ^ (mixed >> 30)) * 0xbf58476d1ce4e5b9;
    mixed = (mixed ^ (mixed >> 27)) * 0x94d049bb133111eb;
    return mixed ^ (mixed >> 31);
  }
  constexpr uint64_t operator()() { return next(); }

  // Uniform in [0, n), n > 0. The high half of a 64x64 product is the answer;
  // products whose low half falls below 2^64 mod n would favour some answers
  // and are drawn again.
  uint64_t below(uint64_t n) {
    RC_ASSERT(n > 0);
    const uint64_t biased = (0 - n) % n;
    for (;;) {
      const auto product = static_cast<Wide>(next()) * n;
      if (static_cast<uint64_t>(product) >= biased) return static_cast<uint64_t>(product >> 64);
    }
  }

  // True with probability p: never for p <= 0, always for p >= 1.
  constexpr bool chance(double p) { return static_cast<double>(next() >> 11) * 0x1p-53 < p; }

 private:
  __extension__ using Wide = unsigned __int128;

  uint64_t state_;
};

}  // namespace ringcast
