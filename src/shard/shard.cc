#include "shard/shard.h"

#include <algorithm>
#include <cerrno>

#include "protocol/cable.h"

namespace ringcast {
namespace {

// What one turn takes from one lane: enough to fill a burst, not enough to make the
// sockets wait.
constexpr size_t kLaneBatchMax = 512;
// Subscribers served per turn before new messages are looked for: larger batches gain
// nothing (performance.md), smaller ones cost turns.
constexpr size_t kWalkBatch = 256;
// A listener waits so long for descriptors before it tries again.
constexpr Duration kAcceptPause = milliseconds(100);
constexpr Duration kDrainStep = milliseconds(20);
constexpr size_t kDrainPerStepMin = 64;
// How often a shard that is held back looks whether it still is.
constexpr Duration kHeldBackPause = milliseconds(1);
constexpr uint64_t kNumberBlock = 1024;
// A shard this far above the least loaded one hands accepted sockets over.
constexpr uint64_t kSkewMin = 16;

thread_local Shard* current_shard = nullptr;

// Tokens that name no connection have no generation.
constexpr Token kListenerToken{uint64_t{1} << 63};
constexpr bool names_connection(Token token) {
  return static_cast<uint32_t>(token.value) != 0;
}

struct CurrentScope {
  explicit CurrentScope(Shard* shard) : before(std::exchange(current_shard, shard)) {}
  ~CurrentScope() { current_shard = before; }
  Shard* const before;
};

}  // namespace

Shard::Shard(ServerContext& context, ShardIndex index, std::unique_ptr<Backend> backend,
             std::vector<int> listeners, const OriginPolicy& origins, uint64_t seed, Duration spin)
    : context_(context),
      index_(index),
      spin_(spin),
      backend_(std::move(backend)),
      prng_(seed),
      timers_(Instant{}),
      sends_(*this),
      origins_(origins),
      log_(context.logger),
      hub_(*this),
      inbox_(context.limits.broadcast_inbox_items),
      accept_deadline_(this, [](void* self) { static_cast<Shard*>(self)->arm_accept(); }),
      drain_deadline_(this, [](void* self) { static_cast<Shard*>(self)->drain_step(); }),
      report_deadline_(this, [](void* self) { static_cast<Shard*>(self)->report(); }) {
  for (const int fd : listeners) listeners_.push_back({fd});
  per_home_.resize(context_.mailboxes.shards());
  context_.mailboxes.bell(index_).attach(*backend_);
}

Shard::~Shard() {
  timers_.cancel(accept_deadline_);
  timers_.cancel(drain_deadline_);
  timers_.cancel(report_deadline_);
}

Shard* Shard::current() {
  return current_shard;
}

// --- The turn -------------------------------------------------------------------------

void Shard::turn() {
  const CurrentScope scope(this);

  // 1. One trip into the backend.
  completions_.clear();
  time_ = backend_->turn(submissions_, completions_, sleep_until());
  context_.mailboxes.bell(index_).awake();
  submissions_.clear();
  counters_.turns.add();
  if (!begun_) {
    begun_ = true;
    connect_refill_ = now();
    connect_tokens_millis_ = uint64_t{limits().connects_per_second} * 1000;
    arm_accept();
    timers_.schedule(report_deadline_, now() + seconds(1));
  }

  // 2. Settle what was sent, before anything may free its bytes.
  sends_.settle(completions_.short_sends);
  for (size_t i = 0; i < settled_.size(); ++i) {
    if (Connection* connection = find(settled_[i])) connection->after_settling();
  }
  settled_.clear();

  // 3. React.
  for (const Completion& completion : completions_.others) dispatch(completion);

  // 4. What other shards and other threads left.
  drain_inbox();
  drain_mail();
  if (!waiting_for_room_.empty() && hub_.can_publish()) {
    std::vector<SlotId> waiting = std::move(waiting_for_room_);
    waiting_for_room_.clear();
    for (const SlotId id : waiting) {
      if (Connection* connection = find(id)) connection->room_again();
    }
  }

  // 5. Timers.
  timers_.expire(now(), [](Timer& timer) { static_cast<Deadline&>(timer).expire(); });

  // 6. One send per connection.
  flush();
  hub_.ring_bells();
  end_if_over();
}

void Shard::run() {
  while (!ended()) turn();
}

// Something waits for another shard or for a slow reader. Nobody rings for that.
bool Shard::held_back() const {
  return requests_wait_ || hub_.retry_at() != kNever || hub_.deferring() || !waiting_for_room_.empty();
}

Instant Shard::sleep_until() {
  const Instant immediately{};
  if (!begun_ || mail_left_ || hub_.walking() || !dirty_.empty() || !settled_.empty()) return immediately;
  if (now() < spinning_until_ || sends_.awaited()) return immediately;

  Instant until = std::min(timers_.next_deadline(), hub_.retry_at());
  const bool held = held_back();
  if (held) until = std::min(until, now() + kHeldBackPause);
  Bell& bell = context_.mailboxes.bell(index_);
  bell.going_to_sleep();
  // The last look, after the fence: who pushed before it is seen here, who pushes
  // after it sees us asleep.
  const bool news =
      (inbox_.waiting() && inbox_messages_.empty()) || (!held && context_.mailboxes.waiting_for(index_)) ||
      (over_ && context_.shards_over.load(std::memory_order_acquire) == context_.mailboxes.shards());
  if (news) {
    bell.awake();
    return immediately;
  }
  counters_.sleeps.add();
  return until;
}

void Shard::dispatch(const Completion& completion) {
  if (spin_ > Duration::zero()) spinning_until_ = now() + spin_;
  if (names_connection(completion.token)) {
    // Nothing to give back for a stale one: the backend's buffers return by themselves.
    if (Connection* connection = connections_.find(connection_of(completion.token))) {
      connection->completed(completion);
    }
    return;
  }
  switch (completion.operation) {
    case Operation::accept:
      accepted(completion);
      break;
    case Operation::close:
      --plain_closes_;
      break;
    default:
      RC_ASSERT(false);
  }
}

// --- Accepting --------------------------------------------------------------------------

void Shard::arm_accept() {
  if (draining_ || stopping_) return;
  for (Listener& listener : listeners_) {
    if (listener.armed) continue;
    listener.armed = true;
    submit(Submission::accept(
        listener.fd, {kListenerToken.value | static_cast<uint64_t>(&listener - listeners_.data()) << 32}));
  }
}

void Shard::accepted(const Completion& completion) {
  const auto which = static_cast<size_t>((completion.token.value & ~kListenerToken.value) >> 32);
  RC_ASSERT(which < listeners_.size());
  if (!completion.more) listeners_[which].armed = false;
  if (completion.result >= 0) {
    counters_.accepted.add();
    const ShardIndex to = least_loaded();
    if (to == index_ || !hub_.hand_over(completion.result, to)) {
      adopt(completion.result);
    } else {
      counters_.handed_over.add();
    }
  } else if (completion.result != -ECANCELED) {
    counters_.accept_errors.add();
    const bool exhausted = completion.result == -EMFILE || completion.result == -ENFILE ||
                           completion.result == -ENOMEM || completion.result == -ENOBUFS;
    if (exhausted) {
      // Accepting again at once would only spin; a connection that ends makes room.
      counters_.accept_pauses.add();
      log_.log(now(), LogLevel::warn, "accept_paused", {{"errno", int64_t{-completion.result}}});
      timers_.schedule(accept_deadline_, now() + kAcceptPause);
      return;
    }
  }
  if (!accept_deadline_.armed()) arm_accept();
}

// The kernel spreads connections over listeners by hash: with few of them that is
// uneven, and a shard's speed is its subscribers.
ShardIndex Shard::least_loaded() const {
  ShardIndex best = index_;
  uint64_t least = counters_.connections.value();
  const uint64_t mine = least;
  for (const Shard* shard : context_.shards) {
    const uint64_t theirs = shard->counters_.connections.value();
    if (theirs >= least || shard->ended()) continue;
    least = theirs;
    best = shard->index_;
  }
  return mine > least + kSkewMin + least / 8 ? best : index_;
}

void Shard::adopt(int descriptor) {
  if (draining_ || stopping_) {
    // Accepted in the moment the listener closed: a reset tells it to go elsewhere.
    submit(Submission::close(descriptor, kListenerToken, true));
    ++plain_closes_;
    return;
  }
  if (limits().send_buffer_bytes > 0)
    set_send_buffer(descriptor, static_cast<uint32_t>(limits().send_buffer_bytes));
  if (limits().notsent_lowat_bytes > 0) {
    set_unsent_low_water(descriptor, static_cast<uint32_t>(limits().notsent_lowat_bytes));
  }
  const SlotId id =
      connections_.acquire(*this, descriptor, next_connection_number(), peer_address(descriptor));
  Connection& connection = connections_[id];
  if (limits().connections_per_address > 0) context_.addresses.add(connection.peer());
  counters_.connections.set(connections_.size());
  connection.start(id);
}

int Shard::admission_status(const IpAddress& peer) {
  const Limits& limits = this->limits();
  if (limits.connections_per_address > 0 && context_.addresses.count(peer) > limits.connections_per_address)
    return 429;
  if (limits.connections > 0) {
    uint64_t connections = 0;
    for (const Shard* shard : context_.shards) connections += shard->counters_.connections.value();
    if (connections > limits.connections) return 503;
  }
  if (limits.connects_per_second > 0) {
    // A token bucket per shard, each with its share: no shard asks another.
    const uint64_t share_millis = uint64_t{limits.connects_per_second} * 1000 / context_.mailboxes.shards();
    const auto elapsed_ms = std::chrono::duration_cast<milliseconds>(now() - connect_refill_).count();
    connect_refill_ += milliseconds(elapsed_ms);
    // At least one whole connect, or a share below one a second would never come to it.
    connect_tokens_millis_ =
        std::min(std::max<uint64_t>(share_millis, 1000),
                 connect_tokens_millis_ + share_millis * static_cast<uint64_t>(elapsed_ms) / 1000);
    if (connect_tokens_millis_ < 1000) return 503;
    connect_tokens_millis_ -= 1000;
  }
  return 0;
}

void Shard::release(Connection& connection) {
  if (limits().connections_per_address > 0) context_.addresses.remove(connection.peer());
  connections_.release(connection.id());
  counters_.connections.set(connections_.size());
  if (accept_deadline_.armed()) {
    // A descriptor is free again.
    timers_.cancel(accept_deadline_);
    arm_accept();
  }
}

uint64_t Shard::next_connection_number() {
  if (numbers_next_ == numbers_end_) {
    numbers_next_ = context_.connection_numbers.fetch_add(kNumberBlock, std::memory_order_relaxed) + 1;
    numbers_end_ = numbers_next_ + kNumberBlock;
  }
  return numbers_next_++;
}

// --- Mail -------------------------------------------------------------------------------

PublishStatus Shard::publish(std::string_view stream, PayloadKind kind, Bytes payload) {
  const PublishStatus checked = hub_.check(stream, kind, payload);
  if (checked != PublishStatus::ok) return checked;
  return hub_.publish(Message::create(stream, hash64(stream), kind, payload));
}

PublishStatus Shard::publish_all(std::span<const Publication> publications) {
  std::fill(per_home_.begin(), per_home_.end(), 0);
  for (const Publication& publication : publications) {
    const PublishStatus checked = hub_.check(publication.stream, publication.kind, publication.payload);
    if (checked != PublishStatus::ok) return checked;
    ++per_home_[home_of(hash64(publication.stream))];
  }
  if (!hub_.has_room_for(per_home_)) {
    counters_.dropped_for(DropReason::mailbox_full).add(publications.size());
    return PublishStatus::full;
  }
  for (const Publication& publication : publications) {
    const PublishStatus status = hub_.publish(Message::create(publication.stream, hash64(publication.stream),
                                                              publication.kind, publication.payload));
    RC_ASSERT(status == PublishStatus::ok);
  }
  return PublishStatus::ok;
}

bool Shard::publish_from_outside(MessageRef message) {
  if (!inbox_.publish(std::move(message))) return false;
  context_.mailboxes.bell(index_).ring();
  return true;
}

void Shard::publish_reserved(std::vector<MessageRef>& messages) {
  inbox_.publish_reserved(messages);
  context_.mailboxes.bell(index_).ring();
}

void Shard::post(Inbox::Task task) {
  inbox_.post(std::move(task));
  context_.mailboxes.bell(index_).ring();
}

void Shard::drain_inbox() {
  requests_wait_ = mail_left_ = false;
  if (inbox_.waiting()) {
    // Messages stay in the inbox, where they count against its bound, until those
    // taken before are gone.
    inbox_.take(inbox_messages_.empty() ? &inbox_messages_ : nullptr, tasks_);
    std::vector<Inbox::Task> tasks = std::move(tasks_);
    tasks_.clear();
    for (Inbox::Task& task : tasks) task(*this);
  }
  const size_t end = std::min(inbox_messages_.size(), inbox_taken_ + kLaneBatchMax);
  while (inbox_taken_ < end && hub_.take_publish(inbox_messages_[inbox_taken_])) ++inbox_taken_;
  if (inbox_taken_ == inbox_messages_.size()) {
    inbox_messages_.clear();
    inbox_taken_ = 0;
  } else {
    (inbox_taken_ == end ? mail_left_ : requests_wait_) = true;
  }
}

// Requests first: what is published here and delivered here then leaves in this turn.
void Shard::drain_mail() {
  const ShardIndex shards = context_.mailboxes.shards();
  // A different shard goes first every turn, so that none is served last for ever.
  first_lane_ = static_cast<ShardIndex>((first_lane_ + 1) % shards);
  hub_.push_deferred();
  for (ShardIndex i = 0; i < shards; ++i) drain_requests(static_cast<ShardIndex>((first_lane_ + i) % shards));
  hub_.forget_retry();
  for (ShardIndex i = 0; i < shards; ++i)
    drain_deliveries(static_cast<ShardIndex>((first_lane_ + i) % shards));
}

void Shard::drain_requests(ShardIndex from) {
  auto& lane = context_.mailboxes.requests(from, index_);
  for (size_t taken = 0; ShardRequest* const request = lane.front(); ++taken) {
    if (taken == kLaneBatchMax) {
      mail_left_ = true;
      return;
    }
    if (request->kind == ShardRequest::Kind::adopt) {
      adopt(request->descriptor);
    } else if (!hub_.take(*request, from)) {
      requests_wait_ = true;
      return;
    }
    lane.pop();
  }
}

void Shard::drain_deliveries(ShardIndex from) {
  auto& lane = context_.mailboxes.deliveries(from, index_);
  for (size_t taken = 0; Delivery* const delivery = lane.front(); ++taken) {
    if (taken == kLaneBatchMax) {
      mail_left_ = true;
      return;
    }
    if (!hub_.deliver(*delivery)) {
      counters_.held_lanes.add();
      return;
    }
    lane.pop();
  }
}

// --- Sending ----------------------------------------------------------------------------

void Shard::mark_dirty(Connection& connection) {
  if (connection.dirty) return;
  connection.dirty = true;
  dirty_.push_back(connection.id());
}

void Shard::flush() {
  // Marked again while being flushed: its turn is the next one.
  std::vector<SlotId> dirty = std::move(dirty_);
  dirty_ = std::move(dirty_spare_);
  dirty_.clear();
  for (const SlotId id : dirty) {
    if (Connection* connection = find(id)) {
      connection->dirty = false;
      sends_.add(*connection);
    }
  }
  dirty_spare_ = std::move(dirty);
  hub_.walk(kWalkBatch);
}

Bytes Shard::ping_text() {
  const int64_t second = unix_ms() / 1000;
  if (second != ping_second_) {
    ping_second_ = second;
    ping_text_.clear();
    append_ping(ping_text_, second);
  }
  return as_bytes(ping_text_);
}

void Shard::note_refusal(const Connection& connection, int status, std::string_view why) {
  if (!logger().enabled(LogLevel::info)) return;
  const std::string peer = connection.peer().to_string();
  log_.log(now(), LogLevel::info, "request_refused",
           {{"peer", std::string_view(peer)}, {"status", int64_t{status}}, {"why", why}});
}

// Once a second: what is cheaper looked up now and then than counted all the time.
void Shard::report() {
  log_.report(now());
  counters_.operations_in_flight.set(backend_->operations_in_flight());
  counters_.buffers_lent.set(backend_->buffers_lent());
  counters_.log_bytes.set(hub_.chunks().held_bytes());
  timers_.schedule(report_deadline_, now() + seconds(1));
}

// --- Ends -------------------------------------------------------------------------------

void Shard::drain(Duration within) {
  if (draining_ || stopping_) return;
  draining_ = true;
  drain_end_ = now() + within;
  // Everybody is told within the first half, so that the second is for their answers.
  const auto steps = static_cast<size_t>(std::max<int64_t>(1, within / 2 / kDrainStep));
  drain_per_step_ = std::max(kDrainPerStepMin, connections_.size() / steps + 1);
  connections_.for_each([&](SlotId id, Connection&) { drain_order_.push_back(id); });
  close_listeners();
  drain_step();
}

void Shard::drain_step() {
  if (now() >= drain_end_) {
    stop();
    return;
  }
  const size_t end = std::min(drain_order_.size(), drained_ + drain_per_step_);
  for (; drained_ < end; ++drained_) {
    if (Connection* connection = find(drain_order_[drained_])) connection->drain();
  }
  timers_.schedule(drain_deadline_, std::min(drain_end_, now() + kDrainStep));
}

void Shard::stop() {
  if (stopping_) return;
  stopping_ = true;
  close_listeners();
  connections_.for_each([](SlotId, Connection& connection) { connection.terminate(EndReason::drain, true); });
}

void Shard::close_listeners() {
  if (listeners_closed_) return;
  listeners_closed_ = true;
  timers_.cancel(accept_deadline_);
  for (const Listener& listener : listeners_) {
    submit(Submission::close(listener.fd, kListenerToken));
    ++plain_closes_;
  }
}

void Shard::end_if_over() {
  if (!draining_ && !stopping_) return;
  const ShardIndex shards = context_.mailboxes.shards();
  if (!over_) {
    if (!connections_.empty() || plain_closes_ > 0 || !submissions_.empty()) return;
    over_ = true;
    inbox_.close();
    if (context_.shards_over.fetch_add(1, std::memory_order_acq_rel) + 1 == shards) {
      for (ShardIndex shard = 0; shard < shards; ++shard) context_.mailboxes.bell(shard).ring();
    }
  }
  if (context_.shards_over.load(std::memory_order_acquire) == shards)
    ended_.store(true, std::memory_order_release);
}

}  // namespace ringcast
