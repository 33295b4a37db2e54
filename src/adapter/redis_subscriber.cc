// SUBSCRIBE, its answers, and messages. Owned by the Redis adapter; its thread only.
#include "adapter/redis_subscriber.h"

#include <hiredis/hiredis.h>

#include <algorithm>
#include <utility>

namespace ringcast {
namespace {

// Names in one command. Redis refuses all of a command or nothing, so a refused name
// costs its neighbours a second request.
constexpr size_t kBatchMax = 500;

// Acknowledgements under way. Redis counts them against our output buffer, and cuts off
// who lets that grow.
constexpr size_t kChannelsAwaitedMax = 20000;

}  // namespace

void RedisSubscriber::want(std::string_view stream) {
  if (table_.want(stream)) sink_->subscribed(stream);
  count_streams();
}

void RedisSubscriber::drop(std::string_view stream) {
  table_.drop(stream);
  count_streams();
}

void RedisSubscriber::fill(Instant now) {
  if (!std::exchange(greeted_, true) && anycable_) {
    send(Awaited::Kind::anycable, {std::string(kAnycableChannel)}, now);
  }
  bool more = channels_awaited_ >= kChannelsAwaitedMax;
  if (!more) {
    std::vector<StreamTable::Stream*> subscribe, unsubscribe;
    more = table_.take_changes(kChannelsAwaitedMax - channels_awaited_, subscribe, unsubscribe);
    send(Awaited::Kind::unsubscribe, unsubscribe, now);
    send(Awaited::Kind::subscribe, subscribe, now);
  }
  // Redis answers in order: the canary's acknowledgement says that all before it are live.
  if (!more && canary_ == Canary::none) {
    canary_ = Canary::subscribing;
    send(Awaited::Kind::canary, {canary_channel_}, now);
  }
}

void RedisSubscriber::send(Awaited::Kind kind, std::span<StreamTable::Stream* const> streams, Instant now) {
  while (!streams.empty()) {
    const auto batch = streams.first(std::min(streams.size(), kBatchMax));
    streams = streams.subspan(batch.size());
    std::vector<std::string> channels;
    channels.reserve(batch.size());
    for (const StreamTable::Stream* stream : batch) channels.push_back(stream->wire);
    send(kind, std::move(channels), now);
  }
}

void RedisSubscriber::send(Awaited::Kind kind, std::vector<std::string> channels, Instant now) {
  std::vector<std::string_view> words = {kind == Awaited::Kind::unsubscribe ? "UNSUBSCRIBE" : "SUBSCRIBE"};
  words.insert(words.end(), channels.begin(), channels.end());
  connection_.command(words);
  channels_awaited_ += channels.size();
  awaited_.push_back({kind, std::move(channels), 0, now});
}

void RedisSubscriber::ping(Instant now) {
  const std::string_view word = "PING";
  connection_.command({&word, 1});
  awaited_.push_back({Awaited::Kind::ping, {}, 0, now});
}

bool RedisSubscriber::take_reply(const redisReply& reply, Instant now) {
  if (reply.type == REDIS_REPLY_ERROR) {
    take_error(reply_text(reply), now);
    return true;
  }
  if (reply.type != REDIS_REPLY_ARRAY || reply.elements < 2) {  // +PONG, when nothing is subscribed
    if (!awaited_.empty() && awaited_.front().kind == Awaited::Kind::ping) awaited_.pop_front();
    return true;
  }
  const std::string_view kind = reply_text(*reply.element[0]);
  if (kind == "message" && reply.elements == 3) {
    return take_message(reply_text(*reply.element[1]), reply_text(*reply.element[2]));
  }
  if (kind == "subscribe" || kind == "unsubscribe") take_acknowledgement(reply_text(*reply.element[1]));
  if (kind == "pong" && !awaited_.empty() && awaited_.front().kind == Awaited::Kind::ping)
    awaited_.pop_front();
  return true;
}

void RedisSubscriber::take_acknowledgement(std::string_view channel) {
  if (awaited_.empty()) return;
  Awaited& front = awaited_.front();
  switch (front.kind) {
    case Awaited::Kind::subscribe:
      if (const StreamTable::Stream* stream = table_.subscribed(channel)) sink_->subscribed(stream->name);
      break;
    case Awaited::Kind::unsubscribe:
      table_.unsubscribed(channel);
      count_streams();
      break;
    case Awaited::Kind::canary:
      canary_ = Canary::live;
      break;
    case Awaited::Kind::anycable:
      break;
    case Awaited::Kind::ping:
      return;  // an acknowledgement nobody asked for
  }
  --channels_awaited_;
  if (++front.answered == front.channels.size()) awaited_.pop_front();
}

void RedisSubscriber::take_error(std::string_view error, Instant now) {
  if (awaited_.empty()) return;
  Awaited refused = std::move(awaited_.front());
  awaited_.pop_front();
  channels_awaited_ -= refused.channels.size() - refused.answered;
  switch (refused.kind) {
    case Awaited::Kind::subscribe:
    case Awaited::Kind::unsubscribe:
      // One of them is not permitted, and Redis does not say which.
      if (refused.channels.size() > 1) {
        for (std::string& channel : refused.channels) send(refused.kind, {std::move(channel)}, now);
        return;
      }
      log_.log(now, LogLevel::error, "adapter_subscribe_refused",
               {{"channel", refused.channels.front()}, {"error", error}});
      table_.refused(refused.channels.front());
      count_streams();
      break;
    case Awaited::Kind::canary:
      log_.log(now, LogLevel::warn, "adapter_canary_refused",
               {{"channel", canary_channel_}, {"error", error}});
      canary_ = Canary::refused;
      break;
    case Awaited::Kind::anycable:
      log_.log(now, LogLevel::error, "adapter_subscribe_refused",
               {{"channel", kAnycableChannel}, {"error", error}});
      break;
    case Awaited::Kind::ping:
      break;  // an answer all the same
  }
}

bool RedisSubscriber::take_message(std::string_view channel, std::string_view payload) {
  if (const StreamTable::Stream* stream = table_.find_wire(channel)) {
    return deliver(stream->name, payload, {});
  }
  if (channel == canary_channel_) {
    canary_text_ = payload;
    return true;
  }
  if (!anycable_ || channel != kAnycableChannel) return true;  // unsubscribed while it was on its way

  AnycableEnvelope envelope = read_anycable_envelope(payload);
  AdapterCounters::add(counters_.malformed, envelope.malformed);
  AdapterCounters::add(counters_.ignored_commands, envelope.commands);
  for (AnycableBroadcast& broadcast : envelope.broadcasts) {
    if (table_.find_name(broadcast.stream) == nullptr) continue;  // for other processes
    deliver(broadcast.stream, broadcast.payload, broadcast.excluded_socket);
  }
  return held_.empty();
}

bool RedisSubscriber::deliver(std::string_view stream, std::string_view payload,
                              std::string_view excluded_socket) {
  if (!held_.empty() || !sink_->received(stream, as_bytes(payload), excluded_socket)) {
    held_.push_back({std::string(stream), std::string(payload), std::string(excluded_socket)});
    return false;
  }
  AdapterCounters::add(counters_.received);
  return true;
}

bool RedisSubscriber::retry(Instant now) {
  for (; !held_.empty(); held_.pop_front()) {
    const AnycableBroadcast& next = held_.front();
    if (!sink_->received(next.stream, as_bytes(next.payload), next.excluded_socket)) return false;
    AdapterCounters::add(counters_.received);
  }
  // That nothing was read meanwhile is not Redis's fault.
  for (Awaited& awaited : awaited_) awaited.sent_at = now;
  return true;
}

void RedisSubscriber::lost() {
  awaited_.clear();
  channels_awaited_ = 0;
  greeted_ = false;
  canary_ = Canary::none;
  canary_text_.clear();
  table_.engine_lost();
  count_streams();
}

}  // namespace ringcast
