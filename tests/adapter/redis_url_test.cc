#include "adapter/redis_url.h"

#include <gtest/gtest.h>

namespace ringcast {
namespace {

RedisUrl parsed(std::string_view text) {
  std::string error;
  const std::optional<RedisUrl> url = RedisUrl::parse(text, &error);
  EXPECT_TRUE(url) << text << ": " << error;
  return url.value_or(RedisUrl{.host = "?"});
}

TEST(RedisUrl, ReadsWhatIsThereAndDefaultsTheRest) {
  const RedisUrl least = parsed("redis://");
  EXPECT_EQ(least.host, "localhost");
  EXPECT_EQ(least.port, 6379);
  EXPECT_FALSE(least.tls);
  const RedisUrl most = parsed("rediss://app:p%40ss:w%2Ford@redis.example.com:6380/12");
  EXPECT_TRUE(most.tls);
  EXPECT_EQ(most.user, "app");
  EXPECT_EQ(most.password, "p@ss:w/ord");
  EXPECT_EQ(most.host, "redis.example.com");
  EXPECT_EQ(most.port, 6380);
  EXPECT_EQ(most.database, 12u);
  const RedisUrl v6 = parsed("redis://:secret@[::1]:7000");
  EXPECT_EQ(v6.host, "::1");
  EXPECT_EQ(v6.port, 7000);
  EXPECT_EQ(v6.user, "");
  EXPECT_EQ(v6.password, "secret");
  EXPECT_EQ(parsed("redis://h?db=3").database, 3u);
  EXPECT_EQ(parsed("redis://h/").host, "h");
}

TEST(RedisUrl, ReadsPathsOfSockets) {
  for (const char* text : {"unix:///run/redis.sock?db=2", "unix:/run/redis.sock?db=2"}) {
    const RedisUrl url = parsed(text);
    EXPECT_EQ(url.unix_path, "/run/redis.sock");
    EXPECT_EQ(url.database, 2u);
  }
  EXPECT_EQ(parsed("unix://:secret@/tmp/a%20b").unix_path, "/tmp/a b");
  EXPECT_EQ(parsed("unix://:secret@/tmp/a%20b").password, "secret");
}

TEST(RedisUrl, RefusesTheRestWithoutRepeatingIt) {
  for (const char* text :
       {"", "localhost:6379", "http://h", "redis://h:0", "redis://h:65536", "redis://h:6379x",
        "redis://h/name", "redis://h/-1", "redis://:secret%4@h", "redis://[::1", "redis://h?secret=1",
        "unix://", "unix://host/path", "redis://u:secret@h:port"}) {
    std::string error;
    EXPECT_FALSE(RedisUrl::parse(text, &error)) << text;
    EXPECT_FALSE(error.empty()) << text;
    EXPECT_EQ(error.find("secret"), std::string::npos) << error;
  }
}

TEST(RedisUrl, IsLoggedWithoutItsPassword) {
  EXPECT_EQ(parsed("rediss://app:secret@h/1").to_string(), "rediss://h:6379/1");
  EXPECT_EQ(parsed("redis://[::1]").to_string(), "redis://[::1]:6379/0");
  EXPECT_EQ(parsed("unix://:secret@/run/r?db=4").to_string(), "unix:///run/r?db=4");
}

}  // namespace
}  // namespace ringcast
