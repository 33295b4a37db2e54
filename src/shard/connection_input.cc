// What a connection does with what its peer sends, and when it stops reading.
#include <cerrno>

#include "shard/connection.h"
#include "shard/http_exchange.h"
#include "shard/raw_socket.h"
#include "shard/session.h"
#include "shard/shard.h"

namespace ringcast {

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
      count_input();
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
  count_input();
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
  if (route.lap_policy) lap_policy_ = *route.lap_policy;
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

}  // namespace ringcast
