// Writing text as a JSON string. Broadcasts and identifiers pass through here
// once each, not once per subscriber. No state; any thread.
#include <array>
#include <cstdint>

#include "base/utf8.h"
#include "protocol/json.h"

namespace ringcast {

namespace {

// What follows the backslash: 'u' for \u00XX, 0 where the byte stands for itself.
using EscapeTable = std::array<char, 256>;

constexpr EscapeTable make_table(JsonEscape escape) {
  EscapeTable table{};
  for (size_t byte = 0; byte < 0x20; ++byte) table[byte] = 'u';
  table['\b'] = 'b';
  table['\f'] = 'f';
  table['\n'] = 'n';
  table['\r'] = 'r';
  table['\t'] = 't';
  table['"'] = '"';
  table['\\'] = '\\';
  if (escape == JsonEscape::rails) {
    table['<'] = table['>'] = table['&'] = 'u';
    table[0xe2] = 'l';  // perhaps U+2028 or U+2029: E2 80 A8, E2 80 A9
  }
  return table;
}

constexpr EscapeTable kMinimalTable = make_table(JsonEscape::minimal);
constexpr EscapeTable kRailsTable = make_table(JsonEscape::rails);

// `text` is valid UTF-8.
void append_escaped(std::string& out, std::string_view text, const EscapeTable& table) {
  constexpr char kHex[] = "0123456789abcdef";  // lower case, as Rails writes them

  size_t copied = 0;  // everything before is in `out`
  for (size_t at = 0; at < text.size(); ++at) {
    const auto byte = static_cast<uint8_t>(text[at]);
    const char escape = table[byte];
    if (escape == 0) continue;

    if (escape == 'l') {
      const std::string_view character = text.substr(at, 3);
      if (character != "\u2028" && character != "\u2029") continue;
      out.append(text, copied, at - copied);
      out += character == "\u2028" ? "\\u2028" : "\\u2029";
      at += 2;
    } else {
      out.append(text, copied, at - copied);
      out += '\\';
      out += escape;
      if (escape == 'u') {
        out += "00";
        out += kHex[byte >> 4];
        out += kHex[byte & 15];
      }
    }
    copied = at + 1;
  }
  out.append(text, copied);
}

// U+FFFD for each maximal part of an ill-formed sequence, as browsers decode
// (Unicode 3.9, "substitution of maximal subparts").
std::string replace_ill_formed(std::string_view text) {
  std::string out;
  out.reserve(text.size() + 16);
  Utf8Validator validator;
  size_t start = 0;  // of the character being read
  for (size_t at = 0; at < text.size();) {
    if (!validator.push(as_bytes(text.substr(at, 1)))) {
      out += "\ufffd";
      // The octet that broke a begun character may itself begin the next one.
      at = start < at ? at : at + 1;
      start = at;
      validator.reset();
      continue;
    }
    ++at;
    if (validator.complete()) {
      out.append(text, start, at - start);
      start = at;
    }
  }
  if (start < text.size()) out += "\ufffd";
  return out;
}

}  // namespace

void append_json_string(std::string& out, std::string_view text, JsonEscape escape) {
  const EscapeTable& table = escape == JsonEscape::rails ? kRailsTable : kMinimalTable;
  out.reserve(out.size() + text.size() + 2);
  out += '"';
  if (valid_utf8(as_bytes(text))) {
    append_escaped(out, text, table);
  } else {
    append_escaped(out, replace_ill_formed(text), table);
  }
  out += '"';
}

}  // namespace ringcast
