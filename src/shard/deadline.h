// A timer that knows whom to call. Embedded in its owner, which outlives it. Connections are
// timers themselves, in a wheel of their own, and save the way back.
#pragma once

#include "base/timer_wheel.h"

namespace ringcast {

class Deadline final : public Timer {
 public:
  using Expired = void (*)(void* owner);

  Deadline(void* owner, Expired expired) : owner_(owner), expired_(expired) {}

  void expire() { expired_(owner_); }

 private:
  void* const owner_;
  const Expired expired_;
};

}  // namespace ringcast
