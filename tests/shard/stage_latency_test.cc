#include "shard/stage_latency.h"

#include <gtest/gtest.h>

#include <algorithm>

namespace ringcast {
namespace {

TEST(LatencyHistogram, EveryValueIsWithinItsBucketAndAQuarterOfItsEnd) {
  for (size_t bucket = 0; bucket + 1 < LatencyHistogram::kBuckets; ++bucket) {
    const uint64_t end = LatencyHistogram::end_ns(bucket);
    const uint64_t begin = bucket == 0 ? 0 : LatencyHistogram::end_ns(bucket - 1);
    ASSERT_LT(begin, end);
    EXPECT_EQ(LatencyHistogram::bucket_of(begin), bucket);
    EXPECT_EQ(LatencyHistogram::bucket_of(end - 1), bucket);
    EXPECT_LE(end - begin, std::max<uint64_t>(64, begin / 4));
  }
  EXPECT_EQ(LatencyHistogram::bucket_of(uint64_t{1} << 33), LatencyHistogram::kBuckets - 1);
  EXPECT_EQ(LatencyHistogram::bucket_of(UINT64_MAX), LatencyHistogram::kBuckets - 1);
}

TEST(LatencyHistogram, CountsAndSums) {
  LatencyHistogram histogram;
  histogram.add(100);
  histogram.add(1000, 3);
  EXPECT_EQ(histogram.count(LatencyHistogram::bucket_of(100)), 1u);
  EXPECT_EQ(histogram.count(LatencyHistogram::bucket_of(1000)), 3u);
  EXPECT_EQ(histogram.sum_ns(), 3100u);
}

Instant fake_now{};
Instant fake_clock() {
  return fake_now;
}

uint64_t stage_count(const StageLatency& latency, Stage stage) {
  uint64_t count = 0;
  for (size_t bucket = 0; bucket < LatencyHistogram::kBuckets; ++bucket)
    count += latency.of(stage).count(bucket);
  return count;
}

TEST(StageLatency, EachStageCountsFromTheEndOfTheOneBefore) {
  StageLatency latency(fake_clock);
  const MessageRef message = Message::create("s", 1, PayloadKind::text, {});
  const Instant received = Instant(seconds(5));
  fake_now = received + Duration(100);
  latency.published(*message, received);
  fake_now += Duration(2000);
  latency.numbered(*message);
  fake_now += Duration(30'000);
  const Instant fanned_out = latency.fanned_out(*message);
  latency.gathered(fanned_out, 2);
  EXPECT_EQ(stage_count(latency, Stage::submit), 0u);
  fake_now += Duration(400'000);
  latency.submitting();
  latency.submitting();  // nothing more was gathered
  EXPECT_EQ(latency.of(Stage::publish).sum_ns(), 100u);
  EXPECT_EQ(latency.of(Stage::home).sum_ns(), 2000u);
  EXPECT_EQ(latency.of(Stage::fan_out).sum_ns(), 30'000u);
  EXPECT_EQ(latency.of(Stage::submit).sum_ns(), 800'000u);
  EXPECT_EQ(stage_count(latency, Stage::submit), 2u);
}

TEST(StageLatency, WhatWasNeverStampedIsNotMeasured) {
  StageLatency latency(fake_clock);
  const MessageRef message = Message::create("s", 1, PayloadKind::text, {});
  latency.numbered(*message);
  EXPECT_EQ(stage_count(latency, Stage::home), 0u);
  (void)latency.fanned_out(*message);  // from where it was numbered
  EXPECT_EQ(stage_count(latency, Stage::fan_out), 1u);
}

TEST(UnfinishedRounds, AMessageIsDoneWhenTheHandHasMetEverybodyWhoWasDue) {
  StageLatency latency(fake_clock);
  UnfinishedRounds rounds;
  const auto done = [&] {
    latency.submitting();
    return stage_count(latency, Stage::submit);
  };
  fake_now = Instant(seconds(1));
  rounds.appended(10, fake_now);
  rounds.stepped(4, false, latency);
  rounds.appended(10, fake_now);  // the hand stands at 4: everybody is due again
  rounds.stepped(5, false, latency);
  EXPECT_EQ(done(), 0u);
  rounds.stepped(1, false, latency);
  EXPECT_EQ(done(), 1u);
  rounds.stepped(3, false, latency);
  EXPECT_EQ(done(), 1u);
  rounds.stepped(1, true, latency);  // the ring was compacted: fewer steps, and all are met
  EXPECT_EQ(done(), 2u);
  // A stream that never falls silent, far ahead of its walk: nothing is forgotten.
  for (int i = 0; i < 20'000; ++i) rounds.appended(100'000, fake_now);
  EXPECT_EQ(done(), 2u);
  rounds.stepped(100'000, false, latency);
  EXPECT_EQ(done(), 20'002u);
}

}  // namespace
}  // namespace ringcast
