#include "shard/mailbox.h"

namespace ringcast {

Mailboxes::Mailboxes(ShardIndex shards, size_t items)
    : shards_(shards), bells_(std::make_unique<Bell[]>(shards)) {
  const size_t pairs = size_t{shards} * shards;
  requests_.reserve(pairs);
  deliveries_.reserve(pairs);
  for (size_t pair = 0; pair < pairs; ++pair) {
    requests_.push_back(std::make_unique<SpscRing<ShardRequest>>(items));
    deliveries_.push_back(std::make_unique<SpscRing<Delivery>>(items));
  }
}

bool Mailboxes::waiting_for(ShardIndex shard) const {
  for (ShardIndex from = 0; from < shards_; ++from) {
    const size_t lane = size_t{from} * shards_ + shard;
    if (!requests_[lane]->empty() || !deliveries_[lane]->empty()) return true;
  }
  return false;
}

}  // namespace ringcast
