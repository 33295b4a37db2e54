// Chooses and makes the backend of one shard: io_uring where the kernel has and
// allows it, else epoll. The shard owns what is made; make_backend may be called
// on any thread, also another than the one that will call turn().
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>

#include "io/backend.h"

namespace ringcast {

enum class BackendKind : uint8_t { automatic, io_uring, epoll };

// What io_uring may use beyond the floor (Linux 6.0: multishot receives into a ring
// of provided buffers). Asked for, these are upper bounds: what the kernel lacks is
// left out. UringBackend::features() says what is in use.
struct UringFeatures {
  bool deferred_task_work = true;   // Linux 6.1: completions are made only when the shard asks
  bool incremental_buffers = true;  // Linux 6.12: many receives share one buffer, back to back

  friend bool operator==(const UringFeatures&, const UringFeatures&) = default;

  static constexpr UringFeatures all() { return {}; }
  static constexpr UringFeatures linux_6_1() { return {.incremental_buffers = false}; }
  static constexpr UringFeatures floor() {
    return {.deferred_task_work = false, .incremental_buffers = false};
  }
};

struct BackendOptions {
  // All the memory a backend receives into. Small enough to stay in a core's L2 cache;
  // at least 64 KiB, rounded up to a power of two.
  size_t recv_buffers_bytes = size_t{1} << 20;
  UringFeatures uring_features = {};
  // Entries of io_uring's completion queue, 16 bytes each; at least a batch of submissions
  // (256), rounded up to a power of two. More that complete at once wait in the kernel's
  // memory: nothing is lost, each costs an allocation, and queue_overflows() counts.
  unsigned uring_completions = 4096;
};

// nullptr if `kind` is io_uring and the machine refuses it; `*why_not` then says why,
// and how to allow it, in one sentence. With `automatic` it says the same when the
// backend made is epoll, and is empty otherwise. `why_not` may be nullptr.
std::unique_ptr<Backend> make_backend(BackendKind kind, const BackendOptions& options, std::string* why_not);

}  // namespace ringcast
