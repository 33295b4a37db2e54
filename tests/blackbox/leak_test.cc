// Nothing is kept of those who left: after twenty thousand connections that came,
// subscribed and went in every way there is, polite and not, the server holds what it
// held before.
#include <gtest/gtest.h>

#include <memory>
#include <string>
#include <string_view>
#include <thread>
#include <vector>

#include "blackbox/cable.h"
#include "blackbox/client.h"
#include "blackbox/probes.h"
#include "blackbox/server_process.h"
#include "blackbox/swarm.h"

namespace ringcast::blackbox {
namespace {

constexpr size_t kCycles = 20'000;
constexpr size_t kWave = 200;  // connections at a time
constexpr size_t kRooms = 10;

enum class Leaving : uint8_t {
  by_close,           // the closing handshake, after the confirmation
  by_fin,             // FIN without a Close frame, after the confirmation
  by_reset,           // RST, after the confirmation
  mid_handshake,      // half a request, and FIN
  while_subscribing,  // the handshake and a command in one go, and gone
  mid_frame,          // half a frame, and FIN
  raw_by_close,
  raw_by_reset,  // RST with broadcasts unread
  count,
};

class Leak : public ::testing::Test {
 protected:
  void SetUp() override {
    std::string why_not;
    server_ = ServerProcess::start(
        {.arguments = {"--room-prefix", "chat_", "--log-level", "error", "--drain-seconds", "1"}}, why_not);
    ASSERT_NE(server_, nullptr) << why_not;
    watcher_ = TcpClient::connect(port());
  }

  void TearDown() override {
    if (!server_) return;
    EXPECT_TRUE(server_->running()) << "it ended by itself";
    EXPECT_EQ(server_->stop(), (ServerProcess::Exit{.code = 0, .signal = 0})) << server_->standard_error();
  }

  uint16_t port() const { return server_->port(); }

  Holdings at_rest() { return holdings_at_rest(watcher_, server_->pid()); }
  Holdings settled(const Holdings& expected) { return settled_holdings(watcher_, server_->pid(), expected); }

  // Kept alive by what it does: no request is longer than the keep-alive timeout away.
  TcpClient watcher_;
  std::unique_ptr<ServerProcess> server_;
};

// One wave: everybody comes, does what its way of leaving asks for, and is gone.
void one_wave(uint16_t port, size_t wave) {
  Swarm swarm;
  std::vector<Leaving> leaving;
  std::vector<std::string> identifiers;
  const auto leave = [&](size_t member) {
    switch (leaving[member]) {
      case Leaving::by_close:
      case Leaving::raw_by_close:
        return swarm.send_close(member);
      case Leaving::by_fin:
        return swarm.shutdown_write(member);
      case Leaving::by_reset:
      case Leaving::raw_by_reset:
        return swarm.reset(member);
      case Leaving::mid_frame:
        swarm.send(member, cable_perform(identifiers[member], R"({"message":"cut off"})").substr(0, 40));
        return swarm.shutdown_write(member);
      case Leaving::mid_handshake:
      case Leaving::while_subscribing:
      case Leaving::count:
        FAIL() << "gone long since";
    }
  };
  swarm.on_open = [&](size_t member) {
    if (leaving[member] == Leaving::raw_by_close) leave(member);
  };
  swarm.on_frame = [&](size_t member, const Swarm::Frame& frame) {
    const bool confirmed = frame.payload.find("confirm_subscription") != std::string_view::npos;
    // Whoever resets does so in the middle of a conversation: what it says on the way
    // is broadcast to all the others in its room.
    if (leaving[member] == Leaving::by_reset && confirmed) {
      swarm.send(member, cable_perform(identifiers[member], R"({"message":"bye"})"));
    }
    if (leaving[member] == Leaving::raw_by_reset || confirmed) leave(member);
  };
  for (size_t i = 0; i < kWave; ++i) {
    leaving.push_back(static_cast<Leaving>((wave * kWave + i) % static_cast<size_t>(Leaving::count)));
    const std::string room = "leak-" + std::to_string(i % kRooms);
    identifiers.push_back(chat_identifier(room));
    const std::string subscribe = cable_subscribe(identifiers.back());
    switch (leaving.back()) {
      case Leaving::mid_handshake:
        swarm.close(swarm.add_request(port, WebSocketClient::request("/cable").substr(0, 60)));
        break;
      case Leaving::while_subscribing:
        swarm.close(swarm.add(port, "/cable", kCableProtocol, subscribe));
        break;
      case Leaving::raw_by_close:
        swarm.add(port, "/websocket/" + room);
        break;
      case Leaving::raw_by_reset:  // its own word is what it hears, at the latest
        swarm.add(port, "/websocket/" + room, {}, encode({.payload = R"({"message":"hello"})"}));
        break;
      default:
        swarm.add(port, "/cable", kCableProtocol, subscribe);
    }
  }
  ASSERT_TRUE(swarm.run_until([&] { return swarm.over_count() == kWave; }))
      << kWave - swarm.over_count() << " did not come to their end";
}

TEST_F(Leak, NothingIsLeftOfTwentyThousandWhoCameAndWent) {
  // A first wave grows what stays for good: pools, tables, the descriptors of a backend.
  one_wave(port(), 0);
  const Holdings before = at_rest();
  const uint64_t accepted_before = Metrics::read(watcher_).sum("ringcast_accepted_total");

  for (size_t wave = 0; wave < kCycles / kWave; ++wave) ASSERT_NO_FATAL_FAILURE(one_wave(port(), wave));

  const Holdings after = settled(before);
  EXPECT_EQ(after, before) << "before: " << before.to_string() << "\nafter:  " << after.to_string();
  const Metrics metrics = Metrics::read(watcher_);
  EXPECT_EQ(metrics.sum("ringcast_log_bytes"), 0u);
  EXPECT_EQ(metrics.sum("ringcast_accepted_total") - accepted_before, kCycles);
  // It was what it was meant to be: all of them subscribed but those who left before.
  constexpr size_t kEach = kCycles / static_cast<size_t>(Leaving::count);
  EXPECT_GE(metrics.sum("ringcast_confirms_total"), 4 * kEach);
  EXPECT_GE(metrics.sum("ringcast_upgrades_total"), 6 * kEach);
}

// The same without the crowd: the gauges come down also when nobody else wakes the server.
TEST_F(Leak, NothingIsLeftOfOne) {
  const Holdings before = at_rest();
  for (const Leaving way : {Leaving::by_close, Leaving::by_reset, Leaving::by_fin}) {
    WebSocketClient client = WebSocketClient::connect(port(), "/cable", kCableProtocol);
    client.send(cable_subscribe(chat_identifier("alone")));
    while (const auto frame = client.next()) {
      if (frame->payload.find("confirm_subscription") != std::string::npos) break;
    }
    EXPECT_EQ(Metrics::read(watcher_).sum("ringcast_subscriptions"), 1u);
    if (way == Leaving::by_close) {
      client.send(encode_close(1000));
      while (client.next()) {
      }
    } else if (way == Leaving::by_fin) {
      client.tcp().shutdown_write();
      while (client.next()) {
      }
    } else {
      client.tcp().reset();
    }
    ASSERT_TRUE(wait_for_metric(port(), "ringcast_subscriptions", 0));
  }
  const Holdings after = settled(before);
  EXPECT_EQ(after, before) << "before: " << before.to_string() << "\nafter:  " << after.to_string();
}

}  // namespace
}  // namespace ringcast::blackbox
