// A channel that the configuration file declares. One object per subscription, on its
// connection's shard.
#pragma once

#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "app/declared_rules.h"
#include "ringcast/channel.h"

namespace ringcast {

class DeclaredChannel final : public Channel {
 public:
  // Null: none of that name is declared. `rules` outlive the channel.
  static std::unique_ptr<Channel> find(const DeclaredRules& rules, std::string_view name);

  DeclaredChannel(const DeclaredRules& rules, DeclaredRules::Held held, const ChannelRules& channel);

  void subscribed() override;
  bool perform(std::string_view action, const Json& data) override;

 private:
  struct Gate {
    std::string action;
    RateGate rate;
  };

  void act(const ActionRules& action, const Json& data);
  bool pass(const ActionRules& action);
  void refuse(Refusal why, std::string_view action, std::string_view reason);

  const DeclaredRules& rules_;
  DeclaredRules::Held held_;
  const ChannelRules* channel_;  // in what is held; null: it is declared no longer
  const std::string name_;
  std::string stream_;       // that actions broadcast to unless they say another
  std::vector<Gate> gates_;  // of the actions that have a rate and were performed
};

}  // namespace ringcast
