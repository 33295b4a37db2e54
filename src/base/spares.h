// Objects that come and go with every burst: some stay for whoever needs one next.
// Owned by one shard, used on its thread only.
#pragma once

#include <cstddef>
#include <memory>
#include <utility>
#include <vector>

namespace ringcast {

template <class T>
class Spares {
 public:
  static constexpr size_t kMax = 256;

  // As it was given back; a new one if there is none.
  template <class... Args>
  std::unique_ptr<T> acquire(Args&&... args) {
    if (spares_.empty()) return std::make_unique<T>(std::forward<Args>(args)...);
    std::unique_ptr<T> spare = std::move(spares_.back());
    spares_.pop_back();
    return spare;
  }
  // Freed if there are enough.
  void release(std::unique_ptr<T> spare) {
    if (spares_.size() < kMax) spares_.push_back(std::move(spare));
  }

 private:
  std::vector<std::unique_ptr<T>> spares_;
};

}  // namespace ringcast
