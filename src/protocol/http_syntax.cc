#include "protocol/http_syntax.h"

#include <limits>

namespace ringcast::http {

std::optional<HttpHeader> parse_field(std::string_view line) {
  const size_t colon = line.find(':');
  if (colon == std::string_view::npos) return std::nullopt;
  const HttpHeader field{line.substr(0, colon), trimmed(line.substr(colon + 1))};
  if (!is_token(field.name) || !is_value(field.value)) return std::nullopt;
  return field;
}

std::optional<uint64_t> parse_length(std::string_view digits) {
  if (digits.empty()) return std::nullopt;
  uint64_t value = 0;
  for (const char c : digits) {
    if (!is_digit(c)) return std::nullopt;
    const uint64_t digit = static_cast<uint64_t>(c - '0');
    if (value > (std::numeric_limits<uint64_t>::max() - digit) / 10) return std::nullopt;
    value = value * 10 + digit;
  }
  return value;
}

std::optional<ChunkSize> parse_chunk_size(std::string_view line) {
  uint64_t bytes = 0;
  size_t digits = 0;
  for (; digits < line.size(); ++digits) {
    const int value = hex_value(line[digits]);
    if (value < 0) break;
    if (digits == 16) return std::nullopt;
    bytes = bytes << 4 | static_cast<uint64_t>(value);
  }
  if (digits == 0) return std::nullopt;
  const std::string_view rest = line.substr(digits);
  if (!rest.empty() && (!trimmed(rest).starts_with(';') || !is_value(rest))) return std::nullopt;
  return ChunkSize{bytes, rest.size()};
}

}  // namespace ringcast::http
