// What runs have really reached: every fault that fired, every state edge that was
// crossed. A simulator that never comes near a state says nothing about it, so main.cc
// fails if one was never reached. Sums over all worlds of a process; one thread.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <vector>

#include "shard/connection.h"
#include "shard/counters.h"
#include "shard/mailbox.h"
#include "tests/sim/faults.h"

namespace ringcast::sim {

class World;

enum class Edge : uint8_t {
  // A connection's states, as each of its shard's turns leaves them.
  begun,
  http_to_open,
  http_to_closing,
  http_to_terminating,
  open_to_closing,
  open_to_terminating,
  closing_to_terminating,
  released,
  slot_used_again,
  // And what holds it up.
  paused,
  resumed,
  stalled,
  unstalled,
  ended_paused,
  ended_stalled,
  answer_held,      // the 101 waits for its streams
  answer_released,  // and leaves
  // Streams on a shard.
  joined_pending,
  pending_to_live,
  ended_pending,
  // Between shards.
  request_deferred,
  deferred_pushed,
  publish_full,
  publish_all_full,
  inbox_full,
  deliveries_held,
  lapped,
  walk_carried_over,
  walk_waits,
  handed_over,
  accept_paused,
  // Sessions.
  confirmed,
  confirmed_again,
  rejected,
  subscribed_anew,
  unsubscribed_unconfirmed,
  own_message,
  stream_stopped,
  stream_added,
  pinged,
  // Compression.
  deflate_agreed,
  deflate_with_takeover,
  deflate_with_small_window,
  compressed_sent,
  compressed_received,
  // Peers.
  half_closed,
  vanished,
  stopped_reading,
  malformed,
  pipelined,
  reading_latency,
  // Shards.
  shard_starved,
  time_jumped,
  woken_for_nothing,
  drained,
  close_timed_out,
  kCount,
};

inline constexpr size_t kEdges = static_cast<size_t>(Edge::kCount);
const char* to_string(Edge edge);

class Coverage {
 public:
  void reached(Edge edge, uint64_t times = 1) { edges_[static_cast<size_t>(edge)] += times; }

  // Of one world: looks at what the shard's last turn was about.
  class Watch {
   public:
    Watch(Coverage& coverage, World& world);
    void after_turn(ShardIndex shard);

   private:
    struct Seen {
      uint32_t generation = 0;  // 0: no connection
      Connection::State state = Connection::State::http;
      bool released = false;
      bool paused = false;
      bool stalled = false;
      bool holding = false;
      bool pending = false;
    };
    void look(ShardIndex shard, Token token);

    Coverage& coverage_;
    World& world_;
    std::vector<std::vector<Seen>> seen_;  // by shard and slot
    std::vector<bool> deferring_;
  };

  // What a world has counted itself, once it is over.
  void add(World& world);

  void print(std::FILE* to) const;
  // Whether everything was reached; says what was not.
  bool complete(std::FILE* to) const;

 private:
  std::array<uint64_t, kEdges> edges_{};
  std::array<uint64_t, kFaults> faults_{};
  std::array<uint64_t, kEndReasons> ends_{};
  std::array<uint64_t, kDropReasons> drops_{};
};

}  // namespace ringcast::sim
