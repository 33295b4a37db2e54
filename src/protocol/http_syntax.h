// The character classes and small grammars HTTP's pieces share (RFC 9110 5.6).
// Internal to protocol/. Values only; any thread.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string_view>
#include <vector>

#include "base/ascii.h"
#include "base/bytes.h"
#include "protocol/http_request.h"

namespace ringcast::http {

// tchar: what methods and field names are made of.
inline constexpr auto kTokenChars = [] {
  std::array<bool, 256> table{};
  for (unsigned c = '0'; c <= '9'; ++c) table[c] = true;
  for (unsigned c = 'a'; c <= 'z'; ++c) table[c] = true;
  for (unsigned c = 'A'; c <= 'Z'; ++c) table[c] = true;
  for (const char c : std::string_view("!#$%&'*+-.^_`|~")) table[static_cast<uint8_t>(c)] = true;
  return table;
}();

constexpr bool is_token_char(char c) {
  return kTokenChars[static_cast<uint8_t>(c)];
}

constexpr bool is_token(std::string_view text) {
  for (const char c : text) {
    if (!is_token_char(c)) return false;
  }
  return !text.empty();
}

// What a field value may hold: HT, SP, visible ASCII, and octets past ASCII, which
// the RFC calls obsolete but cookies and file names still bring.
constexpr bool is_value_char(char c) {
  const auto octet = static_cast<uint8_t>(c);
  return octet == '\t' || (octet >= 0x20 && octet != 0x7f);
}

constexpr bool is_value(std::string_view text) {
  for (const char c : text) {
    if (!is_value_char(c)) return false;
  }
  return true;
}

// Without the optional whitespace (SP, HT) around it.
constexpr std::string_view trimmed(std::string_view text) {
  while (!text.empty() && (text.front() == ' ' || text.front() == '\t')) text.remove_prefix(1);
  while (!text.empty() && (text.back() == ' ' || text.back() == '\t')) text.remove_suffix(1);
  return text;
}

// Calls `f` with each non-empty member of a comma-separated list (RFC 9110 5.6.1) until
// it returns true; says whether one did. Not for lists whose members may be quoted.
template <class F>
constexpr bool any_list_member(std::string_view list, F f) {
  while (!list.empty()) {
    const size_t comma = list.find(',');
    const std::string_view member = trimmed(list.substr(0, comma));
    if (!member.empty() && f(member)) return true;
    if (comma == std::string_view::npos) break;
    list.remove_prefix(comma + 1);
  }
  return false;
}

inline void append(std::vector<std::byte>& out, std::string_view text) {
  const Bytes bytes = as_bytes(text);
  out.insert(out.end(), bytes.begin(), bytes.end());
}

// Cuts "name: value", the value trimmed. Nothing when the name is not a token: empty,
// folded (RFC 9112 5.2), or with white space before its colon (5.1), each of which
// somebody reads differently; or when the value holds a control character.
std::optional<HttpHeader> parse_field(std::string_view line);

// Digits only, and no more than 64 bits.
std::optional<uint64_t> parse_length(std::string_view digits);

struct ChunkSize {
  uint64_t bytes;
  size_t extension_bytes;
};

// chunk-size [ BWS ";" chunk-ext ] (RFC 9112 7.1) without its CRLF. Sixteen hex digits
// fit 64 bits, so nothing overflows; more are refused even if they are zeros.
std::optional<ChunkSize> parse_chunk_size(std::string_view line);

}  // namespace ringcast::http
