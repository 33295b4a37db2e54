#include "app/channels.h"

namespace ringcast {

Json sender_of(const CableConnection& connection) {
  const Json& user = connection.identifier("current_user");
  if (!user.is_null()) return user;
  return "Client " + std::to_string(connection.number());
}

void ChatChannel::subscribed() {
  if (!params().has("room_id")) {
    stream_ = "chat_channel";
  } else if (const std::string room = params().string("room_id"); !room.empty()) {
    stream_ = "chat_" + room;
  } else {
    return reject();  // null, an object, an array, "": not the name of a room
  }
  stream_from(stream_);
}

void ChatChannel::receive(const Json& data) {
  broadcast(stream_, {{"message", data["message"]}, {"sender", sender_of(connection())}});
}

void TickerChannel::subscribed() {
  const std::string symbol = params().string("symbol");
  if (symbol.empty()) return reject();
  stream_from("ticks:" + symbol);
}

}  // namespace ringcast
