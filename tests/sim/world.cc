// Clients, handlers, and the scheduler that decides who moves next.
#include "tests/sim/world.h"

#include <gtest/gtest.h>
#include <ucontext.h>

#include <algorithm>
#if defined(__SANITIZE_ADDRESS__)
#define RINGCAST_TEST_ASAN 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define RINGCAST_TEST_ASAN 1
#endif
#endif
#ifdef RINGCAST_TEST_ASAN
#include <sanitizer/common_interface_defs.h>
#endif

#include "protocol/cable.h"
#include "support/client_frames.h"

namespace ringcast::sim {
namespace {

// Far above what any test needs: whoever gets here goes round in circles.
constexpr size_t kStepsMax = 3'000'000;

class SocketOfScript final : public ScriptedSocket {
 public:
  SocketOfScript(Connection& connection, const Route& route, const Exchange& exchange, Scripts& scripts,
                 const RawScript* script)
      : ScriptedSocket(connection, route, exchange), scripts_(scripts), script_(script) {}

 private:
  CallResult opened() override {
    note("open");
    ++scripts_.open_sockets;
    return script_ != nullptr && script_->open ? script_->open(*this) : CallResult::ok;
  }
  CallResult received(Opcode opcode, MutableBytes payload) override {
    return script_ != nullptr && script_->message ? script_->message(*this, opcode, payload) : CallResult::ok;
  }
  void closed(CloseCode code, std::string_view reason) override {
    note("close", " " + std::to_string(static_cast<unsigned>(code)));
    --scripts_.open_sockets;
    if (script_ != nullptr && script_->close) script_->close(*this, code, reason);
  }
  void erred(std::string_view reason) override {
    note("error");
    if (script_ != nullptr && script_->error) script_->error(*this, reason);
  }
  void note(std::string_view what, const std::string& more = {}) {
    scripts_.calls.push_back(std::string(what) + " " + std::to_string(number()) + more);
  }

  Scripts& scripts_;
  const RawScript* const script_;
};

class ScriptedRaw final : public WebSocketHandler {
 public:
  // Without a name, the path's parameter says which script.
  ScriptedRaw(Scripts& scripts, std::string name) : scripts_(scripts), name_(std::move(name)) {}

  bool authorize(const Exchange& exchange, HttpAnswer& refusal, std::unique_ptr<Attachment>&) override {
    const RawScript* script = find(exchange);
    return script == nullptr || !script->authorize || script->authorize(exchange, refusal);
  }
  std::unique_ptr<RawSocket> make_socket(Connection& connection, const Route& route, const Exchange& exchange,
                                         std::unique_ptr<Attachment>) override {
    return std::make_unique<SocketOfScript>(connection, route, exchange, scripts_, find(exchange));
  }

 private:
  const RawScript* find(const Exchange& exchange) const {
    const std::string parameter = exchange.parameters.empty() ? "" : exchange.parameters[0].value;
    const auto found = scripts_.raw.find(name_.empty() ? parameter : name_);
    return found == scripts_.raw.end() ? nullptr : &found->second;
  }

  Scripts& scripts_;
  const std::string name_;
};

class ScriptedChannel final : public SessionChannel {
 public:
  ScriptedChannel(Scripts& scripts, const ChannelScript& script, Session& session,
                  ChannelIdentifierRef identifier)
      : SessionChannel(session, std::move(identifier)), scripts_(scripts), script_(script) {}

 private:
  CallResult subscribed() override {
    note("subscribed");
    ++scripts_.open_channels;
    return script_.subscribed ? script_.subscribed(*this) : CallResult::ok;
  }
  void unsubscribed() override {
    note("unsubscribed");
    --scripts_.open_channels;
    if (script_.unsubscribed) script_.unsubscribed(*this);
  }
  bool perform(std::string_view action, const Json& data, CallResult& result) override {
    note(action);
    return script_.perform && script_.perform(*this, action, data, result);
  }
  CallResult timer(uint32_t index) override {
    return script_.timer ? script_.timer(*this, index) : CallResult::ok;
  }
  void note(std::string_view what) {
    scripts_.calls.push_back(std::string(what).append(" ").append(identifier()));
  }

  Scripts& scripts_;
  const ChannelScript& script_;
};

class SessionOfScript final : public ScriptedSession {
 public:
  SessionOfScript(Connection& connection, const Route& route, Scripts& scripts)
      : ScriptedSession(connection, route), scripts_(scripts) {}

 private:
  CallResult connect(const Exchange& exchange) override {
    return scripts_.connect ? scripts_.connect(*this, exchange) : CallResult::ok;
  }
  void disconnected() override {
    scripts_.calls.push_back("disconnect " + std::to_string(number()));
    if (scripts_.disconnect) scripts_.disconnect(*this);
  }
  std::unique_ptr<SessionChannel> make_channel(ChannelIdentifierRef identifier) override {
    const auto found = scripts_.channels.find(identifier->channel());
    if (found == scripts_.channels.end()) return nullptr;
    return std::make_unique<ScriptedChannel>(scripts_, found->second, *this, std::move(identifier));
  }

  Scripts& scripts_;
};

class ScriptedCable final : public CableHandler {
 public:
  explicit ScriptedCable(Scripts& scripts) : scripts_(scripts) {}
  std::unique_ptr<Session> make_session(Connection& connection, const Route& route) override {
    return std::make_unique<SessionOfScript>(connection, route, scripts_);
  }

 private:
  Scripts& scripts_;
};

class ScriptedHttp final : public HttpHandler {
 public:
  explicit ScriptedHttp(Scripts& scripts) : scripts_(scripts) {}
  CallResult handle(const Exchange& exchange, HttpAnswer& answer) override {
    if (scripts_.http) return scripts_.http(exchange, answer);
    answer.content_type = "text/plain";
    answer.body = std::string(exchange.request.method()) + " " + std::string(exchange.request.path()) + " " +
                  std::string(as_text(exchange.body));
    return CallResult::ok;
  }

 private:
  Scripts& scripts_;
};

void standard_scripts(Scripts& scripts) {
  const auto room = [](RawSocket& socket) { return "room_" + std::string(socket.parameter("room")); };
  scripts.raw["chat"] = {.open =
                             [room](RawSocket& socket) {
                               return socket.stream_from(room(socket)) ? CallResult::ok : CallResult::failed;
                             },
                         .message =
                             [room](RawSocket& socket, Opcode opcode, MutableBytes payload) {
                               const PayloadKind kind =
                                   opcode == Opcode::text ? PayloadKind::text : PayloadKind::binary;
                               (void)socket.broadcast(room(socket), kind, payload);
                               return CallResult::ok;
                             }};
  scripts.raw["echo"] = {.message = [](RawSocket& socket, Opcode opcode, MutableBytes payload) {
    socket.send(opcode, payload);
    return CallResult::ok;
  }};
  const auto chat = [](SessionChannel& channel) { return "chat_" + channel.params().string("room_id"); };
  scripts.channels["ChatChannel"] = {
      .subscribed =
          [chat](SessionChannel& channel) {
            return channel.stream_from(chat(channel)) ? CallResult::ok : CallResult::failed;
          },
      .perform =
          [chat](SessionChannel& channel, std::string_view action, const Json& data, CallResult&) {
            if (action != "receive") return false;
            const std::string text = data["message"].dump();
            (void)channel.session().broadcast(chat(channel), PayloadKind::json, as_bytes(text));
            return true;
          }};
}

}  // namespace

// ---- Client

void Client::send(std::string_view bytes) {
  out_ += bytes;
}

void Client::request(std::string_view method, std::string_view target, std::string_view body,
                     std::string_view headers) {
  std::string text = std::string(method) + " " + std::string(target) + " HTTP/1.1\r\nHost: sim\r\n";
  text += headers;
  if (!body.empty()) text += "Content-Length: " + std::to_string(body.size()) + "\r\n";
  send(text + "\r\n" + std::string(body));
}

void Client::upgrade(std::string_view target, std::string_view headers) {
  asked_upgrade_ = true;
  send("GET " + std::string(target) +
       " HTTP/1.1\r\nHost: sim\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
       "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n" +
       (deflate_offer_.empty() ? "" : "Sec-WebSocket-Extensions: " + deflate_offer_ + "\r\n") +
       std::string(headers) + "\r\n");
}

void Client::send_frame(Opcode opcode, std::string_view payload, size_t pieces) {
  const bool compressed = deflate_ && !is_control(opcode) && world_.prng().chance(0.8);
  std::string smaller;
  if (compressed) {
    smaller = deflate_->compress(payload);
    payload = smaller;
    ++world_.deflated.sent;
  }
  // Compressed or not, a message is cut anywhere; only its first frame says what it is.
  const size_t most = std::max<size_t>((payload.size() + pieces - 1) / pieces, 1);
  for (size_t at = 0; at == 0 || at < payload.size(); at += most) {
    send(encode({.opcode = at == 0 ? static_cast<unsigned>(opcode) : 0,
                 .payload = payload.substr(at, most),
                 .fin = at + most >= payload.size(),
                 .rsv = compressed && at == 0 ? 4u : 0u}));
  }
}

// RFC 7692 section 7.1: what the 101 says, of what was offered.
void Client::agree_on_deflate() {
  if (head_.find("permessage-deflate") == std::string::npos) return;
  if (deflate_offer_.empty()) return world_.fail("an extension nobody offered: " + head_);
  const auto bits = [&](std::string_view name) {
    const size_t at = head_.find(std::string(name) + "=");
    return at == std::string::npos ? 15 : std::atoi(head_.c_str() + at + name.size() + 1);
  };
  const bool takeover = head_.find("client_no_context_takeover") == std::string::npos;
  inflate_window_bits_ = bits("server_max_window_bits");
  deflate_ = std::make_unique<DeflatingPeer>(bits("client_max_window_bits"), takeover, 1, 1);
  ++world_.deflated.agreed;
  world_.deflated.with_takeover += takeover;
  world_.deflated.with_small_window += inflate_window_bits_ < 15;
}

void Client::send_close(unsigned code, std::string_view reason) {
  send(encode_close(code, reason));
}

void Client::command(std::string_view command, std::string_view identifier, std::string_view data) {
  Json json = {{"command", command}, {"identifier", identifier}};
  if (!data.empty()) json.set("data", data);
  send_frame(Opcode::text, json.dump());
}

void Client::shutdown() {
  fin_sent_ = true;
  world_.network().shutdown(fd_);
}

void Client::close() {
  if (fd_ >= 0) world_.network().close(std::exchange(fd_, -1), false);
  out_.clear();
}

void Client::vanish() {
  if (fd_ >= 0) world_.network().close(std::exchange(fd_, -1), true);
  out_.clear();
}

bool Client::has_to_move() const {
  if (fd_ < 0 || ended()) return false;
  const Network& network = world_.network_;
  return (!out_.empty() && !fin_sent_ && network.writable(fd_)) || (reading && network.readable(fd_));
}

Instant Client::moves_at() const {
  return has_to_move() ? std::max(next_move_, world_.now()) : kNever;
}

bool Client::pump() {
  if (fd_ < 0) return false;
  Network& network = world_.network();
  if (latency_max > Duration::zero()) {
    if (world_.now() < next_move_ || !has_to_move()) return false;
    next_move_ = world_.now() + Duration(world_.prng().below(static_cast<uint64_t>(latency_max.count())) + 1);
  }
  bool moved = false;
  if (!out_.empty() && !ended() && !fin_sent_) {
    const int64_t taken = network.send(fd_, as_bytes(out_));
    if (taken > 0) {
      out_.erase(0, static_cast<size_t>(taken));
      moved = true;
    } else if (taken != -EAGAIN) {
      was_reset_ = true;
      out_.clear();
    }
  }
  if (!reading || ended() || !network.readable(fd_)) return moved;
  std::vector<std::byte>& buffer = world_.client_buffer_;
  const int64_t got = network.recv(fd_, MutableBytes(buffer).first(std::min(read_bytes, buffer.size())));
  if (got > 0) {
    bytes_seen_ += static_cast<uint64_t>(got);
    in_ += as_text(Bytes(buffer).first(static_cast<size_t>(got)));
    take_apart();
  } else {
    (got == 0 ? finished_ : was_reset_) = true;
    if (closes_after_server) close();
  }
  return true;
}

void Client::take_apart() {
  if (!upgraded_) {
    if (const size_t end = in_.find("\r\n\r\n");
        asked_upgrade_ && end != std::string::npos && in_.starts_with("HTTP/1.1 101 ")) {
      head_ = in_.substr(0, end + 4);
      in_.erase(0, end + 4);
      upgraded_ = true;
      agree_on_deflate();
      if (on_upgrade) on_upgrade();
    } else if (!asked_upgrade_ || (in_.size() >= 13 && !in_.starts_with("HTTP/1.1 101 "))) {
      raw_ += in_;
      in_.clear();
    }
  }
  if (!upgraded_) return;
  size_t at = 0;
  for (;;) {
    const Bytes rest = as_bytes(std::string_view(in_).substr(at));
    const uint64_t bytes = rest.size() < 2 ? 0 : frame_bytes(rest);
    if (bytes == 0 || bytes > rest.size()) break;
    const auto first = static_cast<uint8_t>(rest[0]);
    const auto opcode = static_cast<Opcode>(first & 0xf);
    const auto second = static_cast<uint8_t>(rest[1]);
    // FIN, no reserved bits but that of an agreed compression, not masked, an opcode the
    // server uses.
    const bool compressed = (first & 0x40) != 0 && deflate_ && !is_control(opcode);
    if ((first & 0xf0) != (compressed ? 0xc0 : 0x80) || (second & 0x80) != 0 ||
        (opcode != Opcode::text && opcode != Opcode::binary && !is_control(opcode)) ||
        static_cast<uint8_t>(opcode) > 10) {
      world_.fail("not a frame at a frame's boundary: " + std::to_string(first) + " " +
                  std::to_string(second) + " after " + std::to_string(frames_seen_) + " frames");
      world_.network().close(std::exchange(fd_, -1), true);
      return;
    }
    size_t payload = 2;
    if ((second & 0x7f) == 126) payload = 4;
    if ((second & 0x7f) == 127) payload = 10;
    Frame frame{opcode, std::string(as_text(rest.first(bytes).subspan(payload)))};
    at += bytes;
    if (compressed) {
      // Each by itself: the server never refers to earlier messages.
      std::optional<std::string> whole = inflated(frame.payload, inflate_window_bits_);
      if (!whole) return world_.fail("what does not inflate, in " + std::to_string(bytes) + " bytes");
      frame.payload = std::move(*whole);
      ++world_.deflated.received;
    }
    take(std::move(frame));
    if (fd_ < 0) return;
  }
  in_.erase(0, at);
}

void Client::take(Frame frame) {
  if (close_code_.has_value()) world_.fail("a frame behind the Close: " + frame.payload);
  ++frames_seen_;
  if (frame.opcode == Opcode::ping && answers_pings) send_frame(Opcode::pong, frame.payload);
  if (frame.opcode == Opcode::close) {
    close_code_ = 0;
    if (frame.payload.size() >= 2) {
      close_code_ = load_be16(as_bytes(frame.payload).data());
      close_reason_ = frame.payload.substr(2);
    }
    if (answers_close) send(encode({.opcode = 8, .payload = std::string_view(frame.payload).substr(0, 2)}));
  }
  if (on_frame) on_frame(frame);
  if (frame.opcode == Opcode::text && frame.payload.starts_with("{\"type\":\"ping\"")) ++pings_;
  if (keeps_frames) frames_.push_back(std::move(frame));
}

std::vector<std::string> Client::texts() const {
  std::vector<std::string> result;
  for (const Frame& frame : frames_) {
    if (frame.opcode == Opcode::text && !frame.payload.starts_with("{\"type\":\"ping\"")) {
      result.push_back(frame.payload);
    }
  }
  return result;
}

size_t Client::count(std::string_view text) const {
  return static_cast<size_t>(std::count_if(frames_.begin(), frames_.end(), [&](const Frame& frame) {
    return frame.opcode == Opcode::text && frame.payload == text;
  }));
}

// ---- World

// A shard's thread, without the thread: a stack on which it turns, left where it sleeps
// and at the end of each turn.
class World::Fiber {
 public:
  explicit Fiber(Shard& shard) : shard_(shard), stack_(kStackBytes) {
    getcontext(&own_);
    own_.uc_stack.ss_sp = stack_.data();
    own_.uc_stack.ss_size = stack_.size();
    own_.uc_link = nullptr;
    const auto address = reinterpret_cast<uintptr_t>(this);
    makecontext(&own_, reinterpret_cast<void (*)()>(&Fiber::entry), 2, static_cast<unsigned>(address),
                static_cast<unsigned>(address >> 32));
  }

  // The scheduler's side.
  void resume() {
    asleep_ = false;
    begin_switch(&scheduler_shadow_, stack_.data(), stack_.size());
    swapcontext(&scheduler_, &own_);
    end_switch(scheduler_shadow_);
  }
  bool ended() const { return ended_; }
  bool asleep() const { return asleep_; }
  Instant sleeping_until() const { return until_; }

  // The shard's side.
  void sleep(Instant until) {
    asleep_ = true;
    until_ = until;
    leave(&own_shadow_);
  }

 private:
  static constexpr size_t kStackBytes = 1024 * 1024;  // a sanitizer's frames are large

  static void entry(unsigned low, unsigned high) {
    reinterpret_cast<Fiber*>(uintptr_t{high} << 32 | low)->run();
  }
  void run() {
    end_switch(nullptr);
    while (!shard_.ended()) {
      shard_.turn();
      if (!shard_.ended()) leave(&own_shadow_);
    }
    ended_ = true;
    leave(nullptr);  // for good
  }
  void leave(void** shadow) {
    begin_switch(shadow, scheduler_stack_, scheduler_stack_bytes_);
    swapcontext(&own_, &scheduler_);
    end_switch(own_shadow_);
  }

  // AddressSanitizer must know on which stack it is.
#ifdef RINGCAST_TEST_ASAN
  static void begin_switch(void** shadow, const void* bottom, size_t bytes) {
    __sanitizer_start_switch_fiber(shadow, bottom, bytes);
  }
  void end_switch(void* shadow) {
    const void* bottom = nullptr;
    size_t bytes = 0;
    __sanitizer_finish_switch_fiber(shadow, &bottom, &bytes);
    if (bottom != stack_.data()) {
      scheduler_stack_ = bottom;
      scheduler_stack_bytes_ = bytes;
    }
  }
#else
  static void begin_switch(void**, const void*, size_t) {}
  void end_switch(void*) {}
#endif

  Shard& shard_;
  std::vector<std::byte> stack_;
  ucontext_t own_{}, scheduler_{};
  void* own_shadow_ = nullptr;
  void* scheduler_shadow_ = nullptr;
  const void* scheduler_stack_ = nullptr;
  size_t scheduler_stack_bytes_ = 0;
  bool asleep_ = false;
  bool ended_ = false;
  Instant until_ = kNever;
};

Routes World::make_routes(Scripts& scripts) {
  Routes routes;
  routes.add(Route::for_websocket("/chat/:room", std::make_unique<ScriptedRaw>(scripts, "chat")));
  routes.add(Route::for_websocket("/echo", std::make_unique<ScriptedRaw>(scripts, "echo")));
  Route texts = Route::for_websocket("/texts", std::make_unique<ScriptedRaw>(scripts, "echo"));
  texts.text_only = true;
  routes.add(std::move(texts));
  routes.add(Route::for_websocket("/raw/:script", std::make_unique<ScriptedRaw>(scripts, "")));
  routes.add(Route::for_cable("/cable", std::make_unique<ScriptedCable>(scripts)));
  for (const std::string_view method : {"GET", "POST"}) {
    routes.add(Route::for_http(method, "/pages/*", std::make_unique<ScriptedHttp>(scripts)));
  }
  return routes;
}

World::World(const WorldOptions& options)
    : fail_(options.fail),
      trace_(options.trace),
      paces_(options.shards, 1.0),
      prng_(options.seed),
      faults_(options.seed ^ 0x5eed),
      logger_(LogOptions{}),
      routes_(make_routes(scripts_)),
      context_(options.shards, options.limits, routes_, logger_) {
  standard_scripts(scripts_);
  for (ShardIndex i = 0; i < options.shards; ++i) {
    auto backend = std::make_unique<SimBackend>(network_, SimBackend::Sleep::yield);
    if (options.faults) backend->set_faults(&faults_);
    backend->set_trace(trace_, i);
    backends_.push_back(backend.get());
    const int listener = network_.listen();
    ports_.push_back(network_.port(listener));
    shards_.push_back(std::make_unique<Shard>(context_, i, std::move(backend), std::vector<int>{listener},
                                              OriginPolicy{}, prng_.next()));
    context_.shards.push_back(shards_.back().get());
    fibers_.push_back(std::make_unique<Fiber>(*shards_[i]));
    backends_[i]->set_sleeper([fiber = fibers_[i].get()](Instant until) { fiber->sleep(until); });
  }
  settle();
}

World::~World() {
  if (!ended()) finish();
}

Client& World::connect(ShardIndex shard) {
  const int fd = network_.connect(ports_[shard]);
  RC_ASSERT(fd >= 0);
  Client& client = *clients_.emplace_back(std::make_unique<Client>(*this, fd));
  moving_.push_back(&client);
  return client;
}

Client& World::open_socket(std::string_view target, ShardIndex shard) {
  Client& client = connect(shard);
  client.upgrade(target);
  if (!run_until([&] { return client.upgraded(); })) fail("not upgraded: " + client.raw());
  return client;
}

Client& World::open_cable(ShardIndex shard) {
  Client& client = connect(shard);
  client.upgrade("/cable", "Sec-WebSocket-Protocol: actioncable-v1-json, actioncable-unsupported\r\n");
  if (!run_until([&] { return !client.frames().empty(); })) fail("not upgraded: " + client.raw());
  if (client.frames().at(0).payload != "{\"type\":\"welcome\"}") fail("not welcomed");
  return client;
}

bool World::publish(std::string_view stream, std::string_view payload, PayloadKind kind) {
  return shards_[home_of(stream)]->publish_from_outside(
      Message::create(stream, hash64(stream), kind, as_bytes(payload), &context_.message_bytes));
}

void World::post(ShardIndex shard, Inbox::Task task) {
  shards_[shard]->post(std::move(task));
}

void World::drain(Duration within) {
  for (const auto& shard : shards_) shard->post([within](Shard& self) { self.drain(within); });
}

void World::stop() {
  for (const auto& shard : shards_) shard->post([](Shard& self) { self.stop(); });
}

bool World::ended() const {
  return std::all_of(fibers_.begin(), fibers_.end(), [](const auto& fiber) { return fiber->ended(); });
}

bool World::runnable(ShardIndex index) const {
  const Fiber& fiber = *fibers_[index];
  if (fiber.ended()) return false;
  return !fiber.asleep() || backends_[index]->ready() || fiber.sleeping_until() <= network_.now();
}

void World::fail(const std::string& what) {
  failed_ = true;
  if (fail_) {
    const double ms = static_cast<double>(now().time_since_epoch().count()) / 1e6;
    fail_("at " + std::to_string(ms) + " ms: " + what);
  } else {
    ADD_FAILURE() << what;
  }
}

void World::turn(ShardIndex index) {
  if (fibers_[index]->ended()) return;
  fibers_[index]->resume();
  if (on_turn) on_turn(index);
}

bool World::pump_clients() {
  bool moved = false;
  // One that moves may end others, or itself, but none begins meanwhile.
  for (Client* const client : moving_) moved = client->pump() || moved;
  std::erase_if(moving_, [](const Client* client) { return !client->open(); });
  return moved;
}

bool World::step() {
  ++steps_;
  ready_.clear();
  for (ShardIndex i = 0; i < shards(); ++i) {
    if (runnable(i)) ready_.push_back(i);
  }
  // The clients are one more actor.
  if (prng_.below(ready_.size() + 1) == 0 && pump_clients()) return true;
  if (ready_.empty()) return pump_clients();
  const ShardIndex chosen = ready_[prng_.below(ready_.size())];
  if (paces_[chosen] >= 1 || prng_.chance(paces_[chosen])) turn(chosen);
  return true;
}

void World::settle() {
  size_t steps = 0;
  while (!failed_ && step()) {
    if (++steps < kStepsMax) continue;
    fail("the shards never come to rest");
    return;
  }
}

void World::move_time(Instant until) {
  Instant next = until;
  for (ShardIndex i = 0; i < shards(); ++i) {
    if (fibers_[i]->asleep()) next = std::min(next, fibers_[i]->sleeping_until());
  }
  for (const Client* client : moving_) next = std::min(next, client->moves_at());
  if (next > network_.now()) network_.advance_to(next);
}

void World::jump(Duration duration) {
  network_.advance_to(network_.now() + duration);
  jumped_ += duration;
}

void World::advance(Duration duration) {
  const Instant end = now() + duration;
  settle();
  while (now() < end && !failed_) {
    move_time(end);
    settle();
  }
}

bool World::run_until(const std::function<bool()>& done, Duration within) {
  const Instant end = now() + within;
  for (size_t steps = 0; !done(); ++steps) {
    if (steps == kStepsMax) {
      fail("no end after so many steps");
      return false;
    }
    if (step()) continue;
    if (now() >= end) return done();
    move_time(end);
  }
  return true;
}

uint64_t World::turns_with_work() const {
  uint64_t sum = 0;
  for (const SimBackend* backend : backends_) sum += backend->turns_with_work();
  return sum;
}

void World::equal(uint64_t found, uint64_t wanted, const char* what) {
  if (found == wanted) return;
  fail(std::string("at the end: ") + what + ": " + std::to_string(found) + ", not " + std::to_string(wanted));
}

void World::finish() {
  std::fill(paces_.begin(), paces_.end(), 1.0);
  stop();
  if (!run_until([&] { return ended(); })) fail("the shards do not end");
  if (!ended()) std::abort();  // nothing can be destroyed
  uint64_t ended = 0;
  uint64_t plain_closes = 0;
  for (const auto& shard : shards_) {
    const Counters& counters = shard->counters();
    equal(counters.connections.value(), 0, "connections");
    equal(counters.websockets.value(), 0, "raw sockets");
    equal(counters.sessions.value(), 0, "sessions");
    equal(counters.subscriptions.value(), 0, "subscriptions");
    equal(counters.streams.value(), 0, "streams");
    equal(counters.outbox_bytes.value(), 0, "bytes in outboxes");
    equal(shard->hub().chunks().held_bytes(), 0, "bytes in log chunks");
    equal(backends_[shard->index()]->operations_in_flight(), 0, "operations in flight");
    equal(backends_[shard->index()]->buffers_lent(), 0, "buffers lent");
    for (const Counter& counter : counters.ended) ended += counter.value();
    plain_closes += backends_[shard->index()]->plain_closes();
  }
  // Each listener is closed once; whatever else was accepted became a connection.
  equal(ended + plain_closes, total(&Counters::accepted) + shards_.size(), "connections accounted for");
  equal(static_cast<uint64_t>(scripts_.open_sockets), 0, "sockets opened and not closed");
  equal(static_cast<uint64_t>(scripts_.open_channels), 0, "channels subscribed and not unsubscribed");
  for (const auto& client : clients_) client->close();
  equal(network_.open_descriptors(), 0, "descriptors");
}

std::string World::stream_at(ShardIndex home, std::string_view prefix) {
  for (int i = 0;; ++i) {
    std::string name = std::string(prefix) + std::to_string(i);
    if (home_of(name) == home) return name;
  }
}

uint64_t World::total(Counter Counters::*counter) const {
  uint64_t sum = 0;
  for (const auto& shard : shards_) sum += (shard->counters().*counter).value();
  return sum;
}

uint64_t World::ended_by(EndReason reason) const {
  uint64_t sum = 0;
  for (const auto& shard : shards_) sum += shard->counters().ended[static_cast<size_t>(reason)].value();
  return sum;
}

uint64_t World::dropped_for(DropReason reason) const {
  uint64_t sum = 0;
  for (const auto& shard : shards_) sum += shard->counters().dropped[static_cast<size_t>(reason)].value();
  return sum;
}

std::string chat_room(std::string_view room) {
  return Json{{"channel", "ChatChannel"}, {"room_id", room}}.dump();
}
std::string channel_identifier(std::string_view channel) {
  return Json{{"channel", channel}}.dump();
}
std::string confirmation(std::string_view identifier) {
  std::string text;
  append_confirm(text, identifier);
  return text;
}
std::string rejection(std::string_view identifier) {
  std::string text;
  append_reject(text, identifier);
  return text;
}
std::string cable_message(std::string_view identifier, std::string_view payload) {
  std::string text;
  append_message(text, encode_identifier(identifier), payload);
  return text;
}

}  // namespace ringcast::sim
