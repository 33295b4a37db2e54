// The opening handshake against RFC 6455 4.2 and against what Rails answered.
#include "protocol/upgrade.h"

#include <gtest/gtest.h>

#include <fstream>
#include <map>
#include <string>

#include "ringcast/json.h"
#include "tests/support/http_script.h"

namespace ringcast {
namespace {

using namespace std::string_literals;
using Kind = Upgrade::Kind;

constexpr std::string_view kSampleKey = "dGhlIHNhbXBsZSBub25jZQ==";

// A sound handshake's header lines; a test replaces or drops what it is about.
std::map<std::string, std::string> sound() {
  return {{"Host", "a"},
          {"Upgrade", "websocket"},
          {"Connection", "Upgrade"},
          {"Sec-WebSocket-Version", "13"},
          {"Sec-WebSocket-Key", std::string(kSampleKey)}};
}

std::string wire(const std::map<std::string, std::string>& headers,
                 std::string_view start = "GET /cable HTTP/1.1", std::string_view more = "") {
  std::string text = std::string(start) + "\r\n";
  for (const auto& [name, value] : headers) text += name + ": " + value + "\r\n";
  return text + std::string(more) + "\r\n";
}

HttpRequest parsed(std::string_view text) {
  HttpRequestParser parser({});
  GuardedBytes bytes(text);
  MutableBytes input = bytes.bytes();
  const auto event = parser.next(input);
  EXPECT_EQ(event.kind, HttpRequestParser::Event::Kind::head) << text << event.reason;
  return parser.release_request();
}

Upgrade checked(std::string_view text) {
  const HttpRequest request = parsed(text);
  Upgrade upgrade = check_upgrade(request);
  upgrade.key = {};  // it points into the request
  return upgrade;
}

std::string switching(std::string_view key, std::string_view subprotocol = {},
                      std::string_view extensions = {}) {
  std::vector<std::byte> out;
  append_switching_protocols(out, key, subprotocol, extensions);
  return std::string(as_text(out));
}

std::string refusal(const Upgrade& upgrade, bool head_only = false) {
  std::vector<std::byte> out;
  append_refusal(out, upgrade, head_only);
  return std::string(as_text(out));
}

TEST(CheckUpgrade, AcceptsASoundHandshakeAndNamesItsKey) {
  const HttpRequest request = parsed(wire(sound()));
  const Upgrade upgrade = check_upgrade(request);
  EXPECT_EQ(upgrade.kind, Kind::accepted);
  EXPECT_EQ(upgrade.key, kSampleKey);
}

TEST(CheckUpgrade, TokensAreReadWithoutCaseFromListsAndSeveralLines) {
  auto headers = sound();
  headers["Upgrade"] = "h2c, WebSocket";
  headers["Connection"] = "keep-alive, UPGRADE";
  EXPECT_EQ(checked(wire(headers)).kind, Kind::accepted);
  headers["Connection"] = "keep-alive";
  EXPECT_EQ(checked(wire(headers, "GET / HTTP/1.1", "Connection: upgrade\r\n")).kind, Kind::accepted);
}

TEST(CheckUpgrade, WithoutEitherTokenItIsPlainHttp) {
  for (const auto name : {"Upgrade", "Connection"}) {
    auto headers = sound();
    headers.erase(name);
    EXPECT_EQ(checked(wire(headers)).kind, Kind::not_upgrade) << name;
    headers[name] = "websockets, upgraded, close";
    EXPECT_EQ(checked(wire(headers)).kind, Kind::not_upgrade) << name;
  }
  EXPECT_EQ(checked("GET / HTTP/1.1\r\nHost: a\r\n\r\n").kind, Kind::not_upgrade);
}

TEST(CheckUpgrade, OtherMethodIs405) {
  for (const auto method : {"POST", "HEAD", "PUT", "OPTIONS"}) {
    EXPECT_EQ(checked(wire(sound(), method + " / HTTP/1.1"s)).status, 405) << method;
  }
}

TEST(CheckUpgrade, Http10Is400) {
  EXPECT_EQ(checked(wire(sound(), "GET / HTTP/1.0")).status, 400);
}

TEST(CheckUpgrade, ABodyIs400) {
  EXPECT_EQ(checked(wire(sound(), "GET / HTTP/1.1", "Content-Length: 1\r\n")).status, 400);
  EXPECT_EQ(checked(wire(sound(), "GET / HTTP/1.1", "Transfer-Encoding: chunked\r\n")).status, 400);
  EXPECT_EQ(checked(wire(sound(), "GET / HTTP/1.1", "Content-Length: 0\r\n")).kind, Kind::accepted);
}

TEST(CheckUpgrade, AnyVersionBut13Is426) {
  for (const auto version : {"8", "12", "14", "013", "13.0", "13, 8", "", "x"}) {
    auto headers = sound();
    headers["Sec-WebSocket-Version"] = version;
    EXPECT_EQ(checked(wire(headers)).status, 426) << version;
  }
  auto headers = sound();
  headers.erase("Sec-WebSocket-Version");
  EXPECT_EQ(checked(wire(headers)).status, 426);
  EXPECT_EQ(checked(wire(sound(), "GET / HTTP/1.1", "Sec-WebSocket-Version: 13\r\n")).status, 426);
}

TEST(CheckUpgrade, AnythingButOneKeyOf16BytesIs400) {
  for (const auto key : {"", "abc", "dGhlIHNhbXBsZSBub25jZQ",
                         "dGhlIHNhbXBsZSBub25jZQ=", "dGhlIHNhbXBsZSBub25jZXQ=", "dGhlIHNhbXBsZSBub25jZXR0",
                         "dGhlIHNhbXBsZSBub25jZQ===", "dGhlIHNhbXBsZSBub25j=Q==", "dGhlIHNhbXBsZSBub25j Q==",
                         "dGhlIHNhbXBsZSBub25j-Q==", "dGhlIHNhbXBsZSBub25jZXQxMg=="}) {
    auto headers = sound();
    headers["Sec-WebSocket-Key"] = key;
    EXPECT_EQ(checked(wire(headers)).status, 400) << key;
  }
  auto headers = sound();
  headers.erase("Sec-WebSocket-Key");
  EXPECT_EQ(checked(wire(headers)).status, 400);
  EXPECT_EQ(
      checked(wire(sound(), "GET / HTTP/1.1", "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n")).status,
      400);
}

TEST(CheckUpgrade, AKeyWithSpareBitsIsStillAKey) {
  auto headers = sound();
  headers["Sec-WebSocket-Key"] = "abcdefghijklmnopqrstuv==";
  EXPECT_EQ(checked(wire(headers)).kind, Kind::accepted);
}

// The order of the checks decides which answer a request with several faults gets.
TEST(CheckUpgrade, TheFirstFaultInOrderIsAnswered) {
  auto headers = sound();
  headers["Sec-WebSocket-Version"] = "8";
  headers["Sec-WebSocket-Key"] = "abc";
  EXPECT_EQ(checked(wire(headers, "POST / HTTP/1.1", "Content-Length: 1\r\n")).status, 405);
  EXPECT_EQ(checked(wire(headers, "GET / HTTP/1.1", "Content-Length: 1\r\n")).status, 400);
  EXPECT_EQ(checked(wire(headers)).status, 426);
  headers["Sec-WebSocket-Version"] = "13";
  EXPECT_EQ(checked(wire(headers)).status, 400);
}

TEST(CheckUpgrade, ExtensionsAreNoneOfItsBusiness) {
  EXPECT_EQ(checked(wire(sound(), "GET / HTTP/1.1", "Sec-WebSocket-Extensions: x-webkit- -frame\r\n")).kind,
            Kind::accepted);
}

TEST(SwitchingProtocols, AnswersTheRfcsSampleInRailsOrder) {
  EXPECT_EQ(switching(kSampleKey),
            "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            "Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n");
}

TEST(SwitchingProtocols, NamesWhatWasAgreedAndNothingElse) {
  EXPECT_EQ(
      switching(kSampleKey, "actioncable-v1-json", "permessage-deflate; server_no_context_takeover"),
      "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
      "Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\nSec-WebSocket-Protocol: actioncable-v1-json\r\n"
      "Sec-WebSocket-Extensions: permessage-deflate; server_no_context_takeover\r\n\r\n");
}

TEST(Subprotocol, IsTheClientsFirstThatIsKnown) {
  static constexpr std::string_view kKnown[] = {"actioncable-v1-json", "actioncable-unsupported"};
  const auto chosen = [](std::string_view lines) {
    const HttpRequest request = parsed(wire(sound(), "GET / HTTP/1.1", lines));
    return std::string(choose_subprotocol(request, kKnown));
  };
  EXPECT_EQ(chosen(""), "");
  EXPECT_EQ(chosen("Sec-WebSocket-Protocol: chat, mqtt\r\n"), "");
  EXPECT_EQ(chosen("Sec-WebSocket-Protocol: actioncable-v1-json, actioncable-unsupported\r\n"),
            "actioncable-v1-json");
  EXPECT_EQ(chosen("Sec-WebSocket-Protocol: chat,actioncable-unsupported,actioncable-v1-json\r\n"),
            "actioncable-unsupported");
  EXPECT_EQ(chosen("Sec-WebSocket-Protocol: chat\r\nsec-websocket-protocol: actioncable-v1-json\r\n"),
            "actioncable-v1-json");
  EXPECT_EQ(chosen("Sec-WebSocket-Protocol: ActionCable-V1-JSON\r\n"), "");  // case counts
  EXPECT_EQ(chosen("Sec-WebSocket-Protocol: actioncable-v1-json-x actioncable-v1-json\r\n"), "");
}

TEST(Subprotocol, WhatIsEchoedAreOurOwnBytes) {
  static constexpr std::string_view kKnown[] = {"actioncable-v1-json"};
  const HttpRequest request =
      parsed(wire(sound(), "GET / HTTP/1.1", "Sec-WebSocket-Protocol: actioncable-v1-json\r\n"));
  EXPECT_EQ(choose_subprotocol(request, kKnown).data(), kKnown[0].data());
}

TEST(Refusal, OfAVersionNamesOurs) {
  auto headers = sound();
  headers["Sec-WebSocket-Version"] = "8";
  EXPECT_EQ(
      refusal(checked(wire(headers))),
      "HTTP/1.1 426 Upgrade Required\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Length: 17\r\n"
      "Sec-WebSocket-Version: 13\r\nUpgrade: websocket\r\nConnection: Upgrade, close\r\n\r\nUpgrade "
      "Required\n");
}

TEST(Refusal, OfAPlainRequestOnAWebSocketRouteIs426) {
  EXPECT_TRUE(refusal(upgrade_required()).starts_with("HTTP/1.1 426 Upgrade Required\r\n"));
  EXPECT_TRUE(refusal(upgrade_required(), true).ends_with("\r\nConnection: Upgrade, close\r\n\r\n"));  // HEAD
}

TEST(Refusal, OfAMethodNamesGet) {
  EXPECT_EQ(
      refusal(checked(wire(sound(), "POST / HTTP/1.1"))),
      "HTTP/1.1 405 Method Not Allowed\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Length: 19\r\n"
      "Allow: GET\r\nConnection: close\r\n\r\nMethod Not Allowed\n");
}

TEST(Refusal, OfAKeyIsAPlain400) {
  auto headers = sound();
  headers["Sec-WebSocket-Key"] = "abc";
  EXPECT_EQ(refusal(checked(wire(headers))),
            "HTTP/1.1 400 Bad Request\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Length: 12\r\n"
            "Connection: close\r\n\r\nBad Request\n");
}

// Every request of a recorded session with Rails, and the answers where both agree.
// Where we differ it is by design: Rails lets old versions, short keys and HTTP/1.0 in.
TEST(RecordedHandshakes, AreAnsweredAsRailsDidOrStricter) {
  const std::map<std::string_view, int> expected = {
      // 0: plain HTTP, for the route to answer
      {"plain GET", 0},
      {"HEAD", 0},
      {"no Connection", 0},
      {"no Upgrade", 0},
      {"GET / (no route)", 0},
      {"GET /nope", 0},
      {"POST upgrade", 405},
      {"version 8", 426},
      {"version 12", 426},
      {"no version", 426},
      {"no key", 400},
      {"short key", 400},
      {"HTTP/1.0", 400},
      {"garbage", 400},
      {"no Host", 400},
      {"Connection: keep-alive, Upgrade", 101},
      {"Upgrade: WebSocket, Connection: upgrade", 101},
      {"query string", 101},
      {"trailing slash", 101},
      {"sub-path", 101},
      {"other path", 101},
      {"permessage-deflate offered", 101},
      {"malformed extensions header", 101},
  };
  std::ifstream file("tests/data/rails-async/handshake_odd.jsonl");
  ASSERT_TRUE(file) << "run from the top of the tree";
  std::string note;
  std::string answer;
  size_t requests = 0;
  for (std::string line; std::getline(file, line);) {
    const auto record = Json::parse(line);
    ASSERT_TRUE(record) << line;
    const auto text = [&](std::string_view key) { return std::string((*record)[key].text()); };
    if (text("kind") == "note") note = text("text");
    if (text("kind") != "http") continue;
    if (text("dir") == "s2c") {
      if (!answer.empty() && text("head").starts_with("HTTP/1.1 101")) {
        EXPECT_EQ(answer, text("head")) << note;
      }
      continue;
    }
    ++requests;
    answer.clear();
    ASSERT_TRUE(expected.contains(note)) << note;
    HttpRequestParser parser({});
    GuardedBytes bytes(text("head"));
    MutableBytes input = bytes.bytes();
    const auto event = parser.next(input);
    int status = event.status;
    if (event.kind == HttpRequestParser::Event::Kind::head) {
      const Upgrade upgrade = check_upgrade(parser.request());
      status = upgrade.kind == Kind::accepted ? 101 : upgrade.status;
      if (status == 101) answer = switching(upgrade.key);
    }
    EXPECT_EQ(status, expected.at(note)) << note;
  }
  EXPECT_EQ(requests, expected.size());
}

}  // namespace
}  // namespace ringcast
