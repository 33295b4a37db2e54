// Readers that stall on a busy stream, under each policy and on both transports: what they
// get when they read again, to the message, while nobody else misses anything; and the
// ceiling on memory, which the worst offenders pay for.
#include <gtest/gtest.h>

#include <algorithm>
#include <atomic>
#include <charconv>
#include <chrono>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <thread>
#include <tuple>
#include <utility>
#include <vector>

#include "blackbox/cable.h"
#include "blackbox/client.h"
#include "blackbox/probes.h"
#include "blackbox/server_process.h"
#include "blackbox/swarm.h"

namespace ringcast::blackbox {
namespace {

constexpr std::string_view kTooSlow = R"({"type":"disconnect","reason":"too_slow","reconnect":true})";

class SlowServer : public ::testing::Test {
 protected:
  void start(std::vector<std::string> arguments) {
    const std::vector<std::string> common = {"--echo", "--room-prefix",     "chat_", "--raw-ping-interval-s",
                                             "0",      "--ping-interval-s", "3600",  "--write-stall-s",
                                             "600",    "--close-timeout-s", "600",   "--log-level",
                                             "error",  "--drain-seconds",   "1"};
    arguments.insert(arguments.begin(), common.begin(), common.end());
    std::string why_not;
    server_ = ServerProcess::start({.arguments = arguments, .tls = certificate_.files()}, why_not);
    ASSERT_NE(server_, nullptr) << why_not;
  }
  void TearDown() override {
    if (!server_) return;
    EXPECT_TRUE(server_->running()) << "it ended by itself";
    EXPECT_EQ(server_->stop(), (ServerProcess::Exit{.code = 0, .signal = 0})) << server_->standard_error();
  }
  uint16_t port() const { return server_->port(); }

  CertificateFolder certificate_;
  std::unique_ptr<ServerProcess> server_;
};

// ── Policies ─────────────────────────────────────────────────────────────────

// Far more than the kernel and a log hold for one reader, and log after log of it: if each
// of them were waited for, the patience would end first.
constexpr size_t kMessages = 800;
constexpr size_t kMessageBytes = 8 * kKiB;
constexpr int kReceiveBufferBytes = 64 * kKiB;

std::string numbered(size_t number) {
  std::string text = R"({"n":)" + std::to_string(number) + R"(,"pad":")";
  text.append(kMessageBytes - text.size() - 2, static_cast<char>('a' + number % 26));
  return text += "\"}";
}

std::optional<size_t> number_in(std::string_view payload) {
  const size_t at = payload.find("{\"n\":");
  if (at == std::string_view::npos) return std::nullopt;
  size_t number = 0;
  std::from_chars(payload.data() + at + 5, payload.data() + payload.size(), number);
  return number;
}

struct Case {
  const char* policy;
  bool tls;
  bool cable;
};

class Slow : public SlowServer, public ::testing::WithParamInterface<Case> {
 protected:
  // With a stream policy the server's own must not count.
  void start_with(const char* policy) {
    const bool by_stream = GetParam().cable;
    start({"--slow-consumer", by_stream ? "close" : policy, "--stream-policy",
           by_stream ? std::string("chat_flo*=") + policy : "nothing:*=close", "--lap-grace-ms",
           std::string_view(policy) == "latest" ? "60000" : "1000", "--max-message-bytes", "16384",
           "--frame-log-bytes", "65536", "--request-body-bytes", "33554432", "--sndbuf-bytes", "65536",
           "--notsent-lowat-bytes", "16384"});
  }

  WebSocketClient subscribe() {
    TcpClient tcp = GetParam().tls ? TcpClient::connect_tls(server_->tls_port(), {}, kReceiveBufferBytes)
                                   : TcpClient::connect(port(), kReceiveBufferBytes);
    if (!GetParam().cable) return WebSocketClient::ask(std::move(tcp), "/websocket/flood");
    WebSocketClient client = WebSocketClient::ask(std::move(tcp), "/cable", kCableProtocol);
    client.send(cable_subscribe(kIdentifier));
    EXPECT_EQ(client.next().value_or(ServerFrame{}).payload, kCableWelcome);
    EXPECT_EQ(client.next().value_or(ServerFrame{}).payload, cable_confirmation(kIdentifier));
    return client;
  }

  std::string wire_of(size_t number) const {
    return GetParam().cable ? cable_broadcast(kIdentifier, numbered(number)) : numbered(number);
  }

  // Publishes all of them to readers that read; each hears each, in order. Publishers are
  // held up for a grace at most, and for none where only the newest counts: if every log
  // had to be waited for, this would not end in time.
  void flood() {
    std::vector<std::string> messages;
    std::string raw, cable;
    for (size_t i = 0; i < kMessages; ++i) {
      messages.push_back(numbered(i));
      raw += server_frame(1, messages.back());
      cable += server_frame(1, cable_broadcast(kIdentifier, messages.back()));
    }
    Swarm swarm;
    size_t confirmed = 0;
    swarm.on_frame = [&](size_t, const Swarm::Frame& frame) {
      if (frame.payload.find("confirm_subscription") != std::string_view::npos) ++confirmed;
    };
    constexpr size_t kReaders = 16;
    for (size_t i = 0; i < kReaders; ++i) {
      i % 2 == 0 ? swarm.add(port(), "/websocket/flood")
                 : swarm.add(port(), "/cable", kCableProtocol, cable_subscribe(kIdentifier));
    }
    ASSERT_TRUE(swarm.run_until([&] { return swarm.open_count() == kReaders && confirmed == kReaders / 2; }));
    // Where only the newest counts, whoever stalls for an instant may miss some.
    const bool all = std::string_view(GetParam().policy) != "latest";
    std::vector<size_t> next(kReaders, 0);
    swarm.on_frame = [&](size_t member, const Swarm::Frame& frame) {
      const size_t number = number_in(frame.payload).value_or(kMessages);
      ASSERT_LT(number, kMessages) << frame.payload.substr(0, 100);
      ASSERT_GE(number, next[member]) << "out of order";
      missed_ += number - next[member];
      next[member] = number + 1;
    };
    if (all) {
      for (size_t i = 0; i < kReaders; ++i) swarm.expect(i, i % 2 == 0 ? &raw : &cable);
    }
    std::thread publishing(
        [this, body = envelopes("chat_flood", messages)] { EXPECT_EQ(broadcast(port(), body), 201); });
    EXPECT_TRUE(swarm.run_until([&] {
      for (size_t i = 0; i < kReaders; ++i) {
        if (all ? swarm.matched_bytes(i) < (i % 2 == 0 ? raw : cable).size() : next[i] < kMessages)
          return false;
      }
      return true;
    })) << "somebody waits still";
    publishing.join();
    for (size_t i = 0; i < kReaders; ++i) {
      EXPECT_FALSE(swarm.differs(i)) << i;
      EXPECT_TRUE(swarm.open(i)) << i;
    }
  }

  // The numbers of the messages heard until something else comes, or `last` has.
  std::vector<size_t> read_again(WebSocketClient& client, size_t last, std::optional<ServerFrame>& other) {
    std::vector<size_t> numbers;
    while (numbers.empty() || numbers.back() != last) {
      other = client.next();
      if (!other) break;
      const std::optional<size_t> number = number_in(other->payload);
      if (other->opcode != 1 || !number) break;
      EXPECT_TRUE(other->payload == wire_of(*number));
      numbers.push_back(*number);
      other.reset();
    }
    return numbers;
  }

  uint64_t dropped(std::string_view reason) {
    return Metrics::read(port()).sum("ringcast_dropped_total", "reason=\"" + std::string(reason) + "\"");
  }

  const std::string kIdentifier = chat_identifier("flood");
  uint64_t missed_ = 0;  // by readers that read
};

// How many lead up from 0 without a gap.
size_t prefix_of(const std::vector<size_t>& numbers) {
  size_t count = 0;
  while (count < numbers.size() && numbers[count] == count) ++count;
  return count;
}

TEST_P(Slow, GetsExactlyWhatItsPolicyLeaves) {
  const std::string_view policy = GetParam().policy;
  ASSERT_NO_FATAL_FAILURE(start_with(GetParam().policy));
  WebSocketClient stuck = subscribe();
  ASSERT_TRUE(stuck.open());
  ASSERT_NO_FATAL_FAILURE(flood());

  std::optional<ServerFrame> other;
  const std::vector<size_t> heard = read_again(stuck, kMessages - 1, other);
  const size_t before = prefix_of(heard);
  ASSERT_GT(before, 0u);
  ASSERT_LT(before, kMessages) << "it was not slow";
  if (policy == "close") {
    EXPECT_EQ(heard.size(), before) << "there was a gap";
    ASSERT_TRUE(other);
    if (GetParam().cable) {
      EXPECT_EQ(other->payload, kTooSlow);
      other = stuck.next();
      ASSERT_TRUE(other);
    }
    ASSERT_EQ(other->opcode, 8u);
    EXPECT_EQ(other->close_code(), 1013u);
    stuck.send(encode_close(1013));
    EXPECT_FALSE(stuck.next());
    EXPECT_EQ(stuck.tcp().end(), TcpClient::End::closed);
    stuck.tcp().close();
    EXPECT_TRUE(wait_for_metric(port(), "ringcast_ended_total", 1, R"(reason="too_slow")"));
    return;
  }
  ASSERT_FALSE(other) << other->payload.substr(0, 100);
  const size_t after = heard.size() - before;
  ASSERT_GT(after, 0u) << "it ended before the newest";
  for (size_t i = 0; i < after; ++i) {
    ASSERT_EQ(heard[before + i], kMessages - after + i) << "a second hole";
  }
  const uint64_t lost = kMessages - heard.size() + missed_;
  if (policy == "latest") {
    EXPECT_EQ(after, 1u);
  }
  EXPECT_EQ(dropped(policy == "latest" ? "superseded" : "oldest"), lost);
  EXPECT_EQ(dropped(policy == "latest" ? "oldest" : "superseded"), 0u);
  EXPECT_EQ(dropped("lapped"), 0u);
  // And it goes on as if nothing had been.
  ASSERT_EQ(broadcast(port(), envelope("chat_flood", numbered(kMessages))), 201);
  EXPECT_EQ(read_again(stuck, kMessages, other), (std::vector<size_t>{kMessages}));
  EXPECT_EQ(Metrics::read(port()).sum("ringcast_ended_total", R"(reason="too_slow")"), 0u);
}

INSTANTIATE_TEST_SUITE_P(Policy, Slow,
                         ::testing::Values(Case{"close", false, true}, Case{"close", true, false},
                                           Case{"drop_oldest", false, false}, Case{"drop_oldest", true, true},
                                           Case{"latest", false, true}, Case{"latest", true, false}),
                         [](const auto& info) {
                           return std::string(info.param.policy) + (info.param.tls ? "_tls" : "_plain") +
                                  (info.param.cable ? "_cable" : "_raw");
                         });

// ── All that waits for one connection ────────────────────────────────────────

// Each of its streams has room, and none of them needs it: together they are too much.
TEST_F(SlowServer, ABacklogOverManyStreamsIsLimited) {
  ASSERT_NO_FATAL_FAILURE(start({"--backlog-bytes", "262144", "--lap-grace-ms", "60000", "--sndbuf-bytes",
                                 "32768", "--notsent-lowat-bytes", "16384"}));
  WebSocketClient stuck =
      WebSocketClient::ask(TcpClient::connect(port(), 32 * kKiB), "/cable", kCableProtocol);
  constexpr size_t kStreams = 24;
  for (size_t i = 0; i < kStreams; ++i) {
    stuck.send(cable_subscribe(chat_identifier("s" + std::to_string(i))));
  }
  ASSERT_TRUE(wait_for_metric(port(), "ringcast_confirms_total", kStreams));
  for (int round = 0; round < 3; ++round) {
    for (size_t i = 0; i < kStreams; ++i) {
      const std::string text(12 * kKiB, 'x');
      ASSERT_EQ(broadcast(port(), envelope("chat_s" + std::to_string(i), "{\"m\":\"" + text + "\"}")), 201);
    }
  }
  ASSERT_TRUE(wait_for_metric(port(), "ringcast_subscriptions", 0)) << "it was not closed";
  std::optional<ServerFrame> frame;
  bool told = false;
  while ((frame = stuck.next()) && frame->opcode != 8) told = told || frame->payload == kTooSlow;
  EXPECT_TRUE(told);
  ASSERT_TRUE(frame);
  EXPECT_EQ(frame->close_code(), 1013u);
}

// ── The ceiling ──────────────────────────────────────────────────────────────

TEST_F(SlowServer, TheCeilingOnMemoryIsPaidForByThoseWhoHoldTheMost) {
  ASSERT_NO_FATAL_FAILURE(start({"--memory-limit-bytes", "8388608", "--sndbuf-bytes", "65536"}));
  const size_t resident = resident_bytes(server_->pid());
  TcpClient watcher = TcpClient::connect(port());
  ASSERT_TRUE(Metrics::read(watcher).has("ringcast_info"));
  WebSocketClient good = WebSocketClient::connect(port(), "/echo");
  WebSocketClient good_tls = WebSocketClient::ask(TcpClient::connect_tls(server_->tls_port()), "/echo");
  ASSERT_TRUE(good.open() && good_tls.open());

  // They hold the unfinished: two mebibytes each of a message that has no end.
  const std::string unfinished =
      encode({.opcode = 2, .payload = std::string(2 * kMiB, 'h'), .declared_bytes = 4 * kMiB});
  // They ask for what they do not read: a mebibyte waits for each.
  std::string asked;
  for (int i = 0; i < 48; ++i) asked += encode({.opcode = 2, .payload = std::string(64 * kKiB, 'r')});
  std::vector<WebSocketClient> offenders;
  bool turned_away = false;
  const auto deadline = std::chrono::steady_clock::now() + kPatience;
  for (size_t i = 0; std::chrono::steady_clock::now() < deadline; ++i) {
    const uint64_t evicted = Metrics::read(watcher).sum("ringcast_ended_total", R"(reason="memory")") +
                             Metrics::read(watcher).sum("ringcast_dropped_total", R"(reason="evicted")");
    if (i >= 16 && turned_away && evicted > 0) break;
    TcpClient tcp = TcpClient::connect(port(), i % 2 == 0 ? 0 : 32 * kKiB);
    WebSocketClient offender = WebSocketClient::ask(std::move(tcp), "/echo");
    if (!offender.open()) {
      EXPECT_EQ(offender.answer().status, 503);
      EXPECT_NE(offender.answer().header("Retry-After"), "");
      turned_away = true;
      continue;
    }
    if (i % 2 == 0) {
      offender.send(unfinished);
    } else {
      offender.tcp().send_until_stalled(asked, std::chrono::milliseconds(20));
    }
    offenders.push_back(std::move(offender));
    // Who does no harm is served all the while.
    for (WebSocketClient* one : {&good, &good_tls}) {
      one->send(encode({.payload = "good"}));
      const auto echo = one->next();
      ASSERT_TRUE(echo);
      ASSERT_EQ(echo->payload, "good");
    }
  }
  EXPECT_TRUE(turned_away) << "newcomers came in all the while";

  // Whoever was evicted is told so, once it reads.
  size_t told = 0;
  for (WebSocketClient& offender : offenders) {
    offender.tcp().shutdown_write();
    std::optional<ServerFrame> frame;
    while ((frame = offender.next()) && frame->opcode != 8) EXPECT_EQ(frame->payload.size(), 64 * kKiB);
    if (frame && frame->close_code() == 1013) ++told;
  }
  EXPECT_GT(told, 0u);
  // How many came before the first look, a tenth of a second later, is the machine's affair.
  const size_t held_at_most = offenders.size() * 2 * kMiB;
  offenders.clear();
  EXPECT_TRUE(wait_for_metric(port(), "ringcast_input_bytes", 0));
  EXPECT_TRUE(wait_for_metric(port(), "ringcast_outbox_bytes", 0));
  uint64_t ended = 0;
  for (const auto until = std::chrono::steady_clock::now() + kPatience;
       ended < told && std::chrono::steady_clock::now() < until;) {
    ended = Metrics::read(port()).sum("ringcast_ended_total", R"(reason="memory")");
  }
  EXPECT_GE(ended, told);
  // There is room again, once all that was queued is freed, and the memory is the machine's again.
  bool room = false;
  for (const auto until = std::chrono::steady_clock::now() + kPatience;
       !room && std::chrono::steady_clock::now() < until;) {
    room = WebSocketClient::connect(port(), "/echo").open();
  }
  EXPECT_TRUE(room);
  if (memory_is_telling(server_->pid())) {
    EXPECT_LT(resident_bytes(server_->pid()), resident + 16 * kMiB + held_at_most);
  }
}

}  // namespace
}  // namespace ringcast::blackbox
