// WebSocket frames as this server writes them, RFC 6455 section 5.2: opcodes, close
// codes, and the encoding of whole, unmasked frames into bytes the caller owns.
// Values and pure functions only; any thread.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string_view>
#include <vector>

#include "base/bytes.h"

namespace ringcast {

enum class Opcode : uint8_t {
  continuation = 0,
  text = 1,
  binary = 2,
  close = 8,
  ping = 9,
  pong = 10,
};

// Opcodes with the high bit set are control frames, also the reserved ones (5.5).
constexpr bool is_control(Opcode opcode) {
  return (static_cast<uint8_t>(opcode) & 0x8) != 0;
}

// RFC 6455 section 7.4.1 and the registry that followed it. Codes 3000-4999 belong to
// libraries and applications and have no name here.
enum class CloseCode : uint16_t {
  none = 0,  // no code: the Close frame's body is empty
  normal = 1000,
  going_away = 1001,
  protocol_error = 1002,
  unsupported_data = 1003,
  no_status = 1005,  // 1005, 1006 and 1015 are for local use and never on the wire
  abnormal = 1006,
  invalid_payload = 1007,
  policy_violation = 1008,
  message_too_big = 1009,
  mandatory_extension = 1010,
  internal_error = 1011,
  service_restart = 1012,
  try_again_later = 1013,
  bad_gateway = 1014,
  tls_failure = 1015,
};

// Whether a Close frame may carry this code, in either direction.
constexpr bool is_wire_close_code(CloseCode code) {
  const auto number = static_cast<uint16_t>(code);
  if (number >= 1000 && number <= 1003) return true;
  if (number >= 1007 && number <= 1014) return true;
  return number >= 3000 && number <= 4999;
}

// A header's first octet, and what the length in its second stands for when it is no length.
inline constexpr uint8_t kFin = 0x80;
inline constexpr uint8_t kRsv1 = 0x40;
inline constexpr uint8_t kLength16 = 126;
inline constexpr uint8_t kLength64 = 127;

inline constexpr size_t kControlPayloadBytesMax = 125;  // 5.5
inline constexpr size_t kCloseReasonBytesMax = kControlPayloadBytesMax - 2;
inline constexpr size_t kServerHeaderBytesMax = 10;  // unmasked
inline constexpr size_t kClientHeaderBytesMax = 14;  // with the masking key

// The size of an unmasked frame's header: 2, 4 or 10.
constexpr size_t frame_header_bytes(uint64_t payload_bytes) {
  if (payload_bytes <= 125) return 2;
  return payload_bytes <= 0xffff ? 4 : 10;
}

// Writes the header of a final (FIN), unmasked frame in its minimal form and returns
// its size. `to` has room for frame_header_bytes(payload_bytes). RSV1 says that the
// payload of a text or binary frame is `compressed` (RFC 7692 section 6).
size_t encode_frame_header(std::byte* to, Opcode opcode, uint64_t payload_bytes, bool compressed = false);

void append_frame(std::vector<std::byte>& out, Opcode opcode, Bytes payload, bool compressed = false);

// A Close frame. The reason is cut to fit at a UTF-8 boundary; it is left out where it
// is not valid UTF-8 (a peer would answer 1007 to that), and with CloseCode::none.
// `code` is none or satisfies is_wire_close_code.
void append_close(std::vector<std::byte>& out, CloseCode code, std::string_view reason = {});

// The length of the whole frame that starts at `at`, by its header alone; 0 while the
// header is incomplete. Only for frames this file encoded: it trusts them.
uint64_t frame_bytes(Bytes at);

}  // namespace ringcast
