// Raw WebSockets as an embedder sees them: a WebSocket per connection, between the
// RawSocket that it is a part of and the route's functions. On its connection's shard and
// thread only.
#include "ringcast/websocket.h"

#include <string>
#include <utility>
#include <vector>

#include "base/utf8.h"
#include "http_access.h"
#include "server_core.h"
#include "shard/identities.h"
#include "shard/raw_socket.h"
#include "shard/shard.h"
#include "tagged_log.h"
#include "websocket_route.h"

namespace ringcast {
namespace internal {

// What the handshake found out, until the socket is open.
struct RawBearer final : Attachment {
  Json identifiers = Json::object();
  std::optional<int64_t> expires_unix_ms;
};

// A raw WebSocket: the shard's half of it, and what the embedder sees.
class RawSession final : public RawSocket, public WebSocket {
 public:
  RawSession(Connection& connection, const Route& route, const Exchange& exchange,
             std::unique_ptr<Attachment> bearer);

  ServerCore& core() const { return gate().core(); }
  // Both halves have functions of one name.
  RawSocket& socket() { return *this; }
  const RawSocket& socket() const { return *this; }

  const Json& identifiers() const { return description() ? description()->identifiers : no_identifiers(); }

  void add_tag(std::string_view tag) {
    std::string& tags = describe().tags;
    tags.append(tags.empty() ? "[" : " [").append(tag).append("]");
  }
  std::string_view tags() const { return description() ? description()->tags : std::string_view(); }

  std::unique_ptr<Data>& data() { return describe().data; }

 private:
  CallResult opened() override;
  CallResult received(Opcode opcode, MutableBytes payload) override;
  void closed(CloseCode code, std::string_view reason) override;
  void erred(std::string_view reason) override;

  // Only its make_socket() makes one of these.
  const WebSocketGate& gate() const { return static_cast<const WebSocketGate&>(*route().websocket); }

  // Of those of whom anything was said, or with whom the embedder has left something.
  struct Description final : Extra {
    Json identifiers = Json::object();
    std::optional<int64_t> expires_unix_ms;
    std::string tags;
    std::unique_ptr<Data> data;
  };
  std::unique_ptr<Extra> make_extra() override { return std::make_unique<Description>(); }
  Description& describe() { return static_cast<Description&>(extra()); }
  const Description* description() const { return static_cast<const Description*>(known_extra()); }
};

// A hundred thousand sockets pay 100 KB for each byte.
static_assert(sizeof(RawSession) == 40);

bool WebSocketGate::identify(const RequestData& data, Json& identifiers) const {
  for (const IdentifierSource& source : core_.identity().sources) {
    IdentifierValue found = source.evaluate(RequestCredentials(data));
    if (!found) {
      note_cookie(data.exchange, source.text(), found.cookie_error);
      Shard& shard = data.exchange.shard;
      shard.log().log(shard.now(), LogLevel::info, "unauthorized",
                      {{"connection", data.exchange.connection_number},
                       {"path", data.exchange.request.path()},
                       {"why", std::string_view(found.reason)}});
      return false;
    }
    identifiers.set(source.name(), std::move(found.value));
  }
  return true;
}

bool WebSocketGate::authorize(const Exchange& exchange, HttpAnswer& refusal,
                              std::unique_ptr<Attachment>& bearer) {
  if (!route_.identified && !route_.authorize && !route_.allow) return true;
  bool known = false, allowed = false;
  const CallResult result = guarded(core_.logger(), "authorize", [&] {
    const RequestData data(exchange, core_.server(), core_.identity());
    const Request request = RequestAccess::make(data);
    auto found = std::make_unique<RawBearer>();
    known = (!route_.identified || identify(data, found->identifiers)) &&
            (!route_.authorize || route_.authorize(request));
    allowed = known && (!route_.allow || route_.allow(request, found->identifiers));
    if (const Jwt* const jwt = data.jwt_asked(); route_.identified && jwt != nullptr && *jwt) {
      found->expires_unix_ms = jwt->expires_unix_ms;
    }
    if (route_.identified) bearer = std::move(found);
  });
  if (result == CallResult::failed) {
    exchange.shard.counters().callback_exceptions.add();
    refusal = {.status = 500, .content_type = "text/plain; charset=utf-8", .body = "Internal Server Error\n"};
    return false;
  }
  if (!known) {
    refusal = {.status = 401, .content_type = "text/plain; charset=utf-8", .body = "Unauthorized\n"};
    refusal.headers.push_back({"WWW-Authenticate", "Bearer"});  // RFC 9110 15.5.2: a 401 names a scheme
  }
  return allowed;  // the refusal is 403 as it stands
}

std::unique_ptr<RawSocket> WebSocketGate::make_socket(Connection& connection, const Route& route,
                                                      const Exchange& exchange,
                                                      std::unique_ptr<Attachment> bearer) {
  return std::make_unique<RawSession>(connection, route, exchange, std::move(bearer));
}

RawSession::RawSession(Connection& connection, const Route& route, const Exchange& exchange,
                       std::unique_ptr<Attachment> bearer)
    : RawSocket(connection, route, exchange) {
  if (bearer == nullptr) return;
  auto& found = static_cast<RawBearer&>(*bearer);
  describe().identifiers = std::move(found.identifiers);
  describe().expires_unix_ms = found.expires_unix_ms;
}

CallResult RawSession::opened() {
  if (const Description* const known = description()) {
    if (known->expires_unix_ms) expire_at(*known->expires_unix_ms);
    // Before anything is sent: whoever is in can be disconnected.
    identify(connection_identifier(identifiers()));
  }
  const auto& open = gate().route().open;
  if (!open) return CallResult::ok;
  return guarded(core().logger(), "open", [&] { open(*this); });
}

CallResult RawSession::received(Opcode opcode, MutableBytes payload) {
  const WebSocketRoute& route = gate().route();
  const bool text = opcode == Opcode::text;
  if (text ? !route.message : !route.binary) {
    socket().close(CloseCode::unsupported_data, text ? "binary messages only" : "text messages only");
    return CallResult::ok;
  }
  return guarded(core().logger(), "message", [&] {
    if (text) {
      route.message(*this, Text(as_text(payload)));
    } else {
      route.binary(*this, Binary(Bytes(payload)));
    }
  });
}

void RawSession::closed(CloseCode code, std::string_view reason) {
  const auto& close = gate().route().close;
  if (!close) return;
  const CallResult result =
      guarded(core().logger(), "close", [&] { close(*this, static_cast<uint16_t>(code), reason); });
  if (result == CallResult::failed) shard().counters().callback_exceptions.add();
}

void RawSession::erred(std::string_view reason) {
  const auto& error = gate().route().error;
  if (!error) return;
  const CallResult result = guarded(core().logger(), "error", [&] { error(*this, reason); });
  if (result == CallResult::failed) shard().counters().callback_exceptions.add();
}

}  // namespace internal

// --- WebSocket ------------------------------------------------------------------------

internal::RawSession& WebSocket::session() {
  return static_cast<internal::RawSession&>(*this);
}
const internal::RawSession& WebSocket::session() const {
  return static_cast<const internal::RawSession&>(*this);
}

std::unique_ptr<WebSocket::Data>& WebSocket::held_data() {
  return session().data();
}

void WebSocket::send(Text text) {
  RawSocket& socket = session().socket();
  // A client must fail a connection that sends it bad UTF-8; ours is better dropped here.
  if (!valid_utf8(as_bytes(text.view()))) {
    socket.shard().counters().dropped_for(DropReason::invalid).add();
    return;
  }
  socket.send(Opcode::text, as_bytes(text.view()));
}

void WebSocket::send(Binary binary) {
  session().socket().send(Opcode::binary, binary.bytes());
}

void WebSocket::send(const Json& json) {
  const std::string text = json.dump();
  session().socket().send(Opcode::text, as_bytes(text));
}

void WebSocket::close(uint16_t code, std::string_view reason) {
  const auto wanted = static_cast<CloseCode>(code);
  session().socket().close(is_wire_close_code(wanted) ? wanted : CloseCode::normal, reason);
}

bool WebSocket::stream_from(std::string_view stream) {
  return session().socket().stream_from(stream);
}
void WebSocket::stop_stream_from(std::string_view stream) {
  session().socket().stop_stream_from(stream);
}

BroadcastStatus WebSocket::broadcast(std::string_view stream, Text text) {
  return internal::told(session().socket().broadcast(stream, PayloadKind::text, as_bytes(text.view())));
}
BroadcastStatus WebSocket::broadcast(std::string_view stream, Binary binary) {
  return internal::told(session().socket().broadcast(stream, PayloadKind::binary, binary.bytes()));
}
BroadcastStatus WebSocket::broadcast(std::string_view stream, const Json& json) {
  const std::string text = json.dump();
  return internal::told(session().socket().broadcast(stream, PayloadKind::json, as_bytes(text)));
}

std::string WebSocket::parameter(std::string_view name) const {
  return std::string(session().socket().parameter(name));
}
std::string WebSocket::query(std::string_view name) const {
  return session().socket().query(name).value_or(std::string());
}
std::string_view WebSocket::path() const {
  return session().socket().path();
}
std::string WebSocket::remote_address() const {
  return session().socket().peer().to_string();
}
const Json& WebSocket::identifiers() const {
  return session().identifiers();
}
const Json& WebSocket::identifier(std::string_view name) const {
  return identifiers()[name];
}
uint64_t WebSocket::number() const {
  return session().socket().number();
}

void WebSocket::add_tags(std::initializer_list<std::string_view> tags) {
  for (const std::string_view tag : tags) session().add_tag(tag);
}

void WebSocket::log(LogLevel level, std::string_view event, std::initializer_list<LogField> fields) {
  internal::log_tagged(session().core().logger(), level, event, session().tags(), number(), fields);
}

Server& WebSocket::server() const {
  return session().core().server();
}

}  // namespace ringcast
