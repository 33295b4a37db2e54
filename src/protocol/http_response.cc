#include "protocol/http_response.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <chrono>

#include "protocol/http_syntax.h"

namespace ringcast {
namespace {

using http::append;

struct Status {
  int code;
  std::string_view line;  // the phrase and a line end: also the body of error_reply
};

constexpr Status kStatuses[] = {
    {101, "Switching Protocols\n"},
    {200, "OK\n"},
    {201, "Created\n"},
    {202, "Accepted\n"},
    {204, "No Content\n"},
    {301, "Moved Permanently\n"},
    {302, "Found\n"},
    {303, "See Other\n"},
    {304, "Not Modified\n"},
    {307, "Temporary Redirect\n"},
    {308, "Permanent Redirect\n"},
    {400, "Bad Request\n"},
    {401, "Unauthorized\n"},
    {403, "Forbidden\n"},
    {404, "Not Found\n"},
    {405, "Method Not Allowed\n"},
    {406, "Not Acceptable\n"},
    {408, "Request Timeout\n"},
    {409, "Conflict\n"},
    {411, "Length Required\n"},
    {413, "Content Too Large\n"},
    {414, "URI Too Long\n"},
    {415, "Unsupported Media Type\n"},
    {417, "Expectation Failed\n"},
    {421, "Misdirected Request\n"},
    {422, "Unprocessable Content\n"},
    {426, "Upgrade Required\n"},
    {429, "Too Many Requests\n"},
    {431, "Request Header Fields Too Large\n"},
    {500, "Internal Server Error\n"},
    {501, "Not Implemented\n"},
    {502, "Bad Gateway\n"},
    {503, "Service Unavailable\n"},
    {504, "Gateway Timeout\n"},
    {505, "HTTP Version Not Supported\n"},
};

std::string_view status_line_end(int status) {
  const auto found = std::ranges::find(kStatuses, status, &Status::code);
  return found == std::end(kStatuses) ? "Unknown\n" : found->line;
}

void append_header(std::vector<std::byte>& out, std::string_view name, std::string_view value) {
  append(out, name);
  append(out, ": ");
  append(out, value);
  append(out, "\r\n");
}

void append_number(std::vector<std::byte>& out, size_t number) {
  std::array<char, 20> digits;
  const auto end = std::to_chars(digits.data(), digits.data() + digits.size(), number).ptr;
  append(out, {digits.data(), end});
}

// RFC 9112 6.3 rule 1: the recipient takes these to end with their head.
bool never_has_body(int status) {
  return status == 204 || status == 304;
}

// What append_response writes by itself, or what would change how the body is framed.
constexpr std::string_view kOwnHeaders[] = {"connection", "content-length", "content-type",
                                            "transfer-encoding", "upgrade"};

}  // namespace

std::string_view reason_phrase(int status) {
  std::string_view line = status_line_end(status);
  line.remove_suffix(1);
  return line;
}

bool sendable_header(const HttpHeader& header) {
  const auto is_it = [&](std::string_view own) { return equals_ignoring_case(own, header.name); };
  return http::is_token(header.name) && http::is_value(header.value) &&
         std::ranges::none_of(kOwnHeaders, is_it);
}

void append_response(std::vector<std::byte>& out, const HttpReply& reply) {
  const int status = reply.status >= 200 && reply.status <= 599 ? reply.status : 500;
  append(out, "HTTP/1.1 ");
  append_number(out, static_cast<size_t>(status));
  append(out, " ");
  append(out, reason_phrase(status));
  append(out, "\r\n");
  const bool has_body = !never_has_body(status);
  if (has_body) {
    if (!reply.content_type.empty() && http::is_value(reply.content_type)) {
      append_header(out, "Content-Type", reply.content_type);
    }
    append(out, "Content-Length: ");
    append_number(out, reply.body.size());
    append(out, "\r\n");
  }
  for (const HttpHeader& header : reply.headers) {
    if (sendable_header(header)) append_header(out, header.name, header.value);
  }
  // RFC 9110 7.8: an Upgrade field is named by the Connection field too.
  if (reply.offers_upgrade) append(out, "Upgrade: websocket\r\n");
  if (reply.offers_upgrade && reply.close) {
    append(out, "Connection: Upgrade, close\r\n");
  } else if (reply.offers_upgrade) {
    append(out, "Connection: Upgrade\r\n");
  } else if (reply.close) {
    append(out, "Connection: close\r\n");
  }
  append(out, "\r\n");
  if (has_body && !reply.head_only) append(out, reply.body);
}

void append_continue(std::vector<std::byte>& out) {
  append(out, "HTTP/1.1 100 Continue\r\n\r\n");
}

HttpReply error_reply(int status, bool close) {
  return {.status = status,
          .content_type = "text/plain; charset=utf-8",
          .body = status_line_end(status),
          .close = close};
}

std::string http_date(int64_t unix_s) {
  using namespace std::chrono;
  constexpr std::string_view kDays[] = {"Sun", "Mon", "Tue", "Wed", "Thu", "Fri", "Sat"};
  constexpr std::string_view kMonths[] = {"Jan", "Feb", "Mar", "Apr", "May", "Jun",
                                          "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"};
  const sys_seconds instant{std::chrono::seconds(unix_s)};
  const sys_days day = floor<days>(instant);
  const year_month_day date(day);
  const hh_mm_ss time(instant - day);

  std::string text;
  const auto two_digits = [&](int64_t number) {
    text += static_cast<char>('0' + number / 10 % 10);
    text += static_cast<char>('0' + number % 10);
  };
  text += kDays[weekday(day).c_encoding()];
  text += ", ";
  two_digits(static_cast<unsigned>(date.day()));
  text += ' ';
  text += kMonths[static_cast<unsigned>(date.month()) - 1];
  text += ' ';
  two_digits(static_cast<int>(date.year()) / 100);
  two_digits(static_cast<int>(date.year()) % 100);
  text += ' ';
  two_digits(time.hours().count());
  text += ':';
  two_digits(time.minutes().count());
  text += ':';
  two_digits(time.seconds().count());
  text += " GMT";
  return text;
}

}  // namespace ringcast
