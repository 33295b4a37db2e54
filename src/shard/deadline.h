// Timers that know whom to call. Embedded in their owners, which outlive them.
#pragma once

#include "base/timer_wheel.h"

namespace ringcast {

// What a shard's wheel holds. Whose own life has deadlines derives from it, and saves the
// way back to its owner.
class Alarm : public Timer {
 public:
  virtual void expire() = 0;

 protected:
  ~Alarm() = default;
};

class Deadline final : public Alarm {
 public:
  using Expired = void (*)(void* owner);

  Deadline(void* owner, Expired expired) : owner_(owner), expired_(expired) {}

  void expire() override { expired_(owner_); }

 private:
  void* const owner_;
  const Expired expired_;
};

}  // namespace ringcast
