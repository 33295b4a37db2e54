// URLs as requests carry them: percent-encoding, paths and the patterns that
// route them, hosts. Everything is decoded once, after it was cut, so an encoded
// delimiter never becomes a delimiter. Values only; any thread.
#pragma once

#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace ringcast {

// Nothing when an escape is not %XX with two hex digits. '+' stays '+'.
std::optional<std::string> percent_decode(std::string_view text);

// A request's path: decoded segments, "." dropped and ".." applied (not past the
// root), whether they came encoded or not. A segment may hold '/' (from %2F), so
// segments are never joined and cut again.
class UrlPath {
 public:
  // Nothing when it does not begin with '/', an escape is malformed, or %00 occurs.
  static std::optional<UrlPath> parse(std::string_view raw_path);

  // "/" has none; "/a//b" has an empty one in the middle; a trailing '/' adds none.
  std::span<const std::string> segments() const { return segments_; }

 private:
  std::vector<std::string> segments_;
};

struct PathParameter {
  std::string name;
  std::string value;  // decoded; not empty, holds no '/'; otherwise any bytes but NUL
};

// A route: "/cable", "/websocket/:room", "/files/*". Literal segments match their
// own bytes, ":name" one segment that is neither empty nor holds an encoded '/',
// a final "*" any number of further segments. A trailing '/' of the path does not count.
class PathPattern {
 public:
  // REQUIRES: valid(pattern).
  explicit PathPattern(std::string_view pattern);
  static bool valid(std::string_view pattern);

  // Nothing: no match. Parameters in the pattern's order.
  std::optional<std::vector<PathParameter>> match(const UrlPath& path) const;
  // The place of a parameter among those of a match.
  std::optional<size_t> parameter_index(std::string_view name) const;

 private:
  struct Segment {
    std::string text;  // the literal, or the parameter's name
    bool parameter = false;
  };
  std::vector<Segment> segments_;
  bool any_tail_ = false;
};

// "host", "host:port", "[v6]:port" as a Host header holds it; the brackets belong to `host`.
struct HostPort {
  std::string_view host;
  std::string_view port;  // digits, or empty
};

// Nothing when it is no uri-host [":" port] (RFC 9110 7.2): spaces, commas, userinfo, paths.
std::optional<HostPort> parse_host(std::string_view text);

// Whether a server that answers only for `allowed` answers for this Host: entries are
// "example.com" (any port), "example.com:8080", "*.example.com" (below it). An empty
// list allows every host; a miss is the caller's 421.
bool host_allowed(std::string_view host, std::span<const std::string> allowed);

}  // namespace ringcast
