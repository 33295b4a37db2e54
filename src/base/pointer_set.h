// A set of pointers to things that are known by a text that each of them holds, for tables that
// stand beside their elements: 9 to 14 bytes for each as they come, where a node takes 40 and more.
// Owned by one shard, used on its thread only; it owns nothing it points to.
//
// Open addressing, linear probing: an element stands in the first slot from that of its hash on
// which was free. What is erased leaves no mark; whoever stands behind it moves up.
// Invariant: between an element's slot and that of its hash there is no free one.
//
// The texts may be a client's choice: their hash is seeded, as StringHash is. Slots are in the
// order of the hash, so whoever walked one table into another would fill that from one end:
// reallocate() alone does, into one that has its size already, where no run grows longer for it.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <string_view>
#include <utility>

#include "base/assert.h"
#include "base/hash.h"

namespace ringcast {

// TextOf()(const T&) is the text, which must not change while the element is in the set.
template <class T, class TextOf>
class PointerSet {
 public:
  PointerSet() = default;
  PointerSet(const PointerSet&) = delete;
  PointerSet& operator=(const PointerSet&) = delete;

  // Null: there is none.
  T* find(std::string_view text) const {
    if (size_ == 0) return nullptr;
    const size_t hash = StringHash()(text);
    for (size_t at = slot_of(hash); table_[at] != nullptr; at = next(at)) {
      if (tag_of(table_[at]) != tag_of(hash)) continue;
      T& element = element_of(table_[at]);
      if (TextOf()(element) == text) return &element;
    }
    return nullptr;
  }

  // None with that text is there yet.
  void insert(T& element) {
    if ((size_ + 1) * 8 > slots_ * 7) reallocate(std::max(kSlotsMin, slots_ + slots_ / 2));
    place(element);
    ++size_;
  }

  // It is there.
  void erase(T& element) {
    const size_t hash = hash_of(element);
    const std::byte* const entry = entry_of(element, hash);
    size_t hole = slot_of(hash);
    while (table_[hole] != entry) {
      RC_ASSERT(table_[hole] != nullptr);
      hole = next(hole);
    }
    for (size_t at = next(hole); table_[at] != nullptr; at = next(at)) {
      const size_t from = slot_of(hash_of(element_of(table_[at])));
      // Its search begins behind the hole, and does not meet it.
      if (steps(from, at) < steps(hole, at)) continue;
      table_[hole] = table_[at];
      hole = at;
    }
    table_[hole] = nullptr;
    --size_;
    // To a quarter, which is half full: far from growing again and from shrinking further.
    if (size_ * 8 < slots_ && slots_ > kSlotsMin) reallocate(std::max(kSlotsMin, slots_ / 4));
  }

  // In no order. f may destroy the element, if the set is not used any more after that.
  template <class F>
  void for_each(F f) const {
    for (size_t at = 0; at < slots_; ++at) {
      if (table_[at] != nullptr) f(element_of(table_[at]));
    }
  }

  size_t size() const { return size_; }
  size_t slots() const { return slots_; }  // of 8 bytes each

 private:
  static constexpr size_t kSlotsMin = 8;
  // Bits of the hash where a pointer has none: of those that a search passes, it looks into one
  // in eight for nothing. An entry is the element's address and that many bytes on.
  static constexpr uintptr_t kTagMask = 7;
  // Slots from one that is placed anew to the one whose element is asked for meanwhile: each is a
  // cache miss, and in a large table they are most of what growing takes.
  static constexpr size_t kAhead = 16;

  static uintptr_t tag_of(size_t hash) { return hash & kTagMask; }
  static uintptr_t tag_of(const std::byte* entry) { return reinterpret_cast<uintptr_t>(entry) & kTagMask; }
  static size_t hash_of(const T& element) { return StringHash()(TextOf()(element)); }
  static std::byte* entry_of(T& element, size_t hash) {
    static_assert(alignof(T) > kTagMask);
    return reinterpret_cast<std::byte*>(&element) + tag_of(hash);
  }
  static T& element_of(std::byte* entry) { return *reinterpret_cast<T*>(entry - tag_of(entry)); }

  // By the upper bits of the hash, whatever the number of slots: a table that grows by half has
  // less to spare than one that doubles.
  size_t slot_of(size_t hash) const {
    return static_cast<size_t>(static_cast<unsigned __int128>(hash) * slots_ >> 64);
  }
  size_t next(size_t at) const { return at + 1 == slots_ ? 0 : at + 1; }
  // From one slot on to another.
  size_t steps(size_t from, size_t to) const { return to >= from ? to - from : to + slots_ - from; }

  void place(T& element) {
    const size_t hash = hash_of(element);
    size_t at = slot_of(hash);
    while (table_[at] != nullptr) at = next(at);
    table_[at] = entry_of(element, hash);
  }

  void reallocate(size_t slots) {
    const size_t before = std::exchange(slots_, slots);
    const auto old = std::exchange(table_, std::make_unique<std::byte*[]>(slots));
    for (size_t at = 0; at < before; ++at) {
      if (at + kAhead < before) __builtin_prefetch(old[at + kAhead]);
      if (old[at] != nullptr) place(element_of(old[at]));
    }
  }

  std::unique_ptr<std::byte*[]> table_;  // null: free; none at all until something is inserted
  size_t slots_ = 0;
  size_t size_ = 0;
};

}  // namespace ringcast
