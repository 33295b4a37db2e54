// The WebSocket opening handshake, server side (RFC 6455 4.2). Decides whether a
// request is one, and writes the answer. Routing, Origin, authentication and
// admission come between the two and are the caller's. Values only; any thread.
#pragma once

#include <span>
#include <string_view>
#include <vector>

#include "base/bytes.h"
#include "protocol/http_request.h"

namespace ringcast {

struct Upgrade {
  enum class Kind {
    not_upgrade,  // plain HTTP: serve it, or refuse with upgrade_required() on a WebSocket-only route
    accepted,     // `key` is good: append_switching_protocols()
    refused,      // append_refusal(), then close
  };
  Kind kind = Kind::not_upgrade;
  int status = 0;                // of a refusal: 400 405 426
  std::string_view reason = {};  // of a refusal: constant text, for the log
  std::string_view key = {};     // the client's Sec-WebSocket-Key, in the request's bytes
};

// In this order: tokens of Upgrade and Connection (else not_upgrade), method (405),
// HTTP/1.1 (400), no body (400), version 13 (426), one key of 16 bytes (400).
Upgrade check_upgrade(const HttpRequest& request);

// What a WebSocket-only route answers a plain request: 426.
Upgrade upgrade_required();

// The first of the client's list that is in `known` (case counts), as it stands in
// `known`: what is echoed are our own bytes. Empty: none, and no header is sent.
std::string_view choose_subprotocol(const HttpRequest& request, std::span<const std::string_view> known);

// The 101. `subprotocol` and `extensions` are of our own making; empty ones are left out.
void append_switching_protocols(std::vector<std::byte>& out, std::string_view key,
                                std::string_view subprotocol, std::string_view extensions = {});

// A refusal as the RFCs want it: 426 names what is spoken here (Upgrade,
// Sec-WebSocket-Version: 13), 405 names GET. Always says Connection: close.
void append_refusal(std::vector<std::byte>& out, const Upgrade& upgrade, bool head_only = false);

}  // namespace ringcast
