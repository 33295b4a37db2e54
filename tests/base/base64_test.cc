// Base64: RFC 4648's examples, every length both ways, and that no byte string
// has a second spelling.
#include "base/base64.h"

#include <gtest/gtest.h>

#include <set>

#include "base/prng.h"

namespace ringcast {
namespace {

std::string decoded(std::optional<std::vector<std::byte>> bytes) {
  return bytes ? std::string(as_text(*bytes)) : "nothing";
}

TEST(Base64, PublishedExamples) {
  const std::pair<std::string_view, std::string_view> examples[] = {
      {"", ""},
      {"f", "Zg=="},
      {"fo", "Zm8="},
      {"foo", "Zm9v"},
      {"foob", "Zm9vYg=="},
      {"fooba", "Zm9vYmE="},
      {"foobar", "Zm9vYmFy"},
  };
  for (const auto& [text, encoded] : examples) {
    EXPECT_EQ(base64_encode(as_bytes(text)), encoded);
    EXPECT_EQ(decoded(base64_decode(encoded)), text);
    const auto unpadded = std::string(encoded.substr(0, encoded.find('=')));
    EXPECT_EQ(base64url_encode(as_bytes(text)), unpadded);
    EXPECT_EQ(decoded(base64url_decode(unpadded)), text);
    EXPECT_EQ(decoded(base64url_decode(encoded)), text) << "the right padding is allowed";
  }
}

TEST(Base64, AlphabetsAreTheirOwn) {
  const std::string_view bytes = "\xfb\xef\xff\x3f";
  EXPECT_EQ(base64_encode(as_bytes(bytes)), "++//Pw==");
  EXPECT_EQ(base64url_encode(as_bytes(bytes)), "--__Pw");
  EXPECT_FALSE(base64_decode("--__"));
  EXPECT_FALSE(base64url_decode("++//"));
}

TEST(Base64, EveryLengthReturns) {
  Prng prng(2);
  for (size_t length = 0; length <= 300; ++length) {
    std::vector<std::byte> bytes(length);
    for (std::byte& byte : bytes) byte = static_cast<std::byte>(prng.next());
    EXPECT_EQ(base64_encode(bytes).size(), base64_encoded_bytes(length));
    EXPECT_EQ(base64_decode(base64_encode(bytes)), bytes);
    EXPECT_EQ(base64url_decode(base64url_encode(bytes)), bytes);
  }
}

TEST(Base64, RefusesWhatIsNotCanonical) {
  for (const std::string_view text :
       {"Zg",   "Zg=",      "Zg===", "Zg=a", "Z===",     "====",   "=",      "Z",
        "Zm8",  "Zm8==",    "=Zm8",  "Zm=8", "Zg==Zg==", "Zm9v\n", " Zm9v",  "Zm9v ",
        "Zm 9", "Zm9v====", "Zm9vY", "Zh==", "Zm9=",     "Zm-_",   "Zm9\xc3"}) {
    EXPECT_FALSE(base64_decode(text)) << text;
  }
  EXPECT_FALSE(base64_decode(std::string_view("Zm9\0", 4)));
  for (const std::string_view text : {"Z", "Zh", "Zm9", "Zg=", "Zm8==", "Zg===", "Zm9v=", "Zm9v===="}) {
    EXPECT_FALSE(base64url_decode(text)) << text;
  }
}

// All spellings of one and two octets: 256 and 65,536 of the 64^2 and 64^3 are canonical.
TEST(Base64, OneSpellingPerValue) {
  constexpr std::string_view kAlphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
  std::set<std::vector<std::byte>> seen;
  for (const char a : kAlphabet) {
    for (const char b : kAlphabet) {
      if (const auto bytes = base64_decode(std::string{a, b, '=', '='})) {
        ASSERT_EQ(bytes->size(), 1u);
        ASSERT_TRUE(seen.insert(*bytes).second);
      }
      for (const char c : kAlphabet) {
        if (const auto bytes = base64_decode(std::string{a, b, c, '='})) {
          ASSERT_EQ(bytes->size(), 2u);
          ASSERT_TRUE(seen.insert(*bytes).second);
        }
      }
    }
  }
  EXPECT_EQ(seen.size(), 256u + 65536u);
}

}  // namespace
}  // namespace ringcast
