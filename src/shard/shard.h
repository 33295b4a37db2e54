// A shard: one core's reactor and everything it owns. One thread calls turn() or
// run(); it shares nothing with other shards but the mailboxes and the routes.
//
// A turn, in order:
//   1. one trip into the backend: submit what is queued, sleep at most until the
//      next deadline, learn what finished and what time it is
//   2. settle the sends that fell short, before anything may free their bytes
//   3. completions: handlers change state and append submissions; none blocks
//   4. mailboxes and inbox, bounded, so that a flood from one shard cannot starve
//      this shard's sockets
//   5. timers
//   6. flush: one send per connection, however much this turn gave it; a bounded
//      slice of the subscribers' walk, so that later ones meet newer messages
//   7. what callbacks were lent is taken back
#pragma once

#include <atomic>
#include <cstdint>
#include <deque>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "auth/trusted_proxies.h"
#include "base/log.h"
#include "base/prng.h"
#include "base/slab.h"
#include "base/time.h"
#include "base/timer_wheel.h"
#include "io/backend.h"
#include "protocol/cable.h"
#include "protocol/deflate.h"
#include "protocol/tls_context.h"
#include "shard/address_counts.h"
#include "shard/channel_identifier.h"
#include "shard/connection.h"
#include "shard/counters.h"
#include "shard/deadline.h"
#include "shard/hub.h"
#include "shard/identities.h"
#include "shard/inbox.h"
#include "shard/limits.h"
#include "shard/mailbox.h"
#include "shard/publish_ring.h"
#include "shard/routes.h"
#include "shard/send_batch.h"
#include "shard/stage_latency.h"

namespace ringcast {

// What browsers may come from. Replaced whole, by a task on each shard.
struct OriginPolicy {
  std::vector<std::string> allowed;
  bool required = false;  // refuse requests without an Origin
};

// What all shards of a server have in common; outlives them.
struct ServerContext {
  ServerContext(ShardIndex shards, const Limits& limits, const Routes& routes, Logger& logger)
      : limits(limits), routes(routes), logger(logger), mailboxes(shards, limits.mailbox_items) {}

  const Limits limits;
  const Routes& routes;
  Logger& logger;
  Mailboxes mailboxes;
  // For what looks across shards (balance, admission, metrics). Filled before any
  // of them turns.
  std::vector<class Shard*> shards;
  std::atomic<uint64_t> connection_numbers{0};  // taken in blocks
  // Shards that have nothing left to do but take mail. They end together, so that
  // nobody ever waits for a home that is gone.
  std::atomic<ShardIndex> shards_over{0};
  AddressCounts addresses;
  Identities identities{*this};
  MessageBytes message_bytes;  // published, and not yet in every log
  // Filled before any shard turns.
  class Engine* engine =
      nullptr;  // carries messages between processes, if there are others; outlives the shards
  StageLatency::Clock stage_clock = nullptr;  // null: stages are not measured
  TrustedProxies proxies;
  std::function<void()> rotate_ticket_keys;  // asked now and then; empty without TLS
  uint64_t socket_seed = 0;                  // of the ids that sockets are told; 0: they are told none
  std::optional<SocketId> named_socket(std::string_view id) const {
    return id.empty() || socket_seed == 0 ? std::nullopt : SocketId::parse(id, socket_seed);
  }
  bool proxy_protocol = false;  // whoever of them connects sends a PROXY header first
};

// One of several messages that are published together or not at all.
struct Publication {
  std::string_view stream;
  PayloadKind kind;
  Bytes payload;
};

constexpr Token token_of_listener(size_t index) {
  return {uint64_t{index} << kSlotGenerationBits};
}

class Shard {
 public:
  // `listeners` are taken over. The backend is taken over; its turn() will be
  // called by whoever calls ours. `seed` feeds everything random here.
  Shard(ServerContext& context, ShardIndex index, std::unique_ptr<Backend> backend,
        std::vector<int> listeners, const OriginPolicy& origins, uint64_t seed, Duration spin = {});
  Shard(const Shard&) = delete;
  Shard& operator=(const Shard&) = delete;
  ~Shard();

  // Before the first turn: these, taken over as well, speak TLS.
  void listen_with_tls(const std::vector<int>& listeners, std::shared_ptr<const TlsContext> context);

  // --- Running (the shard's thread) ---------------------------------------------

  void turn();

  // Turns until stop(), or until a drain has ended the last connection.
  void run();

  // --- From any thread -----------------------------------------------------------

  // Publishes to this shard, which must be the stream's home. False: full, or over.
  bool publish_from_outside(MessageRef message);

  // All or nothing over several shards: every home reserves room, then gets its
  // messages, or has the room given back.
  bool reserve_from_outside(size_t count) { return inbox_.reserve(count); }
  void give_back_reserved(size_t count) { inbox_.give_back(count); }
  void publish_reserved(std::vector<MessageRef>& messages);

  void post(Inbox::Task task);

  // From now on what is pushed into `ring` is published here, which must be the home of
  // its streams. False: the shard is over. A push is followed by ring_bell().
  bool attach(std::shared_ptr<PublishRing> ring);
  // Its publisher is gone; what is left in it is published all the same.
  void detach(std::shared_ptr<PublishRing> ring);
  // True: it slept, and was woken with a system call.
  bool ring_bell() { return context_.mailboxes.bell(index_).ring(); }

  const Counters& counters() const { return counters_; }
  ShardIndex index() const { return index_; }
  const char* backend_name() const { return backend_->name(); }
  ShardIndex home_of(uint64_t stream_hash) const {
    return static_cast<ShardIndex>(stream_hash % context_.mailboxes.shards());
  }
  bool ended() const { return ended_.load(std::memory_order_acquire); }

  // The shard whose turn the calling thread is in, or null.
  static Shard* current();

  // --- Tasks (through post) --------------------------------------------------------

  // Stops accepting, tells every connection to go (paced over half of `within`),
  // resets what is left when it is over, and ends.
  void drain(Duration within);
  // Tells every Action Cable client to come back, paced over `within`.
  void ask_to_reconnect(Duration within);
  void stop();  // resets every connection and ends
  void set_origins(const OriginPolicy& origins) { origins_ = origins; }
  // For connections from now on.
  void set_tls(std::shared_ptr<const TlsContext> context) { tls_ = std::move(context); }

  // --- For the shard's parts -------------------------------------------------------

  Instant now() const { return time_.now; }
  int64_t unix_ms() const { return time_.unix_ms; }
  const Limits& limits() const { return context_.limits; }
  const Routes& routes() const { return context_.routes; }
  const OriginPolicy& origins() const { return origins_; }
  ServerContext& context() { return context_; }
  Logger& logger() { return context_.logger; }
  Counters& counters() { return counters_; }
  Hub& hub() { return hub_; }
  StageLatency* stages() { return stages_.get(); }  // null: not measured
  const StageLatency* stages() const { return stages_.get(); }
  TimerWheel& timers() { return timers_; }                        // of Deadlines
  TimerWheel& connection_timers() { return connection_timers_; }  // of Connections
  SendBatch& sends() { return sends_; }
  uint64_t random() { return prng_.next(); }
  bool draining() const { return draining_; }

  void submit(const Submission& submission) { submissions_.push_back(submission); }
  Connection* find(SlotId id) { return connections_.find(id); }
  Connection& connection(SlotId id) { return connections_[id]; }

  // The connection has something to send; it is flushed at the end of the turn.
  void mark_dirty(Connection& connection);

  // The connection waits for writability; looked at again while it does.
  void note_stalled(Connection& connection);

  // The connection waits until publishing is possible again (Hub::can_publish).
  void wait_for_room(SlotId connection) { waiting_for_room_.push_back(connection); }

  // The last completion has come: the slot is free.
  void release(Connection& connection);

  uint64_t next_connection_number();

  // Publishes for a connection or a handler of this shard.
  PublishStatus publish(std::string_view stream, PayloadKind kind, Bytes payload);
  // All, in order, or none.
  PublishStatus publish_all(std::span<const Publication> publications);

  // A request was refused: one line, rate-limited.
  void note_refusal(const Connection& connection, int status, std::string_view why);

  // The current second's Action Cable ping, encoded once for all.
  Bytes ping_text();

  // Where sessions decode their commands and write their replies, each until the next:
  // kept, so that neither allocates in steady state, and once a shard, not once a session.
  Command& command() { return command_; }
  std::string& reply() {
    reply_.clear();
    return reply_;
  }

  LogBudget& log() { return log_; }

  // Something of this connection ended or drained with its send: look at it once
  // the whole batch is settled.
  void look_after_settling(SlotId connection) { settled_.push_back(connection); }

  // --- TLS and compression -------------------------------------------------------------

  // A handshake costs as much as hundreds of messages: a turn does a few, and a storm of
  // them waits, not the open sockets. False: Connection::shake_hands() follows.
  bool may_shake_hands(const Connection& connection);
  // Where a receive is decrypted to, until the next one.
  std::vector<std::byte>& plaintext() { return plaintext_; }

  ChannelIdentifierTable& identifiers() { return identifiers_; }
  ActivityPool& activities() { return activities_; }
  ReaderPool& readers() { return readers_; }
  InflaterPool& inflaters() { return inflaters_; }
  // What permessage-deflate makes of a message for those with that window, if that is
  // worth it: good until the next call. Nothing for 0.
  std::optional<Bytes> compress(uint8_t window_bits, std::span<const Bytes> parts);

  // Admission: 0, or the status to refuse a new connection's request with.
  int admission_status();

 private:
  struct Listener {
    int fd;
    bool tls = false;
    bool armed = false;
  };

  void dispatch(const Completion& completion);
  void accepted(const Completion& completion);
  void adopt(int descriptor, bool tls);
  void shake_waiting_hands();
  void arm_accept();
  ShardIndex least_loaded() const;
  void close_listeners();
  void drain_inbox();
  void drain_publish_rings();
  void close_entrances();
  bool rings_have_news() const;
  void stay_awake();
  void drain_requests(ShardIndex from);
  void drain_deliveries(ShardIndex from);
  void drain_mail();
  void flush();
  void drain_step();
  void reconnect_step();
  void report();
  void watch();
  void evict(uint64_t bytes);
  Instant sleep_until();
  bool held_back() const;
  void end_if_over();

  ServerContext& context_;
  const ShardIndex index_;
  const Duration spin_;
  const std::unique_ptr<Backend> backend_;
  TurnTime time_;
  Counters counters_;
  const std::unique_ptr<StageLatency> stages_;
  Prng prng_;
  TimerWheel timers_;
  TimerWheel connection_timers_;
  SendBatch sends_;
  OriginPolicy origins_;
  LogBudget log_;
  Command command_;
  std::string reply_;
  std::string ping_text_;
  int64_t ping_second_ = -1;

  std::shared_ptr<const TlsContext> tls_;
  std::vector<std::byte> plaintext_;
  size_t handshakes_left_ = 0;  // of this turn
  std::deque<SlotId> waiting_for_handshake_;
  ActivityPool activities_;
  ReaderPool readers_;
  InflaterPool inflaters_;                  // lends to the connections' readers
  std::unique_ptr<Deflater> deflaters_[2];  // by window: full, smallest; made when first needed
  std::vector<std::byte> compressed_;

  ChannelIdentifierTable identifiers_;
  Hub hub_;
  Slab<Connection> connections_;  // after the hub: its subscriptions refer to connections
  Inbox inbox_;

  std::vector<Submission> submissions_;
  Completions completions_;
  std::vector<SlotId> dirty_, dirty_spare_;
  std::vector<SlotId> settled_;
  std::vector<SlotId> waiting_for_room_;
  std::vector<MessageRef> inbox_messages_;
  size_t inbox_taken_ = 0;
  std::vector<Inbox::Task> tasks_;
  std::vector<std::shared_ptr<PublishRing>> publish_rings_;
  size_t first_ring_ = 0;
  std::vector<size_t> per_home_;  // of the publications being counted
  ShardIndex first_lane_ = 0;
  bool mail_left_ = false;      // a bound was reached: look again at once
  bool requests_wait_ = false;  // for room in a delivery lane
  Instant spinning_until_{};
  bool begun_ = false;

  std::vector<Listener> listeners_;
  Deadline accept_deadline_;     // accepting again after EMFILE
  bool exhausted_ = false;       // no descriptor was left for the last one who came
  Deadline drain_deadline_;      // the next step of the drain
  Deadline reconnect_deadline_;  // the next step of ask_to_reconnect
  std::vector<SlotId> to_reconnect_;
  size_t reconnect_per_step_ = 0;
  Deadline report_deadline_;
  Deadline watch_deadline_;
  std::vector<SlotId> stalled_;
  bool short_of_memory_ = false;
  Instant drain_end_{};
  std::vector<SlotId> drain_order_;
  size_t drained_ = 0;
  size_t drain_per_step_ = 0;
  size_t plain_closes_ = 0;  // closes under way of descriptors that are no connections
  uint64_t numbers_next_ = 0, numbers_end_ = 0;
  uint64_t connect_tokens_millis_ = 0;
  Instant connect_refill_{};
  bool listeners_closed_ = false;
  bool draining_ = false;
  bool stopping_ = false;
  bool over_ = false;
  std::atomic<bool> ended_{false};
};

}  // namespace ringcast
