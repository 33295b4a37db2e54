#include "shard/identities.h"

#include <optional>
#include <vector>

#include "auth/global_id.h"
#include "protocol/cable.h"
#include "shard/engine.h"
#include "shard/shard.h"

namespace ringcast {

std::string connection_identifier(const Json& identifiers) {
  std::vector<std::string> params;
  for (const auto& [name, value] : identifiers.members()) {
    if (names_somebody(value)) params.push_back(identifier_param(value));
  }
  return connection_identifier(std::vector<std::string_view>(params.begin(), params.end()));
}

std::string internal_channel_of(const Json& identifiers) {
  const std::string name = connection_identifier(identifiers);
  return name.empty() ? std::string() : internal_channel(name);
}

void Identities::add(Member& member, Shard& shard, SlotId connection, std::string_view name) {
  RC_ASSERT(member.shard == nullptr);
  Stripe& stripe = stripe_of(name);
  const std::lock_guard lock(stripe.mutex);
  const auto [at, is_new] = stripe.first.try_emplace(std::string(name), nullptr);
  member = {
      .shard = &shard, .connection = connection, .previous = nullptr, .next = at->second, .name = &at->first};
  if (member.next != nullptr) member.next->previous = &member;
  at->second = &member;
  // Under the lock, so that the engine hears of comings and goings in their order.
  if (is_new && context_.engine != nullptr) context_.engine->listen(internal_channel(name));
}

void Identities::remove(Member& member) {
  if (member.shard == nullptr) return;
  Stripe& stripe = stripe_of(*member.name);
  const std::lock_guard lock(stripe.mutex);
  if (member.next != nullptr) member.next->previous = member.previous;
  if (member.previous != nullptr) {
    member.previous->next = member.next;
  } else {
    const auto at = stripe.first.find(*member.name);
    at->second = member.next;
    if (at->second == nullptr) {
      if (context_.engine != nullptr) context_.engine->stop_listening(internal_channel(at->first));
      stripe.first.erase(at);
    }
  }
  member = {};
}

bool Identities::published(std::string_view channel, Bytes payload) {
  const std::optional<bool> reconnect = decode_remote_disconnect(as_text(payload));
  if (!reconnect) return false;
  const std::string_view name = channel.substr(kInternalChannelPrefix.size());
  std::vector<std::vector<SlotId>> meant(context_.shards.size());
  {
    Stripe& stripe = stripe_of(name);
    const std::lock_guard lock(stripe.mutex);
    const auto at = stripe.first.find(name);
    if (at == stripe.first.end()) return true;
    for (const Member* member = at->second; member != nullptr; member = member->next) {
      meant[member->shard->index()].push_back(member->connection);
    }
  }
  for (size_t i = 0; i < meant.size(); ++i) {
    if (meant[i].empty()) continue;
    context_.shards[i]->post([connections = std::move(meant[i]), reconnect = *reconnect](Shard& here) {
      for (const SlotId id : connections) {
        if (Connection* const connection = here.find(id)) connection->disconnect_remotely(reconnect);
      }
    });
  }
  return true;
}

size_t Identities::size() const {
  size_t names = 0;
  for (const Stripe& stripe : stripes_) {
    const std::lock_guard lock(stripe.mutex);
    names += stripe.first.size();
  }
  return names;
}

}  // namespace ringcast
