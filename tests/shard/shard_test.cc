// Whole shards: accepting, admission, draining and stopping. Everything at once under
// random faults is the simulator's (tests/sim).
#include <gtest/gtest.h>

#include <errno.h>

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

}  // namespace
}  // namespace ringcast
