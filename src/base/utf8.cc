// The incremental validator, its kernels for the octets in between, and the
// choice of kernel.
//
// A kernel starts at a character boundary and never has to know where an error
// is, only that there is one: errors show in pairs and triples of octets, all of
// which it has seen. What it leaves over (less than a vector, or a begun
// character) goes through the octet-by-octet automaton, which fails exactly at
// the first impossible octet. So fail-fast does not depend on where chunks end.
#include "base/utf8.h"

#include <array>
#include <atomic>
#include <cstring>

#if defined(__x86_64__)
#include <immintrin.h>
#endif

namespace ringcast {
namespace {

// What may follow a lead octet (RFC 3629, 4).
struct Expectation {
  uint8_t needed;  // continuation octets
  uint8_t low;     // range of the first of them; the others are 80..BF
  uint8_t high;
};
constexpr uint8_t kNotALead = 0xff;

constexpr Expectation after_lead(uint8_t lead) {
  if (lead < 0x80) return {0, 0x80, 0xbf};
  if (lead < 0xc2) return {kNotALead, 0, 0};  // continuations; C0 and C1 could only be overlong
  if (lead < 0xe0) return {1, 0x80, 0xbf};
  if (lead == 0xe0) return {2, 0xa0, 0xbf};  // below: overlong
  if (lead == 0xed) return {2, 0x80, 0x9f};  // above: surrogates
  if (lead < 0xf0) return {2, 0x80, 0xbf};
  if (lead == 0xf0) return {3, 0x90, 0xbf};  // below: overlong
  if (lead < 0xf4) return {3, 0x80, 0xbf};
  if (lead == 0xf4) return {3, 0x80, 0x8f};  // above: past U+10FFFF
  return {kNotALead, 0, 0};
}

constexpr auto kAfterLead = [] {
  std::array<Expectation, 256> table = {};
  for (unsigned lead = 0; lead < 256; ++lead) table[lead] = after_lead(static_cast<uint8_t>(lead));
  return table;
}();

constexpr uint64_t kHighBits = 0x8080808080808080;

bool eight_ascii(const std::byte* from) {
  uint64_t word;
  std::memcpy(&word, from, sizeof word);
  return (word & kHighBits) == 0;
}

// Whole characters only; stops before one that is cut off by the end.
size_t valid_prefix_scalar(const std::byte* from, size_t count) {
  size_t at = 0;
  while (at < count) {
    const auto lead = std::to_integer<uint8_t>(from[at]);
    if (lead < 0x80) {
      if (count - at >= 8 && eight_ascii(from + at)) {
        at += 8;
      } else {
        ++at;
      }
      continue;
    }
    const auto next = kAfterLead[lead];
    if (next.needed == kNotALead) return kUtf8Invalid;
    if (next.needed > count - at - 1) return at;
    const auto second = std::to_integer<uint8_t>(from[at + 1]);
    if (second < next.low || second > next.high) return kUtf8Invalid;
    for (size_t i = 2; i <= next.needed; ++i) {
      if ((from[at + i] & std::byte{0xc0}) != std::byte{0x80}) return kUtf8Invalid;
    }
    at += 1 + next.needed;
  }
  return at;
}

#if defined(__x86_64__)

// Every way two neighbouring octets can be wrong is a product of three sets: of
// the first octet's high nibble, of its low nibble, of the second's high nibble.
// With one bit per way, three 16-entry tables looked up by nibble and ANDed
// leave exactly the bits of the errors at hand: three shuffles for 32 octets.
// (The method is Keiser and Lemire's, "Validating UTF-8 in less than one
// instruction per byte", 2021.)
struct PairError {
  uint16_t first_high, first_low, second_high;  // sets of nibbles: bit n is nibble n
};
constexpr uint16_t nibbles(unsigned from, unsigned to) {
  return static_cast<uint16_t>((2u << to) - (1u << from));
}
constexpr uint16_t kAny = nibbles(0, 15);
constexpr uint16_t kContinuation = nibbles(8, 11);
constexpr PairError kPairErrors[8] = {
    {nibbles(12, 15), kAny, kAny & ~kContinuation},        // a lead, then no continuation
    {nibbles(0, 7), kAny, kContinuation},                  // ASCII, then a continuation
    {nibbles(12, 12), nibbles(0, 1), kContinuation},       // C0, C1
    {nibbles(14, 14), nibbles(0, 0), nibbles(8, 9)},       // E0 80..9F
    {nibbles(14, 14), nibbles(13, 13), nibbles(10, 11)},   // ED A0..BF
    {nibbles(15, 15), 1 | nibbles(5, 15), nibbles(8, 8)},  // F0 80..8F, F5..FF 80..8F
    {nibbles(15, 15), nibbles(4, 15), nibbles(9, 11)},     // F4..FF 90..BF
    {kContinuation, kAny, kContinuation},                  // two continuations; see below
};

using NibbleTable = std::array<uint8_t, 16>;
constexpr NibbleTable table_of(uint16_t PairError::*set) {
  NibbleTable table = {};
  for (unsigned error = 0; error < 8; ++error) {
    for (unsigned nibble = 0; nibble < 16; ++nibble) {
      if (kPairErrors[error].*set >> nibble & 1) table[nibble] |= static_cast<uint8_t>(1u << error);
    }
  }
  return table;
}
constexpr NibbleTable kFirstHigh = table_of(&PairError::first_high);
constexpr NibbleTable kFirstLow = table_of(&PairError::first_low);
constexpr NibbleTable kSecondHigh = table_of(&PairError::second_high);

#define RC_AVX2 __attribute__((target("avx2"), always_inline)) inline

RC_AVX2 __m256i load32(const std::byte* from) {
  return _mm256_loadu_si256(reinterpret_cast<const __m256i*>(from));
}

RC_AVX2 __m256i look_up(const NibbleTable& table, __m256i indices) {
  const auto* const from = reinterpret_cast<const __m128i*>(table.data());
  return _mm256_shuffle_epi8(_mm256_broadcastsi128_si256(_mm_loadu_si128(from)), indices);
}

// Non-zero where `current` holds an error, given the octets 1, 2 and 3 places
// before each. Two continuations in a row (the highest bit) are right exactly
// where the octet two back leads three or more, or three back leads four.
RC_AVX2 __m256i errors_in(__m256i current, __m256i back1, __m256i back2, __m256i back3) {
  const __m256i low_nibble = _mm256_set1_epi8(0x0f);
  const __m256i pairs = _mm256_and_si256(
      _mm256_and_si256(look_up(kFirstHigh, _mm256_and_si256(_mm256_srli_epi16(back1, 4), low_nibble)),
                       look_up(kFirstLow, _mm256_and_si256(back1, low_nibble))),
      look_up(kSecondHigh, _mm256_and_si256(_mm256_srli_epi16(current, 4), low_nibble)));
  const __m256i third = _mm256_subs_epu8(back2, _mm256_set1_epi8(0xe0 - 0x80));
  const __m256i fourth = _mm256_subs_epu8(back3, _mm256_set1_epi8(0xf0 - 0x80));
  const __m256i expected =
      _mm256_and_si256(_mm256_or_si256(third, fourth), _mm256_set1_epi8(static_cast<char>(0x80)));
  return _mm256_xor_si256(pairs, expected);
}

// How many of the last octets before `end` are a begun character.
size_t begun_before(const std::byte* end) {
  if (end[-1] >= std::byte{0xc0}) return 1;
  if (end[-2] >= std::byte{0xe0}) return 2;
  if (end[-3] >= std::byte{0xf0}) return 3;
  return 0;
}

// Always checks all `count` octets but those of a begun last character: after
// the whole vectors, one more that ends at the end and overlaps them.
__attribute__((target("avx2"))) size_t valid_prefix_avx2(const std::byte* from, size_t count) {
  // Shorter: no room for the look-back of the last vector, and no gain.
  if (count < 35) return valid_prefix_scalar(from, count);

  const std::byte* const end = from + count;
  const std::byte* at = from;
  // What follows a character boundary follows ASCII as far as errors go.
  __m256i before = _mm256_setzero_si256();
  bool before_is_ascii = true;
  while (end - at >= 32) {
    if (before_is_ascii) {
      while (end - at >= 64 && _mm256_movemask_epi8(_mm256_or_si256(load32(at), load32(at + 32))) == 0)
        at += 64;
      if (end - at < 32) break;
    }
    const __m256i current = load32(at);
    const bool is_ascii = _mm256_movemask_epi8(current) == 0;
    // ASCII after ASCII is right; ASCII after anything else may cut it off.
    if (!is_ascii || !before_is_ascii) {
      const __m256i halves = _mm256_permute2x128_si256(before, current, 0x21);
      const __m256i errors =
          errors_in(current, _mm256_alignr_epi8(current, halves, 15), _mm256_alignr_epi8(current, halves, 14),
                    _mm256_alignr_epi8(current, halves, 13));
      if (!_mm256_testz_si256(errors, errors)) return kUtf8Invalid;
    }
    before = current;
    before_is_ascii = is_ascii;
    at += 32;
  }
  if (at < end) {
    const std::byte* const last = end - 32;
    const __m256i errors = errors_in(load32(last), load32(last - 1), load32(last - 2), load32(last - 3));
    if (!_mm256_testz_si256(errors, errors)) return kUtf8Invalid;
  }
  return count - begun_before(end);
}

#undef RC_AVX2

#endif

struct Utf8Kernels {
  Utf8Kernel list[2] = {{"scalar", valid_prefix_scalar}, {}};
  size_t count = 1;

  Utf8Kernels() {
#if defined(__x86_64__)
    if (__builtin_cpu_supports("avx2")) list[count++] = {"avx2", valid_prefix_avx2};
#endif
  }
};

size_t choose_and_run(const std::byte* from, size_t count);

// Starts as the function that replaces it, so that a static constructor may
// validate too. Every thread stores the same value: relaxed order is enough.
constinit std::atomic<size_t (*)(const std::byte*, size_t)> chosen_utf8 = choose_and_run;

size_t choose_and_run(const std::byte* from, size_t count) {
  const auto run = utf8_kernels().back().valid_prefix;
  chosen_utf8.store(run, std::memory_order_relaxed);
  return run(from, count);
}

}  // namespace

std::span<const Utf8Kernel> utf8_kernels() {
  static const Utf8Kernels kernels;
  return {kernels.list, kernels.count};
}

bool Utf8Validator::push(Bytes bytes) {
  if (needed_ == kFailed) return false;

  const std::byte* at = bytes.data();
  const std::byte* const end = at + bytes.size();
  while (at < end) {
    if (needed_ == 0 && end - at > 3) {
      const size_t valid = chosen_utf8.load(std::memory_order_relaxed)(at, static_cast<size_t>(end - at));
      if (valid == kUtf8Invalid) {
        needed_ = kFailed;
        return false;
      }
      at += valid;
      if (at == end) break;
    }
    const auto octet = std::to_integer<uint8_t>(*at++);
    if (needed_ == 0) {
      const auto next = kAfterLead[octet];
      needed_ = next.needed;  // kNotALead is kFailed
      low_ = next.low;
      high_ = next.high;
      if (needed_ == kFailed) return false;
    } else {
      if (octet < low_ || octet > high_) {
        needed_ = kFailed;
        return false;
      }
      --needed_;
      low_ = 0x80;
      high_ = 0xbf;
    }
  }
  return true;
}

bool valid_utf8(Bytes bytes) {
  Utf8Validator validator;
  return validator.push(bytes) && validator.complete();
}

}  // namespace ringcast
