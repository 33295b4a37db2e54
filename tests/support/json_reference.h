// A second reading of RFC 8259, to compare the real one with: recursive descent,
// byte by byte, nothing shared with src/. Slow and plain on purpose.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string_view>

namespace ringcast::test {

class JsonReference {
 public:
  static bool valid(std::string_view text, size_t depth_max) {
    JsonReference reader(text, depth_max);
    reader.space();
    const bool good = reader.value(0);
    reader.space();
    return good && reader.at_ == text.size() && utf8(text);
  }

 private:
  JsonReference(std::string_view text, size_t depth_max) : text_(text), depth_max_(depth_max) {}

  bool more() const { return at_ < text_.size(); }
  char peek() const { return more() ? text_[at_] : '\0'; }
  bool take(char c) {
    if (!more() || text_[at_] != c) return false;
    ++at_;
    return true;
  }
  bool take(std::string_view word) {
    if (!text_.substr(at_).starts_with(word)) return false;
    at_ += word.size();
    return true;
  }
  void space() {
    while (take(' ') || take('\t') || take('\n') || take('\r')) {
    }
  }

  bool value(size_t depth) {
    switch (peek()) {
      case '{':
        return object(depth + 1);
      case '[':
        return array(depth + 1);
      case '"':
        return string();
      case 't':
        return take("true");
      case 'f':
        return take("false");
      case 'n':
        return take("null");
      default:
        return number();
    }
  }

  bool array(size_t depth) {
    if (depth > depth_max_) return false;
    take('[');
    space();
    if (take(']')) return true;
    do {
      space();
      if (!value(depth)) return false;
      space();
    } while (take(','));
    return take(']');
  }

  bool object(size_t depth) {
    if (depth > depth_max_) return false;
    take('{');
    space();
    if (take('}')) return true;
    do {
      space();
      if (!string()) return false;
      space();
      if (!take(':')) return false;
      space();
      if (!value(depth)) return false;
      space();
    } while (take(','));
    return take('}');
  }

  bool string() {
    if (!take('"')) return false;
    while (more()) {
      const auto c = static_cast<uint8_t>(text_[at_++]);
      if (c == '"') return true;
      if (c < 0x20) return false;
      if (c != '\\') continue;
      if (!more()) return false;
      const char escape = text_[at_++];
      if (escape == 'u') {
        for (int i = 0; i < 4; ++i) {
          if (std::string_view("0123456789abcdefABCDEF").find(peek()) == std::string_view::npos) return false;
          ++at_;
        }
      } else if (std::string_view("\"\\/bfnrt").find(escape) == std::string_view::npos) {
        return false;
      }
    }
    return false;
  }

  bool digits() {
    const size_t begin = at_;
    while (more() && peek() >= '0' && peek() <= '9') ++at_;
    return at_ > begin;
  }

  bool number() {
    take('-');
    if (!take('0') && !digits()) return false;
    if (take('.') && !digits()) return false;
    if (take('e') || take('E')) {
      if (!take('+')) take('-');
      if (!digits()) return false;
    }
    return true;
  }

  // RFC 3629, section 4, row by row.
  static bool utf8(std::string_view text) {
    const auto in = [&](size_t at, int low, int high) {
      if (at >= text.size()) return false;
      const int octet = static_cast<uint8_t>(text[at]);
      return octet >= low && octet <= high;
    };
    size_t at = 0;
    while (at < text.size()) {
      if (in(at, 0x00, 0x7f)) {
        at += 1;
      } else if (in(at, 0xc2, 0xdf) && in(at + 1, 0x80, 0xbf)) {
        at += 2;
      } else if (((in(at, 0xe0, 0xe0) && in(at + 1, 0xa0, 0xbf)) ||
                  (in(at, 0xe1, 0xec) && in(at + 1, 0x80, 0xbf)) ||
                  (in(at, 0xed, 0xed) && in(at + 1, 0x80, 0x9f)) ||
                  (in(at, 0xee, 0xef) && in(at + 1, 0x80, 0xbf))) &&
                 in(at + 2, 0x80, 0xbf)) {
        at += 3;
      } else if (((in(at, 0xf0, 0xf0) && in(at + 1, 0x90, 0xbf)) ||
                  (in(at, 0xf1, 0xf3) && in(at + 1, 0x80, 0xbf)) ||
                  (in(at, 0xf4, 0xf4) && in(at + 1, 0x80, 0x8f))) &&
                 in(at + 2, 0x80, 0xbf) && in(at + 3, 0x80, 0xbf)) {
        at += 4;
      } else {
        return false;
      }
    }
    return true;
  }

  std::string_view text_;
  size_t depth_max_;
  size_t at_ = 0;
};

}  // namespace ringcast::test
