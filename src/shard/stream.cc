#include "shard/stream.h"

#include <algorithm>
#include <memory>

#include "base/assert.h"
#include "shard/connection.h"

namespace ringcast {

LapPolicy Subscription::policy() const {
  return log.stream.policy.value_or(connection.lap_policy());
}

SubscriberRing::~SubscriberRing() {
  if (!alone()) delete[] members_;
}

void SubscriberRing::reallocate(uint32_t capacity) {
  const std::unique_ptr<Subscription*[]> before(alone() ? nullptr : members_);
  if (capacity > 1) {
    auto** const to = new Subscription*[capacity];
    std::copy_n(members_, size_, to);
    members_ = to;
    capacity_ = capacity;
  } else {
    only_ = size_ == 0 ? nullptr : before[0];
    members_ = &only_;
  }
}

void SubscriberRing::add(Subscription& subscription) {
  // The newcomer stands at the head and is due no visit. Where the round wraps past
  // the end it lands among those still due: one more step then reaches the last of them.
  if (hand_ + due_ > size_) ++due_;
  subscription.position = size_;
  if (size_ == capacity()) reallocate(2 * size_);
  members_[size_++] = &subscription;
}

void SubscriberRing::remove(Subscription& subscription) {
  RC_ASSERT(subscription.position < size_ && members_[subscription.position] == &subscription);
  members_[subscription.position] = nullptr;
  ++holes_;
  // Half holes at most: compaction costs what the removals before it paid for.
  if (holes_ * 2 > size_) compact();
}

Subscription* SubscriberRing::step() {
  RC_ASSERT(due_ > 0);
  --due_;
  Subscription* const met = members_[hand_];
  if (++hand_ == size_) hand_ = 0;
  return met;
}

void SubscriberRing::compact() {
  const uint32_t n = size_;
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
  size_ = kept;
  holes_ = 0;
  due_ = still_due;
  hand_ = before_hand == kept ? 0 : before_hand;
  if (!alone() && (kept <= 1 || capacity_ > 4 * kept + 64)) reallocate(kept);
}

StreamLog* Stream::find_log(const ChannelIdentifierRef& identifier, uint8_t window_bits) {
  for (StreamLog* log = logs; log != nullptr; log = log->next) {
    if (log->window_bits == window_bits && log->identifier == identifier) return log;
  }
  return nullptr;
}

void Stream::add_log(StreamLog& log) {
  StreamLog** end = &logs;
  while (*end != nullptr) end = &(*end)->next;
  *end = &log;
}

void Stream::remove_log(StreamLog& log) {
  StreamLog** link = &logs;
  while (*link != &log) link = &(*link)->next;
  *link = log.next;
}

size_t Stream::cable_logs() const {
  size_t count = 0;
  for (const StreamLog* log = logs; log != nullptr; log = log->next) count += log->cable();
  return count;
}

}  // namespace ringcast
