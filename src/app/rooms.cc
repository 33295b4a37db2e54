#include "app/rooms.h"

#include <algorithm>
#include <optional>

#include "app/pages.h"
#include "ringcast/server.h"

namespace ringcast {
namespace {

constexpr std::string_view kEverybody = "websocket";
constexpr size_t kRoomBytesMax = 200;
constexpr uint16_t kPolicyViolation = 1008;

// What a socket chats on, by its request.
struct Seat {
  std::string room;  // empty: with everybody
  std::string stream;
};
using FindSeat = std::function<Seat(const WebSocket&)>;

void answer_error(WebSocket& socket, std::string_view error) {
  socket.send({{"error", error}});
}

// The chat's one rule about messages: a JSON object. Nothing when the sender was told off.
std::optional<Json> read_object(WebSocket& socket, std::string_view text) {
  std::string_view problem;
  std::optional<Json> json = Json::parse(text, &problem);
  if (!json) {
    answer_error(socket, "Invalid JSON format: " + std::string(problem));
    return std::nullopt;
  }
  if (!json->is_object()) {
    answer_error(socket, "Server error: expected a JSON object");
    return std::nullopt;
  }
  return json;
}

void sit_down(WebSocket& socket, const Seat& seat) {
  if (!seat.room.empty() && !valid_room(seat.room)) {
    return socket.close(kPolicyViolation, "not the name of a room");
  }
  if (!socket.stream_from(seat.stream)) socket.close(kPolicyViolation, "the stream's name is too long");
}

void hear(WebSocket& socket, const Seat& seat, Text text) {
  std::optional<Json> heard = read_object(socket, text);
  if (!heard) return;

  Json said;
  const std::string sender = "Client " + std::to_string(socket.number());
  if (!seat.room.empty()) {
    // A room passes on whatever it is given; only who said it is not the client's to say.
    said = std::move(*heard);
    said.set("sender", sender);
  } else {
    if (!heard->has("message")) return answer_error(socket, "Invalid JSON format: there is no \"message\"");
    said = {{"message", (*heard)["message"]}, {"sender", sender}};
  }
  const BroadcastStatus status = socket.broadcast(seat.stream, said);
  if (status != BroadcastStatus::ok) {
    answer_error(socket, status == BroadcastStatus::too_large ? "Server error: the message is too large"
                                                              : "Server error: too busy, try again");
  }
}

void serve_page(const Request&, Response& response) {
  for (const Page& page : embedded_pages()) {
    if (page.path == "/") response.body(page.content_type, page.content);
  }
}

WebSocketRoute chat(std::function<void(WebSocket&)> open, FindSeat seat) {
  return {
      .open = std::move(open),
      .message = [seat = std::move(seat)](WebSocket& socket, Text text) { hear(socket, seat(socket), text); },
      .binary = [](WebSocket& socket,
                   Binary) { answer_error(socket, "Invalid JSON format: a binary message holds none"); },
      .close =
          [](WebSocket& socket, uint16_t code, std::string_view reason) {
            socket.log(LogLevel::debug, "left", {{"code", uint64_t{code}}, {"reason", reason}});
          },
      .error =
          [](WebSocket& socket, std::string_view reason) {
            socket.log(LogLevel::info, "websocket_error", {{"reason", reason}});
          },
      .page = serve_page};
}

}  // namespace

bool valid_room(std::string_view room) {
  return !room.empty() && room.size() <= kRoomBytesMax &&
         std::ranges::none_of(room, [](unsigned char c) { return c < 0x20 || c == 0x7f; });
}

void add_rooms(Server& server, const std::string& room_prefix, const std::string& welcome) {
  const FindSeat by_query = [room_prefix](const WebSocket& socket) {
    std::string room = socket.query("room");
    std::string stream = room.empty() ? std::string(kEverybody) : room_prefix + room;
    return Seat{std::move(room), std::move(stream)};
  };
  const FindSeat by_path = [room_prefix](const WebSocket& socket) {
    std::string room = socket.parameter("room");
    std::string stream = room_prefix + room;
    return Seat{std::move(room), std::move(stream)};
  };
  const auto enter = [by_query, welcome](WebSocket& socket) {
    const Seat seat = by_query(socket);
    sit_down(socket, seat);
    if (seat.room.empty()) socket.send({{"message", welcome}, {"sender", "Server"}});
  };
  const auto enter_room = [by_path](WebSocket& socket) { sit_down(socket, by_path(socket)); };
  server.websocket("/websocket", chat(enter, by_query));
  server.websocket("/websocket/:room", chat(enter_room, by_path));
}

}  // namespace ringcast
