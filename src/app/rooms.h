// The raw WebSocket chat: everybody on /websocket, rooms on /websocket/ROOM. Plain
// functions on sockets; shard threads.
#pragma once

#include <string>
#include <string_view>

namespace ringcast {

class Server;

// 1..200 bytes, none of them a control character: what may be a room's name.
bool valid_room(std::string_view room);

// Adds the two routes. A room's stream is `room_prefix` and its name; who comes to
// /websocket itself is sent `welcome`.
void add_rooms(Server& server, const std::string& room_prefix, const std::string& welcome);

}  // namespace ringcast
