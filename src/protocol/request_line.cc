#include "protocol/request_line.h"

#include <algorithm>
#include <cstddef>

#include "protocol/http_request.h"
#include "protocol/http_syntax.h"
#include "protocol/url.h"

namespace ringcast::http {
namespace {

// Longer ones are not merely unknown; nobody needs them spelled out in a log.
constexpr size_t kMethodBytesMax = 16;

RequestLine refuse(int status, std::string_view reason) {
  RequestLine line;
  line.status = status;
  line.reason = reason;
  return line;
}

// Visible ASCII but '#': a fragment is never sent, and everything else has to come
// percent-encoded. Stricter than some servers, so that no two of us cut it differently.
bool is_target(std::string_view target) {
  return !target.empty() &&
         std::all_of(target.begin(), target.end(), [](char c) { return c > 0x20 && c < 0x7f && c != '#'; });
}

bool has_sound_escapes(std::string_view path) {
  for (size_t at = path.find('%'); at != std::string_view::npos; at = path.find('%', at + 3)) {
    if (path.size() - at < 3) return false;
    const int high = hex_value(path[at + 1]);
    const int low = hex_value(path[at + 2]);
    if (high < 0 || low < 0 || high + low == 0) return false;
  }
  return true;
}

// Cuts a "scheme://authority" off the front of `rest`. False if there is none we serve.
bool take_authority(std::string_view& rest, RequestLine& line) {
  const size_t colon = rest.find("://");
  if (colon == std::string_view::npos) return false;
  const std::string_view scheme = rest.substr(0, colon);
  line.https = equals_ignoring_case(scheme, "https");
  if (!line.https && !equals_ignoring_case(scheme, "http")) return false;
  rest.remove_prefix(colon + 3);
  line.authority = rest.substr(0, rest.find_first_of("/?"));
  rest.remove_prefix(line.authority.size());
  return parse_host(line.authority).has_value();
}

}  // namespace

RequestLine parse_request_line(std::string_view text) {
  RequestLine line;
  const size_t method_bytes = text.find(' ');
  if (method_bytes == std::string_view::npos) return refuse(400, "malformed request line");
  line.method = text.substr(0, method_bytes);
  const size_t target_bytes = text.find(' ', method_bytes + 1);
  if (target_bytes == std::string_view::npos) return refuse(400, "malformed request line");
  line.target = text.substr(method_bytes + 1, target_bytes - method_bytes - 1);
  const std::string_view version = text.substr(target_bytes + 1);

  if (!is_token(line.method) || !is_target(line.target)) return refuse(400, "malformed request line");
  if (version.size() != 8 || !version.starts_with("HTTP/") || !is_digit(version[5]) || version[6] != '.' ||
      !is_digit(version[7])) {
    return refuse(400, "malformed HTTP version");
  }
  if (version[5] != '1') return refuse(505, "unsupported HTTP version");
  line.version_minor = version[7] - '0';
  if (line.method.size() > kMethodBytesMax ||
      std::ranges::find(kHttpMethods, line.method) == std::end(kHttpMethods)) {
    return refuse(501, "unknown method");
  }

  if (line.target == "*") {
    if (line.method != "OPTIONS") return refuse(400, "malformed target");
    line.path = line.target;
    return line;
  }
  std::string_view rest = line.target;
  if (rest.front() != '/' && !take_authority(rest, line)) return refuse(400, "malformed target");
  const size_t question = rest.find('?');
  line.path = rest.substr(0, question);
  if (question != std::string_view::npos) line.query = rest.substr(question + 1);
  if (line.path.empty()) line.path = "/";  // http://host and http://host?query
  if (!has_sound_escapes(line.path)) return refuse(400, "malformed escape in the path");
  return line;
}

}  // namespace ringcast::http
