// What the command line of ringcast-load says. Values only; any thread.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace load {

// How a server is spoken to. `mixed`: streams take turns, one of rooms, one of channels.
enum class Protocol : uint8_t { raw, cable, mixed };

struct Settings {
  std::string mode;
  std::string url = "ws://127.0.0.1:8080/websocket/load";  // several: separated by commas
  std::string pipe;                                        // a command; empty: none
  Protocol protocol = Protocol::raw;
  bool json = false;
  bool quiet = false;
  bool spin = false;
  bool distinct_identifiers = false;

  uint64_t connections = 1000;
  uint64_t from = 0;  // idle: the smaller of the two sizes; 0 is a third of `connections`
  uint64_t streams = 1;
  uint64_t subs_per_conn = 1;
  uint64_t publishers = 1;  // of each stream
  double zipf = 0;          // exponent of the streams' popularity; 0 is all alike
  uint64_t stuck = 0;
  uint64_t churn = 0;  // connections a second

  uint64_t bytes = 128;
  uint64_t window = 1;
  uint64_t depth = 1;
  bool depth_given = false;
  double rate = 0;     // messages a second; 0 is the closed loop
  uint64_t burst = 0;  // messages at once
  uint64_t every_ms = 100;
  bool market_open = false;
  uint64_t messages = 0;  // stop after so many; 0 is by time alone

  double seconds = 5;
  double warmup = 1;
  double patience = 15;  // how long a message may be on its way before it counts as lost
  double interval = 5;   // of soak's lines
  double settle = 1;     // idle: between the last handshake and the reading of memory
  uint64_t rounds = 3;   // storm
  uint64_t seed = 1;
  std::vector<uint64_t> pids;  // of the server
};

// Exits with a sentence and status 2 if it cannot be understood.
Settings parse_settings(int argc, char** argv);

// Ends the program: status 2 is a mistake of the caller's, not a finding about the server.
[[noreturn]] void fail(const std::string& why);

}  // namespace load
