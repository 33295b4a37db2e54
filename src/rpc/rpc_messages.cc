// Requests are written by hand, answers read through ringcast::Json.
#include "rpc/rpc_messages.h"

#include "protocol/json.h"
#include "ringcast/json.h"

namespace ringcast {
namespace {

// "key":  with a comma before it, unless it is the first of its object.
void append_key(std::string& out, std::string_view key) {
  if (out.back() != '{') out += ',';
  append_json_string(out, key);
  out += ':';
}

// Empty ones are left out, as AnyCable does.
void append_member(std::string& out, std::string_view key, std::string_view value) {
  if (value.empty()) return;
  append_key(out, key);
  append_json_string(out, value);
}

void append_state(std::string& out, std::string_view key, const RpcState& state) {
  if (state.empty()) return;
  append_key(out, key);
  out += '{';
  for (const auto& [name, value] : state) {
    append_key(out, name);
    append_json_string(out, value);
  }
  out += '}';
}

void open_env(std::string& out, std::string_view origin) {
  append_key(out, "env");
  out.append("{").append(origin);
}

// Reads members by their types, and remembers the first that has another.
class Members {
 public:
  explicit Members(const Json& object) : object_(object) {}

  bool ok() const { return ok_; }

  void read(std::string_view key, std::string& into) {
    const Json& value = object_[key];
    if (const auto text = value.as_string()) into = *text;
    expect(value.is_null() || value.is_string());
  }
  void read(std::string_view key, bool& into) {
    const Json& value = object_[key];
    into = value.as_bool().value_or(false);
    expect(value.is_null() || value.is_bool());
  }
  void read(std::string_view key, std::vector<std::string>& into) {
    const Json& value = object_[key];
    expect(value.is_null() || value.is_array());
    for (const Json& element : value.elements()) {
      expect(element.is_string());
      into.emplace_back(element.text());
    }
  }
  void read(std::string_view key, RpcState& into) {
    const Json& value = object_[key];
    expect(value.is_null() || value.is_object());
    for (const auto& [name, text] : value.members()) {
      expect(text.is_string());
      into.insert_or_assign(name, std::string(text.text()));
    }
  }

 private:
  void expect(bool truth) { ok_ = ok_ && truth; }

  const Json& object_;
  bool ok_ = true;
};

}  // namespace

void merge_rpc_state(RpcState& state, const RpcState& changes) {
  for (const auto& [name, value] : changes) {
    if (value.empty()) {
      state.erase(name);
    } else {
      state.insert_or_assign(name, value);
    }
  }
}

std::string encode_rpc_origin(std::string_view url,
                              std::span<const std::pair<std::string, std::string>> headers) {
  std::string out = R"("url":)";
  append_json_string(out, url);
  out += R"(,"headers":{)";
  for (const auto& [name, value] : headers) {
    append_key(out, name);
    append_json_string(out, value);
  }
  return out += '}';
}

void append_rpc_connect(std::string& out, std::string_view origin) {
  out += '{';
  open_env(out, origin);
  out += "}}";
}

void append_rpc_command(std::string& out, const RpcCommand& command, std::string_view origin,
                        const RpcState& connection_state, const RpcState& channel_state) {
  out += '{';
  append_member(out, "command", command.command);
  append_member(out, "identifier", command.identifier);
  append_member(out, "connection_identifiers", command.connection_identifiers);
  append_member(out, "data", command.data);
  open_env(out, origin);
  append_state(out, "cstate", connection_state);
  append_state(out, "istate", channel_state);
  out += "}}";
}

void append_rpc_disconnect(std::string& out, std::string_view identifiers,
                           std::span<const RpcSubscription> subscriptions, std::string_view origin,
                           const RpcState& connection_state) {
  out += '{';
  append_member(out, "identifiers", identifiers);
  // Of each channel its state, as a text of its own.
  RpcState states;
  if (!subscriptions.empty()) {
    append_key(out, "subscriptions");
    out += '[';
    for (const RpcSubscription& subscription : subscriptions) {
      if (out.back() != '[') out += ',';
      append_json_string(out, subscription.identifier);
      if (subscription.state.empty()) continue;
      Json state = Json::object();
      for (const auto& [name, value] : subscription.state) state.set(name, value);
      states.insert_or_assign(subscription.identifier, state.dump());
    }
    out += ']';
  }
  open_env(out, origin);
  append_state(out, "cstate", connection_state);
  append_state(out, "istate", states);
  out += "}}";
}

std::optional<RpcAnswer> decode_rpc_answer(std::string_view body, std::string_view* problem) {
  *problem = {};
  const std::optional<Json> json = Json::parse(body);
  if (!json || !json->is_object()) {
    *problem = "the answer is no JSON object";
    return std::nullopt;
  }
  RpcAnswer answer;
  // What is zero is left out by some writers: zero is an error.
  const Json& status = (*json)["status"];
  const std::optional<int64_t> number = status.is_null() ? 0 : status.as_int64();
  if (!number || *number < 0 || *number > 2) {
    *problem = "the answer's status is none";
    return std::nullopt;
  }
  answer.status = static_cast<RpcAnswer::Status>(*number);

  Members members(*json);
  members.read("error_msg", answer.error);
  members.read("identifiers", answer.identifiers);
  members.read("transmissions", answer.transmissions);
  members.read("disconnect", answer.disconnect);
  members.read("stop_streams", answer.stop_streams);
  members.read("streams", answer.streams);
  members.read("stopped_streams", answer.stopped_streams);
  const Json& env = (*json)["env"];
  Members states(env);
  states.read("cstate", answer.connection_state);
  states.read("istate", answer.channel_state);
  if (!members.ok() || !states.ok() || !(env.is_null() || env.is_object())) {
    *problem = "a member of the answer is of another type";
    return std::nullopt;
  }
  return answer;
}

std::string transmission_type(std::string_view transmission) {
  const std::optional<Json> message = Json::parse(transmission);
  return message ? message->string("type") : std::string();
}

}  // namespace ringcast
