// RFC 6455 from outside: a running server's /echo, asked over TCP and over TLS whatever a
// client may say, right or wrong. Categories 1-7, 9 and 10 of the Autobahn suite come from the
// table in tests/support; the rest is what that suite leaves out: the handshake, strict
// headers, limits, and how connections end.
#include <gtest/gtest.h>

#include <algorithm>
#include <chrono>
#include <memory>
#include <optional>
#include <string>
#include <tuple>
#include <utility>
#include <vector>

#include "blackbox/client.h"
#include "blackbox/shared_server.h"
#include "support/autobahn_cases.h"
#include "support/client_frames.h"

namespace ringcast::blackbox {
namespace {

constexpr unsigned kText = 1;
constexpr unsigned kBinary = 2;
constexpr unsigned kClose = 8;
constexpr unsigned kPing = 9;
constexpr unsigned kPong = 10;

constexpr size_t kEchoBytesMax = 16 * kMiB;  // /echo's limit

SharedServer& echo_server =
    SharedServer::add({"--echo", "--drain-seconds", "1"}, SharedServer::Ports::plain_and_tls);

enum class Transport { plain, tls };

std::string transport_name(Transport transport) {
  return transport == Transport::tls ? "Tls" : "Plain";
}

class Rfc6455Server : public ::testing::Test {
 protected:
  virtual Transport transport() const = 0;

  void SetUp() override {
    server_ = echo_server.get();
    ASSERT_NE(server_, nullptr);
    ASSERT_TRUE(server_->running()) << server_->standard_error();
  }

  void TearDown() override {
    if (HasFailure() && server_ != nullptr) {
      GTEST_LOG_(INFO) << "the server's stderr:\n" << server_->standard_error();
    }
  }

  TcpClient connect_only() {
    return transport() == Transport::tls ? TcpClient::connect_tls(server_->tls_port())
                                         : TcpClient::connect(server_->port());
  }

  WebSocketClient connect(std::string_view more_headers = {}) {
    WebSocketClient client = WebSocketClient::ask(connect_only(), "/echo", more_headers);
    EXPECT_TRUE(client.open()) << client.answer().status_line;
    return client;
  }

  HttpAnswer ask(std::string_view request) {
    TcpClient tcp = connect_only();
    tcp.send(request);
    return read_http_answer(tcp);
  }

  ServerProcess* server_ = nullptr;
};

class Rfc6455 : public Rfc6455Server, public ::testing::WithParamInterface<Transport> {
 protected:
  Transport transport() const override { return GetParam(); }
};

INSTANTIATE_TEST_SUITE_P(Over, Rfc6455, ::testing::Values(Transport::plain, Transport::tls),
                         [](const auto& info) { return transport_name(info.param); });

// What every frame of every server must be: unmasked, without reserved bits, its length
// in the shortest form, control frames whole and short.
void expect_well_formed(const ServerFrame& frame) {
  EXPECT_FALSE(frame.masked);
  EXPECT_EQ(frame.rsv, 0u);
  EXPECT_TRUE(frame.minimal);
  EXPECT_TRUE(frame.opcode <= 2 || (frame.opcode >= 8 && frame.opcode <= 10)) << frame.opcode;
  if (frame.opcode >= 8) {
    EXPECT_TRUE(frame.fin);
    EXPECT_LE(frame.payload.size(), 125u);
  }
}

using Reply = AutobahnCase::Reply;

// Reads whole messages and pongs until there are `count`, or the server closes.
struct Answers {
  std::vector<Reply> replies;
  std::optional<ServerFrame> close;

  void read(WebSocketClient& client, size_t count) {
    while (!close && replies.size() < count) {
      std::optional<ServerFrame> frame = client.next();
      if (!frame) return;
      expect_well_formed(*frame);
      if (frame->opcode == kClose) {
        close = std::move(frame);
      } else if (frame->opcode == 0) {
        ASSERT_TRUE(unfinished) << "a continuation of nothing";
        unfinished->payload += frame->payload;
        if (frame->fin) replies.push_back(std::move(*std::exchange(unfinished, std::nullopt)));
      } else if (!frame->fin) {
        ASSERT_FALSE(unfinished) << "a message begun in another";
        unfinished = Reply{frame->opcode, std::move(frame->payload)};
      } else {
        replies.push_back({frame->opcode, std::move(frame->payload)});
      }
    }
  }
  void read_to_close(WebSocketClient& client) { read(client, SIZE_MAX); }

 private:
  std::optional<Reply> unfinished;
};

// A server says Close last, and is the one to close the connection (section 7.1.1).
void expect_end(WebSocketClient& client) {
  EXPECT_FALSE(client.next().has_value()) << "something came after the Close frame";
  EXPECT_EQ(client.tcp().end(), TcpClient::End::closed);
}

// The server fails the connection with `code`: its Close frame arrives in any case.
void expect_failed(WebSocketClient& client, unsigned code, const std::vector<Reply>& replies = {}) {
  Answers answers;
  answers.read_to_close(client);
  EXPECT_EQ(answers.replies.size(), replies.size());
  EXPECT_TRUE(answers.replies == replies);
  ASSERT_TRUE(answers.close) << "no Close frame";
  EXPECT_EQ(answers.close->close_code(), code) << answers.close->close_reason();
  client.send(encode_close(code));  // too late or not, it must do no harm
  expect_end(client);
}

// The connection is good and open: it echoes, and it closes cleanly.
void expect_alive(WebSocketClient& client) {
  client.send(encode({.payload = "alive?"}) + encode_close(1000));
  Answers answers;
  answers.read_to_close(client);
  EXPECT_EQ(answers.replies, (std::vector<Reply>{{kText, "alive?"}}));
  ASSERT_TRUE(answers.close);
  EXPECT_EQ(answers.close->close_code(), 1000u);
  expect_end(client);
}

// ── Autobahn, categories 1-7, 9 and 10 ───────────────────────────────────────

class Autobahn : public Rfc6455Server,
                 public ::testing::WithParamInterface<std::tuple<Transport, AutobahnEntry>> {
 protected:
  Transport transport() const override { return std::get<0>(GetParam()); }
};

TEST_P(Autobahn, Echo) {
  const AutobahnEntry& entry = std::get<1>(GetParam());
  SCOPED_TRACE(entry.id + ": " + entry.about);
  const AutobahnCase given = entry.make();
  WebSocketClient client = connect();
  ASSERT_TRUE(client.open());

  Answers answers;
  for (const AutobahnCase::Step& step : given.steps) {
    // A server that has failed the connection may take no more: not a failure here.
    const bool taken = client.send(step.bytes, step.chop_bytes);
    ASSERT_TRUE(taken || given.ending != AutobahnCase::Ending::client_closes);
    answers.read(client, step.replies_due);
    ASSERT_GE(answers.replies.size(), step.replies_due);
  }
  if (given.ending == AutobahnCase::Ending::client_closes) {
    answers.read(client, given.replies.size());
    EXPECT_FALSE(answers.close) << answers.close->close_code();
    client.send(encode_close(1000));
  }
  answers.read_to_close(client);

  EXPECT_EQ(answers.replies.size(), given.replies.size());
  EXPECT_TRUE(answers.replies == given.replies);  // not EXPECT_EQ: it would print megabytes
  ASSERT_TRUE(answers.close) << "no Close frame; the connection ended "
                             << (client.tcp().end() == TcpClient::End::reset ? "by reset" : "or hung");
  EXPECT_EQ(std::ranges::count(given.close_codes, answers.close->close_code()), 1)
      << answers.close->close_code() << " " << answers.close->close_reason();
  if (given.ending == AutobahnCase::Ending::server_fails) client.send(encode_close(given.close_codes[0]));
  expect_end(client);
}

INSTANTIATE_TEST_SUITE_P(Case, Autobahn,
                         ::testing::Combine(::testing::Values(Transport::plain, Transport::tls),
                                            ::testing::ValuesIn(autobahn_entries())),
                         [](const auto& info) {
                           return transport_name(std::get<0>(info.param)) + "_" +
                                  autobahn_test_name(std::get<1>(info.param));
                         });

// ── The opening handshake (section 4.2) ──────────────────────────────────────

TEST_P(Rfc6455, HandshakeAnswersTheSampleKey) {
  WebSocketClient client = connect();
  const HttpAnswer& answer = client.answer();
  EXPECT_EQ(answer.status_line.substr(0, 13), "HTTP/1.1 101 ");
  EXPECT_EQ(answer.header("Sec-WebSocket-Accept"), WebSocketClient::kAccept);
  EXPECT_EQ(answer.header("Upgrade"), "websocket");
  EXPECT_EQ(answer.header("Connection"), "Upgrade");
  // Nothing that was not asked for.
  EXPECT_EQ(answer.count("Sec-WebSocket-Protocol"), 0u);
  EXPECT_EQ(answer.count("Sec-WebSocket-Extensions"), 0u);
  EXPECT_EQ(answer.count("Content-Length"), 0u);
  EXPECT_EQ(answer.count("Transfer-Encoding"), 0u);
}

TEST_P(Rfc6455, HandshakeTakesHeadersInAnyCaseAndOrder) {
  TcpClient tcp = connect_only();
  tcp.send(
      "GET /echo HTTP/1.1\r\n"
      "sec-websocket-KEY: dGhlIHNhbXBsZSBub25jZQ==\r\n"
      "CONNECTION: keep-alive, uPGRADE\r\n"
      "upgrade: WebSocket\r\n"
      "sec-websocket-version:13\r\n"
      "host: 127.0.0.1\r\n\r\n");
  WebSocketClient client = WebSocketClient::on(std::move(tcp));
  ASSERT_TRUE(client.open()) << client.answer().status_line;
  expect_alive(client);
}

TEST_P(Rfc6455, HandshakeOctetByOctet) {
  TcpClient tcp = connect_only();
  tcp.send(WebSocketClient::request("/echo"), 1);
  WebSocketClient client = WebSocketClient::on(std::move(tcp));
  ASSERT_TRUE(client.open());
  expect_alive(client);
}

TEST_P(Rfc6455, FramesSentWithTheHandshakeAreNotLost) {
  TcpClient tcp = connect_only();
  tcp.send(WebSocketClient::request("/echo") + encode({.payload = "first"}) +
           encode({.opcode = kPing, .payload = "second"}) + encode({.payload = "third"}).substr(0, 8));
  WebSocketClient client = WebSocketClient::on(std::move(tcp));
  ASSERT_TRUE(client.open());
  Answers answers;
  answers.read(client, 2);
  client.send(encode({.payload = "third"}).substr(8));
  answers.read(client, 3);
  std::ranges::sort(answers.replies, {}, &Reply::payload);  // a pong may overtake an echo
  EXPECT_EQ(answers.replies, (std::vector<Reply>{{kText, "first"}, {kPong, "second"}, {kText, "third"}}));
  expect_alive(client);
}

TEST_P(Rfc6455, HandshakeOfAnotherVersionIsToldWhichOneWeSpeak) {
  for (const std::string version : {"8", "0", "14", "13, 8", "013", "x"}) {
    std::string request = WebSocketClient::request("/echo");
    const std::string spoken = "Sec-WebSocket-Version: 13";
    request.replace(request.find(spoken), spoken.size(), "Sec-WebSocket-Version: " + version);
    const HttpAnswer answer = ask(request);
    EXPECT_EQ(answer.status, 426) << version;
    EXPECT_EQ(answer.header("Sec-WebSocket-Version"), "13") << version;
  }
}

TEST_P(Rfc6455, HandshakeWithoutAProperKeyIsRefused) {
  const std::string line = "Sec-WebSocket-Key: " + std::string(WebSocketClient::kKey) + "\r\n";
  const std::string kLines[] = {
      "",                                                        // none
      "Sec-WebSocket-Key: \r\n",                                 // empty
      "Sec-WebSocket-Key: abc\r\n",                              // no base64
      "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25j\r\n",             // 15 octets
      "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZTE=\r\n",         // 17 octets
      "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ\r\n",           // no padding
      "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZ!==\r\n",         // outside the alphabet
      line + "Sec-WebSocket-Key: x3JJHMbDL1EzLkh9GBhXDw==\r\n",  // two
  };
  for (const std::string& lines : kLines) {
    std::string request = WebSocketClient::request("/echo");
    request.replace(request.find(line), line.size(), lines);
    EXPECT_EQ(ask(request).status, 400) << lines;
  }
}

TEST_P(Rfc6455, ExtensionsAndSubprotocolsNobodyKnowsAreLeftOut) {
  WebSocketClient client =
      connect("Sec-WebSocket-Protocol: nobody-knows-this\r\nSec-WebSocket-Extensions: nor-this; x=1\r\n");
  ASSERT_TRUE(client.open());
  EXPECT_EQ(client.answer().count("Sec-WebSocket-Protocol"), 0u);
  EXPECT_EQ(client.answer().count("Sec-WebSocket-Extensions"), 0u);
  expect_alive(client);
}

// ── Frames no client may send (section 5) ────────────────────────────────────

struct Violation {
  const char* about;
  std::string wire;
  unsigned code = 1002;
};

// Each is sent only as far as it proves itself: the server must not wait for more.
std::vector<Violation> violations() {
  const auto head = [](const ClientFrame& frame, size_t bytes) { return encode(frame).substr(0, bytes); };
  std::vector<Violation> all = {
      {"unmasked text", head({.payload = "Hello", .masked = false}, 2)},
      {"unmasked close", head({.opcode = kClose, .masked = false}, 2)},
      {"unmasked ping", head({.opcode = kPing, .masked = false}, 2)},
      {"fragmented ping", head({.opcode = kPing, .fin = false}, 2)},
      {"fragmented close", head({.opcode = kClose, .fin = false}, 2)},
      {"ping of 126 bytes", head({.opcode = kPing, .declared_bytes = 126}, 2)},
      {"1 byte in 16 bits", head({.payload = "x", .length_bits = 16}, 4)},
      {"125 bytes in 16 bits", head({.length_bits = 16, .declared_bytes = 125}, 4)},
      {"1 byte in 64 bits", head({.payload = "x", .length_bits = 64}, 10)},
      {"65535 bytes in 64 bits", head({.length_bits = 64, .declared_bytes = 65535}, 10)},
      {"the top bit of the length", head({.declared_bytes = uint64_t{1} << 63}, 10)},
      {"all bits of the length", head({.declared_bytes = UINT64_MAX}, 10)},
      {"one byte over the limit", head({.opcode = kBinary, .declared_bytes = kEchoBytesMax + 1}, 10), 1009},
      {"2 GiB", head({.opcode = kBinary, .declared_bytes = uint64_t{1} << 31}, 10), 1009},
      {"4 GiB and a little", head({.opcode = kBinary, .declared_bytes = (uint64_t{1} << 32) + 5}, 10), 1009},
      {"2^63 - 1 bytes", head({.opcode = kBinary, .declared_bytes = INT64_MAX}, 10), 1009},
      {"text outside UTF-8, the frame unfinished", encode({.payload = "ok\xff and so on"}).substr(0, 9),
       1007},
      {"a continuation of nothing", encode({.opcode = 0, .payload = "x"})},
      {"a message in a message", encode({.fin = false}) + encode({.opcode = kBinary})},
  };
  for (const unsigned rsv : {1u, 2u, 3u, 4u, 5u, 6u, 7u}) {
    for (const unsigned opcode : {0u, kText, kBinary, kClose, kPing, kPong}) {
      all.push_back({"reserved bits", head({.opcode = opcode, .rsv = rsv}, 2)});
    }
  }
  for (const unsigned opcode : {3u, 4u, 5u, 6u, 7u, 11u, 12u, 13u, 14u, 15u}) {
    all.push_back({"a reserved opcode", head({.opcode = opcode}, 2)});
  }
  return all;
}

TEST_P(Rfc6455, ViolationsAreAnsweredAsSoonAsTheyAreProven) {
  for (const Violation& violation : violations()) {
    SCOPED_TRACE(violation.about);
    WebSocketClient client = connect();
    client.send(violation.wire);
    expect_failed(client, violation.code);
  }
}

TEST_P(Rfc6455, WhatCameBeforeAViolationIsStillAnswered) {
  WebSocketClient client = connect();
  client.send(encode({.payload = "good"}) + encode({.payload = "bad", .masked = false}) +
              encode({.payload = "too late"}) + encode({.opcode = kPing, .payload = "too late"}));
  expect_failed(client, 1002, {{kText, "good"}});
}

// A client that goes on sending must not lose the Close frame to a reset.
TEST_P(Rfc6455, TheCloseFrameSurvivesAClientThatGoesOnSending) {
  WebSocketClient client = connect();
  client.send(encode({.opcode = 3}) + encode({.opcode = kBinary, .payload = std::string(kMiB, 'x')}));
  expect_failed(client, 1002);
}

TEST_P(Rfc6455, FragmentsAreLimitedByTheirSum) {
  const std::string half(kEchoBytesMax / 2, 'x');
  WebSocketClient within = connect();
  within.send(encode({.opcode = kBinary, .payload = half, .fin = false}) +
              encode({.opcode = kPing, .payload = "does not count"}) +
              encode({.opcode = 0, .payload = half}));
  Answers answers;
  answers.read(within, 2);
  ASSERT_EQ(answers.replies.size(), 2u);
  EXPECT_EQ(answers.replies[0], (Reply{kPong, "does not count"}));
  EXPECT_TRUE(answers.replies[1] == (Reply{kBinary, half + half}));
  expect_alive(within);

  WebSocketClient beyond = connect();
  beyond.send(encode({.opcode = kBinary, .payload = half, .fin = false}) +
              encode({.opcode = 0, .payload = half, .fin = false}) +
              encode({.opcode = 0, .declared_bytes = 1}));  // the header alone
  expect_failed(beyond, 1009);
}

// ── Closing (section 7) ──────────────────────────────────────────────────────

TEST_P(Rfc6455, CodesRegisteredSinceAreEchoed) {
  for (const unsigned code : {1012u, 1013u, 1014u}) {
    WebSocketClient client = connect();
    client.send(encode_close(code, "why"));
    Answers answers;
    answers.read_to_close(client);
    ASSERT_TRUE(answers.close) << code;
    EXPECT_EQ(answers.close->close_code(), code);
    expect_end(client);
  }
}

TEST_P(Rfc6455, ATlsFailureIsNoCodeForTheWire) {
  WebSocketClient client = connect();
  client.send(encode_close(1015));
  expect_failed(client, 1002);
}

TEST_P(Rfc6455, AClientThatVanishesHarmsNobody) {
  for (const bool by_reset : {false, true}) {
    WebSocketClient vanishing = connect();
    vanishing.send(encode({.payload = "half a mess", .fin = false}) + std::string("\x81"));
    by_reset ? vanishing.tcp().reset() : vanishing.tcp().close();
    WebSocketClient other = connect();
    expect_alive(other);
  }
}

// A FIN without Close is an abnormal closure (section 7.1.5), the client's end of it: what
// was still to be said to it may be dropped, but nothing is left to wait for.
TEST_P(Rfc6455, AHalfClosedConnectionIsClosed) {
  WebSocketClient client = connect();
  client.send(encode({.payload = "last words"}));
  client.tcp().shutdown_write();
  Answers answers;
  answers.read_to_close(client);
  EXPECT_LE(answers.replies.size(), 1u);
  for (const Reply& reply : answers.replies) EXPECT_EQ(reply, (Reply{kText, "last words"}));
  EXPECT_FALSE(client.next().has_value());
  // Whoever has said its close_notify is owed none.
  const TcpClient::End end = client.tcp().end();
  EXPECT_TRUE(end == TcpClient::End::closed ||
              (GetParam() == Transport::tls && end == TcpClient::End::truncated));
}

// ── Volume ───────────────────────────────────────────────────────────────────

TEST_P(Rfc6455, AThousandPipelinedMessagesComeBackInOrder) {
  WebSocketClient client = connect();
  std::string wire;
  std::vector<Reply> expected;
  for (int i = 0; i < 1000; ++i) {
    expected.push_back({i % 3 == 0 ? kBinary : kText, "message " + std::to_string(i)});
    wire += encode({.opcode = expected.back().opcode, .payload = expected.back().payload});
  }
  ASSERT_TRUE(client.send(wire));
  Answers answers;
  answers.read(client, expected.size());
  EXPECT_EQ(answers.replies, expected);
  expect_alive(client);
}

// The client reads nothing until the server takes nothing more: the server has to stop
// reading, not to buffer without end, and to go on where it stopped.
TEST_P(Rfc6455, StopsReadingFromAClientThatDoesNotRead) {
  constexpr size_t kMessages = 64;
  const std::string payload(kMiB, 'x');
  std::string wire;
  for (size_t i = 0; i < kMessages; ++i) wire += encode({.opcode = kBinary, .payload = payload});
  WebSocketClient client = connect();

  // Half a second without progress starts the reading. How long it really takes decides
  // nothing: all that counts is that it comes before the end.
  ASSERT_FALSE(client.tcp().send_until_stalled(wire, std::chrono::milliseconds(500)))
      << "the server took everything from a client that read nothing";

  ASSERT_TRUE(client.send({}));
  Answers answers;
  answers.read(client, kMessages);
  ASSERT_EQ(answers.replies.size(), kMessages);
  for (const Reply& reply : answers.replies) ASSERT_TRUE(reply == (Reply{kBinary, payload}));
  expect_alive(client);
}

TEST_P(Rfc6455, ManyConnectionsAtOnceEchoEachTheirOwn) {
  std::vector<WebSocketClient> clients;
  for (int i = 0; i < 200; ++i) clients.push_back(connect());
  for (size_t i = 0; i < clients.size(); ++i) {
    clients[i].send(encode({.payload = "client " + std::to_string(i)}));
  }
  for (size_t i = 0; i < clients.size(); ++i) {
    Answers answers;
    answers.read(clients[i], 1);
    EXPECT_EQ(answers.replies, (std::vector<Reply>{{kText, "client " + std::to_string(i)}}));
  }
  for (WebSocketClient& client : clients) expect_alive(client);
}

}  // namespace
}  // namespace ringcast::blackbox
