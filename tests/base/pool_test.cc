#include "base/pool.h"

#include <gtest/gtest.h>

#include <cstdint>
#include <memory>
#include <set>
#include <vector>

#include "base/prng.h"

namespace ringcast {
namespace {

struct Counted {
  Counted(int64_t value, int& alive) : value(value), alive(alive) { ++alive; }
  ~Counted() { --alive; }
  int64_t value;
  int& alive;
};

TEST(Pool, KeepsWhatItHoldsAtItsAddress) {
  Pool<Counted> pool;
  int alive = 0;
  Prng prng(7);
  std::vector<std::pair<Counted*, int64_t>> held;
  for (int64_t i = 0; i < 20'000; ++i) {
    if (!held.empty() && prng.below(5) < 2) {
      const size_t at = prng.below(held.size());
      ASSERT_EQ(held[at].first->value, held[at].second);
      pool.release(*held[at].first);
      std::swap(held[at], held.back());
      held.pop_back();
    } else {
      held.emplace_back(&pool.acquire(i, alive), i);
    }
    ASSERT_EQ(pool.size(), held.size());
    ASSERT_EQ(static_cast<size_t>(alive), held.size());
  }
  std::set<const Counted*> places;
  for (const auto& [counted, value] : held) {
    EXPECT_EQ(counted->value, value);
    EXPECT_TRUE(places.insert(counted).second) << "two at one place";
  }
  for (const auto& [counted, value] : held) pool.release(*counted);
  EXPECT_EQ(alive, 0);
  EXPECT_TRUE(pool.empty());
}

TEST(Pool, TakesTheLastReleasedFirst) {
  Pool<int64_t> pool;
  int64_t& first = pool.acquire(1);
  int64_t& second = pool.acquire(2);
  const int64_t* const place = &first;
  pool.release(first);
  int64_t& third = pool.acquire(3);
  EXPECT_EQ(&third, place);
  pool.release(third);
  pool.release(second);
}

TEST(Pool, WhatIsSmallerThanAPointerHasRoomForOne) {
  Pool<char> pool;
  std::vector<char*> held;
  for (int i = 0; i < 5'000; ++i) held.push_back(&pool.acquire(static_cast<char>(i)));
  for (int i = 0; i < 5'000; ++i) {
    EXPECT_EQ(*held[static_cast<size_t>(i)], static_cast<char>(i));
    pool.release(*held[static_cast<size_t>(i)]);
  }
}

}  // namespace
}  // namespace ringcast
