// Question: what does a connection's deadline cost, with 1,000 and 100,000 of
// them armed? Every dispatch may move one, so `reschedule` is the number that
// matters, and it must not grow with the count beyond cache misses. `idle_turn`
// is what a turn pays when nothing is due, `heartbeat` a timer's whole life.
#include <benchmark/benchmark.h>

#include <vector>

#include "base/prng.h"
#include "base/timer_wheel.h"

namespace ringcast {
namespace {

constexpr Instant kStart{seconds(1)};

struct Armed {
  explicit Armed(size_t count) : timers(count), wheel(kStart) {
    for (Timer& timer : timers) wheel.schedule(timer, kStart + spread());
  }
  Duration spread() { return seconds(1) + Duration(static_cast<int64_t>(prng.below(10'000'000'000))); }

  Prng prng{1};
  std::vector<Timer> timers;
  TimerWheel wheel;
};

void reschedule(benchmark::State& state) {
  Armed armed(static_cast<size_t>(state.range(0)));
  for (auto _ : state) {
    armed.wheel.schedule(armed.timers[armed.prng.below(armed.timers.size())], kStart + armed.spread());
  }
}
BENCHMARK(reschedule)->Arg(1000)->Arg(100'000);

void idle_turn(benchmark::State& state) {
  Armed armed(static_cast<size_t>(state.range(0)));
  Instant now = kStart;
  for (auto _ : state) {
    // 900 ms of turns before the first deadline, over and over: a time that
    // stands still costs the same.
    if (now < kStart + milliseconds(900)) now += microseconds(1);
    armed.wheel.expire(now, [](Timer&) {});
    benchmark::DoNotOptimize(armed.wheel.next_deadline());
  }
}
BENCHMARK(idle_turn)->Arg(1000)->Arg(100'000);

// Every timer fires and is armed again for 3 seconds later; per timer fired.
void heartbeat(benchmark::State& state) {
  Armed armed(static_cast<size_t>(state.range(0)));
  Instant now = kStart;
  int64_t fired = 0;
  for (auto _ : state) {
    now += milliseconds(4);
    armed.wheel.expire(now, [&](Timer& timer) {
      armed.wheel.schedule(timer, now + seconds(3));
      ++fired;
    });
  }
  state.SetItemsProcessed(fired);
}
BENCHMARK(heartbeat)->Arg(1000)->Arg(100'000);

}  // namespace
}  // namespace ringcast

BENCHMARK_MAIN();
