// How connections come to a shard: accepting, admission, balance.
#include <algorithm>
#include <cerrno>

#include "shard/shard.h"

namespace ringcast {
namespace {

// A listener waits so long for descriptors before it tries again.
constexpr Duration kAcceptPause = milliseconds(100);
// Connection numbers are taken from the server in blocks.
constexpr uint64_t kNumberBlock = 1024;
// A shard this far above the least loaded one hands accepted sockets over.
constexpr uint64_t kSkewMin = 16;

}  // namespace

void Shard::arm_accept() {
  if (draining_ || stopping_) return;
  for (size_t index = 0; index < listeners_.size(); ++index) {
    if (std::exchange(listeners_[index].armed, true)) continue;
    submit(Submission::accept(listeners_[index].fd, token_of_listener(index)));
  }
}

void Shard::accepted(const Completion& completion) {
  const auto which = static_cast<size_t>(completion.token.value >> kSlotGenerationBits);
  RC_ASSERT(which < listeners_.size());
  if (!completion.more) listeners_[which].armed = false;
  if (completion.result >= 0) {
    counters_.accepted.add();
    exhausted_ = false;
    const ShardIndex to = least_loaded();
    const bool tls = listeners_[which].tls;
    if (to == index_ || !hub_.hand_over(completion.result, tls, to)) {
      adopt(completion.result, tls);
    } else {
      counters_.handed_over.add();
    }
  } else if (completion.result != -ECANCELED) {
    counters_.accept_errors.add();
    const bool exhausted = completion.result == -EMFILE || completion.result == -ENFILE ||
                           completion.result == -ENOMEM || completion.result == -ENOBUFS;
    if (exhausted) {
      // Accepting again at once would only spin; a connection that ends makes room.
      counters_.accept_pauses.add();
      // Once for as long as it lasts.
      if (!exhausted_) {
        log_.log(now(), LogLevel::warn, "accept_paused", {{"errno", int64_t{-completion.result}}});
      }
      exhausted_ = true;
      timers_.schedule(accept_deadline_, now() + kAcceptPause);
      return;
    }
  }
  if (!accept_deadline_.armed()) arm_accept();
}

// The kernel spreads connections over listeners by hash: with few of them that is
// uneven, and a shard's speed is its subscribers.
ShardIndex Shard::least_loaded() const {
  ShardIndex best = index_;
  uint64_t least = counters_.connections.value();
  const uint64_t mine = least;
  for (const Shard* shard : context_.shards) {
    const uint64_t theirs = shard->counters_.connections.value();
    if (theirs >= least || shard->ended()) continue;
    least = theirs;
    best = shard->index_;
  }
  return mine > least + kSkewMin + least / 8 ? best : index_;
}

void Shard::listen_with_tls(const std::vector<int>& listeners, std::shared_ptr<const TlsContext> context) {
  for (const int fd : listeners) listeners_.push_back({.fd = fd, .tls = true});
  tls_ = std::move(context);
}

void Shard::adopt(int descriptor, bool tls) {
  if (draining_ || stopping_) {
    // Accepted in the moment the listener closed: a reset tells it to go elsewhere.
    submit(Submission::close(descriptor, {}, true));
    ++plain_closes_;
    return;
  }
  const SlotId id =
      connections_.acquire(*this, descriptor, next_connection_number(), peer_address(descriptor),
                           tls ? tls_ : std::shared_ptr<const TlsContext>());
  Connection& connection = connections_[id];
  counters_.connections.set(connections_.size());
  connection.start();
}

int Shard::admission_status() {
  const Limits& limits = this->limits();
  if (short_of_memory_) return 503;
  if (limits.connections > 0) {
    uint64_t connections = 0;
    for (const Shard* shard : context_.shards) connections += shard->counters_.connections.value();
    if (connections > limits.connections) return 503;
  }
  if (limits.connects_per_second > 0) {
    // A token bucket per shard, each with its share: no shard asks another.
    const uint64_t share_millis = uint64_t{limits.connects_per_second} * 1000 / context_.mailboxes.shards();
    const auto elapsed_ms = std::chrono::duration_cast<milliseconds>(now() - connect_refill_).count();
    connect_refill_ += milliseconds(elapsed_ms);
    // At least one whole connect, or a share below one a second would never come to it.
    connect_tokens_millis_ =
        std::min(std::max<uint64_t>(share_millis, 1000),
                 connect_tokens_millis_ + share_millis * static_cast<uint64_t>(elapsed_ms) / 1000);
    if (connect_tokens_millis_ < 1000) return 503;
    connect_tokens_millis_ -= 1000;
  }
  return 0;
}

void Shard::release(Connection& connection) {
  connections_.release(connection.id());
  counters_.connections.set(connections_.size());
  if (accept_deadline_.armed()) {
    // A descriptor is free again.
    timers_.cancel(accept_deadline_);
    arm_accept();
  }
}

uint64_t Shard::next_connection_number() {
  if (numbers_next_ == numbers_end_) {
    numbers_next_ = context_.connection_numbers.fetch_add(kNumberBlock, std::memory_order_relaxed) + 1;
    numbers_end_ = numbers_next_ + kNumberBlock;
  }
  return numbers_next_++;
}

}  // namespace ringcast
