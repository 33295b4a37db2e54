// Action Cable's messages (actioncable-v1-json): clients' commands read,
// server's messages written, and the rules for its names. Pure functions on
// values; any thread. What the commands do is the session's business.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>

#include "ringcast/json.h"

namespace ringcast {

// --- Client to server ------------------------------------------------------

struct Command {
  enum class Kind : uint8_t {
    subscribe,
    unsubscribe,
    message,
    pong,
    refresh,    // ours: a new token for the connection's own, which expires
    unknown,    // well formed, but no command of ours: ignored and counted
    malformed,  // `problem` says why: ignored, counted, budgeted
  };

  Kind kind = Kind::malformed;
  std::string identifier;    // the decoded string, byte for byte: the subscription's key
  std::string data;          // of `message`: the decoded string, itself JSON text; of `refresh`: the token
  std::string_view problem;  // a constant sentence; empty unless malformed
};

// Reads one text frame. Members may come in any order, with any white space and
// with others among them; a key named twice counts as its last, as in Rails. An
// identifier with half a surrogate pair in it is malformed: it could not be
// echoed so that the client recognises it.
//
// The second form reuses the strings of `into`: a session that keeps one
// Command decodes without allocating.
Command decode_command(std::string_view text);
void decode_command(std::string_view text, Command& into);

struct Identifier {
  std::string channel;  // the class name as the client wrote it
  Json params;          // the whole object, "channel" included
};

// nullopt unless `identifier` is a JSON object whose "channel" is a string.
std::optional<Identifier> decode_identifier(std::string_view identifier);

struct Action {
  std::string action;
  Json data;  // the whole object, "action" included
};

// Reads a message command's data. A missing, null or blank action is "receive";
// nullopt when `data` is no JSON object or the action is of another type.
std::optional<Action> decode_action(std::string_view data);

// False for the names by which the server itself calls a channel: subscribed,
// unsubscribed, connect, disconnect, and whatever begins with _ or $. In Rails
// a client can call `subscribed` again and get every broadcast twice.
bool is_dispatchable_action(std::string_view action);

// --- Server to client ------------------------------------------------------
// Each appends one message's JSON text, keys in Rails' order. `identifier` is
// the decoded string; `identifier_json` and `payload` are JSON and spliced as
// they are.

// The identifier as the JSON string it is echoed as.
std::string encode_identifier(std::string_view identifier);

// With a `sid`, that is the socket's id, as AnyCable has it.
void append_welcome(std::string& out, std::string_view sid = {});
void append_ping(std::string& out, int64_t unix_s);
void append_confirm(std::string& out, std::string_view identifier);
void append_reject(std::string& out, std::string_view identifier);
void append_message(std::string& out, std::string_view identifier_json, std::string_view payload);
// What a refresh is answered with: whether the new token holds from now on.
void append_refreshed(std::string& out, bool confirmed);

// `reconnect` is always written: where the key is absent, @rails/actioncable
// takes it for false and never comes back. An empty reason is written as null.
void append_disconnect(std::string& out, std::string_view reason, bool reconnect);

// The constant bytes around a payload for one identifier, made once for it: prefix +
// payload + suffix is what append_message() writes.
struct BroadcastEnvelope {
  explicit BroadcastEnvelope(std::string_view identifier);

  std::string prefix;
  static constexpr std::string_view suffix = "}";
};

// --- Names -----------------------------------------------------------------

// "Chats::AppearancesChannel" -> "chats:appearances", "HTTPStatusChannel" -> "http_status".
std::string channel_short_name(std::string_view channel);

// The stream of stream_for and broadcast_to: the short name and the parts, each
// already a string (a GlobalID parameter, a plain value), joined with ':'.
std::string broadcasting_for(std::string_view channel, std::span<const std::string_view> parts);

// What names a connection to the other processes: the identifiers that are set,
// sorted as bytes and joined with ':', so that every process finds the same name.
// Empty when none is set.
std::string connection_identifier(std::span<const std::string_view> identifiers);

// The stream on which remote disconnects for that connection arrive, before the
// adapter's prefix: "action_cable/<connection identifier>".
std::string internal_channel(std::string_view connection_identifier);
inline constexpr std::string_view kInternalChannelPrefix = "action_cable/";
constexpr bool is_internal_channel(std::string_view stream) {
  return stream.starts_with(kInternalChannelPrefix);
}

// What arrives there, {"type":"disconnect","reconnect":true}: whether the client may come
// back, which it may when nothing is said. Nothing for any other message.
std::optional<bool> decode_remote_disconnect(std::string_view text);
void append_remote_disconnect(std::string& out, bool reconnect);

}  // namespace ringcast
