// HTTP/1.1 requests (RFC 9110, 9112), bytes in and events out. The parser is
// strict where leniency has been a smuggling hole: what two readers could frame
// differently is an error, never a guess. A connection owns one while it speaks
// HTTP; no clock, no socket, any one thread.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string_view>
#include <utility>
#include <vector>

#include "base/bytes.h"

namespace ringcast {

// Each bound is inclusive and names the status a request past it is answered with.
struct HttpLimits {
  size_t request_line_bytes_max = 8 * 1024;     // 414; without its CRLF
  size_t header_line_bytes_max = 8 * 1024;      // 431; without its CRLF
  size_t head_bytes_max = 16 * 1024;            // 431; everything through the empty line
  size_t headers_max = 100;                     // 431; trailers are counted again from zero
  uint64_t body_bytes_max = 1024 * 1024;        // 413; after chunked decoding
  size_t chunk_line_bytes_max = 256;            // 400; size and extensions, without CRLF
  size_t chunk_extension_bytes_max = 4 * 1024;  // 400; all extensions of one body together
  size_t trailer_bytes_max = 4 * 1024;          // 431; trailers are checked and dropped
};

struct HttpHeader {
  std::string_view name;   // as sent: compare without case
  std::string_view value;  // optional whitespace around it trimmed
};

// One request's head. It owns the bytes its views point into, so it may be moved
// (and outlive the parser), not copied.
class HttpRequest {
 public:
  HttpRequest() = default;
  HttpRequest(HttpRequest&&) = default;
  HttpRequest& operator=(HttpRequest&&) = default;
  HttpRequest(const HttpRequest&) = delete;
  HttpRequest& operator=(const HttpRequest&) = delete;

  std::string_view method() const { return method_; }  // one of those known: see kHttpMethods
  std::string_view target() const { return target_; }  // as sent
  // The path still percent-encoded, its escapes known to be well-formed and not
  // %00; "/" for an absolute-form target without one, "*" for OPTIONS *.
  std::string_view path() const { return path_; }
  std::string_view query() const { return query_; }  // behind the '?', still encoded, unchecked
  int version_minor() const { return version_minor_; }

  std::span<const HttpHeader> headers() const { return headers_; }
  std::string_view header(std::string_view name) const;  // the first such line's value, or empty
  size_t count(std::string_view name) const;             // lines of that name
  // Whether the comma-separated lists of all lines of that name hold `token` (no case).
  bool has_token(std::string_view name, std::string_view token) const;

  std::string_view host() const { return header("host"); }  // syntactically valid, may be empty
  // What the client asks of the connection. HTTP/1.0 is always closed: its
  // keep-alive is an extension a server need not honour (RFC 9112 9.3).
  bool keep_alive() const;
  // Nothing when there is none; a chunked body has none either.
  std::optional<uint64_t> content_length() const { return content_length_; }
  bool chunked() const { return chunked_; }
  bool has_body() const { return chunked_ || content_length_.value_or(0) > 0; }

 private:
  friend class HttpRequestParser;

  std::vector<char> text_;  // never reallocated once views point into it
  std::vector<HttpHeader> headers_;
  std::string_view method_;
  std::string_view target_;
  std::string_view path_;
  std::string_view query_;
  std::optional<uint64_t> content_length_;
  int version_minor_ = 1;
  bool chunked_ = false;
};

class HttpRequestParser {
 public:
  explicit HttpRequestParser(const HttpLimits& limits);
  HttpRequestParser(HttpRequestParser&&) = default;
  HttpRequestParser& operator=(HttpRequestParser&&) = default;

  struct Event {
    enum class Kind {
      need_more,        // `input` is used up, or the request is complete and waits for reset()
      head,             // request() stands. The caller may stop here for good (an upgrade).
      expect_continue,  // at most once, behind head: the client waits for "100 Continue" or a refusal
      body,             // `body` aliases input: it dies with the receive buffer
      complete,         // the request's last byte is behind us
      error,            // answer `status` and close; every further call says the same
    };
    Kind kind = Kind::need_more;
    Bytes body = {};
    int status = 0;                // of an error: 400 413 414 417 431 501 505
    std::string_view reason = {};  // of an error: constant text for our log, holds no client bytes
  };

  // Consumes a prefix of `input` and reports the first thing it held. After `head`
  // and after `complete`, `input` starts at the first byte behind it. Which events
  // come depends on the bytes alone, never on how they were cut; only body bytes
  // may come in more pieces.
  Event next(MutableBytes& input);

  // Valid from `head` on until reset() or release_request().
  const HttpRequest& request() const { return request_; }
  // Hands the head over to who needs it longer than the parser lives (an upgraded connection).
  HttpRequest release_request() { return std::move(request_); }

  // A route may have its own bound: takes effect for a body when set at `head`.
  void set_body_bytes_max(uint64_t body_bytes_max) { limits_.body_bytes_max = body_bytes_max; }

  // For the next request of a keep-alive connection, after `complete`; never
  // after an error. Restores the body bound given at construction.
  void reset();

  // Whether a request has begun (a byte of its request line has come): what an
  // idle keep-alive connection is told from a slow request by.
  bool begun() const;

  // Bytes copied from inputs and still kept: <= head_bytes_max + the largest line bound.
  size_t held_bytes() const;

 private:
  enum class State : uint8_t {
    request_line,
    header_line,
    head_done,   // head is reported; the body's framing is acted on at the next call
    fixed_body,  // remaining_ bytes to go
    chunk_size_line,
    chunk_data,  // remaining_ bytes to go
    chunk_data_cr,
    chunk_data_lf,
    trailer_line,
    body_done,  // complete is due
    complete,
    failed,
  };
  // Where a header lies in the text while that may still move.
  struct Field {
    uint32_t name_at, name_bytes, value_at, value_bytes;
  };
  // A step of the state machine: the event it ended with, or nothing to go on.
  using Step = std::optional<Event>;

  Step on_request_line(MutableBytes& input);
  Step on_header_line(MutableBytes& input);
  Step on_chunk_size_line(MutableBytes& input);
  Step on_chunk_end(MutableBytes& input);
  Step on_trailer_line(MutableBytes& input);
  Step on_body_bytes(MutableBytes& input, State after);
  Step begin_body();
  Step finish_head();
  Step check_framing();
  Step check_expectation();
  Event fail(int status, std::string_view reason);

  HttpLimits limits_;
  HttpRequest request_;
  std::vector<Field> fields_;
  std::vector<char> line_;   // an unfinished chunk or trailer line
  uint64_t body_bytes_max_;  // as constructed; limits_ holds the one in force
  uint64_t remaining_ = 0;   // of the body, or of the chunk, begun
  uint64_t body_bytes_ = 0;  // announced so far by chunk sizes
  size_t line_at_ = 0;       // where the line being read starts in the text
  size_t extension_bytes_ = 0;
  size_t trailer_bytes_ = 0;
  size_t trailers_ = 0;
  std::string_view error_reason_;
  int error_status_ = 0;
  State state_ = State::request_line;
  bool empty_line_skipped_ = false;
  bool continue_due_ = false;
};

// Methods the parser lets through; whether a route has them is the router's 405.
// Others are 501 (RFC 9110 9.1): CONNECT and TRACE have no meaning here.
inline constexpr std::string_view kHttpMethods[] = {"GET",    "HEAD",  "POST",   "PUT",
                                                    "DELETE", "PATCH", "OPTIONS"};

}  // namespace ringcast
