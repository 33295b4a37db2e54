#include "shard/routes.h"

#include <utility>

namespace ringcast {

Route Route::for_http(std::string_view method, std::string_view pattern,
                      std::unique_ptr<HttpHandler> handler) {
  Route route{.kind = Kind::http,
              .method = std::string(method),
              .name = std::string(pattern),
              .pattern = PathPattern(pattern)};
  route.http = std::move(handler);
  return route;
}

Route Route::for_websocket(std::string_view pattern, std::unique_ptr<WebSocketHandler> handler) {
  Route route{
      .kind = Kind::websocket, .method = {}, .name = std::string(pattern), .pattern = PathPattern(pattern)};
  route.websocket = std::move(handler);
  return route;
}

Route Route::for_cable(std::string_view pattern, std::unique_ptr<CableHandler> handler) {
  Route route{
      .kind = Kind::cable, .method = {}, .name = std::string(pattern), .pattern = PathPattern(pattern)};
  route.cable = std::move(handler);
  return route;
}

Routes::Match Routes::match(const UrlPath& path, std::string_view method, bool upgrade) const {
  Match result;
  bool known_websocket = false;
  for (const Route& route : routes_) {
    const bool socket = route.kind != Route::Kind::http;
    // What cannot be the answer is still worth knowing for a better refusal.
    auto parameters = route.pattern.match(path);
    if (!parameters) continue;
    if (socket ? upgrade : route.method == method || (route.method == "GET" && method == "HEAD")) {
      // A WebSocket registered later still goes before a page on the same path.
      if (upgrade && !socket) {
        if (result.route == nullptr) {
          result.route = &route;
          result.parameters = std::move(*parameters);
        }
        continue;
      }
      result.route = &route;
      result.parameters = std::move(*parameters);
      return result;
    }
    if (socket) {
      known_websocket = true;
      result.cable = result.cable || route.kind == Route::Kind::cable;
    } else if (result.allow.find(route.method) == std::string::npos) {
      if (!result.allow.empty()) result.allow += ", ";
      result.allow += route.method == "GET" ? "GET, HEAD" : route.method;
    }
  }
  if (result.route != nullptr) return result;
  if (!result.allow.empty()) {
    result.status = 405;
  } else if (known_websocket) {
    result.status = 426;
  }
  return result;
}

}  // namespace ringcast
