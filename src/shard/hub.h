// Publish and subscribe on one shard, both halves of it: the home of some streams
// (numbering what is published to them, knowing which shards listen) and the
// listener to others (frame logs, subscribers, the walk that serves them). Owned by
// its shard; shard thread only. Other shards are reached through mailboxes alone.
//
// A subscribe is live once the home has acknowledged it; the home acknowledges on
// the same lane on which it then delivers, so nothing numbered later is missed.
#pragma once

#include <cstdint>
#include <deque>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "base/pointer_set.h"
#include "base/pool.h"
#include "base/slab.h"
#include "shard/coalesced_walk.h"
#include "shard/counters.h"
#include "shard/frame_log.h"
#include "shard/mailbox.h"
#include "shard/outbox.h"
#include "shard/stream.h"

namespace ringcast {

class Shard;

class Hub {
 public:
  explicit Hub(Shard& shard);
  Hub(const Hub&) = delete;
  Hub& operator=(const Hub&) = delete;
  ~Hub();

  // --- Subscribers ------------------------------------------------------------------

  // A new cursor at the head of `stream` for `connection`. With an `identifier`, what is
  // broadcast reaches it in Action Cable's envelope. `live` says whether it is live at
  // once; else connection.subscription_live() follows.
  Subscription& subscribe(Connection& connection, uint32_t owner, std::string_view stream,
                          const ChannelIdentifierRef& identifier, bool& live);
  void unsubscribe(Subscription& subscription);

  // Moves a cursor on to a later frame; those between are counted as dropped for `reason`.
  // Returns how many there were.
  size_t skip(Subscription& subscription, FrameLog::Cursor to, DropReason reason);

  // --- Publishers -------------------------------------------------------------------

  // Sends a message to its home. `full` if the lane there has no room.
  PublishStatus publish(MessageRef message);

  // Whether a connection may go on with commands that may publish: every request lane
  // has room for what one command is expected to publish.
  bool can_publish();

  // Whether every home's lane takes that many messages now.
  bool has_room_for(const std::vector<size_t>& per_home);

  // Checks size and content; invalid and too_large are counted here.
  PublishStatus check(std::string_view stream, PayloadKind kind, Bytes payload);

  // --- The home ---------------------------------------------------------------------

  // Takes one request from a lane. False: it must wait, a delivery lane is full.
  bool take(ShardRequest& request, ShardIndex from);
  bool take_publish(MessageRef& message);

  // The engine has the stream: whoever waited for that is told. `ticket` says for which
  // subscribe; that of a stream since left by everybody means nothing.
  void carried(std::string_view stream, uint64_t ticket);

  // --- Deliveries -------------------------------------------------------------------

  // Takes one delivery. False: it must wait, a log has no room.
  bool deliver(Delivery& delivery);

  // --- The walk ---------------------------------------------------------------------

  // Visits up to `budget` subscribers that are due, and stops where the hand stands; for
  // each rule of Limits::coalescing, serves as many connections.
  void walk(size_t budget);
  // When the walk goes on; kNever: before the next message it does not.
  Instant walk_at() const;
  // Memory is short: nothing waits for company any longer. False: nothing does.
  bool hurry();

  // Hands an accepted socket to another shard. False: its lane is full.
  bool hand_over(int descriptor, bool tls, ShardIndex to);

  // Something of ours waits for room in a lane.
  bool deferring() const { return deferred_count_ > 0 || !acknowledgements_.empty(); }

  // Requests that found their lane full go first, in order. Rings the bells of
  // shards that were given something since the last call.
  void push_deferred();
  void ring_bells();

  // When a held-back delivery should be tried again at the latest; kNever if none is.
  Instant retry_at() const { return retry_at_; }
  void forget_retry();

  OutboxPool& outboxes() { return outboxes_; }
  ChunkPool& chunks() { return chunks_; }
  size_t home_streams() const { return homes_.size(); }

 private:
  // What the home knows of a stream while anybody listens to it: mostly that one shard does.
  struct Home {
    explicit Home(const StreamName& name) : name(name) {}

    struct Listener {
      ShardIndex shard = 0;
      SlotId stream;  // in that shard's hub

      friend bool operator==(const Listener&, const Listener&) = default;
    };
    struct Rest {
      std::vector<Listener> listeners;       // but the first
      std::vector<Listener> unacknowledged;  // of all: waiting for the engine
      uint64_t ticket = 0;  // of our subscribe to the engine; 0: it has the stream, or there is none
    };

    void add(const Listener& listener);
    // False: it was the last.
    bool remove(const Listener& listener);
    template <class F>
    void for_each_listener(F f) const {
      f(first);
      if (!rest) return;
      for (const Listener& listener : rest->listeners) f(listener);
    }
    Rest& open_rest();
    void drop_empty_rest();

    const StreamName name;
    uint64_t offset = 0;         // of the last message numbered
    Listener first;              // has listened for longest
    std::unique_ptr<Rest> rest;  // while there is more to know
  };
  static_assert(sizeof(Home) == 40);

  void request(Stream& stream, ShardRequest::Kind kind);
  bool push(ShardIndex to, ShardRequest& request);
  bool listen(ShardRequest& request, ShardIndex from);
  Home& find_or_make_home(const StreamName& name, bool& is_new);
  bool acknowledge(const Home::Listener& listener);
  void count_publish(const Message& message);
  enum class Room : uint8_t {
    fits,
    wait,    // for readers, until retry_at_
    lapped,  // somebody was lapped and ended: look again, also at what else there was
  };
  Room make_room(StreamLog& log, const Message& message, Bytes json);
  bool lap(StreamLog& log, FrameLog::Cursor tail);
  std::optional<Bytes> payload_for(const StreamLog& log, const Message& message, Bytes json) const;
  void note_fanned_out(StageLatency& stages, Stream& stream, const Message& message, Bytes json);
  void append(StreamLog& log, const Message& message, Bytes json);
  Connection* excluded_from(const Message& message) const;
  void drop_stream(Stream& stream);
  void erase_log(StreamLog& log);
  CoalescedWalk* walk_of(const Stream& stream) {
    return stream.coalescing == Stream::kNotCoalesced ? nullptr : &coalesced_[stream.coalescing];
  }

  // What one command or message of a client is expected to publish at most; an
  // embedder's callback that publishes more meets PublishStatus::full.
  static constexpr size_t kPublishHeadroom = 32;

  Shard& shard_;
  ChunkPool chunks_;
  OutboxPool outboxes_;

  Slab<Stream> streams_;
  Pool<StreamLog> logs_;
  Pool<Subscription> subscriptions_;
  struct NameOf {
    std::string_view operator()(const auto& named) const { return named.name.text(); }
  };
  PointerSet<Stream, NameOf> by_name_;

  PointerSet<Home, NameOf> homes_;
  Pool<Home> home_pool_;

  std::unordered_map<const StreamLog*, Instant> lap_checks_;  // of full logs: no cursor can be lapped before

  std::deque<StreamLog*> walk_;                     // those of no rule
  std::vector<CoalescedWalk> coalesced_;            // by rule of Limits::coalescing; never resized
  std::vector<std::deque<ShardRequest>> deferred_;  // by shard: no room in the lane yet
  size_t deferred_count_ = 0;
  size_t publish_room_ = 0;    // at least so many fit into every lane; looked up again when it runs low
  int64_t publish_bytes_ = 0;  // this shard's part of what may still be queued; likewise
  std::deque<Home::Listener> acknowledgements_;  // that found their lane full
  uint64_t tickets_ = 0;
  std::vector<bool> bells_;  // by shard: given something since the last ring
  Instant retry_at_ = kNever;
  std::string json_;  // a text payload as a JSON string, for the delivery at hand
};

}  // namespace ringcast
