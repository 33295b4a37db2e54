// Slots with generations: how everything that outlives a turn is named. Owned
// by one shard, used on its thread only.
//
// Addresses are stable until release: slots live in chunks that never move and
// are not given back before the slab ends. A released slot is the next one to be
// acquired (its lines are still warm).
#pragma once

#include <bit>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <new>
#include <utility>
#include <vector>

#include "base/assert.h"

namespace ringcast {

// Names one life of one slot. The generation has 24 bits, so that slot and
// generation fit the 56 bits of a backend's token, and is never 0: a
// value-initialised SlotId names nothing. A stale id would be believed again
// after 2^24 - 1 lives of its slot; no completion is in flight for so long.
struct SlotId {
  uint32_t slot = 0;
  uint32_t generation = 0;

  friend bool operator==(const SlotId&, const SlotId&) = default;
};

inline constexpr unsigned kSlotGenerationBits = 24;
inline constexpr uint32_t kSlotGenerationMax = (1u << kSlotGenerationBits) - 1;

template <class T>
class Slab {
 public:
  Slab() = default;
  Slab(const Slab&) = delete;
  Slab& operator=(const Slab&) = delete;
  ~Slab() {
    for_each([this](SlotId id, T&) { release(id); });
  }

  // Constructs a T. While its constructor runs, nothing finds it yet.
  template <class... Args>
  SlotId acquire(Args&&... args) {
    if (free_ == kNoSlot) grow();
    const uint32_t slot = free_;
    Entry& entry = at(slot);
    free_ = std::exchange(entry.slot, slot);
    ::new (static_cast<void*>(entry.storage)) T(std::forward<Args>(args)...);
    entry.state |= kLive;
    ++size_;
    return {slot, entry.state & kSlotGenerationMax};
  }

  // Null if the id names an earlier life of its slot, or nothing at all.
  T* find(SlotId id) {
    if (id.slot >= slots()) return nullptr;
    Entry& entry = at(id.slot);
    return entry.state == (id.generation | kLive) ? entry.value() : nullptr;
  }
  const T* find(SlotId id) const { return const_cast<Slab*>(this)->find(id); }

  T& operator[](SlotId id) {
    T* const value = find(id);
    RC_ASSERT(value != nullptr);
    return *value;
  }
  const T& operator[](SlotId id) const { return const_cast<Slab&>(*this)[id]; }

  // The id of a live value of a slab: what lives here need not keep its own.
  static SlotId id_of(const T& value) {
    const auto* at = reinterpret_cast<const std::byte*>(&value) - offsetof(Entry, storage);
    const Entry& entry = *reinterpret_cast<const Entry*>(at);
    RC_ASSERT(entry.state & kLive);
    return {entry.slot, entry.state & kSlotGenerationMax};
  }

  // Ends the life: the id is stale before T's destructor runs, and the slot is
  // free only after it, so the destructor may use the slab.
  void release(SlotId id) {
    RC_ASSERT(find(id) != nullptr);
    Entry& entry = at(id.slot);
    entry.state = id.generation == kSlotGenerationMax ? 1 : id.generation + 1;
    --size_;
    entry.value()->~T();
    entry.slot = free_;
    free_ = id.slot;
  }

  size_t size() const { return size_; }
  bool empty() const { return size_ == 0; }

  // Slots that exist, live or free: what a token's slot is below.
  uint32_t slots() const { return static_cast<uint32_t>(chunks_.size() * kChunkSlots); }

  // Calls f(SlotId, T&) for each live slot, in slot order. f may release any
  // slot and acquire others; whether those are visited too is left open.
  template <class F>
  void for_each(F f) {
    for (uint32_t slot = 0; slot < slots(); ++slot) {
      Entry& entry = at(slot);
      if (entry.state & kLive) f(SlotId{slot, entry.state & kSlotGenerationMax}, *entry.value());
    }
  }

 private:
  static constexpr uint32_t kNoSlot = UINT32_MAX;
  static constexpr uint32_t kLive = 1u << 31;

  struct Entry {
    uint32_t state = 1;       // the generation (of the coming life, if free), and kLive
    uint32_t slot = kNoSlot;  // its own; if free, the next free one
    alignas(T) std::byte storage[sizeof(T)];

    T* value() { return std::launder(reinterpret_cast<T*>(storage)); }
  };

  // About 64 KiB a chunk, but neither a single slot nor thousands of them.
  static constexpr size_t kChunkSlots = std::bit_floor(sizeof(Entry) > 8192 ? size_t{8}
                                                       : sizeof(Entry) < 64 ? size_t{1024}
                                                                            : size_t{65536} / sizeof(Entry));

  Entry& at(uint32_t slot) { return chunks_[slot / kChunkSlots][slot % kChunkSlots]; }

  void grow() {
    RC_ASSERT(chunks_.size() < kNoSlot / kChunkSlots);
    const uint32_t first = slots();
    chunks_.push_back(std::make_unique_for_overwrite<Entry[]>(kChunkSlots));
    for (uint32_t slot = slots(); slot-- > first;) {
      at(slot).slot = free_;
      free_ = slot;
    }
  }

  std::vector<std::unique_ptr<Entry[]>> chunks_;
  uint32_t free_ = kNoSlot;  // head of the list through Entry::slot
  size_t size_ = 0;
};

}  // namespace ringcast
