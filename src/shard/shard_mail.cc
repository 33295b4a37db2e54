// What a shard publishes, and what other shards and threads leave for it.
#include <algorithm>

#include "shard/shard.h"

namespace ringcast {
namespace {

// What one turn takes from one lane: enough to fill a burst, not enough to make the
// sockets wait.
constexpr size_t kLaneBatchMax = 512;

}  // namespace

PublishStatus Shard::publish(std::string_view stream, PayloadKind kind, Bytes payload) {
  const PublishStatus checked = hub_.check(stream, kind, payload);
  if (checked != PublishStatus::ok) return checked;
  return hub_.publish(Message::create(stream, hash64(stream), kind, payload, &context_.message_bytes));
}

PublishStatus Shard::publish_all(std::span<const Publication> publications) {
  std::fill(per_home_.begin(), per_home_.end(), 0);
  for (const Publication& publication : publications) {
    const PublishStatus checked = hub_.check(publication.stream, publication.kind, publication.payload);
    if (checked != PublishStatus::ok) return checked;
    ++per_home_[home_of(hash64(publication.stream))];
  }
  if (!hub_.has_room_for(per_home_)) {
    counters_.dropped_for(DropReason::mailbox_full).add(publications.size());
    return PublishStatus::full;
  }
  for (const Publication& publication : publications) {
    const PublishStatus status =
        hub_.publish(Message::create(publication.stream, hash64(publication.stream), publication.kind,
                                     publication.payload, &context_.message_bytes));
    RC_ASSERT(status == PublishStatus::ok);
  }
  return PublishStatus::ok;
}

bool Shard::publish_from_outside(MessageRef message) {
  if (!inbox_.publish(std::move(message))) return false;
  context_.mailboxes.bell(index_).ring();
  return true;
}

void Shard::publish_reserved(std::vector<MessageRef>& messages) {
  inbox_.publish_reserved(messages);
  context_.mailboxes.bell(index_).ring();
}

void Shard::post(Inbox::Task task) {
  inbox_.post(std::move(task));
  context_.mailboxes.bell(index_).ring();
}

bool Shard::attach(std::shared_ptr<PublishRing> ring) {
  if (!inbox_.post_unless_closed([ring](Shard& here) { here.publish_rings_.push_back(ring); })) return false;
  ring_bell();
  return true;
}

void Shard::detach(std::shared_ptr<PublishRing> ring) {
  post([ring = std::move(ring)](Shard&) { ring->abandon(); });
}

// The shard has been given something: more is likely to follow.
void Shard::stay_awake() {
  if (spin_ > Duration::zero()) spinning_until_ = now() + spin_;
}

void Shard::drain_inbox() {
  requests_wait_ = mail_left_ = false;
  if (inbox_.waiting()) {
    stay_awake();
    // Messages stay in the inbox, where they count against its bound, until those
    // taken before are gone.
    inbox_.take(inbox_messages_.empty() ? &inbox_messages_ : nullptr, tasks_);
    std::vector<Inbox::Task> tasks = std::move(tasks_);
    tasks_.clear();
    for (Inbox::Task& task : tasks) task(*this);
  }
  const size_t end = std::min(inbox_messages_.size(), inbox_taken_ + kLaneBatchMax);
  while (inbox_taken_ < end && hub_.take_publish(inbox_messages_[inbox_taken_])) ++inbox_taken_;
  if (inbox_taken_ == inbox_messages_.size()) {
    inbox_messages_.clear();
    inbox_taken_ = 0;
  } else {
    (inbox_taken_ == end ? mail_left_ : requests_wait_) = true;
  }
}

// What the publishers of this shard's streams have pushed.
void Shard::drain_publish_rings() {
  if (publish_rings_.empty()) return;
  // A different one goes first every turn, so that none is served last for ever.
  first_ring_ = (first_ring_ + 1) % publish_rings_.size();
  bool any_abandoned = false;
  for (size_t i = 0; i < publish_rings_.size(); ++i) {
    PublishRing& ring = *publish_rings_[(first_ring_ + i) % publish_rings_.size()];
    any_abandoned = any_abandoned || ring.abandoned();
    if (ring.exhausted()) continue;
    stay_awake();
    // What is published and in no log yet is bounded; the rest waits where it is, and its
    // publisher will find the ring full.
    if (context_.message_bytes.total() >= limits().queued_bytes) {
      requests_wait_ = true;
      continue;
    }
    size_t taken = 0;
    for (; taken < kLaneBatchMax; ++taken) {
      MessageRef* const message = ring.front(context_.message_bytes);
      if (message == nullptr) break;
      if (hub_.take_publish(*message)) continue;
      requests_wait_ = true;
      break;
    }
    if (taken == kLaneBatchMax) mail_left_ = true;
  }
  if (any_abandoned) {
    std::erase_if(publish_rings_, [](const auto& ring) { return ring->abandoned() && ring->exhausted(); });
  }
}

bool Shard::rings_have_news() const {
  return std::ranges::any_of(publish_rings_, [](const auto& ring) { return !ring->empty(); });
}

// No publish is taken from outside any more; those that were are.
void Shard::close_entrances() {
  inbox_.close();
  drain_inbox();  // whoever attached a ring in time
  for (const auto& ring : publish_rings_) ring->close();
  drain_publish_rings();
  hub_.ring_bells();
}

// Requests first: what is published here and delivered here then leaves in this turn.
void Shard::drain_mail() {
  const ShardIndex shards = context_.mailboxes.shards();
  // A different shard goes first every turn, so that none is served last for ever.
  first_lane_ = static_cast<ShardIndex>((first_lane_ + 1) % shards);
  hub_.push_deferred();
  for (ShardIndex i = 0; i < shards; ++i) drain_requests(static_cast<ShardIndex>((first_lane_ + i) % shards));
  hub_.forget_retry();
  for (ShardIndex i = 0; i < shards; ++i)
    drain_deliveries(static_cast<ShardIndex>((first_lane_ + i) % shards));
}

void Shard::drain_requests(ShardIndex from) {
  auto& lane = context_.mailboxes.requests(from, index_);
  if (lane.front() != nullptr) stay_awake();
  for (size_t taken = 0; ShardRequest* const request = lane.front(); ++taken) {
    if (taken == kLaneBatchMax) {
      mail_left_ = true;
      return;
    }
    if (request->kind == ShardRequest::Kind::adopt) {
      adopt(request->descriptor, request->tls);
    } else if (!hub_.take(*request, from)) {
      requests_wait_ = true;
      return;
    }
    lane.pop();
  }
}

void Shard::drain_deliveries(ShardIndex from) {
  auto& lane = context_.mailboxes.deliveries(from, index_);
  if (lane.front() != nullptr) stay_awake();
  for (size_t taken = 0; Delivery* const delivery = lane.front(); ++taken) {
    if (taken == kLaneBatchMax) {
      mail_left_ = true;
      return;
    }
    if (!hub_.deliver(*delivery)) {
      counters_.held_lanes.add();
      return;
    }
    lane.pop();
  }
}

}  // namespace ringcast
