// Where an answer begins, and above all where it ends.
#include "protocol/http_response_parser.h"

#include <algorithm>
#include <utility>

#include "base/ascii.h"
#include "base/assert.h"
#include "protocol/http_syntax.h"

namespace ringcast {
namespace {

struct StatusLine {
  int status;
  bool http_1_0;
};

// HTTP-version SP 3DIGIT [ SP reason-phrase ] (RFC 9112 4): the last space is often left out.
std::optional<StatusLine> parse_status_line(std::string_view line) {
  constexpr std::string_view kName = "HTTP/1.";
  if (!line.starts_with(kName) || line.size() < kName.size() + 5) return std::nullopt;
  line.remove_prefix(kName.size());
  if (!is_digit(line[0]) || line[1] != ' ') return std::nullopt;
  int status = 0;
  for (const char c : line.substr(2, 3)) {
    if (!is_digit(c)) return std::nullopt;
    status = status * 10 + (c - '0');
  }
  const std::string_view phrase = line.substr(5);
  if (status < 100 || status > 599 || (!phrase.empty() && phrase[0] != ' ') || !http::is_value(phrase)) {
    return std::nullopt;
  }
  return StatusLine{status, line[0] == '0'};
}

}  // namespace

HttpResponseParser::Event HttpResponseParser::next(Bytes& input) {
  for (;;) {
    if (const Step event = step(input)) return *event;
  }
}

HttpResponseParser::Step HttpResponseParser::step(Bytes& input) {
  switch (state_) {
    case State::status_line:
      return on_status_line(input);
    case State::field_line:
      return on_field_line(input);
    case State::fixed_body:
      return on_body(input, State::body_done);
    case State::chunk_size_line:
      return on_chunk_size_line(input);
    case State::chunk_data:
      return on_body(input, State::chunk_data_cr);
    case State::chunk_data_cr:
    case State::chunk_data_lf:
      return on_chunk_end(input);
    case State::trailer_line:
      return on_trailer_line(input);
    case State::body_until_close: {
      if (input.empty()) return Event{};
      if (input.size() > limits_.body_bytes_max - body_bytes_) return fail("the body is too long");
      body_bytes_ += input.size();
      return Event{.kind = Event::Kind::body, .body = std::exchange(input, Bytes{})};
    }
    case State::body_done:
      state_ = State::complete;
      return Event{.kind = Event::Kind::complete};
    case State::complete:
      return Event{};
    case State::failed:
      break;
  }
  return Event{.kind = Event::Kind::error, .reason = failure_};
}

HttpResponseParser::Event HttpResponseParser::closed() {
  if (state_ == State::body_until_close) {
    state_ = State::complete;
    return {.kind = Event::Kind::complete};
  }
  return fail(begun() ? "the connection ended within an answer" : "the connection ended without an answer");
}

HttpResponseParser::Event HttpResponseParser::fail(std::string_view reason) {
  if (state_ != State::failed) failure_ = reason;
  state_ = State::failed;
  return {.kind = Event::Kind::error, .reason = failure_};
}

// Moves bytes into line_ up to a line's end, and cuts that off. Nothing: line_ is whole.
HttpResponseParser::Step HttpResponseParser::take_line(Bytes& input, size_t bytes_max) {
  const std::string_view text = as_text(input);
  const size_t end = text.find('\n');
  const size_t taken = end == text.npos ? text.size() : end + 1;
  if (line_.size() + taken > bytes_max) return fail("the head is too long");
  line_ += text.substr(0, taken);
  input = input.subspan(taken);
  if (end == text.npos) return Event{};
  // A bare LF ends a line for some readers and not for others.
  if (!line_.ends_with("\r\n")) return fail("a line does not end in CRLF");
  line_.resize(line_.size() - 2);
  return std::nullopt;
}

HttpResponseParser::Step HttpResponseParser::on_status_line(Bytes& input) {
  if (Step more = take_line(input, limits_.head_bytes_max)) return more;
  const auto parsed = parse_status_line(line_);
  if (!parsed) return fail("no HTTP/1 status line");
  status_ = parsed->status;
  http_1_0_ = parsed->http_1_0;
  head_bytes_ += line_.size();
  line_.clear();
  state_ = State::field_line;
  return std::nullopt;
}

HttpResponseParser::Step HttpResponseParser::on_field_line(Bytes& input) {
  if (Step more = take_line(input, limits_.head_bytes_max - std::min(limits_.head_bytes_max, head_bytes_))) {
    return more;
  }
  if (line_.empty()) return finish_head();
  const auto field = http::parse_field(line_);
  if (!field) return fail("a malformed header");
  if (fields_.size() == limits_.headers_max) return fail("too many headers");
  fields_.push_back({std::string(field->name), std::string(field->value)});
  head_bytes_ += line_.size();
  line_.clear();
  return std::nullopt;
}

// RFC 9112 6.3, without the readings it merely tolerates.
HttpResponseParser::Step HttpResponseParser::finish_head() {
  if (status_ < 200) {
    if (status_ == 101) return fail("an upgrade that nobody asked for");
    interim_ = true;
    fields_.clear();
    state_ = State::status_line;  // head_bytes_ goes on: interim answers without end are a head without end
    return std::nullopt;
  }
  keep_alive_ = http_1_0_ ? connection_says("keep-alive") : !connection_says("close");
  const size_t lengths = count("content-length");
  const size_t encodings = count("transfer-encoding");
  if (status_ == 204 || status_ == 304) {
    state_ = State::body_done;
  } else if (encodings > 0) {
    if (lengths > 0) return fail("both Content-Length and Transfer-Encoding");
    if (http_1_0_ || encodings > 1 || !equals_ignoring_case(header("transfer-encoding"), "chunked")) {
      return fail("an unknown Transfer-Encoding");
    }
    state_ = State::chunk_size_line;
  } else if (lengths > 0) {
    const auto length = http::parse_length(header("content-length"));
    if (lengths > 1 || !length) return fail("a malformed Content-Length");
    if (*length > limits_.body_bytes_max) return fail("the body is too long");
    remaining_ = *length;
    state_ = remaining_ > 0 ? State::fixed_body : State::body_done;
  } else {
    keep_alive_ = false;
    state_ = State::body_until_close;
  }
  return Event{.kind = Event::Kind::head};
}

HttpResponseParser::Step HttpResponseParser::on_body(Bytes& input, State after) {
  if (input.empty()) return Event{};
  const auto taken = static_cast<size_t>(std::min<uint64_t>(remaining_, input.size()));
  const Event event{.kind = Event::Kind::body, .body = input.first(taken)};
  input = input.subspan(taken);
  remaining_ -= taken;
  if (remaining_ == 0) state_ = after;
  return event;
}

HttpResponseParser::Step HttpResponseParser::on_chunk_size_line(Bytes& input) {
  if (Step more = take_line(input, limits_.chunk_line_bytes_max)) return more;
  const auto size = http::parse_chunk_size(line_);
  if (!size) return fail("a malformed chunk size");
  line_.clear();
  if (size->bytes > limits_.body_bytes_max - body_bytes_) return fail("the body is too long");
  body_bytes_ += size->bytes;
  remaining_ = size->bytes;
  state_ = remaining_ > 0 ? State::chunk_data : State::trailer_line;
  return std::nullopt;
}

HttpResponseParser::Step HttpResponseParser::on_chunk_end(Bytes& input) {
  if (input.empty()) return Event{};
  const bool cr = state_ == State::chunk_data_cr;
  if (static_cast<char>(input.front()) != (cr ? '\r' : '\n')) return fail("a chunk does not end in CRLF");
  input = input.subspan(1);
  state_ = cr ? State::chunk_data_lf : State::chunk_size_line;
  return std::nullopt;
}

HttpResponseParser::Step HttpResponseParser::on_trailer_line(Bytes& input) {
  if (Step more = take_line(input, limits_.head_bytes_max - trailer_bytes_)) return more;
  if (line_.empty()) {
    state_ = State::body_done;
    return std::nullopt;
  }
  if (!http::parse_field(line_)) return fail("a malformed trailer");
  if (++trailers_ > limits_.headers_max) return fail("too many trailers");
  trailer_bytes_ += line_.size();
  line_.clear();
  return std::nullopt;
}

std::string_view HttpResponseParser::header(std::string_view name) const {
  for (const Field& field : fields_) {
    if (equals_ignoring_case(field.name, name)) return field.value;
  }
  return {};
}

size_t HttpResponseParser::count(std::string_view name) const {
  return static_cast<size_t>(std::ranges::count_if(
      fields_, [&](const Field& field) { return equals_ignoring_case(field.name, name); }));
}

bool HttpResponseParser::connection_says(std::string_view token) const {
  return std::ranges::any_of(fields_, [&](const Field& field) {
    return equals_ignoring_case(field.name, "connection") &&
           http::any_list_member(
               field.value, [&](std::string_view member) { return equals_ignoring_case(member, token); });
  });
}

void HttpResponseParser::reset() {
  RC_ASSERT(state_ == State::complete);
  *this = HttpResponseParser(HttpResponseLimits(limits_));
}

}  // namespace ringcast
