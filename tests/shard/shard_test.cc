// Whole shards: accepting, admission, draining and stopping; and everything at once
// under random faults, held against an oracle.
#include <gtest/gtest.h>

#include <errno.h>

#include <cstdlib>
#include <iostream>

#include "tests/sim/world.h"

namespace ringcast {
namespace {

using sim::chat_room;
using sim::Client;
using sim::World;

// --- Accepting --------------------------------------------------------------------------

TEST(ShardAccept, PausesWithoutDescriptorsAndGoesOn) {
  World world({});
  std::vector<Client*> clients;
  for (int i = 0; i < 4; ++i) clients.push_back(&world.open_socket("/echo"));
  Client& waiting = world.connect();
  waiting.upgrade("/echo");
  world.network().set_descriptor_limit(world.network().lowest_free_descriptor());
  world.settle();
  EXPECT_FALSE(waiting.upgraded());
  EXPECT_EQ(world.total(&Counters::accept_pauses), 1u);
  const uint64_t turns = world.total(&Counters::turns);
  world.advance(seconds(1));
  EXPECT_FALSE(waiting.upgraded());
  EXPECT_LT(world.total(&Counters::turns) - turns, 200u) << "it spins";
  // A connection that ends makes room, at once.
  const Instant before = world.now();
  clients[0]->vanish();
  world.network().set_descriptor_limit(1 << 20);
  world.settle();
  EXPECT_TRUE(waiting.upgraded());
  EXPECT_EQ(world.now(), before);
}

TEST(ShardAccept, ByItselfWhenDescriptorsAreBack) {
  World world({});
  Client& waiting = world.connect();
  waiting.upgrade("/echo");
  world.network().set_descriptor_limit(world.network().lowest_free_descriptor());
  world.settle();
  world.network().set_descriptor_limit(1 << 20);
  world.advance(milliseconds(150));
  EXPECT_TRUE(waiting.upgraded());
}

TEST(ShardAccept, ASkewIsHandedOver) {
  World world({.shards = 2});
  for (int i = 0; i < 100; ++i) world.open_socket("/echo", 0);
  EXPECT_GT(world.shard(0).counters().handed_over.value(), 0u);
  EXPECT_GT(world.shard(1).counters().connections.value(), 20u);
  EXPECT_EQ(world.total(&Counters::connections), 100u);
  Client& one = world.open_socket("/chat/a", 0);
  Client& other = world.open_socket("/chat/a", 1);
  one.send_frame(Opcode::text, "x");
  world.settle();
  EXPECT_EQ(other.count("x"), 1u);
}

TEST(ShardAdmission, ConnectionsOverTheLimitAreRefused) {
  Limits limits;
  limits.connections = 3;
  World world({.shards = 2, .limits = limits});
  std::vector<Client*> clients;
  for (int i = 0; i < 3; ++i) clients.push_back(&world.open_socket("/echo", static_cast<ShardIndex>(i % 2)));
  Client& fourth = world.connect(1);
  fourth.upgrade("/echo");
  ASSERT_TRUE(world.run_until([&] { return fourth.ended(); }));
  world.settle();
  EXPECT_TRUE(fourth.raw().starts_with("HTTP/1.1 503")) << fourth.raw();
  EXPECT_NE(fourth.raw().find("Retry-After"), std::string::npos);
  fourth.close();
  clients[0]->vanish();
  world.settle();
  world.open_socket("/echo", 1);
}

TEST(ShardAdmission, ConnectsPerSecond) {
  for (const ShardIndex shards : {1, 2}) {
    Limits limits;
    limits.connects_per_second = 1;
    World world({.shards = shards, .limits = limits});
    int served = 0;
    for (int second = 0; second < 10; ++second) {
      Client& client = world.connect(0);
      client.request("GET", "/pages/x", {}, "Connection: close\r\n");
      world.advance(seconds(1));
      served += client.raw().starts_with("HTTP/1.1 200");
      client.close();
    }
    // Each shard has its share; a limit below one a second and shard is no refusal for ever.
    EXPECT_GE(served, 10 / shards) << shards;
  }
}

// --- Ends ---------------------------------------------------------------------------------

TEST(ShardDrain, TellsEverybodyAndEndsWithNothingLeft) {
  World world({.shards = 2});
  Client& raw = world.open_socket("/chat/a", 0);
  Client& cable = world.open_cable(1);
  cable.subscribe(chat_room("a"));
  Client& idle = world.connect(0);
  idle.request("GET", "/pages/x");
  Client& busy = world.connect(1);
  busy.send("GET /pages/slow HTTP/1.1\r\n");
  world.settle();
  world.drain(seconds(10));
  world.advance(milliseconds(100));
  EXPECT_EQ(raw.close_code(), 1001u);
  EXPECT_EQ(cable.texts().back(), R"({"type":"disconnect","reason":"server_restart","reconnect":true})");
  EXPECT_EQ(cable.close_code(), 1000u);
  EXPECT_TRUE(idle.ended());
  EXPECT_FALSE(busy.ended());
  busy.send("Host: sim\r\n\r\n");
  ASSERT_TRUE(world.run_until([&] { return world.ended(); }, seconds(1)));
  EXPECT_NE(busy.raw().find("200 OK"), std::string::npos);
  EXPECT_NE(busy.raw().find("Connection: close"), std::string::npos);
  EXPECT_TRUE(raw.finished() && cable.finished() && busy.finished());
  EXPECT_EQ(world.ended_by(EndReason::drain), 3u);
  world.finish();
}

TEST(ShardDrain, NoNewConnections) {
  World world({});
  Client& staying = world.open_socket("/echo");
  staying.answers_close = false;
  world.drain(seconds(10));
  world.settle();
  EXPECT_EQ(world.network().connect(10'000), -ECONNREFUSED);
  world.advance(seconds(11));
  EXPECT_TRUE(world.ended()) << "reset when it was over";
  world.finish();
}

TEST(ShardDrain, WaitsForNobodyAtAll) {
  World world({.shards = 3});
  world.drain(seconds(10));
  ASSERT_TRUE(world.run_until([&] { return world.ended(); }, milliseconds(10)));
  EXPECT_FALSE(world.publish("s", "x")) << "a shard that is over takes nothing";
  world.finish();
}

// Its answer was under way when the drain came, so it was not told then.
TEST(ShardDrain, AKeepAliveAnswerUnderWayDoesNotHoldItUp) {
  World world({});
  world.scripts().http = [](const Exchange&, HttpAnswer& answer) {
    answer.body.assign(500'000, 'x');
    return CallResult::ok;
  };
  Client& client = world.connect();
  client.reading = false;
  client.request("GET", "/pages/x");
  world.settle();
  world.drain(seconds(10));
  world.advance(milliseconds(100));
  client.reading = true;
  ASSERT_TRUE(world.run_until([&] { return world.ended(); }, seconds(1)));
  EXPECT_GT(client.raw().size(), 500'000u);
  world.finish();
}

TEST(ShardDrain, IsPaced) {
  World world({});
  std::vector<Client*> clients;
  for (int i = 0; i < 400; ++i) {
    clients.push_back(&world.connect());
    clients.back()->upgrade("/echo");
  }
  world.settle();
  world.drain(seconds(1));
  world.settle();
  const auto told = [&] {
    return std::count_if(clients.begin(), clients.end(),
                         [](Client* c) { return c->close_code().has_value(); });
  };
  EXPECT_LT(told(), 200);
  world.advance(milliseconds(600));
  EXPECT_EQ(told(), 400);
  EXPECT_TRUE(world.ended());
  world.finish();
}

TEST(ShardStop, EndsAtOnceWhateverIsGoingOn) {
  World world({.shards = 3});
  for (ShardIndex i = 0; i < 3; ++i) {
    world.open_socket("/chat/a", i).reading = false;
    world.open_cable(i).subscribe(chat_room("a"));
    world.connect(i).send("GET /half");
  }
  for (int i = 0; i < 50; ++i) ASSERT_TRUE(world.publish("room_a", std::string(50'000, 'x')));
  for (int i = 0; i < 20; ++i) world.step();
  const Instant before = world.now();
  world.stop();
  world.settle();
  EXPECT_TRUE(world.ended());
  EXPECT_EQ(world.now(), before);
  world.finish();
}

// --- Everything at once -------------------------------------------------------------------

// What one subscription must have got. A monitor on each shard, prompt and there from the
// start, shows the order in which the home numbered; a subscription's deliveries must be
// one contiguous run of that, each once and byte-identical, holding everything published
// behind the confirmation it read, and nothing behind the unsubscribe it sent except what
// was under way.
class Scenario {
 public:
  explicit Scenario(uint64_t seed)
      : prng_(seed * 2 + 1), world_(options(seed, prng_)), streams_(1 + prng_.below(4)) {
    auto& faults = world_.faults();
    // Swarm: each run has its own mixture, and most faults are off in many.
    const auto weight = [&] { return prng_.chance(0.4) ? 0.0 : static_cast<double>(prng_.below(40)) / 100; };
    faults.short_send = weight();
    faults.split_recv = weight();
    faults.early_end = weight() / 2;
    faults.cancel_race = weight();
    faults.late = weight();
    faults.reorder = weight();
    world_.scripts().raw["stream"] = {
        .open =
            [](RawSocket& socket) {
              return socket.stream_from(*socket.query("s")) ? CallResult::ok : CallResult::failed;
            },
        .message =
            [this](RawSocket& socket, Opcode, MutableBytes payload) {
              const std::string stream = *socket.query("s");
              if (socket.broadcast(stream, PayloadKind::text, payload) == PublishStatus::ok)
                accepted(stream, as_text(payload));
              return CallResult::ok;
            }};
    world_.scripts().channels["StreamChannel"] = {.subscribed = [](SessionChannel& channel) {
      return channel.stream_from(channel.params().string("s")) ? CallResult::ok : CallResult::failed;
    }};
  }

  void run() {
    for (size_t stream = 0; stream < streams_; ++stream) {
      for (ShardIndex shard = 0; shard < world_.shards(); ++shard) {
        monitors_.push_back(&world_.open_socket(target(stream), shard));
      }
    }
    const size_t moves = 100 + prng_.below(300);
    for (size_t i = 0; i < moves && !testing::Test::HasFailure(); ++i) move();
    // Everybody reads to the end; who was cut off stays a prefix.
    for (const auto& subscriber : subscribers_) {
      subscriber->client->reading = true;
      subscriber->client->read_bytes = SIZE_MAX;
    }
    world_.advance(seconds(2));
    check();
    if (prng_.chance(0.3)) {
      world_.drain(seconds(1));
      world_.advance(seconds(2));
      EXPECT_TRUE(world_.ended());
    }
    world_.finish();
  }

  const sim::Faults::Count& faults() { return world_.faults().count; }

 private:
  struct Subscriber {
    Client* client;
    size_t stream;
    std::string identifier;            // cable; raw if empty
    size_t must_hold_from = SIZE_MAX;  // index into published_ when it read its confirmation
    bool subscribed = true;            // and did not unsubscribe
  };

  static sim::WorldOptions options(uint64_t seed, Prng& prng) {
    sim::WorldOptions result{
        .shards = static_cast<ShardIndex>(1 + prng.below(3)), .seed = seed, .faults = true};
    if (prng.chance(0.5)) {
      result.limits.message_bytes = 16 * 1024;
      result.limits.frame_log_bytes = 64 * 1024;
    }
    if (prng.chance(0.5)) result.limits.mailbox_items = 64;
    if (prng.chance(0.3)) result.limits.broadcast_inbox_items = 16;
    return result;
  }
  static std::string name(size_t stream) { return "stream" + std::to_string(stream); }
  static std::string target(size_t stream) { return "/raw/stream?s=" + name(stream); }

  void accepted(std::string_view stream, std::string_view payload) {
    published_[std::string(stream)].emplace_back(payload);
  }

  std::string next_payload() {
    static constexpr size_t kSizes[] = {0, 10, 130, 3000, 12'000};
    std::string payload = "\"" + std::to_string(++counter_) + ":";
    payload.append(prng_.below(kSizes[prng_.below(std::size(kSizes))] + 1),
                   static_cast<char>('a' + counter_ % 26));
    return payload + "\"";
  }

  void move() {
    switch (prng_.below(12)) {
      case 0: {
        if (subscribers_.size() > 30) break;
        auto subscriber = std::make_unique<Subscriber>();
        subscriber->stream = prng_.below(streams_);
        Client& client = world_.connect(static_cast<ShardIndex>(prng_.below(world_.shards())));
        subscriber->client = &client;
        if (prng_.chance(0.5)) {
          client.upgrade(target(subscriber->stream));
        } else {
          subscriber->identifier = Json{{"channel", "StreamChannel"}, {"s", name(subscriber->stream)}}.dump();
          client.upgrade("/cable");
          client.subscribe(subscriber->identifier);
          client.on_frame = [this, self = subscriber.get(),
                             confirmed =
                                 sim::confirmation(subscriber->identifier)](const Client::Frame& frame) {
            if (frame.payload == confirmed && self->must_hold_from == SIZE_MAX) {
              self->must_hold_from = published_[name(self->stream)].size();
            }
          };
        }
        subscribers_.push_back(std::move(subscriber));
        break;
      }
      case 1:
      case 2:
      case 3: {
        const size_t stream = prng_.below(streams_);
        for (size_t burst = prng_.chance(0.1) ? prng_.below(40) : 1; burst > 0; --burst) {
          const std::string payload = next_payload();
          if (world_.publish(name(stream), payload)) accepted(name(stream), payload);
        }
        break;
      }
      case 4:
        if (Subscriber* talker = any();
            talker != nullptr && talker->identifier.empty() && talker->client->upgraded()) {
          talker->client->send_frame(Opcode::text, next_payload());
        }
        break;
      case 5:
        if (Subscriber* subscriber = any()) {
          subscriber->client->reading = prng_.chance(0.6);
          subscriber->client->read_bytes = prng_.chance(0.5) ? SIZE_MAX : 1 + prng_.below(5000);
        }
        break;
      case 6:
        if (!prng_.chance(0.3)) break;
        if (Subscriber* subscriber = any()) {
          subscriber->subscribed = false;
          switch (prng_.below(4)) {
            case 0:
              subscriber->client->vanish();
              break;
            case 1:
              subscriber->client->close();
              break;
            case 2:
              subscriber->client->send_close(1000);
              break;
            default:
              if (!subscriber->identifier.empty()) subscriber->client->unsubscribe(subscriber->identifier);
          }
        }
        break;
      case 7:
        if (prng_.chance(0.2)) world_.advance(milliseconds(prng_.below(600)));
        break;
      default:
        for (size_t steps = prng_.below(30); steps > 0; --steps) world_.step();
    }
  }

  Subscriber* any() {
    if (subscribers_.empty()) return nullptr;
    Subscriber* subscriber = subscribers_[prng_.below(subscribers_.size())].get();
    return subscriber->client->open() ? subscriber : nullptr;
  }

  static std::vector<std::string> payloads(const Client& client, const std::string& identifier) {
    std::vector<std::string> result;
    const std::string head = identifier.empty() ? "" : sim::cable_message(identifier, "");
    for (const auto& frame : client.frames()) {
      if (frame.opcode != Opcode::text) continue;
      if (identifier.empty()) {
        result.push_back(frame.payload);
      } else if (frame.payload.starts_with(std::string_view(head).substr(0, head.size() - 1))) {
        result.push_back(frame.payload.substr(head.size() - 1, frame.payload.size() - head.size()));
      }
    }
    return result;
  }

  void check() {
    for (size_t stream = 0; stream < streams_; ++stream) {
      const auto order = payloads(*monitors_[stream * world_.shards()], {});
      for (ShardIndex shard = 0; shard < world_.shards(); ++shard) {
        const Client& monitor = *monitors_[stream * world_.shards() + shard];
        ASSERT_FALSE(monitor.close_code().has_value())
            << "a prompt reader was closed: " << monitor.close_reason();
        ASSERT_EQ(payloads(monitor, {}), order) << "two shards, two orders";
      }
      auto published = published_[name(stream)];
      std::map<std::string, size_t> offset;
      for (size_t i = 0; i < order.size(); ++i)
        ASSERT_TRUE(offset.emplace(order[i], i).second) << "twice: " << order[i];
      ASSERT_EQ(order.size(), published.size()) << "accepted and lost, or from nowhere";
      for (const std::string& payload : published) ASSERT_TRUE(offset.contains(payload)) << "lost";

      for (const auto& subscriber : subscribers_) {
        if (subscriber->stream != stream) continue;
        const auto got = payloads(*subscriber->client, subscriber->identifier);
        const bool whole = subscriber->subscribed && subscriber->client->open() &&
                           !subscriber->client->ended() && !subscriber->client->close_code();
        if (got.empty()) {
          if (whole && subscriber->must_hold_from < published.size()) {
            FAIL() << "got nothing at all";
          }
          continue;
        }
        ASSERT_TRUE(offset.contains(got[0]));
        const size_t first = offset[got[0]];
        for (size_t i = 0; i < got.size(); ++i) {
          ASSERT_LT(first + i, order.size());
          ASSERT_EQ(got[i].substr(0, 20), order[first + i].substr(0, 20)) << "a hole at " << i;
          ASSERT_EQ(got[i], order[first + i]);
        }
        if (whole) {
          ASSERT_EQ(first + got.size(), order.size()) << "the end is missing";
        }
        for (size_t i = std::min(subscriber->must_hold_from, published.size()); i < published.size(); ++i) {
          ASSERT_GE(offset[published[i]], first) << "published behind the confirmation and missed";
        }
      }
    }
  }

  Prng prng_;
  World world_;
  const size_t streams_;
  std::vector<Client*> monitors_;
  std::vector<std::unique_ptr<Subscriber>> subscribers_;
  std::map<std::string, std::vector<std::string>> published_;
  uint64_t counter_ = 0;
};

// RINGCAST_SEED=N replays one; RINGCAST_SEEDS=N runs so many.
TEST(ShardScenario, RandomServersHoldTheirPromises) {
  const char* const one = std::getenv("RINGCAST_SEED");
  const char* const many = std::getenv("RINGCAST_SEEDS");
  const uint64_t first = one != nullptr ? std::strtoull(one, nullptr, 10) : 0;
  const uint64_t end = one != nullptr ? first + 1 : many != nullptr ? std::strtoull(many, nullptr, 10) : 300;
  sim::Faults::Count fired;
  for (uint64_t seed = first; seed < end; ++seed) {
    Scenario scenario(seed);
    scenario.run();
    const auto& count = scenario.faults();
    fired.short_sends += count.short_sends;
    fired.split_recvs += count.split_recvs;
    fired.early_ends += count.early_ends;
    fired.cancel_races += count.cancel_races;
    fired.late += count.late;
    fired.reorders += count.reorders;
    if (!HasFailure()) continue;
    std::cerr << "seed " << seed << " failed; replay it with\n  RINGCAST_SEED=" << seed << " "
              << program_invocation_name << " --gtest_filter=ShardScenario.RandomServersHoldTheirPromises\n";
    return;
  }
  if (one != nullptr) return;
  // A fault that never fires finds nothing.
  EXPECT_GT(fired.short_sends, 0u);
  EXPECT_GT(fired.split_recvs, 0u);
  EXPECT_GT(fired.early_ends, 0u);
  EXPECT_GT(fired.cancel_races, 0u);
  EXPECT_GT(fired.late, 0u);
  EXPECT_GT(fired.reorders, 0u);
}

}  // namespace
}  // namespace ringcast
