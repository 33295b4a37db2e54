// Action Cable as a client writes it. Built from the protocol's description alone;
// shares no code with src/. Values only; any thread.
#pragma once

#include <string>
#include <string_view>

#include "support/client_frames.h"

namespace ringcast::blackbox {

// A JSON string of printable ASCII.
inline std::string json_string(std::string_view text) {
  std::string quoted = "\"";
  for (const char c : text) {
    if (c == '"' || c == '\\') quoted += '\\';
    quoted += c;
  }
  return quoted += '"';
}

inline std::string chat_identifier(std::string_view room) {
  return R"({"channel":"ChatChannel","room_id":)" + json_string(room) + "}";
}
inline std::string ticker_identifier(std::string_view symbol) {
  return R"({"channel":"TickerChannel","symbol":)" + json_string(symbol) + "}";
}

// Each is a whole masked frame.
inline std::string cable_command(std::string_view command, std::string_view identifier) {
  return encode({.payload = R"({"command":")" + std::string(command) + R"(","identifier":)" +
                            json_string(identifier) + "}"});
}
inline std::string cable_subscribe(std::string_view identifier) {
  return cable_command("subscribe", identifier);
}
inline std::string cable_perform(std::string_view identifier, std::string_view data) {
  return encode({.payload = R"({"command":"message","identifier":)" + json_string(identifier) +
                            R"(,"data":)" + json_string(data) + "}"});
}

// What a subscriber is sent of a broadcast whose payload is that JSON.
inline std::string cable_broadcast(std::string_view identifier, std::string_view json) {
  return R"({"identifier":)" + json_string(identifier) + R"(,"message":)" + std::string(json) + "}";
}
inline std::string cable_confirmation(std::string_view identifier) {
  return R"({"identifier":)" + json_string(identifier) + R"(,"type":"confirm_subscription"})";
}
inline std::string cable_rejection(std::string_view identifier) {
  return R"({"identifier":)" + json_string(identifier) + R"(,"type":"reject_subscription"})";
}

inline constexpr std::string_view kCableWelcome = R"({"type":"welcome"})";
inline constexpr std::string_view kCableProtocol = "Sec-WebSocket-Protocol: actioncable-v1-json\r\n";

inline bool is_cable_ping(std::string_view payload) {
  return payload.starts_with(R"({"type":"ping")");
}

}  // namespace ringcast::blackbox
