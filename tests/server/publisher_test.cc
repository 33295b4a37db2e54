// Publisher: one thread's own way into a server, over real sockets and the public headers.
#include "ringcast/publisher.h"

#include <gtest/gtest.h>

#include <atomic>
#include <cstdlib>
#include <future>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "allocations.h"
#include "peer.h"
#include "ringcast/server.h"

namespace ringcast {
namespace {

using test::allocations;
using test::Peer;

Options publishing_options(uint64_t shards) {
  Options options;
  options.listen = {"127.0.0.1:0"};
  options.shards = shards;
  options.handle_signals = false;
  return options;
}

// A server with one stream for everybody at "/", and at "/block" a callback that holds
// its shard up until it is let go.
class Publishing {
 public:
  explicit Publishing(Options options) : server(std::move(options)) {
    server.websocket("/", {.open = [](WebSocket& socket) { socket.stream_from("s"); }});
    server.get("/block", [this](const Request&, Response&) {
      entered_.set_value();
      gate_.get_future().wait();
    });
    const StartResult started = server.start();
    EXPECT_TRUE(started) << started.error;
  }
  ~Publishing() { let_go(); }

  std::unique_ptr<Peer> subscriber() {
    auto peer = std::make_unique<Peer>(server.addresses()[0]);
    EXPECT_EQ(peer->upgrade("/"), 101);
    return peer;
  }

  // Of a server with one shard: from now on it takes nothing.
  void block() {
    blocker_.emplace(server.addresses()[0]);
    blocker_->write("GET /block HTTP/1.1\r\nHost: here\r\n\r\n");
    entered_.get_future().wait();
    blocked_ = true;
  }
  void let_go() {
    if (std::exchange(blocked_, false)) gate_.set_value();
  }

  // A sample's value in the metrics; of several with that beginning, the sum.
  uint64_t metric(const std::string& name) const {
    const std::string text = server.metrics_text();
    uint64_t sum = 0;
    for (size_t at = text.find("\n" + name); at != std::string::npos; at = text.find("\n" + name, at + 1)) {
      sum += std::strtoull(text.c_str() + text.find(' ', at) + 1, nullptr, 10);
    }
    return sum;
  }

 private:
  std::promise<void> entered_, gate_;
  std::optional<Peer> blocker_;
  bool blocked_ = false;

 public:
  Server server;
};

void publish_surely(Publisher& publisher, const Publisher::Stream& stream, const std::string& text) {
  BroadcastStatus status;
  while ((status = publisher.publish(stream, text)) == BroadcastStatus::full) std::this_thread::yield();
  ASSERT_EQ(status, BroadcastStatus::ok);
}

TEST(Publisher, TheTestAdapterRemembersWhatItPublished) {
  Options options = publishing_options(2);
  options.adapter = AdapterChoice::test;
  Publishing here(options);
  const auto peer = here.subscriber();
  Publisher publisher = here.server.publisher();
  const Publisher::Stream stream = publisher.stream("s");
  std::vector<std::string> texts;
  for (int i = 0; i < 100; ++i) {
    texts.push_back(R"("text )" + std::to_string(i) + '"');
    ASSERT_EQ(publisher.publish(stream, texts.back()), BroadcastStatus::ok);
    ASSERT_EQ(here.server.broadcasts("s").size(), texts.size());  // at once
  }
  const std::string large(size_t{300} << 10, '7');  // no ring holds it
  ASSERT_EQ(publisher.publish("s", large), BroadcastStatus::ok);
  ASSERT_EQ(publisher.publish("elsewhere", Json({{"n", 1}})), BroadcastStatus::ok);
  EXPECT_EQ(publisher.publish("s", std::string("\xff")), BroadcastStatus::invalid);
  texts.push_back(large);
  EXPECT_EQ(here.server.broadcasts("s"), texts);
  EXPECT_EQ(here.server.broadcasts("elsewhere"), std::vector<std::string>{R"({"n":1})"});
  for (const std::string& text : texts) ASSERT_EQ(peer->next(), text);
  EXPECT_EQ(publisher.counts().published, texts.size() + 1);
}

TEST(Publisher, OneOrderWhoeverPublishes) {
  constexpr int kPublishers = 3, kEach = 1000;
  Publishing here(publishing_options(2));
  const auto one = here.subscriber(), two = here.subscriber();
  std::vector<std::thread> threads;
  for (int name = 0; name < kPublishers; ++name) {
    threads.emplace_back([&here, name] {
      Publisher publisher = here.server.publisher({.ring_bytes = 8192});
      const Publisher::Stream stream = publisher.stream("s");
      EXPECT_EQ(stream.name(), "s");
      for (int i = 0; i < kEach; ++i) {
        publish_surely(publisher, stream, std::to_string(name) + " " + std::to_string(i));
      }
      EXPECT_EQ(publisher.counts().published, static_cast<uint64_t>(kEach));
    });
  }
  threads.emplace_back([&here] {
    for (int i = 0; i < kEach; ++i) {
      const std::string text = std::to_string(kPublishers) + " " + std::to_string(i);
      while (here.server.broadcast("s", text) == BroadcastStatus::full) std::this_thread::yield();
    }
  });
  std::map<std::string, int> next;
  for (int i = 0; i < (kPublishers + 1) * kEach; ++i) {
    const std::string message = one->next();
    ASSERT_EQ(message, two->next()) << "subscribers differ in their order";
    EXPECT_EQ(message.substr(2), std::to_string(next[message.substr(0, 1)]++)) << message;
  }
  for (std::thread& thread : threads) thread.join();
}

// Between two of its streams nothing is promised; on each, everything, by handle or by name.
TEST(Publisher, ManyStreamsOnSeveralShardsKeepEachTheirOrder) {
  constexpr int kStreams = 16, kRounds = 50;
  Options options = publishing_options(2);
  Server server(options);
  server.websocket("/:stream",
                   {.open = [](WebSocket& socket) { socket.stream_from(socket.parameter("stream")); }});
  ASSERT_TRUE(server.start());
  std::vector<std::unique_ptr<Peer>> peers;
  for (int i = 0; i < kStreams; ++i) {
    peers.push_back(std::make_unique<Peer>(server.addresses()[0]));
    ASSERT_EQ(peers.back()->upgrade("/s" + std::to_string(i)), 101);
  }
  Publisher publisher = server.publisher();
  std::vector<Publisher::Stream> streams;
  for (int i = 0; i < kStreams; ++i) streams.push_back(publisher.stream("s" + std::to_string(i)));
  for (int round = 0; round < kRounds; ++round) {
    for (const Publisher::Stream& stream : streams) {
      ASSERT_EQ(publisher.publish(stream, std::to_string(round)), BroadcastStatus::ok);
      ASSERT_EQ(publisher.publish(stream.name(), "by name " + std::to_string(round)), BroadcastStatus::ok);
    }
  }
  for (const auto& peer : peers) {
    for (int round = 0; round < kRounds; ++round) {
      ASSERT_EQ(peer->next(), std::to_string(round));
      ASSERT_EQ(peer->next(), "by name " + std::to_string(round));
    }
  }
}

TEST(Publisher, EveryKindOfPayloadArrivesAsItIs) {
  Publishing here(publishing_options(1));
  const auto peer = here.subscriber();
  Publisher publisher = here.server.publisher({.ring_bytes = 4096});
  const Publisher::Stream stream = publisher.stream("s");
  const std::string huge(300'000, 'h');  // longer than the ring: by a way of its own
  EXPECT_EQ(publisher.publish(stream, Text("text")), BroadcastStatus::ok);
  EXPECT_EQ(publisher.publish(stream, huge), BroadcastStatus::ok);
  EXPECT_EQ(publisher.publish(stream, Binary("\xff\xfe")), BroadcastStatus::ok);
  EXPECT_EQ(publisher.publish(stream, {{"n", 1}}), BroadcastStatus::ok);
  EXPECT_EQ(publisher.publish(stream, ""), BroadcastStatus::ok);
  EXPECT_EQ(publisher.publish("s", "end"), BroadcastStatus::ok);
  for (const std::string& expected : {std::string("text"), huge, std::string("\xff\xfe"),
                                      std::string("{\"n\":1}"), std::string(), std::string("end")}) {
    EXPECT_EQ(peer->next(), expected);
  }
}

TEST(Publisher, WhatCannotBePublishedIsSaid) {
  Options options = publishing_options(1);
  options.max_message_bytes = 128;
  options.stream_name_bytes = 16;
  Publishing here(options);
  Publisher publisher = here.server.publisher();
  EXPECT_EQ(publisher.publish("s", std::string(129, 'x')), BroadcastStatus::too_large);
  EXPECT_EQ(publisher.publish(std::string(17, 's'), "x"), BroadcastStatus::too_large);
  EXPECT_EQ(publisher.publish("", "x"), BroadcastStatus::too_large);
  EXPECT_EQ(publisher.publish("s", "\xff"), BroadcastStatus::invalid);
  EXPECT_EQ(publisher.counts().published, 0u);
  EXPECT_EQ(publisher.publish("s", std::string(128, 'x')), BroadcastStatus::ok);
  EXPECT_EQ(publisher.counts().published, 1u);
}

TEST(Publisher, AFullRingIsSaidAndLosesNothing) {
  Publishing here(publishing_options(1));
  const auto peer = here.subscriber();
  Publisher publisher = here.server.publisher({.ring_bytes = 4096});
  const Publisher::Stream stream = publisher.stream("s");
  here.block();
  uint64_t accepted = 0;
  while (publisher.publish(stream, std::to_string(accepted)) == BroadcastStatus::ok) ++accepted;
  EXPECT_GT(accepted, 4096u / 64 - 2);
  EXPECT_EQ(publisher.publish(stream, "again"), BroadcastStatus::full);
  EXPECT_EQ(publisher.counts().published, accepted);
  EXPECT_EQ(publisher.counts().full, 2u);
  EXPECT_EQ(here.metric("ringcast_dropped_total{shard=\"none\",reason=\"mailbox_full\"}"), 2u);
  // The way of the others is open.
  EXPECT_EQ(here.server.publisher().publish(stream, "other"), BroadcastStatus::ok);
  here.let_go();
  uint64_t own = 0;
  bool other = false;
  while (own < accepted || !other) {
    const std::string message = peer->next();
    if (message == "other") {
      other = true;
    } else {
      ASSERT_EQ(message, std::to_string(own++));
    }
  }
  publish_surely(publisher, stream, "once more");
  EXPECT_EQ(peer->next(), "once more");
}

TEST(Publisher, MayGoWhileItsMessagesAreOnTheirWay) {
  Publishing here(publishing_options(1));
  const auto peer = here.subscriber();
  here.block();
  {
    Publisher publisher = here.server.publisher();
    for (int i = 0; i < 100; ++i) ASSERT_EQ(publisher.publish("s", std::to_string(i)), BroadcastStatus::ok);
  }
  here.let_go();
  for (int i = 0; i < 100; ++i) ASSERT_EQ(peer->next(), std::to_string(i));
}

TEST(Publisher, MovedItBelongsToWhoeverPublishesNext) {
  Publishing here(publishing_options(1));
  const auto peer = here.subscriber();
  Publisher first = here.server.publisher();
  ASSERT_EQ(first.publish("s", "here"), BroadcastStatus::ok);
  std::thread([publisher = std::move(first)]() mutable {
    EXPECT_EQ(publisher.publish("s", "there"), BroadcastStatus::ok);
  }).join();
  EXPECT_EQ(first.publish("s", "nowhere"), BroadcastStatus::stopped);
  EXPECT_EQ(peer->next(), "here");
  EXPECT_EQ(peer->next(), "there");
}

TEST(Publisher, OutlivesItsServer) {
  Publisher publisher;
  EXPECT_EQ(publisher.publish("s", "x"), BroadcastStatus::stopped);
  EXPECT_EQ(publisher.counts().published, 0u);
  {
    Server server(publishing_options(2));
    publisher = server.publisher();
    const Publisher::Stream stream = publisher.stream("s");
    EXPECT_EQ(publisher.publish(stream, "early"), BroadcastStatus::stopped);
    ASSERT_TRUE(server.start());
    EXPECT_EQ(publisher.publish(stream, "x"), BroadcastStatus::ok);
    server.stop();
    EXPECT_EQ(publisher.publish(stream, "late"), BroadcastStatus::stopped);
    EXPECT_EQ(publisher.publish("another home, whichever", "late"), BroadcastStatus::stopped);
  }
  EXPECT_EQ(publisher.publish("s", "x"), BroadcastStatus::stopped);
  EXPECT_EQ(publisher.counts().published, 1u);
}

TEST(Publisher, AStopUnderLoadIsHeardByEverybody) {
  for (int round = 0; round < 3; ++round) {
    Publishing here(publishing_options(2));
    std::vector<std::thread> threads;
    std::atomic<int> publishing{0};
    for (int i = 0; i < 3; ++i) {
      threads.emplace_back([&here, &publishing, i] {
        Publisher publisher = here.server.publisher({.ring_bytes = 4096});
        const Publisher::Stream stream = publisher.stream("s" + std::to_string(i));
        bool counted = false;
        for (BroadcastStatus status; (status = publisher.publish(stream, "x")) != BroadcastStatus::stopped;) {
          if (status == BroadcastStatus::full) std::this_thread::yield();
          if (!std::exchange(counted, true)) ++publishing;
        }
      });
    }
    while (publishing < 3) std::this_thread::yield();
    here.server.stop();
    for (std::thread& thread : threads) thread.join();
  }
}

TEST(Publisher, AllocatesNothingOnceAStreamIsKnown) {
  Publishing here(publishing_options(1));
  const auto peer = here.subscriber();
  Publisher publisher = here.server.publisher();
  const Publisher::Stream stream = publisher.stream("s");
  const std::string text(1000, 't');
  const Json json({{"price", "101.25"}, {"sequence", 7}});
  ASSERT_EQ(publisher.publish(stream, json), BroadcastStatus::ok);  // its text's memory is kept
  uint64_t before = allocations();
  for (int i = 0; i < 20'000; ++i) {
    (void)publisher.publish(stream, text);
    (void)publisher.publish(stream, Binary(text));
    (void)publisher.publish(stream, json);
    (void)publisher.publish("s", text);  // the name is no secret either
  }
  EXPECT_EQ(allocations() - before, 0u);
  EXPECT_GT(publisher.counts().published, 20u);
  before = allocations();
  ::operator delete(::operator new(1));
  EXPECT_EQ(allocations() - before, 1u) << "nobody counts";
}

// A shard in a callback is as awake as one that spins.
TEST(Publisher, WakesNobodyWhoIsAwake) {
  Publishing here(publishing_options(1));
  const auto peer = here.subscriber();
  Publisher publisher = here.server.publisher();
  const Publisher::Stream stream = publisher.stream("s");
  here.block();
  const uint64_t before = here.metric("ringcast_wakes_total");
  for (int i = 0; i < 1000; ++i) ASSERT_EQ(publisher.publish(stream, "x"), BroadcastStatus::ok);
  EXPECT_EQ(publisher.counts().wakes, 0u);
  EXPECT_EQ(here.metric("ringcast_wakes_total"), before);
  here.let_go();
  for (int i = 0; i < 1000; ++i) ASSERT_EQ(peer->next(), "x");
  // Whoever sleeps is woken, with one call each time.
  uint64_t published = 0;
  while (publisher.counts().wakes == 0) {
    ASSERT_EQ(publisher.publish(stream, "y"), BroadcastStatus::ok);
    ASSERT_EQ(peer->next(), "y");
    ++published;
  }
  EXPECT_LE(publisher.counts().wakes, published);
  EXPECT_GE(here.metric("ringcast_wakes_total"), before + publisher.counts().wakes);
}

TEST(Publisher, ASpinningShardAnotherShardsToo) {
  Options options = publishing_options(2);
  options.spin_us = 600'000'000;
  // Three places for two shards: one is left, so they may spin, even on a small machine.
  options.cpus = std::thread::hardware_concurrency() > 1 ? "0,1,0" : "0,0,0";
  Publishing here(options);
  std::vector<std::unique_ptr<Peer>> peers;
  while (here.metric("ringcast_subscriptions{shard=\"0\"}") == 0 ||
         here.metric("ringcast_subscriptions{shard=\"1\"}") == 0) {
    peers.push_back(here.subscriber());
  }
  Publisher publisher = here.server.publisher();
  const Publisher::Stream stream = publisher.stream("s");
  ASSERT_EQ(publisher.publish(stream, "first"), BroadcastStatus::ok);
  for (const auto& peer : peers) ASSERT_EQ(peer->next(), "first");
  const uint64_t before = here.metric("ringcast_wakes_total");
  const uint64_t own_before = publisher.counts().wakes;
  for (int i = 0; i < 5; ++i) {
    ASSERT_EQ(publisher.publish(stream, std::to_string(i)), BroadcastStatus::ok);
    for (const auto& peer : peers) ASSERT_EQ(peer->next(), std::to_string(i));
  }
  EXPECT_EQ(publisher.counts().wakes, own_before);
  EXPECT_EQ(here.metric("ringcast_wakes_total"), before) << "a shard that spins was woken";
}

// One core given to one shard is no reason to sleep, if others are left for whoever publishes.
TEST(Publisher, AShardSpinsOnTheOneCoreItWasGiven) {
  if (std::thread::hardware_concurrency() < 2) GTEST_SKIP() << "no core is left";
  Options options = publishing_options(1);
  options.spin_us = 600'000'000;
  options.cpus = "0";
  Publishing here(options);
  const auto peer = here.subscriber();
  Publisher publisher = here.server.publisher();
  const Publisher::Stream stream = publisher.stream("s");
  ASSERT_EQ(publisher.publish(stream, "first"), BroadcastStatus::ok);
  ASSERT_EQ(peer->next(), "first");
  const uint64_t before = publisher.counts().wakes;
  for (int i = 0; i < 5; ++i) {
    ASSERT_EQ(publisher.publish(stream, std::to_string(i)), BroadcastStatus::ok);
    ASSERT_EQ(peer->next(), std::to_string(i));
  }
  EXPECT_EQ(publisher.counts().wakes, before);
}

TEST(Publisher, WithAnEngineMessagesGoThereAndComeBack) {
  Options options = publishing_options(2);
  options.adapter = AdapterChoice::test;
  Publishing here(options);
  const auto one = here.subscriber(), two = here.subscriber();
  Publisher publisher = here.server.publisher();
  for (int i = 0; i < 100; ++i) {
    ASSERT_EQ(publisher.publish("s", Json(i)), BroadcastStatus::ok);
    if (i == 50) {
      ASSERT_EQ(publisher.publish("s", {{"half", true}}), BroadcastStatus::ok);
    }
  }
  for (int i = 0; i < 100; ++i) {
    for (Peer* peer : {one.get(), two.get()}) {
      ASSERT_EQ(peer->next(), std::to_string(i));
      if (i == 50) {
        ASSERT_EQ(peer->next(), "{\"half\":true}");
      }
    }
  }
  EXPECT_EQ(here.metric("ringcast_adapter_published_total"), 101u);
}

#if !defined(__SANITIZE_THREAD__) && !defined(__SANITIZE_ADDRESS__)
TEST(PublisherDeathTest, ASecondThreadEndsTheProcess) {
  GTEST_FLAG_SET(death_test_style, "threadsafe");
  EXPECT_DEATH(
      {
        Publishing here(publishing_options(1));
        Publisher publisher = here.server.publisher();
        (void)publisher.publish("s", "here");
        std::thread([&publisher] { (void)publisher.publish("s", "there"); }).join();
      },
      "owner_");
}
#endif

}  // namespace
}  // namespace ringcast
