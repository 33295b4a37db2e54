// The log: events with fields, one line each, in logfmt or JSON. Any thread may
// log and none ever waits for it: a line goes into a bounded ring, a thread of
// the logger's own hands it to the sink. Lines that find the ring full are lost,
// but counted, and the count is logged in their place. Owned by the server.
//
// Values may come from a peer, so nothing in them can end a line, start a field,
// move a terminal's cursor or reverse its writing direction. The sink is called
// on the logger's thread only, one line at a time; it may block, and it may throw
// (that line is then counted lost).
#pragma once

#include <atomic>
#include <chrono>
#include <condition_variable>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <initializer_list>
#include <memory>
#include <mutex>
#include <string_view>
#include <thread>
#include <vector>

#include "base/time.h"
#include "ringcast/log.h"  // LogLevel, LogFormat, LogField, LogSink: plain values

namespace ringcast {

// Writes the line and a newline to descriptor 2 in one system call.
void log_to_stderr(std::string_view line);

struct LogOptions {
  LogLevel level = LogLevel::info;
  LogFormat format = LogFormat::logfmt;
  LogSink sink = {};                          // empty: nothing is logged, no thread runs
  size_t lines_max = 1024;                    // held at most, rounded up to a power of two; 1 KiB each
  std::function<int64_t()> unix_ms = {};      // the lines' time stamps; empty: the system's clock
  std::function<void()> thread_started = {};  // called first on the logger's thread
};

// The gaps keep what producers write off the lines the writer reads.
class Logger {  // NOLINT(clang-analyzer-optin.performance.Padding)
 public:
  explicit Logger(LogOptions options);
  Logger(const Logger&) = delete;
  Logger& operator=(const Logger&) = delete;
  // Hands what is held to the sink first; waits for a sink that blocks.
  ~Logger();

  bool enabled(LogLevel level) const { return running_ && level >= level_.load(std::memory_order_relaxed); }
  void set_level(LogLevel level) { level_.store(level, std::memory_order_relaxed); }

  // Never blocks and never allocates. `event` is a literal: what happened, in snake_case.
  void log(LogLevel level, std::string_view event, std::initializer_list<LogField> fields = {});

  // Waits until the sink has returned from every line logged before. False if
  // that took longer than `at_most`. Not from the sink itself.
  bool flush(std::chrono::milliseconds at_most = std::chrono::seconds(5));

  // Lines lost since the start: full ring, or a sink that threw.
  uint64_t dropped() const { return dropped_.load(std::memory_order_relaxed); }

 private:
  struct Slot;

  bool push(std::string_view line);
  void signal_writer();
  void run();
  bool write_next();
  void write_dropped(uint64_t count);
  void to_sink(std::string_view line);
  int64_t unix_ms() const;

  const LogFormat format_;
  const LogSink sink_;
  const std::function<int64_t()> unix_ms_;
  const std::function<void()> thread_started_;
  const bool running_;  // whether there is a sink
  const uint64_t mask_;
  const std::unique_ptr<Slot[]> slots_;

  std::atomic<LogLevel> level_;
  std::atomic<uint64_t> dropped_ = 0;

  // Any number of producers, one consumer. A slot's sequence number says whose
  // turn it is (see Slot); claimed_ only hands out positions.
  alignas(64) std::atomic<uint64_t> claimed_ = 0;  // producers
  std::atomic<uint64_t> dropped_unreported_ = 0;   // producers add, whoever reports takes
  alignas(64) std::atomic<uint32_t> signal_ = 0;   // counts pushes: what the sleeping writer waits on
  std::atomic<bool> stopping_ = false;             // the destructor

  uint64_t written_ = 0;  // writer thread only: positions handed to the sink
  std::mutex flush_mutex_;
  std::condition_variable flushed_;
  uint64_t written_announced_ = 0;  // guarded by flush_mutex_
  std::thread writer_;              // last: it uses all of the above
};

// At most so many lines a second for each event; the rest is counted and told
// once the second is over ("more=K"). For what peers can cause at will. Owned by
// one shard, used on its thread only.
class LogBudget {
 public:
  explicit LogBudget(Logger& logger, uint32_t lines_per_second = 10)
      : logger_(logger), lines_per_second_(lines_per_second) {}

  // `event` must outlive the budget (a literal).
  void log(Instant now, LogLevel level, std::string_view event, std::initializer_list<LogField> fields = {});

  // Tells what was held back in seconds that are over; call it about once a second.
  void report(Instant now);

 private:
  struct Event {
    std::string_view name;
    Instant second_began;
    uint32_t logged = 0;
    uint64_t held_back = 0;
    LogLevel held_back_level = LogLevel::debug;  // the gravest of them
  };

  void tell_held_back(Event& event);

  Logger& logger_;
  const uint32_t lines_per_second_;
  std::vector<Event> events_;  // as many as there are literals in the program: a walk is cheap
};

}  // namespace ringcast
