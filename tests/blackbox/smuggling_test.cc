// Request smuggling and its kin as tables: octets that two readers might cut into
// requests differently, each with the one answer it may get. Behind every one of them
// waits a request for /health: after a refusal it must find the connection closed, and
// after an answer it must be answered once, for what it is, or the framing was misread.
#include <gtest/gtest.h>

#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "blackbox/client.h"
#include "blackbox/server_process.h"

namespace ringcast::blackbox {
namespace smuggling_test {

using namespace std::string_literals;

constexpr std::string_view kNext = "GET /health HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n";

struct Case {
  std::string_view name;
  std::string wire;
  int status;
};

std::string get(std::string_view target, std::string_view headers = {}) {
  return "GET " + std::string(target) + " HTTP/1.1\r\nHost: localhost\r\n" + std::string(headers) + "\r\n";
}

// Where a body is read: two octets, `[]`, are a good one.
std::string post(std::string_view headers, std::string_view body) {
  return "POST /_broadcast HTTP/1.1\r\nHost: localhost\r\n" + std::string(headers) + "\r\n" +
         std::string(body);
}

std::string chunked(std::string_view body) {
  return post("Transfer-Encoding: chunked\r\n", body);
}

std::string escaped(std::string_view wire) {
  std::string text;
  for (const char c : wire.substr(0, 300)) {
    if (c == '\r') {
      text += "\\r";
    } else if (c == '\n') {
      text += "\\n\n";
    } else if (c >= 0x20 && c < 0x7f) {
      text += c;
    } else {
      text += "\\?";
    }
  }
  return text;
}

class Smuggling : public ::testing::Test {
 protected:
  static void SetUpTestSuite() {
    std::string why_not;
    server_ = ServerProcess::start({.arguments = {"--echo", "--log-level", "error", "--drain-seconds", "1"}},
                                   why_not);
    ASSERT_NE(server_, nullptr) << why_not;
  }

  static void TearDownTestSuite() {
    if (!server_) return;
    EXPECT_EQ(server_->stop(), (ServerProcess::Exit{.code = 0, .signal = 0})) << server_->standard_error();
    server_.reset();
  }

  void SetUp() override { ASSERT_NE(server_, nullptr); }

  // Whole, and octet by octet: where a packet ends is the attacker's choice.
  template <class F>
  static void each_way(const std::vector<Case>& cases, F f) {
    for (const Case& a : cases) {
      for (const size_t chop_bytes : {size_t{0}, size_t{1}}) {
        if (chop_bytes != 0 && a.wire.size() > 2000) continue;
        SCOPED_TRACE(std::string(a.name) + (chop_bytes == 0 ? ", whole\n" : ", by the octet\n") +
                     escaped(a.wire));
        TcpClient tcp = TcpClient::connect(server_->port());
        tcp.send(a.wire + std::string(kNext), chop_bytes);
        f(a, tcp);
      }
    }
  }

  static void expect_end(TcpClient& tcp) {
    EXPECT_EQ(tcp.received(1), "") << "one answer too many";
    EXPECT_NE(tcp.end(), TcpClient::End::timed_out) << "the connection stays open";
  }

  // One answer, and then the connection ends.
  static void expect_refused(const std::vector<Case>& cases) {
    each_way(cases, [](const Case& a, TcpClient& tcp) {
      const HttpAnswer answer = read_http_answer(tcp);
      EXPECT_EQ(answer.status, a.status);
      EXPECT_EQ(answer.header("Connection"), "close");
      expect_end(tcp);
    });
  }

  // One answer, one for kNext, and no third.
  static void expect_answered(const std::vector<Case>& cases) {
    each_way(cases, [](const Case& a, TcpClient& tcp) {
      EXPECT_EQ(read_http_answer(tcp).status, a.status);
      const HttpAnswer next = read_http_answer(tcp);
      EXPECT_EQ(next.status, 200);
      EXPECT_EQ(next.body, "ok\n");
      expect_end(tcp);
    });
  }

  static inline std::unique_ptr<ServerProcess> server_;
};

// ── Two lengths ──────────────────────────────────────────────────────────────

TEST_F(Smuggling, ALengthAndAnEncoding) {
  expect_refused({
      {"CL.TE", post("Content-Length: 6\r\nTransfer-Encoding: chunked\r\n", "0\r\n\r\nG"), 400},
      {"TE.CL", post("Transfer-Encoding: chunked\r\nContent-Length: 4\r\n", "2\r\n[]\r\n0\r\n\r\n"), 400},
      {"a length of zero, too", post("Content-Length: 0\r\nTransfer-Encoding: chunked\r\n", "0\r\n\r\n"),
       400},
      {"an encoding we do not know", post("Content-Length: 2\r\nTransfer-Encoding: x\r\n", "[]"), 400},
      {"an empty encoding", post("Content-Length: 2\r\nTransfer-Encoding:\r\n", "[]"), 400},
      {"names in any case", post("content-LENGTH: 2\r\ntransfer-ENCODING: chunked\r\n", "[]"), 400},
      {"on a GET", get("/health", "Content-Length: 5\r\nTransfer-Encoding: chunked\r\n") + "0\r\n\r\n", 400},
  });
}

TEST_F(Smuggling, EncodingsDisguised) {
  const auto with = [](std::string_view line) { return post(std::string(line) + "\r\n", "0\r\n\r\n"); };
  expect_refused({
      {"TE.TE", with("Transfer-Encoding: chunked\r\nTransfer-Encoding: identity"), 501},
      {"TE.TE, the other way round", with("Transfer-Encoding: identity\r\nTransfer-Encoding: chunked"), 501},
      {"twice", with("Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked"), 501},
      {"a list", with("Transfer-Encoding: identity, chunked"), 501},
      {"a list that ends otherwise", with("Transfer-Encoding: chunked, identity"), 501},
      {"an empty member", with("Transfer-Encoding: chunked,"), 501},
      {"quoted", with("Transfer-Encoding: \"chunked\""), 501},
      {"a parameter", with("Transfer-Encoding: chunked;a"), 501},
      {"nearly", with("Transfer-Encoding: xchunked"), 501},
      {"nothing", with("Transfer-Encoding:"), 501},
      {"a space before the colon", with("Transfer-Encoding : chunked"), 400},
      {"a tab before the colon", with("Transfer-Encoding\t: chunked"), 400},
      {"folded", with("Transfer-Encoding:\r\n chunked"), 400},
      {"folded by a tab", with("Transfer-Encoding:\r\n\tchunked"), 400},
      {"behind a space", with("A: b\r\n Transfer-Encoding: chunked"), 400},
      {"a vertical tab", with("Transfer-Encoding:\vchunked"), 400},
      {"NUL behind it", with("Transfer-Encoding: chunked\0"s), 400},
      {"NUL in the name", with("Transfer-Encoding\0: chunked"s), 400},
      {"behind a bare CR", with("A: b\rTransfer-Encoding: chunked"), 400},
      {"behind a bare LF", with("A: b\nTransfer-Encoding: chunked"), 400},
      {"in HTTP/1.0",
       "POST /_broadcast HTTP/1.0\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 400},
  });
  expect_answered({
      {"optional white space", post("Transfer-Encoding:\t chunked \t\r\n", "2\r\n[]\r\n0\r\n\r\n"), 201},
      {"in any case", post("tRANSFER-eNCODING: cHUNKED\r\n", "2\r\n[]\r\n0\r\n\r\n"), 201},
      {"another name", post("Content-Length: 2\r\nTransfer_Encoding: chunked\r\n", "[]"), 201},
  });
}

TEST_F(Smuggling, LengthsDisguised) {
  std::vector<Case> refused = {
      {"two", post("Content-Length: 2\r\nContent-Length: 5\r\n", "[]"), 400},
      {"the same twice", post("Content-Length: 2\r\nContent-Length: 2\r\n", "[]"), 400},
      {"a space before the colon", post("Content-Length : 2\r\n", "[]"), 400},
      {"folded", post("Content-Length:\r\n 2\r\n", "[]"), 400},
      {"behind a bare LF", post("A: b\nContent-Length: 2\r\n", "[]"), 400},
  };
  for (const std::string_view length : {"2,2", "2, 2", "+2", "-2", "-0", "0x2", "2.0", "2e0", "2 2", "\"2\"",
                                        "", "2;", "18446744073709551618", "99999999999999999999999999"}) {
    refused.push_back({length, post("Content-Length: " + std::string(length) + "\r\n", "[]"), 400});
  }
  refused.push_back({"too long by one", post("Content-Length: 1048577\r\n", ""), 413});
  refused.push_back({"the longest", post("Content-Length: 18446744073709551615\r\n", ""), 413});
  expect_refused(refused);
  expect_answered({
      {"leading zeros", post("Content-Length: 0000000000000000000000002\r\n", "[]"), 201},
      {"another name", post("Content_Length: 7\r\nContent-Length: 2\r\n", "[]"), 201},
      {"a GET's body", get("/health", "Content-Length: 29\r\n") + "GET /nothing HTTP/1.1\r\nA: b\r\n", 200},
      {"a GET's chunks", get("/health", "Transfer-Encoding: chunked\r\n") + "5\r\nGET /\r\n0\r\n\r\n", 200},
      {"no length is no body", "POST /_broadcast HTTP/1.1\r\nHost: localhost\r\n\r\n", 400},
  });
}

// Nobody reads the body of what is refused at its head, so nothing may follow it.
TEST_F(Smuggling, BodiesNobodyReads) {
  const std::string hidden = get("/metrics");
  const std::string length = "Content-Length: " + std::to_string(hidden.size()) + "\r\n";
  expect_refused({
      {"no such path", "POST /nothing HTTP/1.1\r\nHost: localhost\r\n" + length + "\r\n" + hidden, 404},
      {"no such method", "DELETE /health HTTP/1.1\r\nHost: localhost\r\n" + length + "\r\n" + hidden, 405},
      {"an unknown method", "BREW /health HTTP/1.1\r\nHost: localhost\r\n" + length + "\r\n" + hidden, 501},
      {"an unknown expectation", post("Expect: 200-ok\r\n" + length, hidden), 417},
      {"an upgrade", WebSocketClient::request("/echo", length) + hidden, 400},
      {"an upgrade in chunks",
       WebSocketClient::request("/echo", "Transfer-Encoding: chunked\r\n") + "0\r\n\r\n", 400},
      {"an upgrade by POST", "POST" + WebSocketClient::request("/echo", length).substr(3) + hidden, 405},
  });
}

// ── Chunks ───────────────────────────────────────────────────────────────────

TEST_F(Smuggling, ChunksMisread) {
  expect_refused({
      {"no digits", chunked("\r\n[]\r\n0\r\n\r\n"), 400},
      {"no hex digit", chunked("g\r\n[]\r\n0\r\n\r\n"), 400},
      {"a sign", chunked("+2\r\n[]\r\n0\r\n\r\n"), 400},
      {"a negative size", chunked("-2\r\n[]\r\n0\r\n\r\n"), 400},
      {"a prefix", chunked("0x2\r\n[]\r\n0\r\n\r\n"), 400},
      {"an underscore", chunked("0_2\r\n[]\r\n0\r\n\r\n"), 400},
      {"a space before it", chunked(" 2\r\n[]\r\n0\r\n\r\n"), 400},
      {"a space behind it", chunked("2 \r\n[]\r\n0\r\n\r\n"), 400},
      {"17 digits", chunked("00000000000000002\r\n[]\r\n0\r\n\r\n"), 400},
      {"past 64 bits", chunked("10000000000000002\r\n[]\r\n0\r\n\r\n"), 400},
      {"64 bits", chunked("ffffffffffffffff\r\n[]\r\n0\r\n\r\n"), 413},
      {"sizes that sum up past 64 bits", chunked("2\r\n[]\r\nffffffffffffffff\r\n"), 413},
      {"a bare LF behind the size", chunked("2\n[]\r\n0\r\n\r\n"), 400},
      {"a bare CR behind the size", chunked("2\r[]\r\n0\r\n\r\n"), 400},
      {"two CRs", chunked("2\r\r\n[]\r\n0\r\n\r\n"), 400},
      {"a bare LF behind the chunk", chunked("2\r\n[]\n0\r\n\r\n"), 400},
      {"a bare CR behind the chunk", chunked("2\r\n[]\r0\r\n\r\n"), 400},
      {"nothing behind the chunk", chunked("2\r\n[]0\r\n\r\n"), 400},
      {"a longer chunk than said", chunked("1\r\n[]\r\n0\r\n\r\n"), 400},
      {"a shorter one", chunked("3\r\n[]\r\n0\r\n\r\n"), 400},
      {"NUL in the size", chunked("2\0\r\n[]\r\n0\r\n\r\n"s), 400},
      {"a bare LF in an extension", chunked("2;a\nb\r\n[]\r\n0\r\n\r\n"), 400},
      {"a bare CR in an extension", chunked("2;a\rb\r\n[]\r\n0\r\n\r\n"), 400},
      {"an extension without end", chunked("2;" + std::string(300, 'x') + "\r\n[]\r\n0\r\n\r\n"), 400},
      {"a bare LF ends the last", chunked("2\r\n[]\r\n0\n\r\n"), 400},
      {"a bare LF ends it all", chunked("2\r\n[]\r\n0\r\n\n"), 400},
      {"a request among the trailers", chunked("2\r\n[]\r\n0\r\nGET /metrics HTTP/1.1\r\n\r\n"), 400},
      {"a folded trailer", chunked("2\r\n[]\r\n0\r\nA: b\r\n c\r\n\r\n"), 400},
      {"a space before a trailer's colon", chunked("2\r\n[]\r\n0\r\nA : b\r\n\r\n"), 400},
      {"trailers without end", chunked("2\r\n[]\r\n0\r\nA: " + std::string(5000, 'x') + "\r\n\r\n"), 431},
  });
  expect_answered({
      {"extensions", chunked("2;a=b;c=\"d;e\"\r\n[]\r\n0;f\r\n\r\n"), 201},
      {"16 digits", chunked("0000000000000002\r\n[]\r\n0000000000000000\r\n\r\n"), 201},
      {"single octets", chunked("1\r\n[\r\n1\r\n]\r\n0\r\n\r\n"), 201},
      {"trailers that would frame",
       chunked("2\r\n[]\r\n0\r\nContent-Length: 99\r\nTransfer-Encoding: chunked\r\nHost: x\r\n\r\n"), 201},
  });
}

// ── Lines, names, targets ────────────────────────────────────────────────────

TEST_F(Smuggling, Lines) {
  expect_refused({
      {"bare LFs", "GET /health HTTP/1.1\nHost: localhost\n\n", 400},
      {"a bare LF behind the request line", "GET /health HTTP/1.1\nHost: localhost\r\n\r\n", 400},
      {"a bare LF behind the head", "GET /health HTTP/1.1\r\nHost: localhost\r\n\n", 400},
      {"a bare CR behind the head", "GET /health HTTP/1.1\r\nHost: localhost\r\n\rX", 400},
      {"a bare CR in a value", get("/health", "A: b\rC: d\r\n"), 400},
      {"a CR too many", get("/health", "A: b\r\r\n"), 400},
      {"NUL in a value", get("/health", "A: \0\r\n"s), 400},
      {"a control in a value", get("/health", "A: \x1f\r\n"), 400},
      {"DEL in a value", get("/health", "A: \x7f\r\n"), 400},
      {"a fold", get("/health", "A: b\r\n c\r\n"), 400},
      {"a fold behind the request line", "GET /health HTTP/1.1\r\n Host: localhost\r\n\r\n", 400},
      {"a fold of white space alone", get("/health", "A: b\r\n \r\n"), 400},
      {"no colon", get("/health", "A\r\n"), 400},
      {"no name", get("/health", ": a\r\n"), 400},
      {"a name that is no token", get("/health", "A(b): c\r\n"), 400},
      {"a name past ASCII", get("/health", "\xc3\xa9: c\r\n"), 400},
      {"two empty lines before", "\r\n\r\n" + get("/health"), 400},
      {"a bare LF before", "\n" + get("/health"), 400},
      {"a space before", " " + get("/health"), 400},
  });
  expect_answered({{"an empty line before", "\r\n" + get("/health"), 200}});
}

TEST_F(Smuggling, Hosts) {
  const auto with = [](std::string_view hosts) {
    return "GET /health HTTP/1.1\r\n" + std::string(hosts) + "\r\n";
  };
  expect_refused({
      {"none", with(""), 400},
      {"two", with("Host: localhost\r\nHost: evil.test\r\n"), 400},
      {"the same twice", with("Host: localhost\r\nhost: localhost\r\n"), 400},
      {"two in HTTP/1.0", "GET /health HTTP/1.0\r\nHost: a\r\nHost: b\r\n\r\n", 400},
      {"a list", with("Host: localhost, evil.test\r\n"), 400},
      {"a space", with("Host: local host\r\n"), 400},
      {"user information", with("Host: localhost@evil.test\r\n"), 400},
      {"a path", with("Host: localhost/x\r\n"), 400},
      {"a scheme", with("Host: http://localhost\r\n"), 400},
      {"a port of letters", with("Host: localhost:80a\r\n"), 400},
      {"a port past 16 bits", with("Host: localhost:65536\r\n"), 400},
      {"two ports", with("Host: localhost:80:81\r\n"), 400},
      {"an open bracket", with("Host: [::1\r\n"), 400},
      {"a space before the colon", with("Host : localhost\r\n"), 400},
      {"folded", with("Host:\r\n localhost\r\n"), 400},
      {"not the target's", "GET http://evil.test/health HTTP/1.1\r\nHost: localhost\r\n\r\n", 400},
      {"not the target's port", "GET http://localhost:81/health HTTP/1.1\r\nHost: localhost\r\n\r\n", 400},
      {"user information in the target",
       "GET http://localhost@evil.test/health HTTP/1.1\r\nHost: localhost\r\n\r\n", 400},
  });
  expect_answered({
      {"the target's", "GET http://LOCALHOST:80/health HTTP/1.1\r\nHost: localhost\r\n\r\n", 200},
      {"an address", with("Host: [::1]:8080\r\n"), 200},
  });
}

TEST_F(Smuggling, RequestLines) {
  const auto line = [](std::string_view text) { return std::string(text) + "\r\nHost: localhost\r\n\r\n"; };
  expect_refused({
      {"two spaces", line("GET  /health HTTP/1.1"), 400},
      {"a tab", line("GET\t/health HTTP/1.1"), 400},
      {"a space in the target", line("GET /health x HTTP/1.1"), 400},
      {"a space at the end", line("GET /health HTTP/1.1 "), 400},
      {"HTTP/0.9", "GET /health\r\n", 400},
      {"a version with letters", line("GET /health HTTP/1.x"), 400},
      {"a version with two digits", line("GET /health HTTP/1.11"), 400},
      {"HTTP/2", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 505},
      {"a method in small letters", line("get /health HTTP/1.1"), 501},
      {"a method with a colon", line("GET: /health HTTP/1.1"), 400},
      {"TRACE", line("TRACE / HTTP/1.1"), 501},
      {"CONNECT", line("CONNECT localhost:80 HTTP/1.1"), 501},
      {"a fragment", line("GET /health#a HTTP/1.1"), 400},
      {"past ASCII", line("GET /h\xc3\xa9 HTTP/1.1"), 400},
      {"NUL", line("GET /health\0 HTTP/1.1"s), 400},
      {"an escaped NUL", line("GET /health%00 HTTP/1.1"), 400},
      {"half an escape", line("GET /health%2 HTTP/1.1"), 400},
      {"no escape", line("GET /%u0068ealth HTTP/1.1"), 400},
      {"no path", line("GET health HTTP/1.1"), 400},
      {"the asterisk", line("GET * HTTP/1.1"), 400},
      {"another scheme", line("GET ftp://localhost/health HTTP/1.1"), 400},
      {"too long", line("GET /" + std::string(9000, 'x') + " HTTP/1.1"), 414},
  });
}

// A path is decoded once and its dots are gone before it is routed.
TEST_F(Smuggling, Paths) {
  expect_answered({
      {"dots", get("/nothing/../health"), 200},
      {"escaped dots", get("/nothing/%2e%2E/health"), 200},
      {"dots past the root", get("/../../health"), 200},
      {"one dot", get("/./health/."), 200},
      {"escaped letters", get("/%68ealth"), 200},
      {"twice escaped dots", get("/nothing/%252e%252e/health"), 404},
      {"an escaped slash is none", get("/nothing%2f..%2fhealth"), 404},
      {"an escaped slash behind dots", get("/..%2fhealth"), 404},
      {"an escaped slash at the end", get("/health%2f"), 404},
      {"a backslash is no slash", get("/nothing\\..\\health"), 404},
      {"an empty segment", get("//health"), 404},
      {"a parameter", get("/health;a=b"), 404},
  });
}

// ── What comes back, and what comes after ────────────────────────────────────

TEST_F(Smuggling, NothingOfARequestBecomesAHeader) {
  for (
      const std::string& wire :
      {get("/websocket/a%0d%0aInjected:%20yes?x=%0d%0aInjected:%20yes"), get("/%0d%0aInjected:%20yes"),
       get("/health", "X: a\r\nOrigin: http://x%0d%0aInjected: yes\r\n"),
       WebSocketClient::request("/cable", "Sec-WebSocket-Protocol: x%0d%0aInjected: yes\r\n"),
       WebSocketClient::request("/websocket/a%0d%0aInjected:%20yes"),
       "POST /send_message_to_room/a%0d%0aInjected:%20yes HTTP/1.1\r\nHost: localhost\r\nContent-Type: "
       "application/x-www-form-urlencoded\r\nContent-Length: 35\r\n\r\nmessage=%0d%0aInjected:%20yes&sender"s}) {
    SCOPED_TRACE(escaped(wire));
    TcpClient tcp = TcpClient::connect(server_->port());
    tcp.send(wire);
    const HttpAnswer answer = read_http_answer(tcp);
    EXPECT_NE(answer.status, 0);
    EXPECT_EQ(answer.count("Injected"), 0u);
    for (const auto& [name, value] : answer.headers) EXPECT_EQ(value.find("njected"), value.npos) << name;
  }
}

// After a 101 the connection speaks frames for ever, and what looks like HTTP fails it.
TEST_F(Smuggling, AfterAnUpgradeThereIsNoMoreHttp) {
  WebSocketClient client = WebSocketClient::on([] {
    TcpClient tcp = TcpClient::connect(server_->port());
    tcp.send(WebSocketClient::request("/echo") + std::string(kNext));
    return tcp;
  }());
  ASSERT_TRUE(client.open());
  const auto frame = client.next();
  ASSERT_TRUE(frame);
  EXPECT_EQ(frame->opcode, 8u);
  EXPECT_EQ(frame->close_code(), 1002u);
  expect_end(client.tcp());
}

// An upgrade that is refused ends the connection: whoever stands between may believe
// that it succeeded, and hand everything on (HTTP/2 proxies have).
TEST_F(Smuggling, AfterARefusedUpgradeThereIsNothing) {
  for (const std::string_view key :
       {"Sec-WebSocket-Version: 13", "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ=="}) {
    std::string wire = WebSocketClient::request("/echo");
    const size_t at = wire.find(key);
    ASSERT_NE(at, wire.npos);
    wire.replace(at, key.size(), "X: y");
    TcpClient tcp = TcpClient::connect(server_->port());
    tcp.send(wire + std::string(kNext));
    EXPECT_GE(read_http_answer(tcp).status, 400) << key;
    expect_end(tcp);
  }
}

TEST_F(Smuggling, AfterCloseAndInHttp10ThereIsNothing) {
  for (const std::string& wire :
       {get("/health", "Connection: close\r\n"), get("/health", "Connection: keep-alive, CLOSE\r\n"),
        "GET /health HTTP/1.0\r\n\r\n"s, "GET /health HTTP/1.0\r\nConnection: keep-alive\r\n\r\n"s}) {
    SCOPED_TRACE(escaped(wire));
    TcpClient tcp = TcpClient::connect(server_->port());
    tcp.send(wire + get("/metrics"));
    EXPECT_EQ(read_http_answer(tcp).status, 200);
    expect_end(tcp);
  }
}

// A body in the answer to HEAD is the beginning of the next answer to whoever relays it.
TEST_F(Smuggling, HeadHasNoBodyWhateverTheAnswer) {
  const auto head = [](std::string_view target, std::string_view headers = {}) {
    return "HEAD" + get(target, "Connection: close\r\n" + std::string(headers)).substr(3);
  };
  for (const std::string& wire :
       {head("/"), head("/health"), head("/nothing"), head("/echo"), head("/cable"), head("/_broadcast"),
        head("/health", "Content-Length: 9999999\r\n"), head("/health", "Expect: miracles\r\n"),
        head("/health", "Host: b\r\n"), "HEAD" + WebSocketClient::request("/echo").substr(3)}) {
    SCOPED_TRACE(escaped(wire));
    TcpClient tcp = TcpClient::connect(server_->port());
    tcp.send(wire);
    const std::string_view all = tcp.received(SIZE_MAX);
    EXPECT_TRUE(all.starts_with("HTTP/1.1 "));
    EXPECT_EQ(all.find("\r\n\r\n") + 4, all.size()) << all;
  }
}

}  // namespace smuggling_test
}  // namespace ringcast::blackbox
