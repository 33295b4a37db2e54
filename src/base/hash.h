// Hashes of names. hash64 is the same in every process (it chooses a stream's
// home shard); StringHash differs from process to process, so that a client
// who chooses names cannot choose collisions. Pure functions; any thread.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string_view>

namespace ringcast {

// XXH3, 64 bits.
uint64_t hash64(std::string_view bytes, uint64_t seed = 0);

// The seed of every StringHash: drawn from the kernel when first asked for.
uint64_t string_hash_seed();

// For the simulator and for tests, where the order in which a map is walked
// must replay. Only before the first StringHash is used: maps keep positions.
void fix_string_hash_seed(uint64_t seed);

// For containers keyed by strings; transparent, so that a string_view finds a
// std::string without a copy (with std::equal_to<>).
struct StringHash {
  using is_transparent = void;
  size_t operator()(std::string_view text) const {
    return static_cast<size_t>(hash64(text, string_hash_seed()));
  }
};

}  // namespace ringcast
