// A hierarchical timing wheel: schedule and cancel in O(1), whatever the number
// of timers. Owned by one shard, used on its thread only; it never reads a clock.
//
// A timer never fires early. It fires up to one resolution late: its instant is
// rounded up to a tick, and a tick is over when expire() is told so.
//
// Time is counted in ticks since `start`, written in base 64. A timer sits on
// the level of the highest digit in which its tick differs from the current one,
// in that digit's slot. So the timers of one level all fire before those of the
// next, the lowest occupied slot of the lowest occupied level is the next thing
// to happen, and when time reaches a slot of level n > 0 its timers differ from
// the current tick only in lower digits and move down: at most 10 times in a
// timer's life, once or twice for the deadlines of a server.
//
// Invariant: current_ < tick of every timer on a level; a level's occupied
// slots lie above current_'s digit of that level.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>

#include "base/assert.h"
#include "base/time.h"

namespace ringcast {

class TimerWheel;

namespace timer_detail {

// A ring of links: heads and timers alike, so that unlinking never asks which.
struct Link {
  Link() : next(this), prev(this) {}
  Link(const Link&) = delete;
  Link& operator=(const Link&) = delete;
  bool alone() const { return next == this; }

  Link* next;
  Link* prev;
};

}  // namespace timer_detail

// Embedded in what it wakes; the callback finds its owner from its address.
// Must not be armed when it is destroyed: cancel it, or let the wheel (declared
// after its timers) end first.
class Timer : private timer_detail::Link {
 public:
  Timer() = default;
  ~Timer() { RC_ASSERT(!armed()); }

  bool armed() const { return place_ != kUnarmed; }
  Instant when() const { return when_; }  // kNever unless armed

 private:
  friend class TimerWheel;
  static constexpr uint16_t kUnarmed = 0xffff;

  Instant when_ = kNever;
  uint16_t place_ = kUnarmed;  // level * 64 + slot, or one of the wheel's two other lists
};

class TimerWheel {
 public:
  explicit TimerWheel(Instant start, Duration resolution = milliseconds(4));
  TimerWheel(const TimerWheel&) = delete;
  TimerWheel& operator=(const TimerWheel&) = delete;
  ~TimerWheel();  // disarms what is still armed

  // Arms the timer, or moves it if it is armed. An instant already past fires at
  // the next expire(); kNever cancels.
  void schedule(Timer& timer, Instant when);

  // Does nothing if the timer is not armed.
  void cancel(Timer& timer);

  // Calls f(Timer&) for every timer due at `now`, in order of ticks and among
  // equals in the order they were scheduled. The timer is disarmed before its
  // call. f may schedule and cancel any timer, those due now included; what it
  // schedules fires at a later expire(), so this one ends whatever f does.
  // A `now` before an earlier one is taken for the earlier one.
  template <class F>
  void expire(Instant now, F f) {
    begin_expire(now);
    while (Timer* const timer = take_firing()) f(*timer);
    expiring_ = false;
  }

  // No timer becomes due before this instant; kNever if none is armed. Exact for
  // deadlines within 64 ticks, else possibly early (the wake-up then only moves
  // timers down a level).
  Instant next_deadline() const;

  size_t size() const { return size_; }

  // Walks everything and asserts the invariants. O(n), for tests.
  void validate() const;

 private:
  using Link = timer_detail::Link;

  static constexpr unsigned kDigitBits = 6;
  static constexpr unsigned kSlots = 1u << kDigitBits;
  static constexpr unsigned kLevels = 11;  // 66 bits: any tick has a place, without exceptions for far ones
  static constexpr uint16_t kOverdue = kLevels * kSlots;  // in overdue_
  static constexpr uint16_t kFiring = kOverdue + 1;       // in firing_

  uint64_t tick_at_or_after(Instant when) const;
  uint64_t tick_at_or_before(Instant now) const;
  Instant instant_of(uint64_t tick) const;
  uint64_t next_tick() const;  // of the next occupied slot; some level must be occupied

  void begin_expire(Instant now);
  Timer* take_firing();
  void place(Timer& timer);
  void append(Link& head, Timer& timer, uint16_t place);
  void unlink(Timer& timer);
  void move_to_firing(Link& head);
  void disarm_all(Link& head);

  const Instant start_;
  const Duration resolution_;
  uint64_t current_ = 0;  // every tick up to this one has been collected
  size_t size_ = 0;
  bool expiring_ = false;
  uint32_t occupied_levels_ = 0;                       // bit n: level n holds a timer
  std::array<uint64_t, kLevels> occupied_slots_ = {};  // bit s of [n]: slot s of level n does
  std::array<std::array<Link, kSlots>, kLevels> slots_;
  Link overdue_;  // scheduled for a tick that was already over
  Link firing_;   // due in the expire() under way
};

}  // namespace ringcast
