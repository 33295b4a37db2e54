#include "shard/socket_id.h"

#include "base/bytes.h"
#include "base/hash.h"
#include "base/number.h"

namespace ringcast {
namespace {

constexpr size_t kDigits = 16;

uint64_t mask_of(uint64_t secret, uint64_t seed) {
  return hash64({reinterpret_cast<const char*>(&secret), sizeof secret}, seed);
}

void append_hex(std::string& out, uint64_t number) {
  for (int shift = 60; shift >= 0; shift -= 4) out += "0123456789abcdef"[number >> shift & 15];
}

}  // namespace

// More slots than 2^24 on one shard wrap: then an id may name somebody else's place, whose
// secret is another.
SocketId SocketId::of(uint16_t shard, SlotId connection, uint64_t secret) {
  return {uint64_t{shard} << 48 | uint64_t{connection.slot & 0xffffff} << 24 |
              uint64_t{connection.generation & 0xffffff},
          secret};
}

std::string SocketId::to_string(uint64_t seed) const {
  std::string text;
  append_hex(text, secret);
  append_hex(text, place ^ mask_of(secret, seed));
  return text;
}

std::optional<SocketId> SocketId::parse(std::string_view text, uint64_t seed) {
  if (text.size() != 2 * kDigits) return std::nullopt;
  const std::optional<uint64_t> secret = parse_number<uint64_t>(text.substr(0, kDigits), 16);
  const std::optional<uint64_t> masked = parse_number<uint64_t>(text.substr(kDigits), 16);
  if (!secret || !masked || *secret == 0) return std::nullopt;
  return SocketId{*masked ^ mask_of(*secret, seed), *secret};
}

}  // namespace ringcast
