// The walk over streams whose messages wait for company (Limits::coalescing). A pass
// serves each connection once, with everything that stands in its logs by then; what is
// appended meanwhile waits for the next pass, which begins no sooner than the rule's
// interval after this one did. So a connection is sent to once an interval, however many
// messages and streams there are. Owned by the hub; shard thread only.
//
// Whatever else makes a connection send takes what waits here along: messages never wait
// for longer than they have to.
#pragma once

#include <cstddef>
#include <cstdint>
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

  // A log is full, or memory is short: what waits is not to wait for the interval. False:
  // nothing waits.
  bool hurry() {
    next_pass_ = {};
    return waiting_ > 0;
  }

  void erase(const StreamLog& log);

  // Serves up to `budget` connections of the pass at hand, or of one that may begin now.
  void walk(SendBatch& sends, class StageLatency* stages, Instant now, size_t budget);

  // When walk() has something to do; kNever: before the next append nothing.
  Instant due_at() const {
    if (passing()) return {};
    return waiting_ == 0 ? kNever : next_pass_;
  }

 private:
  bool passing() const { return next_ < end_; }
  void begin(Instant now);
  void end();
  bool serve(StreamLog& log, SendBatch& sends, size_t& budget, size_t& steps);

  // A step that meets nobody to be sent anything costs an eighth of one that does.
  static constexpr size_t kStepsPerVisit = 8;

  const Duration interval_;
  Instant next_pass_{};
  uint32_t pass_ = 0;
  // Each log that waits, or did when the pass began, at its `place`; null where one has gone.
  // Those in [next_, end_) are still to be served in this pass.
  std::vector<StreamLog*> logs_;
  size_t next_ = 0, end_ = 0;
  size_t waiting_ = 0;            // of them, for the next pass
  std::vector<uint32_t> served_;  // by a connection's slot: in which pass it was last
};

}  // namespace ringcast
