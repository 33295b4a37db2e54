// The publishing side towards PostgreSQL: SELECT pg_notify(…) in libpq's pipeline mode,
// each with a Sync of its own, so each is a transaction of its own: within one, PostgreSQL
// delivers equal payloads only once. Owned by the PostgreSQL adapter; its thread only.
#pragma once

#include <cstdint>
#include <deque>
#include <functional>
#include <span>
#include <string>
#include <string_view>

#include "adapter/adapter_counters.h"
#include "adapter/adapter_queue.h"
#include "adapter/postgres_connection.h"
#include "adapter/stream_table.h"
#include "base/log.h"
#include "base/time.h"

namespace ringcast {

// What PostgreSQL carries ends here (NOTIFY_PAYLOAD_MAX_LENGTH).
inline constexpr size_t kPostgresPayloadBytesMax = 7999;

class PostgresPublisher {
 public:
  using SocketName = std::function<std::string(const SocketId&)>;

  PostgresPublisher(PostgresConnection& connection, AdapterQueue& queue, AdapterCounters& counters,
                    StreamTable::ToWire to_wire, SocketName socket_name, LogBudget& log)
      : connection_(connection),
        queue_(queue),
        counters_(counters),
        to_wire_(std::move(to_wire)),
        socket_name_(std::move(socket_name)),
        log_(log) {}

  std::deque<MessageRef>& unsent() { return unsent_; }

  // Once for each connection, as soon as it is ready.
  void begin(Instant now);
  bool begun() const { return begun_; }
  void fill(Instant now);
  void publish_canary(const std::string& channel, std::string_view text, Instant now);
  void take_results(Instant now);
  // What was handed to libpq may have been seen: it is lost to us and never repeated.
  void lost(Instant now);

  bool idle() const { return unsent_.empty() && on_their_way_.empty(); }
  Instant waiting_since() const { return on_their_way_.empty() ? kNever : on_their_way_.front().sent_at; }

 private:
  struct OnItsWay {
    MessageRef message;  // empty: of our own
    Instant sent_at;
    std::string error;  // of its result, until its Sync is answered
  };

  struct Notification {
    std::string_view channel, payload;
  };
  // All in one transaction, in their order.
  void notify(std::span<const Notification> notifications);
  void push(MessageRef message, Instant now);
  void settle(Instant now);

  PostgresConnection& connection_;
  AdapterQueue& queue_;
  AdapterCounters& counters_;
  const StreamTable::ToWire to_wire_;
  const SocketName socket_name_;
  LogBudget& log_;

  std::deque<MessageRef> unsent_;
  std::deque<OnItsWay> on_their_way_;
  bool begun_ = false;  // on this connection
};

}  // namespace ringcast
