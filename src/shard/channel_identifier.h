// What clients subscribe under. Thousands of them say the same text, so a shard keeps and
// parses it once for all of them. Shard thread only; the table outlives what it gives out.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <unordered_set>
#include <utility>

#include "base/hash.h"
#include "ringcast/json.h"

namespace ringcast {

class ChannelIdentifierTable;

struct ChannelIdentifier {
  ChannelIdentifierTable& table;
  uint32_t references;
  const std::string text;                                       // as decoded from the command
  const Json params;                                            // an object that names its channel
  mutable std::unique_ptr<const std::string> prefix = nullptr;  // see broadcast_prefix()

  std::string_view channel() const { return params["channel"].text(); }
  // What stands before a payload. Made when first asked for: many are never sent anything.
  const std::string& broadcast_prefix() const;
};

// Null on raw routes.
class ChannelIdentifierRef {
 public:
  ChannelIdentifierRef() = default;
  explicit ChannelIdentifierRef(ChannelIdentifier& identifier) : identifier_(&identifier) {
    ++identifier.references;
  }
  ChannelIdentifierRef(const ChannelIdentifierRef& other) : identifier_(other.identifier_) {
    if (identifier_ != nullptr) ++identifier_->references;
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
    size_t operator()(const ChannelIdentifier* identifier) const { return (*this)(identifier->text); }
  };
  struct Equal {
    using is_transparent = void;
    static std::string_view text_of(std::string_view text) { return text; }
    static std::string_view text_of(const ChannelIdentifier* identifier) { return identifier->text; }
    bool operator()(const auto& a, const auto& b) const { return text_of(a) == text_of(b); }
  };

  std::unordered_set<ChannelIdentifier*, Hash, Equal> known_;
};

}  // namespace ringcast
