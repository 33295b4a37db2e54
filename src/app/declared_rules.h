// The declarations in force: an immutable snapshot that a reload replaces, and what is counted
// and logged of what they refused. A channel or socket holds the snapshot it has seen and asks
// before each use whether there is another, which is one load; only then is a lock taken.
// Shared by all shards; outlives the server's callbacks.
#pragma once

#include <array>
#include <atomic>
#include <cstdint>
#include <memory>
#include <mutex>
#include <string>
#include <string_view>
#include <vector>

#include "app/declared.h"
#include "ringcast/log.h"

namespace ringcast {

// Why somebody did not get what they asked for.
enum class Refusal : uint8_t {
  rule,     // a condition did not hold, or the rule is gone
  stream,   // no name could be made of the values there are
  rate,     // too many messages
  size,     // too large a message
  payload,  // too large a payload, or too deep, came of it
  message,  // no JSON object, where the route asks for one
};
inline constexpr size_t kRefusals = 6;

class DeclaredRules {
 public:
  explicit DeclaredRules(Declarations declarations);

  class Held {
   public:
    const Declarations& operator*() const { return *declarations_; }
    const Declarations* operator->() const { return declarations_.get(); }

   private:
    friend class DeclaredRules;
    std::shared_ptr<const Declarations> declarations_;
    uint64_t generation_ = 0;
  };

  Held hold() const;
  // True: there were others, and what was looked up in the old ones has to be looked up again.
  bool refresh(Held& held) const {
    // Acquire: pairs with the release in replace(), so that the snapshot found is that one or a later.
    if (held.generation_ == generation_.load(std::memory_order_acquire)) return false;
    held = hold();
    return true;
  }

  // At a reload, one thread. The paths of routes that wait for a restart: there were none
  // when the server started, or there are none now, or others are asked who they are.
  std::vector<std::string> replace(Declarations declarations);

  // Counts; true if it is to be logged as well: of each kind there are so many lines a second,
  // and `unsaid` is how many there would have been since.
  bool refused(Refusal why, uint64_t& unsaid) const;
  // For /metrics.
  std::string metrics_text() const;

 private:
  struct Budget {
    std::atomic<uint64_t> count{0};
    std::atomic<int64_t> second{0};
    std::atomic<uint32_t> lines{0};
    std::atomic<uint64_t> unsaid{0};
  };

  mutable std::mutex mutex_;
  std::shared_ptr<const Declarations> declarations_;  // guarded by mutex_
  std::atomic<uint64_t> generation_{1};
  struct Started {
    std::string path;
    bool anonymous;
  };
  std::vector<Started> started_;  // the routes there were at the start
  mutable std::array<Budget, kRefusals> refusals_;
};

std::string_view to_string(Refusal why);

// A client's messages, so many in so long: a bucket that fills as time goes by.
class RateGate {
 public:
  // Whether one more may pass now.
  bool pass(const RateLimit& limit, std::chrono::steady_clock::time_point now);

 private:
  double there_ = 0;
  std::chrono::steady_clock::time_point since_{};  // epoch: nobody came yet
};

}  // namespace ringcast
