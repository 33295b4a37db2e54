// A number is the whole of its text, or none.
#include "base/number.h"

#include <gtest/gtest.h>

#include <cstdint>

namespace ringcast {
namespace {

TEST(Number, IsTheWholeText) {
  EXPECT_EQ(parse_number<uint64_t>("0"), 0u);
  EXPECT_EQ(parse_number<uint16_t>("65535"), 65535);
  EXPECT_EQ(parse_number<int>("-17"), -17);
  EXPECT_EQ(parse_number<uint64_t>("18446744073709551615"), UINT64_MAX);
  EXPECT_EQ(parse_number<uint64_t>("00ff", 16), 255u);
}

TEST(Number, NothingElseStandsInIt) {
  for (const char* const text : {"", " 1", "1 ", "+1", "-1", "1.0", "1e3", "0x1", "1,", "one"}) {
    EXPECT_FALSE(parse_number<uint64_t>(text)) << text;
  }
  EXPECT_FALSE(parse_number<uint64_t>(std::string_view("1\0", 2)));
}

TEST(Number, FitsItsType) {
  EXPECT_FALSE(parse_number<uint16_t>("65536"));
  EXPECT_FALSE(parse_number<int>("2147483648"));
  EXPECT_FALSE(parse_number<uint64_t>("18446744073709551616"));
}

}  // namespace
}  // namespace ringcast
