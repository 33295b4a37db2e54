// A raw WebSocket route's way from the shard to the embedder's functions. Constant
// once the server has started; all shards at once.
#pragma once

#include <memory>
#include <utility>

#include "ringcast/websocket.h"
#include "shard/handlers.h"

namespace ringcast::internal {

class ServerCore;
struct RequestData;

class WebSocketGate final : public WebSocketHandler {
 public:
  WebSocketGate(ServerCore& core, WebSocketRoute route) : core_(core), route_(std::move(route)) {}

  bool authorize(const Exchange& exchange, HttpAnswer& refusal, std::unique_ptr<Attachment>& bearer) override;
  std::unique_ptr<RawSocket> make_socket(Connection& connection, const Route& route, const Exchange& exchange,
                                         std::unique_ptr<Attachment> bearer) override;

  ServerCore& core() const { return core_; }
  const WebSocketRoute& route() const { return route_; }

 private:
  bool identify(const RequestData& data, Json& identifiers) const;

  ServerCore& core_;
  const WebSocketRoute route_;
};

}  // namespace ringcast::internal
