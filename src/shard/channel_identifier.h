// What clients subscribe under. Thousands of them say the same text, so a shard keeps and
// parses it once for all of them; or each says a text of its own, so it is kept in one block.
// Shard thread only; the table outlives what it gives out.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <new>
#include <string_view>
#include <unordered_set>
#include <utility>

#include "base/hash.h"
#include "ringcast/json.h"

namespace ringcast {

class ChannelIdentifierTable;

// The text stands behind it, in the same block.
class ChannelIdentifier {
 public:
  ChannelIdentifier(const ChannelIdentifier&) = delete;
  ChannelIdentifier& operator=(const ChannelIdentifier&) = delete;

  // As decoded from the command.
  std::string_view text() const { return {reinterpret_cast<const char*>(this + 1), text_bytes_}; }
  // An object that names its channel.
  const Json& params() const { return *params_; }
  std::string_view channel() const { return params()["channel"].text(); }
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

  ChannelIdentifier(ChannelIdentifierTable& table, std::string_view text, Json params);
  ~ChannelIdentifier() = default;

  const Prefix& make_prefix() const;

  ChannelIdentifierTable& table_;
  uint32_t references_ = 0;
  const uint32_t text_bytes_;
  const std::unique_ptr<const Json> params_;
  mutable std::unique_ptr<const Prefix, FreeBlock> prefix_;
};

// Where everybody has an identifier of their own, this is paid for each of them.
static_assert(sizeof(ChannelIdentifier) == 32);

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
  // Null: it is no JSON object that names a channel.
  ChannelIdentifierRef find_or_decode(std::string_view text);

  size_t size() const { return known_.size(); }

 private:
  friend class ChannelIdentifierRef;

  struct Hash {
    using is_transparent = void;
    size_t operator()(std::string_view text) const { return StringHash()(text); }
    size_t operator()(const ChannelIdentifier* identifier) const { return (*this)(identifier->text()); }
  };
  struct Equal {
    using is_transparent = void;
    static std::string_view text_of(std::string_view text) { return text; }
    static std::string_view text_of(const ChannelIdentifier* identifier) { return identifier->text(); }
    bool operator()(const auto& a, const auto& b) const { return text_of(a) == text_of(b); }
  };

  // Nobody refers to it any longer.
  void end(ChannelIdentifier& identifier);

  std::unordered_set<ChannelIdentifier*, Hash, Equal> known_;
};

}  // namespace ringcast
