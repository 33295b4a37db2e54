// One connection to an engine, and when it is to be tried again. Owned by an adapter; its
// thread only.
#pragma once

#include <algorithm>
#include <cstddef>
#include <utility>

#include "adapter/adapter_random.h"
#include "adapter/backoff.h"
#include "base/time.h"

namespace ringcast {

// Connection has stage(), deadline() and ready(), and a Stage that is called closed.
template <class Connection>
class EngineLink {
 public:
  template <class... Arguments>
  explicit EngineLink(milliseconds backoff_max, Arguments&&... arguments)
      : connection(std::forward<Arguments>(arguments)...), backoff_(backoff_max, random_seed()) {}

  Connection connection;

  bool closed() const { return connection.stage() == Connection::Stage::closed; }
  bool may_open(Instant now) const { return closed() && settled_ && now >= retry_at_; }

  // For the next attempt: each goes to another of so many addresses.
  size_t begin_attempt(size_t addresses) {
    settled_ = false;
    return next_address_++ % addresses;
  }
  bool tried_all(size_t addresses) const { return next_address_ >= addresses; }
  void addresses_changed() { next_address_ = 0; }

  // Whatever closed it, what follows from that happens once, and after what had come before
  // the end was read: true then.
  bool take_end(Instant now) {
    if (!closed() || std::exchange(settled_, true)) return false;
    retry_at_ = now + backoff_.next();
    return true;
  }
  void postpone(Instant now) { retry_at_ = std::max(retry_at_, now + backoff_.next()); }
  void succeeded() { backoff_.succeeded(); }

  // When something is to be done about it by itself.
  bool unsettled() const { return closed() && !settled_; }
  Instant deadline() const {
    if (!closed()) return connection.deadline();
    return settled_ ? retry_at_ : kNever;
  }

 private:
  Backoff backoff_;
  Instant retry_at_ = Instant::min();
  size_t next_address_ = 0;
  bool settled_ = true;
};

}  // namespace ringcast
