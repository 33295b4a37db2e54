#include "adapter/resolver.h"

#include <gtest/gtest.h>
#include <sys/un.h>

#include <atomic>
#include <future>

namespace ringcast {
namespace {

TEST(Resolver, KnowsAddressesAndPathsAtOnce) {
  Resolver resolver([] {});
  Resolver::Answer answer;
  EXPECT_FALSE(resolver.take(answer));
  for (const char* ip : {"127.0.0.1", "::1"}) {
    resolver.ask(ip, 6379);
    ASSERT_TRUE(resolver.take(answer));
    ASSERT_EQ(answer.addresses.size(), 1u);
    EXPECT_EQ(answer.addresses[0].ip(), ip);
  }
  resolver.ask_path("/run/redis.sock");
  ASSERT_TRUE(resolver.take(answer));
  EXPECT_STREQ(reinterpret_cast<sockaddr_un*>(&answer.addresses[0].storage)->sun_path, "/run/redis.sock");
  resolver.ask_path("/" + std::string(200, 'x'));
  ASSERT_TRUE(resolver.take(answer));
  EXPECT_TRUE(answer.addresses.empty());
  EXPECT_NE(answer.error.find("longer"), std::string::npos);
}

TEST(Resolver, WakesWhenANameIsKnown) {
  std::promise<void> woken;
  Resolver resolver([&] { woken.set_value(); });
  resolver.ask("localhost", 80);
  EXPECT_TRUE(resolver.busy());
  woken.get_future().wait();
  Resolver::Answer answer;
  ASSERT_TRUE(resolver.take(answer));
  EXPECT_FALSE(answer.addresses.empty()) << answer.error;
  EXPECT_FALSE(resolver.busy());
}

TEST(Resolver, NobodyWaitsForANameServerThatHangs) {
  const auto answer_now = std::make_shared<std::promise<void>>();
  const auto finished = std::make_shared<std::promise<void>>();
  std::atomic<bool> woken{false};
  {
    Resolver resolver([&] { woken = true; },
                      [answer_now, finished](const std::string&, uint16_t) -> Resolver::Answer {
                        answer_now->get_future().wait();
                        finished->set_value();
                        return {};
                      });
    const Instant by = Instant{} + seconds(5);
    resolver.ask("hangs", 1, by);
    resolver.ask("another", 1, by + seconds(5));  // one at a time
    EXPECT_EQ(resolver.deadline(), by);
    EXPECT_FALSE(resolver.late(by - milliseconds(1)));
    EXPECT_TRUE(resolver.late(by));
    EXPECT_FALSE(resolver.late(by + seconds(10)));  // said once
    EXPECT_EQ(resolver.deadline(), kNever);
    Resolver::Answer answer;
    EXPECT_FALSE(resolver.take(answer));
    EXPECT_TRUE(resolver.busy());
  }
  answer_now->set_value();
  finished->get_future().wait();
  EXPECT_FALSE(woken);
}

}  // namespace
}  // namespace ringcast
