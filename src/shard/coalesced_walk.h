// The walk over streams whose messages wait for company (Limits::coalescing). A pass
// serves each connection once, with everything that stands in its logs by then; what is
// appended meanwhile waits for the next pass, which begins no sooner than the rule's
// interval after this one did. So a connection is sent to once an interval, however many
// messages and streams there are. Owned by the hub; shard thread only.
//
// Whatever else makes a connection send takes what waits here along: messages never wait
// for longer than they have to.
#pragma once

#include <cstdint>
#include <deque>
#include <vector>

#include "base/time.h"

namespace ringcast {

class SendBatch;
struct StreamLog;

class CoalescedWalk {
 public:
  explicit CoalescedWalk(Duration interval) : interval_(interval) {}

  // The log's subscribers are due a visit in the next pass.
  void appended(StreamLog& log);

  // A log is full, and somebody waits for its subscribers to be served: the interval is
  // not waited for.
  void hurry() { next_pass_ = {}; }

  void erase(const StreamLog& log);

  // Serves up to `budget` connections of the pass at hand, or of one that may begin now.
  void walk(SendBatch& sends, class StageLatency* stages, Instant now, size_t budget);

  // When walk() has something to do; kNever: before the next append nothing.
  Instant due_at() const {
    if (!passing_.empty()) return {};
    return waiting_.empty() ? kNever : next_pass_;
  }

 private:
  void begin(Instant now);
  bool serve(StreamLog& log, SendBatch& sends, size_t& budget, size_t& steps);

  // A step that meets nobody to be sent anything costs an eighth of one that does.
  static constexpr size_t kStepsPerVisit = 8;

  const Duration interval_;
  Instant next_pass_{};
  uint32_t pass_ = 0;
  std::deque<StreamLog*> passing_;
  std::deque<StreamLog*> waiting_;
  std::vector<uint32_t> served_;  // by a connection's slot: in which pass it was last
};

}  // namespace ringcast
