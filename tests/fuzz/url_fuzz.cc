// Paths, patterns, hosts, forms and origins. What is decoded must come back when it is
// encoded again, and promises made to callers (no NUL, no dot segment, valid UTF-8, no
// slash in a parameter) must hold for any input.
#include <algorithm>
#include <cstdint>
#include <cstdlib>
#include <string>
#include <vector>

#include "auth/origin.h"
#include "base/bytes.h"
#include "base/utf8.h"
#include "protocol/form.h"
#include "protocol/url.h"

namespace {

using namespace ringcast;

void require(bool truth) {
  if (!truth) std::abort();
}

std::string escaped(std::string_view text) {
  static constexpr char kHex[] = "0123456789abcdef";
  std::string result;
  for (const char c : text) {
    result += '%';
    result += kHex[static_cast<uint8_t>(c) >> 4];
    result += kHex[static_cast<uint8_t>(c) & 15];
  }
  return result;
}

void check_path(std::string_view text) {
  static const std::vector<PathPattern> kPatterns = {PathPattern("/"), PathPattern("/a/:b"),
                                                     PathPattern("/:a/*")};
  const auto path = UrlPath::parse(text);
  if (!path) return;
  std::string again;
  for (const std::string& segment : path->segments()) {
    require(segment != "." && segment != ".." && segment.find('\0') == std::string::npos);
    again += "/" + escaped(segment);
  }
  // A last empty segment needs a slash more to be one.
  if (again.empty() || again.ends_with('/')) again += '/';
  const auto reread = UrlPath::parse(again);
  require(reread && std::ranges::equal(reread->segments(), path->segments()));
  for (const PathPattern& pattern : kPatterns) {
    const auto parameters = pattern.match(*path);
    if (!parameters) continue;
    for (const PathParameter& parameter : *parameters) {
      require(!parameter.value.empty() && parameter.value.find('/') == std::string::npos);
    }
  }
}

void check_fields(const std::optional<FormFields>& fields) {
  if (!fields) return;
  require(fields->size() <= FormLimits{}.fields_max);
  std::string again;
  for (const FormFields::Field& field : fields->all()) {
    require(valid_utf8(as_bytes(field.name)) && valid_utf8(as_bytes(field.value)));
    require(fields->find(field.name) != nullptr);
    again += escaped(field.name) + "=" + escaped(field.value) + "&";
  }
  const auto reread = parse_urlencoded(again);
  require(reread && reread->size() == fields->size());
  for (size_t i = 0; i < fields->size(); ++i) {
    require(reread->all()[i].name == fields->all()[i].name &&
            reread->all()[i].value == fields->all()[i].value);
  }
}

void check_origin(std::string_view text) {
  const std::vector<std::string> itself = {std::string(text)};
  // A sound entry admits itself, unless it stands for others; an unsound one admits nobody.
  if (!valid_origin_entry(text)) {
    require(!origin_allowed("https://example.com", "server.test", true, itself));
  } else if (text.find('*') == std::string_view::npos) {
    require(origin_allowed(text, "server.test", true, itself));
  }
  if (origin_allowed(text, "example.com", true, {})) {
    require(text.size() == 19 || text.size() == 23);  // https://example.com[:443]
  }
}

}  // namespace

// The first line is a Content-Type and a path alike; the whole is a query, a body, a host
// and an origin.
extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  const std::string_view line = text.substr(0, text.find('\n'));
  const std::string_view rest = text.substr(std::min(line.size() + 1, text.size()));

  check_path(text);
  check_path(line);
  if (const auto decoded = percent_decode(text)) require(percent_decode(escaped(*decoded)) == *decoded);
  if (PathPattern::valid(line)) PathPattern{line};
  if (const auto host = parse_host(text)) {
    require(!host->host.empty() && host->host.find_first_of(" ,@/\\?#") == std::string_view::npos);
    const std::vector<std::string> itself = {std::string(text)};
    require(host_allowed(text, itself));
  }
  check_fields(parse_urlencoded(text));
  if (const auto boundary = media_type_parameter(line, "boundary"))
    check_fields(parse_multipart(rest, *boundary));
  check_fields(parse_multipart(rest, line));
  check_origin(text);
  return 0;
}
