// The publishing side towards Redis: what waits, what is on its way, and what becomes of
// it. Pipelined: answers come in the order of the commands. Owned by the Redis adapter;
// its thread only.
#pragma once

#include <cstdint>
#include <deque>
#include <string>
#include <string_view>

#include "adapter/adapter_counters.h"
#include "adapter/adapter_queue.h"
#include "adapter/redis_connection.h"
#include "adapter/wire_names.h"
#include "base/log.h"
#include "base/time.h"

namespace ringcast {

class RedisPublisher {
 public:
  RedisPublisher(RedisConnection& connection, AdapterQueue& queue, AdapterCounters& counters,
                 const WireNames& names, LogBudget& log)
      : connection_(connection), queue_(queue), counters_(counters), names_(names), log_(log) {}

  // What AdapterQueue::take() brings.
  std::deque<MessageRef>& unsent() { return unsent_; }

  // Moves what waits to the connection, as far as it is to take more now.
  void fill(Instant now);
  void publish_canary(std::string_view channel, std::string_view text, Instant now);
  void ping(Instant now);

  // False: it was the canary that Redis refused to publish.
  bool take_reply(const redisReply& reply, Instant now);

  // After the connection closed. What Redis cannot have seen goes first the next time; what
  // it may have seen is lost to us either way and is never repeated.
  void lost(Instant now);

  bool idle() const { return unsent_.empty() && on_their_way_.empty(); }
  // Since when the oldest unanswered command waits; kNever if none does.
  Instant waiting_since() const { return on_their_way_.empty() ? kNever : on_their_way_.front().sent_at; }

 private:
  struct OnItsWay {
    enum class Kind : uint8_t { message, canary, ping } kind;
    MessageRef message;  // of a message
    uint64_t end;        // see RedisConnection::command
    Instant sent_at;
  };

  void push(OnItsWay::Kind kind, MessageRef message, uint64_t end, Instant now);

  RedisConnection& connection_;
  AdapterQueue& queue_;
  AdapterCounters& counters_;
  const WireNames& names_;
  LogBudget& log_;

  std::deque<MessageRef> unsent_;
  std::deque<OnItsWay> on_their_way_;
  size_t bytes_on_their_way_ = 0;
};

}  // namespace ringcast
