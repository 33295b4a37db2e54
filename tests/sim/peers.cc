// What all peers have in common, and those that speak no Action Cable.
#include "tests/sim/peers.h"

#include <algorithm>
#include <charconv>

#include "support/client_frames.h"

namespace ringcast::sim {
namespace {

uint64_t number_in(std::string_view text) {
  uint64_t number = 0;
  const size_t at = text.find_first_of("0123456789");
  if (at != std::string_view::npos) std::from_chars(text.data() + at, text.data() + text.size(), number);
  return number;
}

}  // namespace

// --- The stage ----------------------------------------------------------------------------

size_t Stage::payload_bytes() {
  // Large ones are few: they cost the most and show the least.
  static constexpr size_t kSizes[] = {0, 20, 130, 1500};
  const size_t most = prng.chance(0.05) ? 70'000 : kSizes[prng.below(std::size(kSizes))];
  return prng.below(std::min(most, payload_bytes_max) + 1);
}

PayloadKind Stage::any_kind(bool binary_too) {
  const uint64_t drawn = prng.below(10);
  if (binary_too && drawn == 0) return PayloadKind::binary;
  return drawn < 4 ? PayloadKind::text : PayloadKind::json;
}

// --- Any peer -----------------------------------------------------------------------------

void Peer::fail(const std::string& what) const {
  stage_.world.fail("peer " + std::to_string(index_) + ": " + what);
}

void Peer::read_slowly() {
  prompt_ = false;
  stage_.coverage.reached(Edge::stopped_reading);
  Prng& prng = stage_.prng;
  client_.reading = prng.chance(0.5);
  client_.read_bytes = prng.chance(0.5) ? SIZE_MAX : 1 + prng.below(20'000);
  if (prng.chance(0.3)) {
    client_.latency_max = milliseconds(1 + prng.below(300));
    stage_.coverage.reached(Edge::reading_latency);
  }
  if (prng.chance(0.2)) client_.answers_pings = false;
  if (prng.chance(0.2)) client_.answers_close = false;
}

void Peer::read_on() {
  client_.reading = true;
  client_.read_bytes = SIZE_MAX;
  client_.latency_max = {};
}

void Peer::half_close() {
  if (!client_.open() || client_.fin_sent() || client_.unsent() > 0) return;
  stage_.coverage.reached(Edge::half_closed);
  left_ = true;
  client_.shutdown();
}

void Peer::leave() {
  left_ = true;
  switch (stage_.prng.below(3)) {
    case 0:
      stage_.coverage.reached(Edge::vanished);
      client_.vanish();
      break;
    case 1:
      client_.close();
      break;
    default:
      if (client_.upgraded()) client_.send_close(1000, "bye");
  }
}

// Who reads whatever comes, at once, is never too slow; and only vandals break the rules
// of frames, of text and compression, and of size.
void Peer::check_close_code() {
  const unsigned code = client_.close_code().value_or(0);
  if (code == 1013 && prompt()) fail("reads promptly and was called too slow");
  if (code == 1002 || code == 1007 || code == 1009) {
    fail("broke no rule and was closed with " + std::to_string(code) + " " + client_.close_reason());
  }
}

// As browsers do and as they might. A server that does not compress declines.
void Peer::offer_deflate() {
  static constexpr const char* kOffers[] = {
      "permessage-deflate; client_max_window_bits",
      "permessage-deflate; client_no_context_takeover",
      "permessage-deflate; server_max_window_bits=10; client_max_window_bits=9",
      "x-unknown, permessage-deflate; server_no_context_takeover; client_max_window_bits=12",
  };
  if (!stage_.limits.deflate || stage_.prng.chance(0.3)) return;
  client_.offer_deflate(kOffers[stage_.prng.below(std::size(kOffers))]);
}

// --- Raw sockets --------------------------------------------------------------------------

struct PeerOfSocket final : Attachment {
  explicit PeerOfSocket(Peer& peer) : peer(peer) {}
  Peer& peer;
};

RawPeer::RawPeer(Stage& stage, ShardIndex shard, std::vector<size_t> streams, bool fails)
    : Peer(stage, shard), streams_(std::move(streams)), fails_(fails) {
  offer_deflate();
  client_.upgrade(own_target("/raw/swarm"));
  client_.on_frame = [this](const Client::Frame& frame) { read(frame); };
  client_.on_upgrade = [this] {
    for (const auto& [stream, run] : runs_) run->confirmed();
  };
}

void RawPeer::install(Stage& stage) {
  const auto of = [](RawSocket& socket) -> RawPeer& {
    return static_cast<RawPeer&>(static_cast<PeerOfSocket&>(*ScriptedSocket::of(socket).attachment).peer);
  };
  stage.world.scripts().raw["swarm"] = {
      .open =
          [&stage](RawSocket& socket) {
            auto& peer = static_cast<RawPeer&>(*stage.peers[number_in(*socket.query("peer"))]);
            ScriptedSocket::of(socket).attachment = std::make_unique<PeerOfSocket>(peer);
            return peer.opened(socket);
          },
      .message = [of](RawSocket& socket, Opcode opcode,
                      MutableBytes payload) { return of(socket).heard(socket, opcode, as_text(payload)); },
      .close =
          [of](RawSocket& socket, CloseCode, std::string_view) {
            for (const auto& [stream, run] : of(socket).runs_) run->unsubscribed();
            for (const auto& [stream, run] : of(socket).added_) run->unsubscribed();
          }};
}

CallResult RawPeer::opened(RawSocket& socket) {
  for (const size_t stream : streams_) {
    if (!socket.stream_from(stage_.oracle.name(stream))) return CallResult::failed;
    Oracle::Run& run = stage_.oracle.begin(stream, socket.shard().index(), false, false);
    run.received();
    runs_[stream] = &run;
  }
  return fails_ ? CallResult::failed : CallResult::ok;
}

CallResult RawPeer::heard(RawSocket& socket, Opcode opcode, std::string_view text) {
  const size_t shard = socket.shard().index();
  if (!text.starts_with('!')) {
    const PayloadKind kind = opcode == Opcode::binary ? PayloadKind::binary
                             : text.starts_with('"')  ? PayloadKind::json
                                                      : PayloadKind::text;
    (void)stage_.broadcast(socket, shard, text, kind);
    return CallResult::ok;
  }
  const uint64_t number = number_in(text);
  if (text.starts_with("!mark")) {
    for (const auto& [stream, run] : runs_) run->transmitted(number);
    socket.send(Opcode::text, as_bytes("mark" + std::to_string(number)));
    stage_.coverage.reached(Edge::own_message);
  } else if (text.starts_with("!drop")) {
    if (const auto run = runs_.find(number); run != runs_.end()) {
      socket.stop_stream_from(stage_.oracle.name(number));
      run->second->unsubscribed();
      ended_.insert(*run);
      runs_.erase(run);
      stage_.coverage.reached(Edge::stream_stopped);
    }
  } else if (text.starts_with("!add")) {
    if (!runs_.contains(number) && !ended_.contains(number) && !added_.contains(number) &&
        socket.stream_from(stage_.oracle.name(number))) {
      Oracle::Run& run = stage_.oracle.begin(number, shard, false, false);
      run.received();
      added_[number] = &run;
      stage_.coverage.reached(Edge::stream_added);
    }
  } else if (text.starts_with("!burst") || text.starts_with("!flood")) {
    const bool flood = text.starts_with("!flood");
    for (uint64_t i = flood ? 0 : 90 - number; i < 90; ++i) {
      const size_t stream = flood ? number : stage_.any_stream();
      const std::string payload = stage_.oracle.payload(stream, PayloadKind::json, 30);
      (void)stage_.broadcast(socket, shard, payload, PayloadKind::json);
    }
  } else if (text.starts_with("!bad")) {
    const std::string large(stage_.limits.message_bytes + 1, 'x');
    const bool refused = socket.broadcast("", PayloadKind::text, as_bytes("x")) != PublishStatus::ok &&
                         socket.broadcast("s", PayloadKind::json, as_bytes("{")) != PublishStatus::ok &&
                         socket.broadcast("s", PayloadKind::text, as_bytes(large)) != PublishStatus::ok;
    if (!refused) fail("what cannot be published was accepted");
  } else if (text.starts_with("!close")) {
    socket.close(CloseCode::normal, "as asked");
  } else {
    return CallResult::failed;
  }
  return CallResult::ok;
}

void RawPeer::move() {
  if (!client_.upgraded() || left_) return;
  Prng& prng = stage_.prng;
  const auto say = [&](const char* what, uint64_t number) {
    client_.send_frame(Opcode::text, what + std::to_string(number));
  };
  switch (prng.below(20)) {
    case 0:
      return say("!mark ", ++stage_.marks);
    case 1:
      if (prng.chance(0.3)) say("!drop ", stage_.any_stream());
      return;
    case 2:
      if (prng.chance(0.3)) say("!add ", stage_.any_stream());
      return;
    case 3:
      if (prng.chance(stage_.bursts ? 0.8 : 0.1)) say("!burst ", 1 + prng.below(90));
      return;
    case 4:
      if (prng.chance(0.02)) say("!close ", 0);
      return;
    case 5:
      if (prng.chance(0.2)) say("!fail ", 0);
      return;
    case 6:
      if (prng.chance(0.2)) say("!bad ", 0);
      return;
    case 7:
      return client_.send_frame(Opcode::ping, "are you there");
    default: {
      const PayloadKind kind = stage_.any_kind(true);
      const std::string payload = stage_.oracle.payload(stage_.any_stream(), kind, stage_.payload_bytes());
      const Opcode opcode = kind == PayloadKind::binary ? Opcode::binary : Opcode::text;
      client_.send_frame(opcode, payload, prng.chance(0.7) ? 1 : 2 + prng.below(3));
    }
  }
}

void RawPeer::flood(size_t stream) {
  if (client_.upgraded() && alive()) client_.send_frame(Opcode::text, "!flood " + std::to_string(stream));
}

void RawPeer::read(const Client::Frame& frame) {
  if (frame.opcode == Opcode::close) check_close_code();
  if (is_control(frame.opcode)) return;
  if (frame.payload.starts_with("mark")) {
    // Its place among the deliveries of those streams that it was on all the time.
    for (const auto& [stream, run] : runs_) run->saw_mark(number_in(frame.payload));
    return;
  }
  const size_t stream = Oracle::stream_of(frame.payload);
  for (const auto* runs : {&runs_, &added_, &ended_}) {
    if (const auto run = runs->find(stream); run != runs->end()) return run->second->delivered(frame.payload);
  }
  fail("a stream it is not on: " + frame.payload.substr(0, 40));
}

void RawPeer::check_whole() {
  if (!client_.upgraded()) return fail("asked for a WebSocket and never got one: " + client_.raw());
  if (fails_) return fail("its handler failed, and it was not told");
  for (const auto& [stream, run] : runs_) run->whole();
}

// --- Echo ---------------------------------------------------------------------------------

EchoPeer::EchoPeer(Stage& stage, ShardIndex shard) : Peer(stage, shard) {
  offer_deflate();
  client_.upgrade("/echo");
  client_.on_frame = [this](const Client::Frame& frame) {
    if (frame.opcode == Opcode::close) check_close_code();
    if (is_control(frame.opcode)) return;
    if (sent_.empty() || sent_.front() != frame.payload) return fail("an echo of something else");
    sent_.pop_front();
  };
}

void EchoPeer::move() {
  if (!client_.upgraded() || left_ || sent_.size() > 200) return;
  sent_.push_back(std::to_string(stage_.prng.next()));
  sent_.back().append(stage_.payload_bytes(), 'e');
  client_.send_frame(Opcode::text, sent_.back());
}

void EchoPeer::check_whole() {
  if (!client_.upgraded()) return fail("asked for a WebSocket and never got one: " + client_.raw());
  if (!sent_.empty()) fail(std::to_string(sent_.size()) + " echoes are missing");
}

// --- HTTP ---------------------------------------------------------------------------------

void HttpPeer::install(Stage& stage) {
  stage.world.scripts().http = [&stage](const Exchange& exchange, HttpAnswer& answer) {
    answer.content_type = "text/plain";
    answer.body = std::string(exchange.request.path());
    std::vector<std::string_view> payloads;
    std::string_view body = as_text(exchange.body);
    while (!body.empty()) {
      const size_t end = std::min(body.find('\n'), body.size());
      payloads.push_back(body.substr(0, end));
      body.remove_prefix(std::min(end + 1, body.size()));
    }
    if (payloads.empty()) return CallResult::ok;
    std::vector<Publication> publications;
    for (const std::string_view payload : payloads) {
      const size_t stream = Oracle::stream_of(payload);
      publications.push_back({stage.oracle.name(stream), PayloadKind::json, as_bytes(payload)});
    }
    if (exchange.shard.publish_all(publications) != PublishStatus::ok) {
      stage.coverage.reached(Edge::publish_all_full);
      answer.status = 503;
      return CallResult::ok;
    }
    for (const std::string_view payload : payloads) {
      const size_t stream = Oracle::stream_of(payload);
      stage.oracle.published(stream, exchange.shard.index(), PayloadKind::json, payload);
    }
    return CallResult::ok;
  };
}

void HttpPeer::move() {
  read_answers();
  if (left_ || last_asked_ || asked_ - answered_ > 20) return;
  Prng& prng = stage_.prng;
  const uint64_t requests = prng.chance(0.2) ? 1 + prng.below(5) : 1;
  if (requests > 1) stage_.coverage.reached(Edge::pipelined);
  for (uint64_t i = 0; i < requests && !last_asked_; ++i) {
    const std::string target = "/pages/" + std::to_string(asked_++);
    if (prng.chance(0.4)) {
      last_asked_ = prng.chance(0.05);
      client_.request("GET", target, {}, last_asked_ ? "Connection: close\r\n" : "");
      continue;
    }
    std::string body;
    for (uint64_t lines = 1 + prng.below(prng.chance(0.1) ? 60 : 4); lines > 0; --lines) {
      const size_t bytes = std::min<size_t>(stage_.payload_bytes(), 300);
      body += stage_.oracle.payload(stage_.any_stream(), PayloadKind::json, bytes) + "\n";
    }
    client_.request("POST", target, body);
  }
}

void HttpPeer::read_answers() {
  unread_ += client_.take_raw();
  for (;;) {
    const size_t head = unread_.find("\r\n\r\n");
    if (head == std::string::npos) return;
    const std::string_view first = std::string_view(unread_).substr(0, head);
    const size_t length = first.find("Content-Length: ");
    if (length == std::string_view::npos) return fail("an answer without length: " + std::string(first));
    const size_t bytes = number_in(first.substr(length));
    if (unread_.size() < head + 4 + bytes) return;
    const std::string body = unread_.substr(head + 4, bytes);
    if (first.starts_with("HTTP/1.1 200") ||
        (first.starts_with("HTTP/1.1 503") && body.starts_with("/pages"))) {
      if (body != "/pages/" + std::to_string(answered_)) return fail("answers out of order: " + body);
      ++answered_;
    } else if (!first.starts_with("HTTP/1.1 429") && !first.starts_with("HTTP/1.1 503")) {
      return fail("an answer that nothing explains: " + std::string(first));
    } else {
      left_ = true;  // refused at the door
    }
    unread_.erase(0, head + 4 + bytes);
  }
}

void HttpPeer::check_whole() {
  read_answers();
  if (answered_ != asked_ && !left_) {
    fail(std::to_string(asked_ - answered_) + " of " + std::to_string(asked_) + " requests are not answered");
  }
}

// --- Vandals ------------------------------------------------------------------------------

VandalPeer::VandalPeer(Stage& stage, ShardIndex shard) : Peer(stage, shard) {
  upgraded_first_ = stage.prng.chance(0.7);
  if (!upgraded_first_) return;
  offer_deflate();
  if (stage.prng.chance(0.5)) {
    client_.upgrade("/echo");
  } else {
    client_.upgrade("/texts");
  }
}

void VandalPeer::move() {
  if (left_) return;
  Prng& prng = stage_.prng;
  stage_.coverage.reached(Edge::malformed);
  left_ = true;
  if (!upgraded_first_) {
    harmful_ = true;  // also what is only half a request, in time
    switch (prng.below(5)) {
      case 0:
        return client_.send("GET / HTTP/1.1\r\nHost: sim\r\nBroken Header\r\n\r\n");
      case 1:
        return client_.send("GET /pages/0 HTTP/1.1\r\nHo");
      case 2:
        return client_.send("\x16\x03\x01 this is no HTTP\r\n\r\n");
      case 3:
        return client_.send("GET /pages/0 HTTP/1.1\r\nHost: sim\r\nX: " + std::string(40'000, 'x') +
                            "\r\n\r\n");
      default:
        harmful_ = stage_.limits.keep_alive_timeout <= seconds(3);
        return client_.request("GET", "/pages/idle");  // and then nothing more
    }
  }
  if (!client_.upgraded()) {
    left_ = false;
    return;
  }
  harmful_ = true;
  switch (prng.below(10)) {
    case 0:
      return client_.send(encode({.payload = "not masked", .masked = false}));
    case 8:
      // Compressed, where nobody agreed to it, or nothing that inflates.
      return client_.send(encode({.payload = "\xff no deflate stream", .rsv = 4}));
    case 9: {
      // More than a message may be, out of little.
      DeflatingPeer bomber;
      const std::string bomb = bomber.compress(std::string(stage_.limits.message_bytes + 1, 'x'));
      return client_.send(encode({.payload = bomb, .rsv = 4}));
    }
    case 1:
      return client_.send(encode({.opcode = 3, .payload = "no such opcode"}));
    case 2:
      return client_.send(encode({.payload = "a reserved bit", .rsv = 2}));
    case 3:
      return client_.send(encode({.payload = "not UTF-8 \xff\xfe"}));
    case 4:
      return client_.send(encode({.payload = "", .length_bits = 64, .declared_bytes = uint64_t{1} << 40}));
    case 5:
      return client_.send(encode({.opcode = 9, .payload = "a ping in two", .fin = false}));
    case 6:
      return client_.send(encode({.opcode = 0, .payload = "continues nothing"}));
    default:
      client_.send(encode({.payload = "one begins", .fin = false}));
      return client_.send(encode({.payload = "and another"}));
  }
}

void VandalPeer::check_over() {
  if (!harmful_ || !client_.open()) return;
  if (!client_.ended()) return fail("broke the rules and is still there");
  // Never without a word: a Close, or an answer with a 4xx. Nor for half a request, which
  // never was one.
}

}  // namespace ringcast::sim
