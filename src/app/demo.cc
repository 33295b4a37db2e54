#include "app/demo.h"

#include "app/channels.h"
#include "app/json_answer.h"
#include "app/pages.h"
#include "app/producers.h"
#include "app/rooms.h"
#include "ringcast/server.h"

namespace ringcast {
namespace {

void add_probes(Server& server) {
  server.get("/health", [](const Request&, Response& response) { response.text("ok\n"); });
  server.get("/ready", [](const Request& request, Response& response) {
    const bool ready = request.server().ready();
    response.status(ready ? 200 : 503).text(ready ? "ready\n" : "draining\n");
  });
  server.get("/metrics", [](const Request& request, Response& response) {
    response.body("text/plain; version=0.0.4; charset=utf-8", request.server().metrics_text());
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

void add_endpoints(Server& server, const Config& config) {
  add_probes(server);
  if (config.echo) add_echo(server, config);
  add_producers(server, config);
  CableRoute& cable = server.cable("/cable");
  if (!config.demo_on()) return;
  cable.channel<ChatChannel>("ChatChannel").channel<TickerChannel>("TickerChannel");
  add_rooms(server, config.room_prefix, config.welcome);
  add_pages(server);
}

}  // namespace ringcast
