// Peers that mean harm, on both ports: those who dribble, those who shake half a hand, who
// reset in the middle, send rubbish or bombs, or come by the hundred. After each of them the
// server answers as before and holds what it held before.
#include <gtest/gtest.h>
#include <openssl/err.h>
#include <openssl/ssl.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstdint>
#include <memory>
#include <optional>
#include <random>
#include <string>
#include <string_view>
#include <thread>
#include <vector>

#include "blackbox/cable.h"
#include "blackbox/client.h"
#include "blackbox/probes.h"
#include "blackbox/server_process.h"
#include "support/client_frames.h"
#include "support/deflate_peer.h"

namespace ringcast::blackbox {
namespace hostile_test {

constexpr unsigned kRsv1 = 4;

// A server for several tests, watched from its beginning to its end.
class HostileServer : public ::testing::Test {
 protected:
  struct Watched {
    CertificateFolder certificate;
    std::unique_ptr<ServerProcess> server;
    TcpClient watcher;
    Holdings before;
  };

  static std::unique_ptr<Watched> start(std::vector<std::string> arguments) {
    const std::vector<std::string> common = {"--echo",        "--deflate",       "on",
                                             "--room-prefix", "chat_",           "--log-level",
                                             "error",         "--drain-seconds", "1"};
    arguments.insert(arguments.begin(), common.begin(), common.end());
    auto watched = std::make_unique<Watched>();
    std::string why_not;
    watched->server =
        ServerProcess::start({.arguments = arguments, .tls = watched->certificate.files()}, why_not);
    if (!watched->server) {
      ADD_FAILURE() << why_not;
      return nullptr;
    }
    // A first conversation of each kind grows what stays for good.
    for (const bool tls : {false, true}) {
      WebSocketClient client = WebSocketClient::ask(connect(*watched, tls), "/echo");
      EXPECT_TRUE(client.open());
    }
    watched->watcher = TcpClient::connect(watched->server->port());
    watched->before = holdings_at_rest(watched->watcher, watched->server->pid());
    return watched;
  }

  static void stop(std::unique_ptr<Watched>& watched) {
    if (!watched) return;
    watched->watcher.close();
    EXPECT_TRUE(watched->server->running()) << "it ended by itself";
    EXPECT_EQ(watched->server->stop(), (ServerProcess::Exit{.code = 0, .signal = 0}))
        << watched->server->standard_error();
    watched.reset();
  }

  static TcpClient connect(const Watched& watched, bool tls) {
    return tls ? TcpClient::connect_tls(watched.server->tls_port())
               : TcpClient::connect(watched.server->port());
  }

  // All that was asked of it is over: it serves, and holds nothing of it.
  static void expect_unharmed(Watched& watched) {
    ASSERT_TRUE(watched.server->running()) << watched.server->standard_error();
    for (const bool tls : {false, true}) {
      EXPECT_EQ(http_get(connect(watched, tls), "/health").status, 200);
      WebSocketClient client = WebSocketClient::ask(connect(watched, tls), "/echo");
      client.send(encode({.payload = "unharmed"}) + encode_close(1000));
      const auto echo = client.next();
      ASSERT_TRUE(echo);
      EXPECT_EQ(echo->payload, "unharmed");
    }
    const Holdings after = settled_holdings(watched.watcher, watched.server->pid(), watched.before);
    EXPECT_EQ(after, watched.before) << "before: " << watched.before.to_string()
                                     << "\nafter:  " << after.to_string();
  }
};

bool ended(TcpClient& tcp) {
  while (const size_t bytes = tcp.received(1).size()) tcp.consume(bytes);
  return tcp.end() != TcpClient::End::timed_out && tcp.end() != TcpClient::End::none;
}

std::string client_hello() {
  TlsClient client;
  client.start();
  return client.take_output();
}

// ── Those who never come to the point ────────────────────────────────────────

class Dawdlers : public HostileServer {
 protected:
  static void SetUpTestSuite() { watched_ = start({"--handshake-timeout-s", "1"}); }
  static void TearDownTestSuite() { stop(watched_); }
  void SetUp() override { ASSERT_NE(watched_, nullptr); }
  static inline std::unique_ptr<Watched> watched_;
};

// The deadline is absolute: an octet now and then buys nothing, on whatever layer.
TEST_F(Dawdlers, AreEndedHoweverLittleTheySay) {
  const uint64_t ended_before =
      Metrics::read(watched_->watcher).sum("ringcast_ended_total", "reason=\"handshake_timeout\"");
  const std::string request = WebSocketClient::request("/cable", "X: " + std::string(7000, 'x') + "\r\n");
  const std::string hello = client_hello();
  struct Dawdler {
    TcpClient tcp;
    std::string says;  // an octet at a time, for as long as it is heard
  };
  std::vector<Dawdler> dawdlers;
  const uint16_t plain = watched_->server->port(), tls = watched_->server->tls_port();
  dawdlers.push_back({TcpClient::connect(plain), ""});
  dawdlers.push_back({TcpClient::connect(tls), ""});
  dawdlers.push_back({TcpClient::connect(plain), request});
  dawdlers.push_back(
      {TcpClient::connect(plain),
       "POST /_broadcast HTTP/1.1\r\nHost: x\r\nContent-Length: 100000\r\n\r\n" + std::string(7000, 'x')});
  dawdlers.push_back({TcpClient::connect(tls), hello});
  dawdlers.push_back({TcpClient::connect(tls), hello.substr(0, hello.size() / 2)});
  dawdlers.push_back({TcpClient::connect_tls(tls), ""});
  dawdlers.push_back({TcpClient::connect_tls(tls), request});
  // The whole hello, and then nothing: the server waits for the other half of the handshake.
  dawdlers.push_back({TcpClient::connect(tls), ""});
  dawdlers.back().tcp.send(hello);

  const auto deadline = std::chrono::steady_clock::now() + kPatience;
  size_t at = 0;
  const auto over = [](const Dawdler& one) { return one.tcp.end() != TcpClient::End::none; };
  while (!std::ranges::all_of(dawdlers, over) && std::chrono::steady_clock::now() < deadline) {
    for (Dawdler& one : dawdlers) {
      // Saying nothing is a look at what has come.
      if (!over(one)) one.tcp.send(at < one.says.size() ? one.says.substr(at, 1) : "");
    }
    ++at;
    std::this_thread::sleep_for(std::chrono::milliseconds(5));
  }
  EXPECT_LT(at, request.size()) << "they were waited for";
  for (size_t i = 0; i < dawdlers.size(); ++i) {
    EXPECT_TRUE(over(dawdlers[i])) << i;
    EXPECT_NE(dawdlers[i].tcp.end(), TcpClient::End::timed_out) << i;
  }
  // A whole hello dribbled in time is answered: then what is missing is the rest.
  EXPECT_TRUE(wait_for_metric(watched_->server->port(), "ringcast_ended_total",
                              ended_before + dawdlers.size(), "reason=\"handshake_timeout\""));
  dawdlers.clear();
  expect_unharmed(*watched_);
}

// ── All others ───────────────────────────────────────────────────────────────

class Hostile : public HostileServer {
 protected:
  static void SetUpTestSuite() { watched_ = start({}); }
  static void TearDownTestSuite() { stop(watched_); }
  void SetUp() override { ASSERT_NE(watched_, nullptr); }
  void TearDown() override { expect_unharmed(*watched_); }

  static TcpClient connect(bool tls) { return HostileServer::connect(*watched_, tls); }
  static uint16_t port(bool tls) { return tls ? watched_->server->tls_port() : watched_->server->port(); }
  static inline std::unique_ptr<Watched> watched_;
};

TEST_F(Hostile, HalfHandshakesAndResetsInTheMiddle) {
  const std::string hello = client_hello();
  const std::string request = WebSocketClient::request("/echo");
  const std::string frame = encode({.payload = std::string(3000, 'x')});
  for (int round = 0; round < 12; ++round) {
    for (const bool by_reset : {false, true}) {
      const auto leave = [&](TcpClient& tcp) { by_reset ? tcp.reset() : tcp.close(); };
      std::vector<TcpClient> half;
      half.push_back(TcpClient::connect(port(false)));
      half.push_back(TcpClient::connect(port(true)));
      half.push_back(TcpClient::connect(port(true)));
      half.back().send(hello.substr(0, 1 + hello.size() * static_cast<size_t>(round) / 12));
      half.push_back(TcpClient::connect(port(true)));
      half.back().send(hello);
      half.push_back(TcpClient::connect(port(false)));
      half.back().send(request.substr(0, 1 + request.size() * static_cast<size_t>(round) / 12));
      for (TcpClient& tcp : half) leave(tcp);
      for (const bool tls : {false, true}) {
        WebSocketClient client = WebSocketClient::ask(connect(tls), "/echo");
        ASSERT_TRUE(client.open());
        // In the header, in the key, in the payload, between two fragments.
        const size_t cuts[] = {1, 3, 6, 100, 2999, frame.size()};
        client.send(encode({.payload = "begun", .fin = false}) + frame.substr(0, cuts[round % 6]));
        leave(client.tcp());
      }
    }
  }
}

TEST_F(Hostile, WhatIsNoTlsOnTheTlsPort) {
  const uint64_t failures = Metrics::read(watched_->watcher).sum("ringcast_tls_failures_total");
  const std::string hello = client_hello();
  std::string broken = hello;
  broken[9] = static_cast<char>(broken[9] ^ 0x55);
  std::mt19937 random(5246);
  std::string noise;
  while (noise.size() < 4096) noise += static_cast<char>(random());
  const std::string_view kRubbish[] = {"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n",
                                       {"\x80\x2e\x01\x00\x02\x00\x15\x00\x00\x00\x10", 11},  // SSL 2
                                       {"\x16\x03\x01\xff\xff", 5},                  // a record too long
                                       {"\x15\x03\x03\x00\x02\x02\x28", 7},          // an alert first
                                       {"\x17\x03\x03\x00\x05hello", 10},            // data first
                                       {"\x14\x03\x03\x00\x01\x01", 6},              // change_cipher_spec
                                       {"\x16\x03\x01\x00\x04\x01\xff\xff\xff", 9},  // a hello of 16 MiB
                                       noise,
                                       broken};
  for (const std::string_view rubbish : kRubbish) {
    TcpClient tcp = TcpClient::connect(port(true));
    tcp.send(rubbish);
    tcp.shutdown_write();
    EXPECT_TRUE(ended(tcp)) << rubbish.substr(0, 12);
  }
  // Of an open connection: a record that was tampered with.
  WebSocketClient client = WebSocketClient::ask(connect(true), "/echo");
  ASSERT_TRUE(client.open());
  client.tcp().tls()->write("never read");
  std::string record = client.tcp().tls()->take_output();
  record.back() = static_cast<char>(record.back() ^ 1);
  client.tcp().send_on_the_wire(record);
  EXPECT_FALSE(client.next());
  EXPECT_NE(client.tcp().end(), TcpClient::End::timed_out);
  EXPECT_NE(client.tcp().tls()->failure().find("bad record mac"), std::string::npos)
      << client.tcp().tls()->failure();
  client.tcp().close();
  EXPECT_GT(Metrics::read(watched_->watcher).sum("ringcast_tls_failures_total"), failures + 4);
}

// It costs the server a handshake for a record of ours, again and again: never.
TEST_F(Hostile, NobodyRenegotiates) {
  TcpClient tcp = TcpClient::connect_tls(port(true), {.version = TLS1_2_VERSION});
  WebSocketClient client = WebSocketClient::ask(std::move(tcp), "/echo");
  ASSERT_TRUE(client.open());
  const uint64_t handshakes = Metrics::read(watched_->watcher).sum("ringcast_tls_handshakes_total");
  SSL* const ssl = client.tcp().tls()->ssl();
  ASSERT_EQ(SSL_renegotiate(ssl), 1);
  SSL_do_handshake(ssl);
  ERR_clear_error();
  client.send({});
  // A warning, or the end; but no second handshake.
  if (client.send(encode({.opcode = 9}))) client.next();
  EXPECT_EQ(Metrics::read(watched_->watcher).sum("ringcast_tls_handshakes_total"), handshakes);
}

TEST_F(Hostile, ConnectsAndClosesByTheHundred) {
  std::mt19937 random(1);
  for (int i = 0; i < 600; ++i) {
    const bool tls = i % 6 == 0;
    TcpClient tcp = i % 3 == 2 ? TcpClient::connect(port(tls)) : connect(tls);
    switch (random() % 5) {
      case 0:
        break;
      case 1:
        tcp.send(WebSocketClient::request("/websocket/churn"));
        break;
      case 2: {
        WebSocketClient client = WebSocketClient::ask(std::move(tcp), "/websocket/churn");
        client.send(encode({.payload = R"({"message":"here"})"}));
        client.tcp().reset();
        break;
      }
      case 3:
        tcp.send(WebSocketClient::request("/cable", kCableProtocol) +
                 cable_subscribe(chat_identifier("churn")) + encode_close(1000));
        tcp.shutdown_write();
        break;
      case 4:
        tcp.reset();
        break;
    }
  }
}

// A hundred and fifty hands at once, and a conversation that goes on meanwhile: it is not
// put off until the last of them is shaken.
TEST_F(Hostile, AStormOfTlsHandshakesDoesNotStopAConversation) {
  WebSocketClient talking = WebSocketClient::ask(connect(false), "/echo");
  ASSERT_TRUE(talking.open());
  std::atomic<size_t> shaken = 0;
  constexpr size_t kStorm = 150;
  std::thread storm([&] {
    std::vector<TcpClient> clients;
    std::vector<std::unique_ptr<TlsClient>> hands;
    for (size_t i = 0; i < kStorm; ++i) {
      clients.push_back(TcpClient::connect(port(true)));
      hands.push_back(std::make_unique<TlsClient>());
      hands.back()->start();
    }
    for (size_t i = 0; i < kStorm; ++i) clients[i].send(hands[i]->take_output());
    for (size_t i = 0; i < kStorm; ++i) {
      while (!hands[i]->done() && !hands[i]->failed()) {
        const std::string_view bytes = clients[i].received(1);
        if (bytes.empty()) break;
        hands[i]->receive(bytes);
        clients[i].consume(bytes.size());
      }
      clients[i].send(hands[i]->take_output());
      if (hands[i]->done()) ++shaken;
    }
  });
  size_t echoes = 0;
  while (shaken < kStorm && echoes < 1'000'000) {
    talking.send(encode({.payload = "still here?"}));
    ASSERT_TRUE(talking.next()) << echoes;
    ++echoes;
  }
  storm.join();
  EXPECT_EQ(shaken, kStorm);
  EXPECT_GE(echoes, 10u) << "it stood still";
}

TEST_F(Hostile, ABombIsNotInflatedBeyondItsLimit) {
  // Flushed with Z_FULL_FLUSH, a mebibyte of zeros is the same octets each time: a gibibyte
  // of them is a thousand copies.
  DeflatingPeer peer;
  const std::string once = peer.flush(std::string(kMiB, '\0'), Z_FULL_FLUSH);
  std::string bomb;
  for (int i = 0; i < 1024; ++i) bomb += once;
  const size_t resident = resident_bytes(watched_->server->pid());
  for (const bool tls : {false, true}) {
    for (const std::string_view path : {"/echo", "/cable"}) {
      WebSocketClient client = WebSocketClient::ask(
          connect(tls), path,
          std::string(kCableProtocol) + "Sec-WebSocket-Extensions: permessage-deflate\r\n");
      ASSERT_TRUE(client.open());
      ASSERT_EQ(client.answer().count("Sec-WebSocket-Extensions"), 1u);
      client.send(encode({.opcode = 2, .payload = bomb, .rsv = kRsv1}));
      std::optional<ServerFrame> frame = client.next();
      while (frame && frame->opcode != 8) frame = client.next();
      ASSERT_TRUE(frame);
      EXPECT_EQ(frame->close_code(), 1009u);
    }
  }
  if (memory_is_telling(watched_->server->pid())) {
    EXPECT_LT(resident_bytes(watched_->server->pid()), resident + 64 * kMiB);
  }
}

// ── Fuzz ─────────────────────────────────────────────────────────────────────

// What a grammar makes and chance then spoils.
class Spoiler {
 public:
  explicit Spoiler(unsigned seed) : random_(seed) {}

  size_t below(size_t count) { return random_() % count; }
  std::string noise(size_t bytes_max) {
    std::string bytes(below(bytes_max + 1), '\0');
    for (char& byte : bytes) byte = static_cast<char>(random_());
    return bytes;
  }
  std::string spoiled(std::string text) {
    for (size_t times = below(4); times > 0 && !text.empty(); --times) {
      const size_t at = below(text.size());
      switch (below(5)) {
        case 0:
          text[at] = static_cast<char>(random_());
          break;
        case 1:
          text.erase(at, 1 + below(8));
          break;
        case 2:
          text.insert(at, noise(6));
          break;
        case 3:
          text.insert(at, text.substr(at, below(40)));
          break;
        case 4:
          text[at] = "\r\n\t :;,\"\\\0/%"[below(12)];
          break;
      }
    }
    return text;
  }
  std::string request() {
    const char* const kPaths[] = {"/echo", "/cable", "/websocket/fuzz", "/health", "/", "/_broadcast",
                                  "/%00",  "*"};
    const char* const kLines[] = {"Origin: http://127.0.0.1\r\n",
                                  "Sec-WebSocket-Protocol: actioncable-v1-json, other\r\n",
                                  "Sec-WebSocket-Extensions: permessage-deflate; client_max_window_bits\r\n",
                                  "Content-Length: 5\r\n",
                                  "Transfer-Encoding: chunked\r\n",
                                  "Connection: close\r\n",
                                  "Expect: 100-continue\r\n",
                                  "Cookie: a=b\r\n"};
    std::string more;
    while (below(3) != 0) more += kLines[below(8)];
    return WebSocketClient::request(kPaths[below(8)], more);
  }
  std::string frames() {
    std::string wire;
    for (size_t count = 1 + below(6); count > 0; --count) {
      const unsigned kOpcodes[] = {0, 1, 1, 1, 2, 2, 8, 9, 9, 10, 3, 11};
      std::string payload;
      switch (below(5)) {
        case 0:
          payload = noise(300);
          break;
        case 1:
          payload =
              R"({"command":"subscribe","identifier":"{\"channel\":\"ChatChannel\",\"room_id\":\"f\"}"})";
          break;
        case 2:
          payload = R"({"command":"message","identifier":"{}","data":"{\"action\":\"x\"}"})";
          break;
        case 3:
          payload = DeflatingPeer().compress(noise(400));
          break;
        case 4:
          payload = std::string(below(200), 'a');
          break;
      }
      ClientFrame frame{.opcode = kOpcodes[below(12)], .payload = {}};
      payload = spoiled(payload);
      frame.payload = payload;
      frame.fin = below(4) != 0;
      if (below(6) == 0) frame.rsv = static_cast<unsigned>(below(8));
      if (below(3) == 0) frame.rsv = kRsv1;
      frame.masked = below(20) != 0;
      if (below(20) == 0) frame.declared_bytes = uint64_t{1} << below(64);
      wire += encode(frame);
    }
    return wire;
  }

 private:
  std::mt19937 random_;
};

// Says it, and that it has finished; whatever is answered, there is an end.
void say(TcpClient tcp, const std::string& wire, unsigned seed) {
  tcp.send(wire, seed % 5 == 0 ? 7 : 0);
  tcp.shutdown_write();
  EXPECT_TRUE(ended(tcp)) << "seed " << seed;
}

TEST_F(Hostile, RequestsMadeByChance) {
  for (unsigned seed = 0; seed < 500; ++seed) {
    Spoiler spoiler(seed);
    std::string wire = spoiler.below(4) == 0 ? spoiler.noise(600) : spoiler.spoiled(spoiler.request());
    if (spoiler.below(3) == 0) wire += spoiler.spoiled(spoiler.request());
    say(connect(seed % 8 == 0), wire, seed);
    if (::testing::Test::HasFailure()) return;
  }
}

TEST_F(Hostile, FramesMadeByChance) {
  for (unsigned seed = 1000; seed < 1500; ++seed) {
    Spoiler spoiler(seed);
    const char* const kPaths[] = {"/echo", "/cable", "/websocket/fuzz"};
    std::string more(kCableProtocol);
    if (spoiler.below(2) == 0) more += "Sec-WebSocket-Extensions: permessage-deflate\r\n";
    std::string wire = WebSocketClient::request(kPaths[spoiler.below(3)], more);
    wire += spoiler.below(3) == 0 ? spoiler.spoiled(spoiler.frames()) : spoiler.frames();
    say(connect(seed % 8 == 0), wire, seed);
    if (::testing::Test::HasFailure()) return;
  }
}

TEST_F(Hostile, TlsRecordsMadeByChance) {
  const std::string hello = client_hello();
  for (unsigned seed = 2000; seed < 2200; ++seed) {
    Spoiler spoiler(seed);
    say(TcpClient::connect(port(true)), spoiler.spoiled(spoiler.spoiled(hello)) + spoiler.noise(100), seed);
    if (::testing::Test::HasFailure()) return;
  }
}

}  // namespace hostile_test
}  // namespace ringcast::blackbox
