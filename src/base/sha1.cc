// SHA-1's padding, its portable kernel and the choice between kernels.
#include "base/sha1.h"

#include <bit>
#include <cstring>

#include "base/sha1_kernels.h"

namespace ringcast {
namespace {

constexpr size_t kBlockBytes = 64;

// FIPS 180-4, 6.1.3: the schedule as a circular window of 16 words. Word t
// overwrites word t - 16, which nothing needs any more.
void compress_portable(uint32_t state[5], const std::byte* blocks, size_t count) {
  for (; count > 0; --count, blocks += kBlockBytes) {
    uint32_t w[16];
    for (size_t t = 0; t < 16; ++t) w[t] = load_be32(blocks + 4 * t);

    uint32_t a = state[0], b = state[1], c = state[2], d = state[3], e = state[4];
    const auto rounds = [&](unsigned from, uint32_t constant, auto mix) {
      for (unsigned t = from; t < from + 20; ++t) {
        if (t >= 16) {
          w[t & 15] = std::rotl(w[(t + 13) & 15] ^ w[(t + 8) & 15] ^ w[(t + 2) & 15] ^ w[t & 15], 1);
        }
        const uint32_t sum = std::rotl(a, 5) + mix(b, c, d) + e + constant + w[t & 15];
        e = d;
        d = c;
        c = std::rotl(b, 30);
        b = a;
        a = sum;
      }
    };
    const auto choose = [](uint32_t x, uint32_t y, uint32_t z) { return z ^ (x & (y ^ z)); };
    const auto parity = [](uint32_t x, uint32_t y, uint32_t z) { return x ^ y ^ z; };
    const auto majority = [](uint32_t x, uint32_t y, uint32_t z) { return (x & y) | (z & (x | y)); };
    rounds(0, 0x5a827999, choose);
    rounds(20, 0x6ed9eba1, parity);
    rounds(40, 0x8f1bbcdc, majority);
    rounds(60, 0xca62c1d6, parity);

    state[0] += a;
    state[1] += b;
    state[2] += c;
    state[3] += d;
    state[4] += e;
  }
}

struct Kernels {
  Sha1Kernel list[2] = {{"portable", compress_portable}, {}};
  size_t count = 1;

  Kernels() {
#if defined(__x86_64__)
    if (sha1_detail::has_sha_ni()) list[count++] = {"sha-ni", sha1_detail::compress_sha_ni};
#endif
  }
};

}  // namespace

std::span<const Sha1Kernel> sha1_kernels() {
  static const Kernels kernels;
  return {kernels.list, kernels.count};
}

Sha1Digest sha1_with(const Sha1Kernel& kernel, Bytes message) {
  uint32_t state[5] = {0x67452301, 0xefcdab89, 0x98badcfe, 0x10325476, 0xc3d2e1f0};
  const size_t whole_blocks = message.size() / kBlockBytes;
  if (whole_blocks > 0) kernel.compress(state, message.data(), whole_blocks);

  // 5.1.1: one bit, zeros, and the length in bits, in one block or two.
  std::byte last[2 * kBlockBytes] = {};
  const Bytes rest = message.subspan(whole_blocks * kBlockBytes);
  if (!rest.empty()) std::memcpy(last, rest.data(), rest.size());
  last[rest.size()] = std::byte{0x80};
  const size_t last_blocks = rest.size() + 1 + sizeof(uint64_t) <= kBlockBytes ? 1 : 2;
  store_be64(last + last_blocks * kBlockBytes - sizeof(uint64_t), uint64_t{message.size()} * 8);
  kernel.compress(state, last, last_blocks);

  Sha1Digest digest;
  for (size_t i = 0; i < 5; ++i) store_be32(digest.data() + 4 * i, state[i]);
  return digest;
}

Sha1Digest sha1(Bytes message) {
  return sha1_with(sha1_kernels().back(), message);
}

}  // namespace ringcast
