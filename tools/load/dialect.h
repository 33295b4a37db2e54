// What is said to a server and how its answers read: raw rooms, and Action Cable's
// ChatChannel. A message's text is "#FLOW.NUMBER." and then x's up to its size: it says
// by itself which of a flow's messages it is, and whether it is whole.
//
// A flow is one publisher's messages on one stream: what must come in order. Pure
// functions and values; any thread.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace load {

inline constexpr std::string_view kCableSubprotocol = "actioncable-v1-json";

struct Note {
  uint32_t flow = 0;
  uint64_t number = 0;
};

// The text of `bytes` octets (more if the numbers need it).
void append_text(std::string& out, Note note, size_t bytes);

// What a delivered message says, wherever its JSON carries the text; nothing if it carries
// none (a ping, a confirmation). `whole` is false where the text is not what was sent.
// `pad` is as many x's as a text has octets: it decides how many there must be.
struct Delivery {
  Note note;
  bool whole = false;
};
std::optional<Delivery> read_delivery(std::string_view message, std::string_view pad);

// The name of one of `count` streams: base, or base-3.
std::string stream_name(std::string_view base, uint64_t stream, uint64_t count);

// What a client sends, as payloads.
std::string cable_identifier(std::string_view room, std::optional<uint64_t> distinct);
std::string cable_subscribe(std::string_view identifier);
std::string cable_message(std::string_view identifier, std::string_view text);
std::string raw_message(std::string_view text);

}  // namespace load
