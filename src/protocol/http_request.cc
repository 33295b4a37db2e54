// The request parser's state machine. It takes whole lines (copied into a bounded
// buffer, so that an unfinished one can wait for its rest) and body bytes (never
// copied). Every decision is a function of the bytes up to some offset, never of
// where an input ended: limits are judged before syntax for the same reason.
#include "protocol/http_request.h"

#include <algorithm>
#include <limits>

#include "base/assert.h"
#include "protocol/http_syntax.h"
#include "protocol/request_line.h"
#include "protocol/url.h"

namespace ringcast {
namespace {

using Event = HttpRequestParser::Event;

// A keep-alive connection keeps its text buffer between requests if it is no larger.
constexpr size_t kIdleTextBytesMax = 2 * 1024;

// What a browser sends, or a little more.
constexpr size_t kUsualHeadBytes = 1024;
constexpr size_t kUsualHeaders = 16;

enum class Line { partial, whole, too_long };

// Moves bytes of `input` to the end of `to` until the line that began at `line_at` has
// its LF. At most `line_bytes_max` + CRLF: too_long depends on the line alone, because it
// is said exactly when that many bytes of it hold no LF.
Line take_line(MutableBytes& input, std::vector<char>& to, size_t line_at, size_t line_bytes_max) {
  const size_t wanted = line_bytes_max + 2 - (to.size() - line_at);
  const std::string_view seen = as_text(input.first(std::min(wanted, input.size())));
  const size_t lf = seen.find('\n');
  if (lf == std::string_view::npos && seen.size() == wanted) return Line::too_long;
  const std::string_view taken = lf == std::string_view::npos ? seen : seen.substr(0, lf + 1);
  to.insert(to.end(), taken.begin(), taken.end());
  input = input.subspan(taken.size());
  return lf == std::string_view::npos ? Line::partial : Line::whole;
}

// What stands before the CRLF. Nothing when the LF is bare or a CR is elsewhere, which
// RFC 9112 2.2 lets us read leniently and which smugglers hope for.
std::optional<std::string_view> line_content(const std::vector<char>& text, size_t line_at) {
  std::string_view line(text.data() + line_at, text.size() - line_at);
  line.remove_suffix(1);
  if (!line.ends_with('\r')) return std::nullopt;
  line.remove_suffix(1);
  if (line.find('\r') != std::string_view::npos) return std::nullopt;
  return line;
}

// The same server: hosts equal without case, ports equal with the scheme's default filled in.
bool same_authority(std::string_view authority, std::string_view host, bool https) {
  const auto a = parse_host(authority);
  const auto b = parse_host(host);
  if (!a || !b || !equals_ignoring_case(a->host, b->host)) return false;
  const std::string_view standard = https ? "443" : "80";
  return (a->port.empty() ? standard : a->port) == (b->port.empty() ? standard : b->port);
}

}  // namespace

std::string_view HttpRequest::header(std::string_view name) const {
  for (const HttpHeader& header : headers_) {
    if (equals_ignoring_case(header.name, name)) return header.value;
  }
  return {};
}

size_t HttpRequest::count(std::string_view name) const {
  return static_cast<size_t>(std::ranges::count_if(
      headers_, [&](const HttpHeader& header) { return equals_ignoring_case(header.name, name); }));
}

bool HttpRequest::has_token(std::string_view name, std::string_view token) const {
  const auto is_token = [&](std::string_view member) { return equals_ignoring_case(member, token); };
  return std::ranges::any_of(headers_, [&](const HttpHeader& header) {
    return equals_ignoring_case(header.name, name) && http::any_list_member(header.value, is_token);
  });
}

bool HttpRequest::keep_alive() const {
  return version_minor_ >= 1 && !has_token("connection", "close");
}

HttpRequestParser::HttpRequestParser(const HttpLimits& limits)
    : limits_(limits), body_bytes_max_(limits.body_bytes_max) {
  // Field holds 32-bit offsets.
  RC_ASSERT(limits.head_bytes_max <= std::numeric_limits<uint32_t>::max());
}

Event HttpRequestParser::next(MutableBytes& input) {
  for (;;) {
    Step step;
    switch (state_) {
      case State::request_line:
        step = on_request_line(input);
        break;
      case State::header_line:
        step = on_header_line(input);
        break;
      case State::head_done:
        step = begin_body();
        break;
      case State::fixed_body:
        step = on_body_bytes(input, State::body_done);
        break;
      case State::chunk_size_line:
        step = on_chunk_size_line(input);
        break;
      case State::chunk_data:
        step = on_body_bytes(input, State::chunk_data_cr);
        break;
      case State::chunk_data_cr:
      case State::chunk_data_lf:
        step = on_chunk_end(input);
        break;
      case State::trailer_line:
        step = on_trailer_line(input);
        break;
      case State::body_done:
        state_ = State::complete;
        return {.kind = Event::Kind::complete};
      case State::complete:
        return {};
      case State::failed:
        return {.kind = Event::Kind::error, .status = error_status_, .reason = error_reason_};
    }
    if (step) return *step;
  }
}

Event HttpRequestParser::fail(int status, std::string_view reason) {
  state_ = State::failed;
  error_status_ = status;
  error_reason_ = reason;
  return {.kind = Event::Kind::error, .status = status, .reason = reason};
}

HttpRequestParser::Step HttpRequestParser::on_request_line(MutableBytes& input) {
  std::vector<char>& text = request_.text_;
  if (input.empty()) return Event{};
  if (text.empty()) {
    // Whoever speaks TLS or anything else to this port is told at its first byte,
    // not when the handshake deadline ends its wait for an LF.
    const char first = static_cast<char>(input.front());
    if (!http::is_token_char(first) && first != '\r') return fail(400, "not an HTTP request");
    // Room for a head that came whole, as nearly all do: growing line by line would cost an
    // upgrade ten allocations.
    text.reserve(std::min(input.size(), kUsualHeadBytes));
    fields_.reserve(kUsualHeaders);
  }
  switch (take_line(input, text, 0, std::min(limits_.request_line_bytes_max, limits_.head_bytes_max))) {
    case Line::partial:
      return Event{};
    case Line::too_long:
      return fail(414, "request line too long");
    case Line::whole:
      break;
  }
  const auto content = line_content(text, 0);
  if (!content) return fail(400, "line does not end in CRLF");
  if (content->empty()) {
    // RFC 9112 2.2: one stray CRLF after a previous body is forgiven.
    if (empty_line_skipped_) return fail(400, "empty line instead of a request line");
    empty_line_skipped_ = true;
    text.clear();
    return std::nullopt;
  }
  const http::RequestLine line = http::parse_request_line(*content);
  if (line.status != 0) return fail(line.status, line.reason);
  line_at_ = text.size();
  state_ = State::header_line;
  return std::nullopt;
}

HttpRequestParser::Step HttpRequestParser::on_header_line(MutableBytes& input) {
  std::vector<char>& text = request_.text_;
  const size_t head_bytes_left = limits_.head_bytes_max - std::min(line_at_, limits_.head_bytes_max);
  if (head_bytes_left < 2) return fail(431, "request head too long");
  switch (take_line(input, text, line_at_, std::min(limits_.header_line_bytes_max, head_bytes_left - 2))) {
    case Line::partial:
      return Event{};
    case Line::too_long:
      return fail(431, "request head too long");
    case Line::whole:
      break;
  }
  const auto content = line_content(text, line_at_);
  if (!content) return fail(400, "line does not end in CRLF");
  if (content->empty()) return finish_head();
  if (fields_.size() == limits_.headers_max) return fail(431, "too many headers");
  const auto field = http::parse_field(*content);
  if (!field) return fail(400, "malformed header");
  const auto at = [&](std::string_view view) { return static_cast<uint32_t>(view.data() - text.data()); };
  fields_.push_back({at(field->name), static_cast<uint32_t>(field->name.size()), at(field->value),
                     static_cast<uint32_t>(field->value.size())});
  line_at_ = text.size();
  return std::nullopt;
}

HttpRequestParser::Step HttpRequestParser::finish_head() {
  const std::string_view text(request_.text_.data(), request_.text_.size());
  request_.headers_.reserve(fields_.size());
  for (const Field& field : fields_) {
    request_.headers_.push_back(
        {text.substr(field.name_at, field.name_bytes), text.substr(field.value_at, field.value_bytes)});
  }
  fields_.clear();
  // Cut a second time: the text may have moved since the line was judged.
  const http::RequestLine line = http::parse_request_line(text.substr(0, text.find('\r')));
  RC_ASSERT(line.status == 0);
  request_.method_ = line.method;
  request_.target_ = line.target;
  request_.path_ = line.path;
  request_.query_ = line.query;
  request_.version_minor_ = line.version_minor;

  // RFC 9112 3.2. One Host, well-formed; an absolute target overrides it there, and here
  // must agree with it, or a proxy in front of us might have routed by the other one.
  const size_t hosts = request_.count("host");
  const std::string_view host = request_.host();
  if (hosts > 1 || (hosts == 0 && line.version_minor >= 1)) return fail(400, "not exactly one Host");
  if (!host.empty() && !parse_host(host)) return fail(400, "malformed Host");
  if (!line.authority.empty() && hosts == 1 && !same_authority(line.authority, host, line.https)) {
    return fail(400, "target and Host differ");
  }
  if (Step refused = check_framing()) return refused;
  if (Step refused = check_expectation()) return refused;
  state_ = State::head_done;
  return Event{.kind = Event::Kind::head};
}

// RFC 9112 6.1-6.3, without the readings it merely tolerates.
HttpRequestParser::Step HttpRequestParser::check_framing() {
  const size_t lengths = request_.count("content-length");
  const size_t encodings = request_.count("transfer-encoding");
  if (encodings > 0) {
    if (lengths > 0) return fail(400, "both Content-Length and Transfer-Encoding");
    if (request_.version_minor_ == 0) return fail(400, "Transfer-Encoding in HTTP/1.0");
    if (encodings > 1 || !equals_ignoring_case(request_.header("transfer-encoding"), "chunked")) {
      return fail(501, "unsupported Transfer-Encoding");
    }
    request_.chunked_ = true;
  } else if (lengths > 0) {
    if (lengths > 1) return fail(400, "more than one Content-Length");
    request_.content_length_ = http::parse_length(request_.header("content-length"));
    if (!request_.content_length_) return fail(400, "malformed Content-Length");
  }
  return std::nullopt;
}

// RFC 9110 10.1.1. Whether the interim answer is due is a matter of the head alone, not
// of the body having come along with it: a spare 100 is harmless.
HttpRequestParser::Step HttpRequestParser::check_expectation() {
  if (request_.version_minor_ == 0 || request_.count("expect") == 0) return std::nullopt;
  for (const HttpHeader& header : request_.headers_) {
    if (!equals_ignoring_case(header.name, "expect")) continue;
    const auto is_foreign = [](std::string_view member) {
      return !equals_ignoring_case(member, "100-continue");
    };
    if (http::any_list_member(header.value, is_foreign)) return fail(417, "unknown expectation");
  }
  continue_due_ = request_.has_token("expect", "100-continue") && request_.has_body();
  return std::nullopt;
}

HttpRequestParser::Step HttpRequestParser::begin_body() {
  const uint64_t announced = request_.content_length_.value_or(0);
  if (announced > limits_.body_bytes_max) return fail(413, "body too long");
  if (continue_due_) {
    continue_due_ = false;
    return Event{.kind = Event::Kind::expect_continue};
  }
  if (request_.chunked_) {
    state_ = State::chunk_size_line;
  } else {
    remaining_ = announced;
    state_ = announced > 0 ? State::fixed_body : State::body_done;
  }
  return std::nullopt;
}

HttpRequestParser::Step HttpRequestParser::on_body_bytes(MutableBytes& input, State after) {
  RC_ASSERT(remaining_ > 0);
  if (input.empty()) return Event{};
  const size_t count = static_cast<size_t>(std::min<uint64_t>(remaining_, input.size()));
  const Event event{.kind = Event::Kind::body, .body = input.first(count)};
  input = input.subspan(count);
  remaining_ -= count;
  if (remaining_ == 0) state_ = after;
  return event;
}

HttpRequestParser::Step HttpRequestParser::on_chunk_size_line(MutableBytes& input) {
  switch (take_line(input, line_, 0, limits_.chunk_line_bytes_max)) {
    case Line::partial:
      return Event{};
    case Line::too_long:
      return fail(400, "chunk size line too long");
    case Line::whole:
      break;
  }
  const auto content = line_content(line_, 0);
  const auto size = content ? http::parse_chunk_size(*content) : std::nullopt;
  line_.clear();
  if (!size) return fail(400, "malformed chunk size");
  // One bound for all of them, or a body of one-byte chunks could carry any amount.
  extension_bytes_ += size->extension_bytes;
  if (extension_bytes_ > limits_.chunk_extension_bytes_max) return fail(400, "chunk extensions too long");
  if (size->bytes > limits_.body_bytes_max - std::min(body_bytes_, limits_.body_bytes_max)) {
    return fail(413, "body too long");
  }
  body_bytes_ += size->bytes;
  remaining_ = size->bytes;
  state_ = remaining_ > 0 ? State::chunk_data : State::trailer_line;
  return std::nullopt;
}

HttpRequestParser::Step HttpRequestParser::on_chunk_end(MutableBytes& input) {
  if (input.empty()) return Event{};
  const bool expects_cr = state_ == State::chunk_data_cr;
  if (static_cast<char>(input.front()) != (expects_cr ? '\r' : '\n'))
    return fail(400, "chunk does not end in CRLF");
  input = input.subspan(1);
  state_ = expects_cr ? State::chunk_data_lf : State::chunk_size_line;
  return std::nullopt;
}

HttpRequestParser::Step HttpRequestParser::on_trailer_line(MutableBytes& input) {
  const size_t left = limits_.trailer_bytes_max - trailer_bytes_;
  switch (take_line(input, line_, 0, std::min(limits_.header_line_bytes_max, left))) {
    case Line::partial:
      return Event{};
    case Line::too_long:
      return fail(431, "trailers too long");
    case Line::whole:
      break;
  }
  const auto content = line_content(line_, 0);
  if (!content) return fail(400, "line does not end in CRLF");
  if (content->empty()) {
    state_ = State::body_done;
  } else {
    if (trailers_ == limits_.headers_max) return fail(431, "too many trailers");
    if (!http::parse_field(*content)) return fail(400, "malformed trailer");
    ++trailers_;
    trailer_bytes_ += content->size();
  }
  line_.clear();
  return std::nullopt;
}

void HttpRequestParser::reset() {
  RC_ASSERT(state_ == State::complete);
  std::vector<char> text = std::move(request_.text_);
  limits_.body_bytes_max = body_bytes_max_;
  *this = HttpRequestParser(HttpLimits(limits_));
  if (text.capacity() <= kIdleTextBytesMax) {
    text.clear();
    request_.text_ = std::move(text);
  }
}

bool HttpRequestParser::begun() const {
  return state_ != State::request_line || !request_.text_.empty();
}

size_t HttpRequestParser::held_bytes() const {
  return request_.text_.size() + line_.size();
}

}  // namespace ringcast
