// Whether the engine is there, as the server and the log are told: one call and one line
// for each change. Owned by an adapter; its thread only.
#pragma once

#include <optional>
#include <string>

#include "adapter/adapter.h"
#include "adapter/adapter_counters.h"
#include "base/log.h"
#include "base/time.h"

namespace ringcast {

// A sink that took no message is asked again after this.
constexpr milliseconds kSinkRetry{1};

class AdapterHealth {
 public:
  // `engine`: what the log calls it; no password in it.
  AdapterHealth(AdapterCounters& counters, LogBudget& log, std::string engine)
      : counters_(counters), log_(log), engine_(std::move(engine)) {}

  bool up() const { return up_; }

  // True: it has come up with this.
  bool update(bool up, AdapterSink& sink, Instant now);

  // Messages of others may have been missed since then.
  void missed(Instant since);

  // Why it is not up. One line for each reason, not for each attempt.
  void tell_down(const std::string& why, Instant now);

 private:
  AdapterCounters& counters_;
  LogBudget& log_;
  const std::string engine_;

  bool up_ = false;
  bool was_up_ = false;
  std::string down_reason_;           // as last logged
  std::optional<Instant> gap_since_;  // until it is up again
};

}  // namespace ringcast
