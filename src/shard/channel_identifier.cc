#include "shard/channel_identifier.h"

#include <memory>
#include <optional>

#include "protocol/cable.h"

namespace ringcast {

const std::string& ChannelIdentifier::broadcast_prefix() const {
  if (!prefix) {
    std::string made = BroadcastEnvelope(text).prefix;
    made.shrink_to_fit();
    prefix = std::make_unique<const std::string>(std::move(made));
  }
  return *prefix;
}

ChannelIdentifierRef::~ChannelIdentifierRef() {
  if (identifier_ == nullptr || --identifier_->references > 0) return;
  identifier_->table.known_.erase(identifier_);
  delete identifier_;
}

ChannelIdentifierRef ChannelIdentifierTable::find_or_decode(std::string_view text) {
  if (const auto found = known_.find(text); found != known_.end()) return ChannelIdentifierRef(**found);
  std::optional<Identifier> decoded = decode_identifier(text);
  if (!decoded) return {};
  auto made = std::unique_ptr<ChannelIdentifier>(new ChannelIdentifier{
      .table = *this, .references = 0, .text = std::string(text), .params = std::move(decoded->params)});
  known_.insert(made.get());
  return ChannelIdentifierRef(*made.release());
}

}  // namespace ringcast
