#include "app/producers.h"

#include <algorithm>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "app/in_force.h"
#include "app/json_answer.h"
#include "app/rooms.h"
#include "ringcast/server.h"

namespace ringcast {
namespace {

bool equal_no_case(std::string_view a, std::string_view b) {
  const auto lower = [](char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c + 32) : c; };
  return std::ranges::equal(a, b, {}, lower, lower);
}

bool is_loopback_host(std::string_view host) {
  if (host.starts_with("[")) return host == "[::1]" || host.starts_with("[::1]:");
  const std::string_view name = host.substr(0, host.find(':'));
  return equal_no_case(name, "localhost") || is_loopback(std::string(name) + ":0");
}

// In a time that tells nothing about where the two differ.
bool equal_secrets(std::string_view a, std::string_view b) {
  if (a.size() != b.size()) return false;
  unsigned difference = 0;
  for (size_t i = 0; i < a.size(); ++i) difference |= static_cast<unsigned char>(a[i] ^ b[i]);
  return difference == 0;
}

bool carries_key(const Request& request, std::string_view key) {
  constexpr std::string_view kScheme = "bearer ";
  const std::string_view header = request.header("authorization");
  return !key.empty() && header.size() > kScheme.size() &&
         equal_no_case(header.substr(0, kScheme.size()), kScheme) &&
         equal_secrets(header.substr(kScheme.size()), key);
}

// No foreign page in a browser sent it.
bool is_own_page_or_none(const Request& request) {
  const std::string host(request.header("host"));
  const std::string_view origin = request.header("origin");
  // Which of the two schemes it is, a proxy in front of us knows and we do not.
  if (request.has_header("origin") && !equal_no_case(origin, "http://" + host) &&
      !equal_no_case(origin, "https://" + host)) {
    return false;
  }
  // Browsers say where a request comes from; "none" is the user, by hand.
  const std::string_view site = request.header("sec-fetch-site");
  return site.empty() || site == "same-origin" || site == "none";
}

// Whom a producer without a key takes messages from.
enum class Open : uint8_t { to_nobody, to_this_machine, to_everybody };

Open openness(const Config& config) {
  if (!config.demo_on()) return Open::to_nobody;
  return config.demo_anywhere ? Open::to_everybody : Open::to_this_machine;
}

// Whether this request may publish; else it has its answer.
class Door {
 public:
  // Without a key nobody has to carry one.
  Door(const BroadcastKey* key, Open open) : key_(key), open_(open) {}

  bool opens(const Request& request, Response& response) const {
    const std::string key = key_ == nullptr ? std::string() : key_->get();
    if (carries_key(request, key)) return true;
    if (!key.empty() || open_ == Open::to_nobody) {
      response.header("WWW-Authenticate", "Bearer");
      answer_error(response, 401,
                   key.empty() ? "Publishing is off: there is no broadcast key"
                               : "The broadcast key is missing or wrong");
      return false;
    }
    if (open_ == Open::to_everybody) {
      if (is_own_page_or_none(request)) return true;
      answer_error(response, 403, "The demo takes no messages from other sites' pages");
    } else {
      if (is_local_request(request)) return true;
      answer_error(response, 403, "The demo takes messages from this machine only");
    }
    return false;
  }

 private:
  const BroadcastKey* const key_;
  const Open open_;
};

bool answer_failure(Response& response, BroadcastStatus status) {
  switch (status) {
    case BroadcastStatus::ok:
      return false;
    case BroadcastStatus::too_large:
      answer_error(response, 413, "The message or its stream's name is too long");
      break;
    case BroadcastStatus::invalid:
      answer_error(response, 422, "The message is not UTF-8");
      break;
    case BroadcastStatus::full:
    case BroadcastStatus::stopped:
      response.header("Retry-After", "1");
      answer_error(response, 503, "The server cannot take messages at the moment");
      break;
  }
  return true;
}

bool is_json(const Request& request) {
  const std::string_view type = request.header("content-type");
  return equal_no_case(type.substr(0, std::min(type.find_first_of("; \t"), type.size())), "application/json");
}

// --- POST /send_message_to_room/ROOM -----------------------------------------------------

void send_to_room(const Request& request, Response& response, const std::string& room_prefix) {
  const std::string room = request.parameter("room");
  if (!valid_room(room)) return answer_error(response, 422, "That is not the name of a room");

  Json message;
  Json sender = "HTTP API";
  if (is_json(request)) {
    std::string_view problem;
    const std::optional<Json> body = Json::parse(request.body(), &problem);
    if (!body) return answer_error(response, 400, "The body is not JSON: " + std::string(problem));
    if (!body->is_object()) return answer_error(response, 422, "The body is no JSON object");
    message = (*body)["message"];
    if (body->has("sender")) sender = (*body)["sender"];
  } else {
    if (request.has_form("message")) message = request.form("message");
    if (request.has_form("sender")) sender = request.form("sender");
  }
  if (message.is_null()) return answer_error(response, 422, "There is no message");

  const Json said = {{"message", std::move(message)}, {"sender", std::move(sender)}};
  if (answer_failure(response, request.server().broadcast(room_prefix + room, said))) return;
  response.json({{"status", "ok"}, {"message", "Message sent to room " + room}});
}

// --- POST /_broadcast ---------------------------------------------------------------------

// {"command":"disconnect","payload":{"identifier":"{\"user\":\"1\"}","reconnect":true}}, as
// AnyCable's clients send it. What is wrong with it, or nothing.
std::string_view read_command(const Json& envelope, std::vector<Server::Broadcast>& batch) {
  if (envelope["command"].as_string() != "disconnect") return "The only command is \"disconnect\"";
  const Json& payload = envelope["payload"];
  Json identifiers = payload.has("identifier") ? payload["identifier"] : payload["identifiers"];
  if (identifiers.is_string()) identifiers = Json::parse(identifiers.text()).value_or(Json());
  Server::Broadcast broadcast =
      Server::disconnection(identifiers, payload["reconnect"].as_bool().value_or(true));
  if (broadcast.stream.empty()) return "A command's payload has no \"identifiers\" that are a JSON object";
  batch.push_back(std::move(broadcast));
  return {};
}

// What is wrong with an envelope, or nothing.
std::string_view read_envelope(const Json& envelope, std::vector<Server::Broadcast>& batch) {
  if (!envelope.is_object()) return "An envelope is no JSON object";
  if (envelope.has("command")) return read_command(envelope, batch);
  const auto stream = envelope["stream"].as_string();
  const auto data = envelope["data"].as_string();
  if (!stream || stream->empty()) return "An envelope's \"stream\" is no string, or empty";
  if (!data) return "An envelope's \"data\" is no string";
  batch.push_back({std::string(*stream), std::string(*data), envelope["meta"].string("exclude_socket")});
  return {};
}

void broadcast(const Request& request, Response& response) {
  std::string_view problem;
  const std::optional<Json> body = Json::parse(request.body(), &problem);
  if (!body) return answer_error(response, 400, "The body is not JSON: " + std::string(problem));
  std::vector<Server::Broadcast> batch;
  if (body->is_array()) {
    for (const Json& envelope : body->elements()) {
      problem = read_envelope(envelope, batch);
      if (!problem.empty()) break;
    }
  } else {
    problem = read_envelope(*body, batch);
  }
  if (!problem.empty()) return answer_error(response, 422, problem);
  if (answer_failure(response, request.server().broadcast(batch))) return;
  response.status(201);
  response.json({{"status", "ok"}});
}

}  // namespace

bool is_local_request(const Request& request) {
  for (const std::string_view name :
       {"forwarded", "x-forwarded-for", "x-forwarded-host", "x-forwarded-proto", "x-real-ip", "via"}) {
    if (request.has_header(name)) return false;
  }
  return is_loopback_host(request.header("host")) && is_own_page_or_none(request);
}

void add_producers(Server& server, const Config& config, const BroadcastKey& key) {
  const Open open = openness(config);
  const Door door(&key, open);
  server.post("/_broadcast", [door](const Request& request, Response& response) {
    if (door.opens(request, response)) broadcast(request, response);
  });
  // A room of the demo stays open to the demo's curl line when /_broadcast has a key.
  const Door room_door(config.demo_on() ? nullptr : &key, open);
  server.post("/send_message_to_room/:room",
              [room_door, prefix = config.room_prefix](const Request& request, Response& response) {
                if (room_door.opens(request, response)) send_to_room(request, response, prefix);
              });
}

}  // namespace ringcast
