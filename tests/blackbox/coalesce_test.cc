// --coalesce: what streams carry goes out once an interval, in order, with nothing lost,
// and other streams do not wait.
#include <gtest/gtest.h>

#include <memory>
#include <string>
#include <vector>

#include "blackbox/cable.h"
#include "blackbox/client.h"
#include "blackbox/probes.h"
#include "blackbox/server_process.h"

namespace ringcast::blackbox {
namespace {

constexpr size_t kCoalescedMessages = 200;

class Coalesce : public ::testing::Test {
 protected:
  void start(const std::string& rule) {
    std::string why_not;
    server_ = ServerProcess::start(
        {.arguments = {"--coalesce", rule, "--log-level", "warn", "--drain-seconds", "1"}}, why_not);
    ASSERT_NE(server_, nullptr) << why_not;
  }

  void TearDown() override {
    if (!server_) return;
    EXPECT_EQ(server_->stop(), (ServerProcess::Exit{.code = 0, .signal = 0})) << server_->standard_error();
  }

  WebSocketClient subscribe(const std::string& identifier) {
    WebSocketClient client = WebSocketClient::connect(server_->port(), "/cable", kCableProtocol);
    client.send(cable_subscribe(identifier));
    EXPECT_EQ(next_but_ping(client), kCableWelcome);
    EXPECT_EQ(next_but_ping(client), cable_confirmation(identifier));
    return client;
  }

  static std::string next_but_ping(WebSocketClient& client) {
    for (;;) {
      const auto frame = client.next();
      if (!frame || !is_cable_ping(frame->payload)) return frame ? frame->payload : "the end";
    }
  }

  // How many sends it took to bring them all to that client alone.
  uint64_t sends_for(WebSocketClient& client, const std::string& room) {
    TcpClient http = TcpClient::connect(server_->port());
    const uint64_t before = Metrics::read(http).sum("ringcast_sends_total");
    for (size_t i = 0; i < kCoalescedMessages; ++i) {
      EXPECT_EQ(broadcast(http, envelope("chat_" + room, std::to_string(i))), 201);
    }
    for (size_t i = 0; i < kCoalescedMessages; ++i) {
      EXPECT_EQ(next_but_ping(client), cable_broadcast(chat_identifier(room), std::to_string(i)));
    }
    // Each answer to a post was a send, too.
    return Metrics::read(http).sum("ringcast_sends_total") - before - kCoalescedMessages;
  }

  std::unique_ptr<ServerProcess> server_;
};

TEST_F(Coalesce, OneSendCarriesMoreAndOtherStreamsDoNotWait) {
  ASSERT_NO_FATAL_FAILURE(start("chat_tick*=400"));
  WebSocketClient patient = subscribe(chat_identifier("ticks"));
  WebSocketClient prompt = subscribe(chat_identifier("other"));
  EXPECT_LT(sends_for(patient, "ticks"), kCoalescedMessages / 4);
  EXPECT_GE(sends_for(prompt, "other"), kCoalescedMessages / 2);
}

// The interval is longer than anybody would wait here.
TEST_F(Coalesce, AReplyTakesAlongWhatWaits) {
  ASSERT_NO_FATAL_FAILURE(start("*=10000"));
  WebSocketClient client = subscribe(chat_identifier("a"));
  for (const char* const message : {"1", "2", "3"}) {
    ASSERT_EQ(broadcast(server_->port(), envelope("chat_a", message)), 201);
  }
  EXPECT_EQ(next_but_ping(client), cable_broadcast(chat_identifier("a"), "1"));
  client.send(cable_subscribe(chat_identifier("b")));
  EXPECT_EQ(next_but_ping(client), cable_confirmation(chat_identifier("b")));
  EXPECT_EQ(next_but_ping(client), cable_broadcast(chat_identifier("a"), "2"));
  EXPECT_EQ(next_but_ping(client), cable_broadcast(chat_identifier("a"), "3"));
}

}  // namespace
}  // namespace ringcast::blackbox
