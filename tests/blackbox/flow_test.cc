// Fast publishers, slow readers and those who do not read at all: nobody who reads loses
// anything, who does not read is told why and closed, the server's memory stays bounded
// whatever they do, and what must overtake data overtakes it.
#include <gtest/gtest.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstdlib>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <thread>
#include <utility>
#include <vector>

#include "blackbox/cable.h"
#include "blackbox/client.h"
#include "blackbox/probes.h"
#include "blackbox/server_process.h"
#include "blackbox/swarm.h"

namespace ringcast::blackbox {
namespace {

using Clock = std::chrono::steady_clock;

constexpr std::string_view kTooSlow = R"({"type":"disconnect","reason":"too_slow","reconnect":true})";

// Pings of any kind would come between the bytes that are compared; a stalled reader
// may stay so for as long as a loaded machine takes to serve the others.
std::vector<std::string> flow_options(const std::vector<std::string>& more) {
  std::vector<std::string> options = {"--room-prefix",     "chat_", "--raw-ping-interval-s", "0",
                                      "--ping-interval-s", "3600",  "--request-body-bytes",  "33554432",
                                      "--write-stall-s",   "600",   "--close-timeout-s",     "600",
                                      "--log-level",       "warn",  "--drain-seconds",       "1"};
  options.insert(options.end(), more.begin(), more.end());
  return options;
}

// A JSON text of exactly so many bytes that says which it is.
std::string numbered(size_t number, size_t bytes) {
  std::string text = R"({"n":)" + std::to_string(number) + R"(,"pad":")";
  text.append(bytes - text.size() - 2, static_cast<char>('a' + number % 26));
  return text += "\"}";
}

std::vector<std::string> many_numbered(size_t count, size_t bytes) {
  std::vector<std::string> all;
  for (size_t i = 0; i < count; ++i) all.push_back(numbered(i, bytes));
  return all;
}

// What a raw room and what a chat subscriber is sent of these broadcasts.
std::string raw_wire(const std::vector<std::string>& messages) {
  std::string wire;
  for (const std::string& message : messages) wire += server_frame(1, message);
  return wire;
}
std::string cable_wire(std::string_view identifier, const std::vector<std::string>& messages) {
  std::string wire;
  for (const std::string& message : messages) wire += server_frame(1, cable_broadcast(identifier, message));
  return wire;
}

class Flow : public ::testing::Test {
 protected:
  void start(const std::vector<std::string>& more = {}) {
    std::string why_not;
    server_ = ServerProcess::start({.arguments = flow_options(more)}, why_not);
    ASSERT_NE(server_, nullptr) << why_not;
  }

  void TearDown() override {
    if (!server_) return;
    EXPECT_TRUE(server_->running()) << "it ended by itself";
    EXPECT_EQ(server_->stop(), (ServerProcess::Exit{.code = 0, .signal = 0})) << server_->standard_error();
  }

  uint16_t port() const { return server_->port(); }

  // Subscribes to the stream chat_flood: every other one in the raw room, the others by
  // cable. The members' numbers, once all of them are live.
  std::vector<size_t> add_readers(Swarm& swarm, size_t count) {
    std::vector<size_t> readers;
    size_t to_confirm = 0;
    const auto before = swarm.on_frame;
    swarm.on_frame = [&](size_t, const Swarm::Frame& frame) {
      if (frame.payload.find("confirm_subscription") != std::string_view::npos) --to_confirm;
    };
    for (size_t i = 0; i < count; ++i) {
      if (i % 2 == 0) {
        readers.push_back(swarm.add(port(), "/websocket/flood"));
      } else {
        ++to_confirm;
        readers.push_back(swarm.add(port(), "/cable", kCableProtocol, cable_subscribe(kIdentifier)));
      }
    }
    EXPECT_TRUE(swarm.run_until_open());
    EXPECT_TRUE(swarm.run_until([&] { return to_confirm == 0; }));
    EXPECT_EQ(swarm.open_count(), swarm.size());
    swarm.on_frame = before;
    return readers;
  }
  static bool is_cable(size_t reader) { return reader % 2 != 0; }

  // Publishes on a thread of its own, so that the swarm can read meanwhile.
  std::thread publisher(const std::vector<std::string>& messages) {
    return std::thread(
        [this, body = envelopes("chat_flood", messages)] { EXPECT_EQ(broadcast(port(), body), 201); });
  }

  const std::string kIdentifier = chat_identifier("flood");
  std::unique_ptr<ServerProcess> server_;
};

// Watches the most memory a server held while something went on.
class MemoryWatch {
 public:
  explicit MemoryWatch(pid_t pid) : pid_(pid), before_(resident_bytes(pid)), most_(before_) {}
  void look() { most_ = std::max(most_, resident_bytes(pid_)); }
  size_t growth() const { return most_ - before_; }

 private:
  const pid_t pid_;
  const size_t before_;
  size_t most_;
};

// ── 10 MiB in one go ─────────────────────────────────────────────────────────

constexpr size_t kFloodMessages = 640;
constexpr size_t kFloodMessageBytes = 16 * kKiB;
constexpr size_t kReaders = 1000;
constexpr size_t kStuck = 5;
constexpr std::chrono::seconds kFloodPatience{240};

// Far less than one copy for each reader, far more than one go and its logs.
constexpr size_t kFloodGrowthMax = 160 * kMiB;

class Flood : public Flow {
 protected:
  const std::vector<std::string> messages = many_numbered(kFloodMessages, kFloodMessageBytes);
  const std::string raw = raw_wire(messages);
  const std::string cable = cable_wire(kIdentifier, messages);

  void expect_all(Swarm& swarm, const std::vector<size_t>& readers) {
    for (size_t i = 0; i < readers.size(); ++i) swarm.expect(readers[i], is_cable(i) ? &cable : &raw);
  }
  size_t complete(const Swarm& swarm, const std::vector<size_t>& readers) const {
    size_t count = 0;
    for (size_t i = 0; i < readers.size(); ++i) {
      count += swarm.matched_bytes(readers[i]) == (is_cable(i) ? cable : raw).size() ? 1u : 0u;
    }
    return count;
  }
  // Everybody who reads has everything, in order, and is still there.
  void flood(Swarm& swarm, const std::vector<size_t>& readers) {
    MemoryWatch memory(server_->pid());
    std::thread publishing = publisher(messages);
    EXPECT_TRUE(swarm.run_until(
        [&] {
          memory.look();
          return complete(swarm, readers) == readers.size();
        },
        kFloodPatience))
        << complete(swarm, readers) << " of " << readers.size() << " have everything";
    publishing.join();
    for (const size_t reader : readers) {
      ASSERT_FALSE(swarm.differs(reader)) << reader;
      ASSERT_TRUE(swarm.open(reader)) << reader << " was closed with " << swarm.close_code(reader);
    }
    if (memory_is_telling(server_->pid())) {
      EXPECT_LT(memory.growth(), kFloodGrowthMax);
    }
  }
};

// The grace is as long as a loaded machine may keep this process from reading: what is
// shown is that a log too small for the flood makes publishers wait, not readers lose.
TEST_F(Flood, LosesNoneOfAThousandPromptReaders) {
  ASSERT_NO_FATAL_FAILURE(start({"--lap-grace-ms", "60000"}));
  Swarm swarm;
  const std::vector<size_t> readers = add_readers(swarm, kReaders);
  expect_all(swarm, readers);
  flood(swarm, readers);
  const Metrics metrics = Metrics::read(port());
  EXPECT_EQ(metrics.sum("ringcast_ended_total", "too_slow"), 0u);
  EXPECT_EQ(metrics.sum("ringcast_dropped_total"), 0u);
}

TEST_F(Flood, ClosesOnlyTheFiveWhoNeverRead) {
  ASSERT_NO_FATAL_FAILURE(start({"--lap-grace-ms", "2000"}));
  constexpr size_t kReaders = 100;
  Swarm swarm;
  const std::vector<size_t> readers = add_readers(swarm, kReaders);
  const std::vector<size_t> stuck = add_readers(swarm, kStuck);
  expect_all(swarm, readers);
  for (const size_t one : stuck) swarm.stop_reading(one);
  flood(swarm, readers);
  EXPECT_TRUE(wait_for_metric(port(), "ringcast_subscriptions", kReaders)) << "the stuck were not closed";

  // Once they read again: what came before in order, why they were closed, and the end.
  std::map<size_t, size_t> heard;
  std::map<size_t, std::vector<std::string>> last_words;
  swarm.on_frame = [&](size_t member, const Swarm::Frame& frame) {
    if (member < stuck.front()) return;
    const std::string& message = messages[std::min(heard[member], messages.size() - 1)];
    const bool cable_member = is_cable(member - stuck.front());
    if (frame.payload == (cable_member ? cable_broadcast(kIdentifier, message) : message)) {
      EXPECT_TRUE(last_words[member].empty());
      ++heard[member];
    } else {
      last_words[member].push_back(frame.opcode == 8 ? "close " + std::string(frame.payload.substr(2))
                                                     : std::string(frame.payload));
    }
  };
  for (const size_t one : stuck) swarm.read_again(one);
  EXPECT_TRUE(swarm.run_until([&] { return swarm.over_count() == kStuck; }));
  for (size_t i = 0; i < stuck.size(); ++i) {
    EXPECT_EQ(swarm.close_code(stuck[i]), 1013u) << i;
    EXPECT_EQ(swarm.end(stuck[i]), Swarm::End::closed) << i;
    EXPECT_LT(heard[stuck[i]], messages.size()) << i;
    std::vector<std::string> expected = {"close too slow"};
    if (is_cable(i)) expected.insert(expected.begin(), std::string(kTooSlow));
    EXPECT_EQ(last_words[stuck[i]], expected) << i;
  }
  EXPECT_TRUE(wait_for_metric(port(), "ringcast_ended_total", kStuck, R"(reason="too_slow")"));
}

// All five stall at about the same time, in the raw room and on cable, so they are waited
// for together and once: graces one after the other would take as long again and again.
TEST_F(Flood, StuckReadersHoldTheirStreamUpForOneGraceOnly) {
  constexpr std::chrono::seconds kGrace{2};
  ASSERT_NO_FATAL_FAILURE(start({"--lap-grace-ms", "2000"}));
  Swarm swarm;
  const std::vector<size_t> readers = add_readers(swarm, 20);
  const std::vector<size_t> stuck = add_readers(swarm, kStuck);
  for (const size_t one : stuck) swarm.stop_reading(one);

  expect_all(swarm, readers);
  const auto first_began = Clock::now();
  flood(swarm, readers);
  const auto first_took = Clock::now() - first_began;
  EXPECT_GE(first_took, kGrace) << "they were given no grace";
  EXPECT_LT(first_took, kGrace * 4);

  // They are closed now: nobody holds the stream up any more.
  expect_all(swarm, readers);
  flood(swarm, readers);
  EXPECT_EQ(Metrics::read(port()).sum("ringcast_subscriptions"), readers.size());
}

// ── What goes ahead and what stays behind ────────────────────────────────────

// A reader that has stopped reading has broadcasts waiting for it. Its ping is answered
// ahead of them, and what it is told itself comes after them.
TEST_F(Flow, APongOvertakesBroadcastsAndAnAnswerFollowsThem) {
  ASSERT_NO_FATAL_FAILURE(start({"--lap-grace-ms", "60000"}));
  const std::vector<std::string> messages = many_numbered(200, 16 * kKiB);  // less than a log
  const std::string raw = raw_wire(messages);
  const std::string cable = cable_wire(kIdentifier, messages);
  Swarm swarm;
  // Enough of them that some are on the late one's shard: once they have everything, the
  // late one's shard has taken everything, too.
  const std::vector<size_t> readers = add_readers(swarm, 60);
  const size_t late = add_readers(swarm, 1).front();
  for (size_t i = 0; i < readers.size(); ++i) swarm.expect(readers[i], is_cable(i) ? &cable : &raw);
  swarm.stop_reading(late);
  std::thread publishing = publisher(messages);
  EXPECT_TRUE(swarm.run_until([&] {
    for (size_t i = 0; i < readers.size(); ++i) {
      if (swarm.matched_bytes(readers[i]) < (is_cable(i) ? cable : raw).size()) return false;
    }
    return true;
  }));
  publishing.join();

  std::vector<std::string> heard;
  swarm.on_frame = [&](size_t member, const Swarm::Frame& frame) {
    if (member == late) heard.emplace_back(frame.opcode == 10 ? "pong" : std::string(frame.payload));
  };
  const uint64_t received = Metrics::read(port()).sum("ringcast_messages_received_total");
  swarm.send(late, encode({.opcode = 9, .payload = "are you there?"}));
  swarm.send(late, encode({.payload = "no JSON"}));
  EXPECT_TRUE(wait_for_metric(port(), "ringcast_messages_received_total", received + 1));
  swarm.read_again(late);
  ASSERT_TRUE(swarm.run_until([&] { return heard.size() == messages.size() + 2; })) << heard.size();

  EXPECT_TRUE(heard.back().starts_with(R"({"error":"Invalid JSON format)")) << heard.back().substr(0, 80);
  const auto pong = std::ranges::find(heard, "pong");
  ASSERT_NE(pong, heard.end());
  EXPECT_LT(pong - heard.begin(), static_cast<std::ptrdiff_t>(messages.size())) << "behind all broadcasts";
  heard.erase(pong);
  heard.pop_back();
  EXPECT_TRUE(heard == messages);
}

TEST_F(Flow, FiftyStreamsOnOneConnectionComeInFewSendsEachInOrder) {
  ASSERT_NO_FATAL_FAILURE(start());
  constexpr size_t kStreams = 50;
  constexpr size_t kPerStream = 40;
  const auto symbol = [](size_t stream) { return "S" + std::to_string(stream); };
  std::string subscribes;
  for (size_t i = 0; i < kStreams; ++i) subscribes += cable_subscribe(ticker_identifier(symbol(i)));
  Swarm swarm;
  size_t confirmed = 0;
  std::map<std::string, std::vector<std::string>> heard;  // by identifier as it was sent
  size_t heard_count = 0;
  swarm.on_frame = [&](size_t, const Swarm::Frame& frame) {
    if (frame.payload.find("confirm_subscription") != std::string_view::npos) {
      ++confirmed;
      return;
    }
    const size_t message = frame.payload.find(R"(,"message":)");
    if (message == std::string_view::npos || !frame.payload.starts_with(R"({"identifier":)")) return;
    heard[std::string(frame.payload.substr(0, message))].emplace_back(frame.payload.substr(message));
    ++heard_count;
  };
  swarm.add(port(), "/cable", kCableProtocol, subscribes);
  ASSERT_TRUE(swarm.run_until([&] { return confirmed == kStreams; }));

  std::string body = "[";
  for (size_t n = 0; n < kPerStream; ++n) {
    for (size_t i = 0; i < kStreams; ++i) {
      if (body.size() > 1) body += ',';
      body += envelope("ticks:" + symbol(i), R"({"seq":)" + std::to_string(n) + "}");
    }
  }
  const uint64_t sends = Metrics::read(port()).sum("ringcast_sends_total");
  ASSERT_EQ(broadcast(port(), body + "]"), 201);
  ASSERT_TRUE(swarm.run_until([&] { return heard_count == kStreams * kPerStream; }));
  // A frame for each message, but not a send: what is there goes together.
  EXPECT_LT(Metrics::read(port()).sum("ringcast_sends_total") - sends, kStreams * kPerStream / 2);

  ASSERT_EQ(heard.size(), kStreams);
  std::vector<std::string> in_order;
  for (size_t n = 0; n < kPerStream; ++n) {
    in_order.push_back(R"(,"message":{"seq":)" + std::to_string(n) + "}}");
  }
  for (const auto& [identifier, messages] : heard) EXPECT_EQ(messages, in_order) << identifier;
}

// ── Pings ────────────────────────────────────────────────────────────────────

// @rails/actioncable gives a connection up after 6 seconds without one. However busy a
// stream is, its pings come by their schedule, here every second.
TEST_F(Flow, PingsAreOnTimeWhileTheirStreamIsSaturated) {
  ASSERT_NO_FATAL_FAILURE(start({"--lap-grace-ms", "60000", "--ping-interval-s", "1"}));
  constexpr size_t kSubscribers = 40;
  constexpr size_t kPingsEach = 4;
  struct Pings {
    size_t count = 0;
    int64_t queued_s = 0;  // by the server's clock, as it wrote it
    Clock::time_point came;
  };
  std::vector<Pings> pings(kSubscribers);
  int64_t longest_schedule_s = 0;
  Clock::duration longest_gap{};
  uint64_t messages = 0;
  Swarm swarm;
  add_readers(swarm, 0);
  for (size_t i = 0; i < kSubscribers; ++i) {
    swarm.add(port(), "/cable", kCableProtocol, cable_subscribe(kIdentifier));
  }
  swarm.on_frame = [&](size_t member, const Swarm::Frame& frame) {
    if (!is_cable_ping(frame.payload)) {
      ++messages;
      return;
    }
    const auto now = Clock::now();
    const int64_t queued_s = std::strtoll(frame.payload.data() + frame.payload.rfind(':') + 1, nullptr, 10);
    Pings& seen = pings[member];
    if (seen.count++ > 0) {
      longest_gap = std::max(longest_gap, now - seen.came);
      longest_schedule_s = std::max(longest_schedule_s, queued_s - seen.queued_s);
    }
    seen.queued_s = queued_s;
    seen.came = now;
  };
  ASSERT_TRUE(swarm.run_until_open());

  std::atomic<bool> over = false;
  std::vector<std::thread> publishers;
  const std::string body = envelopes("chat_flood", many_numbered(64, 4 * kKiB));
  for (int i = 0; i < 2; ++i) {
    publishers.emplace_back([&] {
      TcpClient client = TcpClient::connect(port());
      while (!over) ASSERT_EQ(broadcast(client, body), 201);
    });
  }
  EXPECT_TRUE(swarm.run_until([&] {
    return std::ranges::all_of(pings, [](const Pings& seen) { return seen.count >= kPingsEach; });
  }));
  over = true;
  // The publishers may wait for room that only reading makes.
  std::atomic<bool> joined = false;
  std::thread joiner([&] {
    for (std::thread& thread : publishers) thread.join();
    joined = true;
  });
  EXPECT_TRUE(swarm.run_until([&] { return joined.load(); }));
  joiner.join();
  EXPECT_GT(messages, kSubscribers * 1000) << "that was no saturated stream";
  EXPECT_LE(longest_schedule_s, 1 + 1 + 1);  // the interval, a second late, and whole seconds
  EXPECT_LT(longest_gap, std::chrono::seconds(5));
  EXPECT_EQ(swarm.open_count(), kSubscribers);
}

// ── A peer that does not read what it asks for ───────────────────────────────

TEST_F(Flow, EchoStopsReadingFromPeersThatDoNotReadAndGoesOnWhenTheyDo) {
  ASSERT_NO_FATAL_FAILURE(start({"--echo"}));
  constexpr size_t kPeers = 4;
  constexpr size_t kMessages = 512;
  const std::string payload(64 * kKiB, 'e');
  std::string asked;
  std::string expected;
  for (size_t i = 0; i < kMessages; ++i) {
    asked += encode({.opcode = 2, .payload = payload});
    expected += server_frame(2, payload);
  }
  Swarm swarm;
  for (size_t i = 0; i < kPeers; ++i) swarm.add(port(), "/echo");
  ASSERT_TRUE(swarm.run_until_open());
  ASSERT_EQ(swarm.open_count(), kPeers);

  MemoryWatch memory(server_->pid());
  const auto unsent = [&] {
    size_t bytes = 0;
    for (size_t i = 0; i < kPeers; ++i) bytes += swarm.unsent_bytes(i);
    return bytes;
  };
  for (size_t i = 0; i < kPeers; ++i) {
    swarm.stop_reading(i);
    swarm.expect(i, &expected);
    swarm.send(i, asked);
  }
  // A second without progress starts the reading. How long it really takes decides
  // nothing: all that counts is that it comes before everything was taken.
  size_t before = unsent();
  auto since = Clock::now();
  EXPECT_TRUE(swarm.run_until([&] {
    memory.look();
    if (unsent() != before) since = Clock::now();
    before = unsent();
    return before == 0 || Clock::now() - since > std::chrono::seconds(1);
  }));
  for (size_t i = 0; i < kPeers; ++i) EXPECT_GT(swarm.unsent_bytes(i), 0u) << "all was taken of " << i;
  if (memory_is_telling(server_->pid())) {
    EXPECT_LT(memory.growth(), kPeers * 8 * kMiB);
  }

  for (size_t i = 0; i < kPeers; ++i) swarm.read_again(i);
  EXPECT_TRUE(swarm.run_until([&] {
    for (size_t i = 0; i < kPeers; ++i) {
      if (swarm.matched_bytes(i) < expected.size()) return false;
    }
    return true;
  }));
  for (size_t i = 0; i < kPeers; ++i) EXPECT_FALSE(swarm.differs(i)) << i;
  EXPECT_EQ(swarm.open_count(), kPeers);
}

}  // namespace
}  // namespace ringcast::blackbox
