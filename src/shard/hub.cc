#include "shard/hub.h"

#include <algorithm>
#include <optional>
#include <utility>

#include "base/glob.h"
#include "base/hash.h"
#include "base/utf8.h"
#include "protocol/cable.h"
#include "protocol/json.h"
#include "shard/connection.h"
#include "shard/engine.h"
#include "shard/shard.h"

namespace ringcast {

Hub::Hub(Shard& shard) : shard_(shard), chunks_(shard.limits().frame_log_bytes) {
  const ShardIndex shards = shard.context().mailboxes.shards();
  deferred_.resize(shards);
  bells_.resize(shards, false);
  for (const Coalescing& rule : shard.limits().coalescing) coalesced_.emplace_back(rule.interval);
}

Hub::~Hub() {
  homes_.for_each([this](Home& home) { home_pool_.release(home); });
}

// --- Subscribers --------------------------------------------------------------------

Subscription& Hub::subscribe(Connection& connection, uint32_t owner, std::string_view name,
                             const ChannelIdentifierRef& identifier, bool& live) {
  Stream* stream = by_name_.find(name);
  if (stream == nullptr) {
    stream = &streams_[streams_.acquire(name)];
    for (const StreamPolicy& rule : shard_.limits().stream_policies) {
      if (!glob_match(rule.pattern, name)) continue;
      stream->policy = rule.policy;
      break;
    }
    const auto& coalescing = shard_.limits().coalescing;
    const auto rule = std::ranges::find_if(
        coalescing, [&](const Coalescing& each) { return glob_match(each.pattern, name); });
    if (rule != coalescing.end()) stream->coalescing = static_cast<uint32_t>(rule - coalescing.begin());
    by_name_.insert(*stream);
    shard_.counters().streams.set(streams_.size());
    request(*stream, ShardRequest::Kind::subscribe);
  }

  StreamLog* log = stream->find_log(identifier, connection.window_bits());
  if (log == nullptr) {
    log = &logs_.acquire(*stream, chunks_, identifier, connection.window_bits());
    stream->add_log(*log);
  }

  Subscription& subscription = subscriptions_.acquire(Subscription{
      .connection = connection, .log = *log, .cursor = log->bytes.join(), .owner = owner, .position = 0});
  log->subscribers.add(subscription);
  connection.add_subscription(subscription);
  shard_.counters().subscriptions.set(subscriptions_.size());
  live = stream->live;
  return subscription;
}

void Hub::unsubscribe(Subscription& subscription) {
  StreamLog& log = subscription.log;
  Stream& stream = log.stream;
  log.bytes.leave(subscription.cursor);
  log.subscribers.remove(subscription);
  subscription.connection.remove_subscription(subscription);
  subscriptions_.release(subscription);
  shard_.counters().subscriptions.set(subscriptions_.size());
  if (log.subscribers.size() > 0) return;
  erase_log(log);
  if (stream.logs == nullptr) drop_stream(stream);
}

size_t Hub::skip(Subscription& subscription, FrameLog::Cursor to, DropReason reason) {
  FrameLog& log = subscription.log.bytes;
  const size_t frames = log.frames_between(subscription.cursor, to);
  shard_.counters().dropped_for(reason).add(frames);
  log.move(subscription.cursor, to);
  subscription.cursor = to;
  return frames;
}

void Hub::erase_log(StreamLog& log) {
  if (CoalescedWalk* const walk = walk_of(log.stream)) {
    walk->erase(log);
  } else if (log.walking) {
    walk_.erase(std::find(walk_.begin(), walk_.end(), &log));
  }
  lap_checks_.erase(&log);
  if (StageLatency* const stages = shard_.stages()) stages->forget(log);
  log.stream.remove_log(log);
  logs_.release(log);
}

void Hub::drop_stream(Stream& stream) {
  request(stream, ShardRequest::Kind::unsubscribe);
  by_name_.erase(stream);
  streams_.release(stream.id());
  shard_.counters().streams.set(streams_.size());
}

// --- Publishers ---------------------------------------------------------------------

PublishStatus Hub::check(std::string_view stream, PayloadKind kind, Bytes payload) {
  const Limits& limits = shard_.limits();
  PublishStatus status = PublishStatus::ok;
  const Engine* const engine = shard_.context().engine;
  if (stream.size() > limits.stream_name_bytes || payload.size() > limits.message_bytes ||
      (engine != nullptr && payload.size() > engine->payload_bytes_max())) {
    status = PublishStatus::too_large;
    shard_.counters().dropped_for(DropReason::too_large).add();
  } else if (stream.empty() || (kind == PayloadKind::text && !valid_utf8(payload)) ||
             (kind == PayloadKind::json && !valid_json(payload))) {
    status = PublishStatus::invalid;
    shard_.counters().dropped_for(DropReason::invalid).add();
  }
  return status;
}

PublishStatus Hub::publish(MessageRef message) {
  const ShardIndex home = shard_.home_of(message->stream_hash());
  const auto bytes = static_cast<int64_t>(message->payload().size());
  if (StageLatency* const stages = shard_.stages()) stages->published(*message, shard_.now());
  ShardRequest request{.kind = ShardRequest::Kind::publish, .message = std::move(message)};
  const Engine* const engine = shard_.context().engine;
  // What was deferred before must arrive before.
  if (deferred_[home].empty() && (engine == nullptr || engine->accepting()) && push(home, request)) {
    publish_bytes_ -= bytes;
    return PublishStatus::ok;
  }
  shard_.counters().dropped_for(DropReason::mailbox_full).add();
  return PublishStatus::full;
}

bool Hub::can_publish() {
  if (deferred_count_ > 0) return false;
  // Consumers only make room, so what was seen once is a lower bound until we push.
  if (publish_room_ >= kPublishHeadroom && publish_bytes_ > 0) return true;
  Mailboxes& mailboxes = shard_.context().mailboxes;
  // Each shard may use its part of the rest without asking the others.
  const uint64_t queued = shard_.context().message_bytes.total();
  const uint64_t queued_max = shard_.limits().queued_bytes;
  publish_bytes_ = static_cast<int64_t>((queued_max - std::min(queued, queued_max)) / mailboxes.shards());
  publish_room_ = SIZE_MAX;
  for (ShardIndex to = 0; to < mailboxes.shards(); ++to) {
    publish_room_ = std::min(publish_room_, mailboxes.requests(shard_.index(), to).free());
  }
  return publish_room_ >= kPublishHeadroom && publish_bytes_ > 0;
}

bool Hub::has_room_for(const std::vector<size_t>& per_home) {
  if (const Engine* const engine = shard_.context().engine; engine != nullptr && !engine->accepting())
    return false;
  for (ShardIndex to = 0; to < per_home.size(); ++to) {
    if (per_home[to] == 0) continue;
    if (!deferred_[to].empty()) return false;
    if (shard_.context().mailboxes.requests(shard_.index(), to).free() < per_home[to]) return false;
  }
  return true;
}

bool Hub::hand_over(int descriptor, bool tls, ShardIndex to) {
  ShardRequest request{.kind = ShardRequest::Kind::adopt, .tls = tls, .descriptor = descriptor};
  return push(to, request);
}

bool Hub::push(ShardIndex to, ShardRequest& request) {
  if (!shard_.context().mailboxes.requests(shard_.index(), to).try_push(std::move(request))) return false;
  if (publish_room_ > 0) --publish_room_;
  bells_[to] = true;
  return true;
}

void Hub::request(Stream& stream, ShardRequest::Kind kind) {
  const ShardIndex home = shard_.home_of(hash64(stream.name.text()));
  ShardRequest request{.kind = kind, .stream = stream.id(), .name = stream.name};
  if (deferred_[home].empty() && push(home, request)) return;
  deferred_[home].push_back(std::move(request));
  ++deferred_count_;
}

void Hub::push_deferred() {
  while (!acknowledgements_.empty() && acknowledge(acknowledgements_.front())) acknowledgements_.pop_front();
  if (deferred_count_ == 0) return;
  for (ShardIndex to = 0; to < deferred_.size(); ++to) {
    while (!deferred_[to].empty() && push(to, deferred_[to].front())) {
      deferred_[to].pop_front();
      --deferred_count_;
    }
  }
}

// Only those who sleep cost more than a look at their flag.
void Hub::ring_bells() {
  for (ShardIndex to = 0; to < bells_.size(); ++to) {
    if (!bells_[to]) continue;
    bells_[to] = false;
    if (to != shard_.index()) shard_.context().mailboxes.bell(to).ring();
  }
}

// --- The home -----------------------------------------------------------------------

bool Hub::take(ShardRequest& request, ShardIndex from) {
  switch (request.kind) {
    case ShardRequest::Kind::publish:
      return take_publish(request.message);
    case ShardRequest::Kind::subscribe:
      return listen(request, from);
    case ShardRequest::Kind::unsubscribe: {
      Home* const home = homes_.find(request.name.text());
      RC_ASSERT(home != nullptr);
      if (!home->remove({from, request.stream})) {
        if (Engine* const engine = shard_.context().engine) engine->unsubscribe(request.name.text());
        homes_.erase(*home);
        home_pool_.release(*home);
      }
      return true;
    }
    case ShardRequest::Kind::adopt:
      break;
  }
  RC_ASSERT(false);
  return true;
}

void Hub::Home::add(const Listener& listener) {
  if (first == Listener{}) {
    first = listener;
  } else {
    open_rest().listeners.push_back(listener);
  }
}

bool Hub::Home::remove(const Listener& listener) {
  if (rest) std::erase(rest->unacknowledged, listener);
  if (first != listener) {
    RC_ASSERT(rest);
    const size_t erased = std::erase(rest->listeners, listener);
    RC_ASSERT(erased == 1);
  } else if (!rest || rest->listeners.empty()) {
    return false;
  } else {
    first = rest->listeners.front();
    rest->listeners.erase(rest->listeners.begin());
  }
  drop_empty_rest();
  return true;
}

Hub::Home::Rest& Hub::Home::open_rest() {
  if (!rest) rest = std::make_unique<Rest>();
  return *rest;
}

void Hub::Home::drop_empty_rest() {
  if (rest && rest->listeners.empty() && rest->ticket == 0) rest = nullptr;
}

bool Hub::listen(ShardRequest& request, ShardIndex from) {
  // The acknowledgement needs room like any delivery.
  if (shard_.context().mailboxes.deliveries(shard_.index(), from).free() == 0) return false;
  const Home::Listener listener{from, request.stream};
  bool is_new = false;
  Home& home = find_or_make_home(request.name, is_new);
  home.add(listener);
  if (Engine* const engine = shard_.context().engine; engine != nullptr && is_new) {
    home.open_rest().ticket = ++tickets_;
    engine->subscribe(request.name.text(), tickets_);
  }
  if (home.rest && home.rest->ticket != 0) {
    home.rest->unacknowledged.push_back(listener);
    return true;
  }
  const bool acknowledged = acknowledge(listener);
  RC_ASSERT(acknowledged);
  return true;
}

Hub::Home& Hub::find_or_make_home(const StreamName& name, bool& is_new) {
  Home* home = homes_.find(name.text());
  is_new = home == nullptr;
  if (is_new) {
    home = &home_pool_.acquire(name);
    homes_.insert(*home);
  }
  return *home;
}

bool Hub::acknowledge(const Home::Listener& listener) {
  auto& lane = shard_.context().mailboxes.deliveries(shard_.index(), listener.shard);
  if (!lane.try_push(Delivery{.stream = listener.stream, .message = {}})) return false;
  bells_[listener.shard] = true;
  return true;
}

void Hub::carried(std::string_view stream, uint64_t ticket) {
  Home* const home = homes_.find(stream);
  if (home == nullptr || !home->rest || home->rest->ticket != ticket) return;
  home->rest->ticket = 0;
  for (const Home::Listener& listener : std::exchange(home->rest->unacknowledged, {})) {
    if (!acknowledgements_.empty() || !acknowledge(listener)) acknowledgements_.push_back(listener);
  }
  home->drop_empty_rest();
}

// It has its place; those of internal channels are for the server itself.
void Hub::count_publish(const Message& message) {
  shard_.counters().publishes.add();
  if (is_internal_channel(message.stream()) &&
      shard_.context().identities.published(message.stream(), message.payload())) {
    shard_.counters().remote_disconnects.add();
  }
}

bool Hub::take_publish(MessageRef& message) {
  if (Engine* const engine = shard_.context().engine; engine != nullptr && !message->carried()) {
    if (!engine->publish(message)) return false;
    message = {};
    return true;
  }
  // Nobody is sent anything ahead of the acknowledgement that says so.
  if (!acknowledgements_.empty()) return false;
  Home* const home = homes_.find(message->stream());
  StageLatency* const stages = shard_.stages();
  if (home == nullptr) {
    if (stages != nullptr) stages->numbered(*message);
    count_publish(*message);
    message = {};
    return true;  // nobody listens: published, to nobody
  }
  Mailboxes& mailboxes = shard_.context().mailboxes;
  bool room = true;
  home->for_each_listener([&](const Home::Listener& listener) {
    auto& lane = mailboxes.deliveries(shard_.index(), listener.shard);
    if (lane.size() == lane.capacity()) room = false;
  });
  if (!room) return false;
  message->number(++home->offset);
  if (stages != nullptr) stages->numbered(*message);
  count_publish(*message);
  home->for_each_listener([&](const Home::Listener& listener) {
    const bool pushed = mailboxes.deliveries(shard_.index(), listener.shard)
                            .try_push(Delivery{.stream = listener.stream, .message = message});
    RC_ASSERT(pushed);
    bells_[listener.shard] = true;
  });
  message = {};
  return true;
}

// --- Deliveries ---------------------------------------------------------------------

bool Hub::deliver(Delivery& delivery) {
  Stream* const stream = streams_.find(delivery.stream);
  if (stream == nullptr) return true;  // unsubscribed meanwhile
  if (!delivery.message) {
    stream->live = true;
    // subscription_live() may call an embedder, who may unsubscribe: collect first.
    struct Waiting {
      ConnectionId connection;
      uint32_t owner;
    };
    std::vector<Waiting> waiting;
    for (const StreamLog* log = stream->logs; log != nullptr; log = log->next) {
      log->subscribers.for_each([&](const Subscription& subscription) {
        waiting.push_back({subscription.connection.id(), subscription.owner});
      });
    }
    const StreamName name = stream->name;  // the stream may go with its last subscriber
    for (const auto& [id, owner] : waiting) {
      Connection* const connection = shard_.find(id);
      if (connection != nullptr && connection->find_subscription(owner, name.text()) != nullptr) {
        connection->subscription_live(owner);
      }
    }
    return true;
  }

  const Message& message = *delivery.message;
  Bytes json = message.payload();
  if (message.kind() == PayloadKind::text && stream->cable_logs() > 0 && !valid_json(json)) {
    json_.clear();
    // From other processes, what is no JSON is none of Action Cable's, as in Rails.
    if (!message.carried()) append_json_string(json_, as_text(message.payload()), JsonEscape::rails);
    json = as_bytes(json_);
  }
  // All logs or none: a message half delivered would be taken for delivered. All are asked
  // even when one has to wait, so that the graces of readers in several run side by side.
  bool fits = true;
  for (StreamLog* log = stream->logs; log != nullptr;) {
    switch (make_room(*log, message, json)) {
      case Room::fits:
        log = log->next;
        break;
      case Room::wait:
        fits = false;
        log = log->next;
        break;
      case Room::lapped:
        // Whoever was lapped may have been the last subscriber of a log, or of the stream.
        if (streams_.find(delivery.stream) == nullptr) return true;
        fits = true;
        log = stream->logs;
        break;
    }
  }
  if (!fits) return false;
  Connection* const excluded = message.excluded() ? excluded_from(message) : nullptr;
  if (excluded != nullptr) excluded->leave_logs_of(*stream);
  for (StreamLog* log = stream->logs; log != nullptr; log = log->next) {
    append(*log, message, json);
  }
  if (excluded != nullptr) excluded->skip_to_head_of(*stream);
  if (StageLatency* const stages = shard_.stages()) note_fanned_out(*stages, *stream, message, json);
  return true;
}

// Whom of ours a message is kept from.
Connection* Hub::excluded_from(const Message& message) const {
  const SocketId& socket = message.excluded();
  if (socket.shard() != shard_.index()) return nullptr;
  Connection* const connection = shard_.find(socket.connection());
  return connection != nullptr && connection->is(socket) ? connection : nullptr;
}

void Hub::note_fanned_out(StageLatency& stages, Stream& stream, const Message& message, Bytes json) {
  const Instant now = stages.fanned_out(message);
  for (StreamLog* log = stream.logs; log != nullptr; log = log->next) {
    if (!payload_for(*log, message, json)) continue;  // it took nothing
    stages.appended(*log, log->due(), now);
  }
}

// What a log's subscribers are sent of a message; nothing if they cannot be sent it.
std::optional<Bytes> Hub::payload_for(const StreamLog& log, const Message& message, Bytes json) const {
  if (log.cable() && (message.kind() == PayloadKind::binary || json.empty())) return {};
  // A text that became a JSON string may have grown sixfold, beyond any log; what no log
  // takes would hold up its lane for ever.
  const Bytes payload = log.cable() ? json : message.payload();
  if (log.frame_bytes(payload.size()) > log.bytes.bytes_max()) return {};
  return payload;
}

void Hub::append(StreamLog& log, const Message& message, Bytes json) {
  Counters& counters = shard_.counters();
  const std::optional<Bytes> payload = payload_for(log, message, json);
  if (!payload) {
    DropReason reason = DropReason::too_large;
    if (log.cable() && json.empty()) reason = DropReason::not_json;
    if (log.cable() && message.kind() == PayloadKind::binary) reason = DropReason::binary_on_cable;
    counters.dropped_for(reason).add(log.subscribers.size());
    return;
  }
  const Opcode opcode = message.kind() == PayloadKind::binary ? Opcode::binary : Opcode::text;
  const Bytes parts[] = {as_bytes(log.prefix()), *payload, as_bytes(log.suffix())};
  if (const auto compressed = shard_.compress(log.window_bits, parts)) {
    log.bytes.append(opcode, {}, *compressed, {}, true);
  } else {
    log.bytes.append(opcode, parts[0], parts[1], parts[2]);
  }
  counters.encodings.add();
  counters.deliveries.add(log.subscribers.size());
  if (CoalescedWalk* const walk = walk_of(log.stream)) {
    walk->appended(log);
    return;
  }
  log.subscribers.start_round();
  if (!log.walking) {
    log.walking = true;
    walk_.push_back(&log);
  }
}

// Whether the message's frame fits now. If it does not: everybody is served first;
// then, of those who stand in the way, the ones whose peer has taken nothing at all for
// the grace are lapped, and meet their stream's policy, which is to close.
Hub::Room Hub::make_room(StreamLog& log, const Message& message, Bytes json) {
  const std::optional<Bytes> payload = payload_for(log, message, json);
  if (!payload) return Room::fits;
  const size_t frame_bytes = log.frame_bytes(payload->size());
  if (!log.bytes.has_room(frame_bytes)) log.bytes.trim();
  if (log.bytes.has_room(frame_bytes)) {
    // Whoever stood in the way does so no more: the next time may be about others, who had
    // their grace long since.
    lap_checks_.erase(&log);
    return Room::fits;
  }

  if (log.due() > 0) {
    if (log.waiting) walk_of(log.stream)->hurry();
    retry_at_ = shard_.now();
    return Room::wait;
  }
  const auto check = lap_checks_.find(&log);
  if (check != lap_checks_.end() && shard_.now() < check->second) {
    retry_at_ = std::min(retry_at_, check->second);
    return Room::wait;
  }

  if (lap(log, log.bytes.tail_needed(frame_bytes))) return Room::lapped;
  retry_at_ = std::min(retry_at_, lap_checks_[&log]);
  return Room::wait;
}

// Those who stand in the way of a new tail meet their policy, if they may be lapped by
// now. False: nobody may, and lap_checks_ says when to ask again. If true, the log may
// be gone.
bool Hub::lap(StreamLog& log, FrameLog::Cursor tail) {
  const Instant now = shard_.now();
  std::vector<ConnectionId> too_slow;
  bool moved = false;
  Instant check = kNever;
  log.subscribers.for_each([&](Subscription& subscription) {
    if (subscription.cursor >= tail) return;
    Connection& connection = subscription.connection;
    if (connection.holding()) {
      // Its 101 has not left, so it was promised nothing yet. It must not be waited for: the
      // acknowledgement that it waits for may lie behind this very message.
      log.bytes.move(subscription.cursor, log.bytes.head());
      subscription.cursor = log.bytes.head();
      moved = true;
      return;
    }
    if (connection.stalled() && subscription.policy() == LapPolicy::latest) {
      skip(subscription, std::max(tail, log.bytes.newest_frame()), DropReason::superseded);
      moved = true;
      return;
    }
    // Who is not stalled only waits for its turn.
    const Instant ripe = connection.stalled() ? connection.may_be_lapped_at() : now + milliseconds(1);
    if (ripe > now) {
      // Looked at more often than once a grace: what its kernel took early must not be
      // found late, and buy another whole one from then on.
      check = std::min({check, ripe, now + shard_.limits().lap_grace / 8 + milliseconds(1)});
    } else if (subscription.policy() == LapPolicy::close) {
      too_slow.push_back(connection.id());
    } else {
      skip(subscription, tail, DropReason::oldest);
      moved = true;
    }
  });
  if (too_slow.empty() && !moved) {
    lap_checks_[&log] = check;
    return false;
  }
  lap_checks_.erase(&log);  // those it was for are out of the way: the next time is another matter
  // The log may be gone after any of these.
  for (const ConnectionId id : too_slow) {
    if (Connection* connection = shard_.find(id)) connection->close_too_slow();
  }
  return true;
}

void Hub::forget_retry() {
  retry_at_ = kNever;
}

// --- The walk -----------------------------------------------------------------------

Instant Hub::walk_at() const {
  if (!walk_.empty()) return {};
  Instant at = kNever;
  for (const CoalescedWalk& walk : coalesced_) at = std::min(at, walk.due_at());
  return at;
}

bool Hub::hurry() {
  bool any = false;
  for (CoalescedWalk& walk : coalesced_) any = walk.hurry() || any;
  return any;
}

void Hub::walk(size_t budget) {
  for (CoalescedWalk& walk : coalesced_) walk.walk(shard_.sends(), shard_.stages(), shard_.now(), budget);
  while (budget > 0 && !walk_.empty()) {
    StreamLog& log = *walk_.front();
    const size_t budget_before = budget;
    while (budget > 0 && !log.subscribers.round_done()) {
      --budget;
      Subscription* const subscription = log.subscribers.step();
      if (subscription != nullptr && subscription->cursor != log.bytes.head()) {
        shard_.sends().add(subscription->connection);
      }
    }
    if (StageLatency* const stages = shard_.stages()) {
      stages->stepped(log, budget_before - budget, log.subscribers.round_done());
    }
    walk_.pop_front();
    if (!log.subscribers.round_done()) {
      // Behind the others: a stream that never falls silent never ends its round either.
      walk_.push_back(&log);
      return;
    }
    log.walking = false;
  }
}

}  // namespace ringcast
