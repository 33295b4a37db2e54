// The HTTP phase of a connection: requests answered one after the other, until one
// of them becomes a WebSocket. Owned by the connection until then; shard thread only.
#pragma once

#include <memory>
#include <optional>
#include <string_view>
#include <vector>

#include "base/bytes.h"
#include "base/ip_address.h"
#include "base/time.h"
#include "protocol/deflate_offer.h"
#include "protocol/http_request.h"
#include "protocol/proxy_header.h"
#include "protocol/upgrade.h"
#include "shard/counters.h"
#include "shard/handlers.h"
#include "shard/routes.h"

namespace ringcast {

class Connection;

class HttpExchange {
 public:
  // `admission`: 0, or the status every request of this connection is refused with.
  HttpExchange(Connection& connection, int admission);

  enum class Outcome : uint8_t {
    need_more,  // all input is consumed
    answered,   // the answer is in the output; `input` starts at the next request
    upgraded,   // the 101 is in the output; `input` starts at the first frame
    closing,    // the last answer is in the output; nothing more is read
  };
  Outcome process(MutableBytes& input);

  // After Outcome::upgraded.
  const Route& route() const { return *route_; }
  Exchange exchange() const;
  const HttpRequest& request() const { return parser_.request(); }

  // Whether a request has begun and is not answered yet.
  bool busy() const { return parser_.begun(); }

  // After Outcome::upgraded: what the handler found out about who it is; null if nothing.
  std::unique_ptr<Attachment> take_bearer() { return std::move(bearer_); }

  // After Outcome::upgraded: what was agreed on compression.
  const std::optional<DeflateParameters>& deflate() const { return deflate_; }

  EndReason end_reason() const { return end_reason_; }

  size_t held_bytes() const { return parser_.held_bytes() + body_.capacity(); }

 private:
  Outcome on_head();
  Outcome on_upgrade(const Upgrade& upgrade);
  Outcome on_complete();
  Outcome answer(const HttpAnswer& answer);
  Outcome refuse(int status, std::string_view why);
  Outcome refuse(const HttpAnswer& answer, std::string_view why);
  bool origin_refused() const;

  Connection& connection_;
  HttpRequestParser parser_;
  const int admission_;
  const Route* route_ = nullptr;
  std::vector<PathParameter> parameters_;
  std::vector<std::byte> body_;
  std::optional<DeflateParameters> deflate_;
  std::unique_ptr<Attachment> bearer_;
  EndReason end_reason_ = EndReason::finished;
};

// All that a connection knows only until it is a WebSocket.
struct HttpPhase final : ConnectionPhase {
  HttpPhase(Connection& connection, int admission) : exchange(connection, admission) {}

  HttpExchange exchange;
  std::unique_ptr<ProxyHeaderParser> proxy;  // until the header has come
  IpAddress transport_peer;  // the socket's, or whom a PROXY header names: who wrote the requests' headers
  Instant request_since{};   // accepted, or the last answer sent
  bool secure = false;       // the client's own connection is by TLS, here or at a trusted proxy
  bool over_address_limit = false;
  bool answered_before = false;  // this is not its first request
};

}  // namespace ringcast
