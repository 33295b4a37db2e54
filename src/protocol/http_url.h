// Whom we are the client of, as a URL says it: http://host[:port][/path] or https://…; what is
// asked for is appended to the path. Values only; any thread.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace ringcast {

struct HttpUrl {
  bool tls = false;
  std::string host;  // a name or an address, without brackets
  uint16_t port = 80;
  std::string path;       // "/_anycable", or empty
  std::string authority;  // as a Host header has it

  // On failure `*error` is one sentence.
  static std::optional<HttpUrl> parse(std::string_view text, std::string* error);

  std::string to_string() const { return (tls ? "https://" : "http://") + authority + path; }
};

}  // namespace ringcast
