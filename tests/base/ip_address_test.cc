// One address, one value, one text.
#include "base/ip_address.h"

#include <gtest/gtest.h>

namespace ringcast {
namespace {

TEST(IpAddress, ParsesAndPrintsBothFamilies) {
  for (const char* text :
       {"127.0.0.1", "0.0.0.0", "255.255.255.255", "::1", "::", "2001:db8::1", "fe80::1"}) {
    const auto address = IpAddress::parse(text);
    ASSERT_TRUE(address) << text;
    EXPECT_EQ(address->to_string(), text);
  }
  for (const char* text :
       {"", "localhost", "127.1", "1.2.3.4.5", "256.0.0.1", "[::1]", "::1%lo", "1.2.3.4 "}) {
    EXPECT_FALSE(IpAddress::parse(text)) << text;
  }
  EXPECT_FALSE(IpAddress::parse(std::string_view("127.0.0.1\0x", 11)));
}

TEST(IpAddress, OneClientIsOneValueThroughEitherFamily) {
  EXPECT_EQ(IpAddress::parse("::ffff:10.0.0.7"), IpAddress::parse("10.0.0.7"));
  EXPECT_TRUE(IpAddress::parse("::ffff:10.0.0.7")->is_v4());
  EXPECT_EQ(IpAddress::parse("::ffff:10.0.0.7")->to_string(), "10.0.0.7");
  EXPECT_EQ(IpAddressHash{}(*IpAddress::parse("::ffff:10.0.0.7")),
            IpAddressHash{}(IpAddress::v4(10, 0, 0, 7)));
}

TEST(IpAddress, KnowsLoopbackAndAny) {
  for (const char* text : {"127.0.0.1", "127.200.3.4", "::1", "::ffff:127.0.0.1"}) {
    EXPECT_TRUE(IpAddress::parse(text)->is_loopback()) << text;
  }
  for (const char* text : {"128.0.0.1", "0.0.0.0", "::", "::2", "10.0.0.1"}) {
    EXPECT_FALSE(IpAddress::parse(text)->is_loopback()) << text;
  }
  EXPECT_TRUE(IpAddress::parse("0.0.0.0")->is_any());
  EXPECT_TRUE(IpAddress::parse("::")->is_any());
  EXPECT_FALSE(IpAddress::parse("::1")->is_any());
}

}  // namespace
}  // namespace ringcast
