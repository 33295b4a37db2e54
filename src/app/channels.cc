#include "app/channels.h"

namespace ringcast {

Json sender_of(const CableConnection& connection) {
  const Json& user = connection.identifier("current_user");
  if (!user.is_null()) return user;
  return "Client " + std::to_string(connection.number());
}

// Empty: null, an object, an array or "" is not the name of a room.
std::string ChatChannel::stream() const {
  if (!params().has("room_id")) return "chat_channel";
  const std::string room = params().string("room_id");
  return room.empty() ? std::string() : "chat_" + room;
}

void ChatChannel::subscribed() {
  const std::string stream = this->stream();
  if (stream.empty()) return reject();
  stream_from(stream);
}

void ChatChannel::receive(const Json& data) {
  broadcast(stream(), {{"message", data["message"]}, {"sender", sender_of(connection())}});
}

void TickerChannel::subscribed() {
  const std::string symbol = params().string("symbol");
  if (symbol.empty()) return reject();
  stream_from("ticks:" + symbol);
}

}  // namespace ringcast
