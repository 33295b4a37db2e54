// Slots, their generations, and the promises about addresses and reuse.
#include "base/slab.h"

#include <gtest/gtest.h>

#include <map>
#include <memory>
#include <string>
#include <unordered_set>

#include "base/prng.h"

namespace ringcast {
namespace {

TEST(Slab, NamesEndWithTheirLives) {
  Slab<std::string> slab;
  EXPECT_EQ(slab.find(SlotId{}), nullptr);
  const SlotId first = slab.acquire("first");
  EXPECT_EQ(first.generation, 1u);
  EXPECT_EQ(slab[first], "first");
  slab.release(first);
  EXPECT_EQ(slab.find(first), nullptr);
  EXPECT_EQ(slab.size(), 0u);
  const SlotId second = slab.acquire("second");
  EXPECT_EQ(second.slot, first.slot) << "the last released is the first acquired";
  EXPECT_NE(second.generation, first.generation);
  EXPECT_EQ(slab.find(first), nullptr);
  EXPECT_EQ(*slab.find(second), "second");
  EXPECT_EQ(slab.find({second.slot, 0}), nullptr);
  EXPECT_EQ(slab.find({UINT32_MAX, 1}), nullptr);
  EXPECT_EQ(slab.find({slab.slots(), 1}), nullptr);
}

// A free slot already carries its next life's generation; nobody may find it.
TEST(Slab, FreeSlotsAreNotFound) {
  Slab<int> slab;
  const SlotId only = slab.acquire(1);
  for (uint32_t slot = 0; slot < slab.slots(); ++slot) {
    for (uint32_t generation = 0; generation < 4; ++generation) {
      const SlotId id{slot, generation};
      EXPECT_EQ(slab.find(id) != nullptr, id == only);
    }
  }
}

TEST(Slab, GenerationsFit24BitsAndSkipZero) {
  Slab<char> slab;
  SlotId id = slab.acquire('x');
  const uint32_t slot = id.slot;
  uint32_t previous = 0;
  for (uint32_t life = 0; life <= kSlotGenerationMax + 2; ++life) {
    ASSERT_EQ(id.slot, slot);
    ASSERT_EQ(id.generation, previous == kSlotGenerationMax ? 1 : previous + 1);
    ASSERT_LE(id.generation, kSlotGenerationMax);
    previous = id.generation;
    slab.release(id);
    id = slab.acquire('x');
  }
}

TEST(Slab, AddressesStay) {
  struct alignas(128) Large {
    int value;
    char rest[3000];
  };
  Slab<Large> slab;
  std::vector<std::pair<SlotId, Large*>> items;
  for (int i = 0; i < 500; ++i) {
    const SlotId id = slab.acquire(Large{i, {}});
    items.emplace_back(id, slab.find(id));
    ASSERT_EQ(reinterpret_cast<uintptr_t>(items.back().second) % 128, 0u);
  }
  for (int i = 0; i < 500; ++i) {
    EXPECT_EQ(slab.find(items[i].first), items[i].second);
    EXPECT_EQ(items[i].second->value, i);
  }
}

TEST(Slab, AgainstAMap) {
  Slab<std::unique_ptr<int>> slab;
  std::map<std::pair<uint32_t, uint32_t>, int> model;
  std::vector<SlotId> stale;
  Prng prng(11);
  for (int step = 0; step < 20'000; ++step) {
    if (model.empty() || prng.below(2 + step / 10'000) > 0) {
      const SlotId id = slab.acquire(std::make_unique<int>(step));
      ASSERT_TRUE(model.emplace(std::pair(id.slot, id.generation), step).second);
    } else {
      auto at = model.lower_bound({static_cast<uint32_t>(prng.below(slab.slots())), 0});
      if (at == model.end()) at = model.begin();
      const SlotId id{at->first.first, at->first.second};
      slab.release(id);
      stale.push_back(id);
      model.erase(at);
    }
  }
  ASSERT_EQ(slab.size(), model.size());
  for (const auto& [id, value] : model) ASSERT_EQ(*slab[(SlotId{id.first, id.second})], value);
  for (const SlotId id : stale) ASSERT_EQ(slab.find(id), nullptr);
  size_t visited = 0;
  slab.for_each([&](SlotId id, std::unique_ptr<int>& value) {
    ++visited;
    ASSERT_EQ(*value, model.at({id.slot, id.generation}));
  });
  EXPECT_EQ(visited, model.size());
}

TEST(Slab, ForEachSurvivesReleases) {
  Slab<int> slab;
  std::vector<SlotId> ids;
  for (int i = 0; i < 3000; ++i) ids.push_back(slab.acquire(i));
  std::unordered_set<int> visited;
  slab.for_each([&](SlotId id, int& value) {
    visited.insert(value);
    if (value % 3 == 0) slab.release(id);
    if (value % 3 == 1 && static_cast<size_t>(value) + 1 < ids.size()) slab.release(ids[value + 1]);
  });
  EXPECT_EQ(visited.size(), 2000u) << "those released ahead are not visited";
  EXPECT_EQ(slab.size(), 1000u);
}

// A destructor that asks for its own id, and one that uses the slab.
TEST(Slab, ReleaseOrder) {
  struct Owner {
    Slab<Owner>* slab;
    SlotId own = {};
    bool* found_itself = nullptr;
    SlotId* replacement = nullptr;
    Owner(Slab<Owner>* home, bool* found, SlotId* next)
        : slab(home), found_itself(found), replacement(next) {}
    ~Owner() {
      if (found_itself) *found_itself = slab->find(own) != nullptr;
      if (replacement) *replacement = slab->acquire(slab, nullptr, nullptr);
    }
  };
  Slab<Owner> slab;
  bool found = true;
  SlotId replacement;
  const SlotId id = slab.acquire(&slab, &found, &replacement);
  slab[id].own = id;
  slab.release(id);
  EXPECT_FALSE(found);
  EXPECT_NE(slab.find(replacement), nullptr);
  EXPECT_NE(replacement.slot, id.slot) << "the slot was still being emptied";
  EXPECT_EQ(slab.size(), 1u);
}

TEST(Slab, DestroysWhatIsLeft) {
  const auto witness = std::make_shared<int>();
  {
    Slab<std::shared_ptr<int>> slab;
    const SlotId released = slab.acquire(witness);
    for (int i = 0; i < 10; ++i) slab.acquire(witness);
    slab.release(released);
    EXPECT_EQ(witness.use_count(), 11);
  }
  EXPECT_EQ(witness.use_count(), 1);
}

TEST(SlabDeathTest, StaleNamesAreOurBug) {
  Slab<int> slab;
  const SlotId id = slab.acquire(1);
  slab.release(id);
  EXPECT_DEATH(slab.release(id), "find");
  EXPECT_DEATH(slab[id] = 2, "value");
}

}  // namespace
}  // namespace ringcast
