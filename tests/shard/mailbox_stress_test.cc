// The one place where a wake-up could be lost: shards on real threads that sleep and
// ring each other's bells. A shard that is not woken sleeps for ever here, so a lost
// wake-up is a test that stands still (and then says so). For ThreadSanitizer too.
#include <gtest/gtest.h>

#include <condition_variable>
#include <memory>
#include <mutex>
#include <thread>
#include <vector>

#include "shard/mailbox.h"

namespace ringcast {
namespace {

#if defined(__SANITIZE_THREAD__) || defined(__SANITIZE_ADDRESS__)
constexpr uint64_t kRounds = 60'000;
#else
constexpr uint64_t kRounds = 1'000'000;
#endif

// Sleeps and wakes, and nothing else. Long sleeps are counted: nothing but a wake-up
// that was lost makes one.
class SleepBackend final : public Backend {
 public:
  TurnTime turn(std::span<const Submission>, Completions&, Instant deadline) override {
    std::unique_lock lock(mutex_);
    if (deadline == kNever && !wakes_.wait_for(lock, std::chrono::seconds(20), [&] { return woken_; }))
      ++lost_;
    woken_ = false;
    return {};
  }
  void wake() noexcept override {
    {
      std::lock_guard lock(mutex_);
      woken_ = true;
    }
    wakes_.notify_one();
  }
  const char* name() const noexcept override { return "sleep"; }
  size_t operations_in_flight() const noexcept override { return 0; }
  size_t buffers_lent() const noexcept override { return 0; }
  int lost() const { return lost_; }

 private:
  std::mutex mutex_;
  std::condition_variable wakes_;
  bool woken_ = false;
  int lost_ = 0;
};

// A turn as a shard takes it, without the sockets.
void sleep_unless_mail(Mailboxes& mailboxes, ShardIndex self, SleepBackend& backend) {
  Completions completions;
  Bell& bell = mailboxes.bell(self);
  bell.going_to_sleep();
  const bool news = mailboxes.waiting_for(self);
  if (news) bell.awake();
  (void)backend.turn({}, completions, news ? Instant{} : kNever);
  bell.awake();
}

TEST(BellStress, PingPongLosesNoWakeUp) {
  constexpr uint64_t kHits = kRounds / 8;  // each of them a sleep and a wake of the kernel's
  Mailboxes mailboxes(2, 64);
  SleepBackend backends[2];
  for (ShardIndex i = 0; i < 2; ++i) mailboxes.bell(i).attach(backends[i]);
  const auto play = [&](ShardIndex self, bool serves) {
    const auto other = static_cast<ShardIndex>(1 - self);
    const auto hit = [&] {
      EXPECT_TRUE(mailboxes.deliveries(self, other).try_push(Delivery{}));
      mailboxes.bell(other).ring();
    };
    if (serves) hit();
    for (uint64_t round = 0; round < kHits;) {
      auto& lane = mailboxes.deliveries(other, self);
      if (lane.front() == nullptr) {
        sleep_unless_mail(mailboxes, self, backends[self]);
        continue;
      }
      lane.pop();
      ++round;
      if (!serves || round < kHits) hit();
    }
  };
  std::thread second(play, 1, false);
  play(0, true);
  second.join();
  EXPECT_EQ(backends[0].lost() + backends[1].lost(), 0);
}

// Bursts from several producers to one consumer that is asleep every other moment,
// through lanes so small that they fill: the producers wait by themselves.
TEST(BellStress, ManyProducersOneSleeper) {
  constexpr ShardIndex kShards = 4;
  Mailboxes mailboxes(kShards, 16);
  SleepBackend backends[kShards];
  for (ShardIndex i = 0; i < kShards; ++i) mailboxes.bell(i).attach(backends[i]);
  constexpr uint64_t kEach = kRounds / 4;

  std::vector<std::thread> producers;
  for (ShardIndex from = 1; from < kShards; ++from) {
    producers.emplace_back([&, from] {
      auto& lane = mailboxes.requests(from, 0);
      for (uint64_t sent = 0; sent < kEach;) {
        const uint64_t burst = std::min<uint64_t>(kEach - sent, sent % 5 + 1);
        for (uint64_t i = 0; i < burst; ++i) {
          // The offset of a message would do; the slot is as good a number and costs no allocation.
          ShardRequest request{.kind = ShardRequest::Kind::publish,
                               .stream = {static_cast<uint32_t>(sent), from}};
          while (!lane.try_push(std::move(request))) {
            mailboxes.bell(0).ring();
            std::this_thread::yield();
          }
          ++sent;
        }
        mailboxes.bell(0).ring();
      }
    });
  }

  std::vector<uint64_t> next(kShards, 0);
  for (uint64_t taken = 0; taken < kEach * (kShards - 1);) {
    bool any = false;
    for (ShardIndex from = 1; from < kShards; ++from) {
      auto& lane = mailboxes.requests(from, 0);
      while (ShardRequest* const request = lane.front()) {
        ASSERT_EQ(request->stream.slot, static_cast<uint32_t>(next[from]++)) << "out of order";
        lane.pop();
        ++taken;
        any = true;
      }
    }
    if (!any) sleep_unless_mail(mailboxes, 0, backends[0]);
  }
  for (std::thread& producer : producers) producer.join();
  EXPECT_EQ(backends[0].lost(), 0);
  EXPECT_FALSE(mailboxes.waiting_for(0));
}

}  // namespace
}  // namespace ringcast
