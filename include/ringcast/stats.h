// What a server counts, added up over its shards at the moment of asking. Plain
// values. Counters only grow; gauges say so. Server::metrics_text() has the same and
// more, by shard and reason, for Prometheus.
#pragma once

#include <cstdint>
#include <string>

namespace ringcast {

struct Stats {
  uint64_t shards = 0;          // gauge
  std::string backend;          // "io_uring" or "epoll"
  uint64_t connections = 0;     // gauge: open, plain HTTP included
  uint64_t websockets = 0;      // gauge: raw WebSockets
  uint64_t cable_sessions = 0;  // gauge: Action Cable connections
  uint64_t streams = 0;         // gauge: streams with subscribers, counted on each shard
  uint64_t subscriptions = 0;   // gauge

  uint64_t accepted = 0;           // connections
  uint64_t upgrades = 0;           // handshakes answered with 101
  uint64_t refused = 0;            // requests answered with 4xx or 5xx
  uint64_t http_requests = 0;      //
  uint64_t messages_received = 0;  // whole WebSocket messages
  uint64_t received_bytes = 0;     //
  uint64_t sent_bytes = 0;         //

  uint64_t publishes = 0;        // messages taken by their stream
  uint64_t deliveries = 0;       // of a message to a subscriber
  uint64_t dropped = 0;          // for whatever reason; by reason in the metrics
  uint64_t closed_too_slow = 0;  // subscribers that could not keep up
  uint64_t commands = 0;         // Action Cable commands
  uint64_t callback_errors = 0;  // exceptions out of the embedder's callbacks
  uint64_t log_lines_lost = 0;   // the log's sink was too slow
};

}  // namespace ringcast
