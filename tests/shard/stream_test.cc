// The ring of a log's subscribers against a model: whoever is due a visit gets it,
// whatever comes and goes meanwhile, and the hand never meets anybody twice a round.
#include "shard/stream.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <deque>
#include <memory>
#include <set>

#include "base/prng.h"

namespace ringcast {
namespace {

// A ring looks at nothing but `position`, so what a subscription refers to is left
// unnamed: storage that nobody reads.
class Subscribers {
 public:
  Subscription& make() {
    return *owned_.emplace_back(
        std::make_unique<Subscription>(Subscription{.connection = *reinterpret_cast<Connection*>(nowhere_),
                                                    .log = *reinterpret_cast<StreamLog*>(nowhere_),
                                                    .cursor = 0,
                                                    .owner = 0,
                                                    .position = 0}));
  }

 private:
  alignas(64) std::byte nowhere_[64] = {};
  std::vector<std::unique_ptr<Subscription>> owned_;
};

TEST(SubscriberRing, VisitsEverybodyOnceARound) {
  Subscribers subscribers;
  SubscriberRing ring;
  std::vector<Subscription*> all;
  for (int i = 0; i < 5; ++i) ring.add(*all.emplace_back(&subscribers.make()));
  EXPECT_TRUE(ring.round_done());
  for (int round = 0; round < 3; ++round) {
    ring.start_round();
    std::vector<Subscription*> met;
    while (!ring.round_done()) met.push_back(ring.step());
    std::sort(met.begin(), met.end());
    auto expected = all;
    std::sort(expected.begin(), expected.end());
    EXPECT_EQ(met, expected);
  }
}

TEST(SubscriberRing, AnEmptyRingHasNoRound) {
  Subscribers subscribers;
  SubscriberRing ring;
  ring.start_round();
  EXPECT_TRUE(ring.round_done());
  Subscription& only = subscribers.make();
  ring.add(only);
  ring.start_round();
  ring.remove(only);
  EXPECT_EQ(ring.size(), 0u);
  while (!ring.round_done()) EXPECT_EQ(ring.step(), nullptr);
}

TEST(SubscriberRing, TheHandGoesOnFromWhereItStands) {
  Subscribers subscribers;
  SubscriberRing ring;
  std::vector<Subscription*> all;
  for (int i = 0; i < 4; ++i) ring.add(*all.emplace_back(&subscribers.make()));
  ring.start_round();
  EXPECT_EQ(ring.step(), all[0]);
  EXPECT_EQ(ring.step(), all[1]);
  ring.start_round();  // a newer message: those ahead of the hand come first
  EXPECT_EQ(ring.step(), all[2]);
  EXPECT_EQ(ring.step(), all[3]);
  EXPECT_EQ(ring.step(), all[0]);
  EXPECT_EQ(ring.step(), all[1]);
  EXPECT_TRUE(ring.round_done());
}

// The model holds who is due, in the order in which the hand must meet them.
TEST(SubscriberRing, NobodyDueIsSkippedOrMovedPastTheHand) {
  for (uint64_t seed = 0; seed < 300; ++seed) {
    SCOPED_TRACE(seed);
    Prng prng(seed);
    Subscribers subscribers;
    SubscriberRing ring;
    std::vector<Subscription*> members;
    std::deque<Subscription*> due;
    // Steps the hand may take for nothing between two it meets: holes and newcomers.
    for (int step = 0; step < 600; ++step) {
      switch (prng.below(6)) {
        case 0:
        case 1:
          ring.add(*members.emplace_back(&subscribers.make()));
          break;
        case 2: {
          if (members.empty()) break;
          const size_t bursts = prng.chance(0.1) ? prng.below(members.size() + 1) : 1;
          for (size_t i = 0; i < bursts && !members.empty(); ++i) {
            const auto gone = members.begin() + static_cast<ptrdiff_t>(prng.below(members.size()));
            ring.remove(**gone);
            if (const auto at = std::find(due.begin(), due.end(), *gone); at != due.end()) due.erase(at);
            members.erase(gone);
          }
          break;
        }
        case 3:
          if (!prng.chance(0.2)) break;
          ring.start_round();
          // Everybody is due; in which order the hand alone knows, so ask it by its first meeting.
          due.assign(members.begin(), members.end());
          {
            std::sort(due.begin(), due.end(),
                      [](const Subscription* a, const Subscription* b) { return a->position < b->position; });
            // Rotate to the hand: step once and see.
            Subscription* met = nullptr;
            while (!ring.round_done() && met == nullptr) met = ring.step();
            if (met != nullptr) {
              const auto at = std::find(due.begin(), due.end(), met);
              ASSERT_NE(at, due.end());
              std::rotate(due.begin(), at, due.end());
              due.pop_front();
            } else {
              ASSERT_TRUE(due.empty());
            }
          }
          break;
        default: {
          if (ring.round_done()) {
            ASSERT_TRUE(due.empty()) << "somebody was due and the round is over";
            break;
          }
          Subscription* const met = ring.step();
          if (met == nullptr) break;
          if (due.empty() || met != due.front()) {
            // A newcomer among those due: harmless, it is caught up. Anybody else is wrong.
            ASSERT_EQ(std::find(due.begin(), due.end(), met), due.end()) << "met out of turn";
            ASSERT_NE(std::find(members.begin(), members.end(), met), members.end()) << "met a ghost";
            break;
          }
          due.pop_front();
        }
      }
      ASSERT_EQ(ring.size(), members.size());
      if (ring.round_done()) {
        ASSERT_TRUE(due.empty());
      }
    }
    std::set<Subscription*> seen;
    ring.for_each([&](Subscription& subscription) { EXPECT_TRUE(seen.insert(&subscription).second); });
    EXPECT_EQ(seen, std::set<Subscription*>(members.begin(), members.end()));
    for (Subscription* member : members) ring.remove(*member);
    EXPECT_EQ(ring.size(), 0u);
  }
}

TEST(Stream, LogsAreToldApartByKindAndIdentifier) {
  ChunkPool pool(1024);
  ChannelIdentifierTable identifiers;
  const auto raw = ChannelIdentifierRef();
  const auto chat = identifiers.find_or_decode(R"({"channel":"Chat"})");
  const auto spaced = identifiers.find_or_decode(R"({"channel": "Chat"})");
  const auto other = identifiers.find_or_decode(R"({"channel":"Other"})");
  Stream stream("s");
  std::deque<StreamLog> kept;
  std::vector<StreamLog*> logs;
  for (const ChannelIdentifierRef& identifier : {raw, chat, spaced}) {
    stream.add_log(kept.emplace_back(stream, pool, identifier, uint8_t{0}));
    logs.push_back(&kept.back());
  }
  EXPECT_EQ(stream.find_log(raw, 0), logs[0]);
  EXPECT_EQ(stream.find_log(chat, 0), logs[1]);
  EXPECT_EQ(stream.find_log(spaced, 0), logs[2]);
  EXPECT_EQ(stream.find_log(other, 0), nullptr);
  EXPECT_EQ(stream.find_log(chat, 15), nullptr);
  EXPECT_EQ(stream.cable_logs(), 2u);

  stream.remove_log(*logs[1]);
  EXPECT_EQ(stream.find_log(chat, 0), nullptr);
  ASSERT_EQ(stream.logs, logs[0]);
  EXPECT_EQ(logs[0]->next, logs[2]);
  stream.remove_log(*logs[0]);
  EXPECT_EQ(stream.logs, logs[2]);
  stream.remove_log(*logs[2]);
}

}  // namespace
}  // namespace ringcast
