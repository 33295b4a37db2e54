// The ring alone, then with a thread at each end (run it under ThreadSanitizer:
// MODE=tsan): everything arrives once, in order, and whole.
#include "base/spsc_ring.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <atomic>
#include <memory>
#include <string>
#include <thread>

#include "base/prng.h"

namespace ringcast {
namespace {

TEST(SpscRing, FirstInFirstOutUpToItsCapacity) {
  SpscRing<int> ring(4);
  EXPECT_EQ(ring.capacity(), 4u);
  EXPECT_EQ(ring.front(), nullptr);
  EXPECT_TRUE(ring.empty());
  // Three times round, so that indices pass the capacity.
  for (int round = 0; round < 3; ++round) {
    EXPECT_EQ(ring.free(), 4u);
    for (int i = 0; i < 4; ++i) EXPECT_TRUE(ring.try_push(int{i}));
    EXPECT_FALSE(ring.try_push(99));
    EXPECT_EQ(ring.free(), 0u);
    EXPECT_EQ(ring.size(), 4u);
    for (int i = 0; i < 4; ++i) {
      ASSERT_NE(ring.front(), nullptr);
      EXPECT_EQ(*ring.front(), i);
      EXPECT_EQ(*ring.front(), i) << "it stays until pop()";
      ring.pop();
      EXPECT_EQ(ring.size(), static_cast<size_t>(3 - i));
    }
    EXPECT_EQ(ring.front(), nullptr);
  }
}

TEST(SpscRing, CapacityOfOne) {
  SpscRing<int> ring(1);
  for (int i = 0; i < 5; ++i) {
    EXPECT_TRUE(ring.try_push(int{i}));
    EXPECT_FALSE(ring.try_push(int{i}));
    EXPECT_EQ(*ring.front(), i);
    ring.pop();
  }
}

TEST(SpscRing, RefusedValuesAreUntouched) {
  SpscRing<std::unique_ptr<int>> ring(1);
  ASSERT_TRUE(ring.try_push(std::make_unique<int>(1)));
  auto kept = std::make_unique<int>(2);
  EXPECT_FALSE(ring.try_push(std::move(kept)));
  ASSERT_NE(kept, nullptr);
  EXPECT_EQ(*kept, 2);
}

TEST(SpscRing, NothingOutlivesIt) {
  const auto witness = std::make_shared<int>();
  {
    SpscRing<std::shared_ptr<int>> ring(8);
    for (int i = 0; i < 5; ++i) ring.try_push(std::shared_ptr<int>(witness));
    ASSERT_NE(ring.front(), nullptr);
    ring.pop();
    EXPECT_EQ(witness.use_count(), 5);
  }
  EXPECT_EQ(witness.use_count(), 1);
}

TEST(SpscRingDeathTest, MisuseIsOurBug) {
  EXPECT_DEATH(SpscRing<int>(3), "single_bit");
  EXPECT_DEATH(SpscRing<int>(0), "single_bit");
  SpscRing<int> ring(2);
  EXPECT_DEATH(ring.pop(), "popped");
}

// A string tells torn or early reads from whole ones, and a leak from a free.
TEST(SpscRing, TwoThreads) {
  for (const size_t capacity : {size_t{1}, size_t{4}, size_t{1024}}) {
    // On a busy machine a yield costs milliseconds, and so does each time that the ring is full.
    const uint64_t items = std::min<uint64_t>(200'000, 10'000 * capacity);
    SpscRing<std::string> ring(capacity);
    std::atomic<bool> consumed = false;

    std::thread producer([&] {
      Prng prng(12);
      for (uint64_t next = 0; next < items;) {
        // Sometimes by asking for room first: what free() promises must hold.
        const size_t promised = prng.chance(0.25) ? ring.free() : 0;
        ASSERT_LE(promised, ring.capacity());
        for (size_t i = 0; i < promised && next < items; ++i, ++next) {
          ASSERT_TRUE(ring.try_push("number " + std::to_string(next) + " of a long story"));
        }
        if (next < items && ring.try_push("number " + std::to_string(next) + " of a long story")) {
          ++next;
        } else {
          std::this_thread::yield();
        }
      }
    });
    // A third party may look at any time.
    std::thread onlooker([&] {
      while (!consumed.load(std::memory_order_acquire)) {
        ASSERT_LE(ring.size(), ring.capacity());
        std::this_thread::yield();
      }
    });
    for (uint64_t next = 0; next < items;) {
      std::string* const item = ring.front();
      if (item == nullptr) {
        std::this_thread::yield();
        continue;
      }
      ASSERT_FALSE(ring.empty());
      ASSERT_EQ(*item, "number " + std::to_string(next) + " of a long story");
      ring.pop();
      ++next;
    }
    consumed.store(true, std::memory_order_release);
    producer.join();
    onlooker.join();
    EXPECT_TRUE(ring.empty());
    EXPECT_EQ(ring.free(), capacity);
  }
}

}  // namespace
}  // namespace ringcast
