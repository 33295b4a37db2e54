// A link to the engine through which processes broadcast to each other: Redis or
// PostgreSQL, or, for tests, this process alone. What is published goes to the engine
// and comes back from it, so that all processes deliver a stream in one order, the
// engine's. Owned by the server.
//
// Threads: an adapter has one thread of its own, on which it calls the sink. All of
// Adapter may be called from any thread, and none of it ever waits. start() comes
// first and once; a sink may call back into its adapter.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "base/bytes.h"
#include "base/time.h"
#include "shard/message.h"

namespace ringcast {

// What metrics and readiness tell. Counts are since the start.
struct AdapterState {
  bool up = false;                // both ways: what is published now comes back
  uint64_t reconnects = 0;        // times that the engine came back after it had been up
  uint64_t gaps = 0;              // interruptions in which other processes' messages may have been missed
  uint64_t published = 0;         // acknowledged by the engine
  uint64_t publish_refused = 0;   // answered with an error (out of memory, no permission)
  uint64_t publish_lost = 0;      // sent, and the connection broke before the answer: never repeated
  uint64_t received = 0;          // handed to the sink
  uint64_t malformed = 0;         // envelopes of __anycable__ that are none
  uint64_t ignored_commands = 0;  // {"command": …} of __anycable__
  uint64_t queued_messages = 0;   // published here, not yet sent
  uint64_t queued_bytes = 0;
  uint64_t unacknowledged = 0;  // sent, not yet answered
  uint64_t streams = 0;         // subscribed or about to be
  uint64_t canary_us = 0;       // how long the last message to ourselves took, there and back
};

// The server. Called on the adapter's thread only.
class AdapterSink {
 public:
  virtual ~AdapterSink() = default;

  // The engine has acknowledged: what is published to `stream` from now on comes.
  // Again after every reconnect.
  virtual void subscribed(std::string_view stream) = 0;

  // Something was published. It is handed over as it came, JSON or not. `excluded_socket`:
  // who must not get it; mostly empty. False: no room now. The adapter keeps the message,
  // reads no further and offers it again a millisecond later.
  virtual bool received(std::string_view stream, Bytes payload, std::string_view excluded_socket) = 0;

  // Once for each change, the first being up. When it came up again: how long it was
  // away, during which messages may have been missed; zero for the first time, and for down.
  virtual void state_changed(bool up, milliseconds outage) = 0;

  // What received() would say of it: for engines on which a message that leaves a socket out
  // goes with its name. Any thread.
  virtual std::string socket_name(const SocketId&) const { return {}; }
};

class Adapter {
 public:
  Adapter() = default;
  Adapter(const Adapter&) = delete;
  Adapter& operator=(const Adapter&) = delete;
  // Stops and joins; what is queued and unsent is lost.
  virtual ~Adapter() = default;

  // Starts the thread, with all signals blocked. The sink outlives the adapter.
  virtual void start(AdapterSink& sink) = 0;

  // `full`: the bounded queue of unsent publishes is full. `too_large`: beyond what the
  // engine can carry. `ok` means queued: see publish_refused and publish_lost.
  virtual PublishStatus publish(MessageRef message) = 0;

  // Once per stream; more often does no harm. Answered by subscribed(), now or once the
  // engine is there.
  virtual void subscribe(std::string_view stream) = 0;
  virtual void unsubscribe(std::string_view stream) = 0;

  virtual AdapterState state() const = 0;
};

}  // namespace ringcast
