#include "shard/stream.h"

#include "base/assert.h"
#include "shard/connection.h"

namespace ringcast {

LapPolicy Subscription::policy() const {
  return log.stream.policy.value_or(connection.lap_policy());
}

void SubscriberRing::add(Subscription& subscription) {
  // The newcomer stands at the head and is due no visit. Where the round wraps past
  // the end it lands among those still due: one more step then reaches the last of them.
  if (hand_ + due_ > members_.size()) ++due_;
  subscription.position = static_cast<uint32_t>(members_.size());
  members_.push_back(&subscription);
}

void SubscriberRing::remove(Subscription& subscription) {
  RC_ASSERT(subscription.position < members_.size() && members_[subscription.position] == &subscription);
  members_[subscription.position] = nullptr;
  ++holes_;
  // Half holes at most: compaction costs what the removals before it paid for.
  if (holes_ * 2 > members_.size()) compact();
}

Subscription* SubscriberRing::step() {
  RC_ASSERT(due_ > 0);
  --due_;
  Subscription* const met = members_[hand_];
  if (++hand_ == members_.size()) hand_ = 0;
  return met;
}

void SubscriberRing::compact() {
  const auto n = static_cast<uint32_t>(members_.size());
  uint32_t kept = 0;
  uint32_t before_hand = 0;
  uint32_t still_due = 0;
  for (uint32_t i = 0; i < n; ++i) {
    Subscription* const member = members_[i];
    if (member == nullptr) continue;
    const uint32_t steps_to = i >= hand_ ? i - hand_ : i + n - hand_;
    if (steps_to < due_) ++still_due;
    if (i < hand_) ++before_hand;
    member->position = kept;
    members_[kept++] = member;
  }
  members_.resize(kept);
  holes_ = 0;
  due_ = still_due;
  hand_ = before_hand == kept ? 0 : before_hand;
  if (members_.capacity() > 4 * members_.size() + 64) members_.shrink_to_fit();
}

void StreamLog::make_prefix() const {
  prefix_ = BroadcastEnvelope(identifier->text).prefix;
  prefix_.shrink_to_fit();
}

StreamLog* Stream::find_log(const ChannelIdentifierRef& identifier, uint8_t window_bits) {
  for (const auto& log : logs) {
    if (log->window_bits == window_bits && log->identifier == identifier) return log.get();
  }
  return nullptr;
}

size_t Stream::cable_logs() const {
  size_t count = 0;
  for (const auto& log : logs) count += log->cable();
  return count;
}

}  // namespace ringcast
