// What a reload replaces while the server runs: the declarations and the key of those who
// publish by HTTP. Made before the server and outlives it; any thread.
#pragma once

#include <mutex>
#include <string>
#include <utility>

#include "app/config.h"
#include "app/declared_rules.h"

namespace ringcast {

class BroadcastKey {
 public:
  explicit BroadcastKey(std::string key) : key_(std::move(key)) {}

  // Empty: there is none.
  std::string get() const {
    const std::lock_guard lock(mutex_);
    return key_;
  }
  void set(std::string key) {
    const std::lock_guard lock(mutex_);
    key_.swap(key);
  }

 private:
  mutable std::mutex mutex_;
  std::string key_;  // guarded by mutex_
};

struct InForce {
  explicit InForce(const Config& config) : rules(config.declared), broadcast_key(config.broadcast_key) {}

  DeclaredRules rules;
  BroadcastKey broadcast_key;
};

}  // namespace ringcast
