// Time as values. Nobody below io/ reads a clock: a backend's turn says what
// time it is, and everything that turn does happens at that time. This is what
// lets the simulator own time. Values only; any thread.
#pragma once

#include <chrono>
#include <cstdint>

namespace ringcast {

using Duration = std::chrono::nanoseconds;
using std::chrono::microseconds;
using std::chrono::milliseconds;
using std::chrono::seconds;

// A monotonic clock that cannot be asked for the time: it has no now().
struct ReactorClock {
  using duration = Duration;
  using rep = duration::rep;
  using period = duration::period;
  using time_point = std::chrono::time_point<ReactorClock>;
  static constexpr bool is_steady = true;
};

using Instant = ReactorClock::time_point;

// Later than any deadline: sleep until something happens.
inline constexpr Instant kNever = Instant::max();

// What a backend's turn returns: one reading of both clocks.
struct TurnTime {
  Instant now;          // CLOCK_MONOTONIC
  int64_t unix_ms = 0;  // CLOCK_REALTIME, milliseconds since 1970
};

}  // namespace ringcast
