// PUBLISH and its answers. Owned by the Redis adapter; its thread only.
#include "adapter/redis_publisher.h"

#include <hiredis/hiredis.h>

#include <array>
#include <utility>

#include "base/assert.h"

namespace ringcast {
namespace {

// What one break can cost at most, and what Redis may have to answer at once.
constexpr size_t kOnTheirWayMax = 16384;
constexpr size_t kOnTheirWayBytesMax = size_t{16} << 20;

// Enough to fill a socket; the rest is better kept where it counts as unsent.
constexpr size_t kConnectionBytesMax = 256 * 1024;

}  // namespace

void RedisPublisher::push(OnItsWay::Kind kind, MessageRef message, uint64_t end, Instant now) {
  if (message) bytes_on_their_way_ += AdapterQueue::weight(*message);
  on_their_way_.push_back({kind, std::move(message), end, now});
  counters_.unacknowledged.store(on_their_way_.size(), std::memory_order_relaxed);
}

void RedisPublisher::fill(Instant now) {
  while (!unsent_.empty() && on_their_way_.size() < kOnTheirWayMax &&
         bytes_on_their_way_ < kOnTheirWayBytesMax && connection_.unsent_bytes() < kConnectionBytesMax) {
    MessageRef message = std::move(unsent_.front());
    unsent_.pop_front();
    const std::string channel = names_.to_wire(message->stream());
    const std::array<std::string_view, 3> words = {"PUBLISH", channel, as_text(message->payload())};
    const uint64_t end = connection_.command(words);
    queue_.sent(*message);
    push(OnItsWay::Kind::message, std::move(message), end, now);
  }
}

void RedisPublisher::publish_canary(std::string_view channel, std::string_view text, Instant now) {
  const std::array<std::string_view, 3> words = {"PUBLISH", channel, text};
  push(OnItsWay::Kind::canary, {}, connection_.command(words), now);
}

void RedisPublisher::ping(Instant now) {
  const std::array<std::string_view, 1> words = {"PING"};
  push(OnItsWay::Kind::ping, {}, connection_.command(words), now);
}

bool RedisPublisher::take_reply(const redisReply& reply, Instant now) {
  // More answers than commands: not a Redis. The next break sorts it out.
  if (on_their_way_.empty()) return true;
  const OnItsWay answered = std::move(on_their_way_.front());
  on_their_way_.pop_front();
  counters_.unacknowledged.store(on_their_way_.size(), std::memory_order_relaxed);
  const bool refused = reply.type == REDIS_REPLY_ERROR;
  if (answered.kind != OnItsWay::Kind::message) return answered.kind != OnItsWay::Kind::canary || !refused;

  bytes_on_their_way_ -= AdapterQueue::weight(*answered.message);
  if (refused) {
    AdapterCounters::add(counters_.publish_refused);
    log_.log(now, LogLevel::error, "adapter_publish_refused",
             {{"stream", answered.message->stream()}, {"error", reply_text(reply)}});
  } else {
    AdapterCounters::add(counters_.published);
  }
  return true;
}

void RedisPublisher::lost(Instant now) {
  const uint64_t seen = connection_.maybe_seen();
  uint64_t lost = 0;
  for (; !on_their_way_.empty(); on_their_way_.pop_back()) {
    OnItsWay& last = on_their_way_.back();
    if (last.kind != OnItsWay::Kind::message) continue;
    if (last.end <= seen) {
      ++lost;
    } else {
      queue_.unsent(*last.message);
      unsent_.push_front(std::move(last.message));
    }
  }
  bytes_on_their_way_ = 0;
  counters_.unacknowledged.store(0, std::memory_order_relaxed);
  if (lost == 0) return;
  AdapterCounters::add(counters_.publish_lost, lost);
  log_.log(now, LogLevel::error, "adapter_publishes_lost", {{"count", lost}});
}

}  // namespace ringcast
