// Receive memory: the provided buffer ring of io_uring and the arena of epoll. Owned
// by one backend; its thread.
#include "io/recv_buffers.h"

#include <sys/mman.h>

#include <algorithm>
#include <bit>

#include "base/assert.h"
#include "io/uring_compat.h"

namespace ringcast {

Pages::Pages(size_t bytes) : size_(bytes) {
  void* at = mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (at != MAP_FAILED) data_ = static_cast<std::byte*>(at);
}

Pages::~Pages() {
  if (data_ != nullptr) munmap(data_, size_);
}

RecvRing::RecvRing(size_t bytes, size_t buffer_bytes, bool incremental)
    : buffer_bytes_(buffer_bytes),
      incremental_(incremental),
      memory_(bytes),
      ring_memory_(bytes / buffer_bytes * sizeof(io_uring_buf)),
      ring_(reinterpret_cast<io_uring_buf_ring*>(ring_memory_.data())),
      buffers_(bytes / buffer_bytes) {}

std::unique_ptr<RecvRing> RecvRing::create(io_uring& ring, size_t bytes, bool incremental, int* error) {
  bytes = std::bit_ceil(std::max(bytes, size_t{64} * 1024));
  // A quarter at most, or the kernel would stand without a buffer whenever a shard reads one.
  const size_t buffer_bytes = std::min(incremental ? kIncrementalBufferBytes : kWholeBufferBytes, bytes / 4);
  bytes = std::min(bytes, buffer_bytes << 15);  // a buffer ring has at most 2^15 entries
  std::unique_ptr<RecvRing> buffers(new RecvRing(bytes, buffer_bytes, incremental));
  if (buffers->memory_.data() == nullptr || buffers->ring_ == nullptr) {
    *error = -ENOMEM;
    return nullptr;
  }
  *error = uring::register_buffer_ring(ring.ring_fd,
                                       {.ring_address = reinterpret_cast<uintptr_t>(buffers->ring_),
                                        .entries = static_cast<uint32_t>(buffers->buffers_.size()),
                                        .group = kGroup,
                                        .flags = incremental ? uring::kBufferRingIncremental : uint16_t{0},
                                        .reserved = {}});
  if (*error < 0) return nullptr;
  io_uring_buf_ring_init(buffers->ring_);
  for (size_t id = 0; id < buffers->buffers_.size(); ++id) buffers->add(static_cast<uint16_t>(id));
  return buffers;
}

void RecvRing::unregister(io_uring& ring) {
  io_uring_unregister_buf_ring(&ring, kGroup);
}

void RecvRing::add(uint16_t id) {
  Buffer& buffer = buffers_[id];
  RC_ASSERT(!buffer.in_ring && buffer.lent_pieces == 0);
  buffer = {.in_ring = true};
  // All of the entry is written anew: the kernel advances address and length of an
  // incremental buffer in place.
  io_uring_buf_ring_add(ring_, memory_.data() + id * buffer_bytes_, static_cast<unsigned>(buffer_bytes_), id,
                        io_uring_buf_ring_mask(static_cast<uint32_t>(buffers_.size())), 0);
  io_uring_buf_ring_advance(ring_, 1);
}

MutableBytes RecvRing::take(uint32_t cqe_flags, int32_t result) {
  if ((cqe_flags & IORING_CQE_F_BUFFER) == 0) return {};
  // A FIN may name an incremental buffer of which it took nothing, and leave out the
  // flag that says the buffer stays at the head: by its bytes alone it is known.
  if (incremental_ && result <= 0) return {};

  const auto id = static_cast<uint16_t>(cqe_flags >> IORING_CQE_BUFFER_SHIFT);
  RC_ASSERT(id < buffers_.size());
  Buffer& buffer = buffers_[id];
  RC_ASSERT(buffer.in_ring);
  const size_t bytes = static_cast<size_t>(std::max(result, 0));
  const MutableBytes lent{memory_.data() + id * buffer_bytes_ + buffer.filled, bytes};
  buffer.filled += static_cast<uint32_t>(bytes);
  RC_ASSERT(buffer.filled <= buffer_bytes_);
  buffer.in_ring = incremental_ && (cqe_flags & uring::kCqeBufferMore) != 0;

  if (buffer.lent_pieces++ == 0) ++lent_;
  taken_.push_back(id);
  return lent;
}

void RecvRing::begin_turn() {
  RC_ASSERT(expiring_.empty());
  expiring_.swap(taken_);
}

void RecvRing::give_back() {
  for (const uint16_t id : expiring_) {
    Buffer& buffer = buffers_[id];
    RC_ASSERT(buffer.lent_pieces > 0);
    if (--buffer.lent_pieces > 0) continue;
    --lent_;
    if (!buffer.in_ring) add(id);
  }
  expiring_.clear();
}

MutableBytes RecvArena::room(size_t bytes) const {
  return {memory_.data() + used_, std::min(bytes, memory_.size() - used_)};
}

MutableBytes RecvArena::lend(size_t bytes) {
  RC_ASSERT(bytes <= memory_.size() - used_);
  const MutableBytes lent{memory_.data() + used_, bytes};
  used_ += bytes;
  ++lent_;
  return lent;
}

}  // namespace ringcast
