// The wire bytes of one stream for one identifier on one shard: whole frames,
// back to back, encoded once, in chunks that never move. Subscribers are cursors
// into it; nothing is queued for them. Owned by its stream; shard thread only.
//
// Invariants:
//   tail() <= every cursor <= head(); every cursor lies on a frame boundary
//   a frame never spans two chunks, so what is sent is contiguous within a chunk
//   each chunk counts the cursors in it; those at head() are in no chunk, and
//   caught_up_ counts them
//   every chunk but the newest ends where the next one starts
//
// Chunks are freed in trim() alone, never while a send that reads them may still
// fall short: the caller trims after it has settled a turn's sends.
#pragma once

#include <sys/uio.h>

#include <cstddef>
#include <cstdint>
#include <vector>

#include "base/assert.h"
#include "base/bytes.h"
#include "protocol/frame.h"

namespace ringcast {

// Chunks of the common sizes, kept for reuse up to a bound. One per shard; it also knows
// what each log may hold, which is the same for all of them.
class ChunkPool {
 public:
  struct Chunk {
    std::byte* bytes = nullptr;
    size_t capacity = 0;
  };

  explicit ChunkPool(size_t log_bytes_max) : log_bytes_max_(log_bytes_max) {}
  ChunkPool(const ChunkPool&) = delete;
  ChunkPool& operator=(const ChunkPool&) = delete;
  ~ChunkPool();

  size_t log_bytes_max() const { return log_bytes_max_; }

  // At least `bytes_min`; small for a log's first chunk, larger as it grows.
  Chunk acquire(size_t bytes_min, size_t log_bytes);
  void release(Chunk chunk);

  size_t held_bytes() const { return held_bytes_; }  // given out

 private:
  // A quiet log holds little; a busy one sends long runs from one chunk.
  static constexpr size_t kSizes[] = {4 * 1024, 32 * 1024, 256 * 1024};
  static constexpr size_t kSpareBytesMax = 4 * 1024 * 1024;

  const size_t log_bytes_max_;
  std::vector<std::byte*> spare_[std::size(kSizes)];
  size_t spare_bytes_ = 0;
  size_t held_bytes_ = 0;
};

class FrameLog {
 public:
  using Cursor = uint64_t;  // bytes ever appended before this point

  explicit FrameLog(ChunkPool& pool) : pool_(pool) {}
  FrameLog(const FrameLog&) = delete;
  FrameLog& operator=(const FrameLog&) = delete;
  ~FrameLog();

  Cursor head() const { return head_; }
  Cursor tail() const { return newest_ == nullptr ? head_ : oldest().start; }
  size_t held_bytes() const { return static_cast<size_t>(head_ - tail()); }
  // Where the newest frame begins; the head if that one is gone.
  Cursor newest_frame() const { return newest_ == nullptr ? head_ : newest_->newest_frame; }

  bool has_room(size_t frame_bytes) const { return held_bytes() + frame_bytes <= bytes_max(); }
  size_t bytes_max() const { return pool_.log_bytes_max(); }

  // Appends one frame whose payload is the three parts in a row, `compressed` or not. Only when
  // has_room(), and not between queuing a send and settling it. Without cursors
  // nothing is kept.
  void append(Opcode opcode, Bytes prefix, Bytes payload, Bytes suffix, bool compressed = false);

  // --- Cursors ------------------------------------------------------------------

  // A new cursor, at the head.
  Cursor join() {
    ++caught_up_;
    return head_;
  }
  void leave(Cursor cursor);
  void move(Cursor from, Cursor to);

  // Appends the bytes from `cursor` to the head to `out`, one span per chunk.
  void gather(Cursor cursor, std::vector<iovec>& out) const;

  // Where a cursor stands after `sent` bytes beyond it were taken: on the frame
  // boundary at or after that point. `rest` is what remains of the frame begun,
  // `frames` how many frames lie between the two cursors.
  struct Advance {
    Cursor cursor;
    Bytes rest;
    size_t frames;
  };
  Advance advance(Cursor cursor, size_t sent) const;

  // How many frames lie between a cursor and a later one.
  size_t frames_between(Cursor from, Cursor to) const;

  // Frees what no cursor needs any more.
  void trim();

  // The position up to which the log must be dropped for a frame of that size to fit.
  Cursor tail_needed(size_t frame_bytes) const;

 private:
  // Stands at the front of its own memory, its frames behind it.
  struct Chunk {
    Chunk* next;           // the one that follows; the newest's is the oldest
    size_t capacity;       // for frames
    Cursor start;          // position of its first byte
    Cursor newest_frame;   // position of its last frame
    size_t size = 0;       // bytes written
    uint32_t cursors = 0;  // cursors in [start, start + size)

    Cursor end() const { return start + size; }
    std::byte* bytes() { return reinterpret_cast<std::byte*>(this + 1); }
    const std::byte* bytes() const { return reinterpret_cast<const std::byte*>(this + 1); }
  };

  Chunk& oldest() const { return *newest_->next; }
  Chunk& chunk_at(Cursor cursor) const;
  void add_chunk(size_t bytes_min);
  void free_oldest();

  ChunkPool& pool_;
  Chunk* newest_ = nullptr;  // of a ring; most logs hold nothing
  Cursor head_ = 0;
  uint32_t caught_up_ = 0;
};

}  // namespace ringcast
