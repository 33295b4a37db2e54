// Everything the binary serves, put on a server: the endpoints that are always there
// and, in demo mode, the page, its channels and its rooms.
#pragma once

#include "app/config.h"

namespace ringcast {

class Server;
struct InForce;

// `in_force` outlives the server.
void add_endpoints(Server& server, const Config& config, const InForce& in_force);

}  // namespace ringcast
