// The PROXY protocol's headers as proxies write them, and what others write: each cut
// at every byte, with the connection's own bytes behind it.
#include "protocol/proxy_header.h"

#include <gtest/gtest.h>

#include <numeric>
#include <string>
#include <vector>

#include "tests/support/proxy_script.h"

namespace ringcast {
namespace proxy_header_test {

using namespace std::string_literals;

constexpr std::string_view kOwnBytes = "GET / HTTP/1.1\r\n";

// The outcome of `wire`, asserted to be the same however it is cut, and to leave what
// follows a header untouched.
std::string play(const std::string& wire) {
  const std::string whole = play_proxy(wire, {});
  for (size_t cut = 1; cut < wire.size(); ++cut) {
    EXPECT_EQ(play_proxy(wire, std::vector{cut}), whole) << "cut at " << cut;
  }
  std::vector<size_t> each_byte(wire.size());
  std::iota(each_byte.begin(), each_byte.end(), size_t{0});
  EXPECT_EQ(play_proxy(wire, each_byte), whole) << "byte by byte";

  const std::string behind = play_proxy(wire + std::string(kOwnBytes), {});
  if (whole.starts_with("header ")) {
    EXPECT_EQ(behind, whole + " then " + std::string(kOwnBytes));
  }
  return whole;
}

std::string u16(size_t number) {
  return {static_cast<char>(number >> 8), static_cast<char>(number & 0xff)};
}

const std::string kSignature = "\r\n\r\n\0\r\nQUIT\n"s;

std::string v2(uint8_t command, uint8_t family, std::string_view block) {
  return kSignature + static_cast<char>(command) + static_cast<char>(family) + u16(block.size()) +
         std::string(block);
}

// 192.0.2.7:50000 to 198.51.100.1:443.
const std::string kInet = "\xc0\x00\x02\x07"s + "\xc6\x33\x64\x01" + u16(50000) + u16(443);
const std::string kInet6 =
    "\x20\x01\x0d\xb8"s + std::string(11, '\0') + "\x01" + std::string(16, '\x02') + u16(50000) + u16(443);
const std::string kUnix = std::string(216, '/');
// ALPN "h2" and an empty NOOP.
const std::string kTlvs = "\x01\x00\x02h2\x04\x00\x00"s;

bool refused(const std::string& wire) {
  return play(wire).starts_with("error ");
}

// ── Version 2 ───────────────────────────────────────────────────────────────

TEST(ProxyHeaderV2, NamesTheSource) {
  EXPECT_EQ(play(v2(0x21, 0x11, kInet)), "header inet 192.0.2.7 50000");
  EXPECT_EQ(play(v2(0x21, 0x21, kInet6)), "header inet 2001:db8::1 50000");
}

TEST(ProxyHeaderV2, AMappedAddressIsTheIpv4One) {
  const std::string mapped =
      std::string(10, '\0') + "\xff\xff\xc0\x00\x02\x07"s + std::string(16, '\0') + u16(1) + u16(2);
  EXPECT_EQ(play(v2(0x21, 0x21, mapped)), "header inet 192.0.2.7 1");
}

TEST(ProxyHeaderV2, TlvsAreSkipped) {
  EXPECT_EQ(play(v2(0x21, 0x11, kInet + kTlvs)), "header inet 192.0.2.7 50000");
  EXPECT_EQ(play(v2(0x21, 0x21, kInet6 + kTlvs)), "header inet 2001:db8::1 50000");
  EXPECT_EQ(play(v2(0x21, 0x00, kTlvs)), "header unspecified");
  EXPECT_EQ(play(v2(0x20, 0x00, kTlvs)), "header local");
}

TEST(ProxyHeaderV2, WithoutAnAddressThereIsNone) {
  EXPECT_EQ(play(v2(0x21, 0x00, "")), "header unspecified");
  EXPECT_EQ(play(v2(0x21, 0x31, kUnix)), "header unix");
  EXPECT_EQ(play(v2(0x21, 0x31, kUnix + kTlvs)), "header unix");
}

// Section 2.2: the receiver must use the real endpoints and discard the block.
TEST(ProxyHeaderV2, LocalDiscardsWhateverFollows) {
  EXPECT_EQ(play(v2(0x20, 0x00, "")), "header local");
  EXPECT_EQ(play(v2(0x20, 0x11, kInet)), "header local");
  EXPECT_EQ(play(v2(0x20, 0x11, "abc")), "header local");
  EXPECT_EQ(play(v2(0x20, 0xff, "abc")), "header local");
}

TEST(ProxyHeaderV2, OtherVersionsCommandsAndFamiliesAreRefused) {
  for (const int command : {0x00, 0x01, 0x11, 0x22, 0x2f, 0x31, 0xff}) {
    EXPECT_TRUE(refused(v2(static_cast<uint8_t>(command), 0x11, kInet))) << command;
  }
  // Datagrams do not come over a stream, and transport without family is nothing.
  for (const int family : {0x01, 0x02, 0x10, 0x12, 0x13, 0x20, 0x22, 0x30, 0x32, 0x41, 0xf1, 0xff}) {
    EXPECT_TRUE(refused(v2(0x21, static_cast<uint8_t>(family), kUnix))) << family;
  }
}

TEST(ProxyHeaderV2, ABlockShorterThanItsAddressesIsRefused) {
  EXPECT_TRUE(refused(v2(0x21, 0x11, kInet.substr(1))));
  EXPECT_TRUE(refused(v2(0x21, 0x11, "")));
  EXPECT_TRUE(refused(v2(0x21, 0x21, kInet)));
  EXPECT_TRUE(refused(v2(0x21, 0x31, kUnix.substr(1))));
}

TEST(ProxyHeaderV2, LengthIsBoundedAndSaidBeforeTheBlockComes) {
  const size_t most = ProxyHeaderParser::kAddressBytesMax + ProxyHeaderParser::kTlvBytesMax;
  const std::string longest = kInet + std::string(most - kInet.size(), 't');
  EXPECT_EQ(play_proxy(v2(0x21, 0x11, longest), {}), "header inet 192.0.2.7 50000");
  EXPECT_EQ(play_proxy(v2(0x21, 0x11, longest), std::vector<size_t>{20, 28, 900}),
            "header inet 192.0.2.7 50000");
  EXPECT_TRUE(refused(kSignature + "\x21\x11" + u16(most + 1)));
  EXPECT_TRUE(refused(kSignature + "\x21\x11\xff\xff"));
  EXPECT_TRUE(refused(kSignature + "\x20" + '\0' + "\xff\xff"));  // LOCAL, too
}

TEST(ProxyHeaderV2, IsAwaitedToItsLastByte) {
  const std::string wire = v2(0x21, 0x11, kInet + kTlvs);
  for (size_t bytes = 0; bytes < wire.size(); ++bytes) {
    EXPECT_EQ(play_proxy(wire.substr(0, bytes), {}), "need_more") << bytes;
  }
}

TEST(ProxyHeader, AWrongByteIsAnErrorAtOnce) {
  for (const std::string& start : {kSignature, "PROXY "s}) {
    for (size_t at = 0; at < start.size(); ++at) {
      std::string wrong = start.substr(0, at + 1);
      wrong.back() = static_cast<char>(wrong.back() ^ 0x20);
      EXPECT_EQ(play(wrong), "error no PROXY header") << at;
    }
  }
  for (const auto& other :
       {"GET / HTTP/1.1\r\n"s, "POST / HTTP/1.1\r\n"s, "\x16\x03\x01"s, "\0"s, "\n"s, "\r\nGET"s}) {
    EXPECT_EQ(play(other), "error no PROXY header") << other;
  }
}

// ── Version 1 ───────────────────────────────────────────────────────────────

TEST(ProxyHeaderV1, NamesTheSource) {
  EXPECT_EQ(play("PROXY TCP4 192.0.2.7 198.51.100.1 50000 443\r\n"), "header inet 192.0.2.7 50000");
  EXPECT_EQ(play("PROXY TCP6 2001:db8::1 2001:db8::2 0 65535\r\n"), "header inet 2001:db8::1 0");
  EXPECT_EQ(play("PROXY TCP6 ::ffff:192.0.2.7 ::1 1 2\r\n"), "header inet 192.0.2.7 1");
}

TEST(ProxyHeaderV1, UnknownIsReadNoFurther) {
  EXPECT_EQ(play("PROXY UNKNOWN\r\n"), "header unspecified");
  EXPECT_EQ(play("PROXY UNKNOWN ffff:f...f:ffff ffff:f...f:ffff 65535 65535\r\n"), "header unspecified");
}

TEST(ProxyHeaderV1, TheLongestLineFits) {
  const std::string address = "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff";
  const std::string line = "PROXY TCP6 " + address + " " + address + " 65535 65535\r\n";
  EXPECT_EQ(play(line), "header inet " + address + " 65535");
  const std::string longest =
      "PROXY UNKNOWN " + std::string(ProxyHeaderParser::kLineBytesMax - 16, 'x') + "\r\n";
  EXPECT_EQ(play(longest), "header unspecified");
  EXPECT_EQ(play("PROXY UNKNOWN " + std::string(ProxyHeaderParser::kLineBytesMax - 15, 'x') + "\r\n"),
            "error PROXY line too long");
  EXPECT_EQ(play("PROXY " + std::string(ProxyHeaderParser::kLineBytesMax - 6, 'x')),
            "error PROXY line too long");
}

TEST(ProxyHeaderV1, IsOneLineOfFiveWordsWithSingleSpaces) {
  for (const auto& line : {""s,
                           "TCP4"s,
                           "TCP4 192.0.2.7 198.51.100.1 1"s,
                           "TCP4 192.0.2.7 198.51.100.1 1 2 3"s,
                           "TCP4  192.0.2.7 198.51.100.1 1 2"s,
                           " TCP4 192.0.2.7 198.51.100.1 1 2"s,
                           "TCP4 192.0.2.7 198.51.100.1 1 2 "s,
                           "TCP4\t192.0.2.7 198.51.100.1 1 2"s,
                           "tcp4 192.0.2.7 198.51.100.1 1 2"s,
                           "UDP4 192.0.2.7 198.51.100.1 1 2"s,
                           "UNKNOWNx"s,
                           "TCP4 2001:db8::1 2001:db8::2 1 2"s,
                           "TCP6 192.0.2.7 198.51.100.1 1 2"s,
                           "TCP4 192.0.2.7 2001:db8::2 1 2"s,
                           "TCP4 192.0.2 198.51.100.1 1 2"s,
                           "TCP4 192.0.2.7\0 198.51.100.1 1 2"s,
                           "TCP4 192.0.2.7 198.51.100.1 65536 2"s,
                           "TCP4 192.0.2.7 198.51.100.1 01 2"s,
                           "TCP4 192.0.2.7 198.51.100.1 +1 2"s,
                           "TCP4 192.0.2.7 198.51.100.1 -1 2"s,
                           "TCP4 192.0.2.7 198.51.100.1 1 x"s,
                           "TCP4 192.0.2.7 198.51.100.1 1 2\r"s}) {
    EXPECT_EQ(play("PROXY " + line + "\r\n"), "error malformed PROXY line") << line;
  }
}

TEST(ProxyHeaderV1, EndsInCrlf) {
  EXPECT_TRUE(refused("PROXY TCP4 192.0.2.7 198.51.100.1 50000 443\n"));
  EXPECT_TRUE(refused("PROXY UNKNOWN\n"));
  EXPECT_EQ(play("PROXY UNKNOWN\r"), "need_more");
  EXPECT_EQ(play("PROXY TCP4 192.0.2.7"), "need_more");
}

TEST(ProxyHeader, AnErrorIsSaidAgain) {
  ProxyHeaderParser parser;
  std::byte bytes[] = {std::byte{'X'}, std::byte{'Y'}};
  MutableBytes input = bytes;
  EXPECT_EQ(parser.next(input).kind, ProxyHeaderParser::Event::Kind::error);
  EXPECT_EQ(parser.next(input).kind, ProxyHeaderParser::Event::Kind::error);
  MutableBytes nothing;
  EXPECT_EQ(parser.next(nothing).kind, ProxyHeaderParser::Event::Kind::error);
}

}  // namespace proxy_header_test
}  // namespace ringcast
