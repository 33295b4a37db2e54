// The table of what is served where. Built before the shards start, then shared
// by all of them and never changed. First match in order of registration wins.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "protocol/url.h"
#include "shard/handlers.h"
#include "shard/limits.h"

namespace ringcast {

struct Route {
  enum class Kind : uint8_t { http, websocket, cable };

  Kind kind;
  std::string method;  // http: "GET" (answers HEAD too), "POST", …
  std::string name;    // the pattern as written: the label `route` of metrics
  PathPattern pattern;

  // Exactly the one that `kind` names is set.
  std::unique_ptr<HttpHandler> http = {};
  std::unique_ptr<WebSocketHandler> websocket = {};
  std::unique_ptr<CableHandler> cable = {};

  uint64_t message_bytes = 0;                // websocket, cable: 0 takes Limits::message_bytes
  uint64_t request_body_bytes = 0;           // http: 0 takes Limits::request_body_bytes
  std::optional<LapPolicy> lap_policy = {};  // websocket, cable: where no stream's name says another
  bool check_origin = true;                  // websocket, cable
  bool text_only = false;                    // websocket: a binary message is 1003

  static Route for_http(std::string_view method, std::string_view pattern,
                        std::unique_ptr<HttpHandler> handler);
  static Route for_websocket(std::string_view pattern, std::unique_ptr<WebSocketHandler> handler);
  static Route for_cable(std::string_view pattern, std::unique_ptr<CableHandler> handler);
};

class Routes {
 public:
  void add(Route route) { routes_.push_back(std::move(route)); }

  struct Match {
    const Route* route = nullptr;
    std::vector<PathParameter> parameters;
    // When there is no route: 404; 405 with `allow` if the path is known by other
    // methods; 426 if it is known as a WebSocket only.
    int status = 404;
    std::string allow;
    bool cable = false;  // a plain request for a cable's path: 404 "Page not found", as Rails
  };

  // `upgrade`: the request asks for a WebSocket. A path may carry both kinds; an
  // upgrade prefers the WebSocket, a plain request never gets it.
  Match match(const UrlPath& path, std::string_view method, bool upgrade) const;

 private:
  std::vector<Route> routes_;
};

}  // namespace ringcast
