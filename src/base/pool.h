// Objects of one type that come and go, at addresses that stay until release. Owned by one
// shard, used on its thread only. What needs a name that outlives it lives in a Slab
// (base/slab.h), which costs each 8 bytes more.
//
// Memory comes in chunks that are not given back before the pool ends. What was released
// last is the next to be acquired: its lines are still warm.
#pragma once

#include <algorithm>
#include <cstddef>
#include <memory>
#include <new>
#include <utility>
#include <vector>

#include "base/assert.h"

namespace ringcast {

template <class T>
class Pool {
 public:
  Pool() = default;
  Pool(const Pool&) = delete;
  Pool& operator=(const Pool&) = delete;
  ~Pool() { RC_ASSERT(empty()); }

  template <class... Args>
  T& acquire(Args&&... args) {
    if (free_ == nullptr) grow();
    Entry* const entry = free_;
    free_ = entry->next;
    T* const value = ::new (static_cast<void*>(entry)) T(std::forward<Args>(args)...);
    ++size_;
    return *value;
  }

  void release(T& value) {
    RC_ASSERT(size_ > 0);
    --size_;
    value.~T();
    free_ = ::new (static_cast<void*>(&value)) Entry{.next = free_};
  }

  size_t size() const { return size_; }
  bool empty() const { return size_ == 0; }

 private:
  union Entry {
    Entry* next;  // while it is free
    alignas(T) std::byte storage[sizeof(T)];
  };

  // About 64 KiB.
  static constexpr size_t kChunkEntries = std::clamp<size_t>(65536 / sizeof(Entry), 8, 1024);

  void grow() {
    chunks_.push_back(std::make_unique_for_overwrite<Entry[]>(kChunkEntries));
    for (size_t i = kChunkEntries; i-- > 0;) {
      free_ = ::new (static_cast<void*>(&chunks_.back()[i])) Entry{.next = free_};
    }
  }

  std::vector<std::unique_ptr<Entry[]>> chunks_;
  Entry* free_ = nullptr;
  size_t size_ = 0;
};

}  // namespace ringcast
