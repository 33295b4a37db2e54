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

#define RC_SHA __attribute__((target("sha,sse4.1,ssse3")))

// Within a vector the first word is the highest, as the instructions want it.
struct Rounds {
  __m128i abcd;
  __m128i abcd_before;  // the last four rounds
  __m128i w[4];         // the last 16 words of the schedule, four rounds' words each
};

// FIPS 180-4's function 0..3. The hardware rotates E itself: sha1nexte adds to
// the words what A was four rounds ago.
template <int kFunction>
RC_SHA inline void four_rounds(Rounds& r, __m128i words_and_e) {
  r.abcd_before = r.abcd;
  r.abcd = _mm_sha1rnds4_epu32(r.abcd, words_and_e, kFunction);
}

template <int kFunction>
RC_SHA inline void next_four_rounds(Rounds& r, unsigned group) {
  __m128i& words = r.w[group & 3];  // of group - 4, replaced by this group's
  words = _mm_sha1msg1_epu32(words, r.w[(group + 1) & 3]);
  words = _mm_xor_si128(words, r.w[(group + 2) & 3]);
  words = _mm_sha1msg2_epu32(words, r.w[(group + 3) & 3]);
  four_rounds<kFunction>(r, _mm_sha1nexte_epu32(r.abcd_before, words));
}

template <int kFunction>
RC_SHA inline void twenty_rounds(Rounds& r) {
  for (unsigned group = 5 * kFunction; group < 5 * kFunction + 5; ++group)
    next_four_rounds<kFunction>(r, group);
}

}  // namespace

RC_SHA void compress_sha_ni(uint32_t state[5], const std::byte* blocks, size_t count) {
  clear_upper_halves();

  const __m128i reverse_bytes = _mm_set_epi64x(0x0001020304050607, 0x08090a0b0c0d0e0f);
  __m128i abcd = _mm_shuffle_epi32(_mm_loadu_si128(reinterpret_cast<const __m128i*>(state)), 0x1b);
  __m128i e = _mm_set_epi32(static_cast<int>(state[4]), 0, 0, 0);

  for (; count > 0; --count, blocks += 64) {
    Rounds r;
    r.abcd = abcd;
    for (unsigned i = 0; i < 4; ++i) {
      const auto* const words = reinterpret_cast<const __m128i*>(blocks + 16 * i);
      r.w[i] = _mm_shuffle_epi8(_mm_loadu_si128(words), reverse_bytes);
    }
    four_rounds<0>(r, _mm_add_epi32(e, r.w[0]));
    for (unsigned i = 1; i < 4; ++i) four_rounds<0>(r, _mm_sha1nexte_epu32(r.abcd_before, r.w[i]));
    next_four_rounds<0>(r, 4);
    twenty_rounds<1>(r);
    twenty_rounds<2>(r);
    twenty_rounds<3>(r);

    e = _mm_sha1nexte_epu32(r.abcd_before, e);
    abcd = _mm_add_epi32(r.abcd, abcd);
  }

  _mm_storeu_si128(reinterpret_cast<__m128i*>(state), _mm_shuffle_epi32(abcd, 0x1b));
  state[4] = static_cast<uint32_t>(_mm_extract_epi32(e, 3));
}

#undef RC_SHA

}  // namespace ringcast::sha1_detail

#endif
