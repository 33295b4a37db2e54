// Strings and numbers of JSON, byte by byte where it matters and eight at a time
// where it pays. No state; any thread.
#include "protocol/json_token.h"

#include <bit>
#include <cstdint>
#include <cstring>

#include "base/ascii.h"

namespace ringcast {

namespace {

// -1 unless four hexadecimal digits stand there. `at` has padding behind it.
int hex_quad(const char* at) {
  int value = 0;
  for (int i = 0; i < 4; ++i) {
    const int digit = hex_value(at[i]);
    if (digit < 0) return -1;
    value = value << 4 | digit;
  }
  return value;
}

// What a one-letter escape stands for (RFC 8259, section 7); 0 for no escape.
char escaped_character(char letter) {
  switch (letter) {
    case '"':
    case '\\':
    case '/':
      return letter;
    case 'b':
      return '\b';
    case 'f':
      return '\f';
    case 'n':
      return '\n';
    case 'r':
      return '\r';
    case 't':
      return '\t';
    default:
      return 0;
  }
}

void append_code_point(std::string& out, uint32_t code_point) {
  const auto put = [&](uint32_t octet) { out += static_cast<char>(octet); };
  if (code_point < 0x80) {
    put(code_point);
  } else if (code_point < 0x800) {
    put(0xc0 | code_point >> 6);
    put(0x80 | (code_point & 0x3f));
  } else if (code_point < 0x10000) {
    put(0xe0 | code_point >> 12);
    put(0x80 | (code_point >> 6 & 0x3f));
    put(0x80 | (code_point & 0x3f));
  } else {
    put(0xf0 | code_point >> 18);
    put(0x80 | (code_point >> 12 & 0x3f));
    put(0x80 | (code_point >> 6 & 0x3f));
    put(0x80 | (code_point & 0x3f));
  }
}

}  // namespace

bool good_json_escapes(std::string_view text) {
  const char* at = text.data();
  const char* const end = at + text.size();
  while ((at = static_cast<const char*>(std::memchr(at, '\\', static_cast<size_t>(end - at)))) != nullptr) {
    // Escapes come in crowds (a command's data is JSON within JSON): go on
    // from one to a near one without another call.
    do {
      if (at[1] == 'u') {
        if (hex_quad(at + 2) < 0) return false;
        at += 6;
      } else {
        if (escaped_character(at[1]) == 0) return false;
        at += 2;
      }
    } while (*at == '\\');
  }
  return true;
}

std::string_view trimmed_token(std::string_view token) {
  while (!token.empty()) {
    const char c = token.back();
    if (c != ' ' && c != '\n' && c != '\r' && c != '\t') break;
    token.remove_suffix(1);
  }
  return token;
}

const char* next_special(const char* at) {
  constexpr uint64_t kOnes = 0x0101010101010101;
  constexpr uint64_t kHighs = 0x8080808080808080;
  for (;; at += 8) {
    uint64_t word;
    std::memcpy(&word, at, sizeof word);  // at most 7 bytes into the padding
    const uint64_t quote = word ^ (kOnes * '"');
    const uint64_t backslash = word ^ (kOnes * '\\');
    // Marks each zero byte; a false mark can only stand behind a true one.
    const uint64_t marks = (((quote - kOnes) & ~quote) | ((backslash - kOnes) & ~backslash)) & kHighs;
    if (marks != 0) return at + std::countr_zero(marks) / 8;
  }
}
static_assert(std::endian::native == std::endian::little, "next_special counts from the low end");

bool append_unescaped(std::string& out, const char* at) {
  bool lone_surrogate = false;
  for (;;) {
    const char* const special = next_special(at);
    out.append(at, static_cast<size_t>(special - at));
    if (*special == '"') return lone_surrogate;

    if (special[1] != 'u') {
      out += escaped_character(special[1]);
      at = special + 2;
      continue;
    }
    auto code_point = static_cast<uint32_t>(hex_quad(special + 2));
    at = special + 6;
    if (code_point >= 0xd800 && code_point < 0xdc00 && at[0] == '\\' && at[1] == 'u') {
      const auto low = static_cast<uint32_t>(hex_quad(at + 2));
      if (low >= 0xdc00 && low < 0xe000) {
        code_point = 0x10000 + ((code_point - 0xd800) << 10) + (low - 0xdc00);
        at += 6;
      }
    }
    if (code_point >= 0xd800 && code_point < 0xe000) {
      lone_surrogate = true;
      code_point = 0xfffd;
    }
    append_code_point(out, code_point);
  }
}

bool is_json_number(std::string_view token) {
  const char* at = token.data();
  const char* const end = at + token.size();
  const auto digits = [&] {
    const char* const begin = at;
    while (at != end && *at >= '0' && *at <= '9') ++at;
    return at != begin;
  };

  if (at != end && *at == '-') ++at;
  if (at != end && *at == '0') {
    ++at;
  } else if (!digits()) {
    return false;
  }
  if (at != end && *at == '.') {
    ++at;
    if (!digits()) return false;
  }
  if (at != end && (*at == 'e' || *at == 'E')) {
    ++at;
    if (at != end && (*at == '+' || *at == '-')) ++at;
    if (!digits()) return false;
  }
  return at == end;
}

}  // namespace ringcast
