// The simulator held to its own promises: one seed is one run, and its oracle sees what
// it is there to see. Runs under the sanitizers too, with a few seeds.
#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "tests/sim/oracle.h"
#include "tests/sim/swarm.h"

namespace ringcast::sim {
namespace {

TEST(Swarm, OneSeedIsOneRun) {
  for (uint64_t seed = 0; seed < 3; ++seed) {
    Coverage coverage;
    Trace first, second, other;
    const SwarmResult one = run_swarm(seed, coverage, first);
    const SwarmResult again = run_swarm(seed, coverage, second);
    EXPECT_EQ(one.trace_hash, again.trace_hash) << "seed " << seed;
    EXPECT_EQ(first.events(), second.events());
    EXPECT_EQ(one.turns, again.turns);
    EXPECT_NE(run_swarm(seed + 1000, coverage, other).trace_hash, one.trace_hash);
  }
}

TEST(Swarm, SomeSeedsHoldTheirPromises) {
  Coverage coverage;
  for (uint64_t seed = 100; seed < 120; ++seed) {
    Trace trace;
    const SwarmResult result = run_swarm(seed, coverage, trace);
    for (const std::string& failure : result.failures) ADD_FAILURE() << "seed " << seed << ": " << failure;
  }
}

// --- The oracle -----------------------------------------------------------------------------

class OracleTest : public testing::Test {
 protected:
  // Published by shard 0, unless another is named.
  std::string publish(size_t source = 0, PayloadKind kind = PayloadKind::json) {
    std::string payload = oracle_.payload(stream_, kind, 20);
    oracle_.published(stream_, source, kind, payload);
    return payload;
  }
  Oracle::Run& subscriber(size_t shard = 0, bool cable = false) {
    Oracle::Run& run = oracle_.begin(stream_, shard, cable, false);
    run.received();
    return run;
  }
  bool found(std::string_view what) const {
    return failures_.size() == 1 && failures_[0].find(what) != std::string::npos;
  }

  std::vector<std::string> failures_;
  Oracle oracle_{[this](const std::string& what) { failures_.push_back(what); }};
  const size_t stream_ = oracle_.add_stream("s");
};

TEST_F(OracleTest, IsContentWithWhatIsRight) {
  Oracle::Run& run = subscriber();
  const std::string early = publish();
  run.confirmed();
  const std::string a = publish(), b = publish(1), c = publish();
  for (const std::string& payload : {early, b, a, c}) run.delivered(payload);
  run.whole();
  // Another one, confirmed before it was published, may begin later than the first.
  Oracle::Run& other = subscriber(1);
  for (const std::string& payload : {b, a, c}) other.delivered(payload);
  EXPECT_TRUE(failures_.empty()) << failures_[0];
}

TEST_F(OracleTest, SeesWhatIsMissing) {
  Oracle::Run& run = subscriber();
  run.confirmed();
  const std::string a = publish(), b = publish(), c = publish();
  run.delivered(a);
  run.delivered(c);
  EXPECT_TRUE(found("expected number 1"));
  failures_.clear();
  Oracle::Run& late = subscriber();
  late.confirmed();
  publish();
  late.delivered(publish());
  EXPECT_TRUE(found("began behind"));
  failures_.clear();
  Oracle::Run& cut = subscriber(1);
  cut.confirmed();
  publish();
  cut.whole();
  EXPECT_TRUE(found("the end is missing"));
}

TEST_F(OracleTest, SeesWhatComesTwiceOrFromNowhere) {
  Oracle::Run& run = subscriber();
  const std::string a = publish();
  run.delivered(a);
  run.delivered(a);
  ASSERT_FALSE(failures_.empty());
  EXPECT_NE(failures_[0].find("twice"), std::string::npos);
  failures_.clear();
  run.delivered("\"77:0:\"");
  EXPECT_TRUE(found("nobody published"));
  failures_.clear();
  run.delivered(oracle_.payload(stream_, PayloadKind::json, 20));
  EXPECT_TRUE(found("refused"));
  failures_.clear();
  std::string altered = publish();
  altered[altered.size() - 2] ^= 1;
  run.delivered(altered);
  EXPECT_TRUE(found("other bytes"));
}

TEST_F(OracleTest, SeesTwoOrders) {
  const std::string a = publish(0), b = publish(1);
  Oracle::Run& one = subscriber(0);
  Oracle::Run& other = subscriber(1);
  one.delivered(a);
  one.delivered(b);
  other.delivered(b);
  other.delivered(a);
  EXPECT_FALSE(failures_.empty());
}

// Of several publishers, a message that nobody else got shows only to those who did.
TEST_F(OracleTest, SeesAHoleBetweenPublishers) {
  Oracle::Run& one = subscriber(0);
  Oracle::Run& other = subscriber(1);
  const std::string a = publish(0), b = publish(1), c = publish(0);
  for (const std::string& payload : {a, b, c}) one.delivered(payload);
  other.delivered(a);
  other.delivered(c);
  EXPECT_TRUE(found("two orders"));
}

TEST_F(OracleTest, SeesWhatComesTooEarlyOrTooLate) {
  Oracle::Run& first = subscriber(0);
  const std::string a = publish();
  first.delivered(a);
  subscriber(0).delivered(a);
  EXPECT_TRUE(found("before the subscribe"));
  failures_.clear();
  first.unsubscribed();
  first.delivered(publish());
  EXPECT_TRUE(found("behind the unsubscribe"));
  failures_.clear();
  Oracle::Run& strict = oracle_.begin(stream_, 1, true, true);
  strict.received();
  strict.delivered(publish());
  EXPECT_TRUE(found("ahead of the confirmation"));
}

TEST_F(OracleTest, SeesAMessageOfItsOwnThatOvertakes) {
  Oracle::Run& slow = subscriber(0);
  Oracle::Run& fast = subscriber(0);
  const std::string a = publish();
  fast.delivered(a);
  slow.transmitted(1);
  slow.saw_mark(1);
  slow.delivered(a);
  EXPECT_TRUE(found("of its own"));
}

TEST_F(OracleTest, LeavesHolesToStreamsThatMayHaveThem) {
  const size_t lossy = oracle_.add_stream("lossy", LapPolicy::drop_oldest);
  Oracle::Run& run = oracle_.begin(lossy, 0, false, false);
  run.confirmed();
  std::vector<std::string> payloads;
  for (int i = 0; i < 4; ++i) {
    payloads.push_back(oracle_.payload(lossy, PayloadKind::json, 20));
    oracle_.published(lossy, 0, PayloadKind::json, payloads.back());
  }
  run.delivered(payloads[1]);
  run.delivered(payloads[3]);
  EXPECT_TRUE(failures_.empty());
  run.delivered(payloads[2]);
  EXPECT_FALSE(failures_.empty()) << "but never backwards";
}

TEST_F(OracleTest, KnowsThatCablesSeeNothingBinary) {
  Oracle::Run& cable = subscriber(0, true);
  cable.confirmed();
  const std::string a = publish(), binary = publish(0, PayloadKind::binary), c = publish();
  cable.delivered(a);
  cable.delivered(c);
  cable.whole();
  EXPECT_TRUE(failures_.empty());
  cable.delivered(binary);
  EXPECT_TRUE(found("binary on a cable"));
}

}  // namespace
}  // namespace ringcast::sim
