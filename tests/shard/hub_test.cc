// Publish and subscribe over several shards: order, slow readers, full lanes, payloads.
#include <gtest/gtest.h>

#include <algorithm>
#include <set>

#include "support/client_frames.h"
#include "tests/sim/world.h"

namespace ringcast {
namespace {

using sim::chat_room;
using sim::Client;
using sim::World;

std::vector<std::string> data_frames(const Client& client) {
  std::vector<std::string> result;
  for (const auto& frame : client.frames()) {
    if (!is_control(frame.opcode)) result.push_back(frame.payload);
  }
  return result;
}

TEST(Hub, EverybodySeesOneOrder) {
  World world({.shards = 3, .seed = 7});
  std::vector<Client*> clients;
  for (ShardIndex i = 0; i < 9; ++i)
    clients.push_back(&world.open_socket("/chat/a", static_cast<ShardIndex>(i % 3)));
  for (int i = 0; i < 300; ++i) {
    clients[world.prng().below(clients.size())]->send_frame(Opcode::text, std::to_string(i));
    for (size_t steps = world.prng().below(4); steps > 0; --steps) world.step();
  }
  world.settle();
  const auto order = data_frames(*clients[0]);
  EXPECT_EQ(order.size(), 300u);
  EXPECT_EQ(std::set<std::string>(order.begin(), order.end()).size(), 300u);
  for (const Client* client : clients) EXPECT_EQ(data_frames(*client), order);
}

TEST(Hub, RawSocketsAndCableShareAStream) {
  World world({.shards = 2});
  world.scripts().raw["chat7"] = {.open = [](RawSocket& socket) {
    return socket.stream_from("chat_7") ? CallResult::ok : CallResult::failed;
  }};
  Client& raw = world.open_socket("/raw/chat7", 0);
  Client& cable = world.open_cable(1);
  const std::string room = chat_room("7"), number = R"({"channel":"ChatChannel","room_id":7})";
  cable.subscribe(room);
  cable.subscribe(number);
  world.settle();
  const std::string said = "say \"<hi>\"\n";
  ASSERT_TRUE(world.publish("chat_7", "{\"price\": 1.10}", PayloadKind::json));
  ASSERT_TRUE(world.publish("chat_7", said));
  ASSERT_TRUE(world.publish("chat_7", std::string("\x00\xff", 2), PayloadKind::binary));
  world.settle();
  EXPECT_EQ(data_frames(raw),
            (std::vector<std::string>{"{\"price\": 1.10}", said, std::string("\x00\xff", 2)}));
  EXPECT_EQ(raw.frames().back().opcode, Opcode::binary);
  for (const std::string& identifier : {room, number}) {
    EXPECT_EQ(cable.count(sim::cable_message(identifier, "{\"price\": 1.10}")), 1u);
    EXPECT_EQ(cable.count(sim::cable_message(identifier, R"("say \"\u003chi\u003e\"\n")")), 1u);
  }
  EXPECT_EQ(world.dropped_for(DropReason::binary_on_cable), 2u);
}

TEST(Hub, RefusesWhatCannotBePublished) {
  Limits limits;
  limits.message_bytes = 1000;
  World world({.limits = limits});
  std::vector<PublishStatus> got;
  world.post(0, [&](Shard& shard) {
    got.push_back(shard.publish("s", PayloadKind::text, as_bytes(std::string(1001, 'x'))));
    got.push_back(shard.publish("", PayloadKind::text, as_bytes("x")));
    got.push_back(shard.publish(std::string(2000, 's'), PayloadKind::text, as_bytes("x")));
    got.push_back(shard.publish("s", PayloadKind::text, as_bytes("\xff")));
    got.push_back(shard.publish("s", PayloadKind::json, as_bytes("{")));
    got.push_back(shard.publish("s", PayloadKind::binary, as_bytes("\xff")));
  });
  world.settle();
  using S = PublishStatus;
  EXPECT_EQ(got, (std::vector<S>{S::too_large, S::invalid, S::too_large, S::invalid, S::invalid, S::ok}));
}

// --- Slow readers -----------------------------------------------------------------------

struct Slow {
  explicit Slow(ShardIndex shards = 1) {
    limits.frame_log_bytes = 256 * 1024;
    limits.message_bytes = 64 * 1024;
    options = {.shards = shards, .limits = limits};
  }
  Limits limits;
  sim::WorldOptions options;
};

TEST(HubSlowReaders, ALappedCursorIsClosedAndNobodyElse) {
  World world(Slow().options);
  std::vector<Client*> prompt;
  for (int i = 0; i < 10; ++i) prompt.push_back(&world.open_socket("/chat/a"));
  Client& cable = world.open_cable();
  world.scripts().channels["RoomChannel"] = {.subscribed = [](SessionChannel& channel) {
    return channel.stream_from("room_a") ? CallResult::ok : CallResult::failed;
  }};
  const std::string identifier = sim::channel_identifier("RoomChannel");
  cable.subscribe(identifier);
  Client& raw = world.open_socket("/chat/a");
  world.settle();
  raw.reading = cable.reading = false;
  const Instant begin = world.now();
  int published = 0;
  for (; published < 100; ++published) {
    ASSERT_TRUE(world.publish("room_a", "\"" + std::string(10'000, 'x') + "\""));
    world.settle();
  }
  ASSERT_TRUE(world.run_until([&] { return data_frames(*prompt[0]).size() == 100; }, seconds(10)));
  EXPECT_LT(world.now() - begin, seconds(2)) << "held up for longer than the grace";
  EXPECT_GE(world.now() - begin, milliseconds(250)) << "lapped before the grace was over";
  for (Client* client : prompt) {
    EXPECT_EQ(data_frames(*client).size(), 100u);
    EXPECT_FALSE(client->close_code().has_value());
  }
  raw.reading = cable.reading = true;
  ASSERT_TRUE(world.run_until([&] { return raw.ended() && cable.ended(); }));
  world.settle();
  EXPECT_EQ(raw.close_code(), 1013u);
  EXPECT_EQ(cable.close_code(), 1013u);
  EXPECT_EQ(cable.texts().back(), R"({"type":"disconnect","reason":"too_slow","reconnect":true})");
  EXPECT_TRUE(world.run_until([&] { return world.ended_by(EndReason::too_slow) == 2u; }));
  EXPECT_GT(world.dropped_for(DropReason::lapped), 0u);
  // A cut gives a prefix.
  for (const std::string& text : data_frames(raw)) EXPECT_EQ(text.size(), 10'002u);
}

// Twice on the same log: whoever is lapped first leaves nothing behind that keeps the
// second from being found.
TEST(HubSlowReaders, OneAfterTheOther) {
  World world(Slow().options);
  Client& prompt = world.open_socket("/chat/a");
  prompt.keeps_frames = false;
  for (uint64_t round = 1; round <= 3; ++round) {
    Client& slow = world.open_socket("/chat/a");
    slow.reading = false;
    const uint64_t before = prompt.frames_seen();
    for (int i = 0; i < 60; ++i) ASSERT_TRUE(world.publish("room_a", std::string(10'000, 'x')));
    ASSERT_TRUE(world.run_until([&] { return prompt.frames_seen() >= before + 60; }, seconds(10))) << round;
    EXPECT_EQ(world.ended_by(EndReason::too_slow) + world.total(&Counters::connections), 1 + round);
    slow.reading = true;
    ASSERT_TRUE(world.run_until([&] { return slow.ended(); }, seconds(10)));
    world.settle();
    EXPECT_EQ(slow.close_code(), 1013u);
  }
  EXPECT_FALSE(prompt.close_code().has_value());
}

TEST(HubSlowReaders, WhoMakesProgressIsWaitedFor) {
  World world(Slow().options);
  Client& prompt = world.open_socket("/chat/a");
  Client& slow = world.open_socket("/chat/a");
  slow.reading = false;
  for (int i = 0; i < 100; ++i) ASSERT_TRUE(world.publish("room_a", std::string(10'000, 'x')));
  for (int i = 0; i < 200 && slow.frames_seen() < 100; ++i) {
    world.advance(milliseconds(100));
    slow.reading = true;
    slow.read_bytes = 50'000;
    slow.pump();
    slow.reading = false;
  }
  EXPECT_EQ(data_frames(slow).size(), 100u);
  EXPECT_EQ(data_frames(prompt).size(), 100u);
  EXPECT_EQ(world.ended_by(EndReason::too_slow), 0u);
}

TEST(HubSlowReaders, TenMegabytesAtOnceToManyPromptReadersLoseNobody) {
  for (const ShardIndex shards : {1, 2}) {
    Limits limits;
    limits.message_bytes = 256 * 1024;
    limits.frame_log_bytes = 1024 * 1024;
    World world({.shards = shards, .limits = limits});
    std::vector<Client*> clients;
    for (int i = 0; i < 60; ++i) {
      clients.push_back(&world.connect(static_cast<ShardIndex>(i % shards)));
      clients.back()->upgrade("/chat/a");
      clients.back()->keeps_frames = false;
    }
    world.settle();
    const std::string message(100'000, 'x');
    for (int i = 0; i < 105; ++i) ASSERT_TRUE(world.publish("room_a", message));
    ASSERT_TRUE(world.run_until(
        [&] {
          return std::all_of(clients.begin(), clients.end(),
                             [](Client* c) { return c->frames_seen() >= 105; });
        },
        seconds(30)));
    for (Client* client : clients) ASSERT_FALSE(client->close_code().has_value());
    EXPECT_EQ(world.dropped_for(DropReason::lapped), 0u);
  }
}

// While a log has no room its publishers are paused, and go on afterwards; what they were
// told `ok` for arrives.
TEST(HubSlowReaders, PublishersArePausedAndResumed) {
  Slow slow_options(2);
  slow_options.options.limits.mailbox_items = 64;
  World world(slow_options.options);
  const std::string room = world.stream_at(1, "room_");
  int ok = 0, full = 0;
  world.scripts().raw["talk"] = {.message = [&](RawSocket& socket, Opcode, MutableBytes payload) {
    ++(socket.broadcast(room, PayloadKind::text, payload) == PublishStatus::ok ? ok : full);
    return CallResult::ok;
  }};
  Client& reader = world.open_socket("/chat/" + room.substr(5), 0);
  Client& stalled = world.open_socket("/chat/" + room.substr(5), 0);
  Client& talker = world.open_socket("/raw/talk", 1);
  reader.keeps_frames = false;
  stalled.reading = false;
  for (int i = 0; i < 2000; ++i) talker.send_frame(Opcode::text, std::string(5'000, 'x'));
  world.settle();
  EXPECT_LT(ok, 2000) << "everything was taken at once: nothing was held back";
  EXPECT_GT(talker.unsent(), 0u);
  ASSERT_TRUE(world.run_until([&] { return reader.frames_seen() == 2000; }, seconds(20)));
  EXPECT_EQ(ok, 2000);
  EXPECT_EQ(full, 0);
  EXPECT_GT(world.total(&Counters::held_lanes), 0u);
  stalled.reading = true;
  world.settle();
  EXPECT_TRUE(world.run_until([&] { return world.ended_by(EndReason::too_slow) == 1u; }));
}

TEST(HubLanes, AHandlerThatPublishesMoreThanALaneHoldsIsToldSo) {
  Limits limits;
  limits.mailbox_items = 64;
  World world({.shards = 2, .limits = limits});
  const std::string stream = world.stream_at(1, "s");
  int ok = 0, full = 0;
  world.post(0, [&](Shard& shard) {
    for (int i = 0; i < 100; ++i) {
      ++(shard.publish(stream, PayloadKind::text, as_bytes("x")) == PublishStatus::ok ? ok : full);
    }
    const std::vector<Publication> several(3, {stream, PayloadKind::text, as_bytes("x")});
    EXPECT_EQ(shard.publish_all(several), PublishStatus::full);
  });
  world.settle();
  EXPECT_EQ(ok, 64);
  EXPECT_EQ(full, 36);
  EXPECT_EQ(world.dropped_for(DropReason::mailbox_full), 39u);
}

TEST(HubLanes, AFullInboxIsAnErrorValue) {
  Limits limits;
  limits.broadcast_inbox_items = 10;
  World world({.limits = limits});
  for (int i = 0; i < 10; ++i) EXPECT_TRUE(world.publish("s", "x"));
  EXPECT_FALSE(world.publish("s", "x"));
  world.settle();
  EXPECT_TRUE(world.publish("s", "x"));
}

// A stream that never falls silent, with more subscribers than one turn serves, leaves
// room for the others.
TEST(HubWalk, ABusyStreamDoesNotStarveAQuietOne) {
  World world({});
  world.scripts().raw["busy"] = {.open = [](RawSocket& socket) {
    return socket.stream_from("busy") ? CallResult::ok : CallResult::failed;
  }};
  for (int i = 0; i < 600; ++i) {
    Client& client = world.connect();
    client.keeps_frames = false;
    client.upgrade("/raw/busy");
  }
  Client& quiet = world.open_socket("/chat/quiet");
  ASSERT_TRUE(world.publish("busy", "0"));
  world.turn(0);
  ASSERT_TRUE(world.publish("room_quiet", "hello"));
  int turns = 0;
  for (; turns < 100 && quiet.frames_seen() == 0; ++turns) {
    ASSERT_TRUE(world.publish("busy", "x"));
    world.turn(0);
    quiet.pump();
  }
  EXPECT_LT(turns, 20) << "served after " << turns << " turns";
}

// Connections of a page with many symbols: one send carries several streams.
TEST(HubWalk, ManyStreamsOnOneConnectionShareASend) {
  World world({});
  world.scripts().raw["page"] = {.open = [](RawSocket& socket) {
    for (int i = 0; i < 50; ++i) EXPECT_TRUE(socket.stream_from("tick" + std::to_string(i)));
    return CallResult::ok;
  }};
  Client& client = world.open_socket("/raw/page");
  const uint64_t before = world.total(&Counters::sends);
  world.post(0, [](Shard& shard) {
    for (int i = 0; i < 50; ++i) {
      EXPECT_EQ(shard.publish("tick" + std::to_string(i), PayloadKind::text, as_bytes("1")),
                PublishStatus::ok);
    }
  });
  world.settle();
  EXPECT_EQ(client.frames_seen(), 50u);
  EXPECT_EQ(world.total(&Counters::sends), before + 1);
}

// --- Coalescing -------------------------------------------------------------------------

constexpr Duration kInterval = milliseconds(20);

struct Coalesced : ::testing::Test {
  static sim::WorldOptions options() {
    Limits limits;
    limits.coalescing = {{"tick*", kInterval}};
    limits.frame_log_bytes = 256 * 1024;
    limits.message_bytes = 64 * 1024;
    return {.limits = limits};
  }

  // A page with that many of the streams.
  Client& open_page(int streams) {
    world.scripts().raw["page"] = {.open = [streams](RawSocket& socket) {
      for (int i = 0; i < streams; ++i) EXPECT_TRUE(socket.stream_from("tick" + std::to_string(i)));
      return CallResult::ok;
    }};
    return world.open_socket("/raw/page");
  }
  void tick(int stream, std::string_view payload) {
    ASSERT_TRUE(world.publish("tick" + std::to_string(stream), payload));
  }
  uint64_t sends() { return world.total(&Counters::sends); }

  World world{options()};
};

TEST_F(Coalesced, WhatComesWithinTheIntervalSharesASend) {
  Client& page = open_page(5);
  const uint64_t before = sends();
  tick(0, "first");
  world.settle();
  EXPECT_EQ(data_frames(page), std::vector<std::string>{"first"}) << "after a silence it goes at once";
  std::vector<std::string> rest;
  for (int i = 0; i < 40; ++i) {
    rest.push_back(std::to_string(i));
    tick(i % 5, rest.back());
    world.settle();
  }
  EXPECT_EQ(page.frames_seen(), 1u);
  const Instant begin = world.now();
  ASSERT_TRUE(world.run_until([&] { return page.frames_seen() == 41; }));
  EXPECT_LE(world.now() - begin, kInterval);
  EXPECT_EQ(sends(), before + 2);
}

TEST_F(Coalesced, AsManySendsAsIntervals) {
  Client& page = open_page(50);
  const uint64_t before = sends();
  for (int i = 0; i < 1000; ++i) {
    tick(i % 50, "x");
    world.advance(milliseconds(1));
  }
  ASSERT_TRUE(world.run_until([&] { return page.frames_seen() == 1000; }));
  EXPECT_GE(sends() - before, 45u);
  EXPECT_LE(sends() - before, 51u);
}

TEST_F(Coalesced, InTheOrderOfItsStream) {
  std::vector<Client*> pages;
  for (int i = 0; i < 300; ++i) pages.push_back(&open_page(3));
  for (int i = 0; i < 500; ++i) {
    tick(0, std::to_string(i));
    for (size_t steps = world.prng().below(40); steps > 0; --steps) world.step();
    if (i % 7 == 0) world.advance(milliseconds(3));
  }
  world.advance(2 * kInterval);
  for (const Client* page : pages) {
    ASSERT_EQ(page->frames_seen(), 500u);
    for (int i = 0; i < 500; ++i)
      ASSERT_EQ(page->frames()[static_cast<size_t>(i)].payload, std::to_string(i));
  }
}

// More pages than a turn serves: those that were served before it came get it, too.
TEST_F(Coalesced, WhatComesDuringAPassGoesWithTheNext) {
  std::vector<Client*> pages;
  for (int i = 0; i < 600; ++i) pages.push_back(&open_page(1));
  tick(0, "1");
  const uint64_t before = sends();
  while (sends() == before) world.turn(0);
  ASSERT_LT(sends() - before, 600u);
  tick(0, "2");
  world.settle();
  world.advance(kInterval);
  for (const Client* page : pages) ASSERT_EQ(data_frames(*page), (std::vector<std::string>{"1", "2"}));
}

TEST_F(Coalesced, WhateverElseIsSentTakesItAlong) {
  world.scripts().raw["page"] = {
      .open =
          [](RawSocket& socket) { return socket.stream_from("tick0") ? CallResult::ok : CallResult::failed; },
      .message =
          [](RawSocket& socket, Opcode opcode, MutableBytes payload) {
            socket.send(opcode, payload);
            return CallResult::ok;
          }};
  Client& page = world.open_socket("/raw/page");
  tick(0, "1");
  world.settle();
  tick(0, "2");
  world.settle();
  page.send_frame(Opcode::text, "hello");
  world.settle();
  EXPECT_EQ(data_frames(page), (std::vector<std::string>{"1", "2", "hello"}));
}

TEST_F(Coalesced, WhatWaitsIsStillSentWhenItsStreamIsLeft) {
  world.scripts().raw["page"] = {
      .open =
          [](RawSocket& socket) { return socket.stream_from("tick0") ? CallResult::ok : CallResult::failed; },
      .message =
          [](RawSocket& socket, Opcode, MutableBytes) {
            socket.stop_stream_from("tick0");
            return CallResult::ok;
          }};
  Client& page = world.open_socket("/raw/page");
  for (const char* const payload : {"1", "2"}) {
    tick(0, payload);
    world.settle();
  }
  page.send_frame(Opcode::text, "stop");
  world.settle();
  tick(0, "3");
  world.advance(2 * kInterval);
  EXPECT_EQ(data_frames(page), (std::vector<std::string>{"1", "2"}));
}

TEST_F(Coalesced, WhoHasNoMoreToSayHearsWhatWaits) {
  Client& page = open_page(1);
  for (const char* const payload : {"1", "2"}) {
    tick(0, payload);
    world.settle();
  }
  page.shutdown();
  world.settle();
  EXPECT_EQ(data_frames(page), (std::vector<std::string>{"1", "2"}));
  EXPECT_TRUE(page.ended());
}

// What waits is not what the ceiling is for: nobody is closed for it.
TEST(CoalescedMemory, IsGivenBackBeforeAnybodyIsClosed) {
  Limits limits;
  limits.coalescing = {{"*", seconds(10)}};
  limits.memory_bytes = 512 * 1024;
  World world({.limits = limits});
  std::vector<Client*> clients;
  for (int i = 0; i < 300; ++i) clients.push_back(&world.open_socket("/chat/" + std::to_string(i)));
  Client& uploading = world.open_socket("/chat/upload");
  uploading.send(encode({.payload = std::string(64 * 1024, 'x')}).substr(0, 32 * 1024));
  for (const char* const payload : {"1", "2"}) {
    for (int i = 0; i < 300; ++i) ASSERT_TRUE(world.publish("room_" + std::to_string(i), payload));
    world.settle();
  }
  ASSERT_GT(world.shard(0).hub().chunks().held_bytes(), limits.memory_bytes);
  world.advance(milliseconds(500));
  for (const Client* client : clients) EXPECT_EQ(client->frames_seen(), 2u);
  EXPECT_EQ(world.ended_by(EndReason::memory), 0u);
}

TEST_F(Coalesced, OtherStreamsDoNotWait) {
  open_page(1);
  Client& room = world.open_socket("/chat/a");
  for (int i = 0; i < 10; ++i) {
    tick(0, "x");
    ASSERT_TRUE(world.publish("room_a", "y"));
    world.settle();
  }
  EXPECT_EQ(room.frames_seen(), 10u);
}

// More than a log holds within one interval: nobody is lapped who reads, and publishers
// do not wait for the interval either.
TEST_F(Coalesced, AFullLogIsServedAtOnce) {
  std::vector<Client*> pages;
  for (int i = 0; i < 20; ++i) pages.push_back(&open_page(1));
  const Instant begin = world.now();
  for (int i = 0; i < 200; ++i) {
    tick(0, std::string(10'000, 'x'));
    world.settle();
  }
  ASSERT_TRUE(world.run_until([&] {
    return std::ranges::all_of(pages, [](const Client* page) { return page->frames_seen() == 200; });
  }));
  EXPECT_LE(world.now() - begin, 2 * kInterval);
  EXPECT_EQ(world.dropped_for(DropReason::lapped), 0u);
}

TEST_F(Coalesced, WhoLeavesMeanwhileIsForgotten) {
  Client& first = open_page(10);
  Client& second = open_page(10);
  tick(0, "x");
  world.settle();
  for (int i = 0; i < 10; ++i) tick(i, "y");
  world.settle();
  first.vanish();
  world.settle();
  world.advance(kInterval);
  EXPECT_EQ(second.frames_seen(), 11u);
  for (int i = 0; i < 10; ++i) tick(i, "z");
  world.settle();
  second.vanish();
  world.settle();
  world.advance(2 * kInterval);
  // Whoever comes into a slot whose last owner was served in this pass misses nothing.
  Client& third = open_page(1);
  tick(0, "1");
  tick(0, "2");
  world.advance(2 * kInterval);
  EXPECT_EQ(data_frames(third), (std::vector<std::string>{"1", "2"}));
}

}  // namespace
}  // namespace ringcast
