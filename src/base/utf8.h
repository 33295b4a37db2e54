// UTF-8 (RFC 3629) checked as it arrives, failing at the first octet that no
// continuation can repair, even in the middle of a frame: RFC 6455, 8.1 asks
// for the first half, the Autobahn suite for the second. Owned by a connection's
// reader; a validator belongs to one thread at a time, valid_utf8 to any.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>

#include "base/bytes.h"

namespace ringcast {

// Between two calls it remembers how many octets the begun character still
// needs and which range the next one must lie in. The range alone carries the
// exceptions (no overlong forms, no surrogates, nothing past U+10FFFF): after
// E0 it is A0..BF, after ED 80..9F, after F0 90..BF, after F4 80..8F.
class Utf8Validator {
 public:
  // False as soon as what was pushed since the start or reset() cannot be the
  // beginning of valid UTF-8; then false until reset().
  bool push(Bytes bytes);

  // Whether what was pushed is valid and ends with a whole character.
  bool complete() const { return needed_ == 0; }

  void reset() { *this = Utf8Validator(); }

 private:
  static constexpr uint8_t kFailed = 0xff;

  uint8_t needed_ = 0;  // continuation octets outstanding, 0..3, or kFailed
  uint8_t low_ = 0x80;  // the next octet is in [low_, high_] if needed_ > 0
  uint8_t high_ = 0xbf;
};
static_assert(sizeof(Utf8Validator) <= 4);

bool valid_utf8(Bytes bytes);

// Checks from a character boundary on. Answers how many leading octets are
// whole valid characters, which may be fewer than there are (the rest is for
// the caller, octet by octet), or kUtf8Invalid if it met what cannot be valid.
inline constexpr size_t kUtf8Invalid = SIZE_MAX;
struct Utf8Kernel {
  std::string_view name;
  size_t (*valid_prefix)(const std::byte* from, size_t count);
};

// The kernels this machine can run, slowest first; the last is in use. For
// tests and benchmarks.
std::span<const Utf8Kernel> utf8_kernels();

}  // namespace ringcast
