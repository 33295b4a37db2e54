#include "shard/counters.h"

namespace ringcast {

const char* to_string(EndReason reason) {
  switch (reason) {
    case EndReason::peer_closed:
      return "peer_closed";
    case EndReason::peer_vanished:
      return "peer_vanished";
    case EndReason::closed_by_handler:
      return "closed_by_handler";
    case EndReason::finished:
      return "finished";
    case EndReason::bad_request:
      return "bad_request";
    case EndReason::tls_failed:
      return "tls_failed";
    case EndReason::proxy_header:
      return "proxy_header";
    case EndReason::protocol_error:
      return "protocol_error";
    case EndReason::invalid_data:
      return "invalid_data";
    case EndReason::too_big:
      return "too_big";
    case EndReason::policy:
      return "policy";
    case EndReason::unauthorized:
      return "unauthorized";
    case EndReason::remote:
      return "remote";
    case EndReason::too_slow:
      return "too_slow";
    case EndReason::memory:
      return "memory";
    case EndReason::write_stall:
      return "write_stall";
    case EndReason::handshake_timeout:
      return "handshake_timeout";
    case EndReason::idle_timeout:
      return "idle_timeout";
    case EndReason::pong_timeout:
      return "pong_timeout";
    case EndReason::drain:
      return "drain";
    case EndReason::io_error:
      return "io_error";
    case EndReason::unanswered:
      return "unanswered";
    case EndReason::internal_error:
      return "internal_error";
    case EndReason::kCount:
      break;
  }
  return "unknown";
}

const char* to_string(DropReason reason) {
  switch (reason) {
    case DropReason::mailbox_full:
      return "mailbox_full";
    case DropReason::too_large:
      return "too_large";
    case DropReason::invalid:
      return "invalid";
    case DropReason::binary_on_cable:
      return "binary_on_cable";
    case DropReason::not_json:
      return "not_json";
    case DropReason::lapped:
      return "lapped";
    case DropReason::oldest:
      return "oldest";
    case DropReason::superseded:
      return "superseded";
    case DropReason::evicted:
      return "evicted";
    case DropReason::connection_ended:
      return "connection_ended";
    case DropReason::command_ignored:
      return "command_ignored";
    case DropReason::kCount:
      break;
  }
  return "unknown";
}

}  // namespace ringcast
