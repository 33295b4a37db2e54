// Names of streams made of parts, and the StreamPublisher. Values; any thread.
#include "ringcast/broadcast.h"

#include "auth/global_id.h"
#include "protocol/cable.h"
#include "server_core.h"

namespace ringcast {

std::string_view to_string(BroadcastStatus status) {
  switch (status) {
    case BroadcastStatus::ok:
      return "ok";
    case BroadcastStatus::full:
      return "full";
    case BroadcastStatus::too_large:
      return "too_large";
    case BroadcastStatus::invalid:
      return "invalid";
    case BroadcastStatus::stopped:
      return "stopped";
  }
  return "unknown";
}

StreamKey::StreamKey(std::initializer_list<StreamKey> parts) {
  bool first = true;
  for (const StreamKey& part : parts) {
    if (!first) text_ += ':';
    text_ += part.text_;
    first = false;
  }
}

std::string broadcasting_for(std::string_view channel_class, const StreamKey& key) {
  const std::string_view part = key.text();
  return broadcasting_for(channel_class, std::span(&part, 1));
}

std::string global_id_param(std::string_view app, std::string_view model, std::string_view id) {
  return global_id_param(
      std::string("gid://").append(app).append("/").append(model).append("/").append(escape_global_id(id)));
}

StreamPublisher::StreamPublisher() = default;
StreamPublisher::~StreamPublisher() = default;
StreamPublisher::StreamPublisher(const StreamPublisher&) = default;
StreamPublisher::StreamPublisher(StreamPublisher&&) noexcept = default;
StreamPublisher& StreamPublisher::operator=(const StreamPublisher&) = default;
StreamPublisher& StreamPublisher::operator=(StreamPublisher&&) noexcept = default;
StreamPublisher::StreamPublisher(std::shared_ptr<const internal::StreamPublisherCore> core)
    : core_(std::move(core)) {}

BroadcastStatus StreamPublisher::publish(Text text) const {
  return core_ ? core_->publish(PayloadKind::text, as_bytes(text.view())) : BroadcastStatus::stopped;
}
BroadcastStatus StreamPublisher::publish(Binary binary) const {
  return core_ ? core_->publish(PayloadKind::binary, binary.bytes()) : BroadcastStatus::stopped;
}
BroadcastStatus StreamPublisher::publish(const Json& json) const {
  if (!core_) return BroadcastStatus::stopped;
  const std::string text = json.dump();
  return core_->publish(PayloadKind::json, as_bytes(text));
}

const std::string& StreamPublisher::stream() const {
  static const std::string nowhere;
  return core_ ? core_->stream() : nowhere;
}

}  // namespace ringcast
