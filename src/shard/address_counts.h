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
  // How many it has now.
  size_t add(const IpAddress& address) {
    std::lock_guard lock(mutex_);
    return ++counts_[address];
  }
  void remove(const IpAddress& address) {
    std::lock_guard lock(mutex_);
    const auto found = counts_.find(address);
    if (found != counts_.end() && --found->second == 0) counts_.erase(found);
  }

 private:
  std::mutex mutex_;
  std::unordered_map<IpAddress, size_t, IpAddressHash> counts_;
};

}  // namespace ringcast
