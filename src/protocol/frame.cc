// Encoding of the frames this server sends, RFC 6455 section 5.2. Pure; any thread.
#include "protocol/frame.h"

#include "base/assert.h"
#include "base/utf8.h"

namespace ringcast {

namespace {

std::string_view cut_reason(std::string_view reason) {
  if (reason.size() > kCloseReasonBytesMax) {
    size_t end = kCloseReasonBytesMax;
    // A continuation octet at the cut means its character would lose its tail.
    while (end > 0 && (static_cast<uint8_t>(reason[end]) & 0xc0) == 0x80) --end;
    reason = reason.substr(0, end);
  }
  return valid_utf8(as_bytes(reason)) ? reason : std::string_view{};
}

}  // namespace

size_t encode_frame_header(std::byte* to, Opcode opcode, uint64_t payload_bytes, bool compressed) {
  RC_ASSERT(!compressed || !is_control(opcode));
  to[0] = static_cast<std::byte>(kFin | (compressed ? kRsv1 : 0) | static_cast<uint8_t>(opcode));
  const size_t header_bytes = frame_header_bytes(payload_bytes);
  switch (header_bytes) {
    case 2:
      to[1] = static_cast<std::byte>(payload_bytes);
      break;
    case 4:
      to[1] = std::byte{kLength16};
      store_be16(to + 2, static_cast<uint16_t>(payload_bytes));
      break;
    default:
      to[1] = std::byte{kLength64};
      store_be64(to + 2, payload_bytes);
  }
  return header_bytes;
}

void append_frame(std::vector<std::byte>& out, Opcode opcode, Bytes payload, bool compressed) {
  RC_ASSERT(!is_control(opcode) || payload.size() <= kControlPayloadBytesMax);
  std::byte header[kServerHeaderBytesMax];
  const size_t header_bytes = encode_frame_header(header, opcode, payload.size(), compressed);
  out.insert(out.end(), header, header + header_bytes);
  out.insert(out.end(), payload.begin(), payload.end());
}

void append_close(std::vector<std::byte>& out, CloseCode code, std::string_view reason) {
  if (code == CloseCode::none) return append_frame(out, Opcode::close, {});
  RC_ASSERT(is_wire_close_code(code));
  std::byte body[kControlPayloadBytesMax];
  store_be16(body, static_cast<uint16_t>(code));
  const std::string_view kept = cut_reason(reason);
  // An empty view may have no address, which memcpy must not be given.
  if (!kept.empty()) std::memcpy(body + 2, kept.data(), kept.size());
  append_frame(out, Opcode::close, {body, 2 + kept.size()});
}

uint64_t frame_bytes(Bytes at) {
  if (at.size() < 2) return 0;
  switch (const auto length = static_cast<uint8_t>(at[1])) {
    case kLength16:
      return at.size() < 4 ? 0 : 4 + uint64_t{load_be16(&at[2])};
    case kLength64:
      return at.size() < 10 ? 0 : 10 + load_be64(&at[2]);
    default:
      return 2 + uint64_t{length};
  }
}

}  // namespace ringcast
