// Action Cable's messages and names. No state; any thread.
#include "protocol/cable.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <utility>
#include <vector>

#include "base/ascii.h"
#include "protocol/json.h"

namespace ringcast {

namespace {

Command::Kind kind_of(std::string_view command) {
  if (command == "message") return Command::Kind::message;
  if (command == "subscribe") return Command::Kind::subscribe;
  if (command == "unsubscribe") return Command::Kind::unsubscribe;
  if (command == "pong") return Command::Kind::pong;
  if (command == "refresh") return Command::Kind::refresh;
  return Command::Kind::unknown;
}

// Ruby's String#blank?, as far as ASCII goes.
bool is_blank(std::string_view text) {
  return text.find_first_not_of(" \t\n\v\f\r") == std::string_view::npos;
}

void append_subscription_answer(std::string& out, std::string_view identifier, std::string_view type) {
  out += R"({"identifier":)";
  append_json_string(out, identifier, JsonEscape::rails);
  out += R"(,"type":")";
  out += type;
  out += R"("})";
}

void append_integer(std::string& out, int64_t value) {
  std::array<char, 20> text;
  const auto [end, error] = std::to_chars(text.data(), text.data() + text.size(), value);
  out.append(text.data(), end);
}

std::string joined(std::span<const std::string_view> parts) {
  std::string out;
  for (const char* separator = ""; const std::string_view part : parts) {
    out += std::exchange(separator, ":");
    out += part;
  }
  return out;
}

}  // namespace

// --- Client to server --------------------------------------------------------

void decode_command(std::string_view text, Command& into) {
  using Found = StringMember::Found;

  // The longest command is "unsubscribe": it fits the string's own buffer.
  std::string command;
  std::string token;
  std::array<StringMember, 4> members = {{
      {.key = "command", .value = &command},
      {.key = "identifier", .value = &into.identifier},
      {.key = "data", .value = &into.data},
      {.key = "token", .value = &token},
  }};
  const StringMember& identifier = members[1];
  const StringMember& data = members[2];

  into.kind = Command::Kind::malformed;
  into.problem = read_string_members(text, members);
  if (!into.problem.empty()) return;

  if (members[0].found != Found::string) {
    into.problem = "no command";
    return;
  }
  const Command::Kind kind = kind_of(command);
  if (kind == Command::Kind::subscribe || kind == Command::Kind::unsubscribe ||
      kind == Command::Kind::message) {
    if (identifier.found != Found::string) {
      into.problem = "the identifier is not a string";
      return;
    }
    if (identifier.lone_surrogate) {
      into.problem = "half a surrogate pair in the identifier";
      return;
    }
  }
  if (kind == Command::Kind::message && data.found != Found::string) {
    into.problem = "the data is not a string";
    return;
  }
  if (kind == Command::Kind::refresh) {
    if (members[3].found != Found::string) {
      into.problem = "the token is not a string";
      return;
    }
    into.data = std::move(token);
  }
  into.kind = kind;
}

Command decode_command(std::string_view text) {
  Command command;
  decode_command(text, command);
  return command;
}

std::optional<Identifier> decode_identifier(std::string_view identifier) {
  std::optional<Json> params = Json::parse(identifier);
  if (!params || !params->is_object()) return std::nullopt;
  const std::optional<std::string_view> channel = (*params)["channel"].as_string();
  if (!channel) return std::nullopt;
  return Identifier{std::string(*channel), *std::move(params)};
}

std::optional<Action> decode_action(std::string_view data) {
  std::optional<Json> json = Json::parse(data);
  if (!json || !json->is_object()) return std::nullopt;

  // Rails takes whatever is blank for "receive", and false is blank in Ruby.
  const Json& action = (*json)["action"];
  std::string name = "receive";
  if (const std::optional<std::string_view> given = action.as_string()) {
    if (!is_blank(*given)) name = *given;
  } else if (!action.is_null() && action.as_bool() != false) {
    return std::nullopt;
  }
  return Action{std::move(name), *std::move(json)};
}

bool is_dispatchable_action(std::string_view action) {
  if (action.empty() || action.front() == '_' || action.front() == '$') return false;
  return action != "subscribed" && action != "unsubscribed" && action != "connect" && action != "disconnect";
}

// --- Server to client --------------------------------------------------------

std::string encode_identifier(std::string_view identifier) {
  std::string out;
  append_json_string(out, identifier, JsonEscape::rails);
  return out;
}

void append_welcome(std::string& out, std::string_view sid) {
  out += R"({"type":"welcome")";
  if (!sid.empty()) {
    out += R"(,"sid":)";
    append_json_string(out, sid, JsonEscape::rails);
  }
  out += '}';
}

void append_ping(std::string& out, int64_t unix_s) {
  out += R"({"type":"ping","message":)";
  append_integer(out, unix_s);
  out += '}';
}

void append_confirm(std::string& out, std::string_view identifier) {
  append_subscription_answer(out, identifier, "confirm_subscription");
}

void append_reject(std::string& out, std::string_view identifier) {
  append_subscription_answer(out, identifier, "reject_subscription");
}

void append_refreshed(std::string& out, bool confirmed) {
  out += confirmed ? R"({"type":"confirm_refresh"})" : R"({"type":"reject_refresh"})";
}

void append_message(std::string& out, std::string_view identifier_json, std::string_view payload) {
  out += R"({"identifier":)";
  out += identifier_json;
  out += R"(,"message":)";
  out += payload;
  out += BroadcastEnvelope::suffix;
}

void append_disconnect(std::string& out, std::string_view reason, bool reconnect) {
  out += R"({"type":"disconnect","reason":)";
  if (reason.empty()) {
    out += "null";
  } else {
    append_json_string(out, reason, JsonEscape::rails);
  }
  out += reconnect ? R"(,"reconnect":true})" : R"(,"reconnect":false})";
}

BroadcastEnvelope::BroadcastEnvelope(std::string_view identifier) : prefix(R"({"identifier":)") {
  append_json_string(prefix, identifier, JsonEscape::rails);
  prefix += R"(,"message":)";
}

// --- Names -------------------------------------------------------------------

std::string channel_short_name(std::string_view channel) {
  constexpr std::string_view kSuffix = "Channel";
  if (channel.ends_with(kSuffix)) channel.remove_suffix(kSuffix.size());

  std::string name;
  for (size_t at = 0; at < channel.size(); ++at) {
    const char c = channel[at];
    if (channel.substr(at).starts_with("::")) {
      name += ':';
      ++at;
    } else if (is_upper(c)) {
      // A new word begins behind a small letter or digit, and where a run of
      // capitals ends: HTTPStatus is http_status.
      const char before = at > 0 ? channel[at - 1] : '\0';
      const char after = at + 1 < channel.size() ? channel[at + 1] : '\0';
      if (is_lower(before) || is_digit(before) || (is_upper(before) && is_lower(after))) name += '_';
      name += static_cast<char>(c - 'A' + 'a');
    } else {
      name += c == '-' ? '_' : c;
    }
  }
  return name;
}

std::string broadcasting_for(std::string_view channel, std::span<const std::string_view> parts) {
  return channel_short_name(channel) + ":" + joined(parts);
}

std::string connection_identifier(std::span<const std::string_view> identifiers) {
  std::vector<std::string_view> sorted(identifiers.begin(), identifiers.end());
  std::ranges::sort(sorted);
  return joined(sorted);
}

std::string internal_channel(std::string_view connection_identifier) {
  return std::string(kInternalChannelPrefix).append(connection_identifier);
}

std::optional<bool> decode_remote_disconnect(std::string_view text) {
  const std::optional<Json> message = Json::parse(text);
  if (!message || (*message)["type"].as_string() != "disconnect") return std::nullopt;
  if (!message->has("reconnect")) return true;
  const Json& reconnect = (*message)["reconnect"];
  return !reconnect.is_null() && reconnect.as_bool() != false;  // what Ruby takes for true
}

void append_remote_disconnect(std::string& out, bool reconnect) {
  out += R"({"type":"disconnect","reconnect":)";
  out += reconnect ? "true}" : "false}";
}

}  // namespace ringcast
