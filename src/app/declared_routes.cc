#include "app/declared_routes.h"

#include <algorithm>
#include <chrono>
#include <optional>
#include <string>
#include <utility>

#include "ringcast/server.h"

namespace ringcast {
namespace {

constexpr uint16_t kPolicy = 1008;

// The members of `path` and `query` that the rules speak of, as they were asked for.
struct RouteValues {
  Json path = Json::object();
  Json query = Json::object();

  // `from` is the request or the socket. What is not there is null, and has its default.
  template <class From>
  static RouteValues read(const RouteRules& route, const From& from) {
    RouteValues values;
    for (const std::string& name : route.path_names) {
      if (std::string value = from.parameter(name); !value.empty()) values.path.set(name, std::move(value));
    }
    for (const std::string& name : route.query_names) {
      if (std::string value = from.query(name); !value.empty()) values.query.set(name, std::move(value));
    }
    return values;
  }
};

// A socket's place at a route: what was found when it opened.
struct Place {
  DeclaredRules::Held held;
  const RouteRules* route = nullptr;  // in what is held; null: it is declared no longer
  RouteValues values;
  Json number;
  Json sender;
  std::string stream;
  RateGate rate;
};

class DeclaredRoute {
 public:
  // As the route was when the server started: whether it asks who comes stays.
  DeclaredRoute(const DeclaredRules& rules, const RouteRules& route)
      : rules_(rules), path_(route.path), anonymous_(route.anonymous) {}

  bool allow(const Request& request, const Json& identifiers) const {
    const DeclaredRules::Held held = rules_.hold();
    const RouteRules* const route = held->route(path_);
    if (route == nullptr) return refused(request, Refusal::rule, "the route is no longer declared");
    if (anonymous_ && !route->anonymous) return refused(request, Refusal::rule, "it needs a restart");
    const RouteValues values = RouteValues::read(*route, request);
    const TemplateValues known = known_of(values, identifiers);
    if (const Condition* const unmet = first_unmet(route->join, known)) {
      return refused(request, Refusal::rule, unmet->said());
    }
    std::string why;
    if (!route->stream.name(known, &why)) return refused(request, Refusal::stream, why);
    return true;
  }

  void open(WebSocket& socket) const {
    Place& place = socket.data<Place>();
    place.held = rules_.hold();
    place.number = socket.number();
    settle(socket, place);
    // Between the handshake and here the file may have been read again.
    const std::optional<std::string> stream =
        place.route == nullptr ? std::nullopt
                               : place.route->stream.name(known_of(place.values, socket.identifiers()));
    if (!stream || !socket.stream_from(*stream)) {
      return socket.close(kPolicy, "there is no stream of that name");
    }
    place.stream = *stream;
    if (!place.route->welcome) return;
    std::string json, text;
    const TemplateValues values = opened(place, socket);
    if (place.route->welcome->render(values, most(place, socket), json) == PayloadTemplate::Rendering::ok) {
      socket.send(spoken(json, text));
    }
  }

  void message(WebSocket& socket, Text text) const {
    Place& place = socket.data<Place>();
    if (place.stream.empty()) return;  // turned away, and its Close is on the way
    if (rules_.refresh(place.held)) settle(socket, place);
    if (place.route == nullptr) return refuse(socket, Refusal::rule, "the route is no longer declared");
    const RouteRules& route = *place.route;
    if (!route.publishing) return refuse(socket, Refusal::rule, "this route takes no messages");
    if (!place.rate.pass(route.limits.rate, std::chrono::steady_clock::now())) {
      return refuse(socket, Refusal::rate, "too many messages");
    }
    if (route.limits.bytes != 0 && text.size() > route.limits.bytes) {
      return refuse(socket, Refusal::size, "the message is too large");
    }
    speak(socket, place, text);
  }

 private:
  static TemplateValues known_of(const RouteValues& values, const Json& identifiers) {
    TemplateValues known;
    known.set(TemplateRoot::path, values.path).set(TemplateRoot::query, values.query);
    known.set(TemplateRoot::identifiers, identifiers);
    return known;
  }
  static TemplateValues opened(const Place& place, const WebSocket& socket) {
    TemplateValues values = known_of(place.values, socket.identifiers());
    values.set(TemplateRoot::number, place.number).set(TemplateRoot::sender, place.sender);
    return values;
  }
  static uint64_t most(const Place& place, const WebSocket& socket) {
    return place.route->limits.payload_bytes_max(socket.server().options());
  }

  // The rules of now.
  void settle(WebSocket& socket, Place& place) const {
    place.route = place.held->route(path_);
    if (place.route == nullptr) return;
    place.values = RouteValues::read(*place.route, socket);
    place.sender = Json();
    if (!place.route->sender) return;
    Json made;
    const TemplateValues values = opened(place, socket);
    if (const Placeholder* const one = place.route->sender->bare()) {
      place.sender = one->find(values, made);
    } else if (auto name = place.route->sender->name(values)) {
      place.sender = std::move(*name);
    }
  }

  // A payload that is one string goes out as that string: raw sockets are not bound to JSON.
  static std::string_view spoken(const std::string& json, std::string& text) {
    if (!json.starts_with('"')) return json;
    text = Json::parse(json).value_or(Json()).text();
    return text;
  }

  void speak(WebSocket& socket, const Place& place, Text text) const {
    const RouteRules& route = *place.route;
    const bool in_object = !route.message && route.sender;
    const bool looks_inside = in_object || route.reads_data;
    Json data, whole;
    if (looks_inside) {
      std::string_view problem;
      std::optional<Json> parsed = Json::parse(text, &problem);
      if (!parsed) return refuse(socket, Refusal::message, "Invalid JSON format: " + std::string(problem));
      data = std::move(*parsed);
      if (in_object && !data.is_object()) {
        return refuse(socket, Refusal::message, "expected a JSON object");
      }
    }
    if (route.reads_text) whole = text.view();
    TemplateValues values = opened(place, socket);
    values.set(TemplateRoot::data, data).set(TemplateRoot::text, whole);
    if (const Condition* const unmet = first_unmet(route.publish, values)) {
      return refuse(socket, Refusal::rule, "not allowed: " + unmet->said());
    }
    BroadcastStatus status = BroadcastStatus::ok;
    if (route.message) {
      // One for each thread: as long as the longest message there was.
      thread_local std::string payload, plain;
      if (route.message->render(values, most(place, socket), payload) != PayloadTemplate::Rendering::ok) {
        return refuse(socket, Refusal::payload, "the message is too large");
      }
      status = socket.broadcast(place.stream, spoken(payload, plain));
    } else if (in_object) {
      data.set("sender", place.sender);
      status = socket.broadcast(place.stream, data);
    } else {
      status = socket.broadcast(place.stream, text);
    }
    if (status != BroadcastStatus::ok) {
      refuse(socket, Refusal::payload,
             status == BroadcastStatus::too_large ? "the message is too large" : to_string(status));
    }
  }

  void refuse(WebSocket& socket, Refusal why, std::string_view reason) const {
    socket.send({{"error", reason}});
    uint64_t unsaid = 0;
    if (!rules_.refused(why, unsaid)) return;
    socket.log(LogLevel::info, "message_refused",
               {{"route", std::string_view(path_)},
                {"reason", to_string(why)},
                {"why", reason},
                {"unsaid", unsaid}});
  }

  bool refused(const Request& request, Refusal why, std::string_view reason) const {
    uint64_t unsaid = 0;
    if (rules_.refused(why, unsaid)) {
      request.server().log(LogLevel::info, "join_refused",
                           {{"route", std::string_view(path_)},
                            {"address", std::string_view(request.remote_address())},
                            {"reason", to_string(why)},
                            {"why", reason},
                            {"unsaid", unsaid}});
    }
    return false;
  }

  const DeclaredRules& rules_;
  const std::string path_;
  const bool anonymous_;
};

}  // namespace

void add_declared_routes(Server& server, const DeclaredRules& rules) {
  const DeclaredRules::Held held = rules.hold();
  for (const RouteRules& route : held->routes) {
    const DeclaredRoute declared(rules, route);
    server.websocket(
        route.path,
        {.open = [declared](WebSocket& socket) { declared.open(socket); },
         .message = [declared](WebSocket& socket, Text text) { declared.message(socket, text); },
         .identified = !route.anonymous,
         .allow = [declared](const Request& request,
                             const Json& identifiers) { return declared.allow(request, identifiers); }});
  }
}

}  // namespace ringcast
