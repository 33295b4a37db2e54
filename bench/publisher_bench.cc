// Question: what does a publish cost the thread that publishes, by a Publisher and by
// Server::broadcast? In batches that fit into ring and inbox, timed alone; between them
// the shard catches up. `asleep`: it sleeps when a batch begins, so one publish of the
// batch pays for waking it; `awake`: it spins. Nobody subscribes: what the shard does
// afterwards is not the producer's. The number that would change a decision: a publish by
// a Publisher to a shard that is awake should stay below 50 ns at 128 bytes.
#include <benchmark/benchmark.h>

#include <chrono>
#include <cstdint>
#include <string>
#include <thread>

#include "ringcast/server.h"

namespace ringcast {
namespace {

constexpr int kBatch = 256;

enum class Way { publisher, publisher_by_name, stream_publisher, broadcast };

void publish(benchmark::State& state, Way way, bool awake) {
  Options options;
  options.listen = {"127.0.0.1:0"};
  options.shards = 1;
  options.handle_signals = false;
  options.spin_us = awake ? 60'000'000 : 0;
  Server server(options);
  if (const StartResult started = server.start(); !started) {
    state.SkipWithError(started.error.c_str());
    return;
  }
  Publisher publisher = server.publisher();
  const Publisher::Stream stream = publisher.stream("ticks:ACME");
  const StreamPublisher shared = server.publisher("ticks:ACME");
  const std::string text(static_cast<size_t>(state.range(0)), 'x');
  uint64_t published = 0, refused = 0;
  const auto publish_one = [&] {
    switch (way) {
      case Way::publisher:
        return publisher.publish(stream, text);
      case Way::publisher_by_name:
        return publisher.publish("ticks:ACME", text);
      case Way::stream_publisher:
        return shared.publish(text);
      case Way::broadcast:
        break;
    }
    return server.broadcast("ticks:ACME", text);
  };
  for (auto _ : state) {
    const auto begin = std::chrono::steady_clock::now();
    for (int i = 0; i < kBatch; ++i) {
      if (publish_one() == BroadcastStatus::ok) {
        ++published;
      } else {
        ++refused;
      }
    }
    state.SetIterationTime(std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count() /
                           kBatch);
    while (server.stats().publishes < published) std::this_thread::yield();
    if (!awake) std::this_thread::sleep_for(std::chrono::microseconds(200));
  }
  state.counters["refused"] = static_cast<double>(refused);
}

#define CASE(way, shard) \
  BENCHMARK_CAPTURE(publish, way / shard, Way::way, #shard[1] == 'w')->Arg(128)->Arg(1024)->UseManualTime()
CASE(publisher, awake)->MinTime(0.2);
CASE(publisher_by_name, awake)->MinTime(0.2);
CASE(stream_publisher, awake)->MinTime(0.2);
CASE(broadcast, awake)->MinTime(0.2);
CASE(publisher, asleep)->MinTime(0.05);
CASE(broadcast, asleep)->MinTime(0.05);
#undef CASE

}  // namespace
}  // namespace ringcast
