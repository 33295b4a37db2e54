// What the configuration file declares: channels and raw routes, as values. Read once
// (declared_reader.h), then immutable and shared by all shards; a reload makes another.
#pragma once

#include <algorithm>
#include <chrono>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "app/condition.h"
#include "app/template.h"
#include "ringcast/options.h"

namespace ringcast {

// So many in so long; all at once if nobody came before.
struct RateLimit {
  uint64_t count = 0;  // 0: no limit
  std::chrono::milliseconds period{1000};
};

// What every message of a client is held to.
struct MessageLimits {
  RateLimit rate;              // of one subscription or socket
  uint64_t bytes = 0;          // of what the client sent; 0: Options::max_message_bytes
  uint64_t payload_bytes = 0;  // of what is broadcast for it; likewise

  uint64_t payload_bytes_max(const Options& server) const {
    return payload_bytes == 0 ? server.max_message_bytes : std::min(payload_bytes, server.max_message_bytes);
  }
};

// [channel.action.NAME]
struct ActionRules {
  std::string name;
  Conditions allow;
  PayloadTemplate broadcast;
  std::optional<TextTemplate> to;  // else the subscription's own stream
  MessageLimits limits;
};

// [[channel]]
struct ChannelRules {
  std::string name;
  size_t line = 0;
  std::vector<TextTemplate> streams;
  Conditions allow;  // the limits of params first
  std::vector<ActionRules> actions;

  const ActionRules* action(std::string_view name) const;
};

// [[route]]
struct RouteRules {
  std::string path;
  size_t line = 0;
  TextTemplate stream;
  std::optional<PayloadTemplate> welcome;
  bool anonymous = false;  // nobody is asked who they are
  Conditions join;
  bool publishing = true;  // whether clients may say anything
  Conditions publish;
  std::optional<TextTemplate> sender;
  std::optional<PayloadTemplate> message;  // else what was sent, with `sender` in it if there is one
  MessageLimits limits;

  // What its templates and conditions speak of.
  std::vector<std::string> path_names;
  std::vector<std::string> query_names;
  bool reads_data = false;
  bool reads_text = false;
};

struct Declarations {
  std::string file;
  std::vector<ChannelRules> channels;
  std::vector<RouteRules> routes;

  bool empty() const { return channels.empty() && routes.empty(); }
  const ChannelRules* channel(std::string_view name) const;
  const RouteRules* route(std::string_view path) const;
};

}  // namespace ringcast
