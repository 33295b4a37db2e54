// The masking kernels and the choice between them. All are correct for any
// alignment and length; they differ in how many bytes a step takes.
#include "base/xor_mask.h"

#include <atomic>
#include <bit>
#include <cstring>

#if defined(__x86_64__)
#include <immintrin.h>
#endif

namespace ringcast {
namespace {

// The key as it applies from bytes[0] on, in memory order: every step of a
// multiple of 4 bytes then uses the same word.
uint32_t key_from(MaskKey key, size_t offset) {
  const MaskKey rotated = {key[offset & 3], key[(offset + 1) & 3], key[(offset + 2) & 3],
                           key[(offset + 3) & 3]};
  return std::bit_cast<uint32_t>(rotated);
}

template <class Word>
void xor_at(std::byte* at, Word key) {
  Word word;
  std::memcpy(&word, at, sizeof word);
  word ^= key;
  std::memcpy(at, &word, sizeof word);
}

void mask_scalar(MutableBytes bytes, MaskKey key, size_t offset) {
  const uint32_t word = key_from(key, offset);
  const uint64_t twice = uint64_t{word} << 32 | word;
  std::byte* at = bytes.data();
  size_t left = bytes.size();
  for (; left >= 8; left -= 8, at += 8) xor_at(at, twice);
  if (left >= 4) {
    xor_at(at, word);
    left -= 4;
    at += 4;
  }
  const auto tail_key = std::bit_cast<MaskKey>(word);
  for (size_t i = 0; i < left; ++i) at[i] ^= tail_key[i];
}

#if defined(__x86_64__)

#define RC_AVX2 __attribute__((target("avx2")))

RC_AVX2 inline __m256i load_masked(const std::byte* from, __m256i key) {
  return _mm256_xor_si256(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(from)), key);
}

RC_AVX2 inline void store(std::byte* to, __m256i value) {
  _mm256_storeu_si256(reinterpret_cast<__m256i*>(to), value);
}

// No tail loop: the last 32 bytes are loaded and masked before the loop changes
// them and stored after it, so where they overlap both wrote the same.
RC_AVX2 void mask_avx2(MutableBytes bytes, MaskKey key, size_t offset) {
  const size_t count = bytes.size();
  if (count < 32) return mask_scalar(bytes, key, offset);

  std::byte* const last_at = bytes.data() + count - 32;
  const __m256i last_key = _mm256_set1_epi32(static_cast<int>(key_from(key, offset + count - 32)));
  const __m256i last = load_masked(last_at, last_key);

  const __m256i word = _mm256_set1_epi32(static_cast<int>(key_from(key, offset)));
  std::byte* at = bytes.data();
  for (; last_at - at >= 128; at += 128) {
    const __m256i first = load_masked(at, word);
    const __m256i second = load_masked(at + 32, word);
    const __m256i third = load_masked(at + 64, word);
    const __m256i fourth = load_masked(at + 96, word);
    store(at, first);
    store(at + 32, second);
    store(at + 64, third);
    store(at + 96, fourth);
  }
  for (; at < last_at; at += 32) store(at, load_masked(at, word));
  store(last_at, last);
}

#undef RC_AVX2

// The rest is one masked load and store, which touch no byte that is masked out
// (not even its page). A frame of up to 64 bytes is that one step.
__attribute__((target("avx512f,avx512bw"))) void mask_avx512(MutableBytes bytes, MaskKey key, size_t offset) {
  const __m512i word = _mm512_set1_epi32(static_cast<int>(key_from(key, offset)));
  std::byte* at = bytes.data();
  size_t left = bytes.size();
  for (; left >= 64; left -= 64, at += 64) {
    _mm512_storeu_si512(at, _mm512_xor_si512(_mm512_loadu_si512(at), word));
  }
  if (left > 0) {
    const __mmask64 lanes = ~uint64_t{0} >> (64 - left);
    _mm512_mask_storeu_epi8(at, lanes, _mm512_xor_si512(_mm512_maskz_loadu_epi8(lanes, at), word));
  }
}

#endif

struct XorMaskKernels {
  XorMaskKernel list[3] = {{"scalar", mask_scalar}, {}, {}};
  size_t count = 1;

  XorMaskKernels() {
#if defined(__x86_64__)
    if (__builtin_cpu_supports("avx2")) list[count++] = {"avx2", mask_avx2};
    if (__builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw")) {
      list[count++] = {"avx512", mask_avx512};
    }
#endif
  }
};

void choose_and_run(MutableBytes bytes, MaskKey key, size_t offset);

// Starts as the function that replaces it, so that a static constructor may
// mask too. Every thread stores the same value: relaxed order is enough.
constinit std::atomic<void (*)(MutableBytes, MaskKey, size_t)> chosen_mask = choose_and_run;

void choose_and_run(MutableBytes bytes, MaskKey key, size_t offset) {
  const auto run = xor_mask_kernels().back().run;
  chosen_mask.store(run, std::memory_order_relaxed);
  run(bytes, key, offset);
}

}  // namespace

std::span<const XorMaskKernel> xor_mask_kernels() {
  static const XorMaskKernels kernels;
  return {kernels.list, kernels.count};
}

void xor_mask(MutableBytes bytes, MaskKey key, size_t offset) {
  chosen_mask.load(std::memory_order_relaxed)(bytes, key, offset);
}

}  // namespace ringcast
