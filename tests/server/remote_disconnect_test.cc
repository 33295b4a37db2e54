// Disconnecting whoever somebody is, wherever they are: what Rails'
// remote_connections.where(…).disconnect does.
#include <gtest/gtest.h>

#include <memory>
#include <string>
#include <vector>

#include "peer.h"
#include "ringcast/server.h"

namespace ringcast {
namespace {

using test::Peer;

constexpr std::string_view kWelcomed = R"({"type":"welcome"})";
// base64url of gid://app/User/7, as `to_gid_param` has it.
constexpr std::string_view kChannelOfUser7 = "action_cable/Z2lkOi8vYXBwL1VzZXIvNw";

class AnyStream : public Channel {
  void subscribed() override { stream_from(params().string("stream")); }
};

std::string subscribe_to(const std::string& stream) {
  const Json identifier = {{"channel", "AnyStream"}, {"stream", stream}};
  return Json({{"command", "subscribe"}, {"identifier", identifier.dump()}}).dump();
}

// The same in this process alone and through an engine.
class RemoteDisconnect : public testing::TestWithParam<AdapterChoice> {
 protected:
  RemoteDisconnect() : server_(options()) {
    server_.cable("/cable")
        .identified_by("current_user", "gid://app/User/{query.id}")
        .channel<AnyStream>("AnyStream");
    server_.cable("/tenants")
        .identified_by("tenant", "query.tenant")
        .identified_by("user", [](const Request& request) { return Json(request.query("user")); });
    server_.cable("/anybody");
    EXPECT_TRUE(server_.start());
  }

  static Options options() {
    Options options;
    options.listen = {"127.0.0.1:0"};
    options.shards = 2;
    options.adapter = GetParam();
    options.handle_signals = false;
    return options;
  }

  std::unique_ptr<Peer> welcomed(const std::string& target) {
    auto peer = std::make_unique<Peer>(server_.addresses()[0]);
    EXPECT_EQ(peer->upgrade(target), 101);
    EXPECT_EQ(peer->next(), kWelcomed);
    return peer;
  }

  static void expect_gone(Peer& peer, bool reconnect) {
    EXPECT_EQ(peer.next(), std::string(R"({"type":"disconnect","reason":"remote","reconnect":)") +
                               (reconnect ? "true}" : "false}"));
    EXPECT_EQ(peer.next(), "close:1000 ");
    peer.close();
  }

  // It answers, and nothing else came before the answer.
  static void expect_there(Peer& peer) {
    peer.send_text(subscribe_to(""));
    EXPECT_NE(peer.next().find("reject_subscription"), std::string::npos);
  }

  uint64_t metric(const std::string& name) {
    const std::string text = server_.metrics_text();
    uint64_t sum = 0;
    for (size_t at = 0; (at = text.find("\n" + name, at)) != text.npos;) {
      const size_t value = text.find("} ", ++at);
      sum += std::strtoull(text.c_str() + value + 2, nullptr, 10);
    }
    return sum;
  }

  Server server_;
};

TEST_P(RemoteDisconnect, EndsEveryConnectionOfThatUserAndNoOther) {
  std::vector<std::unique_ptr<Peer>> theirs;
  for (int i = 0; i < 8; ++i) theirs.push_back(welcomed("/cable?id=7"));
  const auto other = welcomed("/cable?id=77");
  const auto nobody = welcomed("/anybody");
  ASSERT_EQ(server_.disconnect({{"current_user", "gid://app/User/7"}}), BroadcastStatus::ok);
  for (const auto& peer : theirs) expect_gone(*peer, true);
  expect_there(*other);
  expect_there(*nobody);
  EXPECT_GE(metric("ringcast_remote_disconnects_total{"), 1u);

  // Whoever comes back can be disconnected again, and told to stay away.
  const auto back = welcomed("/cable?id=7");
  ASSERT_EQ(server_.disconnect({{"current_user", "gid://app/User/7"}}, false), BroadcastStatus::ok);
  expect_gone(*back, false);
  expect_there(*other);
}

TEST_P(RemoteDisconnect, NeedsAllIdentifiersInAnyOrder) {
  const auto peer = welcomed("/tenants?tenant=acme&user=9");
  EXPECT_EQ(server_.disconnect({{"user", 9}}), BroadcastStatus::ok);
  EXPECT_EQ(server_.disconnect({{"tenant", "acme"}}), BroadcastStatus::ok);
  EXPECT_EQ(server_.disconnect({{"tenant", "acme"}, {"user", 8}}), BroadcastStatus::ok);
  expect_there(*peer);
  EXPECT_EQ(server_.disconnect({{"user", 9}, {"tenant", "acme"}}), BroadcastStatus::ok);
  expect_gone(*peer, true);
  EXPECT_EQ(server_.disconnect({}), BroadcastStatus::invalid);
  EXPECT_EQ(server_.disconnect(Json("acme")), BroadcastStatus::invalid);
}

TEST_P(RemoteDisconnect, IsWhatRailsPublishesAndNothingElseIs) {
  const std::string channel(kChannelOfUser7);
  const auto peer = welcomed("/cable?id=7");
  for (const char* message : {R"({"type":"ping"})", R"({"type":"disconnected"})", R"(["disconnect"])", "null",
                              R"("disconnect")", "{"}) {
    EXPECT_EQ(server_.broadcast(channel, message), BroadcastStatus::ok);
  }
  EXPECT_EQ(server_.broadcast("action_cable/", R"({"type":"disconnect"})"), BroadcastStatus::ok);
  expect_there(*peer);
  // As Rails up to 7.0 writes it; since 7.1; and in a batch.
  EXPECT_EQ(server_.broadcast(channel, R"({"type":"disconnect"})"), BroadcastStatus::ok);
  expect_gone(*peer, true);
  const auto second = welcomed("/cable?id=7");
  EXPECT_EQ(server_.broadcast(channel, R"({"type":"disconnect","reconnect":false})"), BroadcastStatus::ok);
  expect_gone(*second, false);
  const auto third = welcomed("/cable?id=7"), fourth = welcomed("/cable?id=8");
  EXPECT_EQ(server_.broadcast({Server::disconnection({{"current_user", "gid://app/User/7"}}, false),
                               Server::disconnection({{"current_user", "gid://app/User/8"}})}),
            BroadcastStatus::ok);
  expect_gone(*third, false);
  expect_gone(*fourth, true);
}

TEST_P(RemoteDisconnect, AThreadsOwnPublisherDoesItToo) {
  const std::string channel(kChannelOfUser7);
  const auto peer = welcomed("/cable?id=7"), other = welcomed("/cable?id=77");
  Publisher publisher = server_.publisher();
  const Publisher::Stream stream = publisher.stream(channel);
  EXPECT_EQ(publisher.publish(stream, R"({"type":"ping"})"), BroadcastStatus::ok);
  EXPECT_EQ(publisher.publish(stream, Json({{"type", "disconnect"}, {"reconnect", false}})),
            BroadcastStatus::ok);
  expect_gone(*peer, false);
  const auto back = welcomed("/cable?id=7");
  EXPECT_EQ(publisher.publish(channel, R"({"type":"disconnect"})"), BroadcastStatus::ok);
  expect_gone(*back, true);
  expect_there(*other);
  // What lies outside its ring, being too large for it, is understood as well.
  const auto third = welcomed("/cable?id=7");
  const std::string padding(size_t{300} << 10, ' ');
  EXPECT_EQ(publisher.publish(channel, R"({"type":"disconnect")" + padding + "}"), BroadcastStatus::ok);
  expect_gone(*third, true);
}

TEST_P(RemoteDisconnect, ClientsCannotListenToItThemselves) {
  const auto peer = welcomed("/cable?id=7");
  peer->send_text(subscribe_to(std::string(kChannelOfUser7)));
  EXPECT_NE(peer->next().find("reject_subscription"), std::string::npos);
}

INSTANTIATE_TEST_SUITE_P(Adapters, RemoteDisconnect,
                         testing::Values(AdapterChoice::async, AdapterChoice::test), [](const auto& adapter) {
                           return std::string(adapter.param == AdapterChoice::async ? "async" : "test");
                         });

}  // namespace
}  // namespace ringcast
