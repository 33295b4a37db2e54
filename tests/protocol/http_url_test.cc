#include "protocol/http_url.h"

#include <gtest/gtest.h>

namespace ringcast {
namespace {

TEST(HttpUrl, Parses) {
  std::string error;
  const auto plain = HttpUrl::parse("http://127.0.0.1:3000/_anycable", &error);
  ASSERT_TRUE(plain) << error;
  EXPECT_FALSE(plain->tls);
  EXPECT_EQ(plain->host, "127.0.0.1");
  EXPECT_EQ(plain->port, 3000);
  EXPECT_EQ(plain->path, "/_anycable");
  EXPECT_EQ(plain->authority, "127.0.0.1:3000");
  EXPECT_EQ(plain->to_string(), "http://127.0.0.1:3000/_anycable");

  const auto secure = HttpUrl::parse("https://app.example.com/a/b/", &error);
  ASSERT_TRUE(secure) << error;
  EXPECT_TRUE(secure->tls);
  EXPECT_EQ(secure->port, 443);
  EXPECT_EQ(secure->path, "/a/b");

  const auto v6 = HttpUrl::parse("http://[::1]:80", &error);
  ASSERT_TRUE(v6) << error;
  EXPECT_EQ(v6->host, "::1");
  EXPECT_EQ(v6->authority, "[::1]:80");
  EXPECT_EQ(v6->path, "");
}

TEST(HttpUrl, RefusesInASentence) {
  for (const char* text :
       {"", "app", "ftp://x", "http://", "http:///x", "http://h:0/", "http://h:/", "http://h:99999/",
        "http://h:x", "http://u:p@h/", "http://h/a?b", "http://h/a#b", "http://h/a b", "http://h/\r\nX: y"}) {
    std::string error;
    EXPECT_FALSE(HttpUrl::parse(text, &error)) << text;
    EXPECT_FALSE(error.empty()) << text;
  }
}

}  // namespace
}  // namespace ringcast
