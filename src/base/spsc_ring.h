// A bounded ring from one thread to one other: the lock-free part of a mailbox.
// Owned by whoever owns both ends; the producer calls try_push and free, the
// consumer front and pop, anybody size and empty.
//
// Invariant: popped_ <= pushed_ <= popped_ + capacity. Both only grow (64 bits
// do not wrap), index & mask is the slot.
#pragma once

#include <algorithm>
#include <atomic>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <new>
#include <utility>

#include "base/assert.h"

namespace ringcast {

// Two lines: x86 cores fetch lines in pairs, so neighbours are shared as well.
inline constexpr size_t kFalseSharingBytes = 128;

template <class T>
class SpscRing {
 public:
  explicit SpscRing(size_t capacity_pow2)
      : mask_(capacity_pow2 - 1), slots_(std::make_unique_for_overwrite<Slot[]>(capacity_pow2)) {
    RC_ASSERT(std::has_single_bit(capacity_pow2));
  }
  SpscRing(const SpscRing&) = delete;
  SpscRing& operator=(const SpscRing&) = delete;
  ~SpscRing() {
    while (front() != nullptr) pop();
  }

  size_t capacity() const { return mask_ + 1; }

  // Producer. False, and `value` untouched, if the ring is full.
  bool try_push(T&& value) {
    const uint64_t pushed = pushed_.load(std::memory_order_relaxed);
    if (pushed - popped_seen_ > mask_) {
      popped_seen_ = popped_.load(std::memory_order_acquire);  // pairs with pop()'s release
      if (pushed - popped_seen_ > mask_) return false;
    }
    ::new (static_cast<void*>(slots_[pushed & mask_].storage)) T(std::move(value));
    pushed_.store(pushed + 1,
                  std::memory_order_release);  // pairs with the acquire in front(), size(), empty()
    return true;
  }

  // Producer. That many pushes in a row succeed; more room may appear meanwhile.
  // Costs a look at the consumer's line: for a whole batch, not for each push.
  size_t free() {
    popped_seen_ = popped_.load(std::memory_order_acquire);  // pairs with pop()'s release
    return capacity() - static_cast<size_t>(pushed_.load(std::memory_order_relaxed) - popped_seen_);
  }

  // Consumer. The oldest element, which stays in place until pop(); null if
  // there is none.
  T* front() {
    const uint64_t popped = popped_.load(std::memory_order_relaxed);
    if (popped == pushed_seen_) {
      pushed_seen_ = pushed_.load(std::memory_order_acquire);  // pairs with try_push()'s release
      if (popped == pushed_seen_) return nullptr;
    }
    return slots_[popped & mask_].value();
  }

  // Consumer. Destroys what front() showed; only after a front() that was not null.
  void pop() {
    const uint64_t popped = popped_.load(std::memory_order_relaxed);
    RC_ASSERT(popped != pushed_seen_);
    slots_[popped & mask_].value()->~T();
    popped_.store(popped + 1, std::memory_order_release);  // pairs with the acquire in try_push(), free()
  }

  // Any thread; at most what was true at some moment of the call. For the
  // sleep handshake (flag, fence, look again) the fences are the caller's.
  size_t size() const {
    // popped_ first: the difference is then never negative, though it may count
    // elements that left and others that came meanwhile; hence the bound.
    const uint64_t popped = popped_.load(std::memory_order_acquire);
    const uint64_t pushed = pushed_.load(std::memory_order_acquire);
    return static_cast<size_t>(std::min<uint64_t>(pushed - popped, capacity()));
  }
  bool empty() const { return size() == 0; }

 private:
  struct Slot {
    alignas(T) std::byte storage[sizeof(T)];
    T* value() { return std::launder(reinterpret_cast<T*>(storage)); }
  };

  // Read by both, written by neither.
  alignas(kFalseSharingBytes) const uint64_t mask_;
  const std::unique_ptr<Slot[]> slots_;

  // Written by the producer alone. The copy of the other side's index saves a
  // miss per push: it is renewed only when the ring looks full.
  alignas(kFalseSharingBytes) std::atomic<uint64_t> pushed_ = 0;
  uint64_t popped_seen_ = 0;

  // Written by the consumer alone; renewed only when the ring looks empty.
  alignas(kFalseSharingBytes) std::atomic<uint64_t> popped_ = 0;
  uint64_t pushed_seen_ = 0;
};

}  // namespace ringcast
