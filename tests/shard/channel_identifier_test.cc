// What a shard keeps of the identifiers that its clients subscribe under, and for how long.
#include "shard/channel_identifier.h"

#include <gtest/gtest.h>
#include <malloc.h>

#include <string>
#include <vector>

#include "protocol/cable.h"

namespace ringcast {
namespace {

TEST(ChannelIdentifiers, AreOneForAllWhoSayTheSameUntilTheLastIsGone) {
  ChannelIdentifierTable identifiers;
  EXPECT_FALSE(identifiers.find_or_decode("[]"));
  EXPECT_FALSE(identifiers.find_or_decode(R"({"room":1})"));
  EXPECT_EQ(identifiers.size(), 0u);
  {
    const ChannelIdentifierRef first = identifiers.find_or_decode(R"({"channel":"Chat","room_id":7})");
    ChannelIdentifierRef second = identifiers.find_or_decode(R"({"channel":"Chat","room_id":7})");
    EXPECT_EQ(first, second);
    EXPECT_EQ(&first->params(), &second->params());
    EXPECT_EQ(first->channel(), "Chat");
    EXPECT_EQ(identifiers.size(), 1u);
    second = identifiers.find_or_decode(R"({"channel":"Chat","room_id":8})");
    EXPECT_NE(first, second);
    EXPECT_EQ(identifiers.size(), 2u);
    second = first;
    EXPECT_EQ(identifiers.size(), 1u);
  }
  EXPECT_EQ(identifiers.size(), 0u);
}

TEST(ChannelIdentifiers, KeepTheirTextAndMakeThePrefixOfIt) {
  ChannelIdentifierTable identifiers;
  const std::string text = R"({"channel":"Chat","of":"<ä>\u0000"})";
  const ChannelIdentifierRef identifier = identifiers.find_or_decode(std::string(text));
  EXPECT_EQ(identifier->text(), text);
  EXPECT_EQ(identifier->broadcast_prefix(), BroadcastEnvelope(text).prefix);
  EXPECT_EQ(identifier->broadcast_prefix().data(), identifier->broadcast_prefix().data()) << "made once";
}

// What malloc has in use for each of many, everything about it included.
TEST(ChannelIdentifiers, CostLittleWhereEverybodyHasOneOfTheirOwn) {
  constexpr size_t kMany = 4096;
  ChannelIdentifierTable identifiers;
  std::vector<ChannelIdentifierRef> held;
  held.reserve(kMany);
  const auto text = [](size_t i) {
    return R"({"channel":"TickerChannel","symbol":"S)" + std::to_string(10'000 + i) + R"("})";
  };
  ASSERT_EQ(text(0).size(), 45u);
  const size_t before = mallinfo2().uordblks;
  for (size_t i = 0; i < kMany; ++i) held.push_back(identifiers.find_or_decode(text(i)));
  // A sanitizer's malloc counts nothing here.
  const size_t each = (mallinfo2().uordblks - before) / kMany;
  EXPECT_LE(each, 352u);
}

}  // namespace
}  // namespace ringcast
