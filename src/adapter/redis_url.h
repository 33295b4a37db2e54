// Where a Redis is and how to log in to it, as a URL says it. Values only; any thread.
//
//   redis://[[user]:password@]host[:port][/database]
//   rediss://…                            the same with TLS
//   unix://[[user]:password@]/path[?db=N]  or unix:/path
//
// Percent-escapes are decoded in user, password and path.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace ringcast {

struct RedisUrl {
  bool tls = false;
  std::string host = "localhost";  // a name or an address, without brackets
  uint16_t port = 6379;
  std::string unix_path = {};  // not empty: host and port mean nothing
  std::string user = {};
  std::string password = {};
  uint32_t database = 0;

  // On failure `*error` is one sentence, which does not repeat the password.
  static std::optional<RedisUrl> parse(std::string_view text, std::string* error);

  // For logs: without the password.
  std::string to_string() const;
};

}  // namespace ringcast
