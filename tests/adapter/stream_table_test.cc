#include "adapter/stream_table.h"

#include <gtest/gtest.h>

#include <map>

#include "adapter/wire_names.h"
#include "base/prng.h"

namespace ringcast {
namespace {

std::string shouted(std::string_view name) {
  return std::string(name) + "!";
}

using Streams = std::vector<StreamTable::Stream*>;

TEST(StreamTable, KnowsStreamsByBothNames) {
  StreamTable table(shouted);
  EXPECT_FALSE(table.want("a"));
  ASSERT_NE(table.find_wire("a!"), nullptr);
  EXPECT_EQ(table.find_wire("a!")->name, "a");
  EXPECT_EQ(table.find_name("a"), table.find_wire("a!"));
  EXPECT_EQ(table.find_wire("a"), nullptr);
}

TEST(StreamTable, AsksOnceHoweverOftenItIsWanted) {
  StreamTable table(shouted);
  table.want("a");
  table.want("a");
  Streams subscribe, unsubscribe;
  EXPECT_FALSE(table.take_changes(10, subscribe, unsubscribe));
  ASSERT_EQ(subscribe.size(), 1u);
  EXPECT_FALSE(table.want("a"));
  ASSERT_NE(table.subscribed("a!"), nullptr);
  EXPECT_TRUE(table.want("a"));
  EXPECT_EQ(table.subscribed("a!"), nullptr);  // an answer too many
}

// Against an engine that answers one request after the other at its leisure, breaks and
// comes back: in the end it has exactly what is wanted.
TEST(StreamTable, EndsWithWhatIsWantedWhateverHappenedMeanwhile) {
  for (uint64_t seed = 0; seed < 200; ++seed) {
    Prng prng(seed);
    StreamTable table(shouted);
    std::map<std::string, bool> wanted;
    std::map<std::string, bool> engine;
    std::vector<std::pair<std::string, bool>> asked;  // channel, subscribe
    const auto ask = [&] {
      Streams subscribe, unsubscribe;
      const bool more = table.take_changes(1 + prng.below(3), subscribe, unsubscribe);
      for (const auto* stream : unsubscribe) asked.emplace_back(stream->wire, false);
      for (const auto* stream : subscribe) asked.emplace_back(stream->wire, true);
      return more;
    };
    const auto answer = [&] {
      const auto [channel, subscribe] = asked.front();
      asked.erase(asked.begin());
      ASSERT_NE(engine[channel], subscribe) << "seed " << seed << ": asked for what is so";
      engine[channel] = subscribe;
      if (subscribe) {
        table.subscribed(channel);
      } else {
        table.unsubscribed(channel);
      }
    };
    for (int step = 0; step < 300; ++step) {
      const std::string name(1, static_cast<char>('a' + prng.below(5)));
      switch (prng.below(8)) {
        case 0:
        case 1:
          if (table.want(name)) {
            EXPECT_TRUE(engine[shouted(name)]) << "seed " << seed;
          }
          wanted[name] = true;
          break;
        case 2:
        case 3:
          table.drop(name);
          wanted[name] = false;
          break;
        case 4:
          ask();
          break;
        case 5:
          if (prng.chance(0.1)) {
            table.engine_lost();
            asked.clear();
            engine.clear();
          }
          break;
        default:
          if (!asked.empty()) answer();
          break;
      }
      if (HasFatalFailure()) return;
    }
    while (ask() || !asked.empty()) {
      while (!asked.empty()) answer();
      if (HasFatalFailure()) return;
    }
    size_t count = 0;
    for (const auto& [name, is_wanted] : wanted) {
      EXPECT_EQ(engine[shouted(name)], is_wanted) << "seed " << seed << ", stream " << name;
      count += is_wanted;
    }
    EXPECT_EQ(table.size(), count);
  }
}

TEST(WireNames, SeesWhenTwoStreamsCouldNotBeToldApart) {
  EXPECT_EQ(WireNames{}.problem(), "");
  EXPECT_EQ((WireNames{.prefix = "app"}).problem(), "");
  EXPECT_EQ((WireNames{.prefix = "room"}).problem(), "");  // "room:x" is no "room_…"
  EXPECT_NE((WireNames{.prefix = "room_1"}).problem(), "");
  EXPECT_NE((WireNames{.prefix = "app", .unprefixed = {"*:ticks"}}).problem(), "");
  EXPECT_NE((WireNames{.prefix = "app", .unprefixed = {"app:x"}}).problem(), "");
  EXPECT_EQ((WireNames{.prefix = "app", .unprefixed = {"*"}}).problem(), "");
  EXPECT_EQ((WireNames{.prefix = "app", .unprefixed = {"app"}}).problem(), "");
}

}  // namespace
}  // namespace ringcast
