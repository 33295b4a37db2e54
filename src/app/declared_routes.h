// The raw routes that the configuration file declares, put on a server. Their paths are those
// of the start; what they do is what the file says now. Shard threads.
#pragma once

#include "app/declared_rules.h"

namespace ringcast {

class Server;

// `rules` outlive the server.
void add_declared_routes(Server& server, const DeclaredRules& rules);

}  // namespace ringcast
