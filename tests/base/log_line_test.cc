// What a line looks like, and that no value can make it look like anything else.
#include "base/log_line.h"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <string>
#include <vector>

#include "base/prng.h"
#include "base/utf8.h"

namespace ringcast {
namespace {

constexpr int64_t kTime = 1'700'000'000'123;

std::string line(LogFormat format, std::initializer_list<LogField> fields, int64_t unix_ms = kTime) {
  LogLine line(format, unix_ms, LogLevel::info, "tested");
  for (const LogField& field : fields) line.add(field);
  return std::string(line.finish());
}

// The line behind its constant beginning.
std::string logfmt(std::initializer_list<LogField> fields) {
  const std::string beginning = "ts=2023-11-14T22:13:20.123Z level=info event=tested";
  const std::string text = line(LogFormat::logfmt, fields);
  EXPECT_TRUE(text.starts_with(beginning)) << text;
  return text.substr(std::min(text.size(), beginning.size()));
}
std::string json(std::initializer_list<LogField> fields) {
  const std::string beginning = R"({"ts":"2023-11-14T22:13:20.123Z","level":"info","event":"tested")";
  const std::string text = line(LogFormat::json, fields);
  EXPECT_TRUE(text.starts_with(beginning)) << text;
  return text.substr(std::min(text.size(), beginning.size()));
}

TEST(LogLine, Values) {
  const std::initializer_list<LogField> fields = {
      {"address", "127.0.0.1:8080"},
      {"least", std::numeric_limits<int64_t>::min()},
      {"most", std::numeric_limits<uint64_t>::max()},
      {"ratio", 0.25},
      {"yes", true},
      {"empty", ""},
      {"sentence", "two words"},
  };
  EXPECT_EQ(logfmt(fields),
            " address=127.0.0.1:8080 least=-9223372036854775808 most=18446744073709551615 ratio=0.25 yes=true"
            " empty=\"\" sentence=\"two words\"");
  EXPECT_EQ(json(fields),
            R"(,"address":"127.0.0.1:8080","least":-9223372036854775808,"most":18446744073709551615,)"
            R"("ratio":0.25,"yes":true,"empty":"","sentence":"two words"})");
  EXPECT_EQ(json({{"a", std::nan("")}, {"b", -INFINITY}}), R"(,"a":null,"b":null})");
}

TEST(LogLine, TimeStamps) {
  const auto stamp = [](int64_t unix_ms) { return line(LogFormat::logfmt, {}, unix_ms).substr(3, 24); };
  EXPECT_EQ(stamp(0), "1970-01-01T00:00:00.000Z");
  EXPECT_EQ(stamp(951'827'696'789), "2000-02-29T12:34:56.789Z");
  EXPECT_EQ(stamp(-1), "1969-12-31T23:59:59.999Z");
  EXPECT_EQ(stamp(std::numeric_limits<int64_t>::max()), "9999-12-31T23:59:59.999Z");
  EXPECT_EQ(stamp(std::numeric_limits<int64_t>::min()), "0000-01-01T00:00:00.000Z");
}

TEST(LogLine, Escapes) {
  const std::pair<std::string_view, std::string_view> cases[] = {
      {"a\nlevel=error", R"("a\nlevel=error")"},
      {"a\r\tb", R"("a\r\tb")"},
      {R"(a" admin="yes)", R"("a\" admin=\"yes")"},
      {R"(back\slash)", R"("back\\slash")"},
      {"a=b", R"("a=b")"},
      {"\x1b[2J", R"("\u001b[2J")"},
      {std::string_view("\0", 1), R"("\u0000")"},
      {"\x7f", R"("\u007f")"},
      {"caf\xc3\xa9", "\"caf\xc3\xa9\""},
      {"\xf0\x9f\x98\x80", "\"\xf0\x9f\x98\x80\""},
      {"\xc2\x85", R"("\u0085")"},  // next line
      {"\xc2\x9b"
       "2J",
       R"("\u009b2J")"},                // a terminal's escape in one character
      {"\xe2\x80\xa8", R"("\u2028")"},  // line separator
      {"\xe2\x80\xae"
       "txt",
       R"("\u202etxt")"},                         // right-to-left override
      {"\xe2\x81\xa6", R"("\u2066")"},            // isolate
      {"\xef\xbb\xbf", R"("\ufeff")"},            // byte order mark
      {"\xf3\xa0\x81\x81", R"("\udb40\udc41")"},  // tag
  };
  for (const auto& [value, expected] : cases) {
    EXPECT_EQ(logfmt({{"v", value}}), " v=" + std::string(expected));
    EXPECT_EQ(json({{"v", value}}), ",\"v\":" + std::string(expected) + "}");
  }
}

TEST(LogLine, StrayOctets) {
  EXPECT_EQ(logfmt({{"v", "\xff\xc3(\xe2\x82"}}), R"( v="\xff\xc3(\xe2\x82")");
  EXPECT_EQ(json({{"v", "\xff\xc3(\xed\xa0\x80"}}), R"(,"v":"\ufffd\ufffd(\ufffd\ufffd\ufffd"})");
}

TEST(LogLine, KeysAreTamed) {
  EXPECT_EQ(logfmt({{"a b=\"c\n", "x"}, {"", "y"}}), " a_b__c_=x _=y");
  EXPECT_EQ(json({{"a\"b", "x"}}), R"(,"a_b":"x"})");
}

TEST(LogLine, LongValuesAreCutAtACharacter) {
  for (const LogFormat format : {LogFormat::logfmt, LogFormat::json}) {
    for (size_t length = kLogValueBytesMax - 8; length < kLogValueBytesMax + 8; ++length) {
      // Whatever the cut falls on: one octet, two, an escape of six.
      for (const std::string_view unit : {"a", "\xc3\xa9", "\x01"}) {
        std::string value(length % 7, 'x');
        while (value.size() < length) value += unit;
        const std::string text = line(format, {{"v", value}, {"after", "it"}});
        EXPECT_TRUE(valid_utf8(as_bytes(text)));
        EXPECT_NE(text.find(format == LogFormat::json ? R"("after":"it"})" : " after=it"), std::string::npos);
        EXPECT_LE(text.size(), 2 * kLogValueBytesMax);
        if (length > kLogValueBytesMax) {
          EXPECT_NE(text.find("…\""), std::string::npos) << text;
        }
      }
    }
  }
  const std::string exact(kLogValueBytesMax, 'a');
  EXPECT_EQ(logfmt({{"v", exact}}), " v=" + exact);
}

TEST(LogLine, FieldsWithoutRoomAreLeftOutAndOwnedUp) {
  const std::string large(400, 'a');
  EXPECT_TRUE(line(LogFormat::logfmt, {{"a", large}, {"b", large}, {"c", large}, {"d", large}})
                  .ends_with(" truncated=true"));
  EXPECT_TRUE(line(LogFormat::json, {{"a", large}, {"b", large}, {"c", large}, {"d", large}})
                  .ends_with(",\"truncated\":true}"));
  EXPECT_EQ(logfmt({{std::string(2000, 'k'), "v"}, {"b", "c"}}), " b=c truncated=true");
}

// A reader of logfmt: splits a line into keys, refusing what is not a field.
bool reads_as_logfmt(std::string_view text, std::vector<std::string>& keys) {
  while (!text.empty()) {
    const size_t equals = text.find('=');
    if (equals == std::string_view::npos || equals == 0) return false;
    keys.emplace_back(text.substr(0, equals));
    text.remove_prefix(equals + 1);
    if (text.starts_with('"')) {
      size_t at = 1;
      while (at < text.size() && text[at] != '"') at += text[at] == '\\' ? 2 : 1;
      if (at >= text.size()) return false;
      text.remove_prefix(at + 1);
    } else {
      const size_t end = std::min(text.find(' '), text.size());
      if (text.substr(0, end).find_first_of("\"\\=") != std::string_view::npos) return false;
      text.remove_prefix(end);
    }
    if (text.empty()) return true;
    if (!text.starts_with(' ')) return false;
    text.remove_prefix(1);
  }
  return true;
}

TEST(LogLine, RandomBytesForgeNothing) {
  Prng prng(13);
  constexpr std::string_view kNasty = "\"\\ =\n\r\x1b{},:u0x\xc2\x85\xe2\x80\xae\xff";
  for (int round = 0; round < 20'000; ++round) {
    std::string value(prng.below(round % 16 == 0 ? 1200 : 24), 0);
    for (char& c : value) {
      c = prng.chance(0.7) ? kNasty[prng.below(kNasty.size())] : static_cast<char>(prng.next());
    }
    const std::string text = line(LogFormat::logfmt, {{"v", value}, {"end", true}});
    ASSERT_LE(text.size(), kLogLineBytesMax);
    ASSERT_TRUE(valid_utf8(as_bytes(text)));
    for (const char c : text) ASSERT_TRUE(static_cast<unsigned char>(c) >= 0x20 && c != 0x7f);
    std::vector<std::string> keys;
    ASSERT_TRUE(reads_as_logfmt(text, keys)) << text;
    ASSERT_EQ(keys, (std::vector<std::string>{"ts", "level", "event", "v", "end"})) << text;
  }
}

}  // namespace
}  // namespace ringcast
