// Whether and how a connection compresses: the negotiation of permessage-deflate, RFC
// 7692 section 7.1, out of the client's Sec-WebSocket-Extensions. What was agreed is a
// value; protocol/deflate.h acts on it. Values only; any thread.
//
// What this server always does: it compresses each message by itself
// (server_no_context_takeover), so that one compressed frame fits every receiver of a
// broadcast, and it has two windows to do so, full and smallest. A client that caps the
// server's window at all gets the smallest.
#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "protocol/http_request.h"

namespace ringcast {

inline constexpr uint8_t kWindowBitsMax = 15;
inline constexpr uint8_t kWindowBitsMin = 9;  // zlib compresses raw deflate with no less

struct DeflatePolicy {
  // Whether clients may compress with what they sent before in mind. It saves them bytes
  // and pins some 40 KiB here for each connection that does.
  bool client_takeover = false;
};

struct DeflateParameters {
  uint8_t server_window_bits_cap = 0;  // server_max_window_bits as offered, 9..15; 0: none
  uint8_t client_window_bits = 0;      // client_max_window_bits as offered and answered, 8..15; 0: unsaid
  bool client_no_context_takeover = true;

  // The window of the Deflater whose frames this client takes.
  uint8_t sender_window_bits() const {
    return server_window_bits_cap == 0 || server_window_bits_cap == kWindowBitsMax ? kWindowBitsMax
                                                                                   : kWindowBitsMin;
  }

  friend bool operator==(const DeflateParameters&, const DeflateParameters&) = default;
};

// The first of the client's offers, over all header lines in order, that can be met: its
// parameters are known, told once, and hold what they may. Names and values count by
// their case. Nothing if there is none, or if a line is not a list of extensions
// (RFC 6455 section 9.1): then nothing in any line is trusted.
std::optional<DeflateParameters> negotiate_deflate(const HttpRequest& request, const DeflatePolicy& policy);

// The value of the answer's Sec-WebSocket-Extensions.
std::string deflate_response(const DeflateParameters& parameters);

}  // namespace ringcast
