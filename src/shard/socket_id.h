// How one Action Cable connection is named to its client ("sid" in the welcome), so that a
// producer can leave out whoever caused a message: AnyCable's meta.exclude_socket. The text
// is 32 hex digits of noise to everybody but this process; one from another process names
// nobody here. Pure; any thread.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "base/slab.h"

namespace ringcast {

struct SocketId {
  uint64_t place = 0;   // shard, slot and generation
  uint64_t secret = 0;  // the session's own; 0: this names nobody

  static SocketId of(uint16_t shard, SlotId connection, uint64_t secret);
  uint16_t shard() const { return static_cast<uint16_t>(place >> 48); }
  SlotId connection() const {
    return {static_cast<uint32_t>(place >> 24 & 0xffffff), static_cast<uint32_t>(place & 0xffffff)};
  }

  // `seed` is the process's; with another one the text reads as another place.
  std::string to_string(uint64_t seed) const;
  static std::optional<SocketId> parse(std::string_view text, uint64_t seed);

  explicit operator bool() const { return secret != 0; }
};

}  // namespace ringcast
