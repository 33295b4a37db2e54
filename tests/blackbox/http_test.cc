// HTTP/1.1 as a client meets it: the opening handshake's rules and their answers, the
// parser's strictness where leniency lets requests be smuggled, keep-alive and
// pipelining, probes and producers. Limits that have a flag are in limits_test.cc.
#include <gtest/gtest.h>

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "blackbox/cable.h"
#include "blackbox/client.h"
#include "blackbox/probes.h"
#include "blackbox/shared_server.h"

namespace ringcast::blackbox {
namespace {

using namespace std::string_literals;

SharedServer& http_server =
    SharedServer::add({"--echo", "--allowed-origins", "https://app.example,https://*.example.org",
                       "--log-level", "error", "--drain-seconds", "1"});

class Http : public ::testing::Test {
 protected:
  void SetUp() override {
    server_ = http_server.get();
    ASSERT_NE(server_, nullptr);
    ASSERT_TRUE(server_->running()) << server_->standard_error();
  }

  uint16_t port() const { return server_->port(); }

  HttpAnswer ask(std::string_view request) {
    TcpClient tcp = TcpClient::connect(port());
    tcp.send(request);
    return read_http_answer(tcp);
  }

  // Answered with that status, and then the connection ends: nothing after a broken
  // request is taken for another one.
  void expect_refused(std::string_view request, int status, std::string_view why) {
    SCOPED_TRACE(why);
    TcpClient tcp = TcpClient::connect(port());
    tcp.send(std::string(request) + "GET /health HTTP/1.1\r\nHost: localhost\r\n\r\n");
    const HttpAnswer answer = read_http_answer(tcp);
    EXPECT_EQ(answer.status, status);
    EXPECT_EQ(tcp.received(1), "") << "something came behind the refusal";
    EXPECT_NE(tcp.end(), TcpClient::End::timed_out);
  }

  ServerProcess* server_ = nullptr;
};

std::string get(std::string_view path, std::string_view more_headers = {}) {
  return "GET " + std::string(path) + " HTTP/1.1\r\nHost: localhost\r\n" + std::string(more_headers) + "\r\n";
}

std::string replaced(std::string text, std::string_view from, std::string_view to) {
  const size_t at = text.find(from);
  EXPECT_NE(at, std::string::npos) << from;
  return at == std::string::npos ? text : text.replace(at, from.size(), to);
}

// ── The opening handshake ────────────────────────────────────────────────────

const std::string kHandshake = WebSocketClient::request("/echo");

TEST_F(Http, TheHandshakeIsAnsweredWithItsKeyAndNothingUnasked) {
  const HttpAnswer answer = ask(kHandshake);
  EXPECT_EQ(answer.status, 101);
  EXPECT_EQ(answer.header("Sec-WebSocket-Accept"), WebSocketClient::kAccept);
  EXPECT_EQ(answer.header("Upgrade"), "websocket");
  EXPECT_EQ(answer.header("Connection"), "Upgrade");
  EXPECT_EQ(answer.count("Sec-WebSocket-Protocol"), 0u);
  EXPECT_EQ(answer.count("Sec-WebSocket-Extensions"), 0u);
  EXPECT_EQ(answer.count("Content-Length"), 0u);
}

TEST_F(Http, TokensOfAHandshakeMayStandInListsOnSeveralLinesInAnyCase) {
  std::string request =
      replaced(kHandshake, "Connection: Upgrade", "Connection: keep-alive\r\nConnection: x, uPGRADE");
  request = replaced(request, "Upgrade: websocket", "uPGrade: h2c, WebSocket");
  EXPECT_EQ(ask(request).status, 101);
}

TEST_F(Http, AnythingButVersion13Gets426AndTheVersionWeSpeak) {
  for (const std::string_view version :
       {"Sec-WebSocket-Version: 12\r\n", "Sec-WebSocket-Version: 8\r\n", "", "Sec-WebSocket-Version: 013\r\n",
        "Sec-WebSocket-Version: 13, 8\r\n", "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Version: 8\r\n"}) {
    const HttpAnswer answer = ask(replaced(kHandshake, "Sec-WebSocket-Version: 13\r\n", version));
    EXPECT_EQ(answer.status, 426) << version;
    EXPECT_EQ(answer.header("Sec-WebSocket-Version"), "13") << version;
  }
}

TEST_F(Http, APlainGetOfAWebSocketRouteIsToldToUpgrade) {
  const HttpAnswer answer = ask(get("/echo"));
  EXPECT_EQ(answer.status, 426);
  EXPECT_EQ(answer.header("Upgrade"), "websocket");
  EXPECT_NE(answer.header("Connection").find("Upgrade"), std::string::npos);
  EXPECT_EQ(answer.header("Sec-WebSocket-Version"), "13");
}

TEST_F(Http, AKeyIsOneOf16BytesInBase64) {
  const std::string key = "Sec-WebSocket-Key: " + std::string(WebSocketClient::kKey) + "\r\n";
  for (const std::string& wrong :
       {""s, key + key, "Sec-WebSocket-Key: \r\n"s, "Sec-WebSocket-Key: c2hvcnQ=\r\n"s,
        "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZSEh\r\n"s,  // 18 bytes
        "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25j*Q==\r\n"s}) {
    EXPECT_EQ(ask(replaced(kHandshake, key, wrong)).status, 400) << wrong;
  }
}

TEST_F(Http, AHandshakeIsAGetOfHttp11WithoutABody) {
  const HttpAnswer post = ask(replaced(kHandshake, "GET", "POST"));
  EXPECT_EQ(post.status, 405);
  EXPECT_NE(post.header("Allow").find("GET"), std::string::npos);
  EXPECT_EQ(ask(replaced(kHandshake, "HTTP/1.1", "HTTP/1.0")).status, 400);
  EXPECT_EQ(ask(replaced(kHandshake, "\r\n\r\n", "\r\nContent-Length: 4\r\n\r\nbody")).status, 400);
  EXPECT_EQ(ask(replaced(kHandshake, "\r\n\r\n", "\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n")).status,
            400);
  EXPECT_EQ(ask(replaced(kHandshake, "\r\n\r\n", "\r\nContent-Length: 0\r\n\r\n")).status, 101);
}

TEST_F(Http, ASubprotocolIsOneOfOurOwnInTheClientsOrder) {
  const auto chosen = [&](std::string_view path, std::string_view offered) {
    WebSocketClient client =
        WebSocketClient::connect(port(), path, "Sec-WebSocket-Protocol: " + std::string(offered) + "\r\n");
    EXPECT_TRUE(client.open());
    EXPECT_LE(client.answer().count("Sec-WebSocket-Protocol"), 1u);
    return client.answer().header("Sec-WebSocket-Protocol");
  };
  EXPECT_EQ(chosen("/cable", "actioncable-v1-json, actioncable-unsupported"), "actioncable-v1-json");
  EXPECT_EQ(chosen("/cable", "actioncable-unsupported,actioncable-v1-json"), "actioncable-unsupported");
  EXPECT_EQ(chosen("/cable", "chat\r\nSec-WebSocket-Protocol: actioncable-v1-json"), "actioncable-v1-json");
  EXPECT_EQ(chosen("/cable", "chat, superchat"), "");
  EXPECT_EQ(chosen("/echo", "actioncable-v1-json"), "");
}

TEST_F(Http, WhatFollowsAHandshakeAtOnceIsItsFirstFrame) {
  TcpClient tcp = TcpClient::connect(port());
  tcp.send(kHandshake + encode({.payload = "early"}));
  WebSocketClient client = WebSocketClient::on(std::move(tcp));
  ASSERT_TRUE(client.open());
  const auto frame = client.next();
  ASSERT_TRUE(frame);
  EXPECT_EQ(frame->payload, "early");
}

TEST_F(Http, AHandshakeMayComeByTheOctet) {
  TcpClient tcp = TcpClient::connect(port());
  tcp.send(kHandshake, 1);
  EXPECT_EQ(read_http_answer(tcp).status, 101);
}

TEST_F(Http, AHandshakeMayFollowOtherRequests) {
  TcpClient tcp = TcpClient::connect(port());
  tcp.send(get("/health") + kHandshake);
  EXPECT_EQ(read_http_answer(tcp).status, 200);
  EXPECT_EQ(read_http_answer(tcp).status, 101);
}

// ── Origins ──────────────────────────────────────────────────────────────────

TEST_F(Http, BrowsersComeFromTheServersOwnPagesOrAllowedOnes) {
  const auto status = [&](std::string_view path, std::string_view origin,
                          std::string_view host = "shop.test:8080") {
    std::string request = replaced(WebSocketClient::request(path, "Origin: " + std::string(origin) + "\r\n"),
                                   "Host: 127.0.0.1", "Host: " + std::string(host));
    return ask(request).status;
  };
  for (const std::string_view allowed :
       {"http://shop.test:8080", "http://SHOP.test:8080", "https://app.example", "https://a.example.org"}) {
    EXPECT_EQ(status("/cable", allowed), 101) << allowed;
    EXPECT_EQ(status("/websocket", allowed), 101) << allowed;
  }
  for (const std::string_view foreign :
       {"http://evil.test", "http://shop.test", "http://shop.test:8081", "https://shop.test:8080",
        "http://app.example", "https://app.example.evil.test", "https://example.org", "null", ""}) {
    EXPECT_EQ(status("/cable", foreign), 404) << foreign;  // as Rails answers
    EXPECT_EQ(status("/websocket", foreign), 403) << foreign;
    EXPECT_EQ(status("/websocket/room", foreign), 403) << foreign;
  }
}

// ── Routes ───────────────────────────────────────────────────────────────────

TEST_F(Http, UnknownPathsAndMethods) {
  EXPECT_EQ(ask(get("/nothing")).status, 404);
  const HttpAnswer cable = ask(get("/cable"));
  EXPECT_EQ(cable.status, 404);
  EXPECT_EQ(cable.body, "Page not found");
  EXPECT_EQ(ask(replaced(kHandshake, "/echo", "/nothing")).status, 404);

  const HttpAnswer post = ask(post_request("/health", "text/plain", ""));
  EXPECT_EQ(post.status, 405);
  EXPECT_NE(post.header("Allow").find("GET"), std::string::npos);
  const HttpAnswer wrong = ask(get("/_broadcast"));
  EXPECT_EQ(wrong.status, 405);
  EXPECT_EQ(wrong.header("Allow"), "POST");
}

TEST_F(Http, PathsAreNormalisedOnceAndASlashInsideASegmentIsNone) {
  EXPECT_EQ(ask(get("/x/../health")).status, 200);
  EXPECT_EQ(ask(get("/./health")).status, 200);
  EXPECT_EQ(ask(get("/%68ealth")).status, 200);
  EXPECT_EQ(ask(get("/%2568ealth")).status, 404);
  EXPECT_EQ(ask(get("/health?x=1")).status, 200);
  EXPECT_EQ(ask(get("http://localhost/health")).status, 200);
  EXPECT_EQ(ask(WebSocketClient::request("/websocket/a%2Fb")).status, 404);
  EXPECT_EQ(ask(WebSocketClient::request("/websocket/a%20b")).status, 101);
  EXPECT_EQ(ask(WebSocketClient::request("/cable/")).status, 101);
}

TEST_F(Http, ThePageIsServed) {
  for (const std::string_view path : {"/", "/websocket", "/websocket/room"}) {
    const HttpAnswer answer = ask(get(path));
    EXPECT_EQ(answer.status, 200) << path;
    EXPECT_TRUE(answer.header("Content-Type").starts_with("text/html")) << path;
    EXPECT_FALSE(answer.body.empty()) << path;
  }
}

TEST_F(Http, Probes) {
  EXPECT_EQ(ask(get("/health")).status, 200);
  EXPECT_EQ(ask(get("/ready")).status, 200);
  const HttpAnswer metrics = ask(get("/metrics"));
  EXPECT_EQ(metrics.status, 200);
  EXPECT_TRUE(metrics.header("Content-Type").starts_with("text/plain; version=0.0.4"));
  // Prometheus' text format: each sample after a HELP and a TYPE of its name.
  std::string described;
  size_t samples = 0;
  size_t at = 0;
  while (at < metrics.body.size()) {
    const size_t end = metrics.body.find('\n', at);
    ASSERT_NE(end, std::string::npos) << "the last line is cut off";
    const std::string line = metrics.body.substr(at, end - at);
    at = end + 1;
    if (line.starts_with("# TYPE ")) {
      described = line.substr(7, line.find(' ', 7) - 7);
    } else if (!line.starts_with("#")) {
      EXPECT_EQ(line.substr(0, line.find_first_of("{ ")), described);
      EXPECT_NE(line.find_last_of("0123456789"), std::string::npos) << line;
      ++samples;
    }
  }
  EXPECT_GT(samples, 50u);
}

// ── Requests that are refused ────────────────────────────────────────────────

TEST_F(Http, RequestLines) {
  const auto line = [](std::string_view text) { return std::string(text) + "\r\nHost: localhost\r\n\r\n"; };
  expect_refused(line("GET /health"), 400, "no version");
  expect_refused(line("GET  /health HTTP/1.1"), 400, "two spaces");
  expect_refused(line("GET /health HTTP/1.1 "), 400, "a space behind");
  expect_refused(line(" GET /health HTTP/1.1"), 400, "a space before");
  expect_refused(line("GET /health http/1.1"), 400, "small letters");
  expect_refused(line("GET /health HTTP/1.10"), 400, "three digits");
  expect_refused(line("GET /health HTTP/2.0"), 505, "another major version");
  expect_refused(line("GET health HTTP/1.1"), 400, "no path");
  expect_refused(line("GET /health#top HTTP/1.1"), 400, "a fragment");
  expect_refused(line("GET /h\xc3\xa9 HTTP/1.1"), 400, "not ASCII");
  expect_refused(line("GET /%00 HTTP/1.1"), 400, "an encoded NUL");
  expect_refused(line("GET /%zz HTTP/1.1"), 400, "no escape");
  expect_refused(line("GET /health\tHTTP/1.1"), 400, "a tab");
  expect_refused(line("GET http://other.test/health HTTP/1.1"), 400, "another authority than Host");
  expect_refused(line("FROBNICATE /health HTTP/1.1"), 501, "an unknown method");
  expect_refused(line("get /health HTTP/1.1"), 501, "methods have a case");
  expect_refused(line("AMETHODOFMORETHAN16 /health HTTP/1.1"), 501, "a method without end");
  expect_refused(line("G@T /health HTTP/1.1"), 400, "no token");
  expect_refused(line("GET /" + std::string(9000, 'x') + " HTTP/1.1"), 414, "a long one");
  expect_refused(std::string("\x16\x03\x01\x02\x00\x01", 6), 400, "TLS");
  expect_refused("\r\n\r\nGET /health HTTP/1.1\r\nHost: localhost\r\n\r\n", 400, "two empty lines before");
  EXPECT_EQ(ask("\r\n" + get("/health")).status, 200);  // one is forgiven
}

TEST_F(Http, LinesAndFields) {
  const auto with = [](std::string_view header) { return get("/health", std::string(header) + "\r\n"); };
  expect_refused("GET /health HTTP/1.1\nHost: localhost\n\n", 400, "bare LF");
  expect_refused(with("A: b\nC: d"), 400, "one bare LF");
  expect_refused(with("A: b\rC: d"), 400, "a bare CR");
  expect_refused(with("A: b\0c"s), 400, "NUL");
  expect_refused(with("A: b\x01"), 400, "a control");
  expect_refused(with("A: b\r\n folded"), 400, "obs-fold");
  expect_refused(with(" A: b"), 400, "a space before the first field's name");
  expect_refused(with("A : b"), 400, "a space before the colon");
  expect_refused(with(": b"), 400, "no name");
  expect_refused(with("A"), 400, "no colon");
  expect_refused(with("A(b): c"), 400, "no token");
  expect_refused(with("A: " + std::string(9000, 'x')), 431, "a long line");
  std::string many;
  for (int i = 0; i < 100; ++i) many += "X-" + std::to_string(i) + ": y\r\n";
  expect_refused(get("/health", many), 431, "a hundred headers and Host");
  std::string large;
  for (int i = 0; i < 5; ++i) large += "X: " + std::string(4000, 'x') + "\r\n";
  expect_refused(get("/health", large), 431, "20 KB");
  EXPECT_EQ(ask(with("A:\t b \t")).status, 200);
  EXPECT_EQ(ask(with("A: \xff\xfe")).status, 200);  // obs-text
}

TEST_F(Http, Hosts) {
  const auto with = [](std::string_view host) {
    return "GET /health HTTP/1.1\r\n" + std::string(host) + "\r\n";
  };
  expect_refused(with(""), 400, "none");
  expect_refused(with("Host: a\r\nHost: a\r\n"), 400, "two");
  expect_refused(with("Host: a b\r\n"), 400, "a space");
  expect_refused(with("Host: a,b\r\n"), 400, "a comma");
  expect_refused(with("Host: user@a\r\n"), 400, "user information");
  expect_refused(with("Host: a:port\r\n"), 400, "a port of letters");
  EXPECT_EQ(ask(with("Host: [::1]:8080\r\n")).status, 200);
}

TEST_F(Http, LengthsAndEncodingsLeaveNoTwoReadings) {
  const auto post = [](std::string_view headers, std::string_view body = {}) {
    return "POST /_broadcast HTTP/1.1\r\nHost: localhost\r\n" + std::string(headers) + "\r\n" +
           std::string(body);
  };
  const std::string chunked = "Transfer-Encoding: chunked\r\n";
  expect_refused(post("Content-Length: 3\r\n" + chunked, "0\r\n\r\n"), 400, "both");
  expect_refused(post("Content-Length: 2\r\nContent-Length: 2\r\n", "{}"), 400, "the same length twice");
  expect_refused(post("Content-Length: 2\r\nContent-Length: 3\r\n", "{}"), 400, "two lengths");
  for (const std::string_view length :
       {"+2", "-2", "2,2", "0x2", "2 2", "", "1.0", "99999999999999999999999"}) {
    expect_refused(post("Content-Length: " + std::string(length) + "\r\n", "{}"), 400, length);
  }
  for (const std::string_view encoding :
       {"gzip", "chunked, chunked", "gzip, chunked", "identity", "xchunked", "chunked;q=1"}) {
    expect_refused(post("Transfer-Encoding: " + std::string(encoding) + "\r\n", "0\r\n\r\n"), 501, encoding);
  }
  expect_refused(post(chunked + chunked, "0\r\n\r\n"), 501, "twice");
  expect_refused(replaced(post(chunked, "0\r\n\r\n"), "1.1", "1.0"), 400, "chunked in HTTP/1.0");
  for (const std::string_view body :
       {"x\r\n", "\r\n", "-1\r\n", "+2\r\n{}\r\n", "0x2\r\n{}\r\n", "2 \n{}\r\n", "2\n{}\r\n0\r\n\r\n",
        "2\r\n{}0\r\n\r\n", "2\r\n{}\n0\r\n\r\n", "10000000000000000\r\n", "ffffffffffffffffff\r\n"}) {
    SCOPED_TRACE(body);
    TcpClient tcp = TcpClient::connect(port());
    tcp.send(post(chunked, body));
    const int status = read_http_answer(tcp).status;
    EXPECT_TRUE(status == 400 || status == 413) << status;
    EXPECT_EQ(tcp.received(1), "");
  }
  expect_refused(post(chunked, "2;" + std::string(10'000, 'x') + "\r\n{}\r\n0\r\n\r\n"), 400,
                 "a long extension");
  expect_refused(post(chunked, "2\r\n{}\r\n0\r\nbad trailer\r\n\r\n"), 400, "a trailer without a colon");
}

TEST_F(Http, BodiesOverAMebibyteAreNotWaitedFor) {
  expect_refused("POST /_broadcast HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1048577\r\n\r\n", 413,
                 "announced");
  expect_refused(
      "POST /_broadcast HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n100001\r\n", 413,
      "in one chunk");
}

// An error's text is the same for everybody: nothing of the request comes back.
TEST_F(Http, RefusalsEchoNothing) {
  for (const std::string& request :
       {get("/marker-in-path"), get("/health", "bad marker\r\n"), get("/cable", "X: marker\r\n"),
        "MARKER marker HTTP/1.1\r\n\r\n"s, replaced(kHandshake, "Version: 13", "Version: marker"),
        WebSocketClient::request("/cable", "Sec-WebSocket-Protocol: marker\r\n")}) {
    TcpClient tcp = TcpClient::connect(port());
    tcp.send(request);
    const HttpAnswer answer = read_http_answer(tcp);
    EXPECT_EQ(answer.body.find("marker"), std::string::npos) << answer.body;
    for (const auto& [name, value] : answer.headers)
      EXPECT_EQ(value.find("marker"), std::string::npos) << name;
  }
}

// ── Connections ──────────────────────────────────────────────────────────────

TEST_F(Http, ConnectionsAreKeptUntilSomebodySaysClose) {
  TcpClient tcp = TcpClient::connect(port());
  for (int i = 0; i < 3; ++i) {
    tcp.send(get("/health"));
    const HttpAnswer answer = read_http_answer(tcp);
    EXPECT_EQ(answer.status, 200);
    EXPECT_EQ(answer.header("Connection"), "");
  }
  tcp.send(get("/nothing"));  // an answer like any other
  EXPECT_EQ(read_http_answer(tcp).status, 404);
  tcp.send(get("/health", "Connection: x, Close\r\n"));
  EXPECT_EQ(read_http_answer(tcp).header("Connection"), "close");
  EXPECT_EQ(tcp.received(1), "");
  EXPECT_EQ(tcp.end(), TcpClient::End::closed);
}

TEST_F(Http, Http10IsAnsweredAndClosed) {
  TcpClient tcp = TcpClient::connect(port());
  tcp.send("GET /health HTTP/1.0\r\n\r\n");
  EXPECT_EQ(read_http_answer(tcp).status, 200);
  EXPECT_EQ(tcp.received(1), "");
  EXPECT_EQ(tcp.end(), TcpClient::End::closed);
}

TEST_F(Http, PipelinedRequestsAreAnsweredInTheirOrder) {
  const std::vector<std::pair<std::string, int>> exchanges = {
      {get("/health"), 200},
      {get("/nothing"), 404},
      {post_request("/_broadcast", "application/json", envelope("nobody", "1")), 201},
      {post_request("/_broadcast", "application/json", "{}"), 422},
      {"POST /_broadcast HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: "
       "chunked\r\n\r\n1\r\n[\r\n1\r\n]\r\n0\r\n\r\n",
       201}};
  std::string all;
  std::vector<int> expected;
  for (int i = 0; i < 40; ++i) {
    for (const auto& [request, status] : exchanges) {
      all += request;
      expected.push_back(status);
    }
  }
  TcpClient tcp = TcpClient::connect(port());
  ASSERT_TRUE(tcp.send(all));
  for (size_t i = 0; i < expected.size(); ++i) ASSERT_EQ(read_http_answer(tcp).status, expected[i]) << i;
}

TEST_F(Http, HeadIsGetWithoutTheBody) {
  const HttpAnswer full = ask(get("/"));
  TcpClient tcp = TcpClient::connect(port());
  tcp.send("HEAD / HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n");
  const std::string_view head = tcp.received(SIZE_MAX);  // all there is
  EXPECT_TRUE(head.starts_with("HTTP/1.1 200 "));
  EXPECT_TRUE(head.ends_with("\r\n\r\n"));
  EXPECT_EQ(head.find("\r\n\r\n") + 4, head.size()) << "there is a body";
  EXPECT_NE(head.find("Content-Length: " + std::to_string(full.body.size()) + "\r\n"),
            std::string_view::npos);
}

TEST_F(Http, AClientThatAsksFirstIsToldToGoOn) {
  const std::string body = envelope("nobody", "1");
  TcpClient tcp = TcpClient::connect(port());
  tcp.send("POST /_broadcast HTTP/1.1\r\nHost: localhost\r\nExpect: 100-Continue\r\nContent-Length: " +
           std::to_string(body.size()) + "\r\n\r\n");
  constexpr std::string_view kGoOn = "HTTP/1.1 100 Continue\r\n\r\n";
  ASSERT_EQ(tcp.received(kGoOn.size()), kGoOn);
  tcp.consume(kGoOn.size());
  tcp.send(body, 7);
  EXPECT_EQ(read_http_answer(tcp).status, 201);
  expect_refused(
      "POST /_broadcast HTTP/1.1\r\nHost: localhost\r\nExpect: miracles\r\nContent-Length: 2\r\n\r\n{}", 417,
      "another expectation");
  expect_refused(
      "POST /_broadcast HTTP/1.1\r\nHost: localhost\r\nExpect: 100-continue\r\nContent-Length: "
      "9999999\r\n\r\n",
      413, "told before it sends");
}

TEST_F(Http, ChunkedBodiesMayComeInAnyPieces) {
  const std::string body = envelope("nobody", "in chunks");
  std::string request = "POST /_broadcast HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: Chunked\r\n\r\n";
  for (size_t at = 0; at < body.size(); at += 5) {
    const std::string chunk = body.substr(at, 5);
    request += std::to_string(chunk.size()) + (at == 0 ? ";ext=\"1\"" : "") + "\r\n" + chunk + "\r\n";
  }
  request += "0\r\nX-Checksum: none\r\n\r\n";
  TcpClient tcp = TcpClient::connect(port());
  for (const size_t chop : {0, 1, 3}) {
    tcp.send(request, chop);
    EXPECT_EQ(read_http_answer(tcp).status, 201) << chop;
  }
}

TEST_F(Http, AHalfClosedClientStillGetsItsAnswer) {
  TcpClient tcp = TcpClient::connect(port());
  tcp.send(get("/health") + get("/nothing"));
  tcp.shutdown_write();
  EXPECT_EQ(read_http_answer(tcp).status, 200);
  EXPECT_EQ(read_http_answer(tcp).status, 404);
  EXPECT_EQ(tcp.received(1), "");
  EXPECT_EQ(tcp.end(), TcpClient::End::closed);
}

// ── Producers ────────────────────────────────────────────────────────────────

TEST_F(Http, AMalformedPublishIsNeverASuccess) {
  const auto status = [&](std::string_view path, std::string_view type, std::string_view body) {
    const HttpAnswer answer = ask(post_request(path, type, body));
    EXPECT_TRUE(answer.header("Content-Type").starts_with("application/json")) << path << " " << body;
    EXPECT_TRUE(answer.body.starts_with("{")) << answer.body;
    return answer.status;
  };
  for (const std::string_view broken : {"", "{", "nonsense", R"({"stream":"a","data":"b"} trailing)"}) {
    EXPECT_EQ(status("/_broadcast", "application/json", broken), 400) << broken;
  }
  for (const std::string_view wrong :
       {"{}", "1", "null", R"("text")", R"({"stream":"a"})", R"({"data":"b"})", R"({"stream":"","data":"b"})",
        R"({"stream":1,"data":"b"})", R"({"stream":"a","data":{"b":1}})",
        R"([{"stream":"a","data":"b"},1])"}) {
    EXPECT_EQ(status("/_broadcast", "application/json", wrong), 422) << wrong;
  }
  EXPECT_EQ(status("/_broadcast", "application/json", R"({"stream":"a","data":"b"})"), 201);
  EXPECT_EQ(status("/send_message_to_room/r", "application/json", "{"), 400);
  EXPECT_EQ(status("/send_message_to_room/r", "application/json", "[]"), 422);
  EXPECT_EQ(status("/send_message_to_room/r", "application/json", R"({"sender":"x"})"), 422);
  EXPECT_EQ(status("/send_message_to_room/r", "application/x-www-form-urlencoded", "sender=x"), 422);
  EXPECT_EQ(
      status("/send_message_to_room/" + std::string(201, 'r'), "application/json", R"({"message":"x"})"),
      422);
}

TEST_F(Http, AnArrayIsPublishedAsAWholeOrNotAtAll) {
  WebSocketClient room = WebSocketClient::connect(port(), "/websocket/whole");
  ASSERT_TRUE(room.open());
  ask(post_request("/_broadcast", "application/json",
                   R"([{"stream":"room_whole","data":"lost"},{"stream":"room_whole"}])"));
  ask(post_request("/_broadcast", "application/json",
                   R"([{"stream":"room_whole","data":"one"},{"stream":"room_whole","data":"two"}])"));
  for (const std::string_view expected : {"one", "two"}) {
    const auto frame = room.next();
    ASSERT_TRUE(frame);
    EXPECT_EQ(frame->payload, expected);
  }
}

TEST_F(Http, ARoomTakesFormsQueriesAndJson) {
  WebSocketClient room = WebSocketClient::connect(port(), "/websocket/a%20room");
  ASSERT_TRUE(room.open());
  const auto said = [&](const std::string& request) {
    const HttpAnswer answer = ask(request);
    EXPECT_EQ(answer.status, 200) << request;
    EXPECT_EQ(answer.body, R"({"status":"ok","message":"Message sent to room a room"})");
    const auto frame = room.next();
    return frame ? frame->payload : "nothing";
  };
  const std::string path = "/send_message_to_room/a%20room";
  const std::string form = "application/x-www-form-urlencoded";
  EXPECT_EQ(said(post_request(path, form, "message=from+http&sender=Ann%20B")),
            R"({"message":"from http","sender":"Ann B"})");
  EXPECT_EQ(said(post_request(path, form, "message=hi")), R"({"message":"hi","sender":"HTTP API"})");
  EXPECT_EQ(said(post_request(path + "?message=asked&sender=q", form, "")),
            R"({"message":"asked","sender":"q"})");
  EXPECT_EQ(said(post_request(path, "application/json; charset=utf-8", R"({"message":{"n":1.10}})")),
            R"({"message":{"n":1.10},"sender":"HTTP API"})");
  EXPECT_EQ(
      said(post_request(path, "multipart/form-data; boundary=b",
                        "--b\r\nContent-Disposition: form-data; name=\"message\"\r\n\r\npart\r\n--b--\r\n")),
      R"({"message":"part","sender":"HTTP API"})");
}

// Neither a proxy nor a web page opens the demo's producers by accident.
TEST_F(Http, TheDemosProducersAreForThisMachineOnly) {
  const std::string body = envelope("nobody", "1");
  const auto status = [&](std::string_view header, std::string_view path = "/_broadcast") {
    return ask(post_request(path, "application/json", path == "/_broadcast" ? body : R"({"message":"x"})",
                            header))
        .status;
  };
  for (const std::string_view path : {"/_broadcast", "/send_message_to_room/r"}) {
    for (const std::string_view header :
         {"X-Forwarded-For: 10.0.0.1\r\n", "X-Forwarded-Host: x\r\n", "X-Forwarded-Proto: https\r\n",
          "Forwarded: for=10.0.0.1\r\n", "X-Real-IP: 10.0.0.1\r\n", "Via: 1.1 proxy\r\n",
          "Origin: http://evil.test\r\n", "Origin: null\r\n", "Origin: https://app.example\r\n",
          "Sec-Fetch-Site: cross-site\r\n", "Sec-Fetch-Site: same-site\r\n"}) {
      EXPECT_EQ(status(header, path), 403) << path << " " << header;
    }
  }
  EXPECT_EQ(status("Origin: http://localhost\r\nSec-Fetch-Site: same-origin\r\n"), 201);
  for (const std::string_view host :
       {"ringcast.example", "10.0.0.1", "localhost.evil.test", "127.0.0.1.evil.test"}) {
    const std::string request = replaced(post_request("/_broadcast", "application/json", body),
                                         "Host: localhost", "Host: " + std::string(host));
    EXPECT_EQ(ask(request).status, 403) << host;
  }
  for (const std::string_view host : {"127.0.0.1:8080", "[::1]:8080", "LOCALHOST:1"}) {
    const std::string request = replaced(post_request("/_broadcast", "application/json", body),
                                         "Host: localhost", "Host: " + std::string(host));
    EXPECT_EQ(ask(request).status, 201) << host;
  }
}

}  // namespace
}  // namespace ringcast::blackbox
