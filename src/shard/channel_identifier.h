// What clients subscribe under. Thousands of them say the same text, so a shard keeps it once
// for all of them; or each says a text of its own, which is kept in one block, and decoded
// when that is asked for: most are never looked at again once their subscription is made.
// Shard thread only; the table outlives what it gives out.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <new>
#include <string_view>
#include <utility>
#include <vector>

#include "base/pointer_set.h"
#include "ringcast/json.h"

namespace ringcast {

class ChannelIdentifierTable;

// The text stands behind it, in the same block; and behind that the channel's name, if it does
// not stand in the text as it is.
class ChannelIdentifier {
 public:
  ChannelIdentifier(const ChannelIdentifier&) = delete;
  ChannelIdentifier& operator=(const ChannelIdentifier&) = delete;

  // As decoded from the command.
  std::string_view text() const { return {behind(), text_bytes_}; }
  std::string_view channel() const { return {behind() + channel_at_, channel_bytes_}; }
  // An object that names its channel: good until the turn ends, then decoded anew.
  const Json& params() const { return (decoded_ ? *decoded_ : decode()).params; }
  // What stands before a payload. Made when first asked for: many are never sent anything.
  std::string_view broadcast_prefix() const { return (prefix_ ? *prefix_ : make_prefix()).text(); }

 private:
  friend class ChannelIdentifierRef;
  friend class ChannelIdentifierTable;

  // Its text stands behind it.
  struct Prefix {
    std::string_view text() const { return {reinterpret_cast<const char*>(this + 1), bytes}; }
    const uint32_t bytes;
  };
  struct FreeBlock {
    void operator()(const Prefix* prefix) const { ::operator delete(const_cast<Prefix*>(prefix)); }
  };

  struct Decoded {
    Json params;
    size_t place;  // in the table's list of those that are decoded
  };

  // `channel_at` is the end of the text, or where the name stands in it.
  ChannelIdentifier(ChannelIdentifierTable& table, std::string_view text, std::string_view channel,
                    uint32_t channel_at);
  ~ChannelIdentifier() = default;

  const char* behind() const { return reinterpret_cast<const char*>(this + 1); }
  const Decoded& decode() const;
  const Prefix& make_prefix() const;

  ChannelIdentifierTable& table_;
  mutable std::unique_ptr<Decoded> decoded_;
  mutable std::unique_ptr<const Prefix, FreeBlock> prefix_;
  uint32_t references_ = 0;
  const uint32_t text_bytes_;
  const uint32_t channel_at_;
  const uint32_t channel_bytes_;
};

// Where everybody has an identifier of their own, this is paid for each of them: with a text of
// 45 characters it is a block of 96 bytes.
static_assert(sizeof(ChannelIdentifier) == 40);

// Null on raw routes.
class ChannelIdentifierRef {
 public:
  ChannelIdentifierRef() = default;
  explicit ChannelIdentifierRef(ChannelIdentifier& identifier) : identifier_(&identifier) {
    ++identifier.references_;
  }
  ChannelIdentifierRef(const ChannelIdentifierRef& other) : identifier_(other.identifier_) {
    if (identifier_ != nullptr) ++identifier_->references_;
  }
  ChannelIdentifierRef(ChannelIdentifierRef&& other) noexcept
      : identifier_(std::exchange(other.identifier_, nullptr)) {}
  ChannelIdentifierRef& operator=(ChannelIdentifierRef other) noexcept {
    std::swap(identifier_, other.identifier_);
    return *this;
  }
  ~ChannelIdentifierRef();

  explicit operator bool() const { return identifier_ != nullptr; }
  const ChannelIdentifier* operator->() const { return identifier_; }
  // One text of one table is one identifier.
  friend bool operator==(const ChannelIdentifierRef&, const ChannelIdentifierRef&) = default;

 private:
  ChannelIdentifier* identifier_ = nullptr;
};

class ChannelIdentifierTable {
 public:
  // That many keep their params beyond a turn, some 60 KB a shard: where clients share a few
  // identifiers, none is decoded again for each message.
  static constexpr size_t kDecodedMax = 256;

  // Null: it is no JSON object that names a channel.
  ChannelIdentifierRef find_or_decode(std::string_view text);

  // Between turns, when no callback has what params() gave it: where more than kDecodedMax
  // hold theirs, all give them back.
  void turn_ended();

  size_t size() const { return known_.size(); }
  size_t decoded() const { return decoded_.size(); }

 private:
  friend class ChannelIdentifier;
  friend class ChannelIdentifierRef;

  struct TextOf {
    std::string_view operator()(const ChannelIdentifier& identifier) const { return identifier.text(); }
  };

  const ChannelIdentifier::Decoded& keep(const ChannelIdentifier& identifier, Json params);
  void forget(const ChannelIdentifier& identifier);
  // Nobody refers to it any longer.
  void end(ChannelIdentifier& identifier);

  PointerSet<ChannelIdentifier, TextOf> known_;
  std::vector<const ChannelIdentifier*> decoded_;
};

}  // namespace ringcast
