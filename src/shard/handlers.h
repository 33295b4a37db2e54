// What a shard asks of the layer above it: the interfaces behind which the
// embedder's code lives, here and in what RawSocket, Session and SessionChannel leave
// to those who derive from them. The shard calls them on its own thread, one at a time
// for one connection, never one inside another for the same connection. An object
// that serves several connections (a handler of a route) is called by all shards at
// once and must be ready for that.
//
// Nothing of it may throw: the implementation (channel.cc, websocket.cc, server.cc)
// catches what an embedder's callback throws and answers CallResult::failed.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/bytes.h"
#include "io/socket.h"
#include "protocol/frame.h"
#include "protocol/http_request.h"
#include "protocol/url.h"

namespace ringcast {

class Connection;
class RawSocket;
class Session;
class Shard;
struct Route;

// `failed`: the embedder's code threw. The shard counts it and carries on; what it
// costs the connection stands at each call.
enum class [[nodiscard]] CallResult : uint8_t{ok, failed};

// What the layer above found out at a handshake, until the conversation begins.
class Attachment {
 public:
  virtual ~Attachment() = default;
};

// A request as a handler sees it. Views, good during the call only.
struct Exchange {
  Shard& shard;
  const HttpRequest& request;
  std::span<const PathParameter> parameters;  // of the route's pattern, decoded
  Bytes body;                                 // whole; empty for upgrades
  IpAddress peer;
  uint64_t connection_number;  // from 1, unique in the server: the N of "Client N"
  std::string_view host = {};  // whom the client asked for, by its own word or its trusted proxy's
  bool tls = false;
  bool through_proxy = false;  // a trusted proxy sent it, and answers for its headers
};

// What an HTTP handler answers; owning, because it outlives the call.
struct HttpAnswer {
  struct Header {
    std::string name;
    std::string value;
  };
  int status = 200;
  std::string content_type = {};
  std::string body = {};
  std::vector<Header> headers = {};
  bool close = false;
};

class HttpHandler {
 public:
  virtual ~HttpHandler() = default;
  // failed: the peer gets 500 with a constant text.
  virtual CallResult handle(const Exchange& exchange, HttpAnswer& answer) = 0;
};

// What a connection is at: an HttpPhase, a RawSocket or a Session.
class ConnectionPhase {
 public:
  virtual ~ConnectionPhase() = default;
};

// The conversations of a WebSocket route: RawSocket is the shard's half of one, and what
// derives from it the embedder's, both in one object.
class WebSocketHandler {
 public:
  virtual ~WebSocketHandler() = default;

  // Before the 101: whether this request may open a socket. Otherwise `refusal` is
  // the answer (401, 403 …). What it leaves in `bearer` is given to make_socket().
  virtual bool authorize(const Exchange& exchange, HttpAnswer& refusal,
                         std::unique_ptr<Attachment>& bearer) = 0;

  // The 101 is queued. Never null.
  virtual std::unique_ptr<RawSocket> make_socket(Connection& connection, const Route& route,
                                                 const Exchange& exchange,
                                                 std::unique_ptr<Attachment> bearer) = 0;
};

// Likewise of a cable route.
class CableHandler {
 public:
  virtual ~CableHandler() = default;

  // The socket is open, nothing sent yet. Never null.
  virtual std::unique_ptr<Session> make_session(Connection& connection, const Route& route) = 0;
};

}  // namespace ringcast
