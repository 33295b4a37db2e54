// The request parser against RFC 9110 and 9112: what it takes, what it refuses and
// with which status, and that neither depends on how the bytes were cut.
#include "protocol/http_request.h"

#include <gtest/gtest.h>

#include <numeric>
#include <string>
#include <vector>

#include "tests/support/http_script.h"

namespace ringcast {
namespace {

// The script of `wire` in one piece, asserted to be the same cut in two at every byte
// and cut into single bytes.
std::string play(std::string_view wire, const HttpLimits& limits = {}) {
  const std::string whole = play_http(wire, limits, {}).text;
  for (size_t cut = 1; cut < wire.size(); ++cut) {
    EXPECT_EQ(play_http(wire, limits, std::vector{cut}).text, whole) << "cut at " << cut << " of " << wire;
  }
  std::vector<size_t> each_byte(wire.size());
  std::iota(each_byte.begin(), each_byte.end(), size_t{0});
  EXPECT_EQ(play_http(wire, limits, each_byte).text, whole) << "byte by byte: " << wire;
  return whole;
}

// The status `wire` is refused with, having reported nothing before; 0 if it is not.
int refusal(std::string_view wire, const HttpLimits& limits = {}) {
  const std::string script = play(wire, limits);
  return script.starts_with("error ") ? std::stoi(script.substr(6)) : 0;
}

// The same behind a head that was reported.
int refusal_of_body(std::string_view wire, const HttpLimits& limits = {}) {
  const std::string script = play(wire, limits);
  EXPECT_TRUE(script.starts_with("head ")) << script;
  const size_t error = script.find("\nerror ");
  return error == std::string::npos ? 0 : std::stoi(script.substr(error + 7));
}

std::string get(std::string_view headers) {
  return "GET / HTTP/1.1\r\nHost: a\r\n" + std::string(headers) + "\r\n";
}

std::string post(std::string_view headers, std::string_view body = "") {
  return "POST / HTTP/1.1\r\nHost: a\r\n" + std::string(headers) + "\r\n" + std::string(body);
}

std::string chunked(std::string_view body) {
  return post("Transfer-Encoding: chunked\r\n", body);
}

using namespace std::string_literals;

// ── Request line ────────────────────────────────────────────────────────────

TEST(HttpRequestLine, IsCutIntoMethodPathQueryAndVersion) {
  EXPECT_EQ(play("GET /a/b%20c?x=1&y=%2F HTTP/1.1\r\nHost: a\r\n\r\n"),
            "head GET /a/b%20c ? x=1&y=%2F 1.1 [Host=a]\ncomplete\n");
  EXPECT_EQ(play("OPTIONS * HTTP/1.1\r\nHost: a\r\n\r\n"), "head OPTIONS * 1.1 [Host=a]\ncomplete\n");
  EXPECT_EQ(play("GET /?? HTTP/1.1\r\nHost: a\r\n\r\n"), "head GET / ? ? 1.1 [Host=a]\ncomplete\n");
}

TEST(HttpRequestLine, IsRefusedWhenNotThreePartsWithSingleSpaces) {
  for (const auto line :
       {"GET", "GET /", "GET  / HTTP/1.1", "GET /  HTTP/1.1", "GET / HTTP/1.1 ", " GET / HTTP/1.1",
        "GET\t/\tHTTP/1.1", "GET / x HTTP/1.1", "G(T / HTTP/1.1", "hello there"}) {
    EXPECT_EQ(refusal(line + "\r\nHost: a\r\n\r\n"s), 400) << line;
  }
}

TEST(HttpRequestLine, WhatIsNotHttpIsRefusedAtItsFirstByte) {
  EXPECT_EQ(refusal("\x16\x03\x01"), 400);  // a TLS client hello, and no LF for a long while
  EXPECT_EQ(refusal("\0"s), 400);
  EXPECT_EQ(refusal("\n"), 400);
}

TEST(HttpRequestLine, UnknownOrOverlongMethodIs501) {
  for (const auto method : {"BREW", "get", "TRACE", "CONNECT", "ABCDEFGHIJKLMNOP", "ABCDEFGHIJKLMNOPQ"}) {
    EXPECT_EQ(refusal(method + " / HTTP/1.1\r\n"s), 501) << method;
  }
}

TEST(HttpRequestLine, EveryKnownMethodPasses) {
  for (const std::string_view method : kHttpMethods) {
    EXPECT_EQ(play(std::string(method) + " / HTTP/1.1\r\nHost: a\r\n\r\n"),
              "head " + std::string(method) + " / 1.1 [Host=a]\ncomplete\n");
  }
}

TEST(HttpRequestLine, OtherMajorVersionIs505) {
  EXPECT_EQ(refusal("GET / HTTP/2.0\r\n"), 505);
  EXPECT_EQ(refusal("GET / HTTP/0.9\r\n"), 505);
  EXPECT_EQ(refusal("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"), 505);
}

TEST(HttpRequestLine, MalformedVersionIs400) {
  for (const auto version :
       {"HTTP/1", "HTTP/1.", "HTTP/1.10", "http/1.1", "HTTP/1,1", "HTTP/a.b", "HTTPS/1.1", ""}) {
    EXPECT_EQ(refusal("GET / "s + version + "\r\n"), 400) << version;
  }
}

TEST(HttpRequestLine, LaterMinorVersionsAreReadAsOurs) {
  EXPECT_EQ(play("GET / HTTP/1.7\r\nHost: a\r\n\r\n"), "head GET / 1.7 [Host=a]\ncomplete\n");
}

TEST(HttpRequestLine, TargetHoldsNoFragmentControlOrRawNonAscii) {
  for (const auto& target : {"/#top"s, "/a\x01"s, "/\0"s, "/caf\xc3\xa9"s, "/\x7f"s, "/a\tb"s, "/a?\xff"s}) {
    EXPECT_EQ(refusal("GET " + target + " HTTP/1.1\r\nHost: a\r\n\r\n"), 400) << target;
  }
}

TEST(HttpRequestLine, PathEscapesAreSoundAndNotNul) {
  for (const auto path : {"/%", "/%2", "/%zz", "/%2g", "/a%00", "/%00/b", "/%%41"}) {
    EXPECT_EQ(refusal("GET "s + path + " HTTP/1.1\r\nHost: a\r\n\r\n"), 400) << path;
  }
  // What a query's escapes are worth is for whoever reads its fields.
  EXPECT_EQ(play("GET /?100% HTTP/1.1\r\nHost: a\r\n\r\n"), "head GET / ? 100% 1.1 [Host=a]\ncomplete\n");
}

TEST(HttpRequestLine, AsteriskIsForOptionsOnlyAndOtherFormsAreRefused) {
  EXPECT_EQ(refusal("GET * HTTP/1.1\r\n"), 400);
  EXPECT_EQ(refusal("GET cable HTTP/1.1\r\n"), 400);
  EXPECT_EQ(refusal("GET example.com:80 HTTP/1.1\r\n"), 400);
  EXPECT_EQ(refusal("GET ftp://a/ HTTP/1.1\r\n"), 400);
  EXPECT_EQ(refusal("GET http:///x HTTP/1.1\r\n"), 400);
  EXPECT_EQ(refusal("GET http://user@a/x HTTP/1.1\r\n"), 400);
}

TEST(HttpRequestLine, AbsoluteFormWithTheSameHostIsItsPath) {
  EXPECT_EQ(play("GET http://A:80/x?y HTTP/1.1\r\nHost: a\r\n\r\n"),
            "head GET /x ? y 1.1 [Host=a]\ncomplete\n");
  EXPECT_EQ(play("GET HTTPS://a HTTP/1.1\r\nHost: a:443\r\n\r\n"), "head GET / 1.1 [Host=a:443]\ncomplete\n");
  EXPECT_EQ(play("GET http://a?q HTTP/1.1\r\nHost: a\r\n\r\n"), "head GET / ? q 1.1 [Host=a]\ncomplete\n");
  EXPECT_EQ(play("GET http://a/ HTTP/1.0\r\n\r\n"), "head GET / 1.0\ncomplete\n");
}

TEST(HttpRequestLine, AbsoluteFormWithAnotherHostIsRefused) {
  EXPECT_EQ(refusal("GET http://b/ HTTP/1.1\r\nHost: a\r\n\r\n"), 400);
  EXPECT_EQ(refusal("GET http://a:81/ HTTP/1.1\r\nHost: a\r\n\r\n"), 400);
  EXPECT_EQ(refusal("GET http://a/ HTTP/1.1\r\nHost: a:443\r\n\r\n"), 400);
  EXPECT_EQ(refusal("GET http://a/ HTTP/1.1\r\nHost:\r\n\r\n"), 400);
}

TEST(HttpRequestLine, OneEmptyLineBeforeItIsForgivenTwoAreNot) {
  EXPECT_EQ(play("\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n"), "head GET / 1.1 [Host=a]\ncomplete\n");
  EXPECT_EQ(refusal("\r\n\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n"), 400);
  EXPECT_EQ(refusal("\nGET / HTTP/1.1\r\nHost: a\r\n\r\n"), 400);
  EXPECT_EQ(play("\r\n"), "");  // not yet a request: a deadline for slow ones must not start
}

// ── Line ends and header syntax ─────────────────────────────────────────────

TEST(HttpLines, BareLfIsRefusedWhereverItStands) {
  EXPECT_EQ(refusal("GET / HTTP/1.1\nHost: a\r\n\r\n"), 400);
  EXPECT_EQ(refusal("GET / HTTP/1.1\r\nHost: a\n\r\n"), 400);
  EXPECT_EQ(refusal("GET / HTTP/1.1\r\nHost: a\r\n\n"), 400);
  EXPECT_EQ(refusal("GET / HTTP/1.1\nHost: a\n\n"), 400);
}

TEST(HttpLines, BareCrIsRefusedWhereverItStands) {
  EXPECT_EQ(refusal("GET /\r HTTP/1.1\r\nHost: a\r\n\r\n"), 400);
  EXPECT_EQ(refusal("GET / HTTP/1.1\r\r\nHost: a\r\n\r\n"), 400);
  EXPECT_EQ(refusal("GET / HTTP/1.1\r\nHost: a\rX: b\r\n\r\n"), 400);
  EXPECT_EQ(refusal("GET / HTTP/1.1\r\nHost: a\r\r\n\r\n"), 400);
  EXPECT_EQ(refusal("GET / HTTP/1.1\r\nHost: a\r\n\r\r\n"), 400);
  EXPECT_EQ(refusal("\rGET / HTTP/1.1\r\n"), 400);
}

TEST(HttpHeaders, NulAndOtherControlsInValuesAreRefused) {
  for (const auto& value : {"\0"s, "a\0b"s, "\x01"s, "a\x1f"s, "\x7f"s, "\v"s}) {
    EXPECT_EQ(refusal(get("X: " + value + "\r\n")), 400) << value;
  }
}

TEST(HttpHeaders, ValuesAreTrimmedAndMayHoldTabsAndHighOctets) {
  EXPECT_EQ(play(get("X: \t a\tb \xc3\xa9\t \r\nY:\r\nZ:z\r\n")),
            "head GET / 1.1 [Host=a] [X=a\tb \xc3\xa9] [Y=] [Z=z]\ncomplete\n");
}

TEST(HttpHeaders, FoldedLinesAreRefused) {
  EXPECT_EQ(refusal(get("X: a\r\n b\r\n")), 400);
  EXPECT_EQ(refusal(get("X: a\r\n\tb\r\n")), 400);
  EXPECT_EQ(refusal("GET / HTTP/1.1\r\n Host: a\r\n\r\n"), 400);
}

TEST(HttpHeaders, WhiteSpaceBeforeTheColonIsRefused) {
  EXPECT_EQ(refusal(get("X : a\r\n")), 400);
  EXPECT_EQ(refusal(get("Content-Length\t: 0\r\n")), 400);
}

TEST(HttpHeaders, NamesAreTokens) {
  for (const auto& line :
       {": a"s, "X"s, "X Y: a"s, "X@: a"s, "\"X\": a"s, "X\xc3\xa9: a"s, "X\0: a"s, "(X): a"s}) {
    EXPECT_EQ(refusal(get(line + "\r\n")), 400) << line;
  }
  EXPECT_EQ(play(get("!#$%&'*+-.^_`|~09azAZ: a\r\n")),
            "head GET / 1.1 [Host=a] [!#$%&'*+-.^_`|~09azAZ=a]\ncomplete\n");
}

// ── Limits ──────────────────────────────────────────────────────────────────

TEST(HttpLimits, RequestLinePastItsBoundIs414) {
  const HttpLimits limits{.request_line_bytes_max = 20};
  const std::string longest = "GET /234567 HTTP/1.1";  // 20 bytes
  EXPECT_EQ(play(longest + "\r\nHost: a\r\n\r\n", limits), "head GET /234567 1.1 [Host=a]\ncomplete\n");
  EXPECT_EQ(refusal("GET /2345678 HTTP/1.1\r\nHost: a\r\n\r\n", limits), 414);
  EXPECT_EQ(refusal("GET /234567890123456789", limits), 414);  // said before its end is seen
}

TEST(HttpLimits, HeaderLinePastItsBoundIs431) {
  const HttpLimits limits{.header_line_bytes_max = 10};
  EXPECT_EQ(play(get("X: 4567890\r\n"), limits), "head GET / 1.1 [Host=a] [X=4567890]\ncomplete\n");
  EXPECT_EQ(refusal(get("X: 45678901\r\n"), limits), 431);
  EXPECT_EQ(refusal("GET / HTTP/1.1\r\nX: 4567890123", limits), 431);
}

TEST(HttpLimits, HeadPastItsBoundIs431) {
  const std::string head = get("X: 1\r\nY: 2\r\n");
  EXPECT_EQ(play(head, {.head_bytes_max = head.size()}), "head GET / 1.1 [Host=a] [X=1] [Y=2]\ncomplete\n");
  for (size_t less = 1; less <= 12; ++less) {
    EXPECT_EQ(refusal(head, {.head_bytes_max = head.size() - less}), 431) << less;
  }
  EXPECT_EQ(refusal(head, {.head_bytes_max = 10}), 414);  // not even its first line fits
}

TEST(HttpLimits, MoreHeadersThanAllowedAre431) {
  const HttpLimits limits{.headers_max = 3};
  EXPECT_EQ(play(get("X: 1\r\nY: 2\r\n"), limits), "head GET / 1.1 [Host=a] [X=1] [Y=2]\ncomplete\n");
  EXPECT_EQ(refusal(get("X: 1\r\nY: 2\r\nZ: 3\r\n"), limits), 431);
}

// The defaults are part of the contract: one byte up to each passes, one more does not.
TEST(HttpLimits, DefaultsAre8KiBLines16KiBHeads100HeadersAnd1MiBBodies) {
  const auto play_once = [](const std::string& wire) { return play_http(wire, {}, {}).text; };
  const auto with_target_of = [](size_t bytes) {
    return "GET /" + std::string(bytes - 1, 'a') + " HTTP/1.1\r\nHost: a\r\n\r\n";
  };
  const size_t fixed = "GET  HTTP/1.1"s.size();
  EXPECT_TRUE(play_once(with_target_of(8192 - fixed)).ends_with("complete\n"));
  EXPECT_TRUE(play_once(with_target_of(8193 - fixed)).starts_with("error 414"));

  const auto with_header_of = [](size_t bytes) { return get("X: " + std::string(bytes - 3, 'a') + "\r\n"); };
  EXPECT_TRUE(play_once(with_header_of(8192)).ends_with("complete\n"));
  EXPECT_TRUE(play_once(with_header_of(8193)).starts_with("error 431"));

  const auto with_head_of = [](size_t bytes) {
    const std::string first = "X: " + std::string(8000, 'a') + "\r\nX: " + std::string(1000, 'a') + "\r\n";
    return get(first + "Y: " + std::string(bytes - get(first).size() - 5, 'b') + "\r\n");
  };
  ASSERT_EQ(with_head_of(16384).size(), 16384u);
  EXPECT_TRUE(play_once(with_head_of(16384)).ends_with("complete\n"));
  EXPECT_TRUE(play_once(with_head_of(16385)).starts_with("error 431"));

  const auto with_headers = [](size_t count) {
    std::string lines;
    for (size_t i = 1; i < count; ++i) lines += "X: 1\r\n";
    return get(lines);
  };
  EXPECT_TRUE(play_once(with_headers(100)).ends_with("complete\n"));
  EXPECT_TRUE(play_once(with_headers(101)).starts_with("error 431"));

  EXPECT_TRUE(
      play_once(post("Content-Length: 1048576\r\n", std::string(1 << 20, 'b'))).ends_with("complete\n"));
  EXPECT_NE(play_once(post("Content-Length: 1048577\r\n")).find("error 413"), std::string::npos);
}

TEST(HttpLimits, HeldBytesNeverPassTheHeadOrALine) {
  const HttpLimits limits{.head_bytes_max = 200, .chunk_line_bytes_max = 16, .trailer_bytes_max = 32};
  const std::string wire =
      chunked("5;a=b\r\nhello\r\n0\r\nX: 12345678901234567890\r\n\r\n") + get("X: y\r\n");
  std::vector<size_t> cuts(wire.size());
  std::iota(cuts.begin(), cuts.end(), size_t{0});
  EXPECT_LE(play_http(wire, limits, cuts).held_bytes_peak, 200u + 32u + 2u);
  // A line without end is refused, not kept.
  EXPECT_LE(
      play_http("GET /" + std::string(100'000, 'a'), limits, std::vector<size_t>{50, 150}).held_bytes_peak,
      200u);
}

// ── Host ────────────────────────────────────────────────────────────────────

TEST(HttpHost, MustBeGivenExactlyOnce) {
  EXPECT_EQ(refusal("GET / HTTP/1.1\r\n\r\n"), 400);
  EXPECT_EQ(refusal("GET / HTTP/1.1\r\nHost: a\r\nHost: a\r\n\r\n"), 400);
  EXPECT_EQ(refusal("GET / HTTP/1.0\r\nHost: a\r\nhost: b\r\n\r\n"), 400);
  EXPECT_EQ(play("GET / HTTP/1.0\r\n\r\n"), "head GET / 1.0\ncomplete\n");
}

TEST(HttpHost, MayBeEmptyForAnOriginForm) {
  EXPECT_EQ(play("GET / HTTP/1.1\r\nHost:\r\n\r\n"), "head GET / 1.1 [Host=]\ncomplete\n");
}

TEST(HttpHost, WithSpacesCommasUserinfoOrPathIsRefused) {
  for (const auto host : {"a b", "a,b", "u@a", "a/b", "a:80:80", "a:x", "a:65536", ":80", "[::1", "[::1]x",
                          "[]", "a?b", "a\\b", "http://a", "a#"}) {
    EXPECT_EQ(refusal("GET / HTTP/1.1\r\nHost: "s + host + "\r\n\r\n"), 400) << host;
  }
  for (const auto host : {"example.com", "127.0.0.1:8080", "[::1]:8080", "[::1]", "a_b-c.d~", "a:"}) {
    EXPECT_EQ(refusal("GET / HTTP/1.1\r\nHost: "s + host + "\r\n\r\n"), 0) << host;
  }
}

// ── How a body is framed ────────────────────────────────────────────────────

TEST(HttpFraming, TransferEncodingWithContentLengthIsRefused) {
  EXPECT_EQ(refusal(post("Content-Length: 5\r\nTransfer-Encoding: chunked\r\n")), 400);
  EXPECT_EQ(refusal(post("Transfer-Encoding: chunked\r\nContent-Length: 0\r\n")), 400);
  EXPECT_EQ(refusal(post("Transfer-Encoding: gzip\r\nContent-Length: 0\r\n")), 400);
}

TEST(HttpFraming, TransferEncodingOtherThanChunkedIs501) {
  for (const auto coding : {"gzip", "gzip, chunked", "chunked, chunked", "chunked, gzip", "identity", "",
                            "xchunked", "chunked;q=1", "chunked,", "\"chunked\""}) {
    EXPECT_EQ(refusal(post("Transfer-Encoding: "s + coding + "\r\n")), 501) << coding;
  }
  EXPECT_EQ(refusal(post("Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n")), 501);
}

TEST(HttpFraming, TransferEncodingInHttp10IsRefused) {
  EXPECT_EQ(refusal("POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"), 400);
}

TEST(HttpFraming, ContentLengthTwiceIsRefusedEvenIfEqual) {
  EXPECT_EQ(refusal(post("Content-Length: 5\r\nContent-Length: 5\r\n")), 400);
  EXPECT_EQ(refusal(post("Content-Length: 5\r\nContent-Length: 6\r\n")), 400);
  EXPECT_EQ(refusal(post("Content-Length: 5, 5\r\n")), 400);
}

TEST(HttpFraming, ContentLengthIsDigitsThatFit64Bits) {
  for (const auto length : {"", "+5", "-5", "5 5", "0x5", "5.0", "five", "18446744073709551616",
                            "99999999999999999999999999", "5;"}) {
    EXPECT_EQ(refusal(post("Content-Length: "s + length + "\r\n")), 400) << length;
  }
  EXPECT_EQ(refusal_of_body(post("Content-Length: 18446744073709551615\r\n")), 413);
  EXPECT_EQ(play(post("Content-Length: 0005\r\n", "hello")),
            "head POST / 1.1 [Host=a] [Content-Length=0005]\nbody hello\ncomplete\n");
}

TEST(HttpBody, OfContentLengthEndsAtItsLastByte) {
  EXPECT_EQ(play(post("Content-Length: 5\r\n", "hello")),
            "head POST / 1.1 [Host=a] [Content-Length=5]\nbody hello\ncomplete\n");
  EXPECT_EQ(play(post("Content-Length: 5\r\n", "hell")),
            "head POST / 1.1 [Host=a] [Content-Length=5]\nbody hell\nunfinished\n");
  EXPECT_EQ(play(post("Content-Length: 0\r\n")), "head POST / 1.1 [Host=a] [Content-Length=0]\ncomplete\n");
  EXPECT_EQ(play(post("")), "head POST / 1.1 [Host=a]\ncomplete\n");
}

TEST(HttpBody, PastItsBoundIs413BehindTheHead) {
  const HttpLimits limits{.body_bytes_max = 4};
  EXPECT_EQ(refusal_of_body(post("Content-Length: 4\r\n", "four"), limits), 0);
  EXPECT_EQ(refusal_of_body(post("Content-Length: 5\r\n", "fives"), limits), 413);
  EXPECT_EQ(refusal_of_body(chunked("2\r\nab\r\n2\r\ncd\r\n0\r\n\r\n"), limits), 0);
  EXPECT_EQ(refusal_of_body(chunked("2\r\nab\r\n3\r\ncde\r\n0\r\n\r\n"), limits), 413);
  EXPECT_EQ(refusal_of_body(chunked("2\r\nab\r\nffffffffffffffff\r\n"), limits), 413);
}

TEST(HttpBody, BoundMayBeSetPerRouteAtTheHeadAndFallsBackForTheNext) {
  HttpRequestParser parser({.body_bytes_max = 2});
  std::string wire = post("Content-Length: 3\r\n", "abc") + post("Content-Length: 3\r\n", "abc");
  GuardedBytes bytes(wire);
  MutableBytes input = bytes.bytes();
  ASSERT_EQ(parser.next(input).kind, HttpRequestParser::Event::Kind::head);
  EXPECT_EQ(parser.request().content_length(), 3u);
  parser.set_body_bytes_max(3);
  EXPECT_EQ(parser.next(input).kind, HttpRequestParser::Event::Kind::body);
  EXPECT_EQ(parser.next(input).kind, HttpRequestParser::Event::Kind::complete);
  parser.reset();
  ASSERT_EQ(parser.next(input).kind, HttpRequestParser::Event::Kind::head);
  EXPECT_EQ(parser.next(input).status, 413);
}

TEST(HttpChunked, DecodesSizesInBothCasesWithLeadingZeros) {
  EXPECT_EQ(
      play(chunked("5\r\nhello\r\n00A\r\n 123456789\r\na\r\nabcdefghij\r\n0\r\n\r\n")),
      "head POST / 1.1 [Host=a] [Transfer-Encoding=chunked]\nbody hello 123456789abcdefghij\ncomplete\n");
  EXPECT_EQ(play(post("Transfer-Encoding: Chunked\r\n", "0\r\n\r\n")),
            "head POST / 1.1 [Host=a] [Transfer-Encoding=Chunked]\ncomplete\n");
}

TEST(HttpChunked, SizeIsUpTo16HexDigits) {
  for (const auto line : {"", "g", "0x5", "+5", "-5", " 5", "5 ", "5 5", "00000000000000005", "5,", ";a",
                          "10000000000000000"}) {
    EXPECT_EQ(refusal_of_body(chunked(line + "\r\nhello\r\n0\r\n\r\n"s)), 400) << line;
  }
  EXPECT_EQ(refusal_of_body(chunked("0000000000000005\r\nhello\r\n0\r\n\r\n")), 0);
}

TEST(HttpChunked, LinesEndInCrlf) {
  EXPECT_EQ(refusal_of_body(chunked("5\nhello\r\n0\r\n\r\n")), 400);
  EXPECT_EQ(refusal_of_body(chunked("5\r\nhello\n0\r\n\r\n")), 400);
  EXPECT_EQ(refusal_of_body(chunked("5\r\nhelloX\r\n0\r\n\r\n")), 400);
  EXPECT_EQ(refusal_of_body(chunked("5\r\nhello\rX0\r\n\r\n")), 400);
  EXPECT_EQ(refusal_of_body(chunked("5\r\r\nhello\r\n0\r\n\r\n")), 400);
  EXPECT_EQ(refusal_of_body(chunked("0\r\n\n")), 400);
}

TEST(HttpChunked, ExtensionsAreSkippedWithinBounds) {
  EXPECT_EQ(play(chunked("5;a=b;c=\"d e\"\r\nhello\r\n0 ;x\r\n\r\n")),
            "head POST / 1.1 [Host=a] [Transfer-Encoding=chunked]\nbody hello\ncomplete\n");
  EXPECT_EQ(refusal_of_body(chunked("5;a\x01\r\nhello\r\n0\r\n\r\n")), 400);
  const HttpLimits line{.chunk_line_bytes_max = 8};
  EXPECT_EQ(refusal_of_body(chunked("1;345678\r\nx\r\n0\r\n\r\n"), line), 0);
  EXPECT_EQ(refusal_of_body(chunked("1;3456789\r\nx\r\n0\r\n\r\n"), line), 400);
  const HttpLimits sum{.chunk_extension_bytes_max = 4};
  EXPECT_EQ(refusal_of_body(chunked("1;a\r\nx\r\n1;b\r\nx\r\n0\r\n\r\n"), sum), 0);
  EXPECT_EQ(refusal_of_body(chunked("1;a\r\nx\r\n1;b\r\nx\r\n0;c\r\n\r\n"), sum), 400);
}

TEST(HttpChunked, TrailersAreCheckedAndDropped) {
  EXPECT_EQ(play(chunked("1\r\nx\r\n0\r\nHost: evil\r\nContent-Length: 9\r\n\r\n")),
            "head POST / 1.1 [Host=a] [Transfer-Encoding=chunked]\nbody x\ncomplete\n");
  EXPECT_EQ(refusal_of_body(chunked("0\r\nX : y\r\n\r\n")), 400);
  EXPECT_EQ(refusal_of_body(chunked("0\r\nX: y\r\n folded\r\n\r\n")), 400);
  EXPECT_EQ(refusal_of_body(chunked("0\r\nX: y\n\r\n")), 400);
}

TEST(HttpChunked, TrailersPastTheirBoundsAre431) {
  const HttpLimits limits{.headers_max = 2, .trailer_bytes_max = 10};
  EXPECT_EQ(refusal_of_body(chunked("0\r\nX: 45\r\nY: 90\r\n\r\n"), limits), 0);
  EXPECT_EQ(refusal_of_body(chunked("0\r\nX: 45\r\nY: 901\r\n\r\n"), limits), 431);
  EXPECT_EQ(refusal_of_body(chunked("0\r\nX: 4567890123456"), limits), 431);
  EXPECT_EQ(refusal_of_body(chunked("0\r\nX:\r\nY:\r\nZ:\r\n\r\n"), limits), 431);
}

// ── Expect, keep-alive, pipelining ──────────────────────────────────────────

TEST(HttpExpect, ContinueIsAnEventBetweenHeadAndBody) {
  EXPECT_EQ(play(post("Expect: 100-Continue\r\nContent-Length: 2\r\n", "ok")),
            "head POST / 1.1 [Host=a] [Expect=100-Continue] [Content-Length=2]\nexpect_continue\nbody "
            "ok\ncomplete\n");
  EXPECT_EQ(play(post("Expect: 100-continue\r\nTransfer-Encoding: chunked\r\n", "0\r\n\r\n")),
            "head POST / 1.1 [Host=a] [Expect=100-continue] "
            "[Transfer-Encoding=chunked]\nexpect_continue\ncomplete\n");
}

TEST(HttpExpect, WithoutABodyNothingIsAwaited) {
  EXPECT_EQ(play(get("Expect: 100-continue\r\n")),
            "head GET / 1.1 [Host=a] [Expect=100-continue]\ncomplete\n");
}

TEST(HttpExpect, ATooLongBodyIsRefusedInsteadOfInvited) {
  EXPECT_EQ(play(post("Expect: 100-continue\r\nContent-Length: 5\r\n"), {.body_bytes_max = 4}),
            "head POST / 1.1 [Host=a] [Expect=100-continue] [Content-Length=5]\nerror 413 body too long\n");
}

TEST(HttpExpect, AnythingElseIs417) {
  EXPECT_EQ(refusal(post("Expect: magic\r\nContent-Length: 2\r\n")), 417);
  EXPECT_EQ(refusal(post("Expect: 100-continue, magic\r\nContent-Length: 2\r\n")), 417);
}

TEST(HttpExpect, IsIgnoredInHttp10) {
  EXPECT_EQ(play("POST / HTTP/1.0\r\nExpect: 100-continue\r\nContent-Length: 2\r\n\r\nok"),
            "head POST / 1.0 [Expect=100-continue] [Content-Length=2]\nbody ok\ncomplete\n");
}

bool keeps_alive(std::string_view wire) {
  bool result = false;
  play_http(wire, {}, {}, [&](const HttpRequest& request) { result = request.keep_alive(); });
  return result;
}

TEST(HttpKeepAlive, IsTheDefaultOf11AndNeverOf10) {
  EXPECT_TRUE(keeps_alive(get("")));
  EXPECT_TRUE(keeps_alive(get("Connection: keep-alive, Upgrade\r\n")));
  EXPECT_FALSE(keeps_alive(get("Connection: close\r\n")));
  EXPECT_FALSE(keeps_alive(get("Connection: keep-alive\r\nconnection: foo , CLOSE\r\n")));
  EXPECT_FALSE(keeps_alive("GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n"));
}

TEST(HttpPipelining, RequestsFollowEachOtherWithoutABreak) {
  EXPECT_EQ(
      play("GET /1 HTTP/1.1\r\nHost: a\r\n\r\nPOST /2 HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nabc\r\n"
           "POST /3 HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nd\r\n0\r\n\r\n"
           "GET /4 HTTP/1.1\r\nHost: a\r\n\r\nGET"),
      "head GET /1 1.1 [Host=a]\ncomplete\n"
      "head POST /2 1.1 [Host=a] [Content-Length=3]\nbody abc\ncomplete\n"
      "head POST /3 1.1 [Host=a] [Transfer-Encoding=chunked]\nbody d\ncomplete\n"
      "head GET /4 1.1 [Host=a]\ncomplete\nunfinished\n");
}

TEST(HttpPipelining, NothingOfOneRequestStaysForTheNext) {
  EXPECT_EQ(play(post("Expect: 100-continue\r\nTransfer-Encoding: chunked\r\nX: y\r\n",
                      "1;e\r\nz\r\n0\r\nT: t\r\n\r\n") +
                 post("")),
            "head POST / 1.1 [Host=a] [Expect=100-continue] [Transfer-Encoding=chunked] "
            "[X=y]\nexpect_continue\nbody z\n"
            "complete\nhead POST / 1.1 [Host=a]\ncomplete\n");
}

TEST(HttpPipelining, ARefusedRequestEndsIt) {
  EXPECT_EQ(play("BAD\r\n\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n"), "error 400 malformed request line\n");
}

// ── What the caller holds ───────────────────────────────────────────────────

TEST(HttpRequestParser, LeavesTheBytesBehindAnUpgradesHeadUntouched) {
  const std::string head = get("Upgrade: websocket\r\nConnection: Upgrade\r\n");
  for (size_t cut = 0; cut <= head.size(); ++cut) {
    HttpRequestParser parser({});
    GuardedBytes first(std::string_view(head).substr(0, cut));
    MutableBytes input = first.bytes();
    auto event = parser.next(input);
    GuardedBytes second(head.substr(cut) +
                        "\x81\x85"
                        "frames");
    if (event.kind == HttpRequestParser::Event::Kind::need_more) {
      input = second.bytes();
      event = parser.next(input);
      EXPECT_EQ(as_text(input),
                "\x81\x85"
                "frames");
    }
    ASSERT_EQ(event.kind, HttpRequestParser::Event::Kind::head);
  }
}

TEST(HttpRequestParser, BodyIsNotCopied) {
  HttpRequestParser parser({});
  GuardedBytes bytes(post("Content-Length: 5\r\n", "hello"));
  MutableBytes input = bytes.bytes();
  ASSERT_EQ(parser.next(input).kind, HttpRequestParser::Event::Kind::head);
  const auto event = parser.next(input);
  EXPECT_EQ(event.body.data(), bytes.bytes().last(5).data());
}

TEST(HttpRequestParser, ReleasedRequestOutlivesIt) {
  HttpRequest kept;
  {
    HttpRequestParser parser({});
    GuardedBytes bytes(get("Cookie: c=1\r\n"));
    MutableBytes input = bytes.bytes();
    ASSERT_EQ(parser.next(input).kind, HttpRequestParser::Event::Kind::head);
    kept = parser.release_request();
    EXPECT_EQ(parser.held_bytes(), 0u);
  }
  EXPECT_EQ(describe(kept), "head GET / 1.1 [Host=a] [Cookie=c=1]\n");
}

TEST(HttpRequestParser, MovesWithARequestHalfRead) {
  HttpRequestParser parser({});
  const std::string wire = get("X: y\r\n");
  GuardedBytes first(std::string_view(wire).substr(0, 20));
  MutableBytes input = first.bytes();
  ASSERT_EQ(parser.next(input).kind, HttpRequestParser::Event::Kind::need_more);
  EXPECT_TRUE(parser.begun());
  HttpRequestParser moved = std::move(parser);
  GuardedBytes second(std::string_view(wire).substr(20));
  input = second.bytes();
  ASSERT_EQ(moved.next(input).kind, HttpRequestParser::Event::Kind::head);
  EXPECT_EQ(describe(moved.request()), "head GET / 1.1 [Host=a] [X=y]\n");
}

TEST(HttpRequest, FindsHeadersWithoutCaseAndTokensOverAllLines) {
  play_http(get("X-A: first\r\nx-a: second\r\nConnection: keep-alive ,, Upgrade\r\nCONNECTION:foo\r\n"), {},
            {}, [](const HttpRequest& request) {
              EXPECT_EQ(request.header("x-A"), "first");
              EXPECT_EQ(request.count("X-a"), 2u);
              EXPECT_EQ(request.header("nope"), "");
              EXPECT_EQ(request.count("nope"), 0u);
              EXPECT_TRUE(request.has_token("connection", "upgrade"));
              EXPECT_TRUE(request.has_token("connection", "FOO"));
              EXPECT_FALSE(request.has_token("connection", "alive"));
              EXPECT_FALSE(request.has_token("connection", ""));
              EXPECT_EQ(request.host(), "a");
            });
}

}  // namespace
}  // namespace ringcast
