#include "app/demo.h"

#include "app/channels.h"
#include "app/declared_channel.h"
#include "app/declared_routes.h"
#include "app/declared_rules.h"
#include "app/in_force.h"
#include "app/json_answer.h"
#include "app/pages.h"
#include "app/producers.h"
#include "app/rooms.h"
#include "ringcast/server.h"

namespace ringcast {
namespace {

void add_probes(Server& server, const DeclaredRules& rules) {
  server.get("/health", [](const Request&, Response& response) { response.text("ok\n"); });
  server.get("/ready", [](const Request& request, Response& response) {
    const bool ready = request.server().ready();
    response.status(ready ? 200 : 503).text(ready ? "ready\n" : "draining\n");
  });
  server.get("/metrics", [&rules](const Request& request, Response& response) {
    response.body("text/plain; version=0.0.4; charset=utf-8",
                  request.server().metrics_text() + rules.metrics_text());
  });
}

void add_echo(Server& server, const Config& config) {
  server.websocket("/echo", {.message = [](WebSocket& socket, Text text) { socket.send(text); },
                             .binary = [](WebSocket& socket, Binary binary) { socket.send(binary); },
                             .message_bytes_max = config.echo_max_message_bytes});
}

void add_pages(Server& server) {
  for (const Page& page : embedded_pages()) {
    server.get(page.path, [&page](const Request&, Response& response) {
      response.header("Cache-Control", "no-cache");
      response.header("X-Content-Type-Options", "nosniff");
      response.body(page.content_type, page.content);
    });
  }
}

}  // namespace

void add_endpoints(Server& server, const Config& config, const InForce& in_force) {
  const DeclaredRules& rules = in_force.rules;
  add_probes(server, rules);
  if (config.echo) add_echo(server, config);
  add_producers(server, config, in_force.broadcast_key);
  // What is declared comes first, and takes the place of the demo's of the same name.
  CableRoute& cable = server.cable("/cable").channels(
      [&rules](std::string_view name) { return DeclaredChannel::find(rules, name); });
  add_declared_routes(server, rules);
  if (!config.demo_on()) return;
  cable.channel<ChatChannel>("ChatChannel").channel<TickerChannel>("TickerChannel");
  add_rooms(server, config.room_prefix, config.welcome);
  add_pages(server);
}

}  // namespace ringcast
