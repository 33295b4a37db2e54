// Question: what does compressing a broadcast cost the shard, what does it save each
// receiver, which level and memory give the best of both, and what would it cost to
// compress for each subscriber instead of once for all?
//
// A delivery of an uncompressed KiB is about 2.7 us of kernel time, nearly all of it per
// message and not per byte, so compression pays in bandwidth alone: it must cost little
// against the one encoding it is done in, and the default is the cheapest setting that
// gets most of what level 6 with zlib's own memory (8) gets. Memory is a parameter, since
// a hash table is cleared for every message. Were the smallest window more than a third
// worse at 1 KiB, clients that cap ours would be declined.
//
// Answer, on two busy cores of a virtual machine (260, 1091 and 16.4 k bytes of JSON; of
// the time trust the ratios): level 1 with memory 5 takes 10, 16 and 117 us and leaves
// 63, 39 and 29 %; level 6 with memory 8 takes 12, 22 and 380 us and leaves 62, 37 and
// 23 %. Memory 1 is worse in both, memory 8 no smaller at level 1. The smallest window
// leaves 63, 44 and 37 %. Hence level 1, memory 5, and both windows.
//
// A broadcast of a KiB, compressed once: 14 us of CPU for 1 subscriber, 14 for 10, 17 for
// 100 and 31 for 1000, of which compressing is 14. Compressed for each: 15 us, 156 us,
// 1.5 ms and 14 ms. A thousand subscribers would cost 450 times as much.
//
// Inflating is measured through the reader, against the same message uncompressed.
#include <benchmark/benchmark.h>

#include <string>
#include <vector>

#include "base/prng.h"
#include "protocol/deflate.h"
#include "protocol/websocket.h"
#include "support/client_frames.h"

namespace ringcast {
namespace {

// Chat and ticker entries, as a channel's broadcasts have them, about so many bytes.
std::string json(size_t bytes) {
  static constexpr const char* kNames[] = {"ada", "grace", "barbara", "edsger", "donald", "leslie"};
  static constexpr const char* kWords[] = {"the",  "latency", "of",      "a",    "shard", "is",
                                           "what", "its",     "slowest", "turn", "costs", "and",
                                           "not",  "more",    "than",    "that", "while", "idle"};
  Prng random(7692);
  std::string text = "[";
  while (text.size() < bytes) {
    if (text.size() > 1) text += ',';
    text += R"({"id":)" + std::to_string(random.below(1'000'000)) + R"(,"sender":")" +
            kNames[random.below(std::size(kNames))] + R"(","price":)" +
            std::to_string(random.below(100'000)) + "." + std::to_string(random.below(100)) +
            R"(,"message":")";
    for (uint64_t words = 4 + random.below(12); words > 0; --words) {
      text += kWords[random.below(std::size(kWords))];
      text += words > 1 ? " " : "";
    }
    text += "\"}";
  }
  return text + "]";
}

void BM_Compress(benchmark::State& state) {
  const std::string text = json(static_cast<size_t>(state.range(0)));
  Deflater deflater(static_cast<uint8_t>(state.range(3)), {.level = static_cast<int>(state.range(1)),
                                                           .memory_level = static_cast<int>(state.range(2))});
  const Bytes parts[] = {as_bytes(text)};
  std::vector<std::byte> out;
  for (auto _ : state) {
    out.clear();
    benchmark::DoNotOptimize(deflater.compress(parts, out));
  }
  state.SetBytesProcessed(static_cast<int64_t>(state.iterations() * text.size()));
  state.counters["percent"] = 100.0 * static_cast<double>(out.size()) / static_cast<double>(text.size());
}
BENCHMARK(BM_Compress)
    ->ArgNames({"bytes", "level", "memory", "window"})
    ->ArgsProduct({{180, 1024, 16 * 1024}, {1, 2, 3, 4, 6}, {1, 3, 5, 8}, {15}})
    ->ArgsProduct({{180, 1024, 16 * 1024}, {1, 6}, {1, 5}, {9}});

// A broadcast of a KiB to so many subscribers, up to the bytes that their sends carry:
// compressed once and copied to each, as a small span of a frame log is, or compressed
// for each. The kernel's part comes on top and is the same.
void BM_Broadcast(benchmark::State& state) {
  const auto subscribers = static_cast<size_t>(state.range(0));
  const bool for_each = state.range(1) != 0;
  const std::string text = json(1024);
  Deflater deflater(kWindowBitsMax);
  const Bytes parts[] = {as_bytes(text)};
  std::vector<std::byte> log;
  std::vector<std::byte> scratch;
  for (auto _ : state) {
    log.clear();
    scratch.clear();
    if (!for_each) benchmark::DoNotOptimize(deflater.compress(parts, log));
    for (size_t subscriber = 0; subscriber < subscribers; ++subscriber) {
      if (for_each) {
        benchmark::DoNotOptimize(deflater.compress(parts, scratch));
      } else {
        scratch.insert(scratch.end(), log.begin(), log.end());
      }
    }
    benchmark::DoNotOptimize(scratch.data());
  }
  state.counters["per_delivery"] =
      benchmark::Counter(static_cast<double>(state.iterations()) * static_cast<double>(subscribers),
                         benchmark::Counter::kIsRate | benchmark::Counter::kInvert);
}
BENCHMARK(BM_Broadcast)->ArgNames({"subscribers", "for_each"})->ArgsProduct({{1, 10, 100, 1000}, {0, 1}});

void BM_Read(benchmark::State& state) {
  const std::string text = json(static_cast<size_t>(state.range(0)));
  const bool compressed = state.range(1) != 0;
  const Bytes parts[] = {as_bytes(text)};
  std::vector<std::byte> payload;
  Deflater(kWindowBitsMax).compress(parts, payload);
  // The key is zero, so that unmasking leaves the input fit for the next iteration.
  std::string wire = encode(
      {.payload = compressed ? as_text(payload) : text, .rsv = compressed ? 4u : 0u, .key = {0, 0, 0, 0}});
  InflaterPool pool;
  WebSocketReader reader(1 << 20, pool, DeflateParameters{});
  for (auto _ : state) {
    MutableBytes input(reinterpret_cast<std::byte*>(wire.data()), wire.size());
    while (reader.next(input).kind != WebSocketReader::Event::Kind::need_more) {
    }
  }
  state.SetBytesProcessed(static_cast<int64_t>(state.iterations() * text.size()));
}
BENCHMARK(BM_Read)->ArgNames({"bytes", "compressed"})->ArgsProduct({{180, 1024, 16 * 1024}, {0, 1}});

}  // namespace
}  // namespace ringcast
