// The frame parser: every rule for a single frame, at the octet that proves the
// violation; any chunking gives the same frames; nothing is read beyond the input.
#include "protocol/frame_parser.h"

#include <gtest/gtest.h>

#include <memory>
#include <ostream>
#include <string>
#include <vector>

#include "base/prng.h"
#include "support/client_frames.h"
#include "support/guarded_bytes.h"

namespace ringcast {
namespace frame_parser_test {

using namespace std::string_literals;
using Kind = FrameParser::Event::Kind;

constexpr uint64_t kNoLimit = UINT64_MAX;

// A frame put together from its events, or the error that ended them.
struct Seen {
  Opcode opcode = Opcode::continuation;
  bool fin = false;
  bool compressed = false;
  std::string payload = {};
  bool whole = false;
  CloseCode error = CloseCode::none;

  friend bool operator==(const Seen&, const Seen&) = default;
};

void PrintTo(const Seen& seen, std::ostream* out) {
  *out << "{opcode " << int(seen.opcode) << (seen.fin ? " fin" : "") << (seen.whole ? "" : " unfinished")
       << " " << seen.payload.size() << " bytes, error " << int(seen.error) << "}";
}

// Feeds chunks, each in memory of its own that is gone with the next, and puts the
// frames together.
class Feeder {
 public:
  explicit Feeder(uint64_t frame_bytes_max = kNoLimit, Rsv1 rsv1 = Rsv1::refused)
      : parser_(frame_bytes_max, rsv1) {}

  void feed(std::string_view chunk) {
    // Exactly as large as the chunk, so that a sanitizer sees one octet too many.
    const auto memory = std::make_unique<std::byte[]>(chunk.size());
    if (!chunk.empty()) std::memcpy(memory.get(), chunk.data(), chunk.size());
    feed_in_place({memory.get(), chunk.size()});
  }

  void feed_in_place(MutableBytes input) {
    const MutableBytes given = input;
    for (;;) {
      const auto event = parser_.next(input);
      if (event.kind == Kind::need_more) break;
      if (event.kind == Kind::error) {
        seen_.push_back({.error = event.error});
        EXPECT_FALSE(event.problem.empty());
        EXPECT_LE(event.problem.size(), kCloseReasonBytesMax);
        continue;
      }
      if (event.frame_begin) {
        ASSERT_TRUE(seen_.empty() || seen_.back().whole) << "a frame began before the last ended";
        seen_.push_back({.opcode = event.opcode, .fin = event.fin, .compressed = event.compressed});
      }
      ASSERT_FALSE(seen_.empty());
      EXPECT_EQ(event.opcode, seen_.back().opcode);
      EXPECT_EQ(event.fin, seen_.back().fin);
      if (!event.payload.empty()) {
        EXPECT_GE(event.payload.data(), given.data());
        EXPECT_LE(event.payload.data() + event.payload.size(), given.data() + given.size());
      }
      seen_.back().payload += as_text(event.payload);
      seen_.back().whole = event.frame_end();
    }
    EXPECT_TRUE(input.empty()) << "need_more means everything was consumed";
  }

  const std::vector<Seen>& seen() const { return seen_; }
  CloseCode error() const { return seen_.empty() ? CloseCode::none : seen_.back().error; }

 private:
  FrameParser parser_;
  std::vector<Seen> seen_;
};

std::vector<Seen> parse(std::string_view wire, size_t chunk_bytes) {
  Feeder feeder;
  for (; !wire.empty(); wire.remove_prefix(std::min(chunk_bytes, wire.size()))) {
    feeder.feed(wire.substr(0, chunk_bytes));
  }
  return feeder.seen();
}

// Every form of header, payloads empty and not, then an error and what must be lost.
std::string mixed_wire() {
  std::string wire;
  wire += encode({.payload = "Hello"});
  wire += encode({.opcode = 9});
  wire += encode({.opcode = 2, .payload = "", .fin = false});
  wire += encode({.opcode = 10, .payload = std::string(125, 'p')});
  wire += encode({.opcode = 0, .payload = std::string(126, 'x'), .fin = false, .key = {1, 2, 3, 4}});
  wire += encode({.opcode = 0, .payload = std::string(300, '\xff'), .key = {0, 0, 0, 0}});
  wire += encode({.opcode = 8, .payload = "\x03\xe8"});
  wire += encode({.opcode = 3, .payload = "reserved"});
  wire += encode({.payload = "after the error"});
  return wire;
}

// RFC 6455 section 5.7: a single-frame masked text message.
TEST(FrameParser, ReadsTheExampleOfTheRfc) {
  Feeder feeder;
  feeder.feed("\x81\x85\x37\xfa\x21\x3d\x7f\x9f\x4d\x51\x58");
  EXPECT_EQ(feeder.seen(), (std::vector<Seen>{{Opcode::text, true, false, "Hello", true, CloseCode::none}}));
}

TEST(FrameParser, ReadsEveryFormOfLength) {
  for (const size_t bytes : {0, 1, 125, 126, 127, 65535, 65536, 70000}) {
    Feeder feeder;
    const std::string payload(bytes, 'x');
    feeder.feed(encode({.opcode = 2, .payload = payload}));
    EXPECT_EQ(feeder.seen(),
              (std::vector<Seen>{{Opcode::binary, true, false, payload, true, CloseCode::none}}));
  }
}

TEST(FrameParser, AnySplitGivesTheSameFrames) {
  const std::string wire = mixed_wire();
  const std::vector<Seen> whole = parse(wire, wire.size());
  ASSERT_EQ(whole.size(), 8u);
  EXPECT_EQ(whole.back().error, CloseCode::protocol_error);
  EXPECT_EQ(parse(wire, 1), whole);
  for (size_t cut = 0; cut <= wire.size(); ++cut) {
    Feeder feeder;
    feeder.feed(wire.substr(0, cut));
    feeder.feed(wire.substr(cut));
    ASSERT_EQ(feeder.seen(), whole) << "cut at " << cut;
  }
}

TEST(FrameParser, RandomChunksGiveTheSameFrames) {
  const std::string wire = mixed_wire();
  const std::vector<Seen> whole = parse(wire, wire.size());
  Prng random(6455);
  for (int round = 0; round < 500; ++round) {
    Feeder feeder;
    for (size_t at = 0; at < wire.size();) {
      const size_t bytes = random.below(random.chance(0.5) ? 4 : 200);
      feeder.feed(std::string_view(wire).substr(at, bytes));
      at += bytes;
    }
    ASSERT_EQ(feeder.seen(), whole) << "round " << round;
  }
}

TEST(FrameParser, ReadsNothingBeyondTheInput) {
  const std::string wire = mixed_wire();
  for (size_t end = 0; end <= wire.size(); ++end) {
    GuardedBytes guarded(std::string_view(wire).substr(0, end));
    Feeder feeder;
    feeder.feed_in_place(guarded.bytes());
  }
}

TEST(FrameParser, TellsAFrameByItsHeaderAlone) {
  FrameParser parser(1000);
  std::string wire = encode({.opcode = 2, .payload = std::string(1000, 'x'), .fin = false});
  MutableBytes header(reinterpret_cast<std::byte*>(wire.data()), 8);
  const auto event = parser.next(header);
  EXPECT_EQ(event.kind, Kind::payload);
  EXPECT_TRUE(event.frame_begin);
  EXPECT_FALSE(event.frame_end());
  EXPECT_EQ(event.rest_bytes, 1000u);
  EXPECT_TRUE(event.payload.empty());
  EXPECT_EQ(parser.next(header).kind, Kind::need_more);
}

struct Violation {
  const char* about;
  std::string wire;
  size_t proven_by;  // octets after which it must be reported
  CloseCode error = CloseCode::protocol_error;
  uint64_t limit = kNoLimit;
};

std::vector<Violation> violations() {
  std::vector<Violation> all = {
      {"unmasked", encode({.payload = "Hello", .masked = false}), 2},
      {"unmasked and empty", encode({.masked = false}), 2},
      {"unmasked close", encode({.opcode = 8, .masked = false}), 2},
      {"fragmented ping", encode({.opcode = 9, .fin = false}), 2},
      {"fragmented pong", encode({.opcode = 10, .fin = false}), 2},
      {"fragmented close", encode({.opcode = 8, .fin = false}), 2},
      {"ping of 126 bytes", encode({.opcode = 9, .payload = std::string(126, 'x')}), 2},
      {"close of 65536 bytes", encode({.opcode = 8, .payload = std::string(65536, 'x')}), 2},
      {"ping with a 16-bit length that would fit", encode({.opcode = 9, .payload = "x", .length_bits = 16}),
       2},
      {"125 in 16 bits", encode({.payload = std::string(125, 'x'), .length_bits = 16}), 4},
      {"0 in 16 bits", encode({.length_bits = 16}), 4},
      {"0 in 64 bits", encode({.length_bits = 64}), 10},
      {"65535 in 64 bits", encode({.payload = std::string(65535, 'x'), .length_bits = 64}), 10},
      {"top bit of the length", encode({.declared_bytes = uint64_t{1} << 63}), 10},
      {"every bit of the length", encode({.declared_bytes = UINT64_MAX}), 10},
      {"2 GiB", encode({.declared_bytes = uint64_t{1} << 31}), 10, CloseCode::message_too_big},
      {"4 GiB, whose low 32 bits are 0", encode({.declared_bytes = uint64_t{1} << 32}), 10,
       CloseCode::message_too_big},
      {"2^63 - 1", encode({.declared_bytes = INT64_MAX}), 10, CloseCode::message_too_big},
      {"one over a limit of 7 bits", encode({.payload = std::string(101, 'x')}), 2,
       CloseCode::message_too_big, 100},
      {"one over a limit of 16 bits", encode({.declared_bytes = 1001}), 4, CloseCode::message_too_big, 1000},
      {"one over a limit of 64 bits", encode({.declared_bytes = 100'001}), 10, CloseCode::message_too_big,
       100'000},
      {"anything over a limit of 0", encode({.payload = "x"}), 2, CloseCode::message_too_big, 0},
  };
  for (unsigned rsv = 1; rsv <= 7; ++rsv) {
    for (const unsigned opcode : {0u, 1u, 2u, 8u, 9u, 10u}) {
      all.push_back({"reserved bits", encode({.opcode = opcode, .rsv = rsv}), 2});
    }
  }
  for (const unsigned opcode : {3u, 4u, 5u, 6u, 7u, 11u, 12u, 13u, 14u, 15u}) {
    all.push_back({"reserved opcode", encode({.opcode = opcode, .payload = "x"}), 2});
  }
  return all;
}

TEST(FrameParser, RefusesEachViolationAtTheOctetThatProvesIt) {
  for (const Violation& violation : violations()) {
    SCOPED_TRACE(violation.about);
    Feeder feeder(violation.limit);
    for (size_t fed = 0; fed < violation.proven_by; ++fed) {
      EXPECT_EQ(feeder.error(), CloseCode::none) << "after " << fed << " octets";
      feeder.feed(std::string_view(violation.wire).substr(fed, 1));
    }
    EXPECT_EQ(feeder.error(), violation.error);
  }
}

TEST(FrameParser, RefusesEachViolationInOneInputAlike) {
  for (const Violation& violation : violations()) {
    SCOPED_TRACE(violation.about);
    Feeder feeder(violation.limit);
    feeder.feed(encode({.payload = ""}) + violation.wire + encode({.payload = "lost"}));
    ASSERT_EQ(feeder.seen().size(), 2u);
    EXPECT_EQ(feeder.error(), violation.error);
  }
}

TEST(FrameParser, SaysAnErrorOnceAndDiscardsTheRest) {
  Feeder feeder;
  feeder.feed(encode({.opcode = 3}));
  ASSERT_EQ(feeder.seen().size(), 1u);
  feeder.feed(encode({.payload = "good, but too late"}));
  feeder.feed(encode({.opcode = 3}));
  EXPECT_EQ(feeder.seen().size(), 1u);
}

TEST(FrameParser, TakesFramesUpToTheLimit) {
  for (const size_t limit : {size_t{0}, size_t{1}, size_t{125}, size_t{126}, size_t{65535}, size_t{65536}}) {
    Feeder feeder(limit);
    feeder.feed(encode({.opcode = 2, .payload = std::string(limit, 'x')}));
    ASSERT_EQ(feeder.seen().size(), 1u) << limit;
    EXPECT_TRUE(feeder.seen()[0].whole) << limit;
  }
}

TEST(FrameParser, TakesAHeaderOfOneByteLessThan2GiB) {
  Feeder feeder;
  feeder.feed(encode({.opcode = 2, .declared_bytes = kFrameBytesMax}));
  ASSERT_EQ(feeder.seen().size(), 1u);
  EXPECT_EQ(feeder.error(), CloseCode::none);
  EXPECT_FALSE(feeder.seen()[0].whole);
}

TEST(FrameParser, ControlFramesPassUnderAnyLimit) {
  Feeder feeder(0);
  feeder.feed(encode({.opcode = 9, .payload = std::string(125, 'x')}));
  ASSERT_EQ(feeder.seen().size(), 1u);
  EXPECT_TRUE(feeder.seen()[0].whole);
}

TEST(FrameParser, ReportsRsv1OnlyWhereCompressionGivesItAMeaning) {
  for (const unsigned opcode : {1u, 2u}) {
    Feeder feeder(kNoLimit, Rsv1::marks_compressed);
    feeder.feed(encode({.opcode = opcode, .payload = "deflated", .rsv = 4}));
    feeder.feed(encode({.opcode = opcode, .payload = "plain"}));
    ASSERT_EQ(feeder.seen().size(), 2u);
    EXPECT_TRUE(feeder.seen()[0].compressed);
    EXPECT_FALSE(feeder.seen()[1].compressed);
  }
  for (const unsigned opcode : {0u, 8u, 9u, 10u}) {
    Feeder feeder(kNoLimit, Rsv1::marks_compressed);
    feeder.feed(encode({.opcode = opcode, .rsv = 4}));
    EXPECT_EQ(feeder.error(), CloseCode::protocol_error) << opcode;
  }
  for (const unsigned rsv : {1u, 2u, 5u, 6u, 7u}) {
    Feeder feeder(kNoLimit, Rsv1::marks_compressed);
    feeder.feed(encode({.rsv = rsv}));
    EXPECT_EQ(feeder.error(), CloseCode::protocol_error) << rsv;
  }
}

}  // namespace frame_parser_test
}  // namespace ringcast
