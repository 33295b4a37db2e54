// What a shard keeps of the identifiers that its clients subscribe under, and for how long.
#include "shard/channel_identifier.h"

#include <gtest/gtest.h>
#include <malloc.h>

#include <map>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "base/prng.h"
#include "protocol/cable.h"

namespace ringcast {
namespace {

std::string private_text(size_t i) {
  return R"({"channel":"TickerChannel","symbol":"S)" + std::to_string(10'000 + i) + R"("})";
}

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
    EXPECT_EQ(first->params().string("room_id"), "7");
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

TEST(ChannelIdentifiers, NameTheirChannelHoweverItIsWritten) {
  const std::pair<std::string, std::string> cases[] = {
      {R"({"channel":"Chat"})", "Chat"},
      {R"({"room":"Chat","channel":"Chat"})", "Chat"},
      {R"({"channel":"Ch\u0061t"})", "Chat"},
      {R"({"Chat":1,"channel":"Ch\u0061t"})", "Chat"},
      {R"({"channel":"a\"b\\"})", R"(a"b\)"},
      {R"({"channel":"\u00e4\u0000"})", std::string("\xc3\xa4\0", 3)},
      {R"({"channel":"First","channel":"Last"})", "Last"},
      {R"({"channel":""})", ""},
  };
  for (const auto& [text, name] : cases) {
    ChannelIdentifierTable identifiers;
    const ChannelIdentifierRef identifier = identifiers.find_or_decode(std::string(text));
    ASSERT_TRUE(identifier) << text;
    EXPECT_EQ(identifier->channel(), name) << text;
    EXPECT_EQ(identifier->text(), text);
    EXPECT_EQ(identifier->params()["channel"].text(), name) << text;
  }
}

TEST(ChannelIdentifiers, GiveBackTheirParamsWhenMoreThanAFewHoldThem) {
  constexpr size_t kMax = ChannelIdentifierTable::kDecodedMax;
  ChannelIdentifierTable identifiers;
  std::vector<ChannelIdentifierRef> held;
  const auto take = [&](size_t count) {
    while (held.size() < count) held.push_back(identifiers.find_or_decode(private_text(held.size())));
  };
  take(kMax);
  const Json& first = held[0]->params();
  identifiers.turn_ended();
  EXPECT_EQ(&held[0]->params(), &first) << "these few keep theirs";
  EXPECT_EQ(identifiers.decoded(), kMax);

  take(3 * kMax);
  EXPECT_EQ(&held[0]->params(), &first) << "nothing is given back within a turn";
  EXPECT_EQ(first.string("symbol"), "S10000");
  const std::string_view name = held[0]->channel();
  const Json before = first;
  identifiers.turn_ended();
  EXPECT_EQ(identifiers.decoded(), 0u);
  EXPECT_EQ(held[0]->params(), before);
  EXPECT_EQ(identifiers.decoded(), 1u);
  EXPECT_EQ(name, "TickerChannel") << "that is not decoded";
  EXPECT_EQ(held[0], identifiers.find_or_decode(private_text(0)));
  EXPECT_EQ(identifiers.decoded(), 1u) << "found is not decoded";
}

// Whoever goes leaves the others' places right.
TEST(ChannelIdentifiers, ComeAndGoWithAndWithoutTheirParams) {
  Prng prng(7);
  ChannelIdentifierTable identifiers;
  std::map<size_t, ChannelIdentifierRef> held;
  std::set<size_t> decoded;
  for (int step = 0; step < 50'000; ++step) {
    const size_t i = prng.below(1000);
    if (prng.chance(0.4)) {
      held.erase(i);
      decoded.erase(i);
    } else if (prng.chance(0.01)) {
      identifiers.turn_ended();
      if (decoded.size() > ChannelIdentifierTable::kDecodedMax) decoded.clear();
    } else {
      const bool there = held.contains(i);
      ChannelIdentifierRef& identifier = held[i] = identifiers.find_or_decode(private_text(i));
      if (!there || prng.chance(0.5)) {
        ASSERT_EQ(identifier->params().string("symbol"), "S" + std::to_string(10'000 + i));
        decoded.insert(i);
      }
    }
    ASSERT_EQ(identifiers.size(), held.size());
    ASSERT_EQ(identifiers.decoded(), decoded.size());
  }
}

// What malloc has in use for each of many, everything about it included.
TEST(ChannelIdentifiers, CostLittleWhereEverybodyHasOneOfTheirOwn) {
  constexpr size_t kMany = 4096;
  ChannelIdentifierTable identifiers;
  std::vector<ChannelIdentifierRef> held;
  held.reserve(kMany);
  ASSERT_EQ(private_text(0).size(), 45u);
  const size_t before = mallinfo2().uordblks;
  for (size_t i = 0; i < kMany; ++i) held.push_back(identifiers.find_or_decode(private_text(i)));
  identifiers.turn_ended();
  // A sanitizer's malloc counts nothing here.
  const size_t each = (mallinfo2().uordblks - before) / kMany;
  EXPECT_LE(each, 112u);
}

}  // namespace
}  // namespace ringcast
