// SHA-1 against FIPS 180-4's examples, and every kernel against the portable one.
#include "base/sha1.h"

#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "base/prng.h"

namespace ringcast {
namespace {

std::string hex(const Sha1Digest& digest) {
  std::string text;
  for (const std::byte byte : digest) {
    text += "0123456789abcdef"[std::to_integer<unsigned>(byte) >> 4];
    text += "0123456789abcdef"[std::to_integer<unsigned>(byte) & 15];
  }
  return text;
}

TEST(Sha1, PublishedExamples) {
  const std::string million(1'000'000, 'a');
  const std::pair<std::string_view, std::string_view> examples[] = {
      {"", "da39a3ee5e6b4b0d3255bfef95601890afd80709"},
      {"abc", "a9993e364706816aba3e25717850c26c9cd0d89d"},
      {"abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq",
       "84983e441c3bd26ebaae4aa1f95129e5e54670f1"},
      {"abcdefghbcdefghicdefghijdefghijkefghijklfghijklmghijklmnhijklmnoijklmnopjklmnopqklmnopqrlmnopqrsmnopq"
       "rst"
       "nopqrstu",
       "a49b2446a02c645bf419f995b67091253a04a259"},
      {million, "34aa973cd4c4daa4f61eeb2bdbad27316534016f"},
  };
  for (const Sha1Kernel& kernel : sha1_kernels()) {
    for (const auto& [message, expected] : examples) {
      EXPECT_EQ(hex(sha1_with(kernel, as_bytes(message))), expected) << kernel.name << ' ' << message.size();
    }
  }
}

// RFC 6455, 1.3: the key of the specification's own handshake.
TEST(Sha1, HandshakeExample) {
  EXPECT_EQ(hex(sha1(as_bytes("dGhlIHNhbXBsZSBub25jZQ==258EAFA5-E914-47DA-95CA-C5AB0DC85B11"))),
            "b37a4f2cc0624f1690f64606cf385945b2bec4ea");
}

// Lengths decide how the padding falls (55, 56, 63, 64 …), alignment how blocks are loaded.
TEST(Sha1, KernelsAgreeOnEveryLengthAndAlignment) {
  Prng prng(1);
  std::vector<std::byte> bytes(300 + 64);
  for (std::byte& byte : bytes) byte = static_cast<std::byte>(prng.next());
  const auto kernels = sha1_kernels();
  for (size_t length = 0; length <= 300; ++length) {
    for (size_t alignment = 0; alignment < 64; ++alignment) {
      const Bytes message = Bytes(bytes).subspan(alignment, length);
      const auto expected = sha1_with(kernels.front(), message);
      for (const Sha1Kernel& kernel : kernels) {
        ASSERT_EQ(sha1_with(kernel, message), expected) << kernel.name << ' ' << length << '+' << alignment;
      }
      ASSERT_EQ(sha1(message), expected);
    }
  }
}

}  // namespace
}  // namespace ringcast
