// The way in for one thread that publishes much: a bounded ring of bytes from it to one
// home shard. A record is a whole message, its stream's name and its payload, so a push
// is a copy and a store; the shard makes a Message of it. Messages are thus allocated and
// freed by shards alone: the publishing thread meets no lock and no allocator. Shared by
// the publisher and the shard; whoever is last frees it.
//
// Invariant: popped_ <= pushed_ <= popped_ + capacity. Both count bytes and only grow; a
// record begins at a multiple of its header's size, so a header never straddles the end.
// A record never straddles it either: what is left there is skipped.
#pragma once

#include <algorithm>
#include <atomic>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <memory>
#include <new>
#include <string_view>
#include <utility>

#include "base/assert.h"
#include "base/bytes.h"
#include "base/spsc_ring.h"
#include "base/time.h"
#include "shard/message.h"

namespace ringcast {

class PublishRing {
 public:
  static constexpr size_t kBytesMin = 4096;

  // Rounded up to a power of two.
  explicit PublishRing(size_t bytes)
      : capacity_(std::bit_ceil(std::max(bytes, kBytesMin))),
        mask_(capacity_ - 1),
        slots_(std::make_unique_for_overwrite<Slot[]>(capacity_ / sizeof(Slot))) {}
  PublishRing(const PublishRing&) = delete;
  PublishRing& operator=(const PublishRing&) = delete;
  // Nobody pushes any more, and nobody takes: what is left was never published.
  ~PublishRing() {
    while (next_record() != nullptr) (void)take_record(nullptr);
  }

  // What is longer than this travels as a Message of its own: see try_push.
  size_t inline_bytes_max() const { return capacity_ / 4 - sizeof(Record); }

  // --- The publishing thread ------------------------------------------------------------

  // False: there is no room, and nothing was pushed.
  bool try_push(std::string_view stream, uint64_t stream_hash, PayloadKind kind, Bytes payload,
                Instant published = {}) {
    const size_t body_bytes = stream.size() + payload.size();
    RC_ASSERT(body_bytes <= inline_bytes_max());
    Record* const record = reserve(body_bytes);
    if (record == nullptr) return false;
    record->stream_hash = stream_hash;
    record->published = published;
    record->payload_bytes = static_cast<uint32_t>(payload.size());
    record->stream_bytes = static_cast<uint32_t>(stream.size());
    record->kind = kind;
    record->form = Form::whole;
    std::byte* const to = body_of(record);
    std::memcpy(to, stream.data(), stream.size());
    if (!payload.empty()) std::memcpy(to + stream.size(), payload.data(), payload.size());
    commit(record);
    return true;
  }

  // The same for a message too long for the ring. False: `message` is untouched.
  bool try_push(MessageRef&& message) {
    Record* const record = reserve(sizeof(MessageRef));
    if (record == nullptr) return false;
    record->form = Form::reference;
    ::new (static_cast<void*>(body_of(record))) MessageRef(std::move(message));
    commit(record);
    return true;
  }

  // The shard has ended, or is about to: it may not have taken what was pushed after it
  // looked for the last time. To be asked after a push and Bell::ring(), whose fence pairs
  // with close()'s.
  bool closed() const { return closed_.load(std::memory_order_relaxed); }

  // --- The shard ------------------------------------------------------------------------

  // The oldest message, made of its record and weighed on `account`; null if there is
  // none. It is shown until it has been taken, that is, moved from or set to nothing.
  MessageRef* front(MessageBytes& account) {
    if (!front_ && next_record() != nullptr) front_ = take_record(&account);
    return front_ ? &front_ : nullptr;
  }

  // Before the last look.
  void close() {
    closed_.store(true, std::memory_order_relaxed);
    std::atomic_thread_fence(std::memory_order_seq_cst);  // pairs with Bell::ring()'s
  }

  // The publisher is gone: once empty, the ring may go too.
  void abandon() { abandoned_ = true; }
  bool abandoned() const { return abandoned_; }

  // Nothing that front() has not shown. For the sleep handshake the fences are the caller's.
  bool empty() const {
    return popped_.load(std::memory_order_relaxed) == pushed_.load(std::memory_order_acquire);
  }
  bool exhausted() const { return !front_ && empty(); }

 private:
  enum class Form : uint8_t {
    whole,      // stream's name and payload follow
    reference,  // a MessageRef follows
    skip,       // nothing does, up to the end of the ring
  };
  struct Record {
    uint64_t stream_hash;
    Instant published;  // Message::stamped
    uint32_t bytes;     // of the whole record, a multiple of the header's size
    uint32_t payload_bytes;
    uint32_t stream_bytes;
    PayloadKind kind;
    Form form;
  };
  struct alignas(32) Slot {
    std::byte bytes[32];
  };
  static_assert(sizeof(Record) <= sizeof(Slot));

  static std::byte* body_of(Record* record) { return reinterpret_cast<std::byte*>(record) + sizeof(Record); }
  void* at(uint64_t index) { return &slots_[(index & mask_) / sizeof(Slot)]; }

  // Room for a record with that much behind its header, `bytes` filled in; null if there is none.
  Record* reserve(size_t body_bytes) {
    const size_t bytes = (sizeof(Record) + body_bytes + sizeof(Slot) - 1) & ~(sizeof(Slot) - 1);
    const uint64_t pushed = pushed_.load(std::memory_order_relaxed);
    const size_t to_end = capacity_ - static_cast<size_t>(pushed & mask_);
    const size_t skipped = bytes <= to_end ? 0 : to_end;
    if (pushed + skipped + bytes - popped_seen_ > capacity_) {
      popped_seen_ = popped_.load(std::memory_order_acquire);  // pairs with take_record()'s release
      if (pushed + skipped + bytes - popped_seen_ > capacity_) return nullptr;
    }
    if (skipped > 0) {
      Record* const skip = ::new (at(pushed)) Record;
      skip->bytes = static_cast<uint32_t>(skipped);
      skip->form = Form::skip;
    }
    reserved_ = pushed + skipped + bytes;
    Record* const record = ::new (at(pushed + skipped)) Record;
    record->bytes = static_cast<uint32_t>(bytes);
    return record;
  }
  // Only now the shard may look at it, and at what was skipped before it.
  void commit(Record*) {
    pushed_.store(reserved_, std::memory_order_release);  // pairs with next_record()'s and empty()'s acquire
  }

  // The oldest record that is a message; null if there is none.
  Record* next_record() {
    for (;;) {
      const uint64_t popped = popped_.load(std::memory_order_relaxed);
      if (popped == pushed_seen_) {
        pushed_seen_ = pushed_.load(std::memory_order_acquire);  // pairs with commit()
        if (popped == pushed_seen_) return nullptr;
      }
      auto* const record = std::launder(static_cast<Record*>(at(popped)));
      if (record->form != Form::skip) return record;
      popped_.store(popped + record->bytes, std::memory_order_release);  // pairs with reserve()'s acquire
    }
  }

  // After a next_record() that was not null.
  MessageRef take_record(MessageBytes* account) {
    const uint64_t popped = popped_.load(std::memory_order_relaxed);
    auto* const record = std::launder(static_cast<Record*>(at(popped)));
    std::byte* const body = body_of(record);
    MessageRef message;
    if (record->form == Form::reference) {
      auto* const carried = std::launder(reinterpret_cast<MessageRef*>(body));
      message = std::move(*carried);
      carried->~MessageRef();
    } else if (account != nullptr) {
      message =
          Message::create({reinterpret_cast<const char*>(body), record->stream_bytes}, record->stream_hash,
                          record->kind, Bytes(body + record->stream_bytes, record->payload_bytes), account);
      message->stamp(record->published);
    }
    popped_.store(popped + record->bytes, std::memory_order_release);  // pairs with reserve()'s acquire
    return message;
  }

  // Read by both, written by neither after the beginning.
  alignas(kFalseSharingBytes) const size_t capacity_;
  const uint64_t mask_;
  const std::unique_ptr<Slot[]> slots_;
  std::atomic<bool> closed_ = false;  // by the shard, once

  // Written by the publishing thread alone.
  alignas(kFalseSharingBytes) std::atomic<uint64_t> pushed_ = 0;
  uint64_t popped_seen_ = 0;
  uint64_t reserved_ = 0;

  // Written by the shard alone.
  alignas(kFalseSharingBytes) std::atomic<uint64_t> popped_ = 0;
  uint64_t pushed_seen_ = 0;
  MessageRef front_;
  bool abandoned_ = false;
};

}  // namespace ringcast
