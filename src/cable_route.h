// What a cable route was told to be: identifiers, guards, channels and their actions.
// Written through CableRoute before the server starts, then constant and read by all
// shards. CableGate is the shard's way in.
#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "auth/identifier_source.h"
#include "base/hash.h"
#include "ringcast/server.h"
#include "shard/handlers.h"

namespace ringcast::internal {

class ServerCore;

struct ChannelDefinition {
  using Class = CableRoute::ChannelClass;

  std::string name = {};
  // One of the two makes its channels.
  std::optional<Class> made_in_place = {};
  std::function<std::unique_ptr<Channel>()> make = {};
  std::unordered_map<std::string, std::function<void(Channel&, const Json&)>, StringHash, std::equal_to<>>
      actions = {};
};

// One of the two says what it is.
struct IdentifierDefinition {
  std::string name;
  std::function<std::optional<Json>(const Request&)> ask;
  std::optional<IdentifierSource> source;
};

struct CableDefinition {
  CableDefinition(ServerCore& core, std::string_view pattern) : core(core), pattern(pattern), face(*this) {}

  // Nothing decides who may come in.
  bool anonymous() const { return identifiers.empty() && guards.empty() && !make_connection; }

  ServerCore& core;
  const std::string pattern;
  std::vector<IdentifierDefinition> identifiers;
  std::vector<std::function<bool(const Request&)>> guards;
  std::function<std::vector<std::string>(const Request&, const CableConnection&)> tags;
  std::function<std::unique_ptr<CableConnection>()> make_connection;
  std::unordered_map<std::string, ChannelDefinition, StringHash, std::equal_to<>> channels;
  std::vector<std::function<std::unique_ptr<Channel>(std::string_view name)>> finders;
  bool check_origin = true;
  bool ask_application = true;
  std::optional<SlowConsumer> slow_consumer;
  std::string problem;  // the first mistake: start() tells it
  CableRoute face;      // what the embedder holds
};

// Connects sessions to the embedder's classes. All shards at once.
class CableGate final : public CableHandler {
 public:
  explicit CableGate(const CableDefinition& definition) : definition_(definition) {}

  std::unique_ptr<Session> make_session(Connection& connection, const Route& route) override;

  const CableDefinition& definition() const { return definition_; }

 private:
  const CableDefinition& definition_;
};

}  // namespace ringcast::internal
