// What a shard asks of the layer above it: the interfaces behind which the
// embedder's code lives. The shard calls them on its own thread, one at a time
// for one connection, never one inside another for the same connection. An object
// that serves several connections (all but ChannelHandler and Attachment) is
// called by all shards at once and must be ready for that.
//
// Nothing here may throw: the implementation (channel.cc, websocket.cc, server.cc)
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
#include "ringcast/json.h"

namespace ringcast {

class RawSocket;
class Session;
class SessionChannel;
class Shard;

// `failed`: the embedder's code threw. The shard counts it and carries on; what it
// costs the connection stands at each call.
enum class [[nodiscard]] CallResult : uint8_t{ok, failed};

// Whatever the layer above hangs on a connection or a session; destroyed with it,
// on its shard's thread.
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

class WebSocketHandler {
 public:
  virtual ~WebSocketHandler() = default;

  // Before the 101: whether this request may open a socket. Otherwise `refusal` is
  // the answer (401, 403 …). What it leaves in `bearer` is the socket's attachment when it
  // is opened.
  virtual bool authorize(const Exchange& exchange, HttpAnswer& refusal,
                         std::unique_ptr<Attachment>& bearer) = 0;

  // The 101 is queued; what is sent now comes right behind it, and nothing leaves
  // before every stream subscribed here is live: whoever has seen the 101 misses
  // nothing. failed: 1011.
  virtual CallResult open(RawSocket& socket, const Exchange& exchange) = 0;

  // A whole message; `payload` may be changed in place and is good during the call.
  // failed: the message is dropped, error() is called.
  virtual CallResult message(RawSocket& socket, Opcode opcode, MutableBytes payload) = 0;

  // The connection is over (nothing can be sent any more): called once for each open.
  // `code` is what the peer's Close said, 1005 if it had none, 1006 if it never came.
  virtual void close(RawSocket& socket, CloseCode code, std::string_view reason) = 0;

  // The peer broke the protocol, or the embedder's message callback threw.
  virtual void error(RawSocket& socket, std::string_view reason) = 0;
};

// One per (session, identifier), on the session's shard.
class ChannelHandler {
 public:
  virtual ~ChannelHandler() = default;

  // failed: the subscription is rejected. May leave the decision to others: SessionChannel::ask().
  virtual CallResult subscribed() = 0;
  // After every subscribed(), once; also when it rejected.
  virtual void unsubscribed() = 0;
  // False: no such action. failed costs this command only.
  virtual bool perform(std::string_view action, const Json& data, CallResult& result) = 0;
  // Asked before perform(), with the data as the client wrote it: true if that was all.
  virtual bool pass_on(std::string_view) { return false; }
  // A timer set with SessionChannel::periodically came due.
  virtual CallResult timer(uint32_t index) = 0;
};

class CableHandler {
 public:
  virtual ~CableHandler() = default;

  // The socket is open, nothing sent yet. May set identifiers, tags, an attachment;
  // calls session.reject_unauthorized() to refuse, or session.hold() to decide later.
  // failed: as if it had refused.
  virtual CallResult connect(Session& session, const Exchange& exchange) = 0;

  // A client that connected with a token brings another, and goes on until that one
  // expires. False: it is not a token of the same identity, and nothing has changed.
  virtual bool refresh(Session&, std::string_view /*token*/) { return false; }

  // After the last channel's unsubscribed(): once for each connect() that was welcomed.
  virtual void disconnect(Session& session) = 0;

  // Null: there is no such channel, and the peer gets reject_subscription.
  virtual std::unique_ptr<ChannelHandler> make_channel(SessionChannel& channel, std::string_view name) = 0;
};

}  // namespace ringcast
