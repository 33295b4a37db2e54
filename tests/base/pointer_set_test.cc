// The set against the standard's under random operations, and its promises about memory.
#include "base/pointer_set.h"

#include <gtest/gtest.h>

#include <deque>
#include <set>
#include <string>
#include <unordered_set>
#include <vector>

#include "base/prng.h"

namespace ringcast {
namespace {

struct Named {
  std::string name;
};
struct NameOf {
  std::string_view operator()(const Named& named) const { return named.name; }
};
using Set = PointerSet<Named, NameOf>;

std::deque<Named> many(size_t count) {
  std::deque<Named> all;
  for (size_t i = 0; i < count; ++i) all.push_back({std::to_string(i)});
  return all;
}

TEST(PointerSet, FindsWhatIsInItAndNothingElse) {
  Set set;
  EXPECT_EQ(set.find(""), nullptr);
  EXPECT_EQ(set.slots(), 0u);
  Named nameless, chat{"chat"};
  set.insert(nameless);
  EXPECT_EQ(set.find(""), &nameless);
  EXPECT_EQ(set.find("chat"), nullptr);
  set.insert(chat);
  EXPECT_EQ(set.find(std::string("chat")), &chat);
  set.erase(nameless);
  EXPECT_EQ(set.find(""), nullptr);
  EXPECT_EQ(set.find("chat"), &chat);
  EXPECT_EQ(set.size(), 1u);
}

// Small sets too, where every search goes round the end and most slots are taken.
TEST(PointerSet, IsTheStandardsUnderRandomOperations) {
  for (uint64_t seed = 0; seed < 60; ++seed) {
    SCOPED_TRACE("seed " + std::to_string(seed));
    Prng prng(seed);
    std::deque<Named> all = many(seed % 2 == 0 ? 7 + seed : 3000);
    Set set;
    std::unordered_set<std::string> model;
    double growing = 0.5;
    for (int step = 0; step < 20'000; ++step) {
      if (step % 2000 == 0) growing = prng.chance(0.5) ? 0.9 : 0.1;
      Named& one = all[prng.below(all.size())];
      ASSERT_EQ(set.find(one.name), model.contains(one.name) ? &one : nullptr);
      if (prng.chance(growing)) {
        if (model.insert(one.name).second) set.insert(one);
      } else if (model.erase(one.name) == 1) {
        set.erase(one);
      }
      ASSERT_EQ(set.size(), model.size());
      ASSERT_LE(set.size() * 8, set.slots() * 7);
      ASSERT_TRUE(set.slots() <= 8 || set.size() * 8 >= set.slots()) << set.slots();
      if (step % 500 != 0) continue;
      for (Named& each : all) ASSERT_EQ(set.find(each.name), model.contains(each.name) ? &each : nullptr);
      std::multiset<std::string> walked;
      set.for_each([&](const Named& each) { walked.insert(each.name); });
      ASSERT_EQ(walked, (std::multiset<std::string>(model.begin(), model.end())));
    }
  }
}

TEST(PointerSet, GivesItsMemoryBack) {
  std::deque<Named> all = many(100'000);
  Set set;
  for (Named& each : all) set.insert(each);
  EXPECT_LE(set.slots() * 7, all.size() * 12 + 12);
  for (size_t i = 100; i < all.size(); ++i) set.erase(all[i]);
  EXPECT_LE(set.slots(), 800u);
  for (size_t i = 0; i < 100; ++i) ASSERT_EQ(set.find(all[i].name), &all[i]);
  for (size_t i = 0; i < 100; ++i) set.erase(all[i]);
  EXPECT_EQ(set.slots(), 8u);
}

// One that comes and goes at a bound must not have everybody else placed anew each time.
TEST(PointerSet, DoesNotWaverWhereItGrowsOrShrinks) {
  std::deque<Named> all = many(10'000);
  Set set;
  size_t changes = 0;
  for (size_t i = 0; i + 1 < all.size(); ++i) {
    set.insert(all[i]);
    size_t slots = set.slots();
    for (int again = 0; again < 10; ++again) {
      set.insert(all[i + 1]);
      changes += set.slots() != slots;
      slots = set.slots();
      set.erase(all[i + 1]);
      changes += set.slots() != slots;
      slots = set.slots();
    }
  }
  EXPECT_LE(changes, 19u);
}

}  // namespace
}  // namespace ringcast
