// hash64 and the process-wide seed of StringHash. xxHash is compiled in, not
// called: names are short, and a call through the linkage table costs as much as
// hashing one.
#include "base/hash.h"

#include <unistd.h>

#include <atomic>
#include <chrono>

#define XXH_INLINE_ALL
#include <xxhash.h>

namespace ringcast {
namespace {

// 0 until it is drawn or fixed. Nothing else is published with it, so relaxed
// order is enough.
constinit std::atomic<uint64_t> process_seed = 0;

uint64_t draw_seed() {
  uint64_t seed = 0;
  if (getentropy(&seed, sizeof seed) != 0) {
    // A sandbox without getrandom: where the stack lies and what time it is are
    // at least not known to a peer.
    const auto time = std::chrono::steady_clock::now().time_since_epoch().count();
    const uint64_t parts[] = {static_cast<uint64_t>(time), reinterpret_cast<uintptr_t>(&seed)};
    seed = XXH3_64bits(parts, sizeof parts);
  }
  return seed | 1;  // never 0
}

}  // namespace

uint64_t hash64(std::string_view bytes, uint64_t seed) {
  return XXH3_64bits_withSeed(bytes.data(), bytes.size(), seed);
}

uint64_t string_hash_seed() {
  uint64_t seed = process_seed.load(std::memory_order_relaxed);
  if (seed != 0) [[likely]]
    return seed;
  const uint64_t drawn = draw_seed();
  // Threads may race to be first; the loser takes the winner's.
  return process_seed.compare_exchange_strong(seed, drawn, std::memory_order_relaxed) ? drawn : seed;
}

void fix_string_hash_seed(uint64_t seed) {
  process_seed.store(seed | 1, std::memory_order_relaxed);
}

}  // namespace ringcast
