// A message to ourselves, through the engine and back, once in an interval: it finds paths
// that are dead at one end, which no connection tells of. Owned by an adapter; its thread
// only.
#pragma once

#include <algorithm>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "adapter/adapter_counters.h"
#include "base/time.h"

namespace ringcast {

class Canary {
 public:
  Canary(milliseconds interval, milliseconds timeout, AdapterCounters& counters)
      : interval_(interval), timeout_(timeout), counters_(counters) {}

  // The engine is there: the first goes at once.
  void begin(Instant now) { next_at_ = heard_at_ = now; }
  // It does not come back any more, and that is known.
  void forget() { sent_at_.reset(); }

  // Whether it is time for the next, which is then counted on.
  bool due(Instant now) {
    if (now < next_at_ || sent_at_) return false;
    next_at_ = now + interval_;
    return true;
  }
  // What it carries.
  std::string send(Instant now) {
    sent_at_ = now;
    return std::to_string(++number_);
  }
  bool late(Instant now) const { return sent_at_ && now >= *sent_at_ + timeout_; }
  // Nothing was read meanwhile, and that was our doing.
  void excuse(Instant now) {
    attentive_since_ = now;
    if (sent_at_) sent_at_ = now;
  }

  // What has come on its channel, if anything; older ones than the last are nothing.
  void came(std::string_view text, Instant now) {
    if (!sent_at_ || text != std::to_string(number_)) return;
    const Duration took = now - *sent_at_;
    counters_.canary_us.store(static_cast<uint64_t>(took / microseconds(1)), std::memory_order_relaxed);
    sent_at_.reset();
    heard_at_ = now;
  }
  // Something came, of whomever: until then nothing can have been missed.
  void heard(Instant now) { heard_at_ = now; }
  Instant heard_at() const { return heard_at_; }
  // Nothing came for longer than a path that is well stays silent.
  bool silent(Instant now) const {
    return now - std::max(heard_at_, attentive_since_) >= std::max(interval_, timeout_ / 2);
  }

  Instant deadline() const { return sent_at_ ? *sent_at_ + timeout_ : next_at_; }

 private:
  const milliseconds interval_, timeout_;
  AdapterCounters& counters_;
  uint64_t number_ = 0;
  std::optional<Instant> sent_at_;  // the one under way
  Instant next_at_ = Instant::min();
  Instant heard_at_ = Instant::min();
  Instant attentive_since_ = Instant::min();  // what comes is read
};

}  // namespace ringcast
