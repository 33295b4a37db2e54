// HTTP/1.1 answers as a client reads them (RFC 9112), for requests other than HEAD and
// CONNECT: bytes in, events out, pulled by the caller. Strict where two readers could
// disagree about where an answer ends: that connection is of no use any more. Values only;
// one owner.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/bytes.h"

namespace ringcast {

struct HttpResponseLimits {
  size_t head_bytes_max = 16 * 1024;  // the status line and the fields, and the trailers again
  size_t headers_max = 100;
  uint64_t body_bytes_max = 1024 * 1024;
  size_t chunk_line_bytes_max = 256;
};

class HttpResponseParser {
 public:
  struct Event {
    enum class Kind : uint8_t {
      need_more,  // all of the input is taken
      head,       // status() and the headers are there
      body,       // `body` is its next piece, a view into the input
      complete,   // and nothing more before reset()
      error,      // `reason` is a literal; for good
    };
    Kind kind = Kind::need_more;
    Bytes body = {};
    std::string_view reason = {};
  };

  explicit HttpResponseParser(const HttpResponseLimits& limits) : limits_(limits) {}

  // Takes a prefix of `input`. What follows a complete answer stays there: nobody asked for it.
  Event next(Bytes& input);
  // The peer has closed: complete if just that ends the body, else an error.
  Event closed();

  // Good from `head` until reset().
  int status() const { return status_; }
  std::string_view header(std::string_view name) const;  // the first of that name, or empty

  // Once it is complete: whether the connection can carry another request.
  bool keep_alive() const { return keep_alive_; }

  // Whether anything of an answer has come.
  bool begun() const { return state_ != State::status_line || !line_.empty() || interim_; }
  // What it keeps between two inputs.
  size_t held_bytes() const { return line_.size() + head_bytes_; }

  // REQUIRES: complete. The next answer on the connection.
  void reset();
  // In whatever state: another connection.
  void abandon() { *this = HttpResponseParser(HttpResponseLimits(limits_)); }

 private:
  enum class State : uint8_t {
    status_line,
    field_line,
    fixed_body,
    chunk_size_line,
    chunk_data,
    chunk_data_cr,
    chunk_data_lf,
    trailer_line,
    body_until_close,
    body_done,
    complete,
    failed,
  };
  using Step = std::optional<Event>;  // nothing: go on

  struct Field {
    std::string name;
    std::string value;
  };

  Step step(Bytes& input);
  Step take_line(Bytes& input, size_t bytes_max);
  Step on_status_line(Bytes& input);
  Step on_field_line(Bytes& input);
  Step finish_head();
  Step on_chunk_size_line(Bytes& input);
  Step on_chunk_end(Bytes& input);
  Step on_trailer_line(Bytes& input);
  Step on_body(Bytes& input, State after);
  Event fail(std::string_view reason);
  size_t count(std::string_view name) const;
  bool connection_says(std::string_view token) const;

  HttpResponseLimits limits_;
  State state_ = State::status_line;
  bool interim_ = false;  // a 1xx came before
  bool keep_alive_ = false;
  bool http_1_0_ = false;
  int status_ = 0;
  std::string line_;  // the unfinished one; whole once it ends in LF
  size_t head_bytes_ = 0;
  size_t trailer_bytes_ = 0;
  size_t trailers_ = 0;
  std::vector<Field> fields_;
  uint64_t remaining_ = 0;  // of the body, or of the chunk
  uint64_t body_bytes_ = 0;
  std::string_view failure_;
};

}  // namespace ringcast
