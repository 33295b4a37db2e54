// The logger's ring, its thread, and the budget for noisy events.
#include "base/log.h"

#include <poll.h>
#include <pthread.h>
#include <sys/uio.h>
#include <unistd.h>

#include <algorithm>
#include <bit>
#include <cerrno>
#include <cstring>

#include "base/assert.h"
#include "base/log_line.h"
#include "base/signals_blocked.h"

namespace ringcast {

// A bounded queue of many producers and one consumer, after Vyukov. `sequence`
// says whose turn the slot is: equal to a position, the producer that claims
// that position may fill it; one more, the writer may take it. The writer frees
// it for the position one round later.
struct Logger::Slot {
  std::atomic<uint64_t> sequence;
  uint32_t dropped_before;  // lines lost between the line before this one and this one
  uint32_t bytes;
  char text[kLogLineBytesMax];
};

void log_to_stderr(std::string_view line) {
  iovec parts[] = {{const_cast<char*>(line.data()), line.size()}, {const_cast<char*>("\n"), 1}};
  size_t first = 0;
  while (first < std::size(parts)) {
    const ssize_t written = writev(STDERR_FILENO, parts + first, static_cast<int>(std::size(parts) - first));
    if (written < 0) {
      if (errno == EINTR) continue;
      if (errno != EAGAIN) return;  // nobody is left to tell
      // Somebody who shares the terminal or pipe made it non-blocking.
      pollfd writable = {STDERR_FILENO, POLLOUT, 0};
      poll(&writable, 1, -1);
      continue;
    }
    auto left = static_cast<size_t>(written);
    while (first < std::size(parts) && left >= parts[first].iov_len) left -= parts[first++].iov_len;
    if (first < std::size(parts)) {
      parts[first].iov_base = static_cast<char*>(parts[first].iov_base) + left;
      parts[first].iov_len -= left;
    }
  }
}

Logger::Logger(LogOptions options)
    : format_(options.format),
      sink_(std::move(options.sink)),
      unix_ms_(std::move(options.unix_ms)),
      thread_started_(std::move(options.thread_started)),
      running_(sink_ != nullptr),
      mask_(std::bit_ceil(std::max<size_t>(options.lines_max, 2)) - 1),
      slots_(running_ ? std::make_unique_for_overwrite<Slot[]>(mask_ + 1) : nullptr),
      level_(options.level) {
  if (!running_) return;
  for (uint64_t i = 0; i <= mask_; ++i) slots_[i].sequence.store(i, std::memory_order_relaxed);
  const SignalsBlocked blocked;
  writer_ = std::thread([this] { run(); });
}

Logger::~Logger() {
  if (!running_) return;
  stopping_.store(true, std::memory_order_release);  // pairs with the acquire in run()
  signal_writer();
  writer_.join();
}

void Logger::log(LogLevel level, std::string_view event, std::initializer_list<LogField> fields) {
  if (!enabled(level)) return;
  LogLine line(format_, unix_ms(), level, event);
  for (const LogField& field : fields) line.add(field);
  if (!push(line.finish())) {
    dropped_.fetch_add(1, std::memory_order_relaxed);
    dropped_unreported_.fetch_add(1, std::memory_order_relaxed);
  }
  // Also after a loss: the writer may have emptied the ring and gone to sleep
  // between this thread's finding it full and its counting that.
  signal_writer();
}

bool Logger::push(std::string_view line) {
  uint64_t position = claimed_.load(std::memory_order_relaxed);
  Slot* slot = nullptr;
  for (;;) {
    slot = &slots_[position & mask_];
    const uint64_t sequence =
        slot->sequence.load(std::memory_order_acquire);  // pairs with write_next()'s release
    if (sequence == position) {
      if (claimed_.compare_exchange_weak(position, position + 1, std::memory_order_relaxed)) break;
    } else if (sequence < position) {
      return false;  // still holds the line of the round before
    } else {
      position = claimed_.load(std::memory_order_relaxed);
    }
  }
  // The first line to get in after a loss carries the count, so that the report
  // stands where the lines are missing.
  uint64_t dropped = dropped_unreported_.load(std::memory_order_relaxed);
  if (dropped != 0) dropped = dropped_unreported_.exchange(0, std::memory_order_relaxed);
  slot->dropped_before = static_cast<uint32_t>(std::min<uint64_t>(dropped, UINT32_MAX));
  slot->bytes = static_cast<uint32_t>(line.size());
  std::memcpy(slot->text, line.data(), line.size());
  slot->sequence.store(position + 1, std::memory_order_release);  // pairs with write_next()'s acquire
  return true;
}

// A counter to wait on, not a flag: run() reads it before it looks at the ring,
// so a push after that look changes it and the wait returns at once. All
// accesses are seq_cst, because notify_one() first asks whether anybody waits.
void Logger::signal_writer() {
  signal_.fetch_add(1);
  signal_.notify_one();
}

bool Logger::flush(std::chrono::milliseconds at_most) {
  if (!running_) return true;
  RC_ASSERT(std::this_thread::get_id() != writer_.get_id());
  const uint64_t target = claimed_.load(std::memory_order_acquire);
  std::unique_lock lock(flush_mutex_);
  return flushed_.wait_for(lock, at_most, [&] { return written_announced_ >= target; });
}

void Logger::run() {
  pthread_setname_np(pthread_self(), "ringcast-log");
  if (thread_started_) thread_started_();
  for (;;) {
    const uint32_t seen = signal_.load();
    const bool stopping = stopping_.load(std::memory_order_acquire);  // pairs with the destructor's release
    while (write_next()) {
    }
    if (stopping) return;
    signal_.wait(seen);
  }
}

// One line, or the report of a loss nothing has been logged after. False if
// there is neither.
bool Logger::write_next() {
  Slot& slot = slots_[written_ & mask_];
  if (slot.sequence.load(std::memory_order_acquire) != written_ + 1) {  // pairs with push()'s release
    const uint64_t dropped = dropped_unreported_.exchange(0, std::memory_order_relaxed);
    if (dropped != 0) write_dropped(dropped);
    return dropped != 0;
  }
  if (slot.dropped_before != 0) write_dropped(slot.dropped_before);
  to_sink({slot.text, slot.bytes});  // from its slot: the sink sees no copy
  slot.sequence.store(written_ + mask_ + 1, std::memory_order_release);  // pairs with push()'s acquire
  ++written_;
  {
    const std::lock_guard lock(flush_mutex_);
    written_announced_ = written_;
  }
  flushed_.notify_all();
  return true;
}

void Logger::write_dropped(uint64_t count) {
  LogLine line(format_, unix_ms(), LogLevel::warn, "log_lines_dropped");
  line.add({"lines", count});
  to_sink(line.finish());
}

// A sink's exception costs its own line. It is not reported as dropped lines
// are: the report would take the same way.
void Logger::to_sink(std::string_view line) {
  try {
    sink_(line);
  } catch (...) {
    dropped_.fetch_add(1, std::memory_order_relaxed);
  }
}

int64_t Logger::unix_ms() const {
  if (unix_ms_) return unix_ms_();
  const auto now = std::chrono::system_clock::now().time_since_epoch();
  return std::chrono::duration_cast<std::chrono::milliseconds>(now).count();
}

void LogBudget::log(Instant now, LogLevel level, std::string_view event,
                    std::initializer_list<LogField> fields) {
  if (!logger_.enabled(level)) return;
  auto entry =
      std::find_if(events_.begin(), events_.end(), [&](const Event& other) { return other.name == event; });
  if (entry == events_.end()) entry = events_.insert(entry, {.name = event, .second_began = now});
  if (now - entry->second_began >= seconds(1)) {
    tell_held_back(*entry);
    entry->second_began = now;
    entry->logged = 0;
  }
  if (entry->logged < lines_per_second_) {
    ++entry->logged;
    logger_.log(level, event, fields);
  } else {
    entry->held_back_level = std::max(entry->held_back_level, level);
    ++entry->held_back;
  }
}

void LogBudget::report(Instant now) {
  for (Event& event : events_) {
    if (now - event.second_began >= seconds(1)) tell_held_back(event);
  }
}

void LogBudget::tell_held_back(Event& event) {
  if (event.held_back == 0) return;
  logger_.log(event.held_back_level, event.name, {{"more", event.held_back}});
  event.held_back = 0;
  event.held_back_level = LogLevel::debug;
}

}  // namespace ringcast
