#include "base/glob.h"

#include <gtest/gtest.h>

#include <string>

namespace ringcast {
namespace {

TEST(Glob, WithoutStarsIsEquality) {
  EXPECT_TRUE(glob_match("ticks", "ticks"));
  EXPECT_FALSE(glob_match("ticks", "tick"));
  EXPECT_FALSE(glob_match("tick", "ticks"));
  EXPECT_TRUE(glob_match("", ""));
  EXPECT_FALSE(glob_match("", "a"));
}

TEST(Glob, AStarStandsForAnyRun) {
  EXPECT_TRUE(glob_match("ticks:*", "ticks:"));
  EXPECT_TRUE(glob_match("ticks:*", "ticks:ACME"));
  EXPECT_FALSE(glob_match("ticks:*", "tick:ACME"));
  EXPECT_TRUE(glob_match("*", ""));
  EXPECT_TRUE(glob_match("*:ACME", "ticks:ACME"));
  EXPECT_TRUE(glob_match("a*b*c", "a-b-b-c"));
  EXPECT_FALSE(glob_match("a*b*c", "a-b-b-"));
  EXPECT_TRUE(glob_match("**", "x"));
  EXPECT_TRUE(glob_match("*aab", "aaaaab"));
}

TEST(Glob, AStarInTheTextIsACharacter) {
  EXPECT_FALSE(glob_match("a", "*"));
  EXPECT_TRUE(glob_match("*", "*"));
}

// Backtracking naively, this would not end.
TEST(Glob, ManyStarsStayCheap) {
  std::string pattern;
  for (int i = 0; i < 100; ++i) pattern += "*a";
  EXPECT_FALSE(glob_match(pattern + "b", std::string(1000, 'a')));
}

}  // namespace
}  // namespace ringcast
