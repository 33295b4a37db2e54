#include "shard/socket_id.h"

#include <gtest/gtest.h>

namespace ringcast {
namespace {

constexpr uint64_t kSeed = 0x1234'5678'9abc'def0;

TEST(SocketId, NamesOneConnectionOfThisProcess) {
  const SocketId id = SocketId::of(3, {0x123456, 0xabcdef}, 0xfeed'0000'0000'0001);
  const std::string text = id.to_string(kSeed);
  EXPECT_EQ(text.size(), 32u);
  EXPECT_EQ(text.find("abcdef"), text.npos) << "what it is made of cannot be read";

  const auto read = SocketId::parse(text, kSeed);
  ASSERT_TRUE(read);
  EXPECT_EQ(read->shard(), 3);
  EXPECT_EQ(read->connection().slot, 0x123456u);
  EXPECT_EQ(read->connection().generation, 0xabcdefu);
  EXPECT_EQ(read->secret, id.secret);
}

TEST(SocketId, OfAnotherProcessPassesThroughUnchanged) {
  const std::string text = SocketId::of(0, {1, 1}, 7).to_string(kSeed);
  const auto read = SocketId::parse(text, kSeed + 1);
  ASSERT_TRUE(read);
  EXPECT_NE(read->place, SocketId::of(0, {1, 1}, 7).place);
  EXPECT_EQ(read->to_string(kSeed + 1), text);
}

TEST(SocketId, OtherTextIsNone) {
  const std::string good = SocketId::of(0, {1, 1}, 7).to_string(kSeed);
  for (const std::string& text : {std::string(), good.substr(1), good + "0", "g" + good.substr(1),
                                  "-" + good.substr(1), std::string(32, '0')}) {
    EXPECT_FALSE(SocketId::parse(text, kSeed)) << text;
  }
}

}  // namespace
}  // namespace ringcast
