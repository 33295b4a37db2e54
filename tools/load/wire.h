// WebSocket frames as a client writes and reads them (RFC 6455, 5.2). Shares no code with
// the server, so that a mistake there cannot hide here. Pure functions; any thread.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

namespace load {

inline constexpr uint8_t kText = 1, kBinary = 2, kClose = 8, kPing = 9, kPong = 10;

// A frame at the front of received bytes. `bytes` is 0 while it is not all there.
struct Frame {
  uint64_t bytes = 0;
  uint8_t opcode = 0;
  bool valid = true;  // final, unmasked, no reserved bits: all a server without extensions sends us
  std::string_view payload;
};
Frame first_frame(std::string_view bytes);

// Appends a final, masked frame. The key is the same for all: what a key protects
// (proxies, from scripts) is not here.
void append_frame(std::string& out, uint8_t opcode, std::string_view payload);

// Where the payload of append_frame's frame starts, and how one octet of it is masked.
size_t header_bytes(uint64_t payload_bytes);
char masked(char octet, size_t position);

}  // namespace load
