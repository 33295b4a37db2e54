// A circuit breaker: when nearly everything that is asked of an application fails, nothing is
// asked for a while; then one call tries, and its outcome decides. Pure; one owner.
#pragma once

#include <array>
#include <cstdint>

#include "base/time.h"

namespace ringcast {

class RpcBreaker {
 public:
  static constexpr uint32_t kCallsMin = 10;  // fewer in the window prove nothing
  static constexpr uint32_t kFailedPercent = 80;
  static constexpr Duration kWindow = seconds(10);
  static constexpr Duration kOpenFor = seconds(5);

  enum class State : uint8_t { closed, open, trying };

  State state() const { return state_; }

  // Whether a call may go now.
  bool allows(Instant now) const {
    return state_ == State::closed || (state_ == State::open && now >= open_until_);
  }
  // One goes: succeeded() or failed() follows.
  void begin() {
    if (state_ == State::open) state_ = State::trying;
  }
  // From when on allows() may say otherwise; meaningful while open.
  Instant open_until() const { return open_until_; }

  void succeeded(Instant now) {
    if (state_ == State::open) return;  // it went before the others failed
    if (state_ == State::trying) {
      state_ = State::closed;
      seconds_ = {};
    }
    ++second_at(now).calls;
  }
  void failed(Instant now) {
    if (state_ == State::open) return;
    Second& second = second_at(now);
    ++second.calls;
    ++second.failures;
    if (state_ == State::trying || tripped(now)) {
      state_ = State::open;
      open_until_ = now + kOpenFor;
    }
  }

 private:
  struct Second {
    int64_t number = -1;
    uint32_t calls = 0;
    uint32_t failures = 0;
  };
  static constexpr size_t kSeconds = static_cast<size_t>(kWindow / seconds(1));

  static int64_t number_of(Instant now) { return now.time_since_epoch() / seconds(1); }

  Second& second_at(Instant now) {
    const int64_t number = number_of(now);
    Second& second = seconds_[static_cast<size_t>(number) % kSeconds];
    if (second.number != number) second = {.number = number};
    return second;
  }
  bool tripped(Instant now) const {
    uint64_t calls = 0, failures = 0;
    for (const Second& second : seconds_) {
      if (second.number <= number_of(now) - static_cast<int64_t>(kSeconds)) continue;
      calls += second.calls;
      failures += second.failures;
    }
    return calls >= kCallsMin && failures * 100 >= calls * kFailedPercent;
  }

  State state_ = State::closed;
  Instant open_until_{};
  std::array<Second, kSeconds> seconds_;
};

}  // namespace ringcast
