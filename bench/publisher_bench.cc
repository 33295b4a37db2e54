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
  double seconds = 0;
  for (auto _ : state) {
    const auto begin = std::chrono::steady_clock::now();
    for (int i = 0; i < kBatch; ++i) ++(publish_one() == BroadcastStatus::ok ? published : refused);
    const std::chrono::duration<double> took = std::chrono::steady_clock::now() - begin;
    state.SetIterationTime(took.count());
    seconds += took.count();
    while (server.stats().publishes < published) std::this_thread::yield();
    if (!awake) std::this_thread::sleep_for(std::chrono::microseconds(200));
  }
  state.counters["ns_each"] = seconds * 1e9 / static_cast<double>(published + refused);
  state.counters["refused"] = static_cast<double>(refused);
}

void sizes(benchmark::internal::Benchmark* benchmark) {
  benchmark->Arg(128)->Arg(1024)->UseManualTime()->Iterations(2000)->Unit(benchmark::kMicrosecond);
}
BENCHMARK_CAPTURE(publish, publisher_awake, Way::publisher, true)->Apply(sizes);
BENCHMARK_CAPTURE(publish, publisher_by_name_awake, Way::publisher_by_name, true)->Apply(sizes);
BENCHMARK_CAPTURE(publish, stream_publisher_awake, Way::stream_publisher, true)->Apply(sizes);
BENCHMARK_CAPTURE(publish, broadcast_awake, Way::broadcast, true)->Apply(sizes);
BENCHMARK_CAPTURE(publish, publisher_asleep, Way::publisher, false)->Apply(sizes);
BENCHMARK_CAPTURE(publish, broadcast_asleep, Way::broadcast, false)->Apply(sizes);

}  // namespace
}  // namespace ringcast
