// The SHA-1 kernel for x86-64 machines with the SHA extensions: a handshake's
// digest in a sixth of the portable kernel's time (bench/sha1_bench). Compiled
// for SHA and SSE4.1 by attribute, so the file needs no flags of its own.
#include "base/sha1_kernels.h"

#if defined(__x86_64__)

#include <cpuid.h>
#include <immintrin.h>

namespace ringcast::sha1_detail {

// Asked with cpuid, because GCC 12's __builtin_cpu_supports does not know "sha".
// The instructions use XMM registers only, which every x86-64 system saves.
bool has_sha_ni() {
  unsigned a = 0, b = 0, c = 0, d = 0;
  constexpr unsigned kSha = 1u << 29;  // leaf 7, EBX
  return __get_cpuid_count(7, 0, &a, &b, &c, &d) != 0 && (b & kSha) != 0 &&
         __builtin_cpu_supports("sse4.1") && __builtin_cpu_supports("ssse3");
}

namespace {

// The SHA instructions exist only in the old encoding, which preserves the upper
// halves of YMM registers. If a caller (memcpy, the UTF-8 kernel) left those
// dirty, each of them would wait for a merge: 150 times slower. Some machines
// with SHA have no AVX, and there the instruction does not exist.
inline void clear_upper_halves() {
  static const bool has_avx = __builtin_cpu_supports("avx");
  if (has_avx) asm volatile("vzeroupper");
}

}  // namespace

// Four rounds at a time. `w` holds the last 16 words of the schedule; group i
// (of 20) uses w[i & 3], made from the words of the four groups before it. The
// hardware rotates E itself: sha1nexte adds to the words what A was four rounds
// ago.
__attribute__((target("sha,sse4.1,ssse3"), noinline)) void compress_sha_ni(uint32_t state[5],
                                                                           const std::byte* blocks,
                                                                           size_t count) {
  clear_upper_halves();

  // Within a vector the first word is the highest: bytes are reversed outright.
  const __m128i reverse = _mm_set_epi64x(0x0001020304050607, 0x08090a0b0c0d0e0f);
  __m128i abcd = _mm_shuffle_epi32(_mm_loadu_si128(reinterpret_cast<const __m128i*>(state)), 0x1b);
  __m128i e = _mm_set_epi32(static_cast<int>(state[4]), 0, 0, 0);

  for (; count > 0; --count, blocks += 64) {
    const auto* const from = reinterpret_cast<const __m128i*>(blocks);
    const __m128i abcd_before = abcd;
    const __m128i e_before = e;
    __m128i w[4], previous, with_e;

#define RC_ROUNDS(i, function) \
  previous = abcd;             \
  abcd = _mm_sha1rnds4_epu32(abcd, with_e, (function));
#define RC_FIRST_WORDS(i) w[i] = _mm_shuffle_epi8(_mm_loadu_si128(from + (i)), reverse);
#define RC_GROUP(i, function)                                                                             \
  w[(i)&3] = _mm_sha1msg2_epu32(                                                                          \
      _mm_xor_si128(_mm_sha1msg1_epu32(w[(i)&3], w[((i) + 1) & 3]), w[((i) + 2) & 3]), w[((i) + 3) & 3]); \
  with_e = _mm_sha1nexte_epu32(previous, w[(i)&3]);                                                       \
  RC_ROUNDS(i, function)
#define RC_FIRST_GROUP(i)                       \
  RC_FIRST_WORDS(i)                             \
  with_e = _mm_sha1nexte_epu32(previous, w[i]); \
  RC_ROUNDS(i, 0)

    RC_FIRST_WORDS(0)
    with_e = _mm_add_epi32(e, w[0]);
    RC_ROUNDS(0, 0)
    RC_FIRST_GROUP(1)
    RC_FIRST_GROUP(2) RC_FIRST_GROUP(3) RC_GROUP(4, 0) RC_GROUP(5, 1) RC_GROUP(6, 1) RC_GROUP(7, 1)
        RC_GROUP(8, 1) RC_GROUP(9, 1) RC_GROUP(10, 2) RC_GROUP(11, 2) RC_GROUP(12, 2) RC_GROUP(13, 2)
            RC_GROUP(14, 2) RC_GROUP(15, 3) RC_GROUP(16, 3) RC_GROUP(17, 3) RC_GROUP(18, 3) RC_GROUP(19, 3)

#undef RC_FIRST_GROUP
#undef RC_GROUP
#undef RC_FIRST_WORDS
#undef RC_ROUNDS

                e = _mm_sha1nexte_epu32(previous, e_before);
    abcd = _mm_add_epi32(abcd, abcd_before);
  }

  _mm_storeu_si128(reinterpret_cast<__m128i*>(state), _mm_shuffle_epi32(abcd, 0x1b));
  state[4] = static_cast<uint32_t>(_mm_extract_epi32(e, 3));
}

}  // namespace ringcast::sha1_detail

#endif
