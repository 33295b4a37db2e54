// Publishes straight into the engine, Redis or PostgreSQL, for programs that produce
// messages and serve nobody: what Rails' ActionCable.server.broadcast is to a process
// without connections. Reaches the clients of every server, Ringcast's or Rails', that
// shares the engine and the prefix.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>

#include "ringcast/broadcast.h"
#include "ringcast/options.h"

namespace ringcast {

// Any thread; one that publishes keeps its order. It connects, and connects again, by
// itself; meanwhile messages wait, up to a bound.
class EnginePublisher {
 public:
  // Of the options, those that say which engine, where, and under which names: adapter,
  // redis_url, postgres_url, cable_yml, environment, channel_prefix, unprefixed_streams.
  explicit EnginePublisher(const Options& options);
  // What has not been sent is given a moment, and then lost: see progress().
  ~EnginePublisher();
  EnginePublisher(const EnginePublisher&) = delete;
  EnginePublisher& operator=(const EnginePublisher&) = delete;

  // Why it will never publish anything, in a sentence; empty if it can.
  const std::string& error() const { return error_; }

  // Queued. `full`: too much waits; `invalid`: it is not JSON; `too_large`: beyond what the
  // engine carries. `stopped` if there is an error().
  [[nodiscard]] BroadcastStatus publish(std::string_view stream, std::string_view json);

  // What became of what was queued; what is in none of the last three still waits.
  struct Progress {
    bool connected = false;
    uint64_t queued = 0;
    uint64_t accepted = 0;  // the engine has said so
    uint64_t refused = 0;   // it has answered with an error
    uint64_t lost = 0;      // sent, and the connection broke before the answer: never repeated

    uint64_t waiting() const { return queued - accepted - refused - lost; }
  };
  Progress progress() const;

 private:
  struct Core;
  std::unique_ptr<Core> core_;
  std::string error_;
};

}  // namespace ringcast
