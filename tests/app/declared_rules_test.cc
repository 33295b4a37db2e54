// The rules in force: what a reload replaces and whoever holds them sees, rates, the log's
// budget.
#include "app/declared_rules.h"

#include <gtest/gtest.h>

#include "app/declared_reader.h"

namespace ringcast {
namespace {

using namespace std::chrono_literals;

Declarations declared(std::string_view text) {
  Declarations made;
  EXPECT_EQ(read_declarations(text, "f.toml", {}, made), "");
  return made;
}

constexpr std::string_view kOne = "[[channel]]\nname = 'A'\nstream = 'a'\n";

TEST(DeclaredRules, WhoeverHoldsThemSeesTheNextOnesWhenAsked) {
  DeclaredRules rules(declared(kOne));
  DeclaredRules::Held held = rules.hold();
  EXPECT_FALSE(rules.refresh(held));
  EXPECT_TRUE(rules.replace(declared("[[channel]]\nname = 'B'\nstream = 'b'\n")).empty());
  EXPECT_NE(held->channel("A"), nullptr) << "what is held stays";
  EXPECT_TRUE(rules.refresh(held));
  EXPECT_EQ(held->channel("A"), nullptr);
  EXPECT_NE(held->channel("B"), nullptr);
  EXPECT_FALSE(rules.refresh(held));
}

TEST(DeclaredRules, RoutesThatCameOrWentWaitForARestart) {
  const auto route = [](std::string_view path) {
    return "[[route]]\npath = '" + std::string(path) + "'\nstream = 'a'\nanonymous = true\n";
  };
  DeclaredRules rules(declared(route("/a") + route("/b")));
  EXPECT_TRUE(rules.replace(declared(route("/b") + route("/a"))).empty());
  EXPECT_EQ(rules.replace(declared(route("/a") + route("/c"))), (std::vector<std::string>{"/c", "/b"}));
  EXPECT_TRUE(rules.replace(declared(route("/a") + route("/b"))).empty());
}

TEST(DeclaredRules, RefusalsAreCountedAndAFewOfThemLogged) {
  const DeclaredRules rules({});
  uint64_t unsaid = 0;
  int logged = 0;
  for (int i = 0; i < 100; ++i) logged += rules.refused(Refusal::rate, unsaid) ? 1 : 0;
  EXPECT_GE(logged, 5);
  EXPECT_LE(logged, 10) << "a second may have ended meanwhile";
  EXPECT_NE(rules.metrics_text().find("ringcast_declared_refused_total{reason=\"rate\"} 100\n"),
            std::string::npos);
  EXPECT_NE(rules.metrics_text().find("ringcast_declared_refused_total{reason=\"size\"} 0\n"),
            std::string::npos);
}

TEST(RateGate, LetsSoManyThroughAndFillsAsTimeGoesBy) {
  RateGate gate;
  const RateLimit limit{.count = 3, .period = 60s};
  auto now = std::chrono::steady_clock::time_point(1h);
  for (int i = 0; i < 3; ++i) EXPECT_TRUE(gate.pass(limit, now));
  EXPECT_FALSE(gate.pass(limit, now));
  EXPECT_FALSE(gate.pass(limit, now + 19s));
  EXPECT_TRUE(gate.pass(limit, now + 21s));
  EXPECT_FALSE(gate.pass(limit, now + 21s));
  for (int i = 0; i < 3; ++i) EXPECT_TRUE(gate.pass(limit, now + 1h)) << "never more than the limit at once";
  EXPECT_FALSE(gate.pass(limit, now + 1h));
  EXPECT_TRUE(gate.pass({}, now + 1h)) << "without a limit";
}

}  // namespace
}  // namespace ringcast
