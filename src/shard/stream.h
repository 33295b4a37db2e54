// A stream as one shard sees it: its subscribers grouped by the bytes they are
// sent. Owned by the hub; shard thread only.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string_view>

#include "base/assert.h"
#include "base/slab.h"
#include "base/time.h"
#include "protocol/cable.h"
#include "shard/channel_identifier.h"
#include "shard/frame_log.h"
#include "shard/limits.h"
#include "shard/stream_name.h"

namespace ringcast {

class Connection;
struct Stream;
struct StreamLog;

// One cursor: a connection's interest in one stream, under one identifier. It dies
// with its connection at the latest, so the reference is good for its whole life.
struct Subscription {
  Connection& connection;
  StreamLog& log;
  FrameLog::Cursor cursor;
  uint32_t owner;                // the SessionChannel's index; 0 on raw routes
  uint32_t position;             // in its log's SubscriberRing
  Subscription* next = nullptr;  // of the same connection, newest first

  LapPolicy policy() const;
};

// A hundred thousand connections pay 100 KB for each byte, and as often as they subscribe.
static_assert(sizeof(Subscription) == 40);

// The subscribers of one log, walked by a clock hand. After an append everybody
// is due one visit, beginning where the hand stands, so that those at the end of a
// long walk already get the newer messages in the same send.
//
// Invariant: members_[(hand_ + i) % size_] for i < due_ are the slots still to be
// visited. Removal leaves a hole and never moves anyone past the hand.
class SubscriberRing {
 public:
  SubscriberRing() : only_(nullptr), members_(&only_) {}
  SubscriberRing(const SubscriberRing&) = delete;
  SubscriberRing& operator=(const SubscriberRing&) = delete;
  ~SubscriberRing();

  void add(Subscription& subscription);
  void remove(Subscription& subscription);

  // An append: everyone is due again.
  void start_round() { due_ = size_; }
  bool round_done() const { return due_ == 0; }
  size_t due() const { return due_; }  // steps to the end of the round
  size_t steps_of_round() const { return size_; }

  // One step of the hand: whom it met, or null at a hole. Only while a round is on.
  Subscription* step();

  size_t size() const { return size_ - holes_; }

  template <class F>
  void for_each(F f) const {
    for (uint32_t i = 0; i < size_; ++i) {
      if (members_[i] != nullptr) f(*members_[i]);
    }
  }

 private:
  bool alone() const { return members_ == &only_; }
  uint32_t capacity() const { return alone() ? 1 : capacity_; }
  // Changes it: to another size on the heap, or from there to a single one.
  void reallocate(uint32_t capacity);
  void compact();

  // A single subscriber needs no memory of its own, and a step no question where it is.
  union {
    Subscription* only_;
    uint32_t capacity_;  // where members_ points elsewhere
  };
  Subscription** members_;
  uint32_t size_ = 0;  // with holes
  uint32_t hand_ = 0;
  uint32_t due_ = 0;
  uint32_t holes_ = 0;
};

// Subscribers of a stream that are sent the same bytes: on cable those who
// subscribed under one identifier, or all raw sockets; apart from them those who take
// the same compressed, once for all of them.
struct StreamLog {
  StreamLog(Stream& stream, ChunkPool& pool, ChannelIdentifierRef identifier, uint8_t window_bits)
      : stream(stream),
        identifier(std::move(identifier)),
        bytes(pool),
        window_bits(window_bits & 15),
        walking(false),
        waiting(false) {
    RC_ASSERT(window_bits <= 15);
  }

  bool cable() const { return static_cast<bool>(identifier); }

  size_t frame_bytes(size_t payload_bytes) const {
    const size_t whole = prefix().size() + payload_bytes + suffix().size();
    return frame_header_bytes(whole) + whole;
  }

  // Steps of the hand until everybody has been met who is due a visit now.
  size_t due() const { return subscribers.due() + (waiting ? subscribers.steps_of_round() : 0); }

  // What surrounds a payload.
  std::string_view prefix() const { return cable() ? identifier->broadcast_prefix() : std::string_view(); }
  std::string_view suffix() const { return cable() ? BroadcastEnvelope::suffix : std::string_view(); }

  static constexpr unsigned kPlaceBits = 26;
  static constexpr uint32_t kPlaceMax = (1u << kPlaceBits) - 1;

  Stream& stream;
  const ChannelIdentifierRef identifier;  // cable
  [[no_unique_address]] FrameLog bytes;
  const uint32_t window_bits : 4;   // permessage-deflate with that window; 0: as it is
  bool walking : 1;                 // in the walk that serves it
  bool waiting : 1;                 // for the next pass of its stream's CoalescedWalk …
  uint32_t place : kPlaceBits = 0;  // … and where in that it stands
  SubscriberRing subscribers;
  StreamLog* next = nullptr;  // of the same stream, oldest first
};

// Where everybody has a stream of their own, this is paid for each of them.
static_assert(sizeof(StreamLog) == 88);

struct Stream {
  explicit Stream(std::string_view name) : name(name) {}
  ~Stream() { RC_ASSERT(logs == nullptr); }

  // Without an identifier: that of raw sockets.
  StreamLog* find_log(const ChannelIdentifierRef& identifier, uint8_t window_bits);
  // Last in the list, and out of it. Whoever made it frees it.
  void add_log(StreamLog& log);
  void remove_log(StreamLog& log);
  size_t cable_logs() const;

  SlotId id() const { return Slab<Stream>::id_of(*this); }

  const StreamName name;
  bool live = false;                // the home has acknowledged: what is numbered from now on comes here
  std::optional<LapPolicy> policy;  // if a StreamPolicy names this stream
  // The rule of Limits::coalescing that names it: which of the hub's walks serves it.
  uint32_t coalescing = kNotCoalesced;
  // Few: one for raw sockets and one per distinct identifier, which for most
  // applications is one.
  StreamLog* logs = nullptr;

  static constexpr uint32_t kNotCoalesced = UINT32_MAX;
};
static_assert(sizeof(Stream) == 24);

}  // namespace ringcast
