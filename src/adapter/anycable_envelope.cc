// {"stream":"s","data":"{\"text\":\"hi\"}","meta":{"exclude_socket":"id"}}, alone or in an
// array. Pure functions; any thread.
#include "adapter/anycable_envelope.h"

#include "protocol/cable.h"
#include "protocol/json.h"
#include "ringcast/json.h"
#include "shard/identities.h"

namespace ringcast {
namespace {

// {"command":"disconnect","payload":{"identifier":"{\"user\":\"1\"}","reconnect":true}}, the
// identifiers being JSON text, in which an object will do as well.
void read_command(const Json& json, AnycableEnvelope& envelope) {
  if (json["command"].as_string() != "disconnect") {
    ++envelope.commands;
    return;
  }
  const Json& payload = json["payload"];
  Json identifiers = payload.has("identifier") ? payload["identifier"] : payload["identifiers"];
  if (identifiers.is_string()) identifiers = Json::parse(identifiers.text()).value_or(Json());
  AnycableBroadcast broadcast{
      .stream = internal_channel_of(identifiers), .payload = {}, .excluded_socket = {}};
  if (broadcast.stream.empty()) {
    ++envelope.malformed;
    return;
  }
  append_remote_disconnect(broadcast.payload, payload["reconnect"].as_bool().value_or(true));
  envelope.broadcasts.push_back(std::move(broadcast));
}

void read_one(const Json& json, AnycableEnvelope& envelope) {
  if (json.has("command")) return read_command(json, envelope);
  const std::optional<std::string_view> stream = json["stream"].as_string();
  const std::optional<std::string_view> data = json["data"].as_string();
  if (!stream || stream->empty() || !data) {
    ++envelope.malformed;
    return;
  }
  AnycableBroadcast broadcast{.stream = std::string(*stream),
                              .payload = {},
                              .excluded_socket = json["meta"].string("exclude_socket")};
  if (valid_json(as_bytes(*data))) {
    broadcast.payload = *data;
  } else {
    append_json_string(broadcast.payload, *data, JsonEscape::rails);
  }
  envelope.broadcasts.push_back(std::move(broadcast));
}

}  // namespace

AnycableEnvelope read_anycable_envelope(std::string_view text) {
  AnycableEnvelope envelope;
  const std::optional<Json> json = Json::parse(text);
  if (!json) {
    envelope.malformed = 1;
  } else if (json->is_array()) {
    for (const Json& element : json->elements()) read_one(element, envelope);
  } else {
    read_one(*json, envelope);
  }
  return envelope;
}

void append_anycable_envelope(std::string& out, const AnycableBroadcast& broadcast) {
  out += R"({"stream":)";
  append_json_string(out, broadcast.stream, JsonEscape::rails);
  out += R"(,"data":)";
  append_json_string(out, broadcast.payload, JsonEscape::rails);
  out += R"(,"meta":{"exclude_socket":)";
  append_json_string(out, broadcast.excluded_socket, JsonEscape::rails);
  out += "}}";
}

}  // namespace ringcast
