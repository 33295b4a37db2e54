// Escaping, and the two formats.
#include "base/log_line.h"

#include <algorithm>
#include <charconv>
#include <chrono>
#include <cmath>
#include <cstring>

#include "base/utf8.h"

namespace ringcast {
namespace {

constexpr std::string_view kEllipsis = "…";

bool is_key_character(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_' || c == '.' ||
         c == '-';
}

// What logfmt shows without quotes: visible ASCII that means nothing to its readers.
bool is_bare(std::string_view text) {
  return !text.empty() && std::all_of(text.begin(), text.end(), [](char c) {
    return c > ' ' && c < 0x7f && c != '"' && c != '\\' && c != '=';
  });
}

// Characters a terminal or an editor obeys instead of showing: C1 controls, line
// and paragraph separators, invisible and direction-changing characters, tags.
bool is_treacherous(uint32_t code_point) {
  const auto in = [&](uint32_t first, uint32_t last) { return code_point >= first && code_point <= last; };
  return in(0x80, 0x9f) || code_point == 0xad || code_point == 0x61c || code_point == 0x180e ||
         in(0x200b, 0x200f) || in(0x2028, 0x202e) || in(0x2060, 0x206f) || code_point == 0xfeff ||
         in(0xfff9, 0xfffb) || in(0xe0000, 0xe007f);
}

// The octets of the valid character that starts `text`; 0 if there is none.
size_t character_bytes(std::string_view text) {
  Utf8Validator validator;
  for (size_t i = 0; i < std::min<size_t>(text.size(), 4); ++i) {
    if (!validator.push(as_bytes(text.substr(i, 1)))) return 0;
    if (validator.complete()) return i + 1;
  }
  return 0;
}

uint32_t decode(std::string_view character) {
  const auto octet = [&](size_t i) {
    return static_cast<uint32_t>(static_cast<unsigned char>(character[i]));
  };
  uint32_t code_point = character.size() == 1 ? octet(0) : octet(0) & (0x7fu >> character.size());
  for (size_t i = 1; i < character.size(); ++i) code_point = code_point << 6 | (octet(i) & 0x3f);
  return code_point;
}

// One character or stray octet as it appears between quotes.
struct Escaped {
  char text[12];
  uint8_t size = 0;

  void put(char c) { text[size++] = c; }
  void put(std::string_view chars) {
    for (const char c : chars) put(c);
  }
  void put_hex(uint32_t value, unsigned digits) {
    while (digits-- > 0) put("0123456789abcdef"[value >> (4 * digits) & 15]);
  }
  void put_unit(uint32_t unit) {
    put("\\u");
    put_hex(unit, 4);
  }
};

Escaped escape(std::string_view character, uint32_t code_point) {
  Escaped escaped;
  if (code_point == '"' || code_point == '\\') {
    escaped.put('\\');
    escaped.put(character);
  } else if (code_point == '\n') {
    escaped.put("\\n");
  } else if (code_point == '\r') {
    escaped.put("\\r");
  } else if (code_point == '\t') {
    escaped.put("\\t");
  } else if (code_point < 0x20 || code_point == 0x7f ||
             (code_point < 0x10000 && is_treacherous(code_point))) {
    escaped.put_unit(code_point);
  } else if (is_treacherous(code_point)) {
    escaped.put_unit(0xd800 + ((code_point - 0x10000) >> 10));
    escaped.put_unit(0xdc00 + (code_point & 0x3ff));
  } else {
    escaped.put(character);
  }
  return escaped;
}

Escaped escape_stray_octet(char octet, LogFormat format) {
  Escaped escaped;
  if (format == LogFormat::json) {
    escaped.put("\\ufffd");  // JSON has no way to say an octet
  } else {
    escaped.put("\\x");
    escaped.put_hex(static_cast<unsigned char>(octet), 2);
  }
  return escaped;
}

// RFC 3339 in UTC with milliseconds. Not strftime: the locale is the host's.
struct TimeStamp {
  char text[24];

  explicit TimeStamp(int64_t unix_ms) {
    using namespace std::chrono;
    // Years 0 to 9999 have four digits; no clock that is right leaves them.
    const auto time = sys_time<std::chrono::milliseconds>(
        std::chrono::milliseconds(std::clamp<int64_t>(unix_ms, -62'167'219'200'000, 253'402'300'799'999)));
    const auto day = floor<days>(time);
    const year_month_day date(day);
    const auto in_day = (time - day).count();
    std::memcpy(text, "0000-00-00T00:00:00.000Z", sizeof text);
    put(0, 4, static_cast<int>(date.year()));
    put(5, 2, static_cast<unsigned>(date.month()));
    put(8, 2, static_cast<unsigned>(date.day()));
    put(11, 2, in_day / 3'600'000);
    put(14, 2, in_day / 60'000 % 60);
    put(17, 2, in_day / 1000 % 60);
    put(20, 3, in_day % 1000);
  }
  void put(size_t at, size_t digits, int64_t value) {
    for (; digits > 0; --digits, value /= 10) text[at + digits - 1] = static_cast<char>('0' + value % 10);
  }
  operator std::string_view() const { return {text, sizeof text}; }
};

}  // namespace

std::string_view log_level_name(LogLevel level) {
  switch (level) {
    case LogLevel::debug:
      return "debug";
    case LogLevel::info:
      return "info";
    case LogLevel::warn:
      return "warn";
    case LogLevel::error:
      break;
  }
  return "error";
}

LogLine::LogLine(LogFormat format, int64_t unix_ms, LogLevel level, std::string_view event)
    : format_(format) {
  if (format_ == LogFormat::json) append("{");
  add({"ts", TimeStamp(unix_ms)});
  add({"level", log_level_name(level)});
  add({"event", event});
}

void LogLine::add(const LogField& field) {
  const size_t before = size_;
  if (append_key(field.key) && append_value(field)) return;
  size_ = before;
  truncated_ = true;
}

std::string_view LogLine::finish() {
  const auto append_reserved = [&](std::string_view text) {
    std::memcpy(text_ + size_, text.data(), text.size());
    size_ += text.size();
  };
  if (truncated_) append_reserved(format_ == LogFormat::json ? ",\"truncated\":true" : " truncated=true");
  if (format_ == LogFormat::json) append_reserved("}");
  return {text_, size_};
}

bool LogLine::append(std::string_view text) {
  if (text.size() > kEnd - size_) return false;
  std::memcpy(text_ + size_, text.data(), text.size());
  size_ += text.size();
  return true;
}

bool LogLine::append_key(std::string_view key) {
  const bool json = format_ == LogFormat::json;
  if (size_ > (json ? 1u : 0u) && !append(json ? "," : " ")) return false;
  if (json && !append("\"")) return false;
  if (key.empty()) key = "_";
  if (key.size() > kEnd - size_) return false;
  for (const char c : key) text_[size_++] = is_key_character(c) ? c : '_';
  return append(json ? "\":" : "=");
}

bool LogLine::append_value(const LogField& field) {
  if (const auto* text = std::get_if<std::string_view>(&field.value)) return append_text(*text);
  if (const auto* truth = std::get_if<bool>(&field.value)) return append(*truth ? "true" : "false");
  if (const auto* number = std::get_if<double>(&field.value)) return append_double(*number);
  char digits[24];
  const auto end = std::get_if<int64_t>(&field.value)
                       ? std::to_chars(digits, std::end(digits), std::get<int64_t>(field.value)).ptr
                       : std::to_chars(digits, std::end(digits), std::get<uint64_t>(field.value)).ptr;
  return append({digits, static_cast<size_t>(end - digits)});
}

bool LogLine::append_double(double number) {
  if (format_ == LogFormat::json && !std::isfinite(number)) return append("null");
  char digits[32];
  const auto end = std::to_chars(digits, std::end(digits), number).ptr;
  return append({digits, static_cast<size_t>(end - digits)});
}

bool LogLine::append_text(std::string_view text) {
  if (format_ == LogFormat::logfmt && text.size() <= kLogValueBytesMax && is_bare(text) && append(text)) {
    return true;
  }
  // Less than this says nothing; better to leave the field out.
  constexpr size_t kWorthwhileBytes = 16;
  if (kEnd - size_ < std::min(text.size(), kWorthwhileBytes) + 2 + kEllipsis.size()) return false;
  append("\"");
  append_escaped(text, std::min(size_ + kLogValueBytesMax, kEnd - 1));
  return append("\"");
}

// Up to the position `end`, never splitting a character or an escape.
void LogLine::append_escaped(std::string_view text, size_t end) {
  while (!text.empty()) {
    const size_t bytes = character_bytes(text);
    const auto character = text.substr(0, std::max<size_t>(bytes, 1));
    const Escaped escaped =
        bytes > 0 ? escape(character, decode(character)) : escape_stray_octet(text.front(), format_);
    text.remove_prefix(character.size());
    // Room for the ellipsis stays until nothing can follow any more.
    if (size_ + escaped.size + (text.empty() ? 0 : kEllipsis.size()) > end) {
      append(kEllipsis);
      return;
    }
    append({escaped.text, escaped.size});
  }
}

}  // namespace ringcast
