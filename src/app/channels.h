// The demo's Action Cable channels. One object per subscription, on its connection's
// shard.
#pragma once

#include <string>

#include "ringcast/channel.h"

namespace ringcast {

// Who sent something: the connection's current_user, else "Client N".
Json sender_of(const CableConnection& connection);

// A chat for everybody, or one per room_id; 7 and "7" are one room.
class ChatChannel final : public Channel {
 public:
  void subscribed() override;
  void receive(const Json& data) override;

 private:
  std::string stream() const;
};

// Prices of one symbol, published by the ticker (ticker.h) or by anybody else.
class TickerChannel final : public Channel {
 public:
  void subscribed() override;
};

}  // namespace ringcast
