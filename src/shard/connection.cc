// A connection's life: its beginning, its streams, its deadlines and its ends.
#include "shard/connection.h"

#include <algorithm>

#include "protocol/cable.h"
#include "shard/connection_phase.h"
#include "shard/shard.h"
#include "shard/tls_link.h"

namespace ringcast {

Connection::Connection(Shard& shard, int fd, uint64_t number, IpAddress peer,
                       std::shared_ptr<const TlsContext> tls)
    : lap_policy_(shard.limits().lap_policy), fd_(fd), shard_(shard), number_(number), peer_(peer) {
  if (tls) activity().tls = std::make_unique<TlsLink>(std::move(tls));
}

Connection::~Connection() {
  RC_ASSERT(subscriptions_ == nullptr);
  shard_.connection_timers().cancel(*this);
  if (address_counted_) shard_.context().addresses.remove(peer_);
  if (!activity_) return;
  if (tls() != nullptr && tls()->engine().handshake_done()) shard_.counters().tls_connections.subtract();
  shard_.counters().outbox_bytes.subtract(activity_->outbox_counted);
  shard_.counters().input_bytes.subtract(activity_->input_counted);
}

void Connection::start() {
  phase_ = std::make_unique<HttpPhase>(*this, shard_.admission_status());
  http()->transport_peer = peer_;
  http()->secure = tls() != nullptr;
  http()->request_since = heard_at_ = shard_.now();
  if (shard_.context().proxy_protocol && shard_.context().proxies.contains(peer_)) {
    http()->proxy = std::make_unique<ProxyHeaderParser>();
  }
  set_peer(peer_);
  arm_recv();
  schedule();
}

void Connection::completed(const Completion& completion) {
  switch (completion.operation) {
    case Operation::recv:
      received(completion);
      break;
    case Operation::poll_writable:
      poll_armed_ = false;
      if (state_ == State::terminating) break;
      // Also when the socket is broken: the send will say so.
      blocked_ = false;
      catch_up_with_latest();
      shard_.mark_dirty(*this);
      schedule();
      break;
    case Operation::close:
      close_completed_ = true;
      break;
    default:
      RC_ASSERT(false);
  }
  if (state_ == State::terminating) join();
}

// --- Streams --------------------------------------------------------------------------

void Connection::add_subscription(Subscription& subscription) {
  subscription.next = subscriptions_;
  subscriptions_ = &subscription;
}

void Connection::remove_subscription(Subscription& subscription) {
  // Nearly always the first: the newest, or the one after another when all of them end.
  Subscription** link = &subscriptions_;
  while (*link != &subscription) link = &(*link)->next;
  *link = subscription.next;
}

size_t Connection::subscription_count() const {
  size_t count = 0;
  for (const Subscription* subscription = subscriptions_; subscription != nullptr;
       subscription = subscription->next) {
    ++count;
  }
  return count;
}

Subscription* Connection::find_subscription(uint32_t owner, std::string_view stream) const {
  for (Subscription* subscription = subscriptions_; subscription != nullptr;
       subscription = subscription->next) {
    if (subscription->owner == owner && subscription->log.stream.name == stream) return subscription;
  }
  return nullptr;
}

void Connection::subscription_live(uint32_t owner) {
  if (Session* const session = cable()) session->subscription_live(owner);
  release_output_if_live();
}

Session* Connection::session() const {
  return state_ == State::open ? cable() : nullptr;
}

void Connection::end_subscriptions() {
  while (subscriptions_ != nullptr) shard_.hub().unsubscribe(*subscriptions_);
}

// --- Ends -----------------------------------------------------------------------------

void Connection::close(CloseCode code, std::string_view reason, EndReason why) {
  if (state_ != State::open) return;
  take_streams_into_outbox(0);
  append_close(open_outbox().data.bytes, code, reason);
  begin_closing(why);
}

// Lets go of all that waits for it, and says why in as few bytes as can be.
void Connection::shed(std::string_view disconnect, std::string_view reason, EndReason why, DropReason drop) {
  if (state_ != State::open) return;
  uint64_t frames = 0;
  for (Subscription* subscription = subscriptions_; subscription != nullptr;
       subscription = subscription->next) {
    frames += shard_.hub().skip(*subscription, subscription->log.bytes.head(), drop);
  }
  shard_.log().log(shard_.now(), LogLevel::info, to_string(why),
                   {{"connection", number_}, {"dropped_frames", frames}});
  drop_unbegun_output();
  if (cable() != nullptr) {
    std::string text;
    append_disconnect(text, disconnect, true);
    append_frame(open_outbox().data.bytes, Opcode::text, as_bytes(text));
  }
  close(CloseCode::try_again_later, reason, why);
}

void Connection::evict() {
  if (state_ == State::open) {
    shed("memory", "the server is short of memory", EndReason::memory, DropReason::evicted);
    // An unfinished message may be what was wanted back.
    peer_done_ = true;
    if (activity_) activity_->reader.reset();
    if (Impeded* const impeded = impediments()) impeded->held = {};
    count_input();
  } else {
    terminate(state_ == State::closing ? end_reason_ : EndReason::memory, true);
  }
}

void Connection::trim_backlog() {
  const size_t limit = shard_.limits().backlog_bytes;
  if (state_ != State::open || backlog_bytes() <= limit) return;
  // An equal part for each of those who may lose something.
  const size_t part = limit / 2 / std::max<size_t>(1, subscription_count());
  for (Subscription* subscription = subscriptions_; subscription != nullptr;
       subscription = subscription->next) {
    FrameLog& log = subscription->log.bytes;
    const auto behind = static_cast<size_t>(log.head() - subscription->cursor);
    if (subscription->policy() == LapPolicy::latest) {
      shard_.hub().skip(*subscription, std::max(subscription->cursor, log.newest_frame()),
                        DropReason::superseded);
    } else if (subscription->policy() == LapPolicy::drop_oldest && behind > part) {
      shard_.hub().skip(*subscription, log.advance(subscription->cursor, behind - part).cursor,
                        DropReason::oldest);
    }
  }
  if (backlog_bytes() > limit) close_too_slow();
}

size_t Connection::backlog_bytes() const {
  size_t bytes = output_bytes();
  for (const Subscription* subscription = subscriptions_; subscription != nullptr;
       subscription = subscription->next) {
    bytes += static_cast<size_t>(subscription->log.bytes.head() - subscription->cursor);
  }
  return bytes;
}

size_t Connection::input_bytes() const {
  const size_t of_request = http() ? http()->exchange.held_bytes() : 0;
  if (!activity_) return of_request;
  return of_request + (impediments() ? impediments()->held.capacity() : 0) +
         (tls() ? tls()->waiting.capacity() : 0) + (reader() ? reader()->held_bytes() : 0);
}

void Connection::count_input() {
  const auto bytes = static_cast<uint32_t>(std::min<size_t>(input_bytes(), UINT32_MAX));
  if (bytes == 0 && !activity_) return;
  uint32_t& counted = activity().input_counted;
  shard_.counters().input_bytes.add(uint64_t{bytes} - counted);  // unsigned: a difference either way
  counted = bytes;
  rest();
}

void Connection::drop_unbegun_output() {
  Outbox* const outbox = this->outbox();
  if (outbox == nullptr || outbox->data.empty()) return;
  shard_.counters().dropped_for(DropReason::connection_ended).add();
  outbox->data.clear();
}

void Connection::drain() {
  switch (state_) {
    case State::http:
      if (has_output() || http()->exchange.busy()) break;  // it gets its answer, with Connection: close
      terminate(EndReason::drain);
      break;
    case State::open:
      if (Session* const session = cable()) {
        session->disconnect("server_restart", true);
        end_reason_ = EndReason::drain;
      } else {
        close(CloseCode::going_away, "server restart", EndReason::drain);
      }
      break;
    case State::closing:
    case State::terminating:
      break;
  }
}

void Connection::disconnect_remotely(bool reconnect) {
  if (Session* const session = this->session())
    return session->disconnect("remote", reconnect, EndReason::remote);
  // Who may come back is told so in the way of raw sockets: by the code.
  close(reconnect ? CloseCode::service_restart : CloseCode::policy_violation, "remote", EndReason::remote);
}

// Our last bytes are queued: nothing more is broadcast to this peer.
void Connection::begin_closing(EndReason why) {
  end_reason_ = why;
  state_ = State::closing;
  holding_ = false;
  end_subscriptions();
  if (paused_) {
    // There is no more room to wait for: input is only searched for the peer's Close.
    shard_.look_after_settling(id());
  }
  shard_.mark_dirty(*this);
  schedule();
}

// Once everything is sent and the peer has nothing to say any more: FIN, and then its
// FIN. The server closes first, so that TIME_WAIT stays here (RFC 6455 7.1.1), but not
// with input unread, or the kernel sends RST and our Close may be lost.
void Connection::output_done() {
  if (state_ != State::closing || has_output() || batch_entry != kNotInBatch) return;
  // Counted from here: a peer that was too slow for its streams gets the time of a
  // write stall to read why it was closed.
  if (impeded().closing_until == kNever) {
    impeded().closing_until = shard_.now() + shard_.limits().close_timeout;
    schedule();
  }
  if (!peer_done_ && !fin_received_) return;
  if (!fin_sent_) {
    if (tls() && tls()->say_goodbye()) {
      shard_.mark_dirty(*this);
      return;  // and comes back when that has left
    }
    fin_sent_ = true;
    shard_.submit(Submission::shutdown(fd_, token_of(id())));
  }
  if (fin_received_) terminate(end_reason_);
}

void Connection::end_conversation(CloseCode code, std::string_view reason) {
  if (raw_open_) {
    raw_open_ = false;
    raw()->ended(code, reason);
  }
  if (Session* const session = cable()) session->ended();
}

void Connection::terminate(EndReason why, bool reset) {
  if (state_ == State::terminating) return;
  RC_ASSERT(batch_entry == kNotInBatch);
  const bool was_open = state_ == State::open;
  end_reason_ = why;
  state_ = State::terminating;
  end_subscriptions();
  end_conversation(CloseCode::abnormal, {});
  Counters& counters = shard_.counters();
  counters.ended_by(why).add();
  if (raw() != nullptr) counters.websockets.subtract();
  if (cable() != nullptr) counters.sessions.subtract();
  if (outbox() && was_open) counters.dropped_for(DropReason::connection_ended).add();
  shard_.connection_timers().cancel(*this);
  close_submitted_ = true;
  shard_.submit(Submission::close(fd_, token_of(id()), reset));
}

// The close completes last, so nothing of ours is with the kernel any more.
void Connection::join() {
  if (!close_completed_) return;
  RC_ASSERT(close_submitted_ && !recv_armed_ && !poll_armed_);
  shard_.release(*this);
}

// --- Time -----------------------------------------------------------------------------

void Connection::schedule() {
  if (state_ == State::terminating) return;
  const Limits& limits = shard_.limits();
  Instant due = kNever;
  switch (state_) {
    case State::http:
      if (http() == nullptr) break;
      // Absolute, so that a byte now and then buys nothing.
      due = http()->request_since + (http()->exchange.busy() || !http()->answered_before
                                         ? limits.handshake_timeout
                                         : limits.keep_alive_timeout);
      break;
    case State::open:
      due = std::min(keep_alive_due(), pong_due());
      if (const Session* const session = cable()) due = std::min(due, session->beat_due);
      break;
    case State::closing:
      if (const Impeded* const impeded = impediments()) due = impeded->closing_until;
      break;
    case State::terminating:
      break;
  }
  if (blocked_) due = std::min(due, impediments()->stalled_since + limits.write_stall);
  shard_.connection_timers().schedule(*this, due);
}

void Connection::expire() {
  const Instant now = shard_.now();
  const Limits& limits = shard_.limits();
  if (blocked_ && now >= impediments()->stalled_since + limits.write_stall) {
    terminate(state_ == State::closing ? end_reason_ : EndReason::write_stall, true);
    return;
  }
  switch (state_) {
    case State::http: {
      const bool idle = http()->answered_before && !http()->exchange.busy();
      if (now >= http()->request_since + (idle ? limits.keep_alive_timeout : limits.handshake_timeout)) {
        terminate(idle ? EndReason::idle_timeout : EndReason::handshake_timeout);
        return;
      }
      break;
    }
    case State::open:
      if (now >= pong_due() && paused_) {
        heard_at_ = now;  // it may have answered: we are not listening
      } else if (now >= pong_due()) {
        close(CloseCode::policy_violation, "no pong", EndReason::pong_timeout);
        return;
      }
      if (Session* const session = cable(); session != nullptr && now >= session->beat_due) beat(*session);
      if (now >= keep_alive_due()) keep_alive();
      break;
    case State::closing:
      if (impediments() && now >= impediments()->closing_until) {
        shard_.counters().close_timeouts.add();
        // Bytes it never took would only linger in the kernel.
        terminate(end_reason_, has_output());
        return;
      }
      break;
    case State::terminating:
      return;
  }
  schedule();
}

// Action Cable's ping: on time whatever waits in the streams, and never twice unsent.
void Connection::beat(Session& session) {
  const Instant now = shard_.now();
  Counters& counters = shard_.counters();
  if (now > session.beat_due + seconds(1)) counters.pings_late.add();
  session.beat_due = std::max(session.beat_due + shard_.limits().ping_interval, now);
  if (!session.welcomed()) return;  // nothing comes before the welcome
  if (outbox() != nullptr && outbox()->ping_queued) return;
  counters.pings.add();
  send_urgent(Opcode::text, shard_.ping_text());
  outbox()->ping_queued = true;
}

// A WebSocket ping to whom nothing was heard of for an interval. While the last one is not
// answered no other follows, but whether it is by now is looked at once an interval.
Instant Connection::keep_alive_due() const {
  const Duration interval = shard_.limits().raw_ping_interval;
  if (interval == Duration::zero()) return kNever;
  if (!awaits_pong_) return heard_at_ + interval;
  return heard_at_ + interval * ((shard_.now() - heard_at_) / interval + 1);
}

Instant Connection::pong_due() const {
  const Duration timeout = shard_.limits().pong_timeout;
  return awaits_pong_ && timeout > Duration::zero() ? heard_at_ + timeout : kNever;
}

void Connection::keep_alive() {
  awaits_pong_ = true;
  heard_at_ = shard_.now();
  send_urgent(Opcode::ping, {});
}

// --- What few of them have ------------------------------------------------------------

ConnectionActivity& Connection::activity() {
  if (!activity_) activity_ = shard_.activities().acquire();
  return *activity_;
}

void Connection::rest() {
  if (activity_ && activity_->over()) shard_.activities().release(std::move(activity_));
}

Connection::Impeded& Connection::impeded() {
  std::unique_ptr<Impeded>& impeded = activity().impeded;
  if (!impeded) impeded = std::make_unique<Impeded>();
  return *impeded;
}

void Connection::forget_impediments() {
  if (paused_ || stall_begun_ || state_ == State::closing) return;
  in_the_way_ = false;
  if (activity_) activity_->impeded.reset();
  rest();
}

}  // namespace ringcast
