// Everything the binary serves, put on a server: the endpoints that are always there
// and, in demo mode, the page, its channels and its rooms.
#pragma once

#include "app/config.h"

namespace ringcast {

class DeclaredRules;
class Server;

// Also what the configuration file declares: `rules` outlive the server.
void add_endpoints(Server& server, const Config& config, const DeclaredRules& rules);

}  // namespace ringcast
