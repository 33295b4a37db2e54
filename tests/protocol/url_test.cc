// Percent-encoding, paths, route patterns and hosts.
#include "protocol/url.h"

#include <gtest/gtest.h>

#include <map>

namespace ringcast {
namespace {

using namespace std::string_literals;
using Segments = std::vector<std::string>;

TEST(PercentDecode, DecodesOnceAndLeavesPlusAlone) {
  EXPECT_EQ(percent_decode("a%20b+c%2f%2F"), "a b+c//");
  EXPECT_EQ(percent_decode("%2541"), "%41");
  EXPECT_EQ(percent_decode("%00%ff"), "\0\xff"s);
  EXPECT_EQ(percent_decode(""), "");
}

TEST(PercentDecode, RefusesMalformedEscapes) {
  for (const auto text : {"%", "%2", "a%", "%g0", "%0g", "%%20", "% 20", "%-1"}) {
    EXPECT_EQ(percent_decode(text), std::nullopt) << text;
  }
}

std::optional<Segments> segments(std::string_view raw) {
  const auto path = UrlPath::parse(raw);
  if (!path) return std::nullopt;
  return Segments(path->segments().begin(), path->segments().end());
}

TEST(UrlPath, IsCutBeforeItIsDecoded) {
  EXPECT_EQ(segments("/"), Segments{});
  EXPECT_EQ(segments("/a/b"), (Segments{"a", "b"}));
  EXPECT_EQ(segments("/a%2Fb/c%20d"), (Segments{"a/b", "c d"}));
  EXPECT_EQ(segments("/r%C3%A4ume"), (Segments{"r\xc3\xa4ume"}));
  EXPECT_EQ(segments("/%252e"), (Segments{"%2e"}));
}

TEST(UrlPath, TrailingSlashAddsNothingAnInnerOneAnEmptySegment) {
  EXPECT_EQ(segments("/a/"), (Segments{"a"}));
  EXPECT_EQ(segments("/a//b"), (Segments{"a", "", "b"}));
  EXPECT_EQ(segments("//a"), (Segments{"", "a"}));
  EXPECT_EQ(segments("//"), (Segments{""}));
}

TEST(UrlPath, DotSegmentsAreAppliedEncodedOrNot) {
  EXPECT_EQ(segments("/a/./b/../c"), (Segments{"a", "c"}));
  EXPECT_EQ(segments("/a/%2e/%2E%2e/c"), (Segments{"c"}));
  EXPECT_EQ(segments("/../../a"), (Segments{"a"}));
  EXPECT_EQ(segments("/a/.."), Segments{});
  EXPECT_EQ(segments("/a/../"), Segments{});
  EXPECT_EQ(segments("/.../.a"), (Segments{"...", ".a"}));
  EXPECT_EQ(segments("/..%2Fa"), (Segments{"../a"}));  // one segment, never cut again
}

TEST(UrlPath, RefusesNulMalformedEscapesAndRelativePaths) {
  for (const auto& raw : {"/a%00"s, "/\0"s, "/%"s, "/a/%zz"s, ""s, "a/b"s, "*"s}) {
    EXPECT_EQ(segments(raw), std::nullopt) << raw;
  }
}

// The parameters as "name=value;" or "-" for no match.
std::string matched(std::string_view pattern, std::string_view raw_path) {
  const auto path = UrlPath::parse(raw_path);
  if (!path) return "bad path";
  const auto parameters = PathPattern(pattern).match(*path);
  if (!parameters) return "-";
  std::string text;
  for (const PathParameter& parameter : *parameters) text += parameter.name + "=" + parameter.value + ";";
  return text;
}

TEST(PathPattern, LiteralMatchesWithOrWithoutTrailingSlash) {
  EXPECT_EQ(matched("/cable", "/cable"), "");
  EXPECT_EQ(matched("/cable", "/cable/"), "");
  EXPECT_EQ(matched("/cable", "/%63able"), "");
  EXPECT_EQ(matched("/cable", "/x/../cable"), "");
  EXPECT_EQ(matched("/cable", "/cabled"), "-");
  EXPECT_EQ(matched("/cable", "/Cable"), "-");
  EXPECT_EQ(matched("/cable", "/cable/deeper"), "-");
  EXPECT_EQ(matched("/cable", "/cable//"), "-");
  EXPECT_EQ(matched("/cable", "/"), "-");
  EXPECT_EQ(matched("/", "/"), "");
  EXPECT_EQ(matched("/", "/a"), "-");
}

TEST(PathPattern, ParameterIsOneDecodedSegment) {
  EXPECT_EQ(matched("/websocket/:room", "/websocket/general"), "room=general;");
  EXPECT_EQ(matched("/websocket/:room", "/websocket/r%20o+m/"), "room=r o+m;");
  EXPECT_EQ(matched("/websocket/:room", "/websocket/:room"), "room=:room;");
  EXPECT_EQ(matched("/websocket/:room", "/websocket/a/b"), "-");
  EXPECT_EQ(matched("/:a/x/:b", "/1/x/2"), "a=1;b=2;");
}

TEST(PathPattern, ParameterIsNeitherEmptyNorHoldsAnEncodedSlash) {
  EXPECT_EQ(matched("/websocket/:room", "/websocket/"), "-");
  EXPECT_EQ(matched("/websocket/:room", "/websocket//"), "-");
  EXPECT_EQ(matched("/websocket/:room", "/websocket/a%2Fb"), "-");
  EXPECT_EQ(matched("/websocket/:room", "/websocket/%2f"), "-");
  EXPECT_EQ(matched("/send_message_to_room/:room", "/send_message_to_room/r%20o%2Fm"), "-");  // Sinatra: 404
}

TEST(PathPattern, StarMatchesAnyTail) {
  EXPECT_EQ(matched("/cable/*", "/cable"), "");
  EXPECT_EQ(matched("/cable/*", "/cable/deeper/still"), "");
  EXPECT_EQ(matched("/cable/*", "/cabled"), "-");
  EXPECT_EQ(matched("/:a/*", "/x/y"), "a=x;");
  EXPECT_EQ(matched("/*", "/"), "");
}

TEST(PathPattern, MalformedOnesAreKnownBeforehand) {
  for (const auto good : {"/", "/a", "/a/:b", "/*", "/a/*", "/:a/:b/c"})
    EXPECT_TRUE(PathPattern::valid(good)) << good;
  for (const auto bad : {"", "a", "/a/", "//", "/:", "/a/:/b", "/*/a", "/a*", "/.", "/a/../b"}) {
    EXPECT_FALSE(PathPattern::valid(bad)) << bad;
  }
}

TEST(ParseHost, CutsHostAndPort) {
  const auto parts = [](std::string_view text) {
    const auto host = parse_host(text);
    return host ? std::string(host->host) + "|" + std::string(host->port) : "-";
  };
  EXPECT_EQ(parts("example.com"), "example.com|");
  EXPECT_EQ(parts("example.com:8080"), "example.com|8080");
  EXPECT_EQ(parts("[::1]:8080"), "[::1]|8080");
  EXPECT_EQ(parts("[fe80::1.2.3.4]"), "[fe80::1.2.3.4]|");
  EXPECT_EQ(parts("a:65535"), "a|65535");
  EXPECT_EQ(parts("a:"), "a|");
  for (const auto& bad :
       {""s, ":1"s, "a:65536"s, "a:99999999999999999999"s, "a:1:2"s, "a b"s, "a,b"s, "u@a"s, "a/"s, "[::1"s,
        "[]"s, "[1]"s, "[::g]"s, "[::1]1"s, "a%41"s, "\0"s, "a\\b"s, "caf\xc3\xa9"s}) {
    EXPECT_EQ(parts(bad), "-") << bad;
  }
}

TEST(HostAllowed, EmptyListAllowsEveryHost) {
  EXPECT_TRUE(host_allowed("anything", {}));
  EXPECT_TRUE(host_allowed("", {}));
}

TEST(HostAllowed, EntriesAreHostsHostsWithPortsAndWildcards) {
  const std::vector<std::string> allowed = {"example.com", "localhost:8080", "*.example.org", "[::1]"};
  for (const auto host :
       {"example.com", "EXAMPLE.com:81", "localhost:8080", "a.example.org", "a.b.example.org:9", "[::1]:1"}) {
    EXPECT_TRUE(host_allowed(host, allowed)) << host;
  }
  for (const auto host : {"", "example.com.evil", "notexample.com", "localhost", "localhost:81",
                          "example.org", ".example.org", "evilexample.org", "u@example.com"}) {
    EXPECT_FALSE(host_allowed(host, allowed)) << host;
  }
}

}  // namespace
}  // namespace ringcast
