// A server that asks an application, as an embedder sets it up: what is asked, and what is
// known without asking. The application is a server of ours with three POST routes.
#include <gtest/gtest.h>

#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "peer.h"
#include "ringcast/server.h"
#include "support/secret_file.h"

namespace ringcast {
namespace {

using test::Peer;

class LocalChannel : public Channel {
  void subscribed() override { transmit(connection().identifier("user")); }
};

std::string subscribe_to_channel(std::string_view channel) {
  const Json identifier = {{"channel", channel}};
  return Json({{"command", "subscribe"}, {"identifier", identifier.dump()}}).dump();
}

Options on_loopback() {
  Options options;
  options.listen = {"127.0.0.1:0"};
  options.shards = 1;
  options.handle_signals = false;
  return options;
}

// Lets everybody in as "ann", confirms AppChannel in its own words, and remembers.
class AskedApplication {
 public:
  AskedApplication() : server_(on_loopback()) {
    server_.post("/rpc/connect", [this](const Request& request, Response& response) {
      remember("connect", request);
      response.json({{"status", 1}, {"identifiers", R"({"user":"ann"})"}});
    });
    server_.post("/rpc/command", [this](const Request& request, Response& response) {
      const Json asked = remember("command", request);
      const bool known = asked.string("identifier").find("AppChannel") != std::string::npos;
      response.json({{"status", known ? 1 : 2}, {"streams", Json::array({"news"})}});
    });
    server_.post("/rpc/disconnect", [this](const Request& request, Response& response) {
      remember("disconnect", request);
      response.json({{"status", 1}});
    });
    EXPECT_TRUE(server_.start());
  }

  std::string url() const { return server_.urls()[0] + "/rpc"; }
  std::vector<std::string> asked() {
    const std::lock_guard lock(mutex_);
    return asked_;
  }
  std::string authorization() {
    const std::lock_guard lock(mutex_);
    return authorization_;
  }
  // As it was told of the client's request, last.
  Json origin() {
    const std::lock_guard lock(mutex_);
    return origin_;
  }

 private:
  Json remember(std::string_view method, const Request& request) {
    const Json asked = Json::parse(request.body()).value_or(Json());
    const std::lock_guard lock(mutex_);
    authorization_ = request.header("authorization");
    origin_ = asked["env"];
    asked_.push_back(std::string(method) + " " + asked.string("command") +
                     asked.string("connection_identifiers") + asked.string("identifiers"));
    return asked;
  }

  std::mutex mutex_;
  std::vector<std::string> asked_;
  std::string authorization_;
  Json origin_;
  Server server_;  // last: its shard uses all of the above
};

Options asking(const AskedApplication& application) {
  Options options = on_loopback();
  options.rpc_url = application.url();
  return options;
}

TEST(Rpc, AsksAboutWhatTheServerDoesNotHave) {
  AskedApplication application;
  {
    Server server(asking(application));
    server.cable("/cable").channel<LocalChannel>("LocalChannel");
    ASSERT_TRUE(server.start());
    Peer peer(server.addresses()[0]);
    ASSERT_EQ(peer.upgrade("/cable"), 101);
    EXPECT_TRUE(peer.next().starts_with(R"({"type":"welcome","sid":")"));
    peer.send_text(subscribe_to_channel("LocalChannel"));
    EXPECT_NE(peer.next().find(R"("message":"ann")"), std::string::npos);
    EXPECT_NE(peer.next().find("confirm_subscription"), std::string::npos);
    peer.send_text(subscribe_to_channel("AppChannel"));
    EXPECT_NE(peer.next().find("confirm_subscription"), std::string::npos) << "ours, since it sent none";
    EXPECT_EQ(server.broadcast("news", Json(1)), BroadcastStatus::ok);
    EXPECT_NE(peer.next().find(R"("message":1)"), std::string::npos);
    peer.send_text(subscribe_to_channel("OtherChannel"));
    EXPECT_NE(peer.next().find("reject_subscription"), std::string::npos) << "likewise";
    EXPECT_NE(server.metrics_text().find(R"(ringcast_rpc_calls_total{method="command",result="success"} 1)"),
              std::string::npos);
  }  // and the end is said before the server is gone
  EXPECT_EQ(application.asked(),
            (std::vector<std::string>{"connect ", R"(command subscribe{"user":"ann"})",
                                      R"(command subscribe{"user":"ann"})", R"(disconnect {"user":"ann"})"}));
}

TEST(Rpc, WhoeverIsIdentifiedHereIsNotAskedAbout) {
  AskedApplication application;
  Server server(asking(application));
  server.cable("/cable").identified_by("user", "query.id").channel<LocalChannel>("LocalChannel");
  server.cable("/own").ask_application(false).channel<LocalChannel>("LocalChannel");
  ASSERT_TRUE(server.start());
  Peer peer(server.addresses()[0]);
  ASSERT_EQ(peer.upgrade("/cable?id=7"), 101);
  EXPECT_NE(peer.next().find("welcome"), std::string::npos);
  peer.send_text(subscribe_to_channel("AppChannel"));
  EXPECT_NE(peer.next().find("confirm_subscription"), std::string::npos);
  Peer own(server.addresses()[0]);
  ASSERT_EQ(own.upgrade("/own"), 101);
  EXPECT_NE(own.next().find("welcome"), std::string::npos);
  own.send_text(subscribe_to_channel("AppChannel"));
  EXPECT_NE(own.next().find("reject_subscription"), std::string::npos);
  EXPECT_EQ(application.asked(), (std::vector<std::string>{R"(command subscribe{"user":"7"})"}));
}

TEST(Rpc, HearsOfTheRequestWhatATrustedProxySays) {
  AskedApplication application;
  Options options = asking(application);
  options.trusted_proxy = {"127.0.0.0/8"};
  Server server(options);
  server.cable("/cable");
  ASSERT_TRUE(server.start());
  Peer peer(server.addresses()[0]);
  ASSERT_EQ(peer.upgrade("/cable?x=1",
                         "X-Forwarded-For: 192.0.2.7\r\nX-Forwarded-Proto: https\r\n"
                         "X-Forwarded-Host: chat.example\r\n"),
            101);
  EXPECT_NE(peer.next().find("welcome"), std::string::npos);
  EXPECT_EQ(application.origin().string("url"), "https://chat.example/cable?x=1");
  EXPECT_EQ(application.origin()["headers"].string("REMOTE_ADDR"), "192.0.2.7");
}

TEST(Rpc, TheSecretIsDerivedAsAnycableDerivesIt) {
  AskedApplication application;
  const test::SecretFile secret("app-secret");
  Options options = asking(application);
  options.anycable_secret_file = secret.path();
  Server server(options);
  server.cable("/cable");
  ASSERT_TRUE(server.start());
  Peer peer(server.addresses()[0]);
  ASSERT_EQ(peer.upgrade("/cable"), 101);
  EXPECT_NE(peer.next().find("welcome"), std::string::npos);
  EXPECT_EQ(application.authorization(),
            "Bearer 8ef2701920b7e9ce47d619f4b93a013b7a00167332c3514428d2ad590d89414b");
}

TEST(Rpc, NobodyThereIsNoReasonNotToStart) {
  Options options = on_loopback();
  options.rpc_url = "http://127.0.0.1:1/rpc";
  options.rpc_timeout_ms = 100;
  Server server(options);
  server.cable("/cable");
  ASSERT_TRUE(server.start());
  Peer peer(server.addresses()[0]);
  ASSERT_EQ(peer.upgrade("/cable"), 101);
  EXPECT_EQ(peer.next(), R"({"type":"disconnect","reason":"unavailable","reconnect":true})");
  EXPECT_EQ(peer.next(), "close:1013 the application does not answer");
}

TEST(Rpc, BadOptionsAreToldInASentence) {
  const auto problem = [](void (*change)(Options&)) {
    Options options;
    options.rpc_url = "http://127.0.0.1:1/";
    change(options);
    return options.problem();
  };
  EXPECT_EQ(problem([](Options&) {}), "");
  EXPECT_NE(problem([](Options& o) { o.rpc_url = "localhost:50051"; }).find("gRPC"), std::string::npos);
  EXPECT_NE(problem([](Options& o) { o.rpc_url = "grpc://localhost:50051"; }).find("gRPC"),
            std::string::npos);
  EXPECT_NE(problem([](Options& o) { o.rpc_headers = {"a b"}; }).find("rpc-headers"), std::string::npos);
  EXPECT_NE(problem([](Options& o) { o.rpc_secret_file = "/nowhere"; }).find("rpc-secret-file"),
            std::string::npos);
  EXPECT_NE(problem([](Options& o) {
              o.rpc_url = "";
              o.rpc_secret_file = "x";
            }).find("needs rpc-url"),
            std::string::npos);
}

}  // namespace
}  // namespace ringcast
