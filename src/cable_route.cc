// CableRoute: what an embedder says about a cable, kept for the shards.
#include "cable_route.h"

#include "identity.h"
#include "protocol/cable.h"
#include "server_core.h"

namespace ringcast {

CableRoute& CableRoute::identified_by(std::string_view name,
                                      std::function<std::optional<Json>(const Request&)> value) {
  definition_->identifiers.push_back({std::string(name), std::move(value), std::nullopt});
  return *this;
}

CableRoute& CableRoute::identified_by(std::string_view name, std::string_view source) {
  std::string text(name);
  text.append("=").append(source);
  std::string error;
  std::optional<IdentifierSource> parsed = IdentifierSource::parse(text, &error);
  if (parsed) error = internal::missing_for(*parsed, definition_->core.options());
  if (!error.empty()) {
    if (definition_->problem.empty()) definition_->problem = "identified_by: " + error;
    return *this;
  }
  definition_->identifiers.push_back({std::string(name), nullptr, std::move(parsed)});
  return *this;
}

CableRoute& CableRoute::authorize(std::function<bool(const Request&)> allowed) {
  definition_->guards.push_back(std::move(allowed));
  return *this;
}

CableRoute& CableRoute::tags(
    std::function<std::vector<std::string>(const Request&, const CableConnection&)> tags) {
  definition_->tags = std::move(tags);
  return *this;
}

bool CableRoute::valid_action(std::string_view name) {
  return is_dispatchable_action(name);
}

CableRoute& CableRoute::channels(std::function<std::unique_ptr<Channel>(std::string_view name)> find) {
  definition_->finders.push_back(std::move(find));
  return *this;
}

CableRoute& CableRoute::check_origin(bool check) {
  definition_->check_origin = check;
  return *this;
}

CableRoute& CableRoute::ask_application(bool ask) {
  definition_->ask_application = ask;
  return *this;
}

CableRoute& CableRoute::slow_consumer(SlowConsumer policy) {
  definition_->slow_consumer = policy;
  return *this;
}

CableRoute& CableRoute::set_connection(std::function<std::unique_ptr<CableConnection>()> make) {
  definition_->make_connection = std::move(make);
  return *this;
}

CableRoute& CableRoute::add_channel(std::string_view name, ChannelClass made,
                                    std::vector<NamedAction> actions) {
  return add_channel(name, internal::ChannelDefinition{.made_in_place = made}, std::move(actions));
}

CableRoute& CableRoute::add_channel(std::string_view name, std::function<std::unique_ptr<Channel>()> make,
                                    std::vector<NamedAction> actions) {
  return add_channel(name, internal::ChannelDefinition{.make = std::move(make)}, std::move(actions));
}

CableRoute& CableRoute::add_channel(std::string_view name, internal::ChannelDefinition channel,
                                    std::vector<NamedAction> actions) {
  channel.name = name;
  for (NamedAction& action : actions) {
    // A client that could call `subscribed` would get every broadcast twice.
    if (!valid_action(action.name) && definition_->problem.empty()) {
      definition_->problem = "'" + action.name + "' of channel " + channel.name + " cannot be an action";
    }
    channel.actions.insert_or_assign(std::move(action.name), std::move(action.call));
  }
  definition_->channels.insert_or_assign(std::string(name), std::move(channel));
  return *this;
}

}  // namespace ringcast
