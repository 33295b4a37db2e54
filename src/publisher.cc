// Publisher: one thread's rings into the server. The owner's thread, but for what
// PublishRing and Bell let the shards do.
#include "ringcast/publisher.h"

#include <algorithm>
#include <utility>

#include "base/assert.h"
#include "base/hash.h"
#include "publisher_core.h"

namespace ringcast {
namespace internal {
namespace {

constexpr size_t kRingBytesMax = size_t{1} << 30;

}  // namespace

PublisherCore::PublisherCore(std::shared_ptr<ServerCore> server, const PublisherOptions& options)
    : server_(std::move(server)),
      ring_bytes_(std::clamp(options.ring_bytes, PublishRing::kBytesMin, kRingBytesMax)) {}

PublisherCore::~PublisherCore() {
  for (ShardIndex home = 0; home < rings_.size(); ++home) {
    if (rings_[home]) server_->shard(home).detach(std::move(rings_[home]));
  }
}

// Null if the shard is over.
PublishRing* PublisherCore::ring_to(Shard& home) {
  if (rings_.empty()) rings_.resize(server_->shards());
  std::shared_ptr<PublishRing>& ring = rings_[home.index()];
  if (ring == nullptr) {
    auto made = std::make_shared<PublishRing>(ring_bytes_);
    if (!home.attach(made)) return nullptr;
    ring = std::move(made);
  }
  return ring.get();
}

void PublisherCore::prepare(uint64_t stream_hash) {
  if (server_->running()) (void)ring_to(server_->home_of(stream_hash));
}

bool PublisherCore::push(PublishRing& ring, std::string_view stream, uint64_t stream_hash, PayloadKind kind,
                         Bytes payload) {
  if (stream.size() + payload.size() <= ring.inline_bytes_max()) {
    return ring.try_push(stream, stream_hash, kind, payload, server_->stage_now());
  }
  // Outside the ring only the server's own bound holds.
  if (!server_->has_room()) return false;
  MessageRef message = Message::create(stream, stream_hash, kind, payload, &server_->message_bytes());
  message->stamp(server_->stage_now());
  return ring.try_push(std::move(message));
}

BroadcastStatus PublisherCore::publish(std::string_view stream, uint64_t stream_hash, PayloadKind kind,
                                       Bytes payload) {
  const pthread_t self = pthread_self();
  if (!owner_) owner_ = self;
  RC_ASSERT(pthread_equal(*owner_, self));  // the embedder's mistake, and one that would corrupt the ring
  const BroadcastStatus status = server_->check(stream, kind, payload);
  if (status != BroadcastStatus::ok) return status;
  // A test looks as soon as it has published: no ring, which would be emptied a little later.
  if (server_->test_adapter() != nullptr) {
    const BroadcastStatus remembered = server_->publish(stream, stream_hash, kind, payload);
    if (remembered == BroadcastStatus::ok) ++counts_.published;
    return remembered;
  }
  Shard& home = server_->home_of(stream_hash);
  PublishRing* const ring = ring_to(home);
  if (ring == nullptr) return BroadcastStatus::stopped;
  const bool pushed = push(*ring, stream, stream_hash, kind, payload);
  // Also if there was no room: its fence is what closed() relies on.
  if (home.ring_bell()) ++counts_.wakes;
  if (ring->closed()) return BroadcastStatus::stopped;
  if (!pushed) {
    ++counts_.full;
    server_->count_full();
    return BroadcastStatus::full;
  }
  ++counts_.published;
  return BroadcastStatus::ok;
}

BroadcastStatus PublisherCore::publish(std::string_view stream, uint64_t stream_hash, const Json& json) {
  json_.clear();
  json.dump_to(json_);
  return publish(stream, stream_hash, PayloadKind::json, as_bytes(json_));
}

}  // namespace internal

Publisher::Publisher() = default;
Publisher::~Publisher() = default;
Publisher::Publisher(std::unique_ptr<internal::PublisherCore> core) : core_(std::move(core)) {}

Publisher::Publisher(Publisher&& other) noexcept : core_(std::move(other.core_)) {
  if (core_) core_->hand_over();
}
Publisher& Publisher::operator=(Publisher&& other) noexcept {
  core_ = std::move(other.core_);
  if (core_) core_->hand_over();
  return *this;
}

Publisher::Stream Publisher::stream(std::string_view name) {
  const uint64_t hash = hash64(name);
  if (core_) core_->prepare(hash);
  return Stream(name, hash);
}

BroadcastStatus Publisher::publish(const Stream& stream, Text text) {
  if (!core_) return BroadcastStatus::stopped;
  return core_->publish(stream.name_, stream.hash_, PayloadKind::text, as_bytes(text.view()));
}
BroadcastStatus Publisher::publish(const Stream& stream, Binary binary) {
  if (!core_) return BroadcastStatus::stopped;
  return core_->publish(stream.name_, stream.hash_, PayloadKind::binary, binary.bytes());
}
BroadcastStatus Publisher::publish(const Stream& stream, const Json& json) {
  return core_ ? core_->publish(stream.name_, stream.hash_, json) : BroadcastStatus::stopped;
}

BroadcastStatus Publisher::publish(std::string_view stream, Text text) {
  if (!core_) return BroadcastStatus::stopped;
  return core_->publish(stream, hash64(stream), PayloadKind::text, as_bytes(text.view()));
}
BroadcastStatus Publisher::publish(std::string_view stream, Binary binary) {
  if (!core_) return BroadcastStatus::stopped;
  return core_->publish(stream, hash64(stream), PayloadKind::binary, binary.bytes());
}
BroadcastStatus Publisher::publish(std::string_view stream, const Json& json) {
  return core_ ? core_->publish(stream, hash64(stream), json) : BroadcastStatus::stopped;
}

Publisher::Counts Publisher::counts() const {
  return core_ ? core_->counts() : Counts{};
}

}  // namespace ringcast
