#include "shard/channel_identifier.h"

#include <cstring>
#include <optional>
#include <string>

#include "base/assert.h"
#include "protocol/cable.h"

namespace ringcast {
namespace {

// Where `name` stands in `text` as it is, or the end of the text: there it is written in escapes.
// It is looked for with its quotes around it, and holds none, so that a comparison ends with the
// string it began in: nobody's text takes longer than it is.
uint32_t find_name(std::string_view text, std::string_view name) {
  size_t at = std::string_view::npos;
  if (name.find('"') == std::string_view::npos) at = text.find('"' + std::string(name) + '"');
  return static_cast<uint32_t>(at == std::string_view::npos ? text.size() : at + 1);
}

}  // namespace

ChannelIdentifier::ChannelIdentifier(ChannelIdentifierTable& table, std::string_view text,
                                     std::string_view channel, uint32_t channel_at)
    : table_(table),
      text_bytes_(static_cast<uint32_t>(text.size())),
      channel_at_(channel_at),
      channel_bytes_(static_cast<uint32_t>(channel.size())) {
  char* const behind = reinterpret_cast<char*>(this + 1);
  std::memcpy(behind, text.data(), text.size());
  if (channel_at == text.size()) std::memcpy(behind + text.size(), channel.data(), channel.size());
}

const ChannelIdentifier::Decoded& ChannelIdentifier::decode() const {
  std::optional<Identifier> decoded = decode_identifier(text());
  RC_ASSERT(decoded);  // it was, when the table took it
  return table_.keep(*this, std::move(decoded->params));
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
  if (ChannelIdentifier* const found = known_.find(text)) return ChannelIdentifierRef(*found);
  std::optional<Identifier> decoded = decode_identifier(text);
  if (!decoded) return {};
  const std::string_view channel = decoded->channel;
  const uint32_t channel_at = find_name(text, channel);
  const size_t bytes = text.size() + (channel_at == text.size() ? channel.size() : 0);
  void* const block = ::operator new(sizeof(ChannelIdentifier) + bytes);
  auto* const made = new (block) ChannelIdentifier(*this, text, channel, channel_at);
  known_.insert(*made);
  keep(*made, std::move(decoded->params));  // the subscription that begins will ask for them
  return ChannelIdentifierRef(*made);
}

void ChannelIdentifierTable::turn_ended() {
  if (decoded_.size() <= kDecodedMax) return;
  // The list goes, too: one turn may have asked for very many.
  for (const ChannelIdentifier* identifier : std::exchange(decoded_, {})) identifier->decoded_.reset();
}

const ChannelIdentifier::Decoded& ChannelIdentifierTable::keep(const ChannelIdentifier& identifier,
                                                               Json params) {
  identifier.decoded_.reset(new ChannelIdentifier::Decoded{std::move(params), decoded_.size()});
  decoded_.push_back(&identifier);
  return *identifier.decoded_;
}

void ChannelIdentifierTable::forget(const ChannelIdentifier& identifier) {
  const size_t place = identifier.decoded_->place;
  decoded_[place] = decoded_.back();
  decoded_[place]->decoded_->place = place;
  decoded_.pop_back();
}

void ChannelIdentifierTable::end(ChannelIdentifier& identifier) {
  known_.erase(identifier);
  if (identifier.decoded_) forget(identifier);
  identifier.~ChannelIdentifier();
  ::operator delete(&identifier);
}

}  // namespace ringcast
