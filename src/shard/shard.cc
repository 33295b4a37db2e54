// A shard's turn: its order, its sleep, its sends and its end.
#include "shard/shard.h"

#include <algorithm>
#include <cerrno>

#include "protocol/cable.h"

namespace ringcast {
namespace {

// Subscribers served per turn before new messages are looked for: larger batches gain
// nothing, smaller ones cost turns.
constexpr size_t kWalkBatch = 256;
constexpr Duration kDrainStep = milliseconds(20);
constexpr size_t kDrainPerStepMin = 64;
// How often a shard that is held back looks whether it still is.
constexpr Duration kHeldBackPause = milliseconds(1);

thread_local Shard* current_shard = nullptr;

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
      stages_(context.stage_clock ? std::make_unique<StageLatency>(context.stage_clock) : nullptr),
      prng_(seed),
      timers_(Instant{}),
      connection_timers_(Instant{}),
      sends_(*this),
      origins_(origins),
      log_(context.logger),
      hub_(*this),
      inbox_(context.limits.broadcast_inbox_items),
      accept_deadline_(this, [](void* self) { static_cast<Shard*>(self)->arm_accept(); }),
      drain_deadline_(this, [](void* self) { static_cast<Shard*>(self)->drain_step(); }),
      reconnect_deadline_(this, [](void* self) { static_cast<Shard*>(self)->reconnect_step(); }),
      report_deadline_(this, [](void* self) { static_cast<Shard*>(self)->report(); }),
      watch_deadline_(this, [](void* self) { static_cast<Shard*>(self)->watch(); }) {
  for (const int fd : listeners) listeners_.push_back({fd});
  per_home_.resize(context_.mailboxes.shards());
  context_.mailboxes.bell(index_).attach(*backend_);
}

Shard::~Shard() {
  timers_.cancel(accept_deadline_);
  timers_.cancel(drain_deadline_);
  timers_.cancel(reconnect_deadline_);
  timers_.cancel(report_deadline_);
  timers_.cancel(watch_deadline_);
}

Shard* Shard::current() {
  return current_shard;
}

// --- The turn -------------------------------------------------------------------------

void Shard::turn() {
  const CurrentScope scope(this);

  // 1. One trip into the backend.
  completions_.clear();
  if (stages_) stages_->submitting();
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
    if (limits().memory_bytes > 0) watch();
  }

  // 2. Settle what was sent, before anything may free its bytes.
  sends_.settle(completions_.short_sends);
  for (size_t i = 0; i < settled_.size(); ++i) {
    if (Connection* connection = find(settled_[i])) connection->after_settling();
  }
  settled_.clear();

  // 3. React.
  shake_waiting_hands();
  for (const Completion& completion : completions_.others) dispatch(completion);

  // 4. What other shards and other threads left.
  drain_inbox();
  drain_publish_rings();
  drain_mail();
  if (!waiting_for_room_.empty() && hub_.can_publish()) {
    std::vector<SlotId> waiting = std::move(waiting_for_room_);
    waiting_for_room_.clear();
    for (const SlotId id : waiting) {
      if (Connection* connection = find(id)) connection->room_again();
    }
  }

  // 5. Timers.
  connection_timers_.expire(now(), [](Timer& timer) { static_cast<Connection&>(timer).expire(); });
  timers_.expire(now(), [](Timer& timer) { static_cast<Deadline&>(timer).expire(); });

  // 6. One send per connection.
  flush();
  hub_.ring_bells();
  end_if_over();

  // 7. What callbacks were lent for the turn.
  identifiers_.turn_ended();
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
  const Instant walk_at = hub_.walk_at();
  if (!begun_ || mail_left_ || walk_at <= now() || !dirty_.empty() || !settled_.empty() ||
      !waiting_for_handshake_.empty()) {
    return immediately;
  }
  if (now() < spinning_until_ || sends_.awaited()) return immediately;

  Instant until =
      std::min({connection_timers_.next_deadline(), timers_.next_deadline(), hub_.retry_at(), walk_at});
  const bool held = held_back();
  if (held) until = std::min(until, now() + kHeldBackPause);
  Bell& bell = context_.mailboxes.bell(index_);
  bell.going_to_sleep();
  // The last look, after the fence: who pushed before it is seen here, who pushes
  // after it sees us asleep.
  const bool news =
      (inbox_.waiting() && inbox_messages_.empty()) || (!held && context_.mailboxes.waiting_for(index_)) ||
      (!held && rings_have_news()) ||
      (over_ && context_.shards_over.load(std::memory_order_acquire) == context_.mailboxes.shards());
  if (news) {
    bell.awake();
    return immediately;
  }
  counters_.sleeps.add();
  return until;
}

void Shard::dispatch(const Completion& completion) {
  stay_awake();
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
  counters_.queue_overflows.set(backend_->queue_overflows());
  counters_.log_bytes.set(hub_.chunks().held_bytes());
  if (index_ == 0 && tls_ && tls_->ticket_keys().rotation_due(now())) context_.rotate_ticket_keys();
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

void Shard::ask_to_reconnect(Duration within) {
  if (draining_ || stopping_) return;
  connections_.for_each([&](SlotId id, Connection& connection) {
    if (connection.has_session()) to_reconnect_.push_back(id);
  });
  const auto steps = static_cast<size_t>(std::max<int64_t>(1, within / kDrainStep));
  reconnect_per_step_ = to_reconnect_.size() / steps + 1;
  reconnect_step();
}

void Shard::reconnect_step() {
  for (size_t i = 0; i < reconnect_per_step_ && !to_reconnect_.empty(); ++i) {
    Connection* const connection = find(to_reconnect_.back());
    to_reconnect_.pop_back();
    if (connection != nullptr && connection->has_session()) connection->drain();
  }
  if (!to_reconnect_.empty()) timers_.schedule(reconnect_deadline_, now() + kDrainStep);
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
  for (size_t index = 0; index < listeners_.size(); ++index) {
    submit(Submission::close(listeners_[index].fd, token_of_listener(index)));
    ++plain_closes_;
  }
}

void Shard::end_if_over() {
  if (!draining_ && !stopping_) return;
  const ShardIndex shards = context_.mailboxes.shards();
  if (!over_) {
    if (!connections_.empty() || plain_closes_ > 0 || !submissions_.empty()) return;
    over_ = true;
    close_entrances();
    if (context_.shards_over.fetch_add(1, std::memory_order_acq_rel) + 1 == shards) {
      for (ShardIndex shard = 0; shard < shards; ++shard) context_.mailboxes.bell(shard).ring();
    }
  }
  if (context_.shards_over.load(std::memory_order_acquire) != shards) return;
  // What the engine has had no room for until now was accepted, and goes nowhere.
  for (const auto& ring : publish_rings_) {
    while (MessageRef* const message = ring->front(context_.message_bytes)) {
      *message = {};
      counters_.dropped_for(DropReason::mailbox_full).add();
    }
  }
  ended_.store(true, std::memory_order_release);
}

}  // namespace ringcast
