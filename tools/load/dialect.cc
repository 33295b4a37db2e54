#include "dialect.h"

#include <algorithm>
#include <charconv>

namespace load {
namespace {

void append_number(std::string& out, uint64_t number) {
  char digits[20];
  out.append(digits, std::to_chars(digits, digits + sizeof digits, number).ptr);
}

// A JSON string inside a JSON string.
std::string escaped(std::string_view json) {
  std::string text;
  for (const char c : json) {
    if (c == '"' || c == '\\') text += '\\';
    text += c;
  }
  return text;
}

}  // namespace

void append_text(std::string& out, Note note, size_t bytes) {
  const size_t begin = out.size();
  out += '#';
  append_number(out, note.flow);
  out += '.';
  append_number(out, note.number);
  out += '.';
  const size_t size = out.size() - begin;
  if (size < bytes) out.append(bytes - size, 'x');
}

std::optional<Delivery> read_delivery(std::string_view message, std::string_view pad) {
  // The octet that is rare is looked for: quotes are everywhere in JSON.
  constexpr std::string_view kMarker = R"("message":"#)";
  size_t at = message.find('#');
  while (at != message.npos && !message.substr(0, at + 1).ends_with(kMarker)) at = message.find('#', at + 1);
  if (at == message.npos) return std::nullopt;
  const char* const text = message.data() + at;
  const char* const end = message.data() + message.size();
  Delivery delivery;
  const auto flow = std::from_chars(text + 1, end, delivery.note.flow);
  if (flow.ec != std::errc() || flow.ptr == end || *flow.ptr != '.') return delivery;
  const auto number = std::from_chars(flow.ptr + 1, end, delivery.note.number);
  if (number.ec != std::errc() || number.ptr == end || *number.ptr != '.') return delivery;
  const char* const first_x = number.ptr + 1;
  const auto fixed = static_cast<size_t>(first_x - text);
  pad.remove_prefix(std::min(fixed, pad.size()));
  const std::string_view rest(first_x, static_cast<size_t>(end - first_x));
  delivery.whole = rest.size() > pad.size() && rest.starts_with(pad) && rest[pad.size()] == '"';
  return delivery;
}

std::string stream_name(std::string_view base, uint64_t stream, uint64_t count) {
  return count == 1 ? std::string(base) : std::string(base) + "-" + std::to_string(stream);
}

std::string cable_identifier(std::string_view room, std::optional<uint64_t> distinct) {
  std::string json = R"({"channel":"ChatChannel","room_id":")" + std::string(room) + "\"";
  if (distinct) json += ",\"n\":" + std::to_string(*distinct);
  return json + "}";
}

std::string cable_subscribe(std::string_view identifier) {
  return R"({"command":"subscribe","identifier":")" + escaped(identifier) + "\"}";
}

std::string cable_message(std::string_view identifier, std::string_view text) {
  return R"({"command":"message","identifier":")" + escaped(identifier) + R"(","data":"{\"message\":\")" +
         std::string(text) + R"(\",\"action\":\"receive\"}"})";
}

std::string raw_message(std::string_view text) {
  return R"({"message":")" + std::string(text) + "\"}";
}

}  // namespace load
