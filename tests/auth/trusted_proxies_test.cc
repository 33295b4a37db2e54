// Whom a request comes from: every line here is either a client behind a proxy that
// must be known by its own address, or one that would like to be somebody else.
#include "auth/trusted_proxies.h"

#include <gtest/gtest.h>

#include <utility>

namespace ringcast {
namespace {

IpAddress ip(std::string_view text) {
  const auto address = IpAddress::parse(text);
  EXPECT_TRUE(address) << text;
  return address.value_or(IpAddress{});
}

bool holds(std::string_view network, std::string_view address) {
  std::string error;
  const auto parsed = IpNetwork::parse(network, &error);
  EXPECT_TRUE(parsed) << error;
  return parsed && parsed->contains(ip(address));
}

std::string why_not(std::string_view network) {
  std::string error;
  EXPECT_FALSE(IpNetwork::parse(network, &error)) << network;
  return error;
}

TEST(IpNetwork, HoldsTheAddressesOfItsPrefix) {
  EXPECT_TRUE(holds("10.0.0.0/8", "10.255.0.1"));
  EXPECT_FALSE(holds("10.0.0.0/8", "11.0.0.0"));
  EXPECT_TRUE(holds("192.0.2.128/25", "192.0.2.255"));
  EXPECT_FALSE(holds("192.0.2.128/25", "192.0.2.127"));
  EXPECT_TRUE(holds("192.0.2.1/32", "192.0.2.1"));
  EXPECT_TRUE(holds("192.0.2.1", "192.0.2.1"));
  EXPECT_FALSE(holds("192.0.2.1", "192.0.2.0"));
  EXPECT_TRUE(holds("2001:db8::/33", "2001:db8:7fff::1"));
  EXPECT_FALSE(holds("2001:db8::/33", "2001:db8:8000::1"));
  EXPECT_TRUE(holds("::1", "::1"));
  EXPECT_FALSE(holds("::1", "::2"));
}

TEST(IpNetwork, TheFamiliesAreSeparateWhicheverWayAnAddressCame) {
  EXPECT_TRUE(holds("0.0.0.0/0", "203.0.113.9"));
  EXPECT_TRUE(holds("0.0.0.0/0", "::ffff:203.0.113.9"));
  EXPECT_FALSE(holds("0.0.0.0/0", "2001:db8::1"));
  EXPECT_TRUE(holds("::/0", "2001:db8::1"));
  EXPECT_FALSE(holds("::/0", "203.0.113.9"));
  EXPECT_FALSE(holds("::/0", "::ffff:203.0.113.9"));
  EXPECT_TRUE(holds("::ffff:10.0.0.0/104", "10.1.2.3"));
  EXPECT_FALSE(holds("::ffff:10.0.0.0/104", "11.1.2.3"));
  EXPECT_TRUE(holds("::ffff:0:0/96", "11.1.2.3"));
}

TEST(IpNetwork, AMistakeIsASentence) {
  for (const std::string_view text :
       {"", "/", "10", "10/8", "10.0.0.0/", "10.0.0.0/33", "10.0.0.0/-1", "10.0.0.0/+8", "10.0.0.0/8 ",
        "10.0.0.0/8/8", "10.0.0.0/255.0.0.0", "2001:db8::/129", "[2001:db8::]/32", "localhost", "*",
        "::ffff:10.0.0.0/8", "10.0.0.0/4294967304"}) {
    const std::string error = why_not(text);
    EXPECT_TRUE(error.starts_with("\"" + std::string(text) + "\" is not a network: ")) << error;
  }
  EXPECT_NE(why_not("10.1.2.3/8").find("did you mean 10.0.0.0/8?"), std::string::npos);
  EXPECT_NE(why_not("2001:db8::1/64").find("did you mean 2001:db8::/64?"), std::string::npos);
}

TEST(TrustedProxies, AreTheUnionOfWhatWasAdded) {
  TrustedProxies proxies;
  std::string error;
  EXPECT_TRUE(proxies.empty());
  EXPECT_FALSE(proxies.contains(ip("127.0.0.1")));
  EXPECT_TRUE(proxies.add("127.0.0.1", &error));
  EXPECT_TRUE(proxies.add("2001:db8::/32", &error));
  EXPECT_EQ(error, "");
  EXPECT_FALSE(proxies.add("nonsense", &error));
  EXPECT_NE(error, "");
  EXPECT_FALSE(proxies.empty());
  EXPECT_TRUE(proxies.contains(ip("127.0.0.1")));
  EXPECT_TRUE(proxies.contains(ip("2001:db8:1::")));
  EXPECT_FALSE(proxies.contains(ip("127.0.0.2")));
}

// ── The client behind them ───────────────────────────────────────────────────

class Forwarded : public testing::Test {
 protected:
  struct Header {
    std::string_view name, value;
  };

  Forwarded() {
    std::string error;
    for (const char* network : {"127.0.0.1", "10.0.0.0/8", "2001:db8:1::/48"}) {
      EXPECT_TRUE(trusted_.add(network, &error)) << error;
    }
  }

  ForwardedClient resolve(std::vector<Header> headers, std::string_view peer = "127.0.0.1") {
    return resolve_forwarded(ip(peer), trusted_, ForwardingHeaders::of(headers));
  }

  std::string client(std::string_view forwarded_for, std::string_view peer = "127.0.0.1") {
    return resolve({{"X-Forwarded-For", forwarded_for}}, peer).address.to_string();
  }

  TrustedProxies trusted_;
};

TEST_F(Forwarded, IsTheRightmostAddressThatIsNoTrustedProxys) {
  EXPECT_EQ(client("203.0.113.9"), "203.0.113.9");
  EXPECT_EQ(client("203.0.113.9, 10.0.0.1"), "203.0.113.9");
  EXPECT_EQ(client("203.0.113.9,10.0.0.1 ,\t10.9.9.9"), "203.0.113.9");
  EXPECT_EQ(client("2001:db8::1, 2001:db8:1::7", "2001:db8:1::8"), "2001:db8::1");
  EXPECT_EQ(client("::ffff:203.0.113.9"), "203.0.113.9");
}

TEST_F(Forwarded, WhatTheClientWroteItselfStandsFurtherLeftAndIsNotRead) {
  EXPECT_EQ(client("127.0.0.1, 203.0.113.9"), "203.0.113.9");
  EXPECT_EQ(client("10.0.0.1, 198.51.100.1, 203.0.113.9, 10.0.0.2"), "203.0.113.9");
  EXPECT_EQ(client("nonsense \" , 203.0.113.9"), "203.0.113.9");
}

TEST_F(Forwarded, ByAnUntrustedPeerMeansNothing) {
  const auto said = resolve(
      {{"X-Forwarded-For", "127.0.0.1"}, {"X-Forwarded-Proto", "https"}, {"X-Forwarded-Host", "example.com"}},
      "203.0.113.9");
  EXPECT_EQ(said.address, ip("203.0.113.9"));
  EXPECT_EQ(said.tls, std::nullopt);
  EXPECT_EQ(said.host, "");
  EXPECT_EQ(
      resolve_forwarded(ip("127.0.0.1"), {}, {.forwarded_for = {"1.2.3.4"}, .proto = {}, .host = {}}).address,
      ip("127.0.0.1"));
}

TEST_F(Forwarded, SeveralLinesAreOneList) {
  const auto address = [&](std::vector<Header> headers) { return resolve(headers).address.to_string(); };
  EXPECT_EQ(address({{"X-Forwarded-For", "198.51.100.1"}, {"x-forwarded-for", "203.0.113.9"}}),
            "203.0.113.9");
  EXPECT_EQ(address({{"X-Forwarded-For", "198.51.100.1, 203.0.113.9"}, {"X-FORWARDED-FOR", "10.0.0.1"}}),
            "203.0.113.9");
  EXPECT_EQ(address({{"X-Forwarded-For", "203.0.113.9"}, {"Other", "1.1.1.1"}, {"X-Forwarded-For", ""}}),
            "203.0.113.9");
  EXPECT_EQ(address({{"X-Forwarded-For", "203.0.113.9"}, {"X-Forwarded-For", "unknown"}}), "127.0.0.1");
}

TEST_F(Forwarded, IfAllAreTrustedItIsTheFarthest) {
  EXPECT_EQ(client("10.0.0.3, 10.0.0.2, 10.0.0.1"), "10.0.0.3");
  EXPECT_EQ(client(""), "127.0.0.1");
  EXPECT_EQ(client(" , ,"), "127.0.0.1");
  EXPECT_EQ(resolve({}).address, ip("127.0.0.1"));
}

TEST_F(Forwarded, AMemberThatIsNoAddressEndsTheSearchAtTheHopBefore) {
  for (const std::string_view bad :
       {"unknown", "localhost", "_hidden", "\"10.0.0.7\"", "10.0.0", "10.0.0.7 10.0.0.8",
        "10.0.0.7:", "10.0.0.7:x", "10.0.0.7:123456", "[10.0.0.7]", "[2001:db8:1::7", "[2001:db8:1::7]x",
        "[]", "for=10.0.0.7", "2001:db8:1::7%eth0", "10.0.0.7;10.0.0.8"}) {
    EXPECT_EQ(client(std::string(bad)), "127.0.0.1") << bad;
    EXPECT_EQ(client("203.0.113.9, " + std::string(bad) + ", 10.0.0.1"), "10.0.0.1") << bad;
  }
}

TEST_F(Forwarded, PortsAndBracketsAreReadAsProxiesWriteThem) {
  EXPECT_EQ(client("203.0.113.9:50000"), "203.0.113.9");
  EXPECT_EQ(client("[2001:db8::1]"), "2001:db8::1");
  EXPECT_EQ(client("[2001:db8::1]:443, 10.0.0.1:1"), "2001:db8::1");
  EXPECT_EQ(client("2001:db8::1"), "2001:db8::1");
}

TEST_F(Forwarded, TheSchemeIsTheNearestProxysWord) {
  const auto tls = [&](std::string_view proto) { return resolve({{"X-Forwarded-Proto", proto}}).tls; };
  EXPECT_EQ(tls("https"), true);
  EXPECT_EQ(tls("WSS"), true);
  EXPECT_EQ(tls("http"), false);
  EXPECT_EQ(tls("ws"), false);
  EXPECT_EQ(tls("https, http"), false);
  for (const std::string_view bad : {"", "ftp", "https;", "https http", "http://", "https, "}) {
    EXPECT_EQ(tls(bad), std::nullopt) << bad;
  }
  EXPECT_EQ(resolve({{"X-Forwarded-Proto", "https"}, {"X-Forwarded-Proto", "http"}}).tls, false);
}

TEST_F(Forwarded, TheHostIsTheNearestProxysWord) {
  const auto host = [&](std::string_view value) {
    const auto said = resolve({{"X-Forwarded-Host", value}});
    return std::string(said.host);
  };
  for (const std::string_view good : {"example.com", "EXAMPLE.com:8443", "[2001:db8::1]:443", "192.0.2.1"}) {
    EXPECT_EQ(host(good), good);
  }
  EXPECT_EQ(host("evil.test, example.com"), "example.com");
  for (const std::string& bad : {std::string(), std::string("a b"), std::string("user@example.com"),
                                 std::string("example.com/path"), std::string("ex\xc3\xa4mple.com"),
                                 std::string("a\0b", 3), std::string(256, 'a'), std::string("a,")}) {
    EXPECT_EQ(host(bad), "") << bad;
  }
}

// Proxies that write it pass a client's own through, and the other way round.
TEST_F(Forwarded, TheStandardsHeaderIsNotRead) {
  EXPECT_EQ(resolve({{"Forwarded", "for=203.0.113.9;proto=https;host=example.com"}}).address,
            ip("127.0.0.1"));
}

}  // namespace
}  // namespace ringcast
