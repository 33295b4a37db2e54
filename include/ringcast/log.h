// What a log line is made of, for those who read lines (Options::log_sink) and
// those who write them (Connection::log, Server::log). Plain values; any thread.
#pragma once

#include <cstdint>
#include <functional>
#include <string_view>
#include <variant>

namespace ringcast {

enum class LogLevel : uint8_t { debug, info, warn, error };

enum class LogFormat : uint8_t { logfmt, json };

// A named value of a line. Strings are escaped when the line is made, so bytes a
// peer chose cannot forge a line or a field.
struct LogField {
  std::string_view key;
  std::variant<std::string_view, int64_t, uint64_t, double, bool> value;
};

// Gets one finished line, without the line feed, on the log's own thread: it may
// block without stopping a shard. Lines that do not fit the ring meanwhile are
// counted and reported by a later line.
using LogSink = std::function<void(std::string_view line)>;

}  // namespace ringcast
