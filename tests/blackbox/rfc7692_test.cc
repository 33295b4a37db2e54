// RFC 7692 from outside: permessage-deflate against a running server's /echo, over TCP and
// over TLS. Categories 12 and 13 of the Autobahn suite, with data made here and fewer
// messages in each row; then what that suite leaves out: what may not be sent, and that a
// broadcast is compressed once for all who take the same.
#include <gtest/gtest.h>

#include <algorithm>
#include <charconv>
#include <cstdint>
#include <iterator>
#include <memory>
#include <optional>
#include <random>
#include <string>
#include <string_view>
#include <tuple>
#include <utility>
#include <vector>

#include "blackbox/cable.h"
#include "blackbox/client.h"
#include "blackbox/probes.h"
#include "blackbox/shared_server.h"
#include "support/client_frames.h"
#include "support/deflate_peer.h"

namespace ringcast::blackbox {
namespace rfc7692_test {

constexpr unsigned kText = 1;
constexpr unsigned kBinary = 2;
constexpr unsigned kRsv1 = 4;

// ── The server ───────────────────────────────────────────────────────────────

enum class Transport { plain, tls };

SharedServer& deflate_server = SharedServer::add(
    {"--echo", "--deflate", "on", "--deflate-threshold-bytes", "16", "--deflate-client-takeover", "on",
     "--room-prefix", "chat_", "--drain-seconds", "1", "--log-level", "error"},
    SharedServer::Ports::plain_and_tls);

// ── What was agreed ──────────────────────────────────────────────────────────

std::string offer_line(std::string_view offer) {
  return "Sec-WebSocket-Extensions: " + std::string(offer) + "\r\n";
}

// The parameters of the answer, which must be one permessage-deflate and hold none twice.
struct Agreement {
  bool server_no_takeover = false;
  bool client_no_takeover = false;
  int server_bits = 0;  // 0: unsaid
  int client_bits = 0;

  static std::optional<Agreement> of(const HttpAnswer& answer) {
    if (answer.count("Sec-WebSocket-Extensions") != 1) return std::nullopt;
    std::string rest = answer.header("Sec-WebSocket-Extensions") + ";";
    Agreement agreed;
    for (bool first = true; !rest.empty(); first = false) {
      const size_t end = rest.find(';');
      std::string part = rest.substr(0, end);
      rest.erase(0, end + 1);
      part.erase(0, part.find_first_not_of(' '));
      const size_t equals = part.find('=');
      const std::string name = part.substr(0, equals);
      int bits = 0;
      if (equals != std::string::npos) {
        std::from_chars(part.data() + equals + 1, part.data() + part.size(), bits);
      }
      bool* flag = nullptr;
      int* number = nullptr;
      if (name == "server_no_context_takeover") flag = &agreed.server_no_takeover;
      if (name == "client_no_context_takeover") flag = &agreed.client_no_takeover;
      if (name == "server_max_window_bits") number = &agreed.server_bits;
      if (name == "client_max_window_bits") number = &agreed.client_bits;
      if (first ? name != "permessage-deflate" : flag == nullptr && number == nullptr) return std::nullopt;
      if (flag != nullptr && (std::exchange(*flag, true) || equals != std::string::npos)) return std::nullopt;
      if (number != nullptr && (std::exchange(*number, bits) != 0 || bits < 8 || bits > 15))
        return std::nullopt;
    }
    return agreed;
  }
};

class Rfc7692Server : public ::testing::Test {
 protected:
  void SetUp() override {
    server_ = deflate_server.get();
    ASSERT_NE(server_, nullptr);
    ASSERT_TRUE(server_->running()) << server_->standard_error();
  }
  TcpClient connect_only(Transport transport) {
    return transport == Transport::tls ? TcpClient::connect_tls(server_->tls_port())
                                       : TcpClient::connect(server_->port());
  }
  WebSocketClient connect(Transport transport, std::string_view offer, std::string_view path = "/echo") {
    WebSocketClient client = WebSocketClient::ask(connect_only(transport), path, offer_line(offer));
    EXPECT_TRUE(client.open()) << client.answer().status_line;
    return client;
  }

  ServerProcess* server_ = nullptr;
};

// A whole message, inflated with the window agreed upon if it is compressed.
struct Heard {
  unsigned opcode = 0;
  std::string payload;
  bool compressed = false;
};
std::optional<Heard> hear(WebSocketClient& client, int window_bits) {
  std::optional<ServerFrame> frame = client.next();
  if (!frame) return std::nullopt;
  Heard heard{frame->opcode, std::move(frame->payload), frame->rsv == kRsv1};
  EXPECT_TRUE(frame->rsv == 0 || heard.compressed);
  EXPECT_TRUE(frame->fin);
  if (!heard.compressed) return heard;
  std::optional<std::string> whole = inflated(heard.payload, window_bits);
  EXPECT_TRUE(whole) << "it does not inflate with a window of " << window_bits << " bits";
  if (!whole) return std::nullopt;
  heard.payload = std::move(*whole);
  return heard;
}

std::string frames(std::string_view compressed, unsigned opcode, size_t fragment_bytes = 0) {
  if (fragment_bytes == 0) fragment_bytes = std::max<size_t>(compressed.size(), 1);
  std::string wire;
  for (size_t at = 0; at == 0 || at < compressed.size(); at += fragment_bytes) {
    const std::string_view part = compressed.substr(at, fragment_bytes);
    wire += encode({.opcode = at == 0 ? opcode : 0,
                    .payload = part,
                    .fin = at + part.size() == compressed.size(),
                    .rsv = at == 0 ? kRsv1 : 0});
  }
  return wire;
}

// ── Autobahn, categories 12 and 13 ───────────────────────────────────────────

struct Data {
  const char* name;
  unsigned opcode;
  std::string bytes;
};

// Of the kinds the suite sends: what compresses well, what does not, text beyond ASCII.
const std::vector<Data>& data_sets() {
  static const std::vector<Data> kData = [] {
    constexpr size_t kBytes = 400 * kKiB;
    std::mt19937 random(7692);
    const auto pick = [&](size_t count) { return static_cast<size_t>(random()) % count; };
    std::string json = "[";
    while (json.size() < kBytes) {
      json += R"({"id":)" + std::to_string(random()) + R"(,"user":"user-)" + std::to_string(pick(500)) +
              R"(","tags":["news","sport"],"score":)" + std::to_string(pick(1000)) + R"(.5,"read":false},)";
    }
    std::string bitmap;
    for (size_t i = 0; i < kBytes; ++i) {
      const size_t x = i % 512, y = i / 512;
      bitmap += static_cast<char>((x * x + y * 3) / 97 + pick(3));
    }
    const char* const kWords[] = {"über", "Straße", "Größe", "nämlich", "Abend", "und", "schöne", "Öfen",
                                  "Tür",  "wohl",   "der",   "müßig",   "Faust", "zu",  "€",      "😀"};
    std::string german;
    while (german.size() < kBytes) {
      german.append(kWords[pick(std::size(kWords))]).append(pick(9) == 0 ? ".\n" : " ");
    }
    std::string html = "<!doctype html>\n";
    while (html.size() < kBytes) {
      html += "<tr class=\"row-" + std::to_string(pick(2)) + "\"><td>" + std::to_string(random()) +
              "</td><td><a href=\"/item/" + std::to_string(pick(9999)) + "\">item</a></td></tr>\n";
    }
    std::string noise;
    while (noise.size() < kBytes) noise += static_cast<char>(random());
    return std::vector<Data>{{"json", kText, json},
                             {"bitmap", kBinary, bitmap},
                             {"german", kText, german},
                             {"html", kText, html},
                             {"noise", kBinary, noise}};
  }();
  return kData;
}

struct Row {
  size_t bytes;
  size_t fragment_bytes;  // 0: whole
};
constexpr Row kRows[] = {{16, 0},        {64, 0},        {256, 0},       {1024, 0},    {4096, 0},
                         {8192, 0},      {16384, 0},     {32768, 0},     {65536, 0},   {131072, 0},
                         {8192, 256},    {16384, 256},   {32768, 256},   {65536, 256}, {131072, 256},
                         {131072, 1024}, {131072, 4096}, {131072, 32768}};

// Messages of one connection cut out of a data set, on boundaries of characters if it is text.
std::vector<std::string> cut(const Data& data, size_t bytes) {
  const size_t count = std::clamp<size_t>(96 * kKiB / bytes, 2, 24);
  std::vector<std::string> messages;
  size_t at = 0;
  const auto boundary = [&](size_t position) {
    while (data.opcode == kText && (static_cast<uint8_t>(data.bytes[position]) & 0xc0) == 0x80) --position;
    return position;
  };
  for (size_t i = 0; i < count; ++i) {
    const size_t end = boundary(at + bytes);
    messages.push_back(data.bytes.substr(at, end - at));
    at = end;
  }
  return messages;
}

struct Offer {
  const char* offer;
  bool no_takeover;  // asked of the server
  int bits_max;      // what its window may be
  int bits_asked;    // by the parameter, 0: not at all
};
constexpr const char* kMore = "; client_no_context_takeover; client_max_window_bits";

std::vector<std::pair<std::string, Offer>> offers() {
  const auto offer = [](std::string_view parameters) {
    return "permessage-deflate" + std::string(kMore) + std::string(parameters);
  };
  const std::string t = "; server_no_context_takeover", nine = "; server_max_window_bits=9",
                    fifteen = "; server_max_window_bits=15";
  return {{offer(""), {"F_0", false, 15, 0}},
          {offer(t), {"T_0", true, 15, 0}},
          {offer(nine), {"F_9", false, 9, 9}},
          {offer(fifteen), {"F_15", false, 15, 15}},
          {offer(t + nine), {"T_9", true, 9, 9}},
          {offer(t + fifteen), {"T_15", true, 15, 15}},
          {offer(t + nine) + ", " + offer(t) + ", " + offer(""), {"List", true, 9, 9}}};
}

class Deflate : public Rfc7692Server, public ::testing::WithParamInterface<std::tuple<Transport, size_t>> {
 protected:
  // All rows, each on a connection of its own, which is what the suite's cases are.
  void rows(const Data& data, const std::string& offer, const Offer* asked, bool takeover) {
    for (const Row& row : kRows) {
      SCOPED_TRACE(std::string(data.name) + ", " + std::to_string(row.bytes) + " bytes in fragments of " +
                   std::to_string(row.fragment_bytes));
      WebSocketClient client = connect(std::get<0>(GetParam()), offer);
      const auto agreed = Agreement::of(client.answer());
      ASSERT_TRUE(agreed) << client.answer().header("Sec-WebSocket-Extensions");
      if (asked != nullptr) {
        EXPECT_TRUE(agreed->server_no_takeover || !asked->no_takeover);
        EXPECT_TRUE(agreed->client_no_takeover);
        EXPECT_EQ(agreed->server_bits != 0, asked->bits_asked != 0) << "said unasked, or not though asked";
        EXPECT_LE(agreed->server_bits, asked->bits_max);
      }
      EXPECT_TRUE(agreed->server_no_takeover);  // so that each message can be inflated alone
      EXPECT_EQ(agreed->client_no_takeover, !takeover);
      const int server_bits = agreed->server_bits == 0 ? 15 : agreed->server_bits;
      const int client_bits = agreed->client_bits == 0 ? 15 : agreed->client_bits;
      DeflatingPeer peer(client_bits, takeover);
      for (const std::string& message : cut(data, row.bytes)) {
        ASSERT_TRUE(client.send(frames(peer.compress(message), data.opcode, row.fragment_bytes)));
        const auto heard = hear(client, server_bits);
        ASSERT_TRUE(heard);
        EXPECT_EQ(heard->opcode, data.opcode);
        ASSERT_TRUE(heard->payload == message);
        if (row.bytes >= 256 && data.opcode == kText) {
          EXPECT_TRUE(heard->compressed);
        }
      }
      client.send(encode_close(1000));
      const auto close = client.next();
      ASSERT_TRUE(close);
      EXPECT_EQ(close->close_code(), 1000u);
      EXPECT_FALSE(client.next());
      EXPECT_EQ(client.tcp().end(), TcpClient::End::closed);
    }
  }
};

class Category12 : public Deflate {};
class Category13 : public Deflate {};

// Half of them with memory of earlier messages, half of them without.
TEST_P(Category12, EchoesEveryRow) {
  const size_t which = std::get<1>(GetParam());
  const bool takeover = which % 2 == 0;
  rows(data_sets()[which], takeover ? "permessage-deflate" : "permessage-deflate; client_no_context_takeover",
       nullptr, takeover);
}

TEST_P(Category13, AgreesAndEchoesEveryRow) {
  const auto [offer, asked] = offers()[std::get<1>(GetParam())];
  rows(data_sets()[0], offer, &asked, false);
}

constexpr auto kTransports = {Transport::plain, Transport::tls};
std::string test_name(Transport transport, std::string_view what) {
  return (transport == Transport::tls ? "Tls_" : "Plain_") + std::string(what);
}
INSTANTIATE_TEST_SUITE_P(Data, Category12,
                         ::testing::Combine(::testing::ValuesIn(kTransports), ::testing::Range<size_t>(0, 5)),
                         [](const auto& info) {
                           return test_name(std::get<0>(info.param),
                                            data_sets()[std::get<1>(info.param)].name);
                         });
INSTANTIATE_TEST_SUITE_P(Offer, Category13,
                         ::testing::Combine(::testing::ValuesIn(kTransports), ::testing::Range<size_t>(0, 7)),
                         [](const auto& info) {
                           return test_name(std::get<0>(info.param),
                                            offers()[std::get<1>(info.param)].second.offer);
                         });

// ── What that suite leaves out ───────────────────────────────────────────────

using Rfc7692 = Rfc7692Server;

TEST_F(Rfc7692, OffersThatCannotBeMetAreDeclinedAndTheConnectionIsGood) {
  for (const std::string_view offer :
       {"permessage-deflate; server_max_window_bits", "permessage-deflate; server_max_window_bits=8",
        "permessage-deflate; server_max_window_bits=16", "permessage-deflate; client_max_window_bits=7",
        "permessage-deflate; nobody_knows", "permessage-deflate; server_no_context_takeover=1",
        "permessage-deflate; server_no_context_takeover; server_no_context_takeover",
        "x-webkit-deflate-frame", "permessage-deflate;;", "permessage-deflate; =1", "\"", ","}) {
    SCOPED_TRACE(offer);
    WebSocketClient client = connect(Transport::plain, offer);
    EXPECT_EQ(client.answer().count("Sec-WebSocket-Extensions"), 0u);
    client.send(encode({.payload = "plain"}));
    const auto heard = hear(client, 15);
    ASSERT_TRUE(heard);
    EXPECT_EQ(heard->payload, "plain");
    // Nor may it compress now.
    client.send(frames(DeflatingPeer().compress("compressed"), kText));
    const auto close = client.next();
    ASSERT_TRUE(close);
    EXPECT_EQ(close->close_code(), 1002u);
  }
}

TEST_F(Rfc7692, WhatMayNotBeSentIsAnsweredWithItsCode) {
  const std::string good = DeflatingPeer().compress("a message that is long enough to be cut in two");
  const struct {
    const char* about;
    std::string wire;
    unsigned code;
  } kWrong[] = {
      {"RSV1 on a ping", encode({.opcode = 9, .rsv = kRsv1}), 1002},
      {"RSV1 on a close", encode({.opcode = 8, .rsv = kRsv1}), 1002},
      {"RSV1 on a continuation",
       encode({.payload = "a", .fin = false}) + encode({.opcode = 0, .payload = "b", .rsv = kRsv1}), 1002},
      {"RSV2", encode({.payload = good, .rsv = 2}), 1002},
      {"RSV1 and RSV3", encode({.payload = good, .rsv = kRsv1 | 1}), 1002},
      {"text that is no UTF-8 once inflated", frames(DeflatingPeer().compress("ok\xff"), kText), 1007},
      {"text that ends within a character", frames(DeflatingPeer().compress("ok\xe2\x82"), kText), 1007},
  };
  for (const auto& wrong : kWrong) {
    SCOPED_TRACE(wrong.about);
    WebSocketClient client = connect(Transport::plain, "permessage-deflate");
    client.send(wrong.wire);
    const auto close = client.next();
    ASSERT_TRUE(close);
    ASSERT_EQ(close->opcode, 8u);
    EXPECT_EQ(close->close_code(), wrong.code) << close->close_reason();
  }
  // Octets that are no deflate: which code, RFC 7692 leaves open.
  for (const std::string_view broken : {"\x07", "\xff\xff\xff\xff", "\x62\x00\x05"}) {
    WebSocketClient client = connect(Transport::plain, "permessage-deflate");
    client.send(frames(broken, kBinary));
    const auto close = client.next();
    ASSERT_TRUE(close);
    EXPECT_TRUE(close->close_code() == 1002 || close->close_code() == 1007) << close->close_code();
  }
}

TEST_F(Rfc7692, MessagesMayBeMixedFinalEmptyAndInterruptedByPings) {
  for (const Transport transport : kTransports) {
    WebSocketClient client = connect(transport, "permessage-deflate; client_no_context_takeover");
    DeflatingPeer peer;
    const std::string hello = peer.compress("hello, hello, hello, hello, hello");
    client.send(encode({.payload = hello.substr(0, 5), .fin = false, .rsv = kRsv1}) +
                encode({.opcode = 9, .payload = "between"}) +
                encode({.opcode = 0, .payload = hello.substr(5)}) + encode({.payload = "as it is"}) +
                frames(peer.compress(""), kText) + frames(peer.compress_finally("final"), kText));
    std::vector<std::string> texts;
    while (texts.size() < 4) {
      const auto heard = hear(client, 15);
      ASSERT_TRUE(heard);
      if (heard->opcode == kText) texts.push_back(heard->payload);
    }
    EXPECT_EQ(texts,
              (std::vector<std::string>{"hello, hello, hello, hello, hello", "as it is", "", "final"}));
  }
}

// Two windows, and those who take no compression: whoever listens how, all hear the same.
TEST_F(Rfc7692, ABroadcastIsCompressedOnceForAllWhoTakeTheSame) {
  const struct {
    const char* offer;
    int bits;
  } kKinds[] = {
      {"none", 15}, {"permessage-deflate", 15}, {"permessage-deflate; server_max_window_bits=9", 9}};
  std::vector<std::pair<WebSocketClient, int>> listeners;
  for (int round = 0; round < 4; ++round) {
    for (const Transport transport : kTransports) {
      for (const auto& kind : kKinds) {
        listeners.emplace_back(connect(transport, kind.offer, "/websocket/compressed"), kind.bits);
      }
    }
  }
  const Metrics before = Metrics::read(server_->port());
  const std::string text = data_sets()[0].bytes.substr(1, 8 * kKiB);
  const std::string json = "{\"text\":" + json_string(text) + "}";
  constexpr size_t kMessages = 5;
  for (size_t i = 0; i < kMessages; ++i) {
    ASSERT_EQ(broadcast(server_->port(), envelope("chat_compressed", json)), 201);
  }
  for (auto& [client, bits] : listeners) {
    for (size_t i = 0; i < kMessages; ++i) {
      const auto heard = hear(client, bits);
      ASSERT_TRUE(heard);
      EXPECT_TRUE(heard->payload == json);
      EXPECT_EQ(heard->compressed, client.answer().count("Sec-WebSocket-Extensions") == 1);
    }
  }
  const Metrics after = Metrics::read(server_->port());
  const uint64_t compressions =
      after.sum("ringcast_compressions_total") - before.sum("ringcast_compressions_total");
  uint64_t shards = 0;
  while (after.sum("ringcast_turns_total", "shard=\"" + std::to_string(shards) + "\"") > 0) ++shards;
  EXPECT_GE(compressions, 2 * kMessages);
  EXPECT_LE(compressions, 2 * kMessages * shards);
}

}  // namespace rfc7692_test
}  // namespace ringcast::blackbox
