// What is asked of an application and what it answers, as JSON texts: AnyCable's HTTP RPC.
// Pure; any thread.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace ringcast {

// What the application keeps here between its calls, of a connection or of a channel: it is
// sent with every call and changed by answers. Ordered, so that requests are alike.
using RpcState = std::map<std::string, std::string, std::less<>>;

// A value that is empty takes its key away.
void merge_rpc_state(RpcState& state, const RpcState& changes);

// The request that opened a connection, as members of an "env": encoded once, sent with every call.
// Names in lower case.
std::string encode_rpc_origin(std::string_view url,
                              std::span<const std::pair<std::string, std::string>> headers);

// Each appends a request's body. `origin` as encode_rpc_origin() makes it.
void append_rpc_connect(std::string& out, std::string_view origin);

struct RpcCommand {
  std::string_view command;  // "subscribe", "unsubscribe", "message"
  std::string_view identifier;
  std::string_view connection_identifiers;
  std::string_view data;  // of a message, as the client wrote it
};
void append_rpc_command(std::string& out, const RpcCommand& command, std::string_view origin,
                        const RpcState& connection_state, const RpcState& channel_state);

struct RpcSubscription {
  std::string identifier;
  RpcState state;
};
void append_rpc_disconnect(std::string& out, std::string_view identifiers,
                           std::span<const RpcSubscription> subscriptions, std::string_view origin,
                           const RpcState& connection_state);

// An answer to any of the three; members that one of them lacks are empty.
struct RpcAnswer {
  enum class Status : uint8_t { error = 0, success = 1, failure = 2 };

  Status status = Status::error;
  std::string error;
  std::string identifiers;                 // verbatim: by them the application names the connection
  std::vector<std::string> transmissions;  // whole messages for the client
  bool disconnect = false;
  bool stop_streams = false;
  std::vector<std::string> streams;
  std::vector<std::string> stopped_streams;
  RpcState connection_state;  // changes
  RpcState channel_state;     // changes
};

// Nothing if it is no such answer: `problem` then names the reason, a literal. Members that
// nobody has heard of are passed over; those that are known have to be of their type.
std::optional<RpcAnswer> decode_rpc_answer(std::string_view body, std::string_view* problem);

// The "type" of a message that was transmitted; empty if it has none.
std::string transmission_type(std::string_view transmission);

}  // namespace ringcast
