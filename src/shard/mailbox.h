// How shards speak to each other: an N×N matrix of pairs of bounded SPSC rings,
// and a bell per shard. This and Message's reference count are all that shards
// share.
//
// Two lanes per pair, so that no two shards can wait for each other:
//   requests    publish, subscribe, unsubscribe, adopt: towards a stream's home
//   deliveries  messages and acknowledgements: from a home to its subscribers
// Draining a delivery pushes nothing. Draining a request pushes deliveries only,
// and a request is taken only once every delivery lane it needs has room.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <vector>

#include "base/slab.h"
#include "base/spsc_ring.h"
#include "io/backend.h"
#include "shard/message.h"
#include "shard/stream_name.h"

namespace ringcast {

using ShardIndex = uint16_t;

struct ShardRequest {
  enum class Kind : uint8_t {
    publish,      // `message`
    subscribe,    // `name`: the stream's; `stream` is what the asker calls it
    unsubscribe,  // likewise
    adopt,        // `descriptor`: an accepted socket handed over for balance; `tls`: it speaks TLS
  };
  Kind kind;
  bool tls = false;
  int descriptor = -1;
  SlotId stream = {};
  StreamName name = {};
  MessageRef message = {};
};
static_assert(sizeof(ShardRequest) == 32);

struct Delivery {
  // The receiving shard's own name of the stream. A stale one is from before an
  // unsubscribe and is dropped: nobody here listens under that name any more.
  SlotId stream = {};
  MessageRef message;  // empty: the acknowledgement of a subscribe; all that follows is live
};

// One shard's bell. The shard says that it sleeps, fences, and looks at its lanes
// once more; a producer pushes, fences, and looks whether it sleeps. One of them
// sees the other: this is the one place where a wake-up could be lost.
class Bell {
 public:
  // Before any other thread runs.
  void attach(Backend& backend) { backend_ = &backend; }

  // The owner, before it looks at its lanes for the last time.
  void going_to_sleep() {
    asleep_.store(true, std::memory_order_relaxed);
    std::atomic_thread_fence(std::memory_order_seq_cst);  // pairs with ring()'s
  }
  // Stored only if it changes: who spins must not take the line from those who look at it.
  void awake() {
    if (asleep_.load(std::memory_order_relaxed)) asleep_.store(false, std::memory_order_relaxed);
  }

  // Any thread, after a push. True: the owner slept, and a system call woke it.
  bool ring() {
    std::atomic_thread_fence(std::memory_order_seq_cst);  // pairs with going_to_sleep()'s
    // The first of several producers wakes; the exchange spares the others a system call.
    if (!asleep_.load(std::memory_order_relaxed) || !asleep_.exchange(false, std::memory_order_relaxed)) {
      return false;
    }
    wakes_.fetch_add(1, std::memory_order_relaxed);
    backend_->wake();
    return true;
  }

  // How often the owner was woken. Any thread.
  uint64_t wakes() const { return wakes_.load(std::memory_order_relaxed); }

 private:
  alignas(kFalseSharingBytes) std::atomic<bool> asleep_{false};
  std::atomic<uint64_t> wakes_{0};  // by whoever wakes
  Backend* backend_ = nullptr;
};

class Mailboxes {
 public:
  // `items`: capacity of each lane, a power of two.
  Mailboxes(ShardIndex shards, size_t items);

  ShardIndex shards() const { return shards_; }
  SpscRing<ShardRequest>& requests(ShardIndex from, ShardIndex to) { return *requests_[from * shards_ + to]; }
  SpscRing<Delivery>& deliveries(ShardIndex from, ShardIndex to) { return *deliveries_[from * shards_ + to]; }
  Bell& bell(ShardIndex shard) { return bells_[shard]; }

  // Whether anything waits for `shard`.
  bool waiting_for(ShardIndex shard) const;

 private:
  const ShardIndex shards_;
  std::vector<std::unique_ptr<SpscRing<ShardRequest>>> requests_;
  std::vector<std::unique_ptr<SpscRing<Delivery>>> deliveries_;
  std::unique_ptr<Bell[]> bells_;
};

}  // namespace ringcast
