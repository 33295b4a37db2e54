// The logger's promises: lines arrive in order, nobody waits for a slow sink,
// what is lost is counted where it is missing, flush means written.
#include "base/log.h"

#include <gtest/gtest.h>
#include <signal.h>
#include <unistd.h>

#include <condition_variable>
#include <map>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

namespace ringcast {
namespace {

// A sink that collects, and that a test can hold shut.
class Gate {
 public:
  LogSink sink() {
    return [this](std::string_view line) {
      std::unique_lock lock(mutex_);
      ++entered_;
      changed_.notify_all();
      changed_.wait(lock, [&] { return open_; });
      // Without the time stamp.
      lines_.emplace_back(line.substr(line.find(' ') + 1));
    };
  }
  void set_open(bool open) {
    const std::lock_guard lock(mutex_);
    open_ = open;
    changed_.notify_all();
  }
  // Until the sink has been called that often.
  void wait_until_entered(size_t times) {
    std::unique_lock lock(mutex_);
    changed_.wait(lock, [&] { return entered_ >= times; });
  }
  std::vector<std::string> lines() {
    const std::lock_guard lock(mutex_);
    return lines_;
  }

 private:
  std::mutex mutex_;
  std::condition_variable changed_;
  bool open_ = true;
  size_t entered_ = 0;
  std::vector<std::string> lines_;
};

constexpr std::chrono::milliseconds kGenerous = std::chrono::minutes(2);

TEST(Logger, FlushedLinesAreWritten) {
  Gate gate;
  Logger logger({.sink = gate.sink(), .unix_ms = [] { return int64_t{0}; }});
  EXPECT_TRUE(logger.flush(kGenerous)) << "nothing to wait for";
  for (int64_t i = 0; i < 100; ++i) {
    logger.log(LogLevel::info, "counted", {{"i", i}});
    if (i % 10 == 9) {
      ASSERT_TRUE(logger.flush(kGenerous));
      ASSERT_EQ(gate.lines().size(), static_cast<size_t>(i + 1));
    }
  }
  EXPECT_EQ(gate.lines().back(), "level=info event=counted i=99");
  EXPECT_EQ(logger.dropped(), 0u);
}

TEST(Logger, ItsEndWritesWhatItHolds) {
  Gate gate;
  {
    Logger logger({.sink = gate.sink()});
    for (int64_t i = 0; i < 500; ++i) logger.log(LogLevel::warn, "held", {{"i", i}});
  }
  const auto lines = gate.lines();
  ASSERT_EQ(lines.size(), 500u);
  for (size_t i = 0; i < lines.size(); ++i)
    ASSERT_EQ(lines[i], "level=warn event=held i=" + std::to_string(i));
}

TEST(Logger, LevelsBelowAreNotLogged) {
  Gate gate;
  Logger logger({.level = LogLevel::warn, .sink = gate.sink()});
  logger.log(LogLevel::info, "quiet");
  logger.log(LogLevel::error, "loud");
  logger.set_level(LogLevel::debug);
  EXPECT_TRUE(logger.enabled(LogLevel::debug));
  logger.log(LogLevel::debug, "now");
  ASSERT_TRUE(logger.flush(kGenerous));
  EXPECT_EQ(gate.lines(), (std::vector<std::string>{"level=error event=loud", "level=debug event=now"}));
}

TEST(Logger, WithoutASinkNothingHappens) {
  Logger logger(LogOptions{});
  EXPECT_FALSE(logger.enabled(LogLevel::error));
  logger.log(LogLevel::error, "unheard");
  EXPECT_TRUE(logger.flush());
  EXPECT_EQ(logger.dropped(), 0u);
}

// The sink is shut with line 0 in its hands; the ring takes its capacity of 8
// in all, since a line keeps its place until the sink returns.
TEST(Logger, BlockedSinkLosesLinesAndSaysWhereAndHowMany) {
  Gate gate;
  gate.set_open(false);
  Logger logger({.sink = gate.sink(), .lines_max = 8});
  const auto log_range = [&](int64_t from, int64_t to) {
    for (int64_t i = from; i < to; ++i) logger.log(LogLevel::info, "line", {{"i", i}});
  };
  log_range(0, 1);
  gate.wait_until_entered(1);
  log_range(1, 108);  // returns although nobody writes
  EXPECT_EQ(logger.dropped(), 100u);
  EXPECT_FALSE(logger.flush(std::chrono::milliseconds(1)));
  gate.set_open(true);
  ASSERT_TRUE(logger.flush(kGenerous));
  log_range(200, 202);
  ASSERT_TRUE(logger.flush(kGenerous));

  std::vector<std::string> expected;
  for (int i = 0; i < 8; ++i) expected.push_back("level=info event=line i=" + std::to_string(i));
  expected.push_back("level=warn event=log_lines_dropped lines=100");
  for (int i = 200; i < 202; ++i) expected.push_back("level=info event=line i=" + std::to_string(i));
  EXPECT_EQ(gate.lines(), expected);
}

// Without a line after them, too: the report must not wait for the next event.
TEST(Logger, LossesAreReportedThoughNothingFollows) {
  Gate gate;
  gate.set_open(false);
  Logger logger({.sink = gate.sink(), .lines_max = 2});
  for (int i = 0; i < 5; ++i) logger.log(LogLevel::info, "line");
  gate.set_open(true);
  gate.wait_until_entered(3);
  while (gate.lines().size() < 3) std::this_thread::yield();
  EXPECT_EQ(gate.lines().back(), "level=warn event=log_lines_dropped lines=3");
}

TEST(Logger, ManyThreadsLoseNothingUncounted) {
  constexpr int kThreads = 4;
  constexpr int64_t kLines = 3000;
  Gate gate;
  uint64_t dropped = 0;
  {
    Logger logger({.sink = gate.sink(), .lines_max = 64});
    std::vector<std::thread> threads;
    for (int64_t thread = 0; thread < kThreads; ++thread) {
      threads.emplace_back([&logger, thread] {
        for (int64_t i = 0; i < kLines; ++i) logger.log(LogLevel::info, "x", {{"t", thread}, {"i", i}});
      });
    }
    for (std::thread& thread : threads) thread.join();
    dropped = logger.dropped();
  }
  uint64_t reported = 0;
  size_t written = 0;
  std::map<long, long> last;
  for (const std::string& line : gate.lines()) {
    long thread = 0, i = 0, lost = 0;
    if (sscanf(line.c_str(), "level=info event=x t=%ld i=%ld", &thread, &i) == 2) {
      ASSERT_TRUE(!last.contains(thread) || last[thread] < i) << "one thread's lines stay in order";
      last[thread] = i;
      ++written;
    } else {
      ASSERT_EQ(sscanf(line.c_str(), "level=warn event=log_lines_dropped lines=%ld", &lost), 1) << line;
      reported += static_cast<uint64_t>(lost);
    }
  }
  EXPECT_EQ(reported, dropped);
  EXPECT_EQ(written + reported, static_cast<size_t>(kThreads * kLines));
}

TEST(Logger, ThrowingSinkCostsItsLine) {
  std::vector<std::string> lines;
  Logger logger({.sink = [&](std::string_view line) {
    if (line.find("bad") != std::string_view::npos) throw 1;
    lines.emplace_back(line);
  }});
  logger.log(LogLevel::info, "bad");
  logger.log(LogLevel::info, "good");
  ASSERT_TRUE(logger.flush(kGenerous));
  EXPECT_EQ(lines.size(), 1u);
  EXPECT_EQ(logger.dropped(), 1u);
}

// The host's signals are not this thread's to handle.
TEST(Logger, ThreadIsAGuest) {
  bool hook_ran_first = false;
  bool everything_blocked = false;
  sigset_t before, after;
  pthread_sigmask(SIG_SETMASK, nullptr, &before);
  {
    Logger logger({.sink =
                       [&](std::string_view) {
                         sigset_t mask;
                         pthread_sigmask(SIG_SETMASK, nullptr, &mask);
                         everything_blocked =
                             hook_ran_first && sigismember(&mask, SIGTERM) && sigismember(&mask, SIGHUP);
                       },
                   .thread_started = [&] { hook_ran_first = true; }});
    logger.log(LogLevel::info, "x");
  }
  EXPECT_TRUE(everything_blocked);
  pthread_sigmask(SIG_SETMASK, nullptr, &after);
  EXPECT_EQ(sigismember(&before, SIGTERM), sigismember(&after, SIGTERM));
}

TEST(LogToStderr, OneLine) {
  testing::internal::CaptureStderr();
  log_to_stderr("a line");
  log_to_stderr("");
  EXPECT_EQ(testing::internal::GetCapturedStderr(), "a line\n\n");
}

TEST(LogBudget, HoldsBackPerEventAndTellsLater) {
  Gate gate;
  Logger logger({.sink = gate.sink()});
  LogBudget budget(logger, 2);
  const Instant start{seconds(7)};
  for (int i = 0; i < 10; ++i) budget.log(start + milliseconds(i), LogLevel::warn, "noisy");
  budget.log(start, LogLevel::info, "other");
  budget.report(start + milliseconds(999));  // the second is not over
  budget.report(start + seconds(1));
  budget.report(start + seconds(2));  // told once
  budget.log(start + seconds(3), LogLevel::info, "noisy");
  for (int i = 0; i < 3; ++i) budget.log(start + seconds(3), LogLevel::info, "noisy");
  budget.log(start + seconds(4), LogLevel::error, "noisy");
  ASSERT_TRUE(logger.flush(kGenerous));
  EXPECT_EQ(gate.lines(),
            (std::vector<std::string>{"level=warn event=noisy", "level=warn event=noisy",
                                      "level=info event=other", "level=warn event=noisy more=8",
                                      "level=info event=noisy", "level=info event=noisy",
                                      "level=info event=noisy more=2", "level=error event=noisy"}));
}

}  // namespace
}  // namespace ringcast
