// A published payload: the one heap object that crosses shards. It is immutable
// once its home shard has numbered it, and atomically counted; the last holder on
// whatever thread frees it.
#pragma once

#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <new>
#include <string_view>
#include <utility>

#include "base/assert.h"
#include "base/bytes.h"
#include "base/spsc_ring.h"
#include "base/time.h"
#include "shard/socket_id.h"

namespace ringcast {

enum class PayloadKind : uint8_t {
  text,    // valid UTF-8; a text frame on raw routes, JSON on cable (see hub.h)
  binary,  // a binary frame on raw routes; cable has no way to say it
  json,    // valid JSON, spliced byte for byte
};

// What became of a publish on its way to the stream's home. Never a silent loss.
enum class [[nodiscard]] PublishStatus : uint8_t{
    ok,
    full,       // no room on the way: nothing was published
    too_large,  // payload or stream name beyond its limit
    invalid,    // text that is not UTF-8, JSON that is not JSON, an empty stream name
};

// What messages weigh while they are on their way. Any thread; approximate while others
// write. Outlives every message created on it.
class MessageBytes {
 public:
  void add(int64_t bytes) { lane().fetch_add(bytes, std::memory_order_relaxed); }
  uint64_t total() const {
    int64_t sum = 0;
    for (const Lane& lane : lanes_) sum += lane.bytes.load(std::memory_order_relaxed);
    return sum > 0 ? static_cast<uint64_t>(sum) : 0;
  }

 private:
  // A message is often freed by another thread than made it: each adds to a lane of its
  // own (some of them negative), so that counting moves no cache line to and fro.
  struct alignas(kFalseSharingBytes) Lane {
    std::atomic<int64_t> bytes{0};
  };
  static constexpr size_t kLanes = 16;

  std::atomic<int64_t>& lane() {
    static std::atomic<size_t> threads{0};
    thread_local const size_t mine = threads.fetch_add(1, std::memory_order_relaxed) % kLanes;
    return lanes_[mine].bytes;
  }

  std::array<Lane, kLanes> lanes_;
};

class MessageRef;

// Stream name and payload lie behind the object in the same allocation.
class Message {
 public:
  // `stream_hash` is hash64(stream): whoever resolved the stream has it already.
  // `account`, if any, carries its weight as long as it lives.
  static MessageRef create(std::string_view stream, uint64_t stream_hash, PayloadKind kind, Bytes payload,
                           MessageBytes* account = nullptr);

  std::string_view stream() const { return {reinterpret_cast<const char*>(this + 1), stream_bytes_}; }
  uint64_t stream_hash() const { return stream_hash_; }
  Bytes payload() const {
    return {reinterpret_cast<const std::byte*>(this + 1) + stream_bytes_, payload_bytes_};
  }
  PayloadKind kind() const { return kind_; }

  // Position in the stream's total order, from 1; 0 before its home has numbered it.
  uint64_t offset() const { return offset_; }

  // Whether it came from other processes' engine, and must not go there again.
  bool carried() const { return carried_; }
  // Before anybody else holds it.
  void mark_carried() { carried_ = true; }

  // Whom it is kept from; mostly nobody.
  const SocketId& excluded() const { return excluded_; }
  // Before anybody else holds it.
  void exclude(const SocketId& socket) { excluded_ = socket; }
  // When its present stage began; of no meaning unless stages are measured. Before anybody
  // else holds it, or again.
  Instant stamped() const { return stamped_; }
  void stamp(Instant now) { stamped_ = now; }

  // Home shard only, once, while it is the only holder.
  void number(uint64_t offset) {
    RC_ASSERT(offset_ == 0 && references_.load(std::memory_order_relaxed) == 1);
    offset_ = offset;
  }

 private:
  friend class MessageRef;

  Message(std::string_view stream, uint64_t stream_hash, PayloadKind kind, Bytes payload,
          MessageBytes* account)
      : account_(account),
        kind_(kind),
        stream_bytes_(static_cast<uint32_t>(stream.size())),
        payload_bytes_(payload.size()),
        stream_hash_(stream_hash) {
    auto* to = reinterpret_cast<std::byte*>(this + 1);
    if (!stream.empty()) std::memcpy(to, stream.data(), stream.size());
    if (!payload.empty()) std::memcpy(to + stream.size(), payload.data(), payload.size());
    if (account_ != nullptr) account_->add(weight());
  }
  ~Message() {
    if (account_ != nullptr) account_->add(-weight());
  }
  int64_t weight() const { return static_cast<int64_t>(sizeof(Message) + stream_bytes_ + payload_bytes_); }

  MessageBytes* const account_;
  std::atomic<uint32_t> references_{1};
  PayloadKind kind_;
  bool carried_ = false;
  uint32_t stream_bytes_;
  uint64_t payload_bytes_;
  uint64_t stream_hash_;
  uint64_t offset_ = 0;
  SocketId excluded_;
  Instant stamped_{};
};

// A counted reference. Copying takes another one; any thread.
class MessageRef {
 public:
  MessageRef() = default;
  MessageRef(const MessageRef& other) : message_(other.message_) {
    if (message_ != nullptr) message_->references_.fetch_add(1, std::memory_order_relaxed);
  }
  MessageRef(MessageRef&& other) noexcept : message_(std::exchange(other.message_, nullptr)) {}
  MessageRef& operator=(MessageRef other) noexcept {
    std::swap(message_, other.message_);
    return *this;
  }
  ~MessageRef() {
    // acq_rel: the last holder must see every other holder's reads finished.
    if (message_ != nullptr && message_->references_.fetch_sub(1, std::memory_order_acq_rel) == 1) {
      message_->~Message();
      ::operator delete(message_);
    }
  }

  // clang-tidy does not count references: it takes the first release for the last.
  Message* operator->() const { return message_; }  // NOLINT(clang-analyzer-cplusplus.NewDelete)
  Message& operator*() const { return *message_; }
  explicit operator bool() const { return message_ != nullptr; }

 private:
  friend class Message;
  explicit MessageRef(Message* adopted) : message_(adopted) {}
  Message* message_ = nullptr;
};

inline MessageRef Message::create(std::string_view stream, uint64_t stream_hash, PayloadKind kind,
                                  Bytes payload, MessageBytes* account) {
  void* memory = ::operator new(sizeof(Message) + stream.size() + payload.size());
  return MessageRef(new (memory) Message(stream, stream_hash, kind, payload, account));
}

}  // namespace ringcast
