// HTTP/1.1 responses with a known length, encoded at once. Nothing a client sent
// reaches a header: texts of errors are constant, and a header value that could
// split the response is left out. Values only; any thread.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/bytes.h"
#include "protocol/http_request.h"

namespace ringcast {

struct HttpReply {
  int status = 200;
  std::string_view content_type = {};  // empty: no such header
  std::string_view body = {};
  std::span<const HttpHeader> headers = {};  // besides Content-Type, Content-Length and Connection
  bool close = false;                        // says Connection: close; closing is the caller's
  bool offers_upgrade = false;               // Upgrade: websocket, for 426
  bool head_only = false;                    // answers HEAD: the length is told, the body left out
};

// A status outside 200..599 is sent as 500; 204 and 304 carry no body whatever `body` says.
void append_response(std::vector<std::byte>& out, const HttpReply& reply);

// "Sun, 06 Nov 1994 08:49:37 GMT". Nobody below io/ reads a clock: whoever does hands
// append_response a Date header, which RFC 9110 6.6.1 wants in all but 101 and 5xx.
std::string http_date(int64_t unix_s);

// The interim answer to Event::Kind::expect_continue.
void append_continue(std::vector<std::byte>& out);

// "Not Found" for 404; "Unknown" for a number we never send.
std::string_view reason_phrase(int status);

// A plain-text answer whose body is the reason phrase and a line end. It closes
// by default: after an error of framing nobody knows where the next request starts.
HttpReply error_reply(int status, bool close = true);

// Whether this line can be sent without changing the response's shape: the name
// is a token, the value holds no control character, and the field is not one of
// those append_response writes itself.
bool sendable_header(const HttpHeader& header);

}  // namespace ringcast
