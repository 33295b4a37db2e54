// The canary's times, and a link's.
#include "adapter/canary.h"

#include <gtest/gtest.h>

#include "adapter/engine_link.h"

namespace ringcast {
namespace {

constexpr Instant at(int64_t ms) {
  return Instant(milliseconds(ms));
}

TEST(Canary, GoesOnceInAnIntervalAndIsLateAfterItsTime) {
  AdapterCounters counters;
  Canary canary(milliseconds(100), milliseconds(500), counters);
  canary.begin(at(1000));
  EXPECT_EQ(canary.deadline(), at(1000));
  ASSERT_TRUE(canary.due(at(1000)));
  const std::string first = canary.send(at(1000));
  EXPECT_FALSE(canary.due(at(1100)));  // the first is still under way
  canary.came("something else", at(1020));
  canary.came("", at(1020));
  EXPECT_EQ(canary.deadline(), at(1500));
  canary.came(first, at(1040));
  EXPECT_EQ(counters.canary_us.load(), 40'000u);
  EXPECT_EQ(canary.heard_at(), at(1040));
  EXPECT_EQ(canary.deadline(), at(1100));
  EXPECT_FALSE(canary.due(at(1099)));

  ASSERT_TRUE(canary.due(at(1100)));
  const std::string second = canary.send(at(1100));
  canary.came(first, at(1200));  // an echo of the one before
  EXPECT_FALSE(canary.late(at(1599)));
  EXPECT_TRUE(canary.late(at(1600)));
  EXPECT_FALSE(canary.silent(at(1289)));
  EXPECT_TRUE(canary.silent(at(1290)));
  canary.excuse(at(1600));
  EXPECT_FALSE(canary.late(at(1700)));
  EXPECT_FALSE(canary.silent(at(1700)));
  canary.forget();
  EXPECT_FALSE(canary.late(at(9999)));
  canary.came(second, at(9999));  // nobody waits for it any more
  EXPECT_EQ(canary.heard_at(), at(1040));
  EXPECT_EQ(counters.canary_us.load(), 40'000u);
}

struct Wire {
  enum class Stage { closed, ready } at = Stage::closed;
  Stage stage() const { return at; }
  Instant deadline() const { return kNever; }
};

TEST(EngineLink, WaitsLongerAfterEachEndAndSeesToEachOnce) {
  EngineLink<Wire> link(milliseconds(80));
  EXPECT_TRUE(link.may_open(at(0)));
  EXPECT_FALSE(link.take_end(at(0)));  // it was never open
  int64_t now = 0, longest = 0;
  for (size_t attempt = 0; attempt < 10; ++attempt) {
    EXPECT_EQ(link.tried_all(2), attempt >= 2);
    EXPECT_EQ(link.begin_attempt(2), attempt % 2);
    link.connection.at = Wire::Stage::ready;
    EXPECT_FALSE(link.take_end(at(now)));
    EXPECT_EQ(link.deadline(), kNever);
    link.connection.at = Wire::Stage::closed;
    EXPECT_TRUE(link.unsettled());
    EXPECT_FALSE(link.may_open(at(now + 1000)));  // what it had brought comes first
    EXPECT_TRUE(link.take_end(at(now)));
    EXPECT_FALSE(link.take_end(at(now)));
    const int64_t pause = (link.deadline() - at(now)) / milliseconds(1);
    EXPECT_LE(pause, 80);
    longest = std::max(longest, pause);
    EXPECT_FALSE(link.may_open(link.deadline() - milliseconds(1)));
    EXPECT_TRUE(link.may_open(link.deadline()));
    now += 1000;
  }
  EXPECT_GE(longest, 40);
  link.addresses_changed();
  EXPECT_FALSE(link.tried_all(2));
  link.succeeded();
  (void)link.begin_attempt(1);
  ASSERT_TRUE(link.take_end(at(now)));
  EXPECT_LE(link.deadline(), at(now + 20));
}

}  // namespace
}  // namespace ringcast
