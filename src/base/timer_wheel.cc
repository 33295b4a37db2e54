// The wheel's arithmetic and its lists.
#include "base/timer_wheel.h"

#include <bit>

namespace ringcast {

TimerWheel::TimerWheel(Instant start, Duration resolution) : start_(start), resolution_(resolution) {
  RC_ASSERT(resolution.count() > 0);
}

TimerWheel::~TimerWheel() {
  RC_ASSERT(!expiring_);
  for (auto& level : slots_) {
    for (Link& head : level) disarm_all(head);
  }
  disarm_all(overdue_);
}

void TimerWheel::schedule(Timer& timer, Instant when) {
  cancel(timer);
  if (when == kNever) return;
  timer.when_ = when;
  place(timer);
  ++size_;
}

void TimerWheel::cancel(Timer& timer) {
  if (!timer.armed()) return;
  unlink(timer);
  timer.place_ = Timer::kUnarmed;
  timer.when_ = kNever;
  --size_;
}

Instant TimerWheel::next_deadline() const {
  if (size_ == 0) return kNever;
  if (!overdue_.alone() || !firing_.alone()) return instant_of(current_);
  return instant_of(next_tick());
}

// Differences are taken unsigned: they are right even where signed ones would
// overflow (a start before the clock's zero, an instant near kNever).
uint64_t TimerWheel::tick_at_or_after(Instant when) const {
  if (when <= start_) return 0;
  const uint64_t since = static_cast<uint64_t>(when.time_since_epoch().count()) -
                         static_cast<uint64_t>(start_.time_since_epoch().count());
  const auto resolution = static_cast<uint64_t>(resolution_.count());
  return since / resolution + (since % resolution != 0);
}

uint64_t TimerWheel::tick_at_or_before(Instant now) const {
  if (now <= start_) return 0;
  const uint64_t since = static_cast<uint64_t>(now.time_since_epoch().count()) -
                         static_cast<uint64_t>(start_.time_since_epoch().count());
  return since / static_cast<uint64_t>(resolution_.count());
}

// Ticks past the end of time are kNever: they will not be waited for.
Instant TimerWheel::instant_of(uint64_t tick) const {
  const uint64_t until_never = static_cast<uint64_t>(kNever.time_since_epoch().count()) -
                               static_cast<uint64_t>(start_.time_since_epoch().count());
  const auto resolution = static_cast<uint64_t>(resolution_.count());
  if (tick > until_never / resolution) return kNever;
  return Instant(Duration(
      static_cast<int64_t>(static_cast<uint64_t>(start_.time_since_epoch().count()) + tick * resolution)));
}

uint64_t TimerWheel::next_tick() const {
  RC_ASSERT(occupied_levels_ != 0);
  const auto level = static_cast<unsigned>(std::countr_zero(occupied_levels_));
  const auto slot = static_cast<uint64_t>(std::countr_zero(occupied_slots_[level]));
  const unsigned shift = level * kDigitBits;
  const unsigned above = shift + kDigitBits;
  const uint64_t higher_digits = above >= 64 ? 0 : current_ >> above << above;
  return higher_digits | slot << shift;
}

void TimerWheel::begin_expire(Instant now) {
  RC_ASSERT(!expiring_);
  expiring_ = true;
  move_to_firing(overdue_);

  const uint64_t target = tick_at_or_before(now);
  while (occupied_levels_ != 0) {
    const uint64_t tick = next_tick();
    if (tick > target) break;
    const auto level = static_cast<unsigned>(std::countr_zero(occupied_levels_));
    const auto slot = static_cast<unsigned>(std::countr_zero(occupied_slots_[level]));
    current_ = tick;
    Link& head = slots_[level][slot];
    if (level == 0) {
      move_to_firing(head);
      continue;
    }
    while (!head.alone()) {
      auto& timer = static_cast<Timer&>(*head.next);
      unlink(timer);
      // Exactly this tick fires now; place() would call it overdue.
      if (tick_at_or_after(timer.when_) == current_) {
        append(firing_, timer, kFiring);
      } else {
        place(timer);
      }
    }
  }
  // Nothing sits at or before `target` any more, so no timer's highest
  // differing digit changes by moving there.
  if (target > current_) current_ = target;
}

Timer* TimerWheel::take_firing() {
  if (firing_.alone()) return nullptr;
  auto& timer = static_cast<Timer&>(*firing_.next);
  cancel(timer);
  return &timer;
}

void TimerWheel::place(Timer& timer) {
  const uint64_t tick = tick_at_or_after(timer.when_);
  if (tick <= current_) return append(overdue_, timer, kOverdue);
  const auto level = static_cast<unsigned>(std::bit_width(tick ^ current_) - 1) / kDigitBits;
  RC_ASSERT(level < kLevels);
  const auto slot = static_cast<unsigned>(tick >> (level * kDigitBits)) % kSlots;
  occupied_slots_[level] |= uint64_t{1} << slot;
  occupied_levels_ |= 1u << level;
  append(slots_[level][slot], timer, static_cast<uint16_t>(level * kSlots + slot));
}

void TimerWheel::append(Link& head, Timer& timer, uint16_t place) {
  Link& link = timer;
  link.next = &head;
  link.prev = head.prev;
  head.prev->next = &link;
  head.prev = &link;
  timer.place_ = place;
}

// Leaves place_ for the caller to set.
void TimerWheel::unlink(Timer& timer) {
  Link& link = timer;
  link.prev->next = link.next;
  link.next->prev = link.prev;
  link.next = link.prev = &link;
  if (timer.place_ >= kOverdue) return;
  const unsigned level = timer.place_ / kSlots;
  const unsigned slot = timer.place_ % kSlots;
  if (!slots_[level][slot].alone()) return;
  occupied_slots_[level] &= ~(uint64_t{1} << slot);
  if (occupied_slots_[level] == 0) occupied_levels_ &= ~(1u << level);
}

void TimerWheel::move_to_firing(Link& head) {
  while (!head.alone()) {
    auto& timer = static_cast<Timer&>(*head.next);
    unlink(timer);
    append(firing_, timer, kFiring);
  }
}

void TimerWheel::disarm_all(Link& head) {
  while (!head.alone()) cancel(static_cast<Timer&>(*head.next));
}

void TimerWheel::validate() const {
  size_t count = 0;
  const auto check_list = [&](const Link& head, uint16_t place, auto check_tick) {
    for (const Link* link = head.next; link != &head; link = link->next) {
      RC_ASSERT(link->next->prev == link && link->prev->next == link);
      const auto& timer = static_cast<const Timer&>(*link);
      RC_ASSERT(timer.place_ == place);
      check_tick(tick_at_or_after(timer.when_));
      ++count;
    }
  };
  for (unsigned level = 0; level < kLevels; ++level) {
    RC_ASSERT((occupied_levels_ >> level & 1) == (occupied_slots_[level] != 0));
    for (unsigned slot = 0; slot < kSlots; ++slot) {
      const Link& head = slots_[level][slot];
      RC_ASSERT((occupied_slots_[level] >> slot & 1) == !head.alone());
      check_list(head, static_cast<uint16_t>(level * kSlots + slot), [&](uint64_t tick) {
        RC_ASSERT(tick > current_);
        RC_ASSERT(static_cast<unsigned>(std::bit_width(tick ^ current_) - 1) / kDigitBits == level);
        RC_ASSERT((tick >> (level * kDigitBits)) % kSlots == slot);
      });
    }
  }
  check_list(overdue_, kOverdue, [&](uint64_t tick) { RC_ASSERT(tick <= current_); });
  check_list(firing_, kFiring, [&](uint64_t tick) { RC_ASSERT(expiring_ && tick <= current_); });
  RC_ASSERT(count == size_);
}

}  // namespace ringcast
