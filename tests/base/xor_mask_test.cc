// Masking: every kernel against byte-by-byte arithmetic, on every length, offset
// and alignment that decides which path a byte takes, with guards around.
#include "base/xor_mask.h"

#include <gtest/gtest.h>
#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <vector>

#include "base/prng.h"

namespace ringcast {
namespace {

constexpr MaskKey kKey = {std::byte{0x37}, std::byte{0xfa}, std::byte{0x21}, std::byte{0x3d}};
constexpr std::byte kGuard{0xa5};

std::vector<std::byte> random_bytes(size_t count) {
  Prng prng(count);
  std::vector<std::byte> bytes(count);
  for (std::byte& byte : bytes) byte = static_cast<std::byte>(prng.next());
  return bytes;
}

// RFC 6455, 5.3, word by word.
std::vector<std::byte> masked(std::vector<std::byte> bytes, size_t offset) {
  for (size_t i = 0; i < bytes.size(); ++i) bytes[i] ^= kKey[(offset + i) % 4];
  return bytes;
}

class XorMask : public testing::TestWithParam<XorMaskKernel> {};

TEST_P(XorMask, EveryLengthOffsetAndAlignment) {
  // A masked payload of 1 GiB and more comes in pieces too.
  const size_t offsets[] = {0, 1, 2, 3, 4, 63, 125, (size_t{1} << 32) + 1, SIZE_MAX - 400, SIZE_MAX};
  constexpr size_t kMargin = 64;
  alignas(64) std::byte area[kMargin + 64 + 300 + kMargin];
  for (size_t length = 0; length <= 300; ++length) {
    const auto plain = random_bytes(length);
    for (const size_t offset : offsets) {
      const auto expected = masked(plain, offset);
      for (size_t alignment = 0; alignment < 64; ++alignment) {
        std::fill(std::begin(area), std::end(area), kGuard);
        std::byte* const at = area + kMargin + alignment;
        std::copy(plain.begin(), plain.end(), at);
        GetParam().run({at, length}, kKey, offset);
        ASSERT_TRUE(std::equal(expected.begin(), expected.end(), at))
            << "length " << length << ", offset " << offset << ", alignment " << alignment;
        const auto is_guard = [](std::byte byte) { return byte == kGuard; };
        ASSERT_TRUE(std::all_of(area, at, is_guard) && std::all_of(at + length, std::end(area), is_guard))
            << "length " << length << ", offset " << offset << ", alignment " << alignment;
      }
    }
  }
}

TEST_P(XorMask, LongPayloadsInPieces) {
  const auto plain = random_bytes(70'000);
  const auto expected = masked(plain, 0);
  Prng prng(7);
  for (int round = 0; round < 50; ++round) {
    auto bytes = plain;
    for (size_t at = 0; at < bytes.size();) {
      const size_t count =
          std::min<size_t>(bytes.size() - at, prng.below(3) == 0 ? prng.below(8) : prng.below(9000));
      GetParam().run(MutableBytes(bytes).subspan(at, count), kKey, at);
      at += count;
    }
    ASSERT_EQ(bytes, expected);
  }
}

TEST_P(XorMask, TwiceIsNothing) {
  const auto plain = random_bytes(1000);
  auto bytes = plain;
  GetParam().run(bytes, kKey, 3);
  EXPECT_NE(bytes, plain);
  GetParam().run(bytes, kKey, 3);
  EXPECT_EQ(bytes, plain);
}

// A byte outside the payload, read or written, ends the process here.
TEST_P(XorMask, StaysInsideItsPage) {
  const auto page = static_cast<size_t>(sysconf(_SC_PAGESIZE));
  void* const mapped = mmap(nullptr, 3 * page, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  ASSERT_NE(mapped, MAP_FAILED);
  auto* const first = static_cast<std::byte*>(mapped) + page;
  ASSERT_EQ(mprotect(first, page, PROT_READ | PROT_WRITE), 0);
  for (size_t length = 0; length <= 300; ++length) {
    const auto plain = random_bytes(length);
    const auto expected = masked(plain, length);
    for (std::byte* const at : {first, first + page - length}) {
      std::copy(plain.begin(), plain.end(), at);
      GetParam().run({at, length}, kKey, length);
      ASSERT_TRUE(std::equal(expected.begin(), expected.end(), at)) << length;
    }
  }
  munmap(mapped, 3 * page);
}

std::vector<XorMaskKernel> kernels_and_choice() {
  std::vector<XorMaskKernel> kernels(xor_mask_kernels().begin(), xor_mask_kernels().end());
  kernels.push_back({"chosen", xor_mask});
  return kernels;
}

INSTANTIATE_TEST_SUITE_P(Kernels, XorMask, testing::ValuesIn(kernels_and_choice()),
                         [](const auto& info) { return std::string(info.param.name); });

}  // namespace
}  // namespace ringcast
