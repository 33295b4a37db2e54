// Redis URLs. Pure functions; any thread.
#include "adapter/redis_url.h"

#include <algorithm>

#include "base/number.h"
#include "protocol/url.h"

namespace ringcast {
namespace {

template <class Number>
bool read_number(std::string_view text, Number& number) {
  const std::optional<Number> read = parse_number<Number>(text);
  if (read) number = *read;
  return read.has_value();
}

bool decode(std::string_view text, std::string& to) {
  std::optional<std::string> decoded = percent_decode(text);
  if (!decoded || decoded->find('\0') != std::string::npos) return false;
  to = std::move(*decoded);
  return true;
}

// "?db=1&password=…", as the clients of several languages understand it.
bool read_query(std::string_view query, RedisUrl& url) {
  while (!query.empty()) {
    const size_t end = query.find('&');
    const std::string_view pair = query.substr(0, end);
    query = end == std::string_view::npos ? std::string_view() : query.substr(end + 1);
    const size_t equals = pair.find('=');
    if (equals == std::string_view::npos) return false;
    const std::string_view key = pair.substr(0, equals), value = pair.substr(equals + 1);
    if (key == "db" || key == "database") {
      if (!read_number(value, url.database)) return false;
    } else if (key == "password") {
      if (!decode(value, url.password)) return false;
    } else {
      return false;
    }
  }
  return true;
}

bool read_host(std::string_view text, RedisUrl& url) {
  if (text.starts_with('[')) {
    const size_t end = text.find(']');
    if (end == std::string_view::npos || end == 1) return false;
    url.host = text.substr(1, end - 1);
    text.remove_prefix(end + 1);
  } else {
    const size_t colon = text.find(':');
    if (colon != 0 && !text.empty() && !decode(text.substr(0, colon), url.host)) return false;
    text.remove_prefix(std::min(colon, text.size()));
  }
  if (text.empty()) return true;
  return text.starts_with(':') && read_number(text.substr(1), url.port) && url.port != 0;
}

}  // namespace

std::optional<RedisUrl> RedisUrl::parse(std::string_view text, std::string* error) {
  const auto refuse = [&](const char* why) {
    *error = why;
    return std::nullopt;
  };
  RedisUrl url;
  bool unix_socket = false;
  if (text.starts_with("redis://")) {
    text.remove_prefix(8);
  } else if (text.starts_with("rediss://")) {
    url.tls = true;
    text.remove_prefix(9);
  } else if (text.starts_with("unix:")) {
    unix_socket = true;
    text.remove_prefix(text.starts_with("unix://") ? 7 : 5);
  } else {
    return refuse("a Redis URL begins with redis://, rediss:// or unix://");
  }
  if (const size_t hash = text.find('#'); hash != std::string_view::npos) text = text.substr(0, hash);
  if (const size_t question = text.find('?'); question != std::string_view::npos) {
    if (!read_query(text.substr(question + 1), url)) {
      return refuse("the Redis URL's query holds more than db=NUMBER and password=TEXT");
    }
    text = text.substr(0, question);
  }

  const size_t slash = text.find('/');
  std::string_view authority = text.substr(0, slash);
  const std::string_view path = slash == std::string_view::npos ? std::string_view() : text.substr(slash);
  // A password may hold a bare '@': the last one ends it.
  if (const size_t at = authority.rfind('@'); at != std::string_view::npos) {
    const std::string_view login = authority.substr(0, at);
    authority.remove_prefix(at + 1);
    const size_t colon = login.find(':');
    const bool ok = colon == std::string_view::npos ? decode(login, url.user)
                                                    : decode(login.substr(0, colon), url.user) &&
                                                          decode(login.substr(colon + 1), url.password);
    if (!ok) return refuse("the Redis URL's user or password holds a malformed %-escape");
  }
  if (unix_socket) {
    if (!authority.empty() || path.size() < 2) {
      return refuse("a Redis socket's URL holds an absolute path, as in unix:///run/redis.sock");
    }
    if (!decode(path, url.unix_path)) return refuse("the Redis socket's path holds a malformed %-escape");
    return url;
  }
  if (!read_host(authority, url)) return refuse("the Redis URL's host or port is malformed");
  if (path.size() > 1 && !read_number(path.substr(1), url.database)) {
    return refuse("the path of a Redis URL is a database's number");
  }
  return url;
}

std::string RedisUrl::to_string() const {
  if (!unix_path.empty()) return "unix://" + unix_path + (database ? "?db=" + std::to_string(database) : "");
  const bool v6 = host.find(':') != std::string::npos;
  return std::string(tls ? "rediss://" : "redis://") + (v6 ? "[" + host + "]" : host) + ":" +
         std::to_string(port) + "/" + std::to_string(database);
}

}  // namespace ringcast
