// Every limit with a flag, crossed from outside: its answer, its metric, and that those
// who keep to it notice nothing. A server for each test, with limits low enough to cross.
#include <gtest/gtest.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cstdlib>
#include <fstream>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <thread>
#include <vector>

#include "blackbox/cable.h"
#include "blackbox/client.h"
#include "blackbox/probes.h"
#include "blackbox/server_process.h"

namespace ringcast::blackbox {
namespace {

using Clock = std::chrono::steady_clock;

class Limits : public ::testing::Test {
 protected:
  void start(std::vector<std::string> arguments) {
    arguments.insert(arguments.begin(), {"--drain-seconds", "1", "--log-level", "error"});
    std::string why_not;
    server_ = ServerProcess::start({.arguments = arguments}, why_not);
    ASSERT_NE(server_, nullptr) << why_not;
  }

  void TearDown() override {
    if (!server_) return;
    EXPECT_TRUE(server_->running()) << "it ended by itself";
    EXPECT_EQ(server_->stop(), (ServerProcess::Exit{.code = 0, .signal = 0})) << server_->standard_error();
  }

  uint16_t port() const { return server_->port(); }

  HttpAnswer ask(std::string_view request) {
    TcpClient tcp = TcpClient::connect(port());
    tcp.send(request);
    return read_http_answer(tcp);
  }
  // Waits for so many to have ended for that reason.
  void expect_ended(std::string_view reason, uint64_t count) {
    const std::string label = "reason=\"" + std::string(reason) + "\"";
    EXPECT_TRUE(wait_for_metric(port(), "ringcast_ended_total", count, label))
        << reason << ": " << Metrics::read(port()).sum("ringcast_ended_total", label);
  }

  WebSocketClient cable() {
    WebSocketClient client = WebSocketClient::connect(port(), "/cable", kCableProtocol);
    EXPECT_TRUE(client.open());
    const auto welcome = client.next();
    EXPECT_TRUE(welcome && welcome->payload == kCableWelcome);
    return client;
  }

  std::unique_ptr<ServerProcess> server_;
};

// The next frame that is no ping of either kind.
std::optional<ServerFrame> next_word(WebSocketClient& client) {
  for (;;) {
    std::optional<ServerFrame> frame = client.next();
    if (!frame || (frame->opcode != 9 && !is_cable_ping(frame->payload))) return frame;
  }
}

// Reads to the Close frame, answers it and reads to the end. 0: there was none.
unsigned closed_with(WebSocketClient& client) {
  while (const auto frame = client.next()) {
    if (frame->opcode != 8) continue;
    client.send(encode_close(frame->close_code()));
    EXPECT_EQ(client.tcp().received(1), "");
    EXPECT_EQ(client.tcp().end(), TcpClient::End::closed);
    client.tcp().close();
    return frame->close_code();
  }
  return 0;
}

constexpr std::string_view kGetHealth = "GET /health HTTP/1.1\r\nHost: localhost\r\n\r\n";

// ── Admission ────────────────────────────────────────────────────────────────

// Fills a server that admits `limit` connections. What a probe or an earlier client has
// left behind may still be counted for a moment.
std::vector<WebSocketClient> fill(uint16_t port, size_t limit) {
  std::vector<WebSocketClient> inside;
  for (const auto deadline = Clock::now() + kPatience; inside.size() < limit && Clock::now() < deadline;) {
    WebSocketClient client = WebSocketClient::connect(port, "/websocket/r");
    if (client.open()) {
      inside.push_back(std::move(client));
    } else {
      std::this_thread::sleep_for(std::chrono::milliseconds(20));
    }
  }
  EXPECT_EQ(inside.size(), limit);
  return inside;
}

void expect_full_house(uint16_t port, int status) {
  std::vector<WebSocketClient> inside = fill(port, 5);
  for (const std::string& request : {WebSocketClient::request("/cable"),
                                     WebSocketClient::request("/websocket/r"), std::string(kGetHealth)}) {
    TcpClient tcp = TcpClient::connect(port);
    tcp.send(request);
    const HttpAnswer answer = read_http_answer(tcp);
    EXPECT_EQ(answer.status, status);
    EXPECT_NE(answer.header("Retry-After"), "");
    EXPECT_EQ(tcp.received(1), "");
  }
  // Those inside are served, and one that leaves makes room.
  inside.front().send(encode({.payload = R"({"message":"inside"})"}));
  for (WebSocketClient& client : inside) {
    const auto frame = next_word(client);
    ASSERT_TRUE(frame);
    EXPECT_NE(frame->payload.find("inside"), std::string::npos);
  }
  inside.pop_back();
  EXPECT_EQ(fill(port, 1).size(), 1u);
  inside.clear();
  // As soon as there is room for the question.
  uint64_t refused = 0;
  for (const auto deadline = Clock::now() + kPatience; refused < 3 && Clock::now() < deadline;) {
    refused = Metrics::read(port).sum("ringcast_refused_total");
  }
  EXPECT_GE(refused, 3u);
}

TEST_F(Limits, ConnectionsOfTheServer) {
  ASSERT_NO_FATAL_FAILURE(start({"--max-connections", "5"}));
  expect_full_house(port(), 503);
}

TEST_F(Limits, ConnectionsOfAnAddress) {
  ASSERT_NO_FATAL_FAILURE(start({"--connections-per-address", "5"}));
  expect_full_house(port(), 429);
}

TEST_F(Limits, NewConnectionsInASecond) {
  ASSERT_NO_FATAL_FAILURE(start({"--connects-per-second", "4"}));
  // Faster than the refill, whatever the machine: they are all under way before the first
  // is looked at, or at least so close together that some are too many.
  std::vector<TcpClient> clients;
  for (int i = 0; i < 200; ++i) clients.push_back(TcpClient::connect(port()));
  for (TcpClient& client : clients) client.send(kGetHealth);
  int served = 0;
  int refused = 0;
  for (TcpClient& client : clients) {
    const HttpAnswer answer = read_http_answer(client);
    served += answer.status == 200 ? 1 : 0;
    refused += answer.status == 503 && !answer.header("Retry-After").empty() ? 1 : 0;
  }
  EXPECT_EQ(served + refused, 200);
  EXPECT_GT(refused, 0);
  // And by and by there is room again.
  bool again = false;
  for (const auto deadline = Clock::now() + kPatience; !again && Clock::now() < deadline;) {
    again = ask(kGetHealth).status == 200;
    if (!again) std::this_thread::sleep_for(std::chrono::milliseconds(100));
  }
  EXPECT_TRUE(again);
}

// ── Requests ─────────────────────────────────────────────────────────────────

TEST_F(Limits, HeadsHeadersAndBodies) {
  ASSERT_NO_FATAL_FAILURE(
      start({"--request-head-bytes", "1024", "--request-headers", "8", "--request-body-bytes", "100"}));
  const auto get = [](std::string_view headers) {
    return "GET /health HTTP/1.1\r\nHost: localhost\r\n" + std::string(headers) + "\r\n";
  };
  EXPECT_EQ(ask(get("X: " + std::string(900, 'x') + "\r\n")).status, 200);
  EXPECT_EQ(ask(get("X: " + std::string(1000, 'x') + "\r\n")).status, 431);
  std::string headers;
  for (int i = 0; i < 7; ++i) headers += "X-" + std::to_string(i) + ": y\r\n";
  EXPECT_EQ(ask(get(headers)).status, 200);
  EXPECT_EQ(ask(get(headers + "One: more\r\n")).status, 431);
  const std::string small = envelope("s", std::string(60, 'x'));
  EXPECT_EQ(ask(post_request("/_broadcast", "application/json", small)).status, 201);
  EXPECT_EQ(ask(post_request("/_broadcast", "application/json", envelope("s", std::string(100, 'x')))).status,
            413);
  EXPECT_GE(Metrics::read(port()).sum("ringcast_refused_total"), 3u);
}

// A byte now and then buys no time: the deadline is absolute.
TEST_F(Limits, TheHandshakeHasADeadline) {
  ASSERT_NO_FATAL_FAILURE(start({"--handshake-timeout-s", "1"}));
  TcpClient silent = TcpClient::connect(port());
  TcpClient slow = TcpClient::connect(port());
  WebSocketClient done = WebSocketClient::connect(port(), "/websocket/r");
  const std::string request = WebSocketClient::request("/cable", "X: " + std::string(7000, 'x') + "\r\n");
  const auto since = Clock::now();
  size_t sent = 0;
  while (sent < request.size() && slow.send(std::string_view(request).substr(sent, 1)) &&
         slow.end() == TcpClient::End::none) {
    ++sent;
    std::this_thread::sleep_for(std::chrono::milliseconds(20));
  }
  EXPECT_LT(sent, request.size()) << "it was waited for";
  EXPECT_GE(Clock::now() - since, std::chrono::milliseconds(900));
  EXPECT_EQ(silent.received(1), "");
  EXPECT_NE(silent.end(), TcpClient::End::timed_out);
  expect_ended("handshake_timeout", 2);
  // Whoever has shaken hands may be silent.
  done.send(encode({.payload = R"({"message":"still here"})"}));
  EXPECT_TRUE(next_word(done));
}

TEST_F(Limits, IdleConnectionsAreNotKeptAliveForEver) {
  ASSERT_NO_FATAL_FAILURE(start({"--keep-alive-timeout-s", "1"}));
  TcpClient tcp = TcpClient::connect(port());
  tcp.send(kGetHealth);
  EXPECT_EQ(read_http_answer(tcp).status, 200);
  EXPECT_EQ(tcp.received(1), "");
  EXPECT_EQ(tcp.end(), TcpClient::End::closed);
  expect_ended("idle_timeout", 1);
}

TEST_F(Limits, APeerThatAnswersNoPingIsGivenUp) {
  ASSERT_NO_FATAL_FAILURE(start({"--raw-ping-interval-s", "1", "--pong-timeout-s", "1"}));
  WebSocketClient deaf = WebSocketClient::connect(port(), "/websocket/r");
  WebSocketClient alive = WebSocketClient::connect(port(), "/websocket/other");
  ASSERT_TRUE(deaf.open() && alive.open());
  std::thread answering([&] {
    for (int pongs = 0; pongs < 2; ++pongs) {
      const auto frame = alive.next();
      ASSERT_TRUE(frame);
      ASSERT_EQ(frame->opcode, 9u) << frame->payload;
      alive.send(encode({.opcode = 10, .payload = frame->payload}));
    }
  });
  EXPECT_NE(closed_with(deaf), 0u);
  answering.join();
  expect_ended("pong_timeout", 1);
}

// ── Conversations ────────────────────────────────────────────────────────────

TEST_F(Limits, MessagesAreRefusedAtTheirHeader) {
  ASSERT_NO_FATAL_FAILURE(start({"--max-message-bytes", "1024"}));
  for (const std::string_view path : {"/websocket/r", "/cable"}) {
    WebSocketClient client = WebSocketClient::connect(port(), path, kCableProtocol);
    client.send(encode({.opcode = 1, .declared_bytes = 1025}));
    EXPECT_EQ(closed_with(client), 1009u) << path;
    WebSocketClient fragments = WebSocketClient::connect(port(), path, kCableProtocol);
    fragments.send(encode({.payload = std::string(1000, ' '), .fin = false}) +
                   encode({.opcode = 0, .declared_bytes = 25}));
    EXPECT_EQ(closed_with(fragments), 1009u) << path;
  }
  expect_ended("too_big", 4);
  WebSocketClient exact = WebSocketClient::connect(port(), "/websocket/r");
  exact.send(encode({.payload = std::string(1024, ' ')}));
  const auto answer = exact.next();
  ASSERT_TRUE(answer);
  EXPECT_TRUE(answer->payload.starts_with(R"({"error")")) << answer->payload;
  EXPECT_EQ(
      ask(post_request("/_broadcast", "application/json", envelope("s", std::string(1025, 'x')))).status,
      413);
  EXPECT_EQ(
      ask(post_request("/_broadcast", "application/json", envelope("s", std::string(1024, 'x')))).status,
      201);
}

TEST_F(Limits, TheEchoHasALimitOfItsOwn) {
  ASSERT_NO_FATAL_FAILURE(
      start({"--echo", "--max-message-bytes", "1024", "--echo-max-message-bytes", "4096"}));
  WebSocketClient client = WebSocketClient::connect(port(), "/echo");
  client.send(encode({.payload = std::string(4096, 'e')}));
  const auto frame = client.next();
  ASSERT_TRUE(frame);
  EXPECT_EQ(frame->payload, std::string(4096, 'e'));
  client.send(encode({.opcode = 1, .declared_bytes = 4097}));
  EXPECT_EQ(closed_with(client), 1009u);
  expect_ended("too_big", 1);
}

TEST_F(Limits, CommandsInASecond) {
  ASSERT_NO_FATAL_FAILURE(start({"--commands-per-second", "20"}));
  WebSocketClient hasty = cable();
  std::string wire;
  // Enough of them in one go that they cannot but fall into too few seconds.
  for (int i = 0; i < 5000; ++i) wire += cable_subscribe(chat_identifier("r"));
  hasty.send(wire);
  EXPECT_EQ(closed_with(hasty), 1008u);
  expect_ended("policy", 1);
  WebSocketClient calm = cable();
  calm.send(cable_subscribe(chat_identifier("r")));
  const auto frame = next_word(calm);
  ASSERT_TRUE(frame);
  EXPECT_EQ(frame->payload, cable_confirmation(chat_identifier("r")));
}

TEST_F(Limits, MeaninglessCommands) {
  ASSERT_NO_FATAL_FAILURE(start({"--error-budget", "5"}));
  const std::vector<std::string> meaningless = {
      encode({.payload = "no JSON"}), encode({.payload = R"({"command":"dance"})"}),
      encode({.payload = R"({"command":"subscribe","identifier":"no JSON"})"}),
      encode({.opcode = 2, .payload = "binary"}), cable_perform(chat_identifier("not subscribed"), "{}")};
  WebSocketClient client = cable();
  for (const std::string& wire : meaningless) client.send(wire);
  client.send(cable_subscribe(chat_identifier("r")));  // the budget is spent, not overdrawn
  const auto frame = next_word(client);
  ASSERT_TRUE(frame);
  EXPECT_EQ(frame->payload, cable_confirmation(chat_identifier("r")));
  client.send(meaningless.front());
  EXPECT_EQ(closed_with(client), 1008u);
  expect_ended("policy", 1);
  EXPECT_EQ(Metrics::read(port()).sum("ringcast_dropped_total", "command_ignored"), 6u);
}

TEST_F(Limits, SubscriptionsOfAConnection) {
  ASSERT_NO_FATAL_FAILURE(start({"--subscriptions-per-connection", "3"}));
  WebSocketClient client = cable();
  std::vector<std::string> expected;
  const auto subscribe = [&](const std::string& room, bool admitted) {
    const std::string identifier = chat_identifier(room);
    client.send(cable_subscribe(identifier));
    const auto frame = next_word(client);
    ASSERT_TRUE(frame);
    EXPECT_EQ(frame->payload, admitted ? cable_confirmation(identifier) : cable_rejection(identifier));
  };
  for (const char* room : {"a", "b", "c"}) subscribe(room, true);
  subscribe("d", false);
  subscribe("a", true);  // it has that one
  client.send(cable_command("unsubscribe", chat_identifier("b")));
  subscribe("d", true);
  EXPECT_EQ(Metrics::read(port()).sum("ringcast_rejects_total"), 1u);
}

TEST_F(Limits, IdentifiersAndStreamNames) {
  ASSERT_NO_FATAL_FAILURE(start({"--identifier-bytes", "100", "--stream-name-bytes", "20"}));
  WebSocketClient client = cable();
  const auto answer = [&](const std::string& identifier) {
    client.send(cable_subscribe(identifier));
    const auto frame = next_word(client);
    return frame ? frame->payload : "nothing";
  };
  const std::string fits = chat_identifier(std::string(15, 'r'));  // chat_ and 15
  const std::string long_stream = chat_identifier(std::string(16, 'r'));
  const std::string long_identifier = R"({"channel":"ChatChannel","x":")" + std::string(80, 'x') + R"("})";
  EXPECT_EQ(answer(fits), cable_confirmation(fits));
  EXPECT_EQ(answer(long_stream), cable_rejection(long_stream));
  EXPECT_EQ(answer(long_identifier), cable_rejection(long_identifier));

  EXPECT_EQ(ask(post_request("/_broadcast", "application/json", envelope(std::string(21, 's'), "x"))).status,
            413);
  WebSocketClient raw = WebSocketClient::connect(port(), "/websocket/" + std::string(16, 'r'));
  EXPECT_EQ(closed_with(raw), 1008u);
}

TEST_F(Limits, NativeClientsWhereAnOriginIsRequired) {
  ASSERT_NO_FATAL_FAILURE(start({"--require-origin"}));
  EXPECT_EQ(ask(WebSocketClient::request("/cable")).status, 404);
  EXPECT_EQ(ask(WebSocketClient::request("/websocket")).status, 403);
  EXPECT_EQ(ask(WebSocketClient::request("/websocket", "Origin: http://127.0.0.1\r\n")).status, 101);
}

// Reading pauses, and nothing is lost: what is answered shows that it goes on.
TEST_F(Limits, CommandsBehindAnUnconfirmedSubscription) {
  ASSERT_NO_FATAL_FAILURE(start({"--pending-commands", "2"}));
  WebSocketClient client = cable();
  constexpr int kCommands = 400;
  std::string wire;
  for (int i = 0; i < kCommands; ++i) wire += cable_subscribe(chat_identifier("r" + std::to_string(i)));
  client.send(wire);
  // Streams live on different shards, so they are confirmed in any order.
  std::set<std::string> expected;
  for (int i = 0; i < kCommands; ++i) {
    expected.insert(cable_confirmation(chat_identifier("r" + std::to_string(i))));
  }
  while (!expected.empty()) {
    const auto frame = next_word(client);
    ASSERT_TRUE(frame) << expected.size() << " are missing";
    ASSERT_EQ(expected.erase(frame->payload), 1u) << frame->payload;
  }
}

// ── Those who do not take what is theirs ─────────────────────────────────────

TEST_F(Limits, AReaderThatTakesNothingIsResetInTheEnd) {
  ASSERT_NO_FATAL_FAILURE(start({"--echo", "--write-stall-s", "1", "--sndbuf-bytes", "65536"}));
  WebSocketClient stuck = WebSocketClient::ask(TcpClient::connect(port(), 32 * 1024), "/echo");
  ASSERT_TRUE(stuck.open());
  std::string wire;
  for (int i = 0; i < 40; ++i) wire += encode({.opcode = 2, .payload = std::string(256 * 1024, 'x')});
  EXPECT_FALSE(stuck.tcp().send_until_stalled(wire, std::chrono::milliseconds(100)));
  expect_ended("write_stall", 1);
  while (stuck.next()) {
  }
  EXPECT_EQ(stuck.tcp().end(), TcpClient::End::reset);
}

// The client's kernel answers every probe of the window it keeps shut, and still it is
// given up, long before the server's own deadline.
TEST_F(Limits, AWindowThatStaysShutIsGivenUpByTcp) {
  ASSERT_NO_FATAL_FAILURE(start({"--echo", "--tcp-user-timeout-s", "1", "--write-stall-s", "600",
                                 "--sndbuf-bytes", "65536", "--raw-ping-interval-s", "0"}));
  WebSocketClient stuck = WebSocketClient::ask(TcpClient::connect(port(), 32 * 1024), "/echo");
  ASSERT_TRUE(stuck.open());
  std::string wire;
  for (int i = 0; i < 40; ++i) wire += encode({.opcode = 2, .payload = std::string(256 * 1024, 'x')});
  EXPECT_FALSE(stuck.tcp().send_until_stalled(wire, std::chrono::milliseconds(100)));
  expect_ended("peer_vanished", 1);
}

// What waits for one connection alone is bounded by not reading from it, and nothing of
// it is lost.
TEST_F(Limits, WhatWaitsForOneConnection) {
  constexpr size_t kOutbox = 64 * 1024;
  constexpr size_t kMessage = 16 * 1024;
  constexpr size_t kMessages = 640;
  ASSERT_NO_FATAL_FAILURE(start({"--echo", "--outbox-bytes", std::to_string(kOutbox), "--sndbuf-bytes",
                                 "32768", "--write-stall-s", "600", "--tcp-user-timeout-s", "0"}));
  WebSocketClient client = WebSocketClient::ask(TcpClient::connect(port(), 32 * 1024), "/echo");
  ASSERT_TRUE(client.open());
  std::string wire;
  for (size_t i = 0; i < kMessages; ++i) {
    wire += encode({.opcode = 2, .payload = std::string(kMessage, static_cast<char>('a' + i % 26))});
  }
  client.tcp().send_until_stalled(wire, std::chrono::milliseconds(100));
  EXPECT_TRUE(wait_for_metric(port(), "ringcast_stalls_total", 1));
  client.tcp().send_until_stalled("", std::chrono::milliseconds(100));
  // It reads until the limit is passed, then sends what the socket takes, and waits.
  const Metrics stalled = Metrics::read(port());
  EXPECT_GT(stalled.sum("ringcast_outbox_bytes"), 0u);
  EXPECT_LE(stalled.sum("ringcast_outbox_bytes"), kOutbox + 2 * kMessage);
  EXPECT_LT(stalled.sum("ringcast_messages_received_total"), 40u) << "of which kernels hold some";
  EXPECT_TRUE(client.tcp().send(""));  // the rest, while it reads
  for (size_t i = 0; i < kMessages; ++i) {
    const auto frame = next_word(client);
    ASSERT_TRUE(frame) << i;
    ASSERT_TRUE(frame->payload == std::string(kMessage, static_cast<char>('a' + i % 26))) << i;
  }
  EXPECT_TRUE(wait_for_metric(port(), "ringcast_outbox_bytes", 0));
}

TEST_F(Limits, WhoeverDoesNotAnswerACloseIsNotWaitedForForEver) {
  ASSERT_NO_FATAL_FAILURE(start({"--close-timeout-s", "1", "--error-budget", "1"}));
  WebSocketClient broken = WebSocketClient::connect(port(), "/websocket/r");
  broken.send(encode({.masked = false}));
  WebSocketClient budget = cable();
  budget.send(encode({.payload = "no JSON"}) + encode({.payload = "nor this"}));
  for (WebSocketClient* client : {&broken, &budget}) {
    auto frame = next_word(*client);
    while (frame && frame->opcode != 8) frame = next_word(*client);
    ASSERT_TRUE(frame);
    EXPECT_EQ(frame->close_code(), client == &broken ? 1002u : 1008u);
  }
  EXPECT_TRUE(wait_for_metric(port(), "ringcast_close_timeouts_total", 2));
  EXPECT_TRUE(wait_for_metric(port(), "ringcast_conversations", 0));
}

// ── Between publishers and shards ────────────────────────────────────────────

// One reader takes nothing, so everything on the way to it fills: then publishers are
// told, and once it is gone they are served again.
TEST_F(Limits, MessagesUnderWay) {
  const std::vector<std::vector<std::string>> ways = {{"--queued-bytes", "65536"},
                                                      {"--mailbox-size", "16", "--broadcast-inbox", "16"}};
  for (const std::vector<std::string>& way : ways) {
    SCOPED_TRACE(way.front());
    std::vector<std::string> arguments = {"--frame-log-bytes",     "65536", "--max-message-bytes", "16384",
                                          "--lap-grace-ms",        "60000", "--sndbuf-bytes",      "32768",
                                          "--notsent-lowat-bytes", "16384", "--room-prefix",       "chat_",
                                          "--raw-ping-interval-s", "0"};
    arguments.insert(arguments.end(), way.begin(), way.end());
    ASSERT_NO_FATAL_FAILURE(start(arguments));
    WebSocketClient stuck = WebSocketClient::ask(TcpClient::connect(port(), 32 * 1024), "/websocket/stuck");
    ASSERT_TRUE(stuck.open());
    const std::string message = envelope("chat_stuck", std::string(8000, 'x'));
    TcpClient publisher = TcpClient::connect(port());
    HttpAnswer answer;
    size_t taken = 0;
    for (; taken < 5000; ++taken) {
      publisher.send(post_request("/_broadcast", "application/json", message));
      answer = read_http_answer(publisher);
      if (answer.status != 201) break;
    }
    EXPECT_EQ(answer.status, 503) << "after " << taken;
    EXPECT_GE(Metrics::read(port()).sum("ringcast_dropped_total", R"(reason="mailbox_full")"), 1u);
    stuck.tcp().reset();
    EXPECT_EQ(broadcast(port(), message), 201);
  }
}

TEST_F(Limits, MoreAtOnceThanTheInboxHolds) {
  ASSERT_NO_FATAL_FAILURE(start({"--broadcast-inbox", "16"}));
  const auto publish = [&](size_t count) {
    return ask(post_request("/_broadcast", "application/json",
                            envelopes("s", std::vector<std::string>(count, "x"))))
        .status;
  };
  EXPECT_EQ(publish(10), 201);
  EXPECT_EQ(publish(200), 413);  // it never will
  // As soon as the first ones have left it.
  int status = publish(10);
  for (const auto deadline = std::chrono::steady_clock::now() + kPatience;
       status == 503 && std::chrono::steady_clock::now() < deadline;) {
    std::this_thread::sleep_for(std::chrono::milliseconds(1));
    status = publish(10);
  }
  EXPECT_EQ(status, 201);
}

// ── Who may publish ──────────────────────────────────────────────────────────

class KeyFile {
 public:
  explicit KeyFile(std::string_view key) {
    const int fd = mkstemp(path.data());
    EXPECT_GE(fd, 0);
    if (fd >= 0) close(fd);
    std::ofstream(path) << key << "\n";
  }
  ~KeyFile() { unlink(path.c_str()); }
  KeyFile(const KeyFile&) = delete;
  KeyFile& operator=(const KeyFile&) = delete;

  std::string path = "/tmp/ringcast-test-XXXXXX";
};

TEST_F(Limits, AKeyOpensTheProducerAndNothingElseDoes) {
  const KeyFile key("s3cret-of-this-test");
  for (const std::string demo : {"on", "off"}) {
    ASSERT_NO_FATAL_FAILURE(start({"--broadcast-key-file", key.path, "--demo", demo}));
    const auto status = [&](std::string_view header) {
      return ask(post_request("/_broadcast", "application/json", envelope("s", "x"), header)).status;
    };
    for (const std::string_view wrong :
         {"", "Authorization: Bearer wrong\r\n", "Authorization: Bearer s3cret-of-this-tes\r\n",
          "Authorization: Basic s3cret-of-this-test\r\n", "Authorization: s3cret-of-this-test\r\n",
          "Authorization: Bearer \r\n"}) {
      EXPECT_EQ(status(wrong), 401) << wrong;
    }
    EXPECT_EQ(status("Authorization: bearer s3cret-of-this-test\r\n"), 201);
    // With the key, also through a proxy.
    EXPECT_EQ(status("Authorization: Bearer s3cret-of-this-test\r\nX-Forwarded-For: 10.0.0.1\r\n"), 201);
  }
}

// Behind an engine that never comes: what is published waits for it, until no more may.
TEST_F(Limits, OutsideTheDemoAProducerIsToldWhatBecameOfItsMessages) {
  const KeyFile key("s3cret-of-this-test");
  ASSERT_NO_FATAL_FAILURE(start({"--broadcast-key-file", key.path, "--demo", "off", "--adapter", "redis",
                                 "--redis-url", "redis://127.0.0.1:1", "--max-message-bytes", "1000"}));
  const auto post = [&](std::string_view path, std::string_view body, std::string_view bearer) {
    const std::string header = "Authorization: Bearer " + std::string(bearer) + "\r\n";
    return ask(post_request(path, "application/json", body, bearer.empty() ? "" : header)).status;
  };
  constexpr std::string_view kKey = "s3cret-of-this-test";
  const std::string array = envelopes("s", std::vector<std::string>(8000, "x"));
  const std::string long_one(1001, 'x');
  EXPECT_EQ(post("/_broadcast", envelope("s", "x"), kKey), 201);
  EXPECT_EQ(post("/_broadcast", array, kKey), 201);
  EXPECT_EQ(post("/_broadcast", envelope("s", "x"), ""), 401);
  EXPECT_EQ(post("/_broadcast", array, "s3cret-of-this-tesT"), 401);
  EXPECT_EQ(post("/_broadcast", envelope("s", long_one), kKey), 413);
  EXPECT_EQ(post("/_broadcast", R"([{"stream":"s"}])", kKey), 422);
  EXPECT_EQ(post("/_broadcast", R"({"command":"disconnect","payload":{"identifier":"{\"u\":1}"}})", kKey),
            201);
  EXPECT_EQ(post("/_broadcast", R"({"command":"disconnect","payload":{"identifier":"{\"u\":1}"}})", ""), 401);
  for (const char* wrong : {R"({"command":"reboot"})", R"({"command":"disconnect"})",
                            R"({"command":"disconnect","payload":{"identifiers":"7"}})"}) {
    EXPECT_EQ(post("/_broadcast", wrong, kKey), 422) << wrong;
  }
  EXPECT_EQ(post("/send_message_to_room/r", R"({"message":{"a":[1]}})", kKey), 200);
  EXPECT_EQ(post("/send_message_to_room/r", R"({"message":["a",1]})", kKey), 200);
  EXPECT_EQ(post("/send_message_to_room/r", R"({"message":"x"})", ""), 401);
  EXPECT_EQ(post("/send_message_to_room/r", R"({"message":"x"})", "wrong"), 401);
  EXPECT_EQ(post("/send_message_to_room/r", R"({"message":")" + long_one + "\"}", kKey), 413);
  EXPECT_EQ(post("/send_message_to_room/r", R"({"sender":"x"})", kKey), 422);

  int status = 201;
  for (int i = 0; i < 1000 && status == 201; ++i) status = post("/_broadcast", array, kKey);
  EXPECT_EQ(status, 503);
}

TEST_F(Limits, WithoutTheDemoAndWithoutAKeyNobodyPublishes) {
  ASSERT_NO_FATAL_FAILURE(start({"--demo", "off"}));
  const HttpAnswer refused = ask(post_request("/_broadcast", "application/json", envelope("s", "x")));
  EXPECT_EQ(refused.status, 401);
  EXPECT_EQ(refused.header("WWW-Authenticate"), "Bearer");
  EXPECT_EQ(ask(post_request("/send_message_to_room/r", "application/json", R"({"message":"x"})")).status,
            401);
  EXPECT_EQ(ask(WebSocketClient::request("/websocket")).status, 404);
  EXPECT_EQ(ask("GET / HTTP/1.1\r\nHost: localhost\r\n\r\n").status, 404);
  EXPECT_EQ(ask(WebSocketClient::request("/echo")).status, 404);
  EXPECT_EQ(ask(kGetHealth).status, 200);
  WebSocketClient client = cable();
  client.send(cable_subscribe(chat_identifier("r")));
  const auto frame = next_word(client);
  ASSERT_TRUE(frame);
  EXPECT_EQ(frame->payload, cable_rejection(chat_identifier("r")));
}

}  // namespace
}  // namespace ringcast::blackbox
