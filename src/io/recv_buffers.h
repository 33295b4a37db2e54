// The memory a backend receives into, and who holds which part of it: the kernel, or
// a shard reading what it was lent. A shard gives nothing back by hand: what one turn
// lends expires in the next, after that turn's sends. Owned by one backend; its thread.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <vector>

#include "base/bytes.h"

struct io_uring;
struct io_uring_buf_ring;

namespace ringcast {

// A run of whole pages of its own, zeroed, unmapped at the end.
class Pages {
 public:
  explicit Pages(size_t bytes);  // data() is nullptr if there is no memory
  ~Pages();
  Pages(const Pages&) = delete;
  Pages& operator=(const Pages&) = delete;

  std::byte* data() const { return data_; }
  size_t size() const { return size_; }
  bool contains(const void* at) const {
    const auto* byte = static_cast<const std::byte*>(at);
    return byte >= data_ && byte < data_ + size_;
  }

 private:
  std::byte* data_ = nullptr;
  size_t size_ = 0;
};

// io_uring's ring of provided buffers: the kernel takes them from the head as data
// comes, we put them back at the tail.
//
// With `incremental` buffers the kernel fills one buffer with many receives, back to
// back, and leaves it when it is full: small messages share pages and cache lines.
// Without, each receive takes a buffer whole, so they are smaller and more.
//
// Invariant: a buffer is back in the ring, or `lent_pieces > 0`, or both (an
// incremental one the kernel has not finished with).
class RecvRing {
 public:
  static constexpr uint16_t kGroup = 0;
  static constexpr size_t kIncrementalBufferBytes = 64 * 1024;
  static constexpr size_t kWholeBufferBytes = 4 * 1024;

  // nullptr with `*error` = -errno if the kernel refuses; -EINVAL: it has no such rings.
  static std::unique_ptr<RecvRing> create(io_uring& ring, size_t bytes, bool incremental, int* error);

  // What a completion of a receive names: its buffer, how many bytes came, its flags.
  MutableBytes take(uint32_t cqe_flags, int32_t result);

  // What was taken up to now expires at the next give_back().
  void begin_turn();
  void give_back();

  bool contains(const void* at) const { return memory_.contains(at); }
  size_t lent() const { return lent_; }

  // Keeps the kernel from choosing any more buffers; before the ring is closed.
  void unregister(io_uring& ring);

 private:
  struct Buffer {
    uint32_t filled = 0;       // incremental: where the next receive begins
    uint32_t lent_pieces = 0;  // receives in it that have not expired
    bool in_ring = false;
  };

  RecvRing(size_t bytes, size_t buffer_bytes, bool incremental);
  void add(uint16_t id);

  const size_t buffer_bytes_;
  const bool incremental_;
  Pages memory_;
  Pages ring_memory_;
  io_uring_buf_ring* ring_ = nullptr;
  std::vector<Buffer> buffers_;
  std::vector<uint16_t> taken_;     // one entry per piece lent by this turn
  std::vector<uint16_t> expiring_;  // by the last one
  size_t lent_ = 0;                 // buffers with lent_pieces > 0
};

// Where a backend that calls recv itself puts the bytes: handed out front to back
// within one turn, and from the front again in the next.
class RecvArena {
 public:
  explicit RecvArena(size_t bytes) : memory_(bytes) {}

  bool ready() const { return memory_.data() != nullptr; }
  // The rest, at most `bytes`.
  MutableBytes room(size_t bytes) const;
  // Lends the first `bytes` of what room() gave.
  MutableBytes lend(size_t bytes);
  void expire() { used_ = lent_ = 0; }
  size_t lent() const { return lent_; }

 private:
  Pages memory_;
  size_t used_ = 0;
  size_t lent_ = 0;
};

}  // namespace ringcast
