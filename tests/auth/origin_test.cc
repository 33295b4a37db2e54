// Which pages may connect: every line here is either a page that must work or another
// site's script that must not.
#include "auth/origin.h"

#include <gtest/gtest.h>

#include <vector>

namespace ringcast {
namespace {

bool own(std::string_view origin, std::string_view host, bool tls = false) {
  return origin_allowed(origin, host, tls, {});
}

bool listed(std::string_view origin, std::vector<std::string> allowed) {
  return origin_allowed(origin, "server.test", false, allowed);
}

TEST(SameOrigin, IsSchemeHostAndPort) {
  EXPECT_TRUE(own("http://example.com", "example.com"));
  EXPECT_TRUE(own("http://127.0.0.1:8080", "127.0.0.1:8080"));
  EXPECT_TRUE(own("https://example.com", "example.com", true));
  EXPECT_TRUE(own("http://[::1]:8080", "[::1]:8080"));

  EXPECT_FALSE(own("https://example.com", "example.com"));
  EXPECT_FALSE(own("http://example.com", "example.com", true));
  EXPECT_FALSE(own("http://example.com:8080", "example.com"));
  EXPECT_FALSE(own("http://example.com", "example.com:8080"));
  EXPECT_FALSE(own("http://evil.test", "example.com"));
  EXPECT_FALSE(own("http://[::1]", "[::2]"));
}

TEST(SameOrigin, DefaultPortsMayBeSpelledOut) {
  EXPECT_TRUE(own("http://example.com:80", "example.com"));
  EXPECT_TRUE(own("http://example.com", "example.com:80"));
  EXPECT_TRUE(own("https://example.com", "example.com:443", true));
  EXPECT_FALSE(own("https://example.com:80", "example.com", true));
}

TEST(SameOrigin, HostsAndSchemesHaveNoCase) {
  EXPECT_TRUE(own("HTTP://Example.COM", "eXample.com"));
}

TEST(SameOrigin, NamesThatOnlyLookAlikeAreForeign) {
  for (const auto origin : {"http://example.com.evil.test", "http://evil-example.com", "http://a.example.com",
                            "http://example.co", "http://example.com.", "http://example.com@evil.test",
                            "http://evil.test#example.com"}) {
    EXPECT_FALSE(own(origin, "example.com")) << origin;
  }
}

TEST(SameOrigin, MalformedOriginsAndHostsMatchNothing) {
  for (const auto origin :
       {"", "null", "example.com", "http:/example.com", "http://", "://example.com", "http://example.com/",
        "http://example.com:", "http://example.com:8o", "http://example.com http://example.com",
        "http://u@example.com", "//example.com", "ws://example.com"}) {
    EXPECT_FALSE(own(origin, "example.com")) << origin;
  }
  EXPECT_FALSE(own("http://example.com", ""));
  EXPECT_FALSE(own("http://", ""));
  EXPECT_FALSE(own("http://a,b", "a,b"));
}

TEST(AllowedOrigins, ExactEntries) {
  const std::vector<std::string> allowed = {"https://app.example.com", "http://localhost:3000"};
  EXPECT_TRUE(listed("https://app.example.com", allowed));
  EXPECT_TRUE(listed("https://APP.example.com:443", allowed));
  EXPECT_TRUE(listed("http://localhost:3000", allowed));
  for (const auto origin :
       {"http://app.example.com", "https://app.example.com:444", "https://x.app.example.com",
        "http://localhost", "http://localhost:3001", "https://app.example.com.evil.test"}) {
    EXPECT_FALSE(listed(origin, allowed)) << origin;
  }
  EXPECT_TRUE(listed("http://server.test", allowed));  // entries add to the server's own origin
}

TEST(AllowedOrigins, WildcardsMatchBelowTheDomainOnly) {
  const std::vector<std::string> allowed = {"https://*.example.com", "http://*.dev.test:8080"};
  EXPECT_TRUE(listed("https://a.example.com", allowed));
  EXPECT_TRUE(listed("https://a.b.EXAMPLE.com", allowed));
  EXPECT_TRUE(listed("http://x.dev.test:8080", allowed));
  for (const auto origin :
       {"https://example.com", "https://.example.com", "https://evilexample.com", "http://a.example.com",
        "https://a.example.com:8443", "https://a.example.com.evil.test", "http://x.dev.test"}) {
    EXPECT_FALSE(listed(origin, allowed)) << origin;
  }
}

TEST(AllowedOrigins, StarAdmitsEverybodyWithAnOrigin) {
  for (const auto origin : {"http://evil.test", "null", "file://", "whatever"})
    EXPECT_TRUE(listed(origin, {"*"})) << origin;
  EXPECT_FALSE(listed("", {"*"}));
}

TEST(AllowedOrigins, NullAndOtherSchemesOnlyWhenNamed) {
  EXPECT_TRUE(listed("null", {"null"}));
  EXPECT_FALSE(listed("null", {"https://*.example.com"}));
  EXPECT_TRUE(listed("file://", {"file://"}));
  EXPECT_FALSE(listed("file://", {"http://a"}));
  EXPECT_TRUE(listed("chrome-extension://abcdef", {"chrome-extension://abcdef"}));
  EXPECT_FALSE(listed("chrome-extension://abcdeg", {"chrome-extension://abcdef"}));
}

TEST(AllowedOrigins, MalformedEntriesMatchNothingAndAreKnownBeforehand) {
  for (const auto entry :
       {"", "example.com", "https://", "https://*", "https://*.", "https://*..com", "https://a*.example.com",
        "https://a.example.com/", "*.example.com", "**", "https://a b", "ftp://*.example.com"}) {
    EXPECT_FALSE(valid_origin_entry(entry)) << entry;
    EXPECT_FALSE(listed("https://a.example.com", {entry})) << entry;
  }
  for (const auto entry : {"*", "null", "https://example.com", "http://localhost:3000",
                           "https://*.example.com", "file://", "http://[::1]:80", "moz-extension://0a-b"}) {
    EXPECT_TRUE(valid_origin_entry(entry)) << entry;
  }
}

}  // namespace
}  // namespace ringcast
