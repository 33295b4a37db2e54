// The two clocks, as the backends that talk to a kernel read them. Any thread.
#pragma once

#include <ctime>

#include "base/time.h"

namespace ringcast {

// Both calls stay in user space (vDSO): about 20 ns each.
inline Instant monotonic_now() {
  timespec time;
  clock_gettime(CLOCK_MONOTONIC, &time);
  return Instant(seconds(time.tv_sec) + Duration(time.tv_nsec));
}

inline TurnTime read_clocks() {
  timespec wall;
  clock_gettime(CLOCK_REALTIME, &wall);
  return {.now = monotonic_now(), .unix_ms = wall.tv_sec * int64_t{1000} + wall.tv_nsec / 1'000'000};
}

// How long to sleep, as the kernel wants it.
inline timespec to_timespec(Duration duration) {
  return {.tv_sec = static_cast<time_t>(duration.count() / 1'000'000'000),
          .tv_nsec = static_cast<long>(duration.count() % 1'000'000'000)};
}

}  // namespace ringcast
