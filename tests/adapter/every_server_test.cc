// Two servers of the library on one engine: whom a program disconnects at one of them is
// gone from both. Needs both engines.
#include <gtest/gtest.h>

#include <array>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "adapter/postgres_server.h"
#include "adapter/redis_server.h"
#include "ringcast/server.h"
#include "server/peer.h"

namespace ringcast {
namespace {

using test::Peer;

struct NewsChannel : Channel {
  void subscribed() override { stream_from("news"); }
};

class EveryServer : public testing::TestWithParam<AdapterChoice> {
 protected:
  EveryServer() {
    Options options;
    options.listen = {"127.0.0.1:0"};
    options.shards = 2;
    options.handle_signals = false;
    options.adapter = GetParam();
    if (GetParam() == AdapterChoice::redis) {
      options.redis_url = "redis://127.0.0.1:" + std::to_string(redis_.emplace().port());
    } else {
      options.postgres_url = postgres_.emplace().url();
    }
    for (std::optional<Server>& server : servers_) {
      server.emplace(options);
      server->cable("/cable")
          .identified_by("current_user", "gid://app/User/{query.id}")
          .channel<NewsChannel>("NewsChannel");
      EXPECT_TRUE(server->start());
    }
  }

  // The engine has acknowledged their names once it has their subscriptions, which came later.
  std::vector<std::unique_ptr<Peer>> at_each(const std::string& id) {
    std::vector<std::unique_ptr<Peer>> peers;
    for (const std::optional<Server>& server : servers_) {
      Peer& peer = *peers.emplace_back(std::make_unique<Peer>(server->addresses()[0]));
      EXPECT_EQ(peer.upgrade("/cable?id=" + id), 101);
      EXPECT_EQ(peer.next(), R"({"type":"welcome"})");
      peer.send_text(R"({"command":"subscribe","identifier":"{\"channel\":\"NewsChannel\"}"})");
      EXPECT_NE(peer.next().find("confirm_subscription"), std::string::npos);
    }
    return peers;
  }

  std::optional<RedisServer> redis_;
  std::optional<PostgresServer> postgres_;
  std::array<std::optional<Server>, 2> servers_;
};

TEST_P(EveryServer, LosesWhomAProgramDisconnectsAtOne) {
  const auto theirs = at_each("7");
  const auto others = at_each("8");
  ASSERT_EQ(servers_[1]->disconnect({{"current_user", "gid://app/User/7"}}, false), BroadcastStatus::ok);
  for (const auto& peer : theirs) {
    EXPECT_EQ(peer->next(), R"({"type":"disconnect","reason":"remote","reconnect":false})");
    EXPECT_EQ(peer->next(), "close:1000 ");
  }
  ASSERT_EQ(servers_[0]->broadcast("news", Json("for those who are there")), BroadcastStatus::ok);
  for (const auto& peer : others) EXPECT_NE(peer->next().find("for those who are there"), std::string::npos);
}

INSTANTIATE_TEST_SUITE_P(Engines, EveryServer,
                         testing::Values(AdapterChoice::redis, AdapterChoice::postgresql),
                         [](const auto& engine) {
                           return std::string(engine.param == AdapterChoice::redis ? "redis" : "postgresql");
                         });

}  // namespace
}  // namespace ringcast
