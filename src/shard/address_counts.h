// How many connections each peer address has, over all shards. The one thing
// shards share under a lock, since a limit per address means the whole server;
// used only while that limit is on, once per connection. Any thread.
#pragma once

#include <cstddef>
#include <mutex>
#include <unordered_map>

#include "io/socket.h"

namespace ringcast {

class AddressCounts {
 public:
  void add(const IpAddress& address) {
    std::lock_guard lock(mutex_);
    ++counts_[address];
  }
  void remove(const IpAddress& address) {
    std::lock_guard lock(mutex_);
    const auto found = counts_.find(address);
    if (found != counts_.end() && --found->second == 0) counts_.erase(found);
  }
  size_t count(const IpAddress& address) {
    std::lock_guard lock(mutex_);
    const auto found = counts_.find(address);
    return found == counts_.end() ? 0 : found->second;
  }

 private:
  std::mutex mutex_;
  std::unordered_map<IpAddress, size_t, IpAddressHash> counts_;
};

}  // namespace ringcast
