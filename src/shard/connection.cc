// A connection's life: its beginning, its streams, its deadlines and its ends.
#include "shard/connection.h"

#include <algorithm>

#include "protocol/cable.h"
#include "shard/http_exchange.h"
#include "shard/raw_socket.h"
#include "shard/session.h"
#include "shard/shard.h"
#include "shard/tls_link.h"

namespace ringcast {

Connection::Connection(Shard& shard, int fd, uint64_t number, IpAddress peer,
                       std::shared_ptr<const TlsContext> tls)
    : shard_(shard),
      fd_(fd),
      number_(number),
      transport_peer_(peer),
      peer_(peer),
      secure_(tls != nullptr),
      lap_policy_(shard.limits().lap_policy),
      tls_(tls ? std::make_unique<TlsLink>(std::move(tls)) : nullptr),
      deadline_(this, [](void* self) { static_cast<Connection*>(self)->expired(); }) {}

Connection::~Connection() {
  RC_ASSERT(subscriptions_ == nullptr);
  shard_.timers().cancel(deadline_);
  if (address_counted_) shard_.context().addresses.remove(peer_);
  if (tls_ && tls_->engine().handshake_done()) shard_.counters().tls_connections.subtract();
  shard_.counters().outbox_bytes.subtract(outbox_counted_);
  shard_.counters().input_bytes.subtract(input_counted_);
}

void Connection::start(ConnectionId id) {
  id_ = id;
  request_since_ = last_received_ = shard_.now();
  if (shard_.context().proxy_protocol && shard_.context().proxies.contains(peer_)) {
    proxy_ = std::make_unique<ProxyHeaderParser>();
  }
  set_peer(peer_);
  http_ = std::make_unique<HttpExchange>(*this, shard_.admission_status());
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
  if (subscriptions_ != nullptr) subscriptions_->previous = &subscription;
  subscriptions_ = &subscription;
  ++subscription_count_;
}

void Connection::remove_subscription(Subscription& subscription) {
  (subscription.previous == nullptr ? subscriptions_ : subscription.previous->next) = subscription.next;
  if (subscription.next != nullptr) subscription.next->previous = subscription.previous;
  --subscription_count_;
}

Subscription* Connection::find_subscription(uint32_t owner, std::string_view stream) const {
  for (Subscription* subscription = subscriptions_; subscription != nullptr;
       subscription = subscription->next) {
    if (subscription->owner == owner && subscription->log.stream.name == stream) return subscription;
  }
  return nullptr;
}

void Connection::subscription_live(Subscription& subscription) {
  if (session_) session_->subscription_live(subscription.owner);
  release_output_if_live();
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
  if (session_) {
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
    reader_.reset();
    held_ = {};
    count_input();
  } else {
    terminate(state_ == State::closing ? end_reason_ : EndReason::memory, true);
  }
}

void Connection::trim_backlog() {
  const size_t limit = shard_.limits().backlog_bytes;
  if (state_ != State::open || backlog_bytes() <= limit) return;
  // An equal part for each of those who may lose something.
  const size_t part = limit / 2 / std::max<size_t>(1, subscription_count_);
  for (Subscription* subscription = subscriptions_; subscription != nullptr;
       subscription = subscription->next) {
    FrameLog& log = subscription->log.bytes;
    const auto behind = static_cast<size_t>(log.head() - subscription->cursor);
    if (subscription->policy == LapPolicy::latest) {
      shard_.hub().skip(*subscription, std::max(subscription->cursor, log.newest_frame()),
                        DropReason::superseded);
    } else if (subscription->policy == LapPolicy::drop_oldest && behind > part) {
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
  return held_.capacity() + (tls_ ? tls_->waiting.capacity() : 0) + (reader_ ? reader_->held_bytes() : 0) +
         (http_ ? http_->held_bytes() : 0);
}

void Connection::count_input() {
  const size_t bytes = input_bytes();
  shard_.counters().input_bytes.add(bytes - input_counted_);  // unsigned: a difference either way
  input_counted_ = bytes;
}

void Connection::drop_unbegun_output() {
  if (!outbox_ || outbox_->data.empty()) return;
  shard_.counters().dropped_for(DropReason::connection_ended).add();
  outbox_->data.clear();
}

void Connection::drain() {
  switch (state_) {
    case State::http:
      if (has_output() || http_->busy()) break;  // it gets its answer, with Connection: close
      terminate(EndReason::drain);
      break;
    case State::open:
      if (session_) {
        session_->disconnect("server_restart", true);
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
  if (has_session()) return session_->disconnect("remote", reconnect, EndReason::remote);
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
    shard_.look_after_settling(id_);
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
  if (closing_until_ == kNever) {
    closing_until_ = shard_.now() + shard_.limits().close_timeout;
    schedule();
  }
  if (!peer_done_ && !fin_received_) return;
  if (!fin_sent_) {
    if (tls_ && tls_->say_goodbye()) {
      shard_.mark_dirty(*this);
      return;  // and comes back when that has left
    }
    fin_sent_ = true;
    shard_.submit(Submission::shutdown(fd_, token_of(id_)));
  }
  if (fin_received_) terminate(end_reason_);
}

void Connection::end_conversation(CloseCode code, std::string_view reason) {
  if (raw_) raw_->ended(code, reason);
  if (session_) session_->ended();
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
  if (raw_) counters.websockets.subtract();
  if (session_) counters.sessions.subtract();
  if (outbox_ && was_open) counters.dropped_for(DropReason::connection_ended).add();
  shard_.timers().cancel(deadline_);
  close_submitted_ = true;
  shard_.submit(Submission::close(fd_, token_of(id_), reset));
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
      if (!http_) break;
      // Absolute, so that a byte now and then buys nothing.
      due = request_since_ +
            (http_->busy() || !answered_before_ ? limits.handshake_timeout : limits.keep_alive_timeout);
      break;
    case State::open:
      due = std::min({keep_alive_due_, pong_due_, beat_due_});
      break;
    case State::closing:
      due = closing_until_;
      break;
    case State::terminating:
      break;
  }
  if (blocked_) due = std::min(due, stalled_since_ + limits.write_stall);
  shard_.timers().schedule(deadline_, due);
}

void Connection::expired() {
  const Instant now = shard_.now();
  const Limits& limits = shard_.limits();
  if (blocked_ && now >= stalled_since_ + limits.write_stall) {
    terminate(state_ == State::closing ? end_reason_ : EndReason::write_stall, true);
    return;
  }
  switch (state_) {
    case State::http: {
      const bool idle = answered_before_ && !http_->busy();
      if (now >= request_since_ + (idle ? limits.keep_alive_timeout : limits.handshake_timeout)) {
        terminate(idle ? EndReason::idle_timeout : EndReason::handshake_timeout);
        return;
      }
      break;
    }
    case State::open:
      if (now >= pong_due_ && paused_) {
        pong_due_ = now + limits.pong_timeout;  // it may have answered: we are not listening
      } else if (now >= pong_due_) {
        close(CloseCode::policy_violation, "no pong", EndReason::pong_timeout);
        return;
      }
      if (now >= beat_due_) beat();
      if (now >= keep_alive_due_) keep_alive();
      break;
    case State::closing:
      if (now >= closing_until_) {
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
void Connection::beat() {
  const Instant now = shard_.now();
  Counters& counters = shard_.counters();
  if (now > beat_due_ + seconds(1)) counters.pings_late.add();
  beat_due_ = std::max(beat_due_ + shard_.limits().ping_interval, now);
  if (!session_->welcomed()) return;  // nothing comes before the welcome
  if (outbox_ && outbox_->ping_queued) return;
  counters.pings.add();
  send_urgent(Opcode::text, shard_.ping_text());
  outbox_->ping_queued = true;
}

void Connection::keep_alive() {
  const Limits& limits = shard_.limits();
  const Instant now = shard_.now();
  if (last_received_ + limits.raw_ping_interval > now) {
    keep_alive_due_ = last_received_ + limits.raw_ping_interval;
    return;
  }
  keep_alive_due_ = now + limits.raw_ping_interval;
  if (awaits_pong_) return;
  awaits_pong_ = true;
  if (limits.pong_timeout > Duration::zero()) pong_due_ = now + limits.pong_timeout;
  send_urgent(Opcode::ping, {});
}

}  // namespace ringcast
