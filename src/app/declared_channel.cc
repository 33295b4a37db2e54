#include "app/declared_channel.h"

#include <algorithm>
#include <optional>
#include <utility>

#include "ringcast/server.h"

namespace ringcast {
std::unique_ptr<Channel> DeclaredChannel::find(const DeclaredRules& rules, std::string_view name) {
  DeclaredRules::Held held = rules.hold();
  const ChannelRules* const channel = held->channel(name);
  if (channel == nullptr) return nullptr;
  return std::make_unique<DeclaredChannel>(rules, std::move(held), *channel);
}

DeclaredChannel::DeclaredChannel(const DeclaredRules& rules, DeclaredRules::Held held,
                                 const ChannelRules& channel)
    : rules_(rules), held_(std::move(held)), channel_(&channel), name_(channel.name) {}

void DeclaredChannel::subscribed() {
  TemplateValues values;
  values.set(TemplateRoot::params, params());
  values.set(TemplateRoot::identifiers, connection().identifiers());
  if (const Condition* const unmet = first_unmet(channel_->allow, values)) {
    refuse(Refusal::rule, {}, unmet->said());
    return reject();
  }
  std::vector<std::string> streams;
  for (const TextTemplate& stream : channel_->streams) {
    std::string why;
    std::optional<std::string> name = stream.name(values, &why);
    if (!name) {
      refuse(Refusal::stream, {}, why);
      return reject();
    }
    streams.push_back(std::move(*name));
  }
  // A name that is too long, or one stream too many, rejects by itself.
  for (const std::string& stream : streams) {
    if (!stream_from(stream)) return;
  }
  stream_ = std::move(streams.front());
}

bool DeclaredChannel::perform(std::string_view name, const Json& data) {
  if (rules_.refresh(held_)) channel_ = held_->channel(name_);
  if (channel_ == nullptr) {
    refuse(Refusal::rule, name, "the channel is no longer declared");
    return true;
  }
  const ActionRules* const action = channel_->action(name);
  if (action == nullptr) return false;
  act(*action, data);
  return true;
}

void DeclaredChannel::act(const ActionRules& action, const Json& data) {
  if (!pass(action)) return refuse(Refusal::rate, action.name, "more than its rate");
  // One for each thread: as long as the longest message there was.
  thread_local std::string text;
  if (action.limits.bytes != 0) {
    text.clear();
    data.dump_to(text);
    if (text.size() > action.limits.bytes) return refuse(Refusal::size, action.name, "more than max-bytes");
  }
  const Json number = connection().number();
  TemplateValues values;
  values.set(TemplateRoot::params, params());
  values.set(TemplateRoot::identifiers, connection().identifiers());
  values.set(TemplateRoot::data, data);
  values.set(TemplateRoot::number, number);
  if (const Condition* const unmet = first_unmet(action.allow, values)) {
    return refuse(Refusal::rule, action.name, unmet->said());
  }
  std::string to;
  if (action.to) {
    std::string why;
    std::optional<std::string> name = action.to->name(values, &why);
    if (!name) return refuse(Refusal::stream, action.name, why);
    to = std::move(*name);
  }
  using Rendering = PayloadTemplate::Rendering;
  const Rendering rendering =
      action.broadcast.render(values, action.limits.payload_bytes_max(server().options()), text);
  if (rendering != Rendering::ok) {
    return refuse(Refusal::payload, action.name,
                  rendering == Rendering::too_deep ? "too deep a payload" : "too large a payload");
  }
  const BroadcastStatus status = broadcast(action.to ? to : stream_, Text(text));
  if (status != BroadcastStatus::ok) refuse(Refusal::payload, action.name, to_string(status));
}

bool DeclaredChannel::pass(const ActionRules& action) {
  if (action.limits.rate.count == 0) return true;
  auto gate = std::ranges::find(gates_, action.name, &Gate::action);
  if (gate == gates_.end()) gate = gates_.insert(gate, {action.name, {}});
  return gate->rate.pass(action.limits.rate, std::chrono::steady_clock::now());
}

void DeclaredChannel::refuse(Refusal why, std::string_view action, std::string_view reason) {
  uint64_t unsaid = 0;
  if (!rules_.refused(why, unsaid)) return;
  connection().log(LogLevel::info, action.empty() ? "subscription_refused" : "action_refused",
                   {{"channel", std::string_view(name_)},
                    {"action", action},
                    {"reason", to_string(why)},
                    {"why", reason},
                    {"unsaid", unsaid}});
}

}  // namespace ringcast
