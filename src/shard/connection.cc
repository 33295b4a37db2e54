#include "shard/connection.h"

#include <algorithm>
#include <cerrno>

#include "protocol/cable.h"
#include "shard/http_exchange.h"
#include "shard/raw_socket.h"
#include "shard/session.h"
#include "shard/shard.h"

namespace ringcast {

Connection::Connection(Shard& shard, int fd, uint64_t number, IpAddress peer)
    : shard_(shard), fd_(fd), number_(number), peer_(peer), deadline_(this, [](void* self) {
        static_cast<Connection*>(self)->expired();
      }) {}

Connection::~Connection() {
  RC_ASSERT(subscriptions_ == nullptr);
  shard_.timers().cancel(deadline_);
  if (outbox_) shard_.counters().outbox_bytes.subtract(outbox_counted_);
}

void Connection::start(ConnectionId id) {
  id_ = id;
  request_since_ = last_received_ = shard_.now();
  http_ = std::make_unique<HttpExchange>(*this, shard_.admission_status(peer_));
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

// --- Input --------------------------------------------------------------------------

void Connection::arm_recv() {
  if (recv_armed_ || fin_received_) return;
  shard_.submit(Submission::recv(fd_, token_of(id_)));
  recv_armed_ = true;
}

void Connection::received(const Completion& completion) {
  recv_armed_ = completion.more;
  if (!completion.more) recv_cancelled_ = false;
  if (state_ == State::terminating) return;

  if (completion.result > 0) {
    shard_.counters().received_bytes.add(static_cast<uint64_t>(completion.result));
    last_received_ = shard_.now();
    awaits_pong_ = false;
    pong_due_ = kNever;
    if (paused_) {
      held_.insert(held_.end(), completion.bytes.begin(), completion.bytes.end());
    } else {
      process(completion.bytes);
    }
  } else if (completion.result == 0) {
    fin_received_ = true;
    // What came before the FIN is heard first.
    if (!paused_) peer_finished();
  } else if (completion.result != -ECANCELED && completion.result != -ENOBUFS &&
             completion.result != -EAGAIN && completion.result != -EINTR && completion.result != -ENOMEM) {
    terminate(state_ == State::closing ? end_reason_ : EndReason::peer_vanished);
  }
  if (state_ != State::terminating && !paused_) arm_recv();
}

void Connection::process(MutableBytes input) {
  RC_ASSERT(!processing_);
  processing_ = true;
  for (bool more = true; more;) {
    switch (state_) {
      case State::http:
        more = process_http(input);
        break;
      case State::open:
        more = process_websocket(input);
        break;
      case State::closing:
        more = reader_ && !peer_done_ && process_websocket(input);
        break;
      case State::terminating:
        more = false;
        break;
    }
  }
  processing_ = false;
}

bool Connection::process_http(MutableBytes& input) {
  if (input.empty()) return false;
  // Pipelined requests are answered one at a time: the next one is not looked at
  // before the answer to the last has left.
  if (must_pause()) {
    pause(input);
    return false;
  }
  const bool was_busy = http_->busy();
  const HttpExchange::Outcome outcome = http_->process(input);
  if (!was_busy && answered_before_) request_since_ = shard_.now();
  switch (outcome) {
    case HttpExchange::Outcome::need_more:
      break;
    case HttpExchange::Outcome::answered:
      request_since_ = shard_.now();
      answered_before_ = true;
      break;
    case HttpExchange::Outcome::closing:
      peer_done_ = true;
      begin_closing(http_->end_reason());
      break;
    case HttpExchange::Outcome::upgraded:
      open_conversation();
      break;
  }
  if (outbox_) shard_.mark_dirty(*this);
  schedule();
  return outcome == HttpExchange::Outcome::answered || outcome == HttpExchange::Outcome::upgraded;
}

void Connection::open_conversation() {
  // The request outlives the phase: open() still reads it.
  const std::unique_ptr<HttpExchange> http = std::move(http_);
  const Route& route = http->route();
  const Exchange exchange = http->exchange();
  const Limits& limits = shard_.limits();
  reader_ = std::make_unique<WebSocketReader>(route.message_bytes != 0 ? route.message_bytes
                                                                       : limits.message_bytes);
  state_ = State::open;
  holding_ = true;
  if (limits.raw_ping_interval > Duration::zero()) keep_alive_due_ = shard_.now() + limits.raw_ping_interval;
  if (route.kind == Route::Kind::cable) {
    // Spread, so that a storm of reconnects does not become a storm of pings.
    const auto interval = limits.ping_interval.count();
    beat_due_ =
        shard_.now() +
        Duration(interval / 2 + static_cast<int64_t>(shard_.random() % static_cast<uint64_t>(interval)));
    session_ = std::make_unique<Session>(*this, route);
    shard_.counters().sessions.add();
    session_->open(exchange);
  } else {
    raw_ = std::make_unique<RawSocket>(*this, route, http->take_parameters(),
                                       std::string(http->request().query()));
    shard_.counters().websockets.add();
    raw_->open({.shard = exchange.shard,
                .request = exchange.request,
                .parameters = raw_->parameters(),
                .body = {},
                .peer = peer_,
                .connection_number = number_});
  }
  release_output_if_live();
}

void Connection::release_output_if_live() {
  if (!holding_) return;
  for (const Subscription* subscription = subscriptions_; subscription != nullptr;
       subscription = subscription->next) {
    // A session says itself what it waits for, by withholding the confirmation.
    if (raw_ && !subscription->log.stream.live) return;
  }
  holding_ = false;
  shard_.mark_dirty(*this);
  maybe_resume();
}

bool Connection::process_websocket(MutableBytes& input) {
  if (state_ == State::open && !(holding_ && input.empty()) && must_pause()) {
    pause(input);
    return false;
  }
  const WebSocketReader::Event event = reader_->next(input);
  if (event.kind == WebSocketReader::Event::Kind::need_more) return false;
  handle(event);
  return true;
}

void Connection::handle(const WebSocketReader::Event& event) {
  using Kind = WebSocketReader::Event::Kind;
  switch (event.kind) {
    case Kind::text:
    case Kind::binary: {
      if (state_ != State::open) break;  // after our Close only the peer's matters
      shard_.counters().messages_received.add();
      const Opcode opcode = event.kind == Kind::text ? Opcode::text : Opcode::binary;
      if (raw_) {
        raw_->message(opcode, event.payload);
      } else {
        session_->message(opcode, event.payload);
      }
      break;
    }
    case Kind::ping:
      if (state_ == State::open) send_urgent(Opcode::pong, event.payload);
      break;
    case Kind::pong:
      break;
    case Kind::close:
      peer_closed(event.code, as_text(event.payload));
      break;
    case Kind::error:
      fail(event.code, event.problem);
      break;
    case Kind::need_more:
      break;
  }
}

void Connection::peer_closed(CloseCode code, std::string_view reason) {
  peer_done_ = true;
  if (state_ == State::open) {
    // Echoed as it came; an empty body is answered with 1000.
    std::vector<std::byte> frame;
    append_close(frame, code == CloseCode::none ? CloseCode::normal : code, reason);
    auto& data = open_outbox().data.bytes;
    data.insert(data.end(), frame.begin(), frame.end());
    begin_closing(EndReason::peer_closed);
  }
  end_conversation(code == CloseCode::none ? CloseCode::no_status : code, reason);
  if (state_ == State::closing) output_done();
}

void Connection::fail(CloseCode code, std::string_view problem) {
  peer_done_ = true;
  if (state_ != State::open) {
    output_done();
    return;
  }
  EndReason why = EndReason::protocol_error;
  if (code == CloseCode::message_too_big) why = EndReason::too_big;
  if (code == CloseCode::invalid_payload) why = EndReason::invalid_data;
  shard_.log().log(shard_.now(), LogLevel::info, "connection_failed",
                   {{"connection", number_}, {"code", static_cast<uint64_t>(code)}, {"problem", problem}});
  if (raw_) raw_->protocol_error(problem);
  if (state_ == State::open) close(code, problem, why);
}

void Connection::peer_finished() {
  switch (state_) {
    case State::http:
      // A half-closed client still gets the answer it waits for.
      if (outbox_) {
        peer_done_ = true;
        begin_closing(EndReason::peer_closed);
      } else {
        terminate(EndReason::peer_closed);
      }
      break;
    case State::open:
      // No Close came, but it may still read what it asked for.
      peer_done_ = true;
      if (outbox_) {
        begin_closing(EndReason::peer_vanished);
      } else {
        terminate(EndReason::peer_vanished);
      }
      break;
    case State::closing:
      peer_done_ = true;
      output_done();
      break;
    case State::terminating:
      break;
  }
}

// --- Flow control ---------------------------------------------------------------------

bool Connection::must_pause() {
  if (outbox_) {
    if (state_ == State::http) return !outbox_->empty();
    if (outbox_->size() > shard_.limits().outbox_bytes) return true;
  }
  if (state_ != State::open) return false;
  if (holding_) return true;  // nothing is heard before the 101 has left
  if (session_ && session_->congested()) return true;
  if (shard_.hub().can_publish()) return false;
  if (!waits_for_room_) {
    waits_for_room_ = true;
    shard_.wait_for_room(id_);
  }
  return true;
}

void Connection::pause(MutableBytes rest) {
  RC_ASSERT(!paused_);
  paused_ = true;
  held_.assign(rest.begin(), rest.end());
  if (recv_armed_ && !recv_cancelled_) {
    recv_cancelled_ = true;
    shard_.submit(Submission::cancel(fd_, token_of(id_)));
  }
}

void Connection::room_again() {
  waits_for_room_ = false;
  maybe_resume();
}

void Connection::maybe_resume() {
  if (!paused_ || processing_ || state_ == State::terminating || must_pause()) return;
  paused_ = false;
  std::vector<std::byte> held = std::move(held_);
  held_ = {};
  process(held);
  if (paused_ || state_ == State::terminating) return;
  if (fin_received_) {
    peer_finished();
  } else {
    arm_recv();
  }
}

// --- Output ---------------------------------------------------------------------------

Outbox& Connection::open_outbox() {
  if (!outbox_) outbox_ = shard_.hub().outboxes().acquire();
  return *outbox_;
}

std::vector<std::byte>& Connection::http_output() {
  RC_ASSERT(state_ == State::http);
  return open_outbox().urgent.bytes;
}

void Connection::count_outbox() {
  const size_t size = outbox_ ? outbox_->size() : 0;
  shard_.counters().outbox_bytes.add(size - outbox_counted_);  // unsigned: a difference either way
  outbox_counted_ = size;
}

void Connection::send_message(Opcode opcode, Bytes payload, uint32_t owner) {
  if (state_ != State::open) return;
  if (outbox_ && outbox_->size() > shard_.limits().outbox_bytes && blocked_) {
    shard_.counters().dropped_for(DropReason::connection_ended).add();
    close_too_slow();
    return;
  }
  take_streams_into_outbox(owner);
  append_frame(open_outbox().data.bytes, opcode, payload);
  shard_.mark_dirty(*this);
}

void Connection::send_reply(Bytes text) {
  if (state_ != State::open) return;
  append_frame(open_outbox().data.bytes, Opcode::text, text);
  shard_.mark_dirty(*this);
}

void Connection::send_urgent(Opcode opcode, Bytes payload) {
  if (state_ != State::open) return;
  append_frame(open_outbox().urgent.bytes, opcode, payload);
  shard_.mark_dirty(*this);
}

// What was broadcast before a message of the connection's own goes before it: it is
// copied, which costs only those who are sent something of their own.
void Connection::take_streams_into_outbox(uint32_t owner) {
  RC_ASSERT(batch_entry == kNotInBatch);
  std::vector<iovec> parts;
  for (Subscription* subscription = subscriptions_; subscription != nullptr;
       subscription = subscription->next) {
    if (owner != 0 && subscription->owner != owner) continue;
    FrameLog& log = subscription->log.bytes;
    if (subscription->cursor == log.head()) continue;
    parts.clear();
    log.gather(subscription->cursor, parts);
    log.move(subscription->cursor, log.head());
    subscription->cursor = log.head();
    auto& data = open_outbox().data.bytes;
    for (const iovec& part : parts) {
      const auto* from = static_cast<const std::byte*>(part.iov_base);
      data.insert(data.end(), from, from + part.iov_len);
    }
  }
}

void Connection::prepend_rest(Bytes rest) {
  open_outbox().begin_with(rest);
}

void Connection::send_settled(size_t bytes, bool took_all) {
  if (outbox_ && outbox_->empty()) shard_.hub().outboxes().release(std::move(outbox_));
  count_outbox();
  if (took_all) {
    stall_begun_ = false;
  } else {
    wait_for_writability(bytes > 0);
  }
  if (paused_ || state_ == State::closing || shard_.draining()) shard_.look_after_settling(id_);
}

void Connection::wait_for_writability(bool progress) {
  if (!stall_begun_) shard_.counters().stalls.add();
  if (!stall_begun_ || progress) stalled_since_ = shard_.now();
  stall_begun_ = true;
  blocked_ = true;
  if (!poll_armed_) {
    poll_armed_ = true;
    shard_.submit(Submission::poll_writable(fd_, token_of(id_)));
  }
  schedule();
}

void Connection::send_failed(int error) {
  if (state_ == State::terminating) return;
  const bool gone = error == EPIPE || error == ECONNRESET || error == ETIMEDOUT || error == ENOTCONN;
  if (gone && state_ == State::closing) {
    terminate(end_reason_);
  } else {
    terminate(gone ? EndReason::peer_vanished : EndReason::io_error);
  }
}

void Connection::after_settling() {
  if (state_ == State::closing) output_done();
  maybe_resume();
  // The drain found it in the middle of this answer, which did not say that it is the last.
  if (state_ == State::http && shard_.draining() && !outbox_ && !paused_ && !http_->busy()) {
    terminate(EndReason::drain);
  }
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

void Connection::close_too_slow() {
  if (state_ != State::open) return;
  uint64_t lapped = 0;
  for (Subscription* subscription = subscriptions_; subscription != nullptr;
       subscription = subscription->next) {
    FrameLog& log = subscription->log.bytes;
    lapped += log.frames_from(subscription->cursor);
    log.move(subscription->cursor, log.head());
    subscription->cursor = log.head();
  }
  shard_.counters().dropped_for(DropReason::lapped).add(lapped);
  shard_.log().log(shard_.now(), LogLevel::info, "too_slow",
                   {{"connection", number_}, {"dropped_frames", lapped}});
  drop_unbegun_output();
  if (session_) {
    std::string text;
    append_disconnect(text, "too_slow", true);
    append_frame(open_outbox().data.bytes, Opcode::text, as_bytes(text));
  }
  close(CloseCode::try_again_later, "too slow", EndReason::too_slow);
}

void Connection::drop_unbegun_output() {
  if (!outbox_ || outbox_->data.empty()) return;
  shard_.counters().dropped_for(DropReason::connection_ended).add();
  outbox_->data.clear();
}

void Connection::drain() {
  switch (state_) {
    case State::http:
      if (outbox_ || http_->busy()) break;  // it gets its answer, with Connection: close
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
  if (state_ != State::closing || outbox_ || batch_entry != kNotInBatch) return;
  // Counted from here: a peer that was too slow for its streams gets the time of a
  // write stall to read why it was closed.
  if (closing_until_ == kNever) {
    closing_until_ = shard_.now() + shard_.limits().close_timeout;
    schedule();
  }
  if (!peer_done_ && !fin_received_) return;
  if (!fin_sent_) {
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
        terminate(end_reason_, outbox_ != nullptr);
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
