// One line of the log, built in place in logfmt or JSON. Its owner is the call
// that logs; it allocates nothing. Any thread.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string_view>

#include "ringcast/log.h"

namespace ringcast {

inline constexpr size_t kLogLineBytesMax = 1008;  // with its bookkeeping, 1 KiB in the logger's ring
inline constexpr size_t kLogValueBytesMax = 512;  // escaped; a longer one is cut and ends in "…"

std::string_view log_level_name(LogLevel level);

// A field that finds no room is left out, and the line then says truncated=true.
// Whatever the values hold, a line is one line, parses as its format says, and
// shows a terminal nothing but printable text in writing order.
class LogLine {
 public:
  LogLine(LogFormat format, int64_t unix_ms, LogLevel level, std::string_view event);

  void add(const LogField& field);

  // Closes the line; call once, last.
  std::string_view finish();

 private:
  // Kept free for what finish() may have to add.
  static constexpr size_t kReservedBytes = 24;
  static constexpr size_t kEnd = kLogLineBytesMax - kReservedBytes;

  bool append(std::string_view text);
  bool append_key(std::string_view key);
  bool append_value(const LogField& field);
  bool append_text(std::string_view text);
  bool append_double(double number);
  void append_escaped(std::string_view text, size_t end);

  const LogFormat format_;
  bool truncated_ = false;
  size_t size_ = 0;
  char text_[kLogLineBytesMax];
};

}  // namespace ringcast
