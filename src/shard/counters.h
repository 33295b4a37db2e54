// What a shard counts. Written by its shard alone, with relaxed stores; read by
// anyone. Gauges may be read mid-change, never torn.
#pragma once

#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>

namespace ringcast {

// One writer: a plain load and store is enough, and costs no locked instruction.
class Counter {
 public:
  void add(uint64_t amount = 1) { set(value() + amount); }
  void subtract(uint64_t amount = 1) { set(value() - amount); }
  void set(uint64_t value) { value_.store(value, std::memory_order_relaxed); }
  uint64_t value() const { return value_.load(std::memory_order_relaxed); }

 private:
  std::atomic<uint64_t> value_{0};
};

// Why a connection ended: each terminated connection is counted under exactly one.
enum class EndReason : uint8_t {
  peer_closed,        // closing handshake begun by the peer, or FIN on plain HTTP
  peer_vanished,      // FIN or reset without a Close frame
  closed_by_handler,  // the application said so
  finished,           // plain HTTP, answered with Connection: close
  bad_request,        // HTTP the parser or the routes refused
  tls_failed,         // no handshake, or a broken record
  proxy_header,       // a trusted proxy sent no PROXY header, or a broken one
  protocol_error,     // 1002
  invalid_data,       // 1003, 1007
  too_big,            // 1009
  policy,             // 1008: budgets and limits
  unauthorized,
  remote,       // somebody disconnected whoever it is, perhaps from another process
  too_slow,     // lapped on a stream, or too much waits for it: 1013
  memory,       // the worst offender when the memory ceiling was reached: 1013
  write_stall,  // nothing could be written before the stall deadline: reset
  handshake_timeout,
  idle_timeout,  // keep-alive HTTP
  pong_timeout,
  drain,  // server restart
  io_error,
  unanswered,      // the application that is asked does not answer: 1013
  internal_error,  // an embedder's exception, or the application's: 1011
  kCount,
};

inline constexpr size_t kEndReasons = static_cast<size_t>(EndReason::kCount);
const char* to_string(EndReason reason);

// Why a broadcast or a message did not reach somebody who might have expected it.
enum class DropReason : uint8_t {
  mailbox_full,      // publish refused: PublishStatus::full
  too_large,         // publish refused: PublishStatus::too_large
  invalid,           // publish refused: PublishStatus::invalid
  binary_on_cable,   // Action Cable carries JSON only
  not_json,          // likewise, of text that came from other processes
  lapped,            // frames in the logs for a connection that was closed as too slow
  oldest,            // frames a lapped cursor lost: LapPolicy::drop_oldest
  superseded,        // frames a stalled cursor lost to newer ones: LapPolicy::latest
  evicted,           // frames in the logs for a connection that was closed to get its memory back
  connection_ended,  // frames in the outbox of a connection that ended
  command_ignored,   // a client command that meant nothing
  kCount,
};

inline constexpr size_t kDropReasons = static_cast<size_t>(DropReason::kCount);
const char* to_string(DropReason reason);

struct Counters {
  // Connections
  Counter accepted;
  Counter accept_errors;
  Counter accept_pauses;  // accepting paused for want of descriptors
  Counter handed_over;    // accepted here, served by another shard
  Counter connections;    // gauge
  Counter websockets;     // gauge: upgraded, raw
  Counter sessions;       // gauge: upgraded, Action Cable
  Counter upgrades;
  Counter refused;  // handshakes and requests answered with 4xx or 5xx
  Counter http_requests;
  Counter tls_connections;  // gauge: whose handshake is done
  Counter tls_handshakes;
  Counter tls_resumptions;  // of those: by ticket
  Counter tls_failures;
  Counter tls_deferrals;  // handshakes that had to wait for a turn
  std::array<Counter, kEndReasons> ended;
  Counter close_timeouts;  // of those ended: the peer never finished the closing handshake

  // Bytes and frames
  Counter received_bytes;
  Counter sent_bytes;
  Counter messages_received;  // whole WebSocket messages
  Counter sends;              // send submissions
  Counter short_sends;
  Counter stalls;  // times a connection began to wait for writability

  // Publish and subscribe
  Counter publishes;     // taken by their home shard
  Counter deliveries;    // messages appended × subscribers of the log
  Counter encodings;     // frames encoded, once per identifier
  Counter compressions;  // of those and of single messages: compressed
  Counter compressed_in_bytes;
  Counter compressed_out_bytes;
  Counter streams;        // gauge: streams with subscribers on this shard
  Counter subscriptions;  // gauge
  Counter log_bytes;      // gauge: frame log chunks held
  Counter outbox_bytes;   // gauge: bytes waiting in outboxes
  Counter input_bytes;    // gauge: unfinished messages, requests and unread input
  Counter held_lanes;     // times deliveries were held back because a log had no room
  std::array<Counter, kDropReasons> dropped;

  // Action Cable
  Counter commands;
  Counter confirms;
  Counter rejects;
  Counter pings;
  Counter remote_disconnects;  // asked for, of streams whose home this is
  Counter pings_late;          // more than one second after they were due

  // The embedder
  Counter callback_exceptions;

  // The reactor
  Counter turns;
  Counter sleeps;
  Counter operations_in_flight;  // gauge, from the backend
  Counter buffers_lent;          // gauge, from the backend
  Counter queue_overflows;       // from the backend

  Counter& ended_by(EndReason reason) { return ended[static_cast<size_t>(reason)]; }
  Counter& dropped_for(DropReason reason) { return dropped[static_cast<size_t>(reason)]; }
};

}  // namespace ringcast
