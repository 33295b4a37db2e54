// Frames as a client sends them, right and wrong ones alike, for every suite that talks
// WebSocket to the code under test. Knows nothing of src/: what it writes comes from
// RFC 6455 section 5.2 alone. Values only; any thread.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace ringcast {

struct ClientFrame {
  unsigned opcode = 1;
  std::string_view payload = {};
  bool fin = true;
  unsigned rsv = 0;  // RSV1 is 4, RSV2 2, RSV3 1
  bool masked = true;
  std::array<uint8_t, 4> key = {0x37, 0xfa, 0x21, 0x3d};
  // The header's form (7, 16 or 64 bits of length) and length, where they should not
  // be the payload's own.
  unsigned length_bits = 0;
  std::optional<uint64_t> declared_bytes = std::nullopt;
};

inline std::string encode(const ClientFrame& frame) {
  const uint64_t bytes = frame.declared_bytes.value_or(frame.payload.size());
  unsigned bits = frame.length_bits;
  if (bits == 0) bits = bytes <= 125 ? 7 : bytes <= 0xffff ? 16 : 64;

  std::string wire;
  wire.reserve(14 + frame.payload.size());
  wire += static_cast<char>((frame.fin ? 0x80u : 0u) | frame.rsv << 4 | frame.opcode);
  const unsigned mask_bit = frame.masked ? 0x80u : 0u;
  if (bits == 7) {
    wire += static_cast<char>(mask_bit | bytes);
  } else {
    wire += static_cast<char>(mask_bit | (bits == 16 ? 126u : 127u));
    for (unsigned shift = bits; shift > 0; shift -= 8) wire += static_cast<char>(bytes >> (shift - 8));
  }
  if (!frame.masked) return wire.append(frame.payload);
  for (const uint8_t octet : frame.key) wire += static_cast<char>(octet);
  const size_t at = wire.size();
  wire.append(frame.payload);
  for (size_t i = 0; i < frame.payload.size(); ++i) {
    wire[at + i] = static_cast<char>(static_cast<uint8_t>(wire[at + i]) ^ frame.key[i % 4]);
  }
  return wire;
}

// A Close frame with a code and a reason.
inline std::string encode_close(unsigned code, std::string_view reason = {}) {
  std::string body{static_cast<char>(code >> 8), static_cast<char>(code)};
  body.append(reason);
  return encode({.opcode = 8, .payload = body});
}

}  // namespace ringcast
