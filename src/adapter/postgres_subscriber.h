// The listening side towards PostgreSQL: LISTEN and UNLISTEN in batches, one batch at a
// time, and what comes. Live once all streams and, behind them, a channel of our own, the
// canary's, are listened to. Owned by the PostgreSQL adapter; its thread only.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "adapter/adapter.h"
#include "adapter/adapter_counters.h"
#include "adapter/postgres_connection.h"
#include "adapter/postgres_exclusion.h"
#include "adapter/stream_table.h"
#include "base/log.h"
#include "base/time.h"

namespace ringcast {

class PostgresSubscriber {
 public:
  PostgresSubscriber(PostgresConnection& connection, AdapterCounters& counters, StreamTable::ToWire to_wire,
                     LogBudget& log, std::string canary_channel, bool socket_ids)
      : connection_(connection),
        counters_(counters),
        log_(log),
        canary_channel_(std::move(canary_channel)),
        socket_ids_(socket_ids),
        table_(std::move(to_wire)) {}

  // Before all else.
  void attach(AdapterSink& sink) { sink_ = &sink; }

  void want(std::string_view stream);
  void drop(std::string_view stream);

  void fill(Instant now);
  void take_results(Instant now);
  // Hands over what came. False: the sink has no room; read no further before true.
  bool deliver(Instant now);
  bool stalled() const { return held_.has_value(); }

  void lost();

  bool live() const { return live_; }
  const std::string& canary_channel() const { return canary_channel_; }
  // Whether anything came since the last time it was asked for.
  bool take_heard() { return std::exchange(heard_, false); }
  std::string take_canary() { return std::exchange(canary_text_, {}); }
  Instant waiting_since() const { return batch_.empty() ? kNever : sent_at_; }

 private:
  struct Change {
    std::string channel;
    bool listen;
  };
  struct Held {
    std::string stream;
    std::string payload;
    std::string excluded_socket;
  };

  void send(std::vector<Change> changes, Instant now);
  void settle(Instant now);
  std::string taken_exclusion(std::string_view channel, std::string_view payload, int backend);
  void count_streams() { counters_.streams.store(table_.size(), std::memory_order_relaxed); }

  PostgresConnection& connection_;
  AdapterCounters& counters_;
  LogBudget& log_;
  const std::string canary_channel_;
  const bool socket_ids_;
  AdapterSink* sink_ = nullptr;

  StreamTable table_;
  std::vector<Change> batch_;  // under way; empty: none is
  std::vector<Change> alone_;  // a batch was refused: each of it by itself
  Instant sent_at_ = kNever;
  std::string error_;  // of the batch under way
  std::string error_state_;
  bool greeted_ = false;  // what comes once per connection has been sent
  bool live_ = false;
  bool heard_ = false;
  std::string canary_text_;
  // What the notification before the next one said; and which backend.
  std::optional<PostgresExclusion> exclusion_;
  int exclusion_from_ = 0;
  std::optional<Held> held_;  // what the sink had no room for
};

}  // namespace ringcast
