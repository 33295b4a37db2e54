// What processes that share an engine must not have in common: when they come back to it,
// and the channel on which each listens to itself. Any thread.
#pragma once

#include <array>
#include <charconv>
#include <cstdint>
#include <random>
#include <string>

namespace ringcast {

inline uint64_t random_seed() {
  std::random_device device;
  return uint64_t{device()} << 32 | device();
}

inline std::string canary_channel_name() {
  std::array<char, 16> digits;
  const auto [end, problem] = std::to_chars(digits.data(), digits.data() + digits.size(), random_seed(), 16);
  return "_ringcast_canary:" + std::string(digits.data(), end);
}

}  // namespace ringcast
