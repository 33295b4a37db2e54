// What is behind a Publisher: its rings into the shards. Owned by the Publisher; its
// thread alone. Keeps the server's core alive, so it may outlive the server.
#pragma once

#include <pthread.h>

#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "ringcast/publisher.h"
#include "server_core.h"
#include "shard/publish_ring.h"

namespace ringcast::internal {

class PublisherCore {
 public:
  PublisherCore(std::shared_ptr<ServerCore> server, const PublisherOptions& options);
  ~PublisherCore();

  // Makes the ring that messages of that hash need, if the server runs.
  void prepare(uint64_t stream_hash);
  BroadcastStatus publish(std::string_view stream, uint64_t stream_hash, PayloadKind kind, Bytes payload);
  BroadcastStatus publish(std::string_view stream, uint64_t stream_hash, const Json& json);

  const Publisher::Counts& counts() const { return counts_; }
  // The next one to publish is the owner.
  void hand_over() { owner_.reset(); }

 private:
  PublishRing* ring_to(Shard& home);
  bool push(PublishRing& ring, std::string_view stream, uint64_t stream_hash, PayloadKind kind,
            Bytes payload);

  const std::shared_ptr<ServerCore> server_;
  const size_t ring_bytes_;
  std::vector<std::shared_ptr<PublishRing>> rings_;  // by home; null: nothing went there yet
  std::optional<pthread_t> owner_;
  Publisher::Counts counts_;
  std::string json_;  // the payload at hand; its memory is kept
};

}  // namespace ringcast::internal
