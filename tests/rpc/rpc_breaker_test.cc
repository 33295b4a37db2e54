// When nobody is asked any more, and when somebody is again.
#include "rpc/rpc_breaker.h"

#include <gtest/gtest.h>

namespace ringcast {
namespace {

using State = RpcBreaker::State;

Instant at(int64_t ms) {
  return Instant(seconds(1000) + milliseconds(ms));
}

TEST(RpcBreaker, OpensAtEightOfTenAndNotBefore) {
  RpcBreaker breaker;
  for (int i = 0; i < 2; ++i) breaker.succeeded(at(i));
  for (int i = 0; i < 7; ++i) breaker.failed(at(100 + i));
  EXPECT_EQ(breaker.state(), State::closed) << "nine calls prove nothing";
  breaker.failed(at(200));
  EXPECT_EQ(breaker.state(), State::open);
  EXPECT_FALSE(breaker.allows(at(200)));
  EXPECT_FALSE(breaker.allows(at(5199)));
  EXPECT_TRUE(breaker.allows(at(5200)));
}

TEST(RpcBreaker, StaysClosedWhileOneInFourAnswers) {
  RpcBreaker breaker;
  for (int i = 0; i < 1000; ++i) {
    if (i % 4 == 0) {
      breaker.succeeded(at(i));
    } else {
      breaker.failed(at(i));
    }
    ASSERT_EQ(breaker.state(), State::closed) << i;
  }
}

TEST(RpcBreaker, ForgetsWhatIsOlderThanItsWindow) {
  RpcBreaker breaker;
  for (int i = 0; i < 9; ++i) breaker.failed(at(0));
  breaker.failed(at(11'000));
  EXPECT_EQ(breaker.state(), State::closed);
  for (int i = 0; i < 8; ++i) breaker.failed(at(12'000));
  EXPECT_EQ(breaker.state(), State::closed);
  breaker.failed(at(12'000));
  EXPECT_EQ(breaker.state(), State::open);
}

TEST(RpcBreaker, OneCallTriesAndItsOutcomeDecides) {
  RpcBreaker breaker;
  for (int i = 0; i < 10; ++i) breaker.failed(at(0));
  ASSERT_TRUE(breaker.allows(at(5000)));
  breaker.begin();
  EXPECT_FALSE(breaker.allows(at(5000))) << "the second waits for the first";
  breaker.failed(at(5100));
  EXPECT_EQ(breaker.state(), State::open);
  EXPECT_FALSE(breaker.allows(at(10'099)));
  ASSERT_TRUE(breaker.allows(at(10'100)));
  breaker.begin();
  breaker.succeeded(at(10'200));
  EXPECT_EQ(breaker.state(), State::closed);
  breaker.failed(at(10'300));
  EXPECT_EQ(breaker.state(), State::closed) << "the failures of before are forgotten";
}

TEST(RpcBreaker, CallsThatWentBeforeItOpenedDecideNothing) {
  RpcBreaker breaker;
  for (int i = 0; i < 10; ++i) breaker.failed(at(0));
  breaker.succeeded(at(10));
  breaker.failed(at(4000));
  EXPECT_EQ(breaker.state(), State::open);
  EXPECT_TRUE(breaker.allows(at(5000)));
}

}  // namespace
}  // namespace ringcast
