// Frames as the server writes them, held against RFC 6455's own examples and limits.
#include "protocol/frame.h"

#include <gtest/gtest.h>

#include <set>
#include <string>
#include <vector>

#include "base/utf8.h"

namespace ringcast {
namespace {

std::string text_of(const std::vector<std::byte>& bytes) {
  return std::string(as_text(bytes));
}

std::string framed(Opcode opcode, std::string_view payload) {
  std::vector<std::byte> out;
  append_frame(out, opcode, as_bytes(payload));
  return text_of(out);
}

std::string closing(CloseCode code, std::string_view reason = {}) {
  std::vector<std::byte> out;
  append_close(out, code, reason);
  return text_of(out);
}

std::string header(Opcode opcode, uint64_t payload_bytes) {
  std::byte bytes[kServerHeaderBytesMax];
  const size_t size = encode_frame_header(bytes, opcode, payload_bytes);
  EXPECT_EQ(size, frame_header_bytes(payload_bytes));
  return std::string(as_text({bytes, size}));
}

// RFC 6455 section 5.7.
TEST(Frame, EncodesTheExamplesOfTheRfc) {
  EXPECT_EQ(framed(Opcode::text, "Hello"), "\x81\x05Hello");
  EXPECT_EQ(framed(Opcode::ping, "Hello"), "\x89\x05Hello");
  EXPECT_EQ(header(Opcode::binary, 256), std::string("\x82\x7e\x01\x00", 4));
  EXPECT_EQ(header(Opcode::binary, 65536), std::string("\x82\x7f\x00\x00\x00\x00\x00\x01\x00\x00", 10));
}

TEST(Frame, HeadersTakeTheShortestForm) {
  EXPECT_EQ(header(Opcode::text, 0), std::string("\x81\x00", 2));
  EXPECT_EQ(header(Opcode::text, 125), "\x81\x7d");
  EXPECT_EQ(header(Opcode::text, 126), std::string("\x81\x7e\x00\x7e", 4));
  EXPECT_EQ(header(Opcode::text, 65535), "\x81\x7e\xff\xff");
  EXPECT_EQ(header(Opcode::text, uint64_t{1} << 32),
            std::string("\x81\x7f\x00\x00\x00\x01\x00\x00\x00\x00", 10));
}

TEST(Frame, LengthsCanBeWalkedFromFrameToFrame) {
  std::vector<std::byte> log;
  std::vector<size_t> starts;
  for (const size_t bytes : {0, 1, 125, 126, 127, 65535, 65536}) {
    starts.push_back(log.size());
    append_frame(log, Opcode::binary, std::vector<std::byte>(bytes));
  }
  starts.push_back(log.size());
  for (size_t i = 0; i + 1 < starts.size(); ++i) {
    EXPECT_EQ(frame_bytes(Bytes(log).subspan(starts[i])), starts[i + 1] - starts[i]);
  }
}

TEST(Frame, LengthIsUnknownUntilTheHeaderIsWhole) {
  for (const size_t bytes : {size_t{3}, size_t{300}, size_t{70000}}) {
    std::vector<std::byte> log;
    append_frame(log, Opcode::text, std::vector<std::byte>(bytes));
    const size_t header_bytes = log.size() - bytes;
    for (size_t known = 0; known < header_bytes; ++known) {
      EXPECT_EQ(frame_bytes(Bytes(log).first(known)), 0u) << known << " of " << header_bytes;
    }
    EXPECT_EQ(frame_bytes(Bytes(log).first(header_bytes)), log.size());
  }
}

TEST(Frame, AppendsBehindWhatIsThere) {
  std::vector<std::byte> out;
  append_frame(out, Opcode::text, as_bytes("a"));
  append_close(out, CloseCode::normal, {});
  append_frame(out, Opcode::pong, {});
  EXPECT_EQ(text_of(out), std::string("\x81\x01"
                                      "a\x88\x02\x03\xe8\x8a\x00",
                                      9));
}

TEST(CloseFrame, CarriesCodeAndReason) {
  EXPECT_EQ(closing(CloseCode::normal), "\x88\x02\x03\xe8");
  EXPECT_EQ(closing(CloseCode::protocol_error, "why"), "\x88\x05\x03\xeawhy");
}

TEST(CloseFrame, WithoutCodeIsEmpty) {
  EXPECT_EQ(closing(CloseCode::none), std::string("\x88\x00", 2));
  EXPECT_EQ(closing(CloseCode::none, "there is no place for it"), std::string("\x88\x00", 2));
}

TEST(CloseFrame, CutsLongReasonsBetweenCharacters) {
  const auto reason_of = [](std::string_view given) { return closing(CloseCode::normal, given).substr(4); };
  EXPECT_EQ(reason_of(std::string(123, 'x')), std::string(123, 'x'));
  EXPECT_EQ(reason_of(std::string(124, 'x')), std::string(123, 'x'));
  for (const std::string character : {"\xc3\xa9", "\xe2\x82\xac", "\xf0\x9f\x98\x80"}) {
    for (size_t before = 118; before <= 123; ++before) {
      const std::string given = std::string(before, 'x') + character + character;
      const std::string kept = reason_of(given);
      EXPECT_TRUE(given.starts_with(kept));
      EXPECT_TRUE(valid_utf8(as_bytes(kept)));
      // Nothing that would have fitted was cut off.
      if (kept.size() < given.size()) {
        const size_t next_bytes = kept.size() < before ? 1 : character.size();
        EXPECT_GT(kept.size() + next_bytes, 123u) << before << " then characters of " << character.size();
      }
    }
  }
}

TEST(CloseFrame, LeavesOutAReasonThatIsNotUtf8) {
  EXPECT_EQ(closing(CloseCode::normal, "na\xefve"), closing(CloseCode::normal));
}

TEST(CloseCodes, OnlyTheseGoOverTheWire) {
  std::set<unsigned> expected = {1000, 1001, 1002, 1003, 1007, 1008, 1009, 1010, 1011, 1012, 1013, 1014};
  for (unsigned code = 3000; code <= 4999; ++code) expected.insert(code);
  std::set<unsigned> allowed;
  for (unsigned code = 0; code <= 65535; ++code) {
    if (is_wire_close_code(static_cast<CloseCode>(code))) allowed.insert(code);
  }
  EXPECT_EQ(allowed, expected);
}

TEST(FrameDeathTest, RefusesWhatOnlyABugWouldSend) {
  EXPECT_DEATH(closing(CloseCode::abnormal), "");
  EXPECT_DEATH(framed(Opcode::ping, std::string(126, 'x')), "");
}

}  // namespace
}  // namespace ringcast
