// PublishRing against a queue of strings, at every alignment of its end; and two threads.
#include "shard/publish_ring.h"

#include <gtest/gtest.h>

#include <deque>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "base/hash.h"
#include "base/prng.h"
#include "shard/shard.h"
#include "tests/sim/world.h"

namespace ringcast {
namespace {

std::string ring_text(const MessageRef& message) {
  return std::string(message->stream()) + "|" + std::string(as_text(message->payload()));
}

std::string take_text(PublishRing& ring, MessageBytes& account) {
  MessageRef* const message = ring.front(account);
  if (message == nullptr) return "nothing";
  std::string text = ring_text(*message);
  *message = {};
  return text;
}

TEST(PublishRing, KeepsWholeMessagesInOrderWhateverTheirSizes) {
  for (uint64_t seed = 1; seed <= 20; ++seed) {
    Prng random(seed);
    MessageBytes account;
    PublishRing ring(4096);
    std::deque<std::string> expected;
    uint64_t pushed = 0, refused = 0;
    for (int step = 0; step < 5000; ++step) {
      if (random.chance(0.5)) {
        const std::string stream(1 + random.below(40), 's');
        const std::string payload(random.below(random.chance(0.2) ? 900 : 60),
                                  static_cast<char>('a' + step % 26));
        const bool apart = random.chance(0.1);
        const bool ok = apart
                            ? ring.try_push(Message::create(stream, 7, PayloadKind::text, as_bytes(payload)))
                            : ring.try_push(stream, 7, PayloadKind::text, as_bytes(payload));
        ok ? ++pushed : ++refused;
        if (ok) expected.push_back(stream + "|" + payload);
      } else {
        EXPECT_EQ(ring.exhausted(), expected.empty());
        ASSERT_EQ(take_text(ring, account), expected.empty() ? "nothing" : expected.front())
            << "seed " << seed;
        if (!expected.empty()) expected.pop_front();
      }
    }
    EXPECT_GT(pushed, 1000u);
    EXPECT_GT(refused, 10u) << "never full";
    while (!expected.empty()) {
      ASSERT_EQ(take_text(ring, account), expected.front());
      expected.pop_front();
    }
    EXPECT_EQ(take_text(ring, account), "nothing");
    EXPECT_EQ(account.total(), 0u);
  }
}

TEST(PublishRing, TheLongestMessageAlwaysFitsIntoAnEmptyRing) {
  MessageBytes account;
  PublishRing ring(5000);  // becomes 8192
  const std::string longest(ring.inline_bytes_max() - 1, 'x');
  EXPECT_GT(longest.size(), 2000u);
  for (int i = 0; i < 300; ++i) {
    ASSERT_TRUE(ring.try_push("s", 1, PayloadKind::binary, as_bytes(longest)));
    ASSERT_EQ(take_text(ring, account).size(), longest.size() + 2);
    ASSERT_TRUE(ring.try_push("t", 1, PayloadKind::text, {}));  // so that the end comes everywhere
    ASSERT_EQ(take_text(ring, account), "t|");
  }
}

TEST(PublishRing, ShowsAMessageUntilItIsTaken) {
  MessageBytes account;
  PublishRing ring(4096);
  ASSERT_TRUE(ring.try_push("s", 99, PayloadKind::json, as_bytes(std::string_view("1"))));
  EXPECT_FALSE(ring.empty());
  MessageRef* const message = ring.front(account);
  ASSERT_NE(message, nullptr);
  EXPECT_EQ((*message)->stream_hash(), 99u);
  EXPECT_EQ((*message)->kind(), PayloadKind::json);
  EXPECT_GT(account.total(), 0u);
  EXPECT_TRUE(ring.empty());       // nothing that was not shown …
  EXPECT_FALSE(ring.exhausted());  // … but it is still there
  EXPECT_EQ(ring.front(account), message);
  *message = {};
  EXPECT_EQ(ring.front(account), nullptr);
  EXPECT_TRUE(ring.exhausted());
}

TEST(PublishRing, WhatARefusedPushHeldIsStillTheCallers) {
  MessageBytes account;
  PublishRing ring(4096);
  uint64_t held = 0;
  while (ring.try_push("s", ++held, PayloadKind::text, as_bytes(std::string(500, 'x')))) {
  }
  while (ring.try_push("s", held, PayloadKind::text, {})) ++held;
  MessageRef apart =
      Message::create("s", held, PayloadKind::text, as_bytes(std::string_view("apart")), &account);
  ASSERT_FALSE(ring.try_push(std::move(apart)));
  ASSERT_TRUE(apart);
  EXPECT_EQ(ring_text(apart), "s|apart");
  EXPECT_GT(account.total(), 0u);
  // One message's room is a reference's, too.
  for (uint64_t i = 1; i < held; ++i) {
    ASSERT_EQ((*ring.front(account))->stream_hash(), i);
    *ring.front(account) = {};
    if (i == 1) {
      ASSERT_TRUE(ring.try_push(std::move(apart)));
      EXPECT_FALSE(apart);
    }
  }
  EXPECT_EQ(take_text(ring, account), "s|apart");
  EXPECT_EQ(take_text(ring, account), "nothing");
  EXPECT_EQ(account.total(), 0u);
}

TEST(PublishRing, KeepsWhatAMessageIsBesidesItsBytes) {
  MessageBytes account;
  PublishRing ring(4096);
  const Instant when = Instant(seconds(7));
  for (const PayloadKind kind : {PayloadKind::text, PayloadKind::binary, PayloadKind::json}) {
    ASSERT_TRUE(ring.try_push("s", 1, kind, as_bytes(std::string_view("1")), when));
    MessageRef apart = Message::create("s", 1, kind, as_bytes(std::string_view("2")), &account);
    apart->stamp(when);
    apart->exclude({.place = 3, .secret = 4});
    ASSERT_TRUE(ring.try_push(std::move(apart)));
    for (const uint64_t secret : {0, 4}) {
      MessageRef* const message = ring.front(account);
      ASSERT_NE(message, nullptr);
      EXPECT_EQ((*message)->kind(), kind);
      EXPECT_EQ((*message)->stamped(), when);
      EXPECT_EQ((*message)->excluded().secret, secret);
      EXPECT_EQ((*message)->offset(), 0u);
      EXPECT_FALSE((*message)->carried());
      *message = {};
    }
  }
  EXPECT_EQ(account.total(), 0u);
}

TEST(PublishRing, WhatIsLeftGoesWithIt) {
  MessageBytes account;
  {
    PublishRing ring(4096);
    ASSERT_TRUE(ring.try_push("s", 1, PayloadKind::text, as_bytes(std::string_view("shown"))));
    ASSERT_NE(ring.front(account), nullptr);
    ASSERT_TRUE(ring.try_push("s", 1, PayloadKind::text, as_bytes(std::string_view("in the ring"))));
    ASSERT_TRUE(ring.try_push(
        Message::create("s", 1, PayloadKind::text, as_bytes(std::string_view("apart")), &account)));
    EXPECT_FALSE(ring.closed());
    ring.close();
    EXPECT_TRUE(ring.closed());
  }
  EXPECT_EQ(account.total(), 0u);
}

TEST(PublishRing, TwoThreads) {
  constexpr uint64_t kMessages = 10'000;
  MessageBytes account;
  PublishRing ring(16'384);
  std::thread publisher([&] {
    for (uint64_t i = 0; i < kMessages;) {
      const std::string payload = std::to_string(i) + std::string(i % 97, '.');
      const bool pushed = i % 31 == 0
                              ? ring.try_push(Message::create("s", i, PayloadKind::text, as_bytes(payload)))
                              : ring.try_push("s", i, PayloadKind::text, as_bytes(payload));
      pushed ? void(++i) : std::this_thread::yield();
    }
  });
  for (uint64_t i = 0; i < kMessages;) {
    MessageRef* const message = ring.front(account);
    if (message == nullptr) {
      std::this_thread::yield();
      continue;
    }
    ASSERT_EQ((*message)->stream_hash(), i);
    ASSERT_EQ(ring_text(*message), "s|" + std::to_string(i) + std::string(i % 97, '.'));
    *message = {};
    ++i;
  }
  publisher.join();
  EXPECT_TRUE(ring.exhausted());
}

// --- Before a shard ---------------------------------------------------------------------

struct RingIntoWorld {
  RingIntoWorld(sim::World& world, std::string_view stream)
      : world(world), stream(stream), home(world.shard(world.home_of(stream))) {
    EXPECT_TRUE(home.attach(ring));
  }
  // As a publisher does it.
  bool publish(std::string_view text) {
    const bool pushed = ring->try_push(stream, hash64(stream), PayloadKind::text, as_bytes(text));
    home.ring_bell();
    return pushed && !ring->closed();
  }

  sim::World& world;
  const std::string stream;
  Shard& home;
  const std::shared_ptr<PublishRing> ring = std::make_shared<PublishRing>(4096);
};

// At whatever moment of a turn, and of falling asleep, it comes: no time passes here, so a
// shard that is not woken sleeps for ever.
TEST(PublishRing, NoShardSleepsOverWhatIsInIt) {
  for (uint64_t seed = 1; seed <= 60; ++seed) {
    SCOPED_TRACE(seed);
    Prng random(seed);
    sim::World world({.shards = 2, .seed = seed});
    sim::Client* readers[] = {&world.open_socket("/chat/a", 0), &world.open_socket("/chat/a", 1)};
    RingIntoWorld into(world, "room_a");
    std::vector<std::string> expected;
    for (int i = 0; i < 200; ++i) {
      for (uint64_t steps = random.below(6); steps > 0; --steps) world.step();
      if (random.chance(0.1)) world.settle();
      const std::string text = std::to_string(i) + std::string(random.below(100), '.');
      if (into.publish(text)) expected.push_back(text);
      if (random.chance(0.05)) (void)world.publish(into.stream, "from elsewhere");
    }
    if (random.chance(0.5)) into.home.detach(into.ring);
    world.settle();
    EXPECT_GT(expected.size(), 100u);
    for (sim::Client* reader : readers) {
      std::vector<std::string> texts = reader->texts();
      std::erase(texts, "from elsewhere");
      ASSERT_EQ(texts, expected);
    }
  }
}

TEST(PublishRing, AShardThatEndsSaysSo) {
  sim::World world({});
  RingIntoWorld into(world, "s");
  world.settle();
  EXPECT_TRUE(into.publish("x"));
  world.settle();
  EXPECT_TRUE(into.ring->exhausted());
  EXPECT_EQ(into.home.counters().publishes.value(), 1u);
  world.stop();
  EXPECT_TRUE(into.publish("before it has heard"));
  world.settle();
  EXPECT_EQ(into.home.counters().publishes.value(), 2u);
  EXPECT_FALSE(into.publish("late"));
  EXPECT_FALSE(into.home.attach(std::make_shared<PublishRing>(4096)));
}

TEST(PublishRing, WaitsWhileTooMuchIsQueued) {
  Limits limits;
  limits.queued_bytes = 4 * 1024;
  sim::World world({.limits = limits});
  sim::Client& reader = world.open_socket("/chat/a");
  RingIntoWorld into(world, "room_a");
  // As if other publishers' messages filled the way.
  MessageRef elsewhere = Message::create("t", 1, PayloadKind::text, as_bytes(std::string(5000, 'x')),
                                         &world.context().message_bytes);
  EXPECT_TRUE(into.publish("waits"));
  world.settle();
  EXPECT_FALSE(into.ring->exhausted());
  elsewhere = {};
  world.advance(milliseconds(2));
  EXPECT_TRUE(into.ring->exhausted());
  EXPECT_EQ(reader.count("waits"), 1u);
}

}  // namespace
}  // namespace ringcast
