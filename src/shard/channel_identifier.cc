#include "shard/channel_identifier.h"

#include <cstring>
#include <optional>

#include "protocol/cable.h"

namespace ringcast {

ChannelIdentifier::ChannelIdentifier(ChannelIdentifierTable& table, std::string_view text, Json params)
    : table_(table),
      text_bytes_(static_cast<uint32_t>(text.size())),
      params_(std::make_unique<const Json>(std::move(params))) {
  std::memcpy(static_cast<void*>(this + 1), text.data(), text.size());
}

const ChannelIdentifier::Prefix& ChannelIdentifier::make_prefix() const {
  const std::string made = BroadcastEnvelope(text()).prefix;
  void* const block = ::operator new(sizeof(Prefix) + made.size());
  prefix_.reset(new (block) Prefix{.bytes = static_cast<uint32_t>(made.size())});
  std::memcpy(static_cast<char*>(block) + sizeof(Prefix), made.data(), made.size());
  return *prefix_;
}

ChannelIdentifierRef::~ChannelIdentifierRef() {
  if (identifier_ != nullptr && --identifier_->references_ == 0) identifier_->table_.end(*identifier_);
}

ChannelIdentifierRef ChannelIdentifierTable::find_or_decode(std::string_view text) {
  if (const auto found = known_.find(text); found != known_.end()) return ChannelIdentifierRef(**found);
  std::optional<Identifier> decoded = decode_identifier(text);
  if (!decoded) return {};
  void* const block = ::operator new(sizeof(ChannelIdentifier) + text.size());
  auto* const made = new (block) ChannelIdentifier(*this, text, std::move(decoded->params));
  known_.insert(made);
  return ChannelIdentifierRef(*made);
}

void ChannelIdentifierTable::end(ChannelIdentifier& identifier) {
  known_.erase(&identifier);
  identifier.~ChannelIdentifier();
  ::operator delete(&identifier);
}

}  // namespace ringcast
