// The wheel against a std::multimap, with callbacks that rearrange everything
// and a clock that leaps.
#include "base/timer_wheel.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <deque>
#include <map>
#include <vector>

#include "base/prng.h"

namespace ringcast {
namespace {

constexpr Instant kStart{seconds(1000)};

TEST(TimerWheel, FiresNeitherEarlyNorMuchLate) {
  TimerWheel wheel(kStart, milliseconds(4));
  Timer timer;
  // Every rounding within some ticks, then distances through all levels.
  std::vector<Duration> delays;
  for (Duration delay{1}; delay < milliseconds(13); delay += microseconds(250) + Duration(1))
    delays.push_back(delay);
  for (Duration delay = milliseconds(3); delay < std::chrono::hours(24 * 365 * 30); delay *= 3)
    delays.push_back(delay);
  Instant now = kStart;
  for (const Duration delay : delays) {
    const Instant when = now + delay;
    wheel.schedule(timer, when);
    EXPECT_TRUE(timer.armed());
    EXPECT_EQ(timer.when(), when);
    int fired = 0;
    const auto count = [&](Timer& which) {
      EXPECT_EQ(&which, &timer);
      EXPECT_FALSE(which.armed());
      ++fired;
    };
    // Sleeping on next_deadline() alone must arrive within a resolution.
    for (int wakes = 0; fired == 0; ++wakes) {
      ASSERT_LT(wakes, 12);
      ASSERT_LT(wheel.next_deadline(), when + milliseconds(4));
      now = std::max(now, wheel.next_deadline());
      wheel.expire(now, count);
      wheel.validate();
      if (now < when) {
        ASSERT_EQ(fired, 0);
      }
    }
    EXPECT_GE(now, when);
    EXPECT_EQ(wheel.next_deadline(), kNever);
  }
}

TEST(TimerWheel, JustBeforeAndAt) {
  TimerWheel wheel(kStart, milliseconds(4));
  Timer timer;
  int fired = 0;
  const auto count = [&](Timer&) { ++fired; };
  wheel.schedule(timer, kStart + milliseconds(8));
  wheel.expire(kStart + milliseconds(8) - Duration(1), count);
  EXPECT_EQ(fired, 0);
  wheel.expire(kStart + milliseconds(8), count);
  EXPECT_EQ(fired, 1);
}

TEST(TimerWheel, PastInstantsFireAtTheNextExpire) {
  TimerWheel wheel(kStart);
  wheel.expire(kStart + seconds(5), [](Timer&) { FAIL(); });
  Timer past, before_start;
  wheel.schedule(past, kStart + seconds(1));
  wheel.schedule(before_start, kStart - seconds(1));
  EXPECT_LE(wheel.next_deadline(), kStart + seconds(5));
  int fired = 0;
  wheel.expire(kStart + seconds(5), [&](Timer&) { ++fired; });
  EXPECT_EQ(fired, 2);
}

TEST(TimerWheel, CancelAndMove) {
  TimerWheel wheel(kStart);
  Timer timer;
  wheel.cancel(timer);  // nothing to do
  wheel.schedule(timer, kStart + seconds(1));
  wheel.schedule(timer, kStart + seconds(3));
  EXPECT_EQ(wheel.size(), 1u);
  wheel.expire(kStart + seconds(2), [](Timer&) { FAIL(); });
  wheel.cancel(timer);
  EXPECT_FALSE(timer.armed());
  EXPECT_EQ(timer.when(), kNever);
  EXPECT_EQ(wheel.next_deadline(), kNever);
  wheel.schedule(timer, kStart + seconds(4));
  wheel.schedule(timer, kNever);
  EXPECT_FALSE(timer.armed());
  wheel.expire(kStart + seconds(9), [](Timer&) { FAIL(); });
  wheel.validate();
}

TEST(TimerWheel, InOrderOfTicksThenOfScheduling) {
  TimerWheel wheel(kStart, milliseconds(1));
  std::vector<Timer> timers(400);
  Prng prng(10);
  std::vector<Duration> delays;
  for (Timer& timer : timers) {
    delays.push_back(milliseconds(1 + prng.below(50) * prng.below(50)));
    wheel.schedule(timer, kStart + delays.back());
  }
  std::vector<size_t> order(timers.size());
  for (size_t i = 0; i < order.size(); ++i) order[i] = i;
  std::stable_sort(order.begin(), order.end(), [&](size_t a, size_t b) { return delays[a] < delays[b]; });
  std::vector<size_t> fired;
  wheel.expire(kStart + seconds(10),
               [&](Timer& timer) { fired.push_back(static_cast<size_t>(&timer - timers.data())); });
  EXPECT_EQ(fired, order);
}

// What a callback schedules waits for a later expire(), however overdue: else a
// timer that re-arms itself for now would hold the turn for good.
TEST(TimerWheel, ExpireEnds) {
  TimerWheel wheel(kStart);
  Timer again, other;
  wheel.schedule(again, kStart + seconds(1));
  const Instant now = kStart + seconds(2);
  for (int round = 1; round <= 3; ++round) {
    int fired = 0;
    wheel.expire(now, [&](Timer& timer) {
      ++fired;
      wheel.schedule(timer, now);
      if (!other.armed() && round == 1) wheel.schedule(other, kStart);
      wheel.validate();
    });
    EXPECT_EQ(fired, round == 1 ? 1 : 2);
    EXPECT_LE(wheel.next_deadline(), now);
  }
  wheel.cancel(again);
  wheel.cancel(other);
}

TEST(TimerWheel, CallbackCancelsAndPostponesOthersDueNow) {
  TimerWheel wheel(kStart);
  Timer first, cancelled, postponed;
  for (Timer* timer : {&first, &cancelled, &postponed}) wheel.schedule(*timer, kStart + seconds(1));
  std::vector<Timer*> fired;
  wheel.expire(kStart + seconds(1), [&](Timer& timer) {
    fired.push_back(&timer);
    wheel.cancel(cancelled);
    wheel.schedule(postponed, kStart + seconds(2));
    wheel.validate();
  });
  EXPECT_EQ(fired, std::vector<Timer*>{&first});
  EXPECT_FALSE(cancelled.armed());
  EXPECT_TRUE(postponed.armed());
  wheel.expire(kStart + seconds(2), [&](Timer& timer) { fired.push_back(&timer); });
  EXPECT_EQ(fired, (std::vector<Timer*>{&first, &postponed}));
}

TEST(TimerWheel, EndsOfTime) {
  TimerWheel wheel(Instant::min(), Duration(1));
  Timer near, far;
  wheel.schedule(near, Instant::min() + Duration(1));
  wheel.schedule(far, kNever - Duration(1));
  wheel.validate();
  int fired = 0;
  wheel.expire(Instant{}, [&](Timer& timer) {
    EXPECT_EQ(&timer, &near);
    ++fired;
  });
  wheel.validate();
  EXPECT_EQ(fired, 1);
  EXPECT_TRUE(far.armed());
  wheel.expire(kNever - Duration(1), [&](Timer& timer) {
    EXPECT_EQ(&timer, &far);
    ++fired;
  });
  EXPECT_EQ(fired, 2);

  // Rounded up, the last instants are beyond time: they are never, not wrapped to the past.
  TimerWheel coarse(kStart, seconds(7));
  Timer last;
  coarse.schedule(last, kNever - Duration(1));
  EXPECT_GT(coarse.next_deadline(), kStart);
  coarse.expire(kStart + std::chrono::hours(1'000'000), [](Timer&) { FAIL(); });
  coarse.cancel(last);
}

TEST(TimerWheel, ItsEndDisarms) {
  Timer soon, late;
  {
    TimerWheel wheel(kStart);
    wheel.schedule(soon, kStart);
    wheel.schedule(late, kStart + seconds(100'000));
  }
  EXPECT_FALSE(soon.armed());
  EXPECT_FALSE(late.armed());
}

TEST(TimerWheelDeathTest, ArmedTimersAreNotDestroyed) {
  TimerWheel wheel(kStart);
  EXPECT_DEATH(
      {
        Timer timer;
        wheel.schedule(timer, kStart);
      },
      "armed");
}

// ── Against a model ──────────────────────────────────────────────────────────

struct Model {
  explicit Model(uint64_t seed, Duration wheel_resolution)
      : resolution(wheel_resolution), wheel(kStart, wheel_resolution), prng(seed), timers(200) {}

  // The first tick's instant at which the timer may fire.
  Instant due_at(Instant when) const {
    if (when <= kStart) return kStart;
    return kStart + ((when - kStart) + resolution - Duration(1)) / resolution * resolution;
  }

  Instant random_instant() {
    // Near, far and past, about equally often on each level.
    const auto distance = Duration(static_cast<int64_t>(prng.next() >> (12 + prng.below(50))));
    return prng.below(8) == 0 ? now - distance : now + distance;
  }

  void schedule(size_t index, Instant when) {
    cancel_in_model(index);
    by_due.emplace(due_at(when), index);
    wheel.schedule(timers[index], when);
  }
  void cancel(size_t index) {
    cancel_in_model(index);
    wheel.cancel(timers[index]);
  }
  void cancel_in_model(size_t index) {
    const auto at =
        std::find_if(by_due.begin(), by_due.end(), [&](const auto& entry) { return entry.second == index; });
    if (at != by_due.end()) by_due.erase(at);
    pending.erase(std::remove(pending.begin(), pending.end(), index), pending.end());
  }
  void act() {
    const size_t index = prng.below(timers.size());
    if (prng.below(3) == 0) {
      cancel(index);
    } else {
      schedule(index, random_instant());
    }
  }

  void expire() {
    // What is due when expire() begins must fire unless a callback moves it.
    pending.clear();
    while (!by_due.empty() && by_due.begin()->first <= now) {
      pending.push_back(by_due.begin()->second);
      by_due.erase(by_due.begin());
    }
    wheel.expire(now, [&](Timer& timer) {
      const auto index = static_cast<size_t>(&timer - timers.data());
      const auto at = std::find(pending.begin(), pending.end(), index);
      ASSERT_NE(at, pending.end()) << "not due, cancelled, or fired twice";
      pending.erase(at);
      ASSERT_FALSE(timer.armed());
      for (uint64_t acts = prng.below(4); acts > 0; --acts) act();
      if (prng.below(4) == 0) schedule(index, random_instant());
      if (prng.below(16) == 0) wheel.validate();
    });
    ASSERT_TRUE(pending.empty()) << "due but not fired";
  }

  void check() const {
    wheel.validate();
    ASSERT_EQ(wheel.size(), by_due.size());
    for (const auto& [due, index] : by_due) ASSERT_TRUE(timers[index].armed());
    if (by_due.empty()) {
      ASSERT_EQ(wheel.next_deadline(), kNever);
    } else {
      ASSERT_LE(wheel.next_deadline(), std::max(now, by_due.begin()->first));
      // Nothing is overdue after an expire(): the next wake-up moves time on.
      if (by_due.begin()->first > now) {
        ASSERT_GT(wheel.next_deadline(), now);
      }
    }
  }

  const Duration resolution;
  Instant now = kStart;
  std::multimap<Instant, size_t> by_due;
  std::vector<size_t> pending;
  TimerWheel wheel;
  Prng prng;
  std::vector<Timer> timers;
};

TEST(TimerWheel, BehavesLikeASortedMap) {
  for (uint64_t seed = 1; seed <= 30; ++seed) {
    Model model(seed, std::vector<Duration>{Duration(1), microseconds(100), milliseconds(4)}[seed % 3]);
    for (int step = 0; step < 600; ++step) {
      for (uint64_t acts = model.prng.below(6); acts > 0; --acts) model.act();
      switch (model.prng.below(4)) {
        case 0:  // sleep as told
          if (model.wheel.next_deadline() != kNever)
            model.now = std::max(model.now, model.wheel.next_deadline());
          break;
        case 1:  // a leap of any size
          model.now += Duration(static_cast<int64_t>(model.prng.next() >> (20 + model.prng.below(44))));
          break;
        case 2:
          model.now += milliseconds(1);
          break;
        default:  // the same instant again
          break;
      }
      model.expire();
      model.check();
      if (testing::Test::HasFatalFailure()) FAIL() << "seed " << seed << ", step " << step;
    }
    for (size_t index = 0; index < model.timers.size(); ++index) model.cancel(index);
    model.check();
  }
}

}  // namespace
}  // namespace ringcast
