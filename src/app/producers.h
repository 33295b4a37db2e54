// Publishing over HTTP: POST /send_message_to_room/ROOM and POST /_broadcast. Shard
// threads.
#pragma once

#include "app/config.h"

namespace ringcast {

class Request;
class BroadcastKey;
class Server;

void add_producers(Server& server, const Config& config, const BroadcastKey& key);

// Whether a request that carries no key comes straight from a program or page of this
// machine: no proxy passed it on, no foreign page sent it, and it was addressed to a
// loopback name. What the demo asks instead of a key.
bool is_local_request(const Request& request);

}  // namespace ringcast
