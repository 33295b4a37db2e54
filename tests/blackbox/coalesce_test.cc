// --coalesce: what streams carry goes out once an interval, in order and with nothing lost;
// and what else is sent takes it along.
#include <gtest/gtest.h>

#include <chrono>
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
    server_ =
        ServerProcess::start({.arguments = {"--coalesce", rule, "--log-level", "warn", "--drain-seconds", "1",
                                            // A ping would take along what waits.
                                            "--ping-interval-s", "3600"}},
                             why_not);
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

  std::unique_ptr<ServerProcess> server_;
};

TEST_F(Coalesce, ThereAreNoMoreSendsThanIntervals) {
  ASSERT_NO_FATAL_FAILURE(start("chat_tick*=100"));
  WebSocketClient client = subscribe(chat_identifier("ticks"));
  TcpClient http = TcpClient::connect(server_->port());
  const uint64_t before = Metrics::read(http).sum("ringcast_sends_total");
  const auto begin = std::chrono::steady_clock::now();
  for (size_t i = 0; i < kCoalescedMessages; ++i) {
    ASSERT_EQ(broadcast(http, envelope("chat_ticks", std::to_string(i))), 201);
  }
  for (size_t i = 0; i < kCoalescedMessages; ++i) {
    ASSERT_EQ(next_but_ping(client), cable_broadcast(chat_identifier("ticks"), std::to_string(i)));
  }
  const auto intervals = (std::chrono::steady_clock::now() - begin) / std::chrono::milliseconds(100);
  // Each answer, to a post and to the question for metrics, was a send, too.
  const uint64_t sends = Metrics::read(http).sum("ringcast_sends_total") - before - kCoalescedMessages - 1;
  EXPECT_LE(sends, static_cast<uint64_t>(intervals) + 2);
}

// The interval is longer than anybody would wait here.
TEST_F(Coalesce, AReplyTakesAlongWhatWaits) {
  ASSERT_NO_FATAL_FAILURE(start("*=10000"));
  WebSocketClient client = subscribe(chat_identifier("a"));
  ASSERT_EQ(broadcast(server_->port(), envelope("chat_a", "1")), 201);
  EXPECT_EQ(next_but_ping(client), cable_broadcast(chat_identifier("a"), "1"));
  for (const char* const message : {"2", "3"}) {
    ASSERT_EQ(broadcast(server_->port(), envelope("chat_a", message)), 201);
  }
  client.send(cable_subscribe(chat_identifier("b")));
  EXPECT_EQ(next_but_ping(client), cable_confirmation(chat_identifier("b")));
  EXPECT_EQ(next_but_ping(client), cable_broadcast(chat_identifier("a"), "2"));
  EXPECT_EQ(next_but_ping(client), cable_broadcast(chat_identifier("a"), "3"));
}

}  // namespace
}  // namespace ringcast::blackbox
