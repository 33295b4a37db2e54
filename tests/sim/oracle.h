// What every subscription must have got, whatever went wrong around it. The oracle is
// told what was published, in the order in which each publisher's lane took it, and what
// each subscriber read; it never looks into the hub. One world's; its thread.
//
// Per run (one subscription to one stream), at every delivery:
//   it was published to that stream, arrives byte for byte, and once
//   of each publisher it holds a contiguous run, and of all together too: what follows a
//     message is the same message for everybody (so all see one order, without holes)
//   nothing that this shard had shown to others before the subscribe was received
//   nothing published behind the processed unsubscribe
//   the first of a publisher is not behind the first published after the confirmation
// and at the end, if nothing cut it off: the last of every publisher.
// A cut gives a prefix: that is what contiguity leaves of it.
#pragma once

#include <array>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "shard/limits.h"
#include "shard/message.h"

namespace ringcast::sim {

class Oracle {
 public:
  static constexpr size_t kShardsMax = 4;
  // Publishers: each shard's own, and the threads outside.
  static constexpr size_t kOutside = kShardsMax;
  static constexpr size_t kSources = kShardsMax + 1;

  explicit Oracle(std::function<void(const std::string&)> fail) : fail_(std::move(fail)) {}

  // --- Publishing ---------------------------------------------------------------------

  size_t add_stream(std::string name, LapPolicy policy = LapPolicy::close);
  size_t streams() const { return streams_.size(); }
  const std::string& name(size_t stream) const { return streams_[stream].name; }
  std::optional<size_t> find(std::string_view name) const;

  // A payload that names itself, of about `bytes`. Of kind text it may be no JSON.
  std::string payload(size_t stream, PayloadKind kind, size_t bytes);

  // To which stream such a payload belongs; SIZE_MAX if it is none.
  static size_t stream_of(std::string_view payload);

  // It was accepted: numbered behind whatever that source had published there before.
  void published(size_t stream, size_t source, PayloadKind kind, std::string_view payload);
  uint64_t published_count() const { return published_; }
  uint64_t delivered_count() const { return delivered_; }

  // --- One subscription to one stream ---------------------------------------------------

  class Run {
   public:
    // The server's side, as its handlers see it.
    void received();                  // the subscribe
    void transmitted(uint64_t mark);  // a message to this subscription alone
    void unsubscribed();

    // The subscriber's side, as it reads.
    void confirmed();
    void delivered(std::string_view payload);
    void saw_mark(uint64_t mark);

    // Nobody cut it off: it must hold everything to the end.
    void whole();

    size_t stream() const { return stream_; }
    bool is_confirmed() const { return confirmed_; }
    uint64_t count() const { return count_; }

   private:
    friend class Oracle;
    Run(Oracle& oracle, size_t stream, size_t shard, bool cable)
        : oracle_(oracle), stream_(stream), shard_(shard), cable_(cable) {}
    void fail(const std::string& what) const;

    Oracle& oracle_;
    const size_t stream_;
    const size_t shard_;
    const bool cable_;
    bool confirmed_ = false;
    bool confirm_first_ = false;
    uint64_t count_ = 0;
    uint64_t received_at_ = 0;                          // in steps of the oracle's clock
    uint64_t unsubscribed_at_ = UINT64_MAX;             // likewise
    uint32_t last_ = 0;                                 // message last delivered; 0: none
    std::array<uint32_t, kSources> next_{};             // per source: 1 + index last delivered; 0: none
    std::array<uint32_t, kSources> must_from_;          // first index it may not begin behind
    std::vector<std::pair<uint64_t, uint64_t>> marks_;  // and when they were transmitted
    uint64_t mark_bound_ = 0;  // what was shown here before that step came before the mark
  };

  // `confirm_first`: no delivery may be read before the confirmation.
  Run& begin(size_t stream, size_t shard, bool cable, bool confirm_first);

 private:
  friend class Run;
  // A cable subscriber never sees what is binary, so to it the order is another one.
  enum : size_t { kRaw, kCable, kViews };

  struct Message {
    uint32_t stream = 0;
    uint8_t source = 0;
    PayloadKind kind = PayloadKind::json;
    bool accepted = false;
    uint64_t hash[kViews] = {};
    uint64_t accepted_at = 0;
    std::array<uint64_t, kShardsMax> shown_at{};  // first read by a subscriber there; 0: never
    uint32_t index[kViews] = {};                  // among what its source published to the stream
    uint32_t follows[kViews] = {};                // the message before and behind it, once seen
    uint32_t followed_by[kViews] = {};
    uint32_t chain[kViews] = {};  // towards the one that stands for all that hang together; 0: itself
  };
  struct Stream {
    std::string name;
    LapPolicy policy;
    std::array<std::array<uint32_t, kSources>, kViews> count{};  // published, per source
  };

  uint32_t chain_of(uint32_t message, size_t view);

  // Events only need an order.
  uint64_t tick() { return ++clock_; }

  const std::function<void(const std::string&)> fail_;
  uint64_t clock_ = 0;
  uint64_t published_ = 0;
  uint64_t delivered_ = 0;
  std::vector<Stream> streams_;
  std::vector<Message> messages_ = std::vector<Message>(1);  // by number; 0 is none
  std::vector<std::unique_ptr<Run>> runs_;
};

}  // namespace ringcast::sim
