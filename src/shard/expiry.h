// Tells the owner of a credential's connection when it ceases to be good. A token names a time
// of the wall clock and timers run on another, so a deadline that is far is looked at again:
// whatever the two do to each other, it is met. Owned by what it tells; shard thread.
#pragma once

#include <cstdint>

#include "shard/deadline.h"

namespace ringcast {

class Shard;

class Expiry {
 public:
  using Expired = void (*)(void* owner);

  // Tells at the next turn at the earliest, and once.
  Expiry(Shard& shard, int64_t unix_ms, void* owner, Expired expired);
  Expiry(const Expiry&) = delete;
  Expiry& operator=(const Expiry&) = delete;
  ~Expiry() { cancel(); }

  void cancel();

 private:
  void look();

  Shard& shard_;
  const int64_t unix_ms_;
  void* const owner_;
  const Expired expired_;
  Deadline deadline_;
};

}  // namespace ringcast
