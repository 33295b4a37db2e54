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

void Shard::drain_inbox() {
  requests_wait_ = mail_left_ = false;
  if (inbox_.waiting()) {
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
