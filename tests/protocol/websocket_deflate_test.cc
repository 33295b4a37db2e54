// The message reader with permessage-deflate: what a client compresses comes out as it
// was, in any chunking and however few inflaters there are; what it should not send is
// told where it is proven; and no crowd and no bomb holds more memory than is allowed.
#include <gtest/gtest.h>

#include <algorithm>
#include <memory>
#include <string>
#include <vector>

#include "base/prng.h"
#include "base/utf8.h"
#include "protocol/deflate.h"
#include "protocol/websocket.h"
#include "support/client_frames.h"
#include "support/deflate_peer.h"
#include "support/reader_feed.h"

namespace ringcast {
namespace websocket_deflate_test {

using Kind = WebSocketReader::Event::Kind;

constexpr uint64_t kLimit = 1 << 20;
constexpr unsigned kRsv1 = 4;
constexpr DeflateParameters kAlone{};
constexpr DeflateParameters kTakeover{.client_no_context_takeover = false};

class DeflateFeeder : public Feeder {
 public:
  explicit DeflateFeeder(InflaterPool& pool, const DeflateParameters& parameters = kAlone,
                         uint64_t limit = kLimit)
      : Feeder(limit, pool, parameters) {}
};

Seen text(std::string payload) {
  return {Kind::text, std::move(payload)};
}
Seen binary(std::string payload) {
  return {Kind::binary, std::move(payload)};
}
Seen ping(std::string payload) {
  return {Kind::ping, std::move(payload)};
}
Seen failed(CloseCode code) {
  return {Kind::error, {}, code};
}

std::vector<Seen> read_all(std::string_view wire, const DeflateParameters& parameters = kAlone,
                           uint64_t limit = kLimit) {
  InflaterPool pool;
  DeflateFeeder feeder(pool, parameters, limit);
  feeder.feed(wire);
  return feeder.seen();
}

// A compressed message in frames of so many payload bytes; 0: in one.
std::string frames(std::string_view payload, unsigned opcode = 1, size_t fragment_bytes = 0) {
  if (fragment_bytes == 0) fragment_bytes = std::max<size_t>(payload.size(), 1);
  std::string wire;
  for (size_t at = 0; at == 0 || at < payload.size(); at += fragment_bytes) {
    const std::string_view part = payload.substr(at, fragment_bytes);
    wire += encode({.opcode = at == 0 ? opcode : 0,
                    .payload = part,
                    .fin = at + part.size() == payload.size(),
                    .rsv = at == 0 ? kRsv1 : 0});
  }
  return wire;
}

std::string compressed(std::string_view message) {
  return DeflatingPeer().compress(message);
}

std::string json(size_t bytes) {
  Prng random(bytes);
  std::string out = "[";
  while (out.size() < bytes) {
    out += R"({"sender":"Client )" + std::to_string(random.below(50)) + R"(","message":"caf\u00e9 caf)" +
           "\xc3\xa9" + R"(","price":)" + std::to_string(random.below(100'000)) + "},";
  }
  while (out.size() > bytes || !valid_utf8(as_bytes(out))) out.pop_back();
  return out.append(bytes - out.size(), ' ');
}

std::string noise(size_t bytes) {
  Prng random(bytes);
  std::string out(bytes, '\0');
  for (char& octet : out) octet = static_cast<char>(random.below(256));
  return out;
}

// ── Autobahn 12 and 13 ───────────────────────────────────────────────────────

struct DataSet {
  std::string name;
  unsigned opcode;
  std::string (*make)(size_t bytes);
};

std::string bitmap(size_t bytes) {
  std::string out = noise(bytes);
  for (size_t i = 0; i < bytes; ++i) {
    if (i / 64 % 5 != 0) out[i] = static_cast<char>(i / 300 % 3);
  }
  return out;
}

std::string german(size_t bytes) {
  static constexpr std::string_view kWords[] = {"Die ",    "größte ", "Übung ", "heißt ",
                                                "mäßige ", "Zeit, ",  "und "};
  Prng random(bytes);
  std::string out;
  for (;;) {
    const std::string_view word = kWords[random.below(std::size(kWords))];
    if (out.size() + word.size() > bytes) return out.append(bytes - out.size(), '.');
    out += word;
  }
}

std::string markup(size_t bytes) {
  std::string out = "<!doctype html>";
  for (int row = 0; out.size() < bytes; ++row) {
    out += "<tr class=\"row\"><td>" + std::to_string(row * 7919 % 1000) + "</td></tr>\n";
  }
  return out.substr(0, bytes);
}

const DataSet kDataSets[] = {{"json", 1, json},
                             {"bitmap", 2, bitmap},
                             {"german", 1, german},
                             {"markup", 1, markup},
                             {"document", 2, noise}};

struct Row {
  size_t message_bytes;
  size_t fragment_bytes;
};

const Row kRows[] = {{16, 0},        {64, 0},        {256, 0},       {1024, 0},    {4096, 0},
                     {8192, 0},      {16384, 0},     {32768, 0},     {65536, 0},   {131072, 0},
                     {8192, 256},    {16384, 256},   {32768, 256},   {65536, 256}, {131072, 256},
                     {131072, 1024}, {131072, 4096}, {131072, 32768}};

void expect_echo(const DataSet& data, int window_bits, bool takeover, const Row& row) {
  SCOPED_TRACE(data.name + " " + std::to_string(row.message_bytes) + " / " +
               std::to_string(row.fragment_bytes));
  DeflatingPeer peer(window_bits, takeover);
  InflaterPool pool;
  DeflateFeeder feeder(pool, {.client_window_bits = static_cast<uint8_t>(window_bits == 15 ? 0 : window_bits),
                              .client_no_context_takeover = !takeover});
  const std::string message = data.make(row.message_bytes);
  ASSERT_EQ(message.size(), row.message_bytes);
  std::string wire;
  for (int i = 0; i < 4; ++i) wire += frames(peer.compress(message), data.opcode, row.fragment_bytes);
  feeder.feed_chopped(wire, 16'000);
  ASSERT_EQ(feeder.seen().size(), 4u);
  for (const Seen& seen : feeder.seen()) {
    EXPECT_EQ(seen.kind, data.opcode == 1 ? Kind::text : Kind::binary);
    EXPECT_TRUE(seen.payload == message);
  }
  EXPECT_EQ(pool.lent(), 0u);
}

TEST(Autobahn12, EveryDataSetInEverySizeAndFragmentation) {
  for (const DataSet& data : kDataSets) {
    for (const Row& row : kRows) {
      expect_echo(data, 15, true, row);
      expect_echo(data, 15, false, row);
    }
  }
}

TEST(Autobahn13, EveryWindowWithAndWithoutTakeover) {
  for (int bits = 9; bits <= 15; ++bits) {
    for (const bool takeover : {false, true}) {
      for (const Row& row : kRows) expect_echo(kDataSets[0], bits, takeover, row);
    }
  }
}

// ── Any chunking, any number of inflaters ────────────────────────────────────

std::string mixed_wire(bool takeover) {
  DeflatingPeer peer(15, takeover);
  std::string wire;
  wire += frames(peer.compress("one frame, one frame"));
  wire += encode({.payload = "as it is"});
  const std::string fragmented = frames(peer.compress("in fragments, each with a ping behind it"), 1, 7);
  for (size_t at = 0; at < fragmented.size(); at += 13) {
    wire += fragmented.substr(at, 13);
    if (at + 13 < fragmented.size()) wire += encode({.opcode = 9, .payload = "ping"});
  }
  wire += frames(peer.compress(""));
  wire += frames("");  // no octet at all
  wire +=
      encode({.opcode = 2, .payload = "un", .fin = false}) + encode({.opcode = 0, .payload = "compressed"});
  wire += frames(peer.compress("\xe2\x82\xac one frame \xe2\x82\xac"), 1, 1);
  if (!takeover) wire += frames(peer.compress_finally("final \xff"), 2, 5);
  wire += frames(peer.compress(std::string(300, '\xff')), 2);
  return wire + encode_close(1000);
}

std::vector<Seen> mixed_events() {
  std::vector<Seen> events{text("one frame, one frame"), text("as it is")};
  const std::string fragmented =
      frames(DeflatingPeer().compress("in fragments, each with a ping behind it"), 1, 7);
  events.insert(events.end(), (fragmented.size() - 1) / 13, ping("ping"));
  events.push_back(text("in fragments, each with a ping behind it"));
  events.push_back(text(""));
  events.push_back(text(""));
  events.push_back(binary("uncompressed"));
  events.push_back(text("\xe2\x82\xac one frame \xe2\x82\xac"));
  events.push_back(binary("final \xff"));
  events.push_back(binary(std::string(300, '\xff')));
  events.push_back({Kind::close, {}, CloseCode::normal});
  return events;
}

class AnyChunking : public ::testing::TestWithParam<std::pair<bool, size_t>> {};

TEST_P(AnyChunking, GivesTheSameEvents) {
  const auto [takeover, lent_max] = GetParam();
  const DeflateParameters parameters{.client_no_context_takeover = !takeover};
  const std::string wire = mixed_wire(takeover);
  const std::vector<Seen> expected = read_all(wire, parameters);
  // With takeover the fragments are fewer, and so are the pings between them.
  if (!takeover) {
    EXPECT_EQ(expected, mixed_events());
  }
  EXPECT_EQ(expected.back().kind, Kind::close);
  InflaterPool pool(lent_max);
  for (size_t cut = 0; cut <= wire.size(); ++cut) {
    DeflateFeeder feeder(pool, parameters);
    feeder.feed(std::string_view(wire).substr(0, cut));
    feeder.feed(std::string_view(wire).substr(cut));
    ASSERT_EQ(feeder.seen(), expected) << "cut at " << cut;
    ASSERT_EQ(feeder.held_bytes(), 0u);
  }
  for (const size_t chop : {1u, 2u, 3u, 7u, 20u}) {
    DeflateFeeder feeder(pool, parameters);
    feeder.feed_chopped(wire, chop);
    ASSERT_EQ(feeder.seen(), expected) << "chops of " << chop;
  }
  EXPECT_EQ(pool.lent(), 0u);
}

INSTANTIATE_TEST_SUITE_P(Reader, AnyChunking,
                         ::testing::Values(std::pair(false, 16), std::pair(false, 0), std::pair(true, 16)));

// Spoilt anywhere, a message is refused for one reason or means something else, and the
// same in any chunking.
TEST(CorruptMessages, MeanTheSameInAnyChunking) {
  const std::string payload = compressed(json(400));
  Prng random(1951);
  size_t refused = 0;
  for (size_t at = 0; at < payload.size(); ++at) {
    std::string spoilt = payload;
    spoilt[at] = static_cast<char>(static_cast<uint8_t>(spoilt[at]) ^ 1u << random.below(8));
    const std::string wire = frames(spoilt) + encode_close(1000);
    const std::vector<Seen> whole = read_all(wire, kAlone, 600);
    ASSERT_FALSE(whole.empty());
    if (whole[0].kind == Kind::error) {
      ++refused;
      EXPECT_TRUE(whole[0].code == CloseCode::invalid_payload || whole[0].code == CloseCode::message_too_big);
    }
    for (const size_t lent_max : {0u, 1u}) {
      InflaterPool pool(lent_max);
      DeflateFeeder feeder(pool, kAlone, 600);
      feeder.feed_chopped(wire, 1);
      ASSERT_EQ(feeder.seen(), whole) << at;
      EXPECT_EQ(pool.lent(), 0u);
    }
  }
  EXPECT_GT(refused, payload.size() / 5) << "the rest is a text of another wording";
}

// ── What is refused ──────────────────────────────────────────────────────────

TEST(CompressedMessage, IsAViolationUnlessNegotiated) {
  WebSocketReader reader(kLimit);
  std::string wire = frames(compressed("hello"));
  MutableBytes input(reinterpret_cast<std::byte*>(wire.data()), wire.size());
  EXPECT_EQ(reader.next(input).code, CloseCode::protocol_error);
}

TEST(CompressedMessage, OnlyItsFirstFrameIsMarked) {
  const std::string first = encode({.payload = "\xf2\x48", .fin = false, .rsv = kRsv1});
  const std::vector<Seen> violation{failed(CloseCode::protocol_error)};
  EXPECT_EQ(read_all(first + encode({.opcode = 0, .payload = "\xcd", .rsv = kRsv1})), violation);
  EXPECT_EQ(read_all(encode({.payload = "plain", .fin = false}) + encode({.opcode = 0, .rsv = kRsv1})),
            violation);
  EXPECT_EQ(read_all(encode({.opcode = 9, .rsv = kRsv1})), violation);
  EXPECT_EQ(read_all(encode({.opcode = 10, .rsv = kRsv1})), violation);
  EXPECT_EQ(read_all(encode({.opcode = 8, .rsv = kRsv1})), violation);
  EXPECT_EQ(read_all(encode({.payload = "\xf2", .rsv = kRsv1 | 2})), violation);
  EXPECT_EQ(read_all(encode({.payload = "\xf2", .rsv = kRsv1 | 1})), violation);
}

TEST(CompressedMessage, MustInflate) {
  EXPECT_EQ(read_all(frames("\x06")), (std::vector<Seen>{failed(CloseCode::invalid_payload)}));
  EXPECT_EQ(read_all(frames(compressed("cut off, cut off").substr(0, 5))),
            (std::vector<Seen>{failed(CloseCode::invalid_payload)}));
  // Told while the frame is still coming.
  InflaterPool pool;
  DeflateFeeder feeder(pool);
  feeder.feed(encode({.payload = "\x06", .rsv = kRsv1, .declared_bytes = 1000}));
  EXPECT_EQ(feeder.error(), CloseCode::invalid_payload);
  EXPECT_EQ(pool.lent(), 0u);
}

TEST(CompressedMessage, MayReferToOthersOnlyIfNegotiated) {
  DeflatingPeer peer(15, true);
  const std::string message = noise(500);
  std::string wire = frames(peer.compress(message), 2);
  wire += frames(peer.compress(message), 2);
  EXPECT_EQ(read_all(wire, kTakeover), (std::vector<Seen>{binary(message), binary(message)}));
  EXPECT_EQ(read_all(wire), (std::vector<Seen>{binary(message), failed(CloseCode::invalid_payload)}));
}

TEST(CompressedMessage, FailsAtTheFirstImpossibleOctetInTheMiddleOfAFrame) {
  DeflatingPeer peer;
  const std::string before = peer.flush(json(5000) + "\xed", Z_SYNC_FLUSH);
  const std::string bad = peer.flush("\xa0", Z_SYNC_FLUSH);
  const std::string rest = peer.flush(json(5000), Z_SYNC_FLUSH);
  const std::string wire = frames(before + bad + rest);
  const size_t bad_at = wire.size() - rest.size() - bad.size();
  for (const DeflateParameters& parameters : {kAlone, kTakeover}) {
    InflaterPool pool;
    DeflateFeeder feeder(pool, parameters);
    feeder.feed(wire.substr(0, bad_at));
    EXPECT_TRUE(feeder.seen().empty());
    feeder.feed(wire.substr(bad_at, bad.size()));
    EXPECT_EQ(feeder.error(), CloseCode::invalid_payload);
    EXPECT_EQ(feeder.held_bytes(), 0u);
  }
  // Where there was no inflater to be had, at the end.
  InflaterPool none(0);
  DeflateFeeder feeder(none);
  feeder.feed(wire.substr(0, wire.size() - 1));
  EXPECT_TRUE(feeder.seen().empty());
  feeder.feed(wire.substr(wire.size() - 1));
  EXPECT_EQ(feeder.error(), CloseCode::invalid_payload);
}

TEST(CompressedMessage, TextMustNotEndInsideACharacter) {
  EXPECT_EQ(read_all(frames(compressed("caf\xc3"))), (std::vector<Seen>{failed(CloseCode::invalid_payload)}));
  EXPECT_EQ(read_all(frames(compressed("caf\xc3"), 2)), (std::vector<Seen>{binary("caf\xc3")}));
}

// ── Limits and memory ────────────────────────────────────────────────────────

TEST(Limit, IsThatOfTheInflatedMessage) {
  for (const size_t limit : {0u, 1u, 63u, 64u, 1000u, 40'000u}) {
    const std::string fits = json(limit);
    EXPECT_EQ(read_all(frames(compressed(fits)), kAlone, limit), (std::vector<Seen>{text(fits)}));
    EXPECT_EQ(read_all(frames(compressed(fits + ' ')), kAlone, limit),
              (std::vector<Seen>{failed(CloseCode::message_too_big)}));
  }
}

// It is longer compressed than the limit allows messages to be.
TEST(Limit, AMessageThatDoesNotCompressMayReachIt) {
  for (const size_t limit : {16u, 1000u, 100'000u}) {
    const std::string message = noise(limit);
    const std::string payload = DeflatingPeer(15, false, 0).compress(message);
    ASSERT_GT(payload.size(), limit);
    EXPECT_EQ(read_all(frames(payload, 2), kAlone, limit), (std::vector<Seen>{binary(message)}));
  }
}

TEST(Limit, OfWhatComesAsItIsStaysAsItWas) {
  InflaterPool pool;
  DeflateFeeder feeder(pool, kAlone, 1000);
  feeder.feed(encode({.payload = std::string(600, 'x'), .fin = false}));
  feeder.feed(encode({.opcode = 0, .payload = std::string(400, 'x')}));
  EXPECT_EQ(feeder.seen(), (std::vector<Seen>{text(std::string(1000, 'x'))}));
  feeder.feed(encode({.opcode = 2, .declared_bytes = 1001}));
  EXPECT_EQ(feeder.error(), CloseCode::message_too_big);
}

TEST(Limit, UtfEightIsJudgedUpToIt) {
  EXPECT_EQ(read_all(frames(compressed(std::string(99, 'x') + "\xff\xff")), kAlone, 100),
            (std::vector<Seen>{failed(CloseCode::invalid_payload)}));
  EXPECT_EQ(read_all(frames(compressed(std::string(100, 'x') + "\xff")), kAlone, 100),
            (std::vector<Seen>{failed(CloseCode::message_too_big)}));
}

// A GiB of zeros in a MiB, all of it sent: the reader stops where the limit is.
TEST(Bomb, EndsAtTheLimit) {
  const std::string mebibyte = compressed(std::string(1 << 20, '\0')) + std::string("\0\0\xff\xff", 4);
  std::string payload;
  for (int i = 0; i < 1024; ++i) payload += mebibyte;
  ASSERT_LT(payload.size(), 2u << 20);
  constexpr uint64_t kMessageLimit = 3 << 20;
  for (const size_t chop : {payload.size() + 14, size_t{1000}}) {
    for (const size_t lent_max : {0u, 1u}) {
      for (const DeflateParameters& parameters : {kAlone, kTakeover}) {
        InflaterPool pool(lent_max);
        DeflateFeeder feeder(pool, parameters, kMessageLimit);
        feeder.feed_chopped(frames(payload, 2), chop);
        EXPECT_EQ(feeder.seen(), (std::vector<Seen>{failed(CloseCode::message_too_big)}));
        EXPECT_LE(feeder.held_peak(), kMessageLimit + 1);
        EXPECT_EQ(pool.lent(), 0u);
      }
    }
  }
}

TEST(Bomb, GrowsTheBufferNoFasterThanItInflates) {
  DeflatingPeer peer;
  InflaterPool pool;
  DeflateFeeder feeder(pool, kAlone, 1 << 30);
  const std::string wire =
      frames(peer.flush(std::string(100'000, 'x'), Z_SYNC_FLUSH) + peer.compress("rest"));
  feeder.feed_chopped(wire.substr(0, wire.size() - 2), 10);
  EXPECT_LE(feeder.held_peak(), 200'008u);
}

// Empty blocks inflate to nothing, forever.
TEST(Bomb, OfNothingEndsToo) {
  const std::string block("\0\0\0\xff\xff", 5);
  std::string blocks;
  for (int i = 0; i < 100; ++i) blocks += block;
  InflaterPool pool;
  DeflateFeeder feeder(pool, kAlone, 10'000);
  feeder.feed(encode({.payload = blocks, .fin = false, .rsv = kRsv1}));
  size_t sent = blocks.size();
  for (; feeder.error() == CloseCode::none && sent < 100'000; sent += blocks.size()) {
    feeder.feed(encode({.opcode = 0, .payload = blocks, .fin = false}));
  }
  EXPECT_EQ(feeder.error(), CloseCode::message_too_big);
  EXPECT_GT(sent, 10'000u);
  EXPECT_LT(sent, 13'000u);
}

// Messages sent half, by many: as many inflaters as the pool has, and for the others
// what they sent.
TEST(Crowd, PinsNoMoreThanThePoolLends) {
  const std::string message(500'000, 'z');
  const std::string wire = frames(compressed(message));
  InflaterPool pool(3);
  std::vector<std::unique_ptr<DeflateFeeder>> crowd;
  for (int i = 0; i < 20; ++i) crowd.push_back(std::make_unique<DeflateFeeder>(pool));
  for (const auto& feeder : crowd) feeder->feed(wire.substr(0, wire.size() - 5));
  EXPECT_EQ(pool.lent(), 3u);
  EXPECT_EQ(
      std::ranges::count_if(crowd, [&](const auto& feeder) { return feeder->held_bytes() > wire.size(); }),
      3);

  // Whoever leaves makes room: by an end, by vanishing, by going on.
  crowd[0]->feed("spoil");
  EXPECT_EQ(crowd[0]->error(), CloseCode::invalid_payload);
  EXPECT_EQ(pool.lent(), 2u);
  crowd[1].reset();
  EXPECT_EQ(pool.lent(), 1u);
  crowd[2]->feed(wire.substr(wire.size() - 5));
  EXPECT_EQ(pool.lent(), 0u);
  EXPECT_EQ(crowd[2]->seen(), (std::vector<Seen>{text(message)}));
  crowd[3]->feed(wire.substr(wire.size() - 5, 1));
  EXPECT_EQ(pool.lent(), 1u) << "gathered until now, inflated from here on";
  EXPECT_GT(crowd[3]->held_bytes(), wire.size());
  for (int i = 3; i < 20; ++i) {
    crowd[i]->feed(wire.substr(wire.size() - (i == 3 ? 4 : 5)));
    EXPECT_EQ(crowd[i]->seen(), (std::vector<Seen>{text(message)})) << i;
    EXPECT_EQ(crowd[i]->held_bytes(), 0u);
  }
  EXPECT_EQ(pool.lent(), 0u);
}

TEST(Crowd, ACloseInsideAMessageGivesTheInflaterBack) {
  InflaterPool pool(1);
  DeflateFeeder feeder(pool);
  feeder.feed(encode({.payload = compressed("hello, hello").substr(0, 5), .fin = false, .rsv = kRsv1}));
  EXPECT_EQ(pool.lent(), 1u);
  feeder.feed(encode_close(1000));
  EXPECT_EQ(pool.lent(), 0u);
  EXPECT_EQ(feeder.held_bytes(), 0u);
}

TEST(Crowd, MessagesInOneInputBorrowNothing) {
  InflaterPool pool(0);
  DeflateFeeder one(pool);
  DeflateFeeder other(pool);
  for (int i = 0; i < 3; ++i) {
    one.feed(frames(compressed("one, one, one")));
    other.feed(frames(compressed("other, other")));
  }
  EXPECT_EQ(one.seen(), std::vector<Seen>(3, text("one, one, one")));
  EXPECT_EQ(other.seen(), std::vector<Seen>(3, text("other, other")));
}

}  // namespace websocket_deflate_test
}  // namespace ringcast
