// The listening side towards Redis: SUBSCRIBE in batches, and what comes. Live once Redis
// has acknowledged all streams and, behind them, a channel of our own, the canary's.
// Owned by the Redis adapter; its thread only.
#pragma once

#include <cstdint>
#include <deque>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "adapter/adapter.h"
#include "adapter/adapter_counters.h"
#include "adapter/anycable_envelope.h"
#include "adapter/redis_connection.h"
#include "adapter/stream_table.h"
#include "base/log.h"
#include "base/time.h"

namespace ringcast {

class RedisSubscriber {
 public:
  RedisSubscriber(RedisConnection& connection, AdapterCounters& counters, StreamTable::ToWire to_wire,
                  LogBudget& log, std::string canary_channel, bool anycable)
      : connection_(connection),
        counters_(counters),
        log_(log),
        canary_channel_(std::move(canary_channel)),
        anycable_(anycable),
        table_(std::move(to_wire)) {}

  // Before all else.
  void attach(AdapterSink& sink) { sink_ = &sink; }

  void want(std::string_view stream);
  void drop(std::string_view stream);

  // Says to Redis what has changed. REQUIRES: the connection is ready.
  void fill(Instant now);
  void ping(Instant now);

  // False: the sink has no room. Read no further before retry() returns true.
  bool take_reply(const redisReply& reply, Instant now);
  bool retry(Instant now);
  bool stalled() const { return !held_.empty(); }

  void lost();

  bool live() const { return canary_ == Canary::live || canary_ == Canary::refused; }
  // Redis does not let us have a channel of our own: PING must do.
  bool canary_refused() const { return canary_ == Canary::refused; }
  void refuse_canary() { canary_ = Canary::refused; }
  const std::string& canary_channel() const { return canary_channel_; }
  // What the canary carried that came last; taken out.
  std::string take_canary() { return std::exchange(canary_text_, {}); }

  // Since when the oldest unanswered command waits; kNever if none does.
  Instant waiting_since() const { return awaited_.empty() ? kNever : awaited_.front().sent_at; }

 private:
  struct Awaited {
    enum class Kind : uint8_t { subscribe, unsubscribe, canary, anycable, ping } kind;
    std::vector<std::string> channels;
    size_t answered;
    Instant sent_at;
  };
  enum class Canary : uint8_t { none, subscribing, live, refused };

  void send(Awaited::Kind kind, std::span<StreamTable::Stream* const> streams, Instant now);
  void send(Awaited::Kind kind, std::vector<std::string> channels, Instant now);
  void take_acknowledgement(std::string_view channel);
  void take_error(std::string_view error, Instant now);
  bool take_message(std::string_view channel, std::string_view payload);
  bool deliver(std::string_view stream, std::string_view payload, std::string_view excluded_socket);
  void count_streams() { counters_.streams.store(table_.size(), std::memory_order_relaxed); }

  RedisConnection& connection_;
  AdapterCounters& counters_;
  LogBudget& log_;
  const std::string canary_channel_;
  const bool anycable_;
  AdapterSink* sink_ = nullptr;

  StreamTable table_;
  std::deque<Awaited> awaited_;  // commands in the order they were sent
  size_t channels_awaited_ = 0;  // in all of them
  bool greeted_ = false;         // what comes once per connection has been sent
  Canary canary_ = Canary::none;
  std::string canary_text_;
  std::deque<AnycableBroadcast> held_;  // what the sink had no room for
};

}  // namespace ringcast
