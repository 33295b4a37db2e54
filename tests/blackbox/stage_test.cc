// Stage latencies as /metrics tells them: whether every message is counted at every stage,
// as often as it passes it, and in order; and that nothing is said unless it is asked for.
#include <gtest/gtest.h>

#include <array>
#include <chrono>
#include <cstdlib>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "blackbox/client.h"
#include "blackbox/probes.h"
#include "blackbox/server_process.h"
#include "support/client_frames.h"

namespace ringcast::blackbox {
namespace {

using Clock = std::chrono::steady_clock;

constexpr size_t kStageMessages = 60;
constexpr size_t kStageListeners = 10;
constexpr std::array<const char*, 4> kStages = {"publish", "home", "fan_out", "submit"};

struct StageHistogram {
  std::vector<std::pair<double, uint64_t>> buckets;  // end in seconds, how many up to there
  double sum = 0;
  uint64_t count = 0;
  bool infinite = false;  // it ends with +Inf
};

// The four of them; those that are not there have no buckets.
std::map<std::string, StageHistogram> read_stages(uint16_t port) {
  const std::string text = http_get(port, "/metrics").body;
  std::map<std::string, StageHistogram> stages;
  for (const char* const stage : kStages) {
    StageHistogram& histogram = stages[stage];
    const std::string name = std::string("\nringcast_stage_") + stage + "_seconds";
    const std::string bucket = name + "_bucket{le=\"";
    for (size_t at = text.find(bucket); at != std::string::npos; at = text.find(bucket, at + 1)) {
      const std::string end =
          text.substr(at + bucket.size(), text.find('"', at + bucket.size()) - at - bucket.size());
      histogram.infinite = end == "+Inf";
      const double seconds = histogram.infinite ? 1e9 : std::strtod(end.c_str(), nullptr);
      histogram.buckets.emplace_back(seconds,
                                     std::strtoull(text.c_str() + text.find(' ', at) + 1, nullptr, 10));
    }
    if (const size_t at = text.find(name + "_sum "); at != std::string::npos) {
      histogram.sum = std::strtod(text.c_str() + at + name.size() + 5, nullptr);
    }
    if (const size_t at = text.find(name + "_count "); at != std::string::npos) {
      histogram.count = std::strtoull(text.c_str() + at + name.size() + 7, nullptr, 10);
    }
  }
  return stages;
}

std::unique_ptr<ServerProcess> start_measuring(std::vector<std::string> more) {
  std::vector<std::string> arguments = {"--log-level", "warn", "--drain-seconds", "1"};
  arguments.insert(arguments.end(), more.begin(), more.end());
  std::string why_not;
  auto server = ServerProcess::start({.arguments = arguments}, why_not);
  EXPECT_NE(server, nullptr) << why_not;
  return server;
}

TEST(StageLatency, IsNotMeasuredUnlessAskedFor) {
  const auto server = start_measuring({});
  ASSERT_NE(server, nullptr);
  EXPECT_EQ(http_get(server->port(), "/metrics").body.find("ringcast_stage"), std::string::npos);
}

// Whether each is sent by itself, or with others.
class StageLatencyOf : public ::testing::TestWithParam<std::string> {};

TEST_P(StageLatencyOf, EveryMessageIsCountedAtEveryStageInOrder) {
  const auto server = start_measuring({"--stage-latency", "on", "--shards", "2", "--coalesce", GetParam()});
  ASSERT_NE(server, nullptr);
  const auto begin = Clock::now();
  // /websocket publishes to everybody on it.
  std::vector<WebSocketClient> clients;
  for (size_t i = 0; i < kStageListeners; ++i) {
    clients.push_back(WebSocketClient::connect(server->port(), "/websocket/stages"));
    ASSERT_TRUE(clients.back().open());
  }
  uint64_t shards = 0;
  for (const char* const shard : {"shard=\"0\"", "shard=\"1\""}) {
    shards += Metrics::read(server->port()).sum("ringcast_subscriptions", shard) > 0;
  }
  ASSERT_GE(shards, 1u);
  const auto before = read_stages(server->port());

  TcpClient http = TcpClient::connect(server->port());
  for (size_t i = 0; i < kStageMessages; ++i) {
    if (i % 2 == 0) {
      ASSERT_TRUE(clients[0].send(encode({.payload = R"({"message":"m"})"})));
    } else {
      ASSERT_EQ(broadcast(http, envelope("room_stages", R"({"message":"m"})")), 201);
    }
  }
  for (WebSocketClient& client : clients) {
    for (size_t heard = 0; heard < kStageMessages;) {
      const auto frame = client.next();
      ASSERT_TRUE(frame.has_value());
      if (frame->payload.find("\"m\"") != std::string::npos) ++heard;
    }
  }
  ASSERT_TRUE(wait_for_metric(server->port(), "ringcast_stage_submit_seconds_count",
                              before.at("submit").count + kStageMessages * shards));
  const double elapsed = std::chrono::duration<double>(Clock::now() - begin).count();
  const auto after = read_stages(server->port());

  double inside = 0;
  for (const char* const stage : kStages) {
    SCOPED_TRACE(stage);
    const StageHistogram& histogram = after.at(stage);
    ASSERT_GT(histogram.buckets.size(), 50u);
    for (size_t i = 1; i < histogram.buckets.size(); ++i) {
      EXPECT_GT(histogram.buckets[i].first, histogram.buckets[i - 1].first);
      EXPECT_GE(histogram.buckets[i].second, histogram.buckets[i - 1].second);
    }
    EXPECT_TRUE(histogram.infinite);
    EXPECT_EQ(histogram.buckets.back().second, histogram.count);
    // A stage that ended before it began would count as an age, or as nothing.
    const uint64_t within = (histogram.buckets.end() - 2)->second;
    EXPECT_EQ(within, histogram.count) << "longer than the whole test";
    EXPECT_GT(histogram.sum, 0.0);
    const bool once_per_shard = std::string_view(stage) == "fan_out" || std::string_view(stage) == "submit";
    const uint64_t counted = histogram.count - before.at(stage).count;
    if (std::string_view(stage) == "home") {
      // The demo's ticker publishes beside us, and to nobody: what homes number is more.
      EXPECT_GE(counted, kStageMessages);
    } else {
      EXPECT_EQ(counted, once_per_shard ? kStageMessages * shards : kStageMessages);
    }
    inside += histogram.sum / static_cast<double>(histogram.count);
  }
  // The stages follow one another: together they take no longer than there was time.
  EXPECT_LT(inside, elapsed);
}

INSTANTIATE_TEST_SUITE_P(, StageLatencyOf, ::testing::Values("none=1", "room_*=50"));

}  // namespace
}  // namespace ringcast::blackbox
