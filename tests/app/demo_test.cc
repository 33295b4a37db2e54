// The binary's endpoints, put on a server in this process.
#include "app/demo.h"

#include <gtest/gtest.h>

#include "app/in_force.h"
#include "app/ticker.h"
#include "ringcast/server.h"
#include "server/peer.h"

namespace ringcast {
namespace {

using test::Peer;

class Demo : public testing::Test {
 protected:
  explicit Demo(Config config = {}) : config_(std::move(config)), in_force_(config_), server_(options()) {
    add_endpoints(server_, config_, in_force_);
    EXPECT_TRUE(server_.start());
    address_ = server_.addresses()[0];
  }

  Options options() {
    config_.server.listen = {"127.0.0.1:0"};
    config_.server.shards = 2;
    return config_.server;
  }

  int post(std::string_view path, std::string_view body, std::string_view headers = {}) {
    Peer peer(address_);
    const int status = peer.request("POST", path, headers, body);
    answer_ = peer.body();
    return status;
  }

  void enter(Peer& peer, std::string_view path) { ASSERT_EQ(peer.upgrade(path), 101); }

  Config config_;
  InForce in_force_;
  Server server_;
  std::string address_;
  std::string answer_;
};

constexpr std::string_view kForm = "Content-Type: application/x-www-form-urlencoded\r\n";
constexpr std::string_view kJson = "Content-Type: application/json\r\n";

TEST_F(Demo, EverybodyHearsEverybodyOnTheChat) {
  Peer one(address_), two(address_);
  enter(one, "/websocket");
  enter(two, "/websocket");
  EXPECT_EQ(one.next(), R"({"message":"Welcome to the Ringcast chat!","sender":"Server"})");
  two.next();
  one.send_text(R"({"message":{"any":[1.10]},"sender":"spoofed","other":1})");
  const std::string heard = one.next();
  EXPECT_TRUE(heard.starts_with(R"({"message":{"any":[1.10]},"sender":"Client )")) << heard;
  EXPECT_EQ(two.next(), heard);
}

TEST_F(Demo, WhatIsNoMessageIsToldToItsSenderAlone) {
  Peer peer(address_);
  enter(peer, "/websocket");
  peer.next();
  for (const char* bad : {"", "{", "{}", "nonsense"}) {
    peer.send_text(bad);
    EXPECT_TRUE(peer.next().starts_with(R"({"error":"Invalid JSON format: )")) << bad;
  }
  for (const char* bad : {"[]", "42", "null", "true", "\"a message\""}) {
    peer.send_text(bad);
    EXPECT_EQ(peer.next(), R"({"error":"Server error: expected a JSON object"})") << bad;
  }
  peer.send_frame(2, "{}");
  EXPECT_TRUE(peer.next().starts_with(R"({"error":"Invalid JSON format: )"));
}

TEST_F(Demo, ARoomPassesOnWhatItIsGivenUnderItsSendersName) {
  Peer one(address_), alias(address_), other(address_);
  enter(one, "/websocket/general");
  enter(alias, "/websocket?room=general");
  enter(other, "/websocket/other");
  one.send_text(R"({"sender":"spoof","message":"hello","k":1})");
  const std::string heard = one.next();
  EXPECT_TRUE(heard.starts_with(R"({"sender":"Client )") && heard.ends_with(R"(,"message":"hello","k":1})"))
      << heard;
  EXPECT_EQ(alias.next(), heard);
  ASSERT_EQ(server_.broadcast("room_other", "raw, not JSON"), BroadcastStatus::ok);
  EXPECT_EQ(other.next(), "raw, not JSON");
  Peer bad(address_);
  enter(bad, "/websocket/" + std::string(201, 'x'));
  EXPECT_TRUE(bad.next().starts_with("close:1008"));
}

TEST_F(Demo, AMessageIsPostedToARoomInEveryForm) {
  Peer peer(address_);
  enter(peer, "/websocket/general");
  EXPECT_EQ(post("/send_message_to_room/general", "message=from+http", kForm), 200);
  EXPECT_EQ(answer_, R"({"status":"ok","message":"Message sent to room general"})");
  EXPECT_EQ(peer.next(), R"({"message":"from http","sender":"HTTP API"})");
  EXPECT_EQ(post("/send_message_to_room/general?message=q&sender=", ""), 200);
  EXPECT_EQ(peer.next(), R"({"message":"q","sender":""})");
  EXPECT_EQ(post("/send_message_to_room/general", R"({"message":[1],"sender":"me"})", kJson), 200);
  EXPECT_EQ(peer.next(), R"({"message":[1],"sender":"me"})");
  EXPECT_EQ(post("/send_message_to_room/general", "sender=x", kForm), 422);
  EXPECT_EQ(post("/send_message_to_room/general", "{", kJson), 400);
  EXPECT_EQ(post("/send_message_to_room/general", "[]", kJson), 422);
  EXPECT_EQ(Json::parse(answer_)->string("status"), "error");
  EXPECT_EQ(Peer(address_).request("GET", "/send_message_to_room/general"), 405);
}

TEST_F(Demo, BroadcastsTakeOneEnvelopeOrSeveral) {
  Peer peer(address_);
  enter(peer, "/websocket/general");
  EXPECT_EQ(post("/_broadcast", R"({"stream":"room_general","data":"{\"n\":1.10}"})"), 201);
  EXPECT_EQ(peer.next(), R"({"n":1.10})");
  EXPECT_EQ(
      post("/_broadcast", R"([{"stream":"room_general","data":"1"},{"stream":"room_general","data":"2"}])"),
      201);
  EXPECT_EQ(peer.next(), "1");
  EXPECT_EQ(peer.next(), "2");
  EXPECT_EQ(post("/_broadcast", "[]"), 201);
  EXPECT_EQ(post("/_broadcast", "not JSON"), 400);
  for (const char* bad :
       {"{}", "7", R"({"stream":"s"})", R"({"stream":"","data":"x"})", R"({"stream":"s","data":{}})",
        R"([{"stream":"room_general","data":"never"},{"stream":"s"}])"}) {
    EXPECT_EQ(post("/_broadcast", bad), 422) << bad;
    EXPECT_EQ(Json::parse(answer_)->string("status"), "error") << bad;
  }
  const std::string long_name = R"({"data":"x","stream":")" + std::string(1025, 's') + "\"}";
  EXPECT_EQ(post("/_broadcast", long_name), 413);
}

TEST_F(Demo, NeitherAProxyNorAForeignPageMayPublish) {
  const auto status = [this](std::string_view headers) {
    return post("/_broadcast", R"({"stream":"s","data":"x"})", headers);
  };
  for (const char* bad :
       {"X-Forwarded-For: 1.2.3.4\r\n", "Forwarded: for=1.2.3.4\r\n", "X-Real-IP: 1.2.3.4\r\n",
        "Via: 1.1 proxy\r\n", "Origin: https://evil.example\r\n", "Origin: null\r\n",
        "Sec-Fetch-Site: cross-site\r\n", "Sec-Fetch-Site: same-site\r\n"}) {
    EXPECT_EQ(status(bad), 403) << bad;
  }
  EXPECT_EQ(status("Origin: http://" + address_ + "\r\nSec-Fetch-Site: same-origin\r\n"), 201);
  Peer rebound(address_);
  rebound.write(
      "POST /_broadcast HTTP/1.1\r\nHost: evil.example\r\nContent-Length: "
      "27\r\n\r\n{\"stream\":\"s\",\"data\":\"x\"}  ");
  EXPECT_EQ(rebound.request("GET", "/health"), 403);  // the first answer
}

TEST_F(Demo, ProbesAndPagesAreServed) {
  Peer peer(address_);
  EXPECT_EQ(peer.request("GET", "/health"), 200);
  EXPECT_EQ(peer.request("GET", "/ready"), 200);
  EXPECT_EQ(peer.request("GET", "/metrics"), 200);
  EXPECT_NE(peer.body().find("ringcast_connections{shard=\"0\"}"), std::string::npos);
  ASSERT_EQ(peer.request("GET", "/"), 200);
  const std::string page = peer.body();
  EXPECT_NE(page.find("<html"), std::string::npos);
  for (const char* path : {"/websocket", "/websocket/general", "/websocket?room=general"}) {
    EXPECT_EQ(peer.request("GET", path), 200) << path;
    EXPECT_EQ(peer.body(), page) << path;
  }
  EXPECT_EQ(peer.request("GET", "/echo"), 404);
}

TEST_F(Demo, ChatChannelNamesItsSenderAndSharesAStreamByName) {
  Peer peer(address_);
  ASSERT_EQ(peer.upgrade("/cable"), 101);
  peer.next();
  for (const char* identifier : {R"({"channel":"ChatChannel"})", R"({"channel":"ChatChannel","room_id":7})",
                                 R"({"channel":"TickerChannel","symbol":"TEST"})"}) {
    peer.send_text(Json({{"command", "subscribe"}, {"identifier", identifier}}).dump());
    EXPECT_EQ(peer.next(), Json({{"identifier", identifier}, {"type", "confirm_subscription"}}).dump());
  }
  for (const char* identifier :
       {R"({"channel":"ChatChannel","room_id":null})", R"({"channel":"TickerChannel"})"}) {
    peer.send_text(Json({{"command", "subscribe"}, {"identifier", identifier}}).dump());
    EXPECT_EQ(peer.next(), Json({{"identifier", identifier}, {"type", "reject_subscription"}}).dump());
  }
  const char* chat = R"({"channel":"ChatChannel"})";
  peer.send_text(
      Json({{"command", "message"}, {"identifier", chat}, {"data", R"({"action":"receive","message":"hi"})"}})
          .dump());
  const std::string heard = peer.next();
  EXPECT_NE(heard.find(R"("message":{"message":"hi","sender":"Client )"), std::string::npos) << heard;
  ASSERT_EQ(server_.broadcast("chat_7", "{\"x\":1}"), BroadcastStatus::ok);
  EXPECT_NE(peer.next().find(R"("message":{"x":1})"), std::string::npos);
}

TEST_F(Demo, TheTickerTicks) {
  Peer peer(address_);
  ASSERT_EQ(peer.upgrade("/cable"), 101);
  peer.next();
  const char* identifier = R"({"channel":"TickerChannel","symbol":"ACME"})";
  peer.send_text(Json({{"command", "subscribe"}, {"identifier", identifier}}).dump());
  peer.next();
  const Ticker ticker(server_);
  for (int64_t i = 1; i <= 2; ++i) {
    const std::optional<Json> tick = Json::parse(peer.next());
    ASSERT_TRUE(tick);
    const Json& message = (*tick)["message"];
    EXPECT_EQ(message.string("symbol"), "ACME");
    EXPECT_EQ(message["seq"].as_int64(), i);
    EXPECT_EQ(message.string("price").find('.'), message.string("price").size() - 3);
    EXPECT_NE(std::string("+-").find(message.string("change")[0]), std::string::npos);
  }
}

class Anywhere : public Demo {
 protected:
  Anywhere()
      : Demo([] {
          Config config;
          config.demo_anywhere = true;
          return config;
        }()) {}
};

TEST_F(Anywhere, WhoeverReachesTheDemoPublishesButNoForeignPageDoes) {
  const auto status = [this](std::string_view headers) {
    return post("/_broadcast", R"({"stream":"s","data":"x"})", headers);
  };
  EXPECT_EQ(status(""), 201);
  EXPECT_EQ(status("X-Forwarded-For: 1.2.3.4\r\nVia: 1.1 proxy\r\n"), 201);
  EXPECT_EQ(status("Origin: https://" + address_ + "\r\nSec-Fetch-Site: same-origin\r\n"), 201);
  for (const char* bad : {"Origin: https://evil.example\r\n", "Origin: null\r\n",
                          "Sec-Fetch-Site: cross-site\r\n", "Sec-Fetch-Site: same-site\r\n"}) {
    EXPECT_EQ(status(bad), 403) << bad;
    EXPECT_EQ(post("/send_message_to_room/r?message=x", "", bad), 403) << bad;
  }
  Peer named(address_);
  named.write("POST /_broadcast HTTP/1.1\r\nHost: ringcast.example\r\nContent-Length: 2\r\n\r\n[]");
  EXPECT_EQ(named.request("GET", "/health"), 201);  // the first answer
}

class AnywhereWithKey : public Demo {
 protected:
  AnywhereWithKey()
      : Demo([] {
          Config config;
          config.demo_anywhere = true;
          config.broadcast_key = "secret";
          return config;
        }()) {}
};

TEST_F(AnywhereWithKey, AKeyIsAskedForAllTheSame) {
  EXPECT_EQ(post("/_broadcast", R"({"stream":"s","data":"x"})"), 401);
  EXPECT_EQ(post("/_broadcast", R"({"stream":"s","data":"x"})", "Authorization: Bearer secret\r\n"), 201);
  EXPECT_EQ(post("/send_message_to_room/r?message=x", ""), 200);
}

class WithKey : public Demo {
 protected:
  WithKey()
      : Demo([] {
          Config config;
          config.demo = DemoMode::off;
          config.echo = true;
          config.broadcast_key = "secret";
          return config;
        }()) {}
};

TEST_F(WithKey, OnlyItsHolderPublishesAndTheDemoIsGone) {
  constexpr std::string_view kEnvelope = R"({"stream":"s","data":"x"})";
  EXPECT_EQ(post("/_broadcast", kEnvelope), 401);
  EXPECT_EQ(post("/_broadcast", kEnvelope, "Authorization: Bearer secreT\r\n"), 401);
  EXPECT_EQ(post("/_broadcast", kEnvelope, "Authorization: bearer secret\r\nX-Forwarded-For: 1.2.3.4\r\n"),
            201);
  EXPECT_EQ(post("/send_message_to_room/r?message=x", ""), 401);
  EXPECT_EQ(Peer(address_).request("GET", "/"), 404);
  EXPECT_EQ(Peer(address_).upgrade("/websocket"), 404);
  Peer echo(address_);
  ASSERT_EQ(echo.upgrade("/echo"), 101);
  echo.send_text("there");
  EXPECT_EQ(echo.next(), "there");
}

}  // namespace
}  // namespace ringcast
