// What AnyCable's clients publish on the channel __anycable__: streams and payloads in an
// envelope, one or several, or a command. Pure functions; any thread.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace ringcast {

inline constexpr std::string_view kAnycableChannel = "__anycable__";

struct AnycableBroadcast {
  std::string stream;
  std::string payload;          // JSON: data that is not JSON has become a JSON string
  std::string excluded_socket;  // meta.exclude_socket
};

struct AnycableEnvelope {
  std::vector<AnycableBroadcast> broadcasts;  // in their order
  uint64_t commands = 0;                      // of those nobody knows: {"command": …}
  uint64_t malformed = 0;                     // what is neither
};

// A command to disconnect is a broadcast to an internal channel.
AnycableEnvelope read_anycable_envelope(std::string_view text);
void append_anycable_envelope(std::string& out, const AnycableBroadcast& broadcast);

}  // namespace ringcast
