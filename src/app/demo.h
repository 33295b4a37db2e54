// Everything the binary serves, put on a server: the endpoints that are always there
// and, in demo mode, the page, its channels and its rooms.
#pragma once

#include "app/config.h"

namespace ringcast {

class Server;

void add_endpoints(Server& server, const Config& config);

}  // namespace ringcast
