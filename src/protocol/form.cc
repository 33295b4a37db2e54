#include "protocol/form.h"

#include <algorithm>
#include <utility>

#include "base/bytes.h"
#include "base/utf8.h"
#include "protocol/http_syntax.h"
#include "protocol/url.h"

namespace ringcast {
namespace {

constexpr size_t kBoundaryBytesMax = 70;  // RFC 2046 5.1.1

std::optional<std::string> decode_component(std::string_view text) {
  std::string spaced(text);
  std::ranges::replace(spaced, '+', ' ');
  auto decoded = percent_decode(spaced);
  if (!decoded || !valid_utf8(as_bytes(*decoded))) return std::nullopt;
  return decoded;
}

struct Parameter {
  std::string_view name;
  std::string value;
};

// A quoted-string at the front of `rest`, which is left behind it.
std::optional<std::string> take_quoted(std::string_view& rest) {
  std::string value;
  for (size_t at = 1; at < rest.size(); ++at) {
    if (rest[at] == '"') {
      rest.remove_prefix(at + 1);
      return value;
    }
    if (rest[at] == '\\' && ++at == rest.size()) break;
    value += rest[at];
  }
  return std::nullopt;
}

// *( OWS ";" OWS [ name "=" ( token / quoted-string ) ] ) (RFC 9110 5.6.6). A value
// without quotes may hold more than a token: some clients send boundaries like that.
std::optional<std::vector<Parameter>> parse_parameters(std::string_view field) {
  std::vector<Parameter> parameters;
  std::string_view rest = field.substr(std::min(field.find(';'), field.size()));
  while (!rest.empty()) {
    if (rest.front() != ';') return std::nullopt;
    rest = http::trimmed(rest.substr(1));
    if (rest.empty() || rest.front() == ';') continue;
    const size_t equals = rest.find('=');
    if (equals == std::string_view::npos || !http::is_token(rest.substr(0, equals))) return std::nullopt;
    Parameter parameter{rest.substr(0, equals), {}};
    rest.remove_prefix(equals + 1);
    if (rest.starts_with('"')) {
      auto value = take_quoted(rest);
      if (!value) return std::nullopt;
      parameter.value = std::move(*value);
    } else {
      const std::string_view value = rest.substr(0, rest.find(';'));
      rest.remove_prefix(value.size());
      parameter.value = http::trimmed(value);
      if (parameter.value.find('"') != std::string::npos) return std::nullopt;
    }
    rest = http::trimmed(rest);
    parameters.push_back(std::move(parameter));
  }
  return parameters;
}

const Parameter* find_parameter(std::span<const Parameter> parameters, std::string_view name) {
  const auto found = std::ranges::find_if(
      parameters, [&](const Parameter& parameter) { return equals_ignoring_case(parameter.name, name); });
  return found == parameters.end() ? nullptr : &*found;
}

struct Delimiter {
  size_t at;   // where the line begins, or the CRLF before it: that one is not the part's
  size_t end;  // behind its padding and line end
  bool last;   // it was "--boundary--"
};

// What follows "--boundary", which ends at `end`. Nothing when the line merely begins
// like a delimiter ("--XXY" for "XX"): then it is content.
std::optional<Delimiter> read_delimiter(std::string_view body, size_t at, size_t end) {
  if (body.substr(end).starts_with("--")) return Delimiter{at, end + 2, true};
  while (end < body.size() && (body[end] == ' ' || body[end] == '\t')) ++end;
  if (body.substr(end).starts_with("\r\n")) return Delimiter{at, end + 2, false};
  return std::nullopt;
}

// The first delimiter at or after `from`; `line_start` is CRLF "--boundary".
std::optional<Delimiter> find_delimiter(std::string_view body, size_t from, std::string_view line_start) {
  for (size_t at = body.find(line_start, from); at != std::string_view::npos;
       at = body.find(line_start, at + 1)) {
    if (const auto delimiter = read_delimiter(body, at, at + line_start.size())) return delimiter;
  }
  return std::nullopt;
}

// The Content-Disposition's parameters among a part's header lines. Nothing when a line
// is malformed or it is not one form-data disposition with one name.
std::optional<std::vector<Parameter>> parse_part_head(std::string_view head) {
  std::optional<std::vector<Parameter>> parameters;
  while (!head.empty()) {
    const size_t line_bytes = std::min(head.find("\r\n"), head.size());
    const auto field = http::parse_field(head.substr(0, line_bytes));
    head.remove_prefix(std::min(line_bytes + 2, head.size()));
    if (!field) return std::nullopt;
    if (!equals_ignoring_case(field->name, "content-disposition")) continue;
    if (parameters || !is_media_type(field->value, "form-data")) return std::nullopt;
    parameters = parse_parameters(field->value);
    if (!parameters) return std::nullopt;
  }
  if (!parameters || std::ranges::count_if(*parameters, [](const Parameter& parameter) {
                       return equals_ignoring_case(parameter.name, "name");
                     }) != 1) {
    return std::nullopt;
  }
  return parameters;
}

}  // namespace

const std::string* FormFields::find(std::string_view name) const {
  const auto found =
      std::find_if(fields_.rbegin(), fields_.rend(), [&](const Field& field) { return field.name == name; });
  return found == fields_.rend() ? nullptr : &found->value;
}

void FormFields::add(std::string name, std::string value) {
  fields_.push_back({std::move(name), std::move(value)});
}

std::optional<FormFields> parse_urlencoded(std::string_view text, const FormLimits& limits) {
  FormFields fields;
  while (!text.empty()) {
    const std::string_view pair = text.substr(0, text.find('&'));
    text.remove_prefix(std::min(pair.size() + 1, text.size()));
    if (pair.empty()) continue;  // "a=1&&b=2"
    if (fields.size() == limits.fields_max) return std::nullopt;
    const size_t equals = std::min(pair.find('='), pair.size());
    auto name = decode_component(pair.substr(0, equals));
    auto value = decode_component(pair.substr(std::min(equals + 1, pair.size())));
    if (!name || !value) return std::nullopt;
    fields.add(std::move(*name), std::move(*value));
  }
  return fields;
}

std::optional<FormFields> parse_multipart(std::string_view body, std::string_view boundary,
                                          const FormLimits& limits) {
  if (boundary.empty() || boundary.size() > kBoundaryBytesMax || !http::is_value(boundary))
    return std::nullopt;
  const std::string line_start = "\r\n--" + std::string(boundary);

  // A first delimiter at the very start has no CRLF; else it follows a preamble, which is skipped.
  std::optional<Delimiter> delimiter;
  if (body.starts_with(std::string_view(line_start).substr(2)))
    delimiter = read_delimiter(body, 0, line_start.size() - 2);
  if (!delimiter) delimiter = find_delimiter(body, 0, line_start);

  FormFields fields;
  for (size_t parts = 0; delimiter && !delimiter->last; ++parts) {
    if (parts == limits.fields_max) return std::nullopt;
    const size_t head_at = delimiter->end;
    const size_t head_bytes = body.substr(head_at, limits.part_head_bytes_max + 4).find("\r\n\r\n");
    if (head_bytes == std::string_view::npos) return std::nullopt;
    const auto parameters = parse_part_head(body.substr(head_at, head_bytes));
    if (!parameters) return std::nullopt;
    // RFC 2046 5.1.1: an empty part may leave its own empty line to the delimiter's CRLF.
    delimiter = find_delimiter(body, head_at + head_bytes + 2, line_start);
    if (!delimiter) return std::nullopt;
    const size_t content_at = std::min(head_at + head_bytes + 4, delimiter->at);
    std::string_view content;
    if (delimiter->at > content_at) content = body.substr(content_at, delimiter->at - content_at);
    if (find_parameter(*parameters, "filename") || find_parameter(*parameters, "filename*")) continue;

    const std::string& name = find_parameter(*parameters, "name")->value;
    if (!valid_utf8(as_bytes(name)) || !valid_utf8(as_bytes(content))) return std::nullopt;
    fields.add(name, std::string(content));
  }
  if (!delimiter) return std::nullopt;  // cut off before "--boundary--"
  return fields;
}

bool is_media_type(std::string_view content_type, std::string_view type) {
  return equals_ignoring_case(http::trimmed(content_type.substr(0, content_type.find(';'))), type);
}

std::optional<std::string> media_type_parameter(std::string_view content_type, std::string_view name) {
  auto parameters = parse_parameters(content_type);
  if (!parameters) return std::nullopt;
  std::optional<std::string> value;
  for (Parameter& parameter : *parameters) {
    if (!equals_ignoring_case(parameter.name, name)) continue;
    if (value) return std::nullopt;
    value = std::move(parameter.value);
  }
  return value;
}

}  // namespace ringcast
