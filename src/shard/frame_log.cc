#include "shard/frame_log.h"

#include <cstring>
#include <iterator>
#include <new>

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
  while (newest_ != nullptr) free_oldest();
}

void FrameLog::append(Opcode opcode, Bytes prefix, Bytes payload, Bytes suffix, bool compressed) {
  const size_t payload_bytes = prefix.size() + payload.size() + suffix.size();
  const size_t frame_bytes = frame_header_bytes(payload_bytes) + payload_bytes;
  RC_ASSERT(has_room(frame_bytes));
  if (caught_up_ == 0) {
    trim();
    if (newest_ == nullptr) {  // nobody is there: what nobody sees lies in no chunk
      head_ += frame_bytes;
      return;
    }
  }
  if (newest_ == nullptr || newest_->capacity - newest_->size < frame_bytes) add_chunk(frame_bytes);
  Chunk& chunk = *newest_;
  std::byte* to = chunk.bytes() + chunk.size;
  to += encode_frame_header(to, opcode, payload_bytes, compressed);
  for (Bytes part : {prefix, payload, suffix}) {
    if (part.empty()) continue;
    std::memcpy(to, part.data(), part.size());
    to += part.size();
  }
  // Whoever stood at the head now stands at this frame's first byte.
  chunk.cursors += caught_up_;
  caught_up_ = 0;
  chunk.newest_frame = head_;
  chunk.size += frame_bytes;
  head_ += frame_bytes;
}

void FrameLog::add_chunk(size_t bytes_min) {
  const ChunkPool::Chunk memory = pool_.acquire(sizeof(Chunk) + bytes_min, held_bytes());
  auto* const chunk = ::new (static_cast<void*>(memory.bytes)) Chunk{
      .next = nullptr, .capacity = memory.capacity - sizeof(Chunk), .start = head_, .newest_frame = head_};
  chunk->next = newest_ == nullptr ? chunk : newest_->next;
  if (newest_ != nullptr) newest_->next = chunk;
  newest_ = chunk;
}

void FrameLog::free_oldest() {
  Chunk* const chunk = newest_->next;
  if (chunk == newest_) {
    newest_ = nullptr;
  } else {
    newest_->next = chunk->next;
  }
  pool_.release({reinterpret_cast<std::byte*>(chunk), sizeof(Chunk) + chunk->capacity});
}

FrameLog::Chunk& FrameLog::chunk_at(Cursor cursor) const {
  RC_ASSERT(cursor >= tail() && cursor < head_);
  // Nearly always the newest chunk or the only one; a laggard's is near the oldest.
  if (cursor >= newest_->start) return *newest_;
  Chunk* chunk = &oldest();
  while (cursor >= chunk->end()) chunk = chunk->next;
  return *chunk;
}

void FrameLog::leave(Cursor cursor) {
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
  for (Chunk* chunk = &chunk_at(cursor);; chunk = chunk->next) {
    const size_t skip = static_cast<size_t>(cursor - chunk->start);
    out.push_back({chunk->bytes() + skip, chunk->size - skip});
    if (chunk == newest_) return;
    cursor = chunk->end();
  }
}

FrameLog::Advance FrameLog::advance(Cursor cursor, size_t sent) const {
  const Cursor reached = cursor + sent;
  RC_ASSERT(reached <= head_);
  Advance result{cursor, {}, 0};
  if (sent == 0) return result;
  for (const Chunk* chunk = &chunk_at(cursor); result.cursor < reached;) {
    if (result.cursor == chunk->end()) chunk = chunk->next;
    const size_t offset = static_cast<size_t>(result.cursor - chunk->start);
    const Bytes from_here{chunk->bytes() + offset, chunk->size - offset};
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

// A newest chunk without cursors may go as well: everybody stands at the head.
void FrameLog::trim() {
  while (newest_ != nullptr && oldest().cursors == 0) free_oldest();
}

FrameLog::Cursor FrameLog::tail_needed(size_t frame_bytes) const {
  // Whole chunks go, so this may free more than asked for.
  Cursor tail = this->tail();
  const Chunk* chunk = newest_;
  while (tail < head_ && head_ - tail + frame_bytes > bytes_max()) {
    chunk = chunk->next;
    tail = chunk->end();
  }
  return tail;
}

}  // namespace ringcast
