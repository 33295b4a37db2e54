// What a connection is at: requests and their answers, then the conversation that came of
// one of them. Only the connection's own sources need to know which.
#pragma once

#include "shard/connection.h"
#include "shard/http_exchange.h"
#include "shard/raw_socket.h"
#include "shard/session.h"

namespace ringcast {

inline HttpPhase* Connection::http() const {
  return phase_kind_ == PhaseKind::http ? static_cast<HttpPhase*>(phase_.get()) : nullptr;
}
inline RawSocket* Connection::raw() const {
  return phase_kind_ == PhaseKind::raw ? static_cast<RawSocket*>(phase_.get()) : nullptr;
}
inline Session* Connection::cable() const {
  return phase_kind_ == PhaseKind::cable ? static_cast<Session*>(phase_.get()) : nullptr;
}

}  // namespace ringcast
