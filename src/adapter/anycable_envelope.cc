// {"stream":"s","data":"{\"text\":\"hi\"}","meta":{"exclude_socket":"id"}}, alone or in an
// array. Pure functions; any thread.
#include "adapter/anycable_envelope.h"

#include "protocol/json.h"
#include "ringcast/json.h"

namespace ringcast {
namespace {

void read_one(const Json& json, AnycableEnvelope& envelope) {
  if (json.has("command")) {
    ++envelope.commands;
    return;
  }
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

}  // namespace ringcast
