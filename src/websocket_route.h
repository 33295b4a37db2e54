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
  CallResult open(RawSocket& socket, const Exchange& exchange) override;
  CallResult message(RawSocket& socket, Opcode opcode, MutableBytes payload) override;
  void close(RawSocket& socket, CloseCode code, std::string_view reason) override;
  void error(RawSocket& socket, std::string_view reason) override;

 private:
  bool identify(const RequestData& data, Json& identifiers) const;

  ServerCore& core_;
  const WebSocketRoute route_;
};

}  // namespace ringcast::internal
