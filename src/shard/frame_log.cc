#include "shard/frame_log.h"

#include <algorithm>
#include <cstring>

namespace ringcast {

ChunkPool::~ChunkPool() {
  for (auto& spares : spare_) {
    for (std::byte* bytes : spares) delete[] bytes;
  }
}

ChunkPool::Chunk ChunkPool::acquire(size_t bytes_min, size_t log_bytes) {
  Chunk chunk;
  for (size_t i = 0; i < std::size(kSizes); ++i) {
    const bool last = i + 1 == std::size(kSizes);
    if (kSizes[i] < bytes_min || (!last && log_bytes >= kSizes[i])) continue;
    chunk.capacity = kSizes[i];
    if (!spare_[i].empty()) {
      chunk.bytes = spare_[i].back();
      spare_[i].pop_back();
      spare_bytes_ -= chunk.capacity;
    }
    break;
  }
  if (chunk.capacity == 0) chunk.capacity = bytes_min;  // one frame larger than any of the sizes
  if (chunk.bytes == nullptr) chunk.bytes = new std::byte[chunk.capacity];
  held_bytes_ += chunk.capacity;
  return chunk;
}

void ChunkPool::release(Chunk chunk) {
  held_bytes_ -= chunk.capacity;
  if (spare_bytes_ + chunk.capacity <= kSpareBytesMax) {
    for (size_t i = 0; i < std::size(kSizes); ++i) {
      if (chunk.capacity != kSizes[i]) continue;
      spare_[i].push_back(chunk.bytes);
      spare_bytes_ += chunk.capacity;
      return;
    }
  }
  delete[] chunk.bytes;
}

FrameLog::~FrameLog() {
  while (!chunks_.empty()) free_front();
}

void FrameLog::append(Opcode opcode, Bytes prefix, Bytes payload, Bytes suffix, bool compressed) {
  const size_t payload_bytes = prefix.size() + payload.size() + suffix.size();
  const size_t frame_bytes = frame_header_bytes(payload_bytes) + payload_bytes;
  RC_ASSERT(has_room(frame_bytes));
  newest_ = head_;
  if (cursors_ == 0) {
    trim();  // what nobody saw lies behind no chunk
    head_ += frame_bytes;
    return;
  }
  if (chunks_.empty() || chunks_.back().memory.capacity - chunks_.back().size < frame_bytes) {
    chunks_.push_back({.memory = pool_.acquire(frame_bytes, held_bytes()), .start = head_});
  }
  Chunk& chunk = chunks_.back();
  std::byte* to = chunk.memory.bytes + chunk.size;
  to += encode_frame_header(to, opcode, payload_bytes, compressed);
  for (Bytes part : {prefix, payload, suffix}) {
    if (part.empty()) continue;
    std::memcpy(to, part.data(), part.size());
    to += part.size();
  }
  // Whoever stood at the head now stands at this frame's first byte.
  chunk.cursors += caught_up_;
  caught_up_ = 0;
  chunk.size += frame_bytes;
  head_ += frame_bytes;
}

FrameLog::Chunk& FrameLog::chunk_at(Cursor cursor) {
  RC_ASSERT(cursor >= tail() && cursor < head_);
  // Nearly always the last chunk or the only one; a laggard costs a binary search.
  if (cursor >= chunks_.back().start) return chunks_.back();
  const auto after = std::upper_bound(chunks_.begin(), chunks_.end(), cursor,
                                      [](Cursor at, const Chunk& chunk) { return at < chunk.start; });
  return *std::prev(after);
}

void FrameLog::leave(Cursor cursor) {
  RC_ASSERT(cursors_ > 0);
  --cursors_;
  uint32_t& count = cursor == head_ ? caught_up_ : chunk_at(cursor).cursors;
  RC_ASSERT(count > 0);
  --count;
}

void FrameLog::move(Cursor from, Cursor to) {
  if (from == to) return;
  uint32_t& left = from == head_ ? caught_up_ : chunk_at(from).cursors;
  RC_ASSERT(left > 0);
  --left;
  ++(to == head_ ? caught_up_ : chunk_at(to).cursors);
}

void FrameLog::gather(Cursor cursor, std::vector<iovec>& out) const {
  if (cursor == head_) return;
  const Chunk* chunk = &chunk_at(cursor);
  size_t index = static_cast<size_t>(
      chunk == &chunks_.back()
          ? chunks_.size() - 1
          : std::upper_bound(chunks_.begin(), chunks_.end(), cursor,
                             [](Cursor at, const Chunk& candidate) { return at < candidate.start; }) -
                chunks_.begin() - 1);
  for (; index < chunks_.size(); ++index) {
    const Chunk& part = chunks_[index];
    const size_t skip = static_cast<size_t>(cursor - part.start);
    out.push_back({part.memory.bytes + skip, part.size - skip});
    cursor = part.end();
  }
}

FrameLog::Advance FrameLog::advance(Cursor cursor, size_t sent) const {
  const Cursor reached = cursor + sent;
  RC_ASSERT(reached <= head_);
  Advance result{cursor, {}, 0};
  while (result.cursor < reached) {
    const Chunk& chunk = chunk_at(result.cursor);
    const size_t offset = static_cast<size_t>(result.cursor - chunk.start);
    const Bytes from_here{chunk.memory.bytes + offset, chunk.size - offset};
    const auto bytes = static_cast<size_t>(frame_bytes(from_here));
    RC_ASSERT(bytes > 0 && bytes <= from_here.size());
    const Cursor frame_end = result.cursor + bytes;
    if (frame_end > reached) {
      result.rest = from_here.subspan(static_cast<size_t>(reached - result.cursor),
                                      static_cast<size_t>(frame_end - reached));
    }
    result.cursor = frame_end;
    ++result.frames;
  }
  return result;
}

size_t FrameLog::frames_between(Cursor from, Cursor to) const {
  return advance(from, static_cast<size_t>(to - from)).frames;
}

void FrameLog::trim() {
  while (front_chunk_unused() && (chunks_.size() > 1 || all_caught_up())) free_front();
}

FrameLog::Cursor FrameLog::tail_needed(size_t frame_bytes) const {
  // Whole chunks go, so this may free more than asked for.
  Cursor tail = this->tail();
  for (const Chunk& chunk : chunks_) {
    if (head_ - tail + frame_bytes <= bytes_max_) break;
    tail = chunk.end();
  }
  return tail;
}

void FrameLog::free_front() {
  pool_.release(chunks_.front().memory);
  chunks_.erase(chunks_.begin());
}

}  // namespace ringcast
