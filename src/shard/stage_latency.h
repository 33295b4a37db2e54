// How long messages take from stage to stage of their way through a shard, if that is
// asked for (ServerContext::stage_clock). Written by the shard alone, read by anyone;
// /metrics adds the shards up. A reading of the clock costs some 20 ns, so there is one for
// each stage of a message, and none for each subscriber.
//
//   receive ──publish──▶ published ──home──▶ numbered ──fan_out──▶ in the logs ──submit──▶
//
//   publish   from the turn that received it to the publish; of what clients publish alone
//   home      until the home shard has numbered it: inbox, ring or mailbox, and its sleep.
//             What came from other processes counts from when it was received
//   fan_out   until a listening shard has it in its logs: mailbox, and its sleep; once for
//             each such shard
//   submit    until a log's last subscriber who could take it has it in a send that goes to
//             the kernel next; once for each log. Where messages wait for company
//             (Limits::coalescing), with the pass, even if something else took them along
#pragma once

#include <array>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <unordered_map>
#include <vector>

#include "base/time.h"
#include "shard/counters.h"
#include "shard/message.h"

namespace ringcast {

enum class Stage : uint8_t { publish, home, fan_out, submit, kCount };
inline constexpr size_t kStages = static_cast<size_t>(Stage::kCount);

// Four buckets to each power of two of nanoseconds, from 64 ns to 8.6 s, so what is read
// from it is within a quarter; below the least power they are 64 ns wide, and one takes
// what is longer. One writer.
class LatencyHistogram {
 public:
  static constexpr uint32_t kSubBits = 2;
  static constexpr uint32_t kUnitBits = 6;    // 64 ns
  static constexpr uint32_t kLastPower = 33;  // below 2^33 ns
  static constexpr size_t kBuckets =
      ((kLastPower - kUnitBits - kSubBits + 1) << kSubBits) + 1;  // the last: longer than all

  void add(uint64_t ns, uint64_t times = 1) {
    counts_[bucket_of(ns)].add(times);
    sum_ns_.add(ns * times);
  }

  static constexpr size_t bucket_of(uint64_t ns) {
    const uint64_t units = ns >> kUnitBits;
    const auto width = static_cast<uint32_t>(std::bit_width(units));
    if (width <= kSubBits) return static_cast<size_t>(units);
    const uint32_t shift = width - kSubBits - 1;
    const size_t bucket = (size_t{shift} << kSubBits) + static_cast<size_t>(units >> shift);
    return bucket < kBuckets ? bucket : kBuckets - 1;
  }
  // What is in the bucket is below this; the last has no end.
  static constexpr uint64_t end_ns(size_t bucket) {
    if (bucket < (1u << kSubBits)) return (uint64_t{bucket} + 1) << kUnitBits;
    const auto shift = static_cast<uint32_t>(bucket >> kSubBits) - 1;
    const uint64_t units = (bucket & ((1u << kSubBits) - 1)) + (1u << kSubBits) + 1;
    return units << (shift + kUnitBits);
  }

  uint64_t count(size_t bucket) const { return counts_[bucket].value(); }
  uint64_t sum_ns() const { return sum_ns_.value(); }

 private:
  std::array<Counter, kBuckets> counts_;
  Counter sum_ns_;
};
static_assert(LatencyHistogram::end_ns(LatencyHistogram::kBuckets - 2) ==
              uint64_t{1} << LatencyHistogram::kLastPower);

class StageLatency;
struct StreamLog;

// The messages of one log that the clock hand has not yet brought to everybody: each is
// done once the hand has made as many steps as were due when it was appended. Removals
// that compact the ring make it late by their number of steps; the end of a round makes
// good for that.
class UnfinishedRounds {
 public:
  void appended(uint64_t due, Instant fanned_out) {
    const uint64_t until = steps_ + due;
    // One more than this are taken to be as old as the newest.
    if (rounds_.size() - first_ >= kRoundsMax) {
      rounds_.back().until = until;
      ++rounds_.back().messages;
      return;
    }
    rounds_.push_back({until, fanned_out, 1});
  }

  void stepped(uint64_t steps, bool all_done, StageLatency& latency);

 private:
  static constexpr size_t kRoundsMax = 4096;

  struct Round {
    uint64_t until;  // in steps of the hand
    Instant fanned_out;
    uint32_t messages;
  };

  uint64_t steps_ = 0;
  size_t first_ = 0;
  std::vector<Round> rounds_;
};

class StageLatency {
 public:
  using Clock = Instant (*)();

  explicit StageLatency(Clock clock) : clock_(clock) {}

  Instant now() const { return clock_(); }

  // Before the message is anybody else's.
  void published(Message& message, Instant received) {
    const Instant now = clock_();
    add(Stage::publish, received, now);
    message.stamp(now);
  }
  // While the home is its only holder.
  void numbered(Message& message) {
    const Instant now = clock_();
    add(Stage::home, message.stamped(), now);
    message.stamp(now);
  }
  Instant fanned_out(const Message& message) {
    const Instant now = clock_();
    add(Stage::fan_out, message.stamped(), now);
    return now;
  }
  // A log's last subscriber is in the batch that goes to the kernel next.
  void gathered(Instant fanned_out, uint32_t messages) { gathered_.push_back({fanned_out, messages}); }

  // The rounds of each log that has had any.
  void appended(const StreamLog& log, uint64_t due, Instant fanned_out) {
    rounds_[&log].appended(due, fanned_out);
  }
  void stepped(const StreamLog& log, uint64_t steps, bool all_done) {
    if (const auto rounds = rounds_.find(&log); rounds != rounds_.end()) {
      rounds->second.stepped(steps, all_done, *this);
    }
  }
  void forget(const StreamLog& log) { rounds_.erase(&log); }

  // Right before it does.
  void submitting() {
    if (gathered_.empty()) return;
    const Instant now = clock_();
    for (const Gathered& gathered : gathered_) {
      add(Stage::submit, gathered.fanned_out, now, gathered.messages);
    }
    gathered_.clear();
  }

  const LatencyHistogram& of(Stage stage) const { return stages_[static_cast<size_t>(stage)]; }

 private:
  struct Gathered {
    Instant fanned_out;
    uint32_t messages;
  };

  // What was never stamped began before anybody measured.
  void add(Stage stage, Instant from, Instant to, uint64_t times = 1) {
    if (from == Instant{}) return;
    const Duration took = to > from ? to - from : Duration::zero();
    stages_[static_cast<size_t>(stage)].add(static_cast<uint64_t>(took.count()), times);
  }

  const Clock clock_;
  std::array<LatencyHistogram, kStages> stages_;
  std::vector<Gathered> gathered_;
  std::unordered_map<const StreamLog*, UnfinishedRounds> rounds_;
};

inline void UnfinishedRounds::stepped(uint64_t steps, bool all_done, StageLatency& latency) {
  steps_ += steps;
  for (; first_ < rounds_.size(); ++first_) {
    const Round& round = rounds_[first_];
    if (!all_done && round.until > steps_) break;
    latency.gathered(round.fanned_out, round.messages);
  }
  if (first_ == rounds_.size()) {
    rounds_.clear();
    first_ = 0;
  } else if (first_ >= kRoundsMax) {
    rounds_.erase(rounds_.begin(), rounds_.begin() + static_cast<std::ptrdiff_t>(first_));
    first_ = 0;
  }
}

}  // namespace ringcast
