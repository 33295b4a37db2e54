// Question: what does a message between shards cost the two threads, apart from
// waking them? `same_thread` is the instructions alone; `two_threads` adds the
// cache lines that travel, which the cached indices must keep to a few per batch
// (the ratio of the two tells). 16 bytes is a counted pointer and a tag.
#include <benchmark/benchmark.h>

#include <atomic>
#include <cstdint>
#include <thread>

#include "base/spsc_ring.h"

namespace ringcast {
namespace {

struct Item {
  uint64_t pointer;
  uint64_t tag;
};

void same_thread(benchmark::State& state) {
  const auto batch = static_cast<uint64_t>(state.range(0));
  SpscRing<Item> ring(1024);
  for (auto _ : state) {
    for (uint64_t i = 0; i < batch; ++i) ring.try_push({i, i});
    while (const Item* const item = ring.front()) {
      benchmark::DoNotOptimize(item->pointer);
      ring.pop();
    }
  }
  state.SetItemsProcessed(static_cast<int64_t>(state.iterations()) * state.range(0));
}
BENCHMARK(same_thread)->Arg(1)->Arg(64)->Arg(1024);

// The consumer is measured; a full or empty ring yields, since the machine may
// have fewer cores than it says.
void two_threads(benchmark::State& state) {
  SpscRing<Item> ring(static_cast<size_t>(state.range(0)));
  std::atomic<bool> stop = false;
  std::thread producer([&] {
    for (uint64_t i = 0; !stop.load(std::memory_order_relaxed);) {
      if (ring.try_push({i, i})) {
        ++i;
      } else {
        std::this_thread::yield();
      }
    }
  });
  for (auto _ : state) {
    const Item* item = nullptr;
    while ((item = ring.front()) == nullptr) std::this_thread::yield();
    benchmark::DoNotOptimize(item->pointer);
    ring.pop();
  }
  stop.store(true, std::memory_order_relaxed);
  producer.join();
  state.SetItemsProcessed(static_cast<int64_t>(state.iterations()));
}
BENCHMARK(two_threads)->Arg(64)->Arg(1024)->Arg(16384)->UseRealTime();

}  // namespace
}  // namespace ringcast

BENCHMARK_MAIN();
