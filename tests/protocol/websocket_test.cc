// The message reader: all of Autobahn's server-side expectations as pure tests, any
// chunking alike, and the memory it takes for messages that do not arrive.
#include "protocol/websocket.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <memory>
#include <set>
#include <string>
#include <vector>

#include "base/prng.h"
#include "support/autobahn_cases.h"
#include "support/client_frames.h"
#include "support/guarded_bytes.h"
#include "support/reader_feed.h"

namespace ringcast {
namespace websocket_test {

using Event = WebSocketReader::Event;
using Kind = WebSocketReader::Event::Kind;

constexpr uint64_t kLimit = 16 * 1024 * 1024;

std::vector<Seen> read_all(std::string_view wire, size_t chop_bytes = 0, uint64_t limit = kLimit) {
  Feeder feeder(limit);
  feeder.feed_chopped(wire, chop_bytes);
  return feeder.seen();
}

Seen text(std::string payload) {
  return {Kind::text, std::move(payload)};
}
Seen binary(std::string payload) {
  return {Kind::binary, std::move(payload)};
}
Seen ping(std::string payload) {
  return {Kind::ping, std::move(payload)};
}
Seen pong(std::string payload) {
  return {Kind::pong, std::move(payload)};
}
Seen closed(CloseCode code, std::string reason = {}) {
  return {Kind::close, std::move(reason), code};
}
Seen failed(CloseCode code) {
  return {Kind::error, {}, code};
}

// ── Autobahn ─────────────────────────────────────────────────────────────────

// What an echo server makes of the reader's events.
struct Conversation {
  std::vector<AutobahnCase::Reply> replies;
  bool ended = false;
  unsigned close_code = 0;  // in the server's Close
};

Conversation echoed(const std::vector<Seen>& seen) {
  Conversation conversation;
  for (const Seen& event : seen) {
    EXPECT_FALSE(conversation.ended) << "nothing comes after the end";
    switch (event.kind) {
      case Kind::text:
        conversation.replies.push_back({1, event.payload});
        break;
      case Kind::binary:
        conversation.replies.push_back({2, event.payload});
        break;
      case Kind::ping:
        conversation.replies.push_back({10, event.payload});
        break;
      case Kind::close:
      case Kind::error:
        conversation.ended = true;
        conversation.close_code = static_cast<unsigned>(event.code);
        break;
      case Kind::pong:
      case Kind::need_more:
        break;
    }
  }
  return conversation;
}

class AutobahnReader : public ::testing::TestWithParam<AutobahnEntry> {
 protected:
  // `forced_chop` of 0 keeps the pieces of the case.
  void run(size_t forced_chop) {
    const AutobahnCase given = GetParam().make();
    Feeder feeder(kLimit);
    for (const AutobahnCase::Step& step : given.steps) {
      feeder.feed_chopped(step.bytes, forced_chop != 0 ? forced_chop : step.chop_bytes);
      const auto replies = std::ranges::count_if(feeder.seen(), [](const Seen& seen) {
        return seen.kind != Kind::pong && seen.kind != Kind::error;
      });
      EXPECT_GE(static_cast<size_t>(replies), step.replies_due);
    }
    if (given.ending == AutobahnCase::Ending::client_closes) {
      EXPECT_FALSE(echoed(feeder.seen()).ended);
      feeder.feed(encode_close(1000));
    }
    const Conversation conversation = echoed(feeder.seen());
    EXPECT_TRUE(conversation.replies == given.replies);  // not EXPECT_EQ: it would print megabytes
    EXPECT_TRUE(conversation.ended);
    EXPECT_EQ(std::ranges::count(given.close_codes, conversation.close_code), 1) << conversation.close_code;
    if (given.ending == AutobahnCase::Ending::server_fails) {
      EXPECT_EQ(feeder.seen().back().kind, Kind::error);
    }
  }
};

TEST_P(AutobahnReader, AsSent) {
  run(0);
}

INSTANTIATE_TEST_SUITE_P(Case, AutobahnReader, ::testing::ValuesIn(autobahn_entries()),
                         [](const auto& info) { return autobahn_test_name(info.param); });

using AutobahnReaderByOctet = AutobahnReader;

TEST_P(AutobahnReaderByOctet, SaysTheSame) {
  run(1);
}

// Category 9 is about megabytes, and has its own chops.
std::vector<AutobahnEntry> small_entries() {
  std::vector<AutobahnEntry> entries = autobahn_entries();
  std::erase_if(entries, [](const AutobahnEntry& entry) { return entry.in(9); });
  return entries;
}

INSTANTIATE_TEST_SUITE_P(Case, AutobahnReaderByOctet, ::testing::ValuesIn(small_entries()),
                         [](const auto& info) { return autobahn_test_name(info.param); });

TEST(AutobahnTable, HoldsAllCasesOfItsCategories) {
  const auto& entries = autobahn_entries();
  EXPECT_EQ(entries.size(), 301u);
  std::set<std::string> ids;
  for (const AutobahnEntry& entry : entries) ids.insert(entry.id);
  EXPECT_EQ(ids.size(), entries.size());
}

// ── Messages and the order of things ─────────────────────────────────────────

std::string mixed_wire() {
  std::string wire;
  wire += encode({.payload = "one frame"});
  wire += encode({.opcode = 2, .payload = std::string(200, '\xff'), .fin = false});
  wire += encode({.opcode = 9, .payload = "ping amid fragments"});
  wire += encode({.opcode = 0, .payload = "", .fin = false});
  wire += encode({.opcode = 10, .payload = std::string(125, 'p')});
  wire += encode({.opcode = 0, .payload = std::string(130, '\0')});
  wire += encode({.payload = "", .fin = false});
  wire += encode({.opcode = 9});
  wire += encode({.opcode = 0, .payload = "\xe2\x82", .fin = false});
  wire += encode({.opcode = 0, .payload = "\xac"});
  wire += encode({.payload = ""});
  wire += encode_close(1001, "leaving \xe2\x82\xac");
  wire += encode({.payload = "after the close"});
  return wire;
}

std::vector<Seen> mixed_events() {
  return {text("one frame"),
          ping("ping amid fragments"),
          pong(std::string(125, 'p')),
          binary(std::string(200, '\xff') + std::string(130, '\0')),
          ping(""),
          text("\xe2\x82\xac"),
          text(""),
          closed(CloseCode::going_away, "leaving \xe2\x82\xac")};
}

TEST(WebSocketReader, ReadsAWholeConversation) {
  EXPECT_EQ(read_all(mixed_wire()), mixed_events());
}

TEST(WebSocketReader, AnySplitGivesTheSameEvents) {
  const std::string wire = mixed_wire();
  EXPECT_EQ(read_all(wire, 1), mixed_events());
  for (size_t cut = 0; cut <= wire.size(); ++cut) {
    Feeder feeder(kLimit);
    feeder.feed(std::string_view(wire).substr(0, cut));
    feeder.feed(std::string_view(wire).substr(cut));
    ASSERT_EQ(feeder.seen(), mixed_events()) << "cut at " << cut;
  }
}

TEST(WebSocketReader, ReadsNothingBeyondTheInput) {
  const std::string wire = mixed_wire();
  for (size_t end = 0; end <= wire.size(); ++end) {
    GuardedBytes guarded(std::string_view(wire).substr(0, end));
    Feeder feeder(kLimit);
    feeder.feed_in_place(guarded.bytes());
  }
}

// Random conversations, some of them spoilt by one octet, in random chunks: whatever they
// mean, they mean the same in one piece.
TEST(WebSocketReader, RandomChunksGiveTheSameEvents) {
  Prng random(20110712);
  for (int round = 0; round < 2000; ++round) {
    std::string wire;
    for (uint64_t frames = 1 + random.below(8); frames > 0; --frames) {
      static constexpr unsigned kOpcodes[] = {0, 0, 1, 1, 2, 9, 10, 8};
      std::string payload(random.below(random.chance(0.9) ? 40 : 400), '\0');
      // Mostly text, so that most of it survives as UTF-8.
      for (char& octet : payload) octet = static_cast<char>(random.chance(0.999) ? 'a' : random.below(256));
      const unsigned opcode = kOpcodes[random.below(random.chance(0.1) ? 8 : 7)];
      if (opcode >= 8) payload.resize(std::min<size_t>(payload.size(), 125));
      if (opcode == 8) payload = std::string("\x03\xe8") + payload.substr(0, 123);
      wire += encode({.opcode = opcode, .payload = payload, .fin = opcode >= 8 || random.chance(0.6)});
    }
    if (random.chance(0.3)) wire[random.below(wire.size())] = static_cast<char>(random.below(256));

    const std::vector<Seen> whole = read_all(wire, 0, 500);
    Feeder feeder(500);
    for (size_t at = 0; at < wire.size();) {
      const size_t bytes = random.below(random.chance(0.5) ? 4 : 100);
      feeder.feed(std::string_view(wire).substr(at, bytes));
      at += bytes;
    }
    ASSERT_EQ(feeder.seen(), whole) << "round " << round;
  }
}

TEST(WebSocketReader, DeliversAMessageLyingInOneInputWhereItLies) {
  for (const unsigned opcode : {1u, 2u, 9u, 10u}) {
    WebSocketReader reader(kLimit);
    std::string wire =
        encode({.opcode = opcode, .payload = "here"}) + encode({.opcode = opcode, .payload = "there"});
    MutableBytes input(reinterpret_cast<std::byte*>(wire.data()), wire.size());
    const std::byte* start = input.data();
    EXPECT_EQ(reader.next(input).payload.data(), start + 6);
    EXPECT_EQ(reader.next(input).payload.data(), start + 6 + 4 + 6);
    EXPECT_EQ(reader.held_bytes(), 0u);
  }
}

// Its header came with an earlier input; the bytes still need no copy.
TEST(WebSocketReader, DeliversInPlaceBehindAHeaderCutInTwo) {
  const std::string wire = encode({.payload = std::string(300, 'x')});
  for (size_t cut = 1; cut <= 8; ++cut) {
    WebSocketReader reader(kLimit);
    std::string head = wire.substr(0, cut);
    std::string rest = wire.substr(cut);
    MutableBytes first(reinterpret_cast<std::byte*>(head.data()), head.size());
    MutableBytes second(reinterpret_cast<std::byte*>(rest.data()), rest.size());
    EXPECT_EQ(reader.next(first).kind, Kind::need_more);
    const std::byte* start = second.data();
    EXPECT_EQ(reader.next(second).payload.data(), start + 8 - cut);
    EXPECT_EQ(reader.held_bytes(), 0u);
  }
}

// ── Memory ───────────────────────────────────────────────────────────────────

TEST(WebSocketReader, HoldsWhatArrivedAndNotWhatWasDeclared) {
  Feeder feeder(1 << 20);
  feeder.feed(encode({.opcode = 2, .payload = "abc", .declared_bytes = 1 << 20}));
  EXPECT_GE(feeder.held_bytes(), 3u);
  EXPECT_LE(feeder.held_bytes(), 64u);
}

TEST(WebSocketReader, GrowsGeometricallyAndNeverPastTheMessage) {
  constexpr size_t kBytes = 1'000'003;  // no power of two
  const std::string wire = encode({.opcode = 2, .payload = std::string(kBytes, 'x')});
  Feeder feeder(2 * kBytes);
  size_t arrived = 0;
  size_t held_before = 0;
  int growths = 0;
  for (size_t at = 0; at + 1000 < wire.size(); at += 1000) {
    feeder.feed(std::string_view(wire).substr(at, 1000));
    arrived = at + 1000 - 14;
    ASSERT_GE(feeder.held_bytes(), arrived);
    ASSERT_LE(feeder.held_bytes(), std::max<size_t>(64, std::min(kBytes, 2 * arrived)));
    growths += feeder.held_bytes() != held_before;
    held_before = feeder.held_bytes();
  }
  EXPECT_LE(growths, 12);  // 1000 * 2^11 > kBytes
}

TEST(WebSocketReader, FragmentsNeverHoldMoreThanTheLimit) {
  constexpr size_t kSmall = 1000;
  Feeder feeder(kSmall);
  feeder.feed(encode({.opcode = 2, .payload = std::string(600, 'x'), .fin = false}));
  feeder.feed(encode({.opcode = 0, .payload = std::string(399, 'x'), .fin = false}));
  EXPECT_LE(feeder.held_bytes(), kSmall);
  // The one exception, bounded: a control frame cut in two.
  feeder.feed(encode({.opcode = 9, .payload = std::string(125, 'x')}).substr(0, 130));
  EXPECT_LE(feeder.held_bytes(), kSmall + 125);
}

TEST(WebSocketReader, LetsGoOfTheBufferWithTheMessage) {
  const std::string wire = encode({.opcode = 2, .payload = std::string(5000, 'x')});
  WebSocketReader reader(kLimit);
  std::string head = wire.substr(0, 3000);
  std::string rest = wire.substr(3000);
  MutableBytes first(reinterpret_cast<std::byte*>(head.data()), head.size());
  MutableBytes second(reinterpret_cast<std::byte*>(rest.data()), rest.size());
  EXPECT_EQ(reader.next(first).kind, Kind::need_more);
  EXPECT_GT(reader.held_bytes(), 0u);
  const Event event = reader.next(second);
  EXPECT_EQ(event.payload.size(), 5000u);
  EXPECT_EQ(event.payload.back(), std::byte{'x'});
  EXPECT_EQ(reader.next(second).kind, Kind::need_more);
  EXPECT_EQ(reader.held_bytes(), 0u);
}

TEST(WebSocketReader, LetsGoOfTheBufferOfACutControlFrame) {
  const std::string wire = encode({.opcode = 9, .payload = "12345678"});
  Feeder feeder(kLimit);
  feeder.feed(wire.substr(0, 9));
  EXPECT_GT(feeder.held_bytes(), 0u);
  feeder.feed(wire.substr(9));
  EXPECT_EQ(feeder.held_bytes(), 0u);
  EXPECT_EQ(feeder.seen(), (std::vector<Seen>{ping("12345678")}));
}

TEST(WebSocketReader, CutControlFramesLeaveTheMessageTheyInterruptAlone) {
  const std::string cut_ping = encode({.opcode = 9, .payload = std::string(125, 'p')});
  for (size_t cut = 1; cut < cut_ping.size(); ++cut) {
    Feeder feeder(kLimit);
    feeder.feed(encode({.payload = "before ", .fin = false}));
    feeder.feed(cut_ping.substr(0, cut));
    feeder.feed(cut_ping.substr(cut));
    feeder.feed(encode({.opcode = 0, .payload = "after"}));
    ASSERT_EQ(feeder.seen(), (std::vector<Seen>{ping(std::string(125, 'p')), text("before after")})) << cut;
    ASSERT_EQ(feeder.held_bytes(), 0u);
  }
}

TEST(WebSocketReader, ACloseInsideAMessageDropsTheMessage) {
  Feeder feeder(kLimit);
  feeder.feed(encode({.payload = std::string(10'000, 'x'), .fin = false}));
  feeder.feed(encode_close(1000));
  EXPECT_EQ(feeder.seen(), (std::vector<Seen>{closed(CloseCode::normal)}));
  EXPECT_EQ(feeder.held_bytes(), 0u);
}

// ── Limits ───────────────────────────────────────────────────────────────────

TEST(WebSocketReader, TakesAMessageOfExactlyTheLimit) {
  EXPECT_EQ(read_all(encode({.payload = std::string(1000, 'x')}), 0, 1000),
            (std::vector<Seen>{text(std::string(1000, 'x'))}));
  EXPECT_EQ(read_all(encode({.payload = std::string(400, 'x'), .fin = false}) +
                         encode({.opcode = 0, .payload = std::string(600, 'x')}),
                     1, 1000),
            (std::vector<Seen>{text(std::string(1000, 'x'))}));
}

TEST(WebSocketReader, RefusesAMessageOverTheLimitAtItsHeader) {
  for (const uint64_t declared : {uint64_t{1001}, uint64_t{1} << 31, (uint64_t{1} << 32) + 5}) {
    Feeder feeder(1000);
    const std::string wire = encode({.opcode = 2, .declared_bytes = declared});
    feeder.feed(wire.substr(0, wire.size() - 4));  // without the key even
    EXPECT_EQ(feeder.error(), CloseCode::message_too_big) << declared;
    EXPECT_EQ(feeder.held_bytes(), 0u);
  }
}

TEST(WebSocketReader, RefusesTheFragmentThatTakesTheSumOverTheLimit) {
  Feeder feeder(1000);
  feeder.feed(encode({.payload = std::string(400, 'x'), .fin = false}));
  feeder.feed(encode({.opcode = 9, .payload = std::string(125, 'x')}));  // does not count
  feeder.feed(encode({.opcode = 0, .payload = std::string(600, 'x'), .fin = false}));
  feeder.feed(encode({.opcode = 0, .fin = false}));
  EXPECT_EQ(feeder.error(), CloseCode::none);
  feeder.feed(encode({.opcode = 0, .declared_bytes = 1}));  // the header alone
  EXPECT_EQ(feeder.error(), CloseCode::message_too_big);
}

TEST(WebSocketReader, CountsEachMessageByItself) {
  Feeder feeder(10);
  for (int i = 0; i < 5; ++i) feeder.feed_chopped(encode({.payload = "1234567890"}), 3);
  EXPECT_EQ(feeder.seen(), std::vector<Seen>(5, text("1234567890")));
}

TEST(WebSocketReader, LimitsOfGibibytesStayBelowTwo) {
  Feeder feeder(UINT64_MAX);
  feeder.feed(encode({.opcode = 2, .declared_bytes = (uint64_t{1} << 31) - 1}));
  EXPECT_EQ(feeder.error(), CloseCode::none);
  Feeder other(UINT64_MAX);
  other.feed(encode({.opcode = 2, .payload = "x", .fin = false}));
  other.feed(encode({.opcode = 0, .declared_bytes = (uint64_t{1} << 31) - 1}));
  EXPECT_EQ(other.error(), CloseCode::message_too_big);
}

// ── UTF-8 ────────────────────────────────────────────────────────────────────

// The frame declares more than ever comes; the offence is told at its octet.
TEST(WebSocketReader, FailsAtTheFirstImpossibleOctetInTheMiddleOfAFrame) {
  struct Text {
    std::string octets;
    size_t impossible_at;
  };
  const Text kTexts[] = {{"ok \xff", 3},       {"\xc0\xaf", 0},
                         {"\xe0\x80", 1},      {"\xed\xa0\x80", 1},
                         {"\xf0\x80", 1},      {"\xf4\x90", 1},
                         {"\xf5", 0},          {"\xe2\x82 ", 2},
                         {"\xf0\x9f\x98x", 3}, {std::string(300, 'x') + "\x80", 300}};
  for (const Text& bad : kTexts) {
    const std::string wire = encode({.payload = bad.octets + std::string(500, 'x')});
    const size_t header_bytes = wire.size() - bad.octets.size() - 500;
    Feeder feeder(kLimit);
    feeder.feed(wire.substr(0, header_bytes + bad.impossible_at));
    EXPECT_EQ(feeder.error(), CloseCode::none) << bad.impossible_at;
    feeder.feed(wire.substr(header_bytes + bad.impossible_at, 1));
    EXPECT_EQ(feeder.error(), CloseCode::invalid_payload) << bad.impossible_at;
  }
}

TEST(WebSocketReader, TextMustNotEndInsideACharacter) {
  EXPECT_EQ(read_all(encode({.payload = "\xe2\x82"})),
            (std::vector<Seen>{failed(CloseCode::invalid_payload)}));
  EXPECT_EQ(read_all(encode({.payload = "\xe2", .fin = false}) + encode({.opcode = 0, .payload = "\x82"})),
            (std::vector<Seen>{failed(CloseCode::invalid_payload)}));
}

TEST(WebSocketReader, AnUnfinishedCharacterDoesNotLeakIntoTheNextMessage) {
  EXPECT_EQ(read_all(encode({.payload = "ok"}) + encode({.payload = "\x82"})),
            (std::vector<Seen>{text("ok"), failed(CloseCode::invalid_payload)}));
}

TEST(WebSocketReader, BinaryAndPingsMayHoldAnything) {
  EXPECT_EQ(
      read_all(encode({.opcode = 2, .payload = "\xff\xfe"}) + encode({.opcode = 9, .payload = "\xc0\xaf"})),
      (std::vector<Seen>{binary("\xff\xfe"), ping("\xc0\xaf")}));
}

TEST(WebSocketReader, APingInsideACharacterDoesNotDisturbIt) {
  EXPECT_EQ(read_all(encode({.payload = "\xe2", .fin = false}) + encode({.opcode = 9, .payload = "\xff"}) +
                     encode({.opcode = 0, .payload = "\x82\xac"})),
            (std::vector<Seen>{ping("\xff"), text("\xe2\x82\xac")}));
}

// ── Closing ──────────────────────────────────────────────────────────────────

TEST(WebSocketReader, EveryCloseCodeIsEitherTakenOrRefused) {
  for (unsigned code = 0; code <= 65535; ++code) {
    const auto seen = read_all(encode_close(code, "why"));
    ASSERT_EQ(seen.size(), 1u);
    const bool valid =
        (code >= 1000 && code <= 1003) || (code >= 1007 && code <= 1014) || (code >= 3000 && code <= 4999);
    const Seen expected =
        valid ? closed(static_cast<CloseCode>(code), "why") : failed(CloseCode::protocol_error);
    ASSERT_EQ(seen[0], expected) << code;
  }
}

TEST(WebSocketReader, JudgesCloseBodies) {
  EXPECT_EQ(read_all(encode({.opcode = 8})), (std::vector<Seen>{closed(CloseCode::none)}));
  EXPECT_EQ(read_all(encode({.opcode = 8, .payload = "\x03"})),
            (std::vector<Seen>{failed(CloseCode::protocol_error)}));
  EXPECT_EQ(read_all(encode_close(1000, "\xff")), (std::vector<Seen>{failed(CloseCode::invalid_payload)}));
  EXPECT_EQ(read_all(encode_close(1000, "\xe2\x82")),
            (std::vector<Seen>{failed(CloseCode::invalid_payload)}));
  EXPECT_EQ(read_all(encode_close(1000, std::string(123, 'x')), 1),
            (std::vector<Seen>{closed(CloseCode::normal, std::string(123, 'x'))}));
}

TEST(WebSocketReader, SaysNothingAfterTheEnd) {
  for (const std::string& end : {encode_close(1000), encode({.opcode = 3}), encode({.payload = "\xff"})}) {
    Feeder feeder(kLimit);
    feeder.feed(end + encode({.payload = "in the same input"}));
    ASSERT_EQ(feeder.seen().size(), 1u);
    feeder.feed(encode({.opcode = 9, .payload = "later"}));
    feeder.feed(encode({.opcode = 3}));
    feeder.feed(encode_close(1000));
    feeder.feed(encode({.opcode = 2, .payload = std::string(1000, 'x')}).substr(0, 500));
    EXPECT_EQ(feeder.seen().size(), 1u);
    EXPECT_EQ(feeder.held_bytes(), 0u);
  }
}

}  // namespace websocket_test
}  // namespace ringcast
