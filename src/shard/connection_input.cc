// What a connection does with what its peer sends, and when it stops reading.
#include <cerrno>

#include "shard/connection_phase.h"
#include "shard/shard.h"
#include "shard/tls_link.h"

namespace ringcast {

void Connection::arm_recv() {
  if (recv_armed_ || fin_received_) return;
  shard_.submit(Submission::recv(fd_, token_of(id())));
  recv_armed_ = true;
}

void Connection::received(const Completion& completion) {
  recv_armed_ = completion.more;
  if (!completion.more) recv_cancelled_ = false;
  if (state_ == State::terminating) return;

  if (completion.result > 0) {
    shard_.counters().received_bytes.add(static_cast<uint64_t>(completion.result));
    heard_at_ = shard_.now();
    awaits_pong_ = false;
    received_bytes(completion.bytes);
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

void Connection::received_bytes(MutableBytes bytes) {
  if (http() && http()->proxy && !take_proxy_header(bytes)) return;
  if (tls()) {
    received_records(bytes);
  } else {
    received_plaintext(bytes);
  }
}

void Connection::received_plaintext(MutableBytes bytes) {
  if (bytes.empty()) return;
  if (paused_) {
    std::vector<std::byte>& held = impeded().held;
    held.insert(held.end(), bytes.begin(), bytes.end());
    count_input();
  } else {
    process(bytes);
  }
}

// The header of a trusted proxy comes before anything else, TLS included. False: it is
// not complete, or was none.
bool Connection::take_proxy_header(MutableBytes& bytes) {
  const ProxyHeaderParser::Event event = http()->proxy->next(bytes);
  using Kind = ProxyHeaderParser::Event::Kind;
  if (event.kind == Kind::need_more) return false;
  if (event.kind == Kind::error) {
    shard_.note_refusal(*this, 0, event.reason);
    terminate(EndReason::proxy_header, true);
    return false;
  }
  http()->proxy.reset();
  if (event.header.family == ProxyHeader::Family::inet) {
    set_peer(http()->transport_peer = event.header.source);
  }
  return true;
}

// A proxy is many clients, so it is counted for none until it names one.
void Connection::set_peer(const IpAddress& peer) {
  ServerContext& context = shard_.context();
  if (address_counted_) context.addresses.remove(peer_);
  peer_ = peer;
  const size_t limit = shard_.limits().connections_per_address;
  address_counted_ = limit > 0 && !context.proxies.contains(peer);
  http()->over_address_limit = address_counted_ && context.addresses.add(peer) > limit;
}

ForwardedClient Connection::forwarded_client(const HttpRequest& request) const {
  return resolve_forwarded(http()->transport_peer, shard_.context().proxies,
                           ForwardingHeaders::of(request.headers()));
}

bool Connection::through_proxy() const {
  RC_ASSERT(http() != nullptr);
  return shard_.context().proxies.contains(http()->transport_peer);
}

bool Connection::admit(const HttpRequest& request) {
  if (through_proxy()) {
    const ForwardedClient client = forwarded_client(request);
    if (client.address != peer_) set_peer(client.address);
    http()->secure = client.tls.value_or(tls() != nullptr);
  }
  return !http()->over_address_limit;
}

bool Connection::secure() const {
  RC_ASSERT(http() != nullptr);
  return http()->secure;
}

std::string_view Connection::host(const HttpRequest& request) const {
  if (through_proxy()) {
    const std::string_view host = forwarded_client(request).host;
    if (!host.empty()) return host;
  }
  return request.host();
}

// --- TLS --------------------------------------------------------------------------------

void Connection::received_records(Bytes records) {
  TlsEngine& engine = tls()->engine();
  const bool shaking = !engine.handshake_done() && engine.status() == TlsEngine::Status::handshaking;
  if (shaking) {
    const bool waits = !tls()->waiting.empty();
    if (waits || !shard_.may_shake_hands(*this)) {
      if (tls()->waiting.size() + records.size() > kTlsHandshakeBytesMax) {
        terminate(EndReason::tls_failed, true);
        return;
      }
      tls()->waiting.insert(tls()->waiting.end(), records.begin(), records.end());
      count_input();
      return;
    }
  }
  std::vector<std::byte>& plaintext = shard_.plaintext();
  plaintext.clear();
  const TlsEngine::Status status = engine.receive(records, plaintext, tls()->records());
  if (shaking && engine.handshake_done()) handshake_done();
  if (!tls()->unsent().empty()) shard_.mark_dirty(*this);
  received_plaintext(plaintext);
  if (state_ == State::terminating) return;
  if (status == TlsEngine::Status::failed) {
    tls_failed();
  } else if (status == TlsEngine::Status::closed && !fin_received_) {
    // close_notify is TLS's FIN.
    fin_received_ = true;
    if (!paused_) peer_finished();
  }
}

void Connection::shake_hands() {
  if (state_ == State::terminating || !tls() || tls()->waiting.empty()) return;
  const std::vector<std::byte> records = std::move(tls()->waiting);
  tls()->waiting = {};
  received_records(records);
  count_input();
}

void Connection::handshake_done() {
  Counters& counters = shard_.counters();
  counters.tls_handshakes.add();
  counters.tls_connections.add();
  if (tls()->engine().session_reused()) counters.tls_resumptions.add();
}

void Connection::tls_failed() {
  shard_.counters().tls_failures.add();
  shard_.log().log(shard_.now(), LogLevel::info, "tls_failed",
                   {{"connection", number_}, {"why", tls()->engine().failure()}});
  // Nothing more of ours can be sealed; the alert may still go.
  if (outbox()) release_outbox();
  count_outbox();
  peer_done_ = true;
  if (state_ == State::closing) {
    output_done();
  } else {
    end_conversation(CloseCode::abnormal, {});
    begin_closing(EndReason::tls_failed);
  }
}

// --- Protocol ---------------------------------------------------------------------------

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
        more = phase_kind_ != PhaseKind::http && !peer_done_ && process_websocket(input);
        break;
      case State::terminating:
        more = false;
        break;
    }
  }
  processing_ = false;
  if (reader() != nullptr && reader()->remembers_nothing()) {
    shard_.readers().release(std::move(activity_->reader));
  }
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
  const bool was_busy = http()->exchange.busy();
  const HttpExchange::Outcome outcome = http()->exchange.process(input);
  if (!was_busy && http()->answered_before) http()->request_since = shard_.now();
  switch (outcome) {
    case HttpExchange::Outcome::need_more:
      break;
    case HttpExchange::Outcome::answered:
      http()->request_since = shard_.now();
      http()->answered_before = true;
      break;
    case HttpExchange::Outcome::closing:
      peer_done_ = true;
      begin_closing(http()->exchange.end_reason());
      break;
    case HttpExchange::Outcome::upgraded:
      open_conversation();
      break;
  }
  if (outbox()) shard_.mark_dirty(*this);
  schedule();
  return outcome == HttpExchange::Outcome::answered || outcome == HttpExchange::Outcome::upgraded;
}

void Connection::open_conversation() {
  // The request outlives the phase: open() still reads it.
  const Exchange exchange = http()->exchange.exchange();
  const std::unique_ptr<ConnectionPhase> phase = std::move(phase_);
  HttpExchange& http = static_cast<HttpPhase&>(*phase).exchange;
  const Route& route = http.route();
  const Limits& limits = shard_.limits();
  if (const auto& deflate = http.deflate()) {
    window_bits_ = deflate->sender_window_bits();
    activity().reader =
        std::make_unique<WebSocketReader>(message_bytes_max(route), shard_.inflaters(), *deflate);
  }
  state_ = State::open;
  holding_ = true;
  if (route.lap_policy) lap_policy_ = *route.lap_policy;
  heard_at_ = shard_.now();
  if (route.kind == Route::Kind::cable) {
    // Spread, so that a storm of reconnects does not become a storm of pings.
    const auto interval = limits.ping_interval.count();
    const Duration first(interval / 2 +
                         static_cast<int64_t>(shard_.random() % static_cast<uint64_t>(interval)));
    auto session = route.cable->make_session(*this, route);
    session->beat_due = shard_.now() + first;
    shard_.counters().sessions.add();
    Session& opened = *session;
    phase_kind_ = PhaseKind::cable;
    phase_ = std::move(session);
    opened.open(exchange);
  } else {
    auto socket = route.websocket->make_socket(*this, route, exchange, http.take_bearer());
    shard_.counters().websockets.add();
    RawSocket& opened = *socket;
    phase_kind_ = PhaseKind::raw;
    phase_ = std::move(socket);
    raw_open_ = true;
    opened.open();
  }
  release_output_if_live();
}

void Connection::release_output_if_live() {
  if (!holding_) return;
  for (const Subscription* subscription = subscriptions_; subscription != nullptr;
       subscription = subscription->next) {
    // A session says itself what it waits for, by withholding the confirmation.
    if (raw() != nullptr && !subscription->log.stream.live) return;
  }
  holding_ = false;
  shard_.mark_dirty(*this);
  maybe_resume();
}

uint64_t Connection::message_bytes_max(const Route& route) const {
  return route.message_bytes != 0 ? route.message_bytes : shard_.limits().message_bytes;
}

bool Connection::process_websocket(MutableBytes& input) {
  if (state_ == State::open && !(holding_ && input.empty()) && must_pause()) {
    pause(input);
    return false;
  }
  std::unique_ptr<WebSocketReader>& reader = activity().reader;
  if (!reader) {
    reader =
        shard_.readers().acquire(message_bytes_max(raw() != nullptr ? raw()->route() : cable()->route()));
  }
  const WebSocketReader::Event event = reader->next(input);
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
      if (RawSocket* const socket = raw()) {
        socket->message(opcode, event.payload);
      } else {
        cable()->message(opcode, event.payload);
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
  if (RawSocket* const socket = raw()) socket->protocol_error(problem);
  if (state_ == State::open) close(code, problem, why);
}

void Connection::peer_finished() {
  if (state_ == State::open && !blocked_) take_streams_into_outbox(0);
  // A TLS peer is owed a close_notify, or it must take the end for an attack (RFC 8446, 6.1).
  // Where something still waits, output_done() says it behind that.
  const bool tls_goodbye = (state_ == State::http || state_ == State::open) && tls() != nullptr &&
                           !has_output() && tls()->say_goodbye();
  switch (state_) {
    case State::http:
      // A half-closed client still gets the answer it waits for.
      if (has_output() || tls_goodbye) {
        peer_done_ = true;
        begin_closing(EndReason::peer_closed);
      } else {
        terminate(EndReason::peer_closed);
      }
      break;
    case State::open:
      // No Close came, but it may still read what it asked for.
      peer_done_ = true;
      if (has_output() || tls_goodbye) {
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
  if (state_ == State::http) return has_output();
  if (outbox_bytes() > shard_.limits().outbox_bytes) return true;
  if (state_ != State::open) return false;
  if (holding_) return true;  // nothing is heard before the 101 has left
  if (const Session* const session = cable(); session != nullptr && session->congested()) return true;
  if (shard_.hub().can_publish()) return false;
  if (!waits_for_room_) {
    waits_for_room_ = true;
    shard_.wait_for_room(id());
  }
  return true;
}

void Connection::pause(MutableBytes rest) {
  RC_ASSERT(!paused_);
  paused_ = true;
  impeded().held.assign(rest.begin(), rest.end());
  if (recv_armed_ && !recv_cancelled_) {
    recv_cancelled_ = true;
    shard_.submit(Submission::cancel(fd_, token_of(id())));
  }
}

void Connection::room_again() {
  waits_for_room_ = false;
  maybe_resume();
}

void Connection::maybe_resume() {
  if (!paused_ || processing_ || state_ == State::terminating || must_pause()) return;
  paused_ = false;
  std::vector<std::byte> held = std::move(impeded().held);
  forget_impediments();
  process(held);
  if (paused_ || state_ == State::terminating) return;
  if (fin_received_) {
    peer_finished();
  } else {
    arm_recv();
  }
}

}  // namespace ringcast
