// Every limit a shard enforces, in one place. Each has a flag of its name, a
// default, an answer and a metric; the options table (config.cc) fills this in.
// A value, fixed when the shard starts.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "base/time.h"

namespace ringcast {

// What becomes of a subscriber that a stream's log has no more room to wait for.
enum class LapPolicy : uint8_t {
  close,        // it is told and closed: 1013
  drop_oldest,  // it loses the oldest frames, and goes on with those still held
  latest,       // after every stall it goes on with the newest frame; it never holds a publisher up
};

// Streams by name, `*` standing for any run of characters.
struct StreamPolicy {
  std::string pattern;
  LapPolicy policy;
};

// Streams by name, too: a connection is sent what they carry once in `interval`, so that one
// send carries several messages.
struct Coalescing {
  std::string pattern;
  Duration interval;
};

struct Limits {
  // HTTP requests
  size_t request_head_bytes = 16 * 1024;      // 431
  size_t request_headers = 100;               // 431
  size_t request_body_bytes = 1024 * 1024;    // 413
  Duration handshake_timeout = seconds(10);   // from accept to the end of the first request: ended
  Duration keep_alive_timeout = seconds(60);  // between requests: ended

  // WebSocket
  uint64_t message_bytes = 1024 * 1024;      // 1009
  Duration close_timeout = seconds(5);       // for the peer's Close and FIN after ours: ended
  Duration raw_ping_interval = seconds(25);  // when idle; 0: none
  Duration pong_timeout = seconds(30);       // nothing at all received since a ping: ended; 0: none

  // permessage-deflate
  bool deflate = false;  // with those who offer it
  bool deflate_client_takeover = false;
  size_t deflate_bytes = 1024;  // smaller messages go as they are

  // Action Cable
  Duration ping_interval = seconds(3);
  size_t subscriptions_per_connection = 1000;  // streams and channels each: reject
  static constexpr size_t kSubscriptionsMax = 1 << 20;
  size_t identifier_bytes = 4 * 1024;  // reject
  size_t pending_commands = 256;       // queued behind an unconfirmed subscription: reading pauses
  uint32_t error_budget = 100;         // meaningless commands per connection: 1008; 0: no budget
  uint32_t commands_per_second = 0;    // per connection: 1008; 0: off

  // Streams
  size_t stream_name_bytes = 1024;           // PublishStatus::too_large; subscribing: reject
  size_t frame_log_bytes = 4 * 1024 * 1024;  // at least 4 × the largest message
  Duration lap_grace = milliseconds(250);
  LapPolicy lap_policy = LapPolicy::close;    // where neither its stream's name nor its route says another
  std::vector<StreamPolicy> stream_policies;  // the first that matches a stream's name
  std::vector<Coalescing> coalescing;         // the first that matches a stream's name
  size_t backlog_bytes = 16 * 1024 * 1024;    // all that waits for one stalled connection: lapped
  size_t outbox_bytes = 1024 * 1024;          // high water; one message may exceed it
  Duration write_stall = seconds(30);         // no progress at all while bytes wait: reset
  size_t mailbox_items = 4096;                // per lane and shard pair, a power of two
  size_t broadcast_inbox_items = 8192;        // publishes from other threads, per home shard
  size_t queued_bytes = 16 * 1024 * 1024;     // published and not yet in the logs: PublishStatus::full

  // What peers make us hold, all of it: the worst offender is closed; new connections: 503. 0: off.
  size_t memory_bytes = 0;

  // Admission
  size_t connections = 0;              // whole server: 503 + Retry-After; 0: off
  size_t connections_per_address = 0;  // 429; 0: off
  uint32_t connects_per_second = 0;    // 503 + Retry-After; 0: off

  // Kernel buffers per connection; 0 leaves the system's
  int send_buffer_bytes = 0;
  int notsent_lowat_bytes = 128 * 1024;

  // TCP's own ways to find a peer that is gone; 0 leaves the system's
  Duration tcp_user_timeout = seconds(30);  // bytes unacknowledged for so long
  Duration tcp_keepalive = seconds(60);     // idle for so long: probes
};

}  // namespace ringcast
