#include "protocol/http_url.h"

#include "base/number.h"
#include "protocol/url.h"

namespace ringcast {

std::optional<HttpUrl> HttpUrl::parse(std::string_view text, std::string* error) {
  const auto refuse = [&](const char* why) {
    *error = why;
    return std::nullopt;
  };
  HttpUrl url;
  if (text.starts_with("http://")) {
    text.remove_prefix(7);
  } else if (text.starts_with("https://")) {
    url.tls = true;
    url.port = 443;
    text.remove_prefix(8);
  } else {
    return refuse("it begins with http:// or https://");
  }
  for (const char c : text) {
    // What would end the request's line, or its header.
    if (c <= ' ' || c >= 0x7f) return refuse("it holds a character that no URL has");
  }
  if (text.find_first_of("?#@") != text.npos) return refuse("it has no query, no fragment and no user");

  const size_t slash = text.find('/');
  url.authority = text.substr(0, slash);
  if (slash != text.npos) url.path = text.substr(slash);
  while (url.path.ends_with('/')) url.path.pop_back();
  const std::optional<HostPort> host = parse_host(url.authority);
  if (!host || host->host.empty()) return refuse("its host is malformed");
  if (url.authority.ends_with(':')) return refuse("its port is none");
  url.host = host->host;
  if (url.host.starts_with('[')) url.host = url.host.substr(1, url.host.size() - 2);
  if (!host->port.empty()) {
    url.port = parse_number<uint16_t>(host->port).value_or(0);
    if (url.port == 0) return refuse("its port is none");
  }
  return url;
}

}  // namespace ringcast
