// UTF-8 against two oracles: the definition by code points (encode them all) and
// RFC 3629's grammar written as a table. A text may be cut anywhere, and an error
// must be seen as soon as no continuation could repair it.
#include "base/utf8.h"

#include <gtest/gtest.h>
#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <string>
#include <vector>

#include "base/prng.h"

namespace ringcast {
namespace {

// RFC 3629, 4, one row per line of its grammar: ranges of the octets.
struct Row {
  int length;
  uint8_t ranges[4][2];
};
constexpr Row kGrammar[] = {
    {1, {{0x00, 0x7f}}},
    {2, {{0xc2, 0xdf}, {0x80, 0xbf}}},
    {3, {{0xe0, 0xe0}, {0xa0, 0xbf}, {0x80, 0xbf}}},
    {3, {{0xe1, 0xec}, {0x80, 0xbf}, {0x80, 0xbf}}},
    {3, {{0xed, 0xed}, {0x80, 0x9f}, {0x80, 0xbf}}},
    {3, {{0xee, 0xef}, {0x80, 0xbf}, {0x80, 0xbf}}},
    {4, {{0xf0, 0xf0}, {0x90, 0xbf}, {0x80, 0xbf}, {0x80, 0xbf}}},
    {4, {{0xf1, 0xf3}, {0x80, 0xbf}, {0x80, 0xbf}, {0x80, 0xbf}}},
    {4, {{0xf4, 0xf4}, {0x80, 0x8f}, {0x80, 0xbf}, {0x80, 0xbf}}},
};

struct Verdict {
  size_t good;    // leading octets that some continuation makes valid
  bool complete;  // they end with a whole character
};

Verdict judge(std::string_view text) {
  size_t start = 0;
  while (start < text.size()) {
    size_t longest = 0;
    bool whole = false;
    for (const Row& row : kGrammar) {
      size_t matched = 0;
      while (matched < static_cast<size_t>(row.length) && start + matched < text.size()) {
        const auto octet = static_cast<uint8_t>(text[start + matched]);
        if (octet < row.ranges[matched][0] || octet > row.ranges[matched][1]) break;
        ++matched;
      }
      longest = std::max(longest, matched);
      whole = whole || matched == static_cast<size_t>(row.length);
    }
    if (!whole) return {start + longest, false};
    start += longest;
  }
  return {text.size(), true};
}

std::string encode(uint32_t code_point) {
  std::string text;
  const auto put = [&](uint32_t octet) { text.push_back(static_cast<char>(octet)); };
  if (code_point < 0x80) {
    put(code_point);
  } else if (code_point < 0x800) {
    put(0xc0 | code_point >> 6);
    put(0x80 | (code_point & 63));
  } else if (code_point < 0x10000) {
    put(0xe0 | code_point >> 12);
    put(0x80 | (code_point >> 6 & 63));
    put(0x80 | (code_point & 63));
  } else {
    put(0xf0 | code_point >> 18);
    put(0x80 | (code_point >> 12 & 63));
    put(0x80 | (code_point >> 6 & 63));
    put(0x80 | (code_point & 63));
  }
  return text;
}

// How many octets pass before push() says no, when they come one by one.
size_t accepted_octets(std::string_view text) {
  Utf8Validator validator;
  for (size_t i = 0; i < text.size(); ++i) {
    if (!validator.push(as_bytes(text.substr(i, 1)))) return i;
  }
  return text.size();
}

void expect_judged(std::string_view text) {
  const Verdict expected = judge(text);
  ASSERT_EQ(accepted_octets(text), expected.good) << testing::PrintToString(std::string(text));
  Utf8Validator whole;
  ASSERT_EQ(whole.push(as_bytes(text)), expected.good == text.size());
  ASSERT_EQ(whole.complete(), expected.complete);
  ASSERT_EQ(valid_utf8(as_bytes(text)), expected.complete);
}

TEST(Utf8, EveryCodePointAlone) {
  for (uint32_t code_point = 0; code_point < 0x110800; ++code_point) {
    const bool exists = code_point < 0xd800 || (code_point > 0xdfff && code_point < 0x110000);
    ASSERT_EQ(valid_utf8(as_bytes(encode(code_point))), exists) << std::hex << code_point;
  }
}

// Every code point within a longer text, for the kernels, at changing distances
// from their vectors' edges.
TEST(Utf8, EveryCodePointInAText) {
  for (const Utf8Kernel& kernel : utf8_kernels()) {
    for (uint32_t code_point = 0x80; code_point < 0x110800; ++code_point) {
      const bool exists = code_point < 0xd800 || (code_point > 0xdfff && code_point < 0x110000);
      std::string text(16 + code_point % 33, 'x');
      text += encode(code_point);
      text.append(40, 'y');
      const size_t prefix = kernel.valid_prefix(as_bytes(text).data(), text.size());
      ASSERT_EQ(prefix, exists ? text.size() : kUtf8Invalid) << kernel.name << std::hex << code_point;
    }
  }
}

// All sequences of up to four octets taken from the edges of the grammar's ranges.
std::vector<uint8_t> edge_octets() {
  return {0x00, 0x7f, 0x80, 0x8f, 0x90, 0x9f, 0xa0, 0xbf, 0xc0, 0xc1, 0xc2, 0xdf, 0xe0, 0xe1,
          0xec, 0xed, 0xee, 0xef, 0xf0, 0xf1, 0xf3, 0xf4, 0xf5, 0xf7, 0xf8, 0xfe, 0xff};
}

TEST(Utf8, EveryEdgeSequenceAlone) {
  const auto octets = edge_octets();
  std::string text;
  const auto extend = [&](auto& self, size_t left) -> void {
    expect_judged(text);
    if (left == 0 || testing::Test::HasFatalFailure()) return;
    for (const uint8_t octet : octets) {
      text.push_back(static_cast<char>(octet));
      self(self, left - 1);
      text.pop_back();
    }
  };
  extend(extend, 4);
}

// The same in the middle of a text, so that vector kernels meet each at an edge
// of a vector, inside one, and at the text's end. Kernels may stop before a begun
// last character but must not pass what is invalid before it.
TEST(Utf8, EveryEdgeSequenceInAText) {
  const auto octets = edge_octets();
  Prng prng(8);
  for (const uint8_t a : octets) {
    for (const uint8_t b : octets) {
      for (const uint8_t c : octets) {
        for (const uint8_t d : octets) {
          const char sequence[] = {static_cast<char>(a), static_cast<char>(b), static_cast<char>(c),
                                   static_cast<char>(d)};
          std::string text(28 + prng.below(8), prng.chance(0.5) ? 'x' : '\0');
          if (prng.chance(0.5)) text.replace(0, 6, "\xe2\x82\xac\xc3\xa9z");
          text.append(sequence, 4);
          const size_t after = prng.below(4) == 0 ? 0 : prng.below(70);
          text.append(after, 'y');
          const Verdict expected = judge(text);
          Utf8Validator validator;
          ASSERT_EQ(validator.push(as_bytes(text)), expected.good == text.size())
              << testing::PrintToString(text);
          ASSERT_EQ(validator.complete(), expected.complete) << testing::PrintToString(text);
        }
      }
    }
  }
}

TEST(Utf8, FailsAtTheFirstImpossibleOctet) {
  const std::pair<std::string_view, size_t> cases[] = {
      {"\x80", 0},         {"\xbf", 0},         {"\xc0\x80", 0},         {"\xc1\xbf", 0},
      {"\xf5\x80", 0},     {"\xff", 0},         {"\xe0\x80", 1},         {"\xe0\x9f\xbf", 1},
      {"\xed\xa0\x80", 1}, {"\xed\xbf", 1},     {"\xf0\x80", 1},         {"\xf0\x8f\xbf\xbf", 1},
      {"\xf4\x90", 1},     {"\xf4\xbf", 1},     {"\xe2\x82z", 2},        {"\xf1\x80\x80\x7f", 3},
      {"\xc2\xc2", 1},     {"\xe2\x82\xe2", 2}, {"\xf0\x9f\x98\xc0", 3}, {"z\x80", 1},
  };
  // After texts of all lengths a vector kernel splits differently, pushed whole
  // or octet by octet.
  for (const auto& [sequence, position] : cases) {
    for (size_t before = 0; before < 140; ++before) {
      std::string text(before, 'x');
      text += sequence;
      ASSERT_EQ(accepted_octets(text), before + position);
      Utf8Validator validator;
      const auto possible = as_bytes(text).first(before + position);
      ASSERT_TRUE(validator.push(possible));
      ASSERT_FALSE(validator.push(as_bytes(text).subspan(before + position, 1)));
      validator.reset();
      ASSERT_FALSE(validator.push(as_bytes(text).first(before + position + 1)));
    }
  }
}

TEST(Utf8, StaysFailedUntilReset) {
  Utf8Validator validator;
  EXPECT_FALSE(validator.push(as_bytes("a\xff")));
  EXPECT_FALSE(validator.push(as_bytes("a")));
  EXPECT_FALSE(validator.push({}));
  EXPECT_FALSE(validator.complete());
  validator.reset();
  EXPECT_TRUE(validator.push(as_bytes("\xe2\x82")));
  EXPECT_FALSE(validator.complete());
  EXPECT_TRUE(validator.push({}));
  EXPECT_TRUE(validator.push(as_bytes("\xac")));
  EXPECT_TRUE(validator.complete());
  validator.push(as_bytes("\xe2"));
  validator.reset();
  EXPECT_TRUE(validator.complete()) << "a begun character is forgotten";
}

// A text of all character lengths; three pieces, cut at every pair of positions.
TEST(Utf8, EverySplit) {
  std::string text = "ASCII, \xc3\xa9\xdf\xbf, \xe0\xa0\x80\xe2\x82\xac\xed\x9f\xbf\xef\xbf\xbf, ";
  text +=
      "\xf0\x90\x80\x80\xf0\x9f\x98\x80\xf4\x8f\xbf\xbf \xd0\x9f\xd1\x80\xd0\xb8\xd0\xb2\xd0\xb5\xd1\x82 ";
  text += text;
  for (const bool broken : {false, true}) {
    if (broken) text.replace(text.size() - 40, 2, "\xed\xa0");
    const Verdict expected = judge(text);
    for (size_t first = 0; first <= text.size(); ++first) {
      for (size_t second = first; second <= text.size(); ++second) {
        Utf8Validator validator;
        size_t begin = 0;
        for (const size_t end : {first, second, text.size()}) {
          const bool good = validator.push(as_bytes(text).subspan(begin, end - begin));
          ASSERT_EQ(good, end <= expected.good) << first << ' ' << second;
          begin = end;
        }
        ASSERT_EQ(validator.complete(), expected.complete);
      }
    }
  }
}

// Random texts, mostly valid, then damaged in one octet; every kernel must agree
// with the grammar and read nothing beyond the text (which ends at a page's end).
TEST(Utf8, KernelsAgreeWithTheGrammar) {
  const auto page = static_cast<size_t>(sysconf(_SC_PAGESIZE));
  void* const mapped = mmap(nullptr, 3 * page, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  ASSERT_NE(mapped, MAP_FAILED);
  auto* const first = static_cast<std::byte*>(mapped) + page;
  ASSERT_EQ(mprotect(first, page, PROT_READ | PROT_WRITE), 0);

  Prng prng(9);
  for (int round = 0; round < 40'000; ++round) {
    const size_t length = prng.below(round % 4 == 0 ? 400 : 120);
    const uint64_t ascii_of_8 = prng.below(9);
    std::string text;
    while (text.size() < length) {
      if (prng.below(8) < ascii_of_8) {
        text.append(1 + prng.below(20), 'a');
      } else {
        static constexpr uint32_t kBounds[] = {0x80, 0x800, 0xd800, 0x110000};
        uint32_t code_point = 0;
        do {
          code_point = static_cast<uint32_t>(prng.below(kBounds[prng.below(4)]));
        } while (code_point >= 0xd800 && code_point <= 0xdfff);
        text += encode(code_point);
      }
    }
    text.resize(length);  // may cut the last character
    if (length > 0 && prng.chance(0.5)) text[prng.below(length)] = static_cast<char>(prng.next());

    const Verdict expected = judge(text);
    for (std::byte* const at : {first, first + page - length}) {
      std::copy(text.begin(), text.end(), reinterpret_cast<char*>(at));
      ASSERT_EQ(valid_utf8({at, length}), expected.complete) << testing::PrintToString(text);
      for (const Utf8Kernel& kernel : utf8_kernels()) {
        const size_t prefix = kernel.valid_prefix(at, length);
        // It may miss only what a begun last character hides.
        if (prefix == kUtf8Invalid) {
          ASSERT_LT(expected.good, length) << kernel.name << testing::PrintToString(text);
        } else {
          ASSERT_LE(prefix, expected.good) << kernel.name << testing::PrintToString(text);
          ASSERT_TRUE(judge(std::string_view(text).substr(0, prefix)).complete);
          ASSERT_LE(length - prefix, 3u) << kernel.name;
        }
      }
    }
  }
  munmap(mapped, 3 * page);
}

}  // namespace
}  // namespace ringcast
