// URLs as requests carry them: percent-encoding, paths and the patterns that
// route them, hosts, queries and form bodies. Everything is decoded once, after
// it was cut, so an encoded delimiter never becomes a delimiter. Values only;
// any thread.
#pragma once

#include <cstddef>
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

struct FormLimits {
  size_t fields_max = 256;            // fields, and parts of a multipart body
  size_t part_head_bytes_max = 4096;  // the headers of one part
};

// The fields of a query or a form body, in order; names and values are valid UTF-8.
// Names are taken as they are: "a[b]" is a name, not a structure.
class FormFields {
 public:
  // A field that is given several times is worth its last value. Null: not given.
  const std::string* find(std::string_view name) const;
  size_t size() const { return fields_.size(); }

  struct Field {
    std::string name;
    std::string value;
  };
  std::span<const Field> all() const { return fields_; }
  void add(std::string name, std::string value);

 private:
  std::vector<Field> fields_;
};

// application/x-www-form-urlencoded, also a request's query. Nothing when an escape is
// malformed, the text is not UTF-8 or there are too many fields: a 400.
std::optional<FormFields> parse_urlencoded(std::string_view text, const FormLimits& limits = {});

// multipart/form-data (RFC 7578) with the boundary of its Content-Type. Parts with a
// file name are skipped. Nothing when the body is malformed or past a limit: a 400.
std::optional<FormFields> parse_multipart(std::string_view body, std::string_view boundary,
                                          const FormLimits& limits = {});

// A Content-Type cut in two: the type without case and parameters, and one parameter.
bool is_media_type(std::string_view content_type, std::string_view type);
// The value of `name` in the parameters, unquoted. Nothing when absent or malformed.
std::optional<std::string> media_type_parameter(std::string_view content_type, std::string_view name);

}  // namespace ringcast
