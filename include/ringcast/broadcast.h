// What became of a broadcast. Plain values, usable from any thread.
#pragma once

namespace ringcast {

// The answer to every broadcast. A broadcast never blocks and is never lost in
// silence: either it is `ok`, and every subscriber that was live when its stream's
// home shard numbered it gets it, or the caller holds the reason why not.
enum class BroadcastStatus {
  ok,         // accepted; delivered in the stream's one order
  full,       // the server cannot keep up: the inbox has no room; try again later
  too_large,  // larger than max_message_bytes, or a stream name beyond its limit
  invalid,    // text that is not UTF-8, or JSON that is not JSON
  stopped,    // the server is not running
};

// "ok", "full", …: for logs and answers.
constexpr const char* to_string(BroadcastStatus status) {
  switch (status) {
    case BroadcastStatus::ok: return "ok";
    case BroadcastStatus::full: return "full";
    case BroadcastStatus::too_large: return "too_large";
    case BroadcastStatus::invalid: return "invalid";
    case BroadcastStatus::stopped: return "stopped";
  }
  return "unknown";
}

}  // namespace ringcast
