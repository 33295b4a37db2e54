#include "shard/socket_id.h"

#include <charconv>

#include "base/bytes.h"
#include "base/hash.h"

namespace ringcast {
namespace {

constexpr size_t kDigits = 16;

uint64_t mask_of(uint64_t secret, uint64_t seed) {
  return hash64({reinterpret_cast<const char*>(&secret), sizeof secret}, seed);
}

void append_hex(std::string& out, uint64_t number) {
  for (int shift = 60; shift >= 0; shift -= 4) out += "0123456789abcdef"[number >> shift & 15];
}

std::optional<uint64_t> parse_hex(std::string_view digits) {
  uint64_t number = 0;
  const auto [end, error] = std::from_chars(digits.data(), digits.data() + digits.size(), number, 16);
  if (error != std::errc() || end != digits.data() + digits.size()) return std::nullopt;
  return number;
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
  const std::optional<uint64_t> secret = parse_hex(text.substr(0, kDigits));
  const std::optional<uint64_t> masked = parse_hex(text.substr(kDigits));
  if (!secret || !masked || *secret == 0) return std::nullopt;
  return SocketId{*masked ^ mask_of(*secret, seed), *secret};
}

}  // namespace ringcast
