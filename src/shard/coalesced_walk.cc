#include "shard/coalesced_walk.h"

#include <algorithm>

#include "shard/connection.h"
#include "shard/send_batch.h"
#include "shard/stage_latency.h"
#include "shard/stream.h"

namespace ringcast {

void CoalescedWalk::appended(StreamLog& log) {
  if (log.waiting) return;
  log.waiting = true;
  ++waiting_;
  if (log.walking) return;
  log.walking = true;
  RC_ASSERT(logs_.size() <= StreamLog::kPlaceMax);
  log.place = logs_.size() & StreamLog::kPlaceMax;
  logs_.push_back(&log);
}

void CoalescedWalk::erase(const StreamLog& log) {
  if (!log.walking) return;
  logs_[log.place] = nullptr;
  if (log.waiting) --waiting_;
}

void CoalescedWalk::begin(Instant now) {
  for (StreamLog* log : logs_) {
    if (log == nullptr) continue;
    log->waiting = false;
    log->subscribers.start_round();
  }
  waiting_ = 0;
  next_ = 0;
  end_ = logs_.size();
  next_pass_ = now + interval_;
  // No stamp of an earlier pass may look like one of this.
  if (++pass_ == 0) {
    std::ranges::fill(served_, 0);
    pass_ = 1;
  }
}

// Only those stay to whom something was appended meanwhile.
void CoalescedWalk::end() {
  uint32_t kept = 0;
  for (StreamLog* log : logs_) {
    if (log == nullptr) continue;
    log->walking = log->waiting;
    if (!log->waiting) continue;
    log->place = kept & StreamLog::kPlaceMax;
    logs_[kept++] = log;
  }
  logs_.resize(kept);
  next_ = end_ = 0;
}

void CoalescedWalk::walk(SendBatch& sends, StageLatency* stages, Instant now, size_t budget) {
  if (due_at() > now) return;
  if (!passing()) begin(now);
  size_t steps = budget * kStepsPerVisit;
  for (; next_ < end_; ++next_) {
    StreamLog* const log = logs_[next_];
    if (log == nullptr) continue;
    const size_t due = log->subscribers.due();
    const bool done = serve(*log, sends, budget, steps);
    if (stages != nullptr) stages->stepped(*log, due - log->subscribers.due(), done && !log->waiting);
    if (!done) return;
  }
  end();
}

// False: the budget is spent before the round is done.
bool CoalescedWalk::serve(StreamLog& log, SendBatch& sends, size_t& budget, size_t& steps) {
  while (!log.subscribers.round_done()) {
    if (budget == 0 || steps == 0) return false;
    --steps;
    Subscription* const subscription = log.subscribers.step();
    if (subscription == nullptr || subscription->cursor == log.bytes.head()) continue;
    Connection& connection = subscription->connection;
    const uint32_t slot = connection.id().slot;
    if (slot >= served_.size()) served_.resize(slot + 1);
    // What it lacks was appended after it was served, so its log waits for the next pass.
    if (served_[slot] == pass_) continue;
    served_[slot] = pass_;
    --budget;
    sends.add(connection);
  }
  return true;
}

}  // namespace ringcast
