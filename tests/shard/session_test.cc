// The Action Cable conversation: what is answered, in which order, and when.
#include <gtest/gtest.h>

#include <set>

#include "tests/sim/world.h"

namespace ringcast {
namespace {

using sim::channel_identifier;
using sim::chat_room;
using sim::Client;
using sim::confirmation;
using sim::rejection;
using sim::World;

const std::string kWelcome = R"({"type":"welcome"})";

std::vector<std::string> behind_welcome(const Client& client) {
  auto texts = client.texts();
  EXPECT_FALSE(texts.empty());
  texts.erase(texts.begin());
  return texts;
}

size_t calls(World& world, std::string_view what) {
  const auto& all = world.scripts().calls;
  return static_cast<size_t>(
      std::count_if(all.begin(), all.end(), [&](const auto& call) { return call.starts_with(what); }));
}

TEST(Session, WelcomeSubprotocolSubscribeAndReceive) {
  World world({});
  Client& client = world.open_cable();
  EXPECT_NE(client.head().find("Sec-WebSocket-Protocol: actioncable-v1-json\r\n"), std::string::npos);
  const std::string room = chat_room("7");
  client.subscribe(room);
  world.settle();
  client.perform(room, R"({"action":"receive","message":1.10})");
  world.settle();
  EXPECT_EQ(behind_welcome(client),
            (std::vector<std::string>{confirmation(room), sim::cable_message(room, "1.10")}));
}

TEST(Session, ADuplicateSubscribeIsConfirmedAgain) {
  World world({});
  Client& client = world.open_cable();
  const std::string room = chat_room("7");
  client.subscribe(room);
  world.settle();
  client.subscribe(room);
  world.settle();
  EXPECT_EQ(client.count(confirmation(room)), 2u);
  EXPECT_EQ(calls(world, "subscribed"), 1u);
  ASSERT_TRUE(world.publish("chat_7", "1"));
  world.settle();
  EXPECT_EQ(client.count(sim::cable_message(room, "1")), 1u) << "and delivered once";
}

TEST(Session, SubscribesCoalesceWhilePending) {
  World world({.shards = 2});
  const std::string room = world.stream_at(1, "chat_").substr(5);
  Client& client = world.open_cable(0);
  for (int i = 0; i < 3; ++i) client.subscribe(chat_room(room));
  client.pump();
  for (int i = 0; i < 5; ++i) world.turn(0);
  client.pump();
  EXPECT_EQ(client.count(confirmation(chat_room(room))), 0u) << "confirmed before it was live";
  EXPECT_EQ(calls(world, "subscribed"), 1u);
  world.settle();
  EXPECT_EQ(client.count(confirmation(chat_room(room))), 1u);
}

TEST(Session, ChannelsComeAndGoInAnyOrder) {
  World world({});
  Client& client = world.open_cable();
  // The first, one in the middle, the last, and all of them in turn.
  const std::vector<std::vector<size_t>> leaving = {{0}, {2}, {4}, {0, 1, 2, 3, 4}, {4, 3, 2, 1, 0}};
  size_t heard = 0;
  for (const std::vector<size_t>& order : leaving) {
    std::set<size_t> there = {0, 1, 2, 3, 4};
    for (const size_t i : there) client.subscribe(chat_room(std::to_string(i)));
    world.settle();
    for (const size_t left : order) {
      client.unsubscribe(chat_room(std::to_string(left)));
      there.erase(left);
      for (size_t i = 0; i < 5; ++i) {
        client.perform(chat_room(std::to_string(i)), R"({"action":"receive","message":1})");
      }
      world.settle();
      heard += there.size();
      EXPECT_EQ(calls(world, "receive"), heard) << "of " << there.size() << " channels";
    }
    for (const size_t i : there) client.unsubscribe(chat_room(std::to_string(i)));
    world.settle();
    EXPECT_EQ(world.scripts().open_channels, 0);
  }
}

// Confirm only once live; and whatever is published once the client has read the confirm
// reaches it, whatever shards and whichever interleaving.
TEST(Session, NothingAfterTheConfirmIsMissed) {
  for (uint64_t seed = 0; seed < 200 && !testing::Test::HasFailure(); ++seed) {
    SCOPED_TRACE("seed " + std::to_string(seed));
    World world({.shards = static_cast<ShardIndex>(1 + seed % 3), .seed = seed});
    Client& client = world.open_cable(static_cast<ShardIndex>(seed % world.shards()));
    const std::string room = chat_room("r" + std::to_string(seed));
    const std::string stream = "chat_r" + std::to_string(seed);
    size_t published = 0, missable = 0;
    bool confirmed = false;
    client.on_frame = [&](const Client::Frame& frame) {
      if (frame.payload != confirmation(room)) return;
      confirmed = true;
      missable = published;
    };
    client.subscribe(room);
    for (int i = 0; i < 60 || !confirmed; ++i) {
      if (world.prng().chance(0.3)) {
        ASSERT_TRUE(world.publish(stream, std::to_string(published++)));
      }
      world.step();
    }
    ASSERT_TRUE(world.publish(stream, std::to_string(published++)));
    world.settle();
    std::vector<size_t> got;
    const std::string prefix = "{\"identifier\":";
    for (const std::string& text : client.texts()) {
      if (const size_t at = text.find("\"message\":"); at != std::string::npos && text.starts_with(prefix)) {
        got.push_back(std::stoul(text.substr(at + 10)));
      }
    }
    ASSERT_FALSE(got.empty());
    EXPECT_LE(got.front(), missable);
    for (size_t i = 0; i < got.size(); ++i) ASSERT_EQ(got[i], got.front() + i);
    EXPECT_EQ(got.back(), published - 1);
  }
}

TEST(Session, WhatSubscribedTransmitsComesBeforeTheConfirm) {
  World world({.shards = 2});
  const std::string stream = world.stream_at(1, "history");
  world.scripts().channels["HistoryChannel"] = {.subscribed = [&](SessionChannel& channel) {
    channel.transmit(Json("older"));
    EXPECT_TRUE(channel.stream_from(stream));
    channel.transmit(Json("newer"));
    return CallResult::ok;
  }};
  Client& client = world.open_cable(0);
  const std::string identifier = channel_identifier("HistoryChannel");
  client.subscribe(identifier);
  world.settle();
  EXPECT_EQ(behind_welcome(client), (std::vector<std::string>{sim::cable_message(identifier, "\"older\""),
                                                              sim::cable_message(identifier, "\"newer\""),
                                                              confirmation(identifier)}));
}

TEST(Session, AChannelWithoutStreamsIsConfirmedAtOnce) {
  World world({});
  world.scripts().channels["PlainChannel"] = {};
  Client& client = world.open_cable();
  client.subscribe(channel_identifier("PlainChannel"));
  world.settle();
  EXPECT_EQ(client.count(confirmation(channel_identifier("PlainChannel"))), 1u);
}

TEST(Session, UnknownChannelsAreRejected) {
  World world({});
  Client& client = world.open_cable();
  client.subscribe(channel_identifier("NoSuchChannel"));
  world.settle();
  EXPECT_EQ(client.count(rejection(channel_identifier("NoSuchChannel"))), 1u);
  EXPECT_EQ(calls(world, "subscribed"), 0u);
}

TEST(Session, RejectedByTheChannel) {
  World world({.shards = 2});
  const std::string stream = world.stream_at(1, "secret");
  world.scripts().channels["PrivateChannel"] = {.subscribed = [&](SessionChannel& channel) {
    EXPECT_TRUE(channel.stream_from(stream));
    channel.reject();
    return CallResult::ok;
  }};
  world.scripts().channels["BrokenChannel"] = {
      .subscribed = [](SessionChannel&) { return CallResult::failed; }};
  Client& client = world.open_cable(0);
  for (const char* name : {"PrivateChannel", "BrokenChannel"}) client.subscribe(channel_identifier(name));
  client.perform(channel_identifier("PrivateChannel"), R"({"action":"receive"})");
  world.settle();
  EXPECT_EQ(behind_welcome(client),
            (std::vector<std::string>{rejection(channel_identifier("PrivateChannel")),
                                      rejection(channel_identifier("BrokenChannel"))}));
  EXPECT_EQ(calls(world, "unsubscribed"), 2u);
  EXPECT_EQ(calls(world, "receive"), 0u);
  EXPECT_EQ(world.total(&Counters::streams), 0u);
  EXPECT_EQ(world.total(&Counters::callback_exceptions), 1u);
}

TEST(Session, OnlyCommandsForAPendingIdentifierWait) {
  World world({.shards = 2});
  const std::string far = chat_room(world.stream_at(1, "chat_").substr(5));
  const std::string near = chat_room(world.stream_at(0, "chat_").substr(5));
  Client& client = world.open_cable(0);
  client.subscribe(far);
  client.perform(far, R"({"action":"receive","message":1})");
  client.subscribe(near);
  client.perform(near, R"({"action":"receive","message":2})");
  client.pump();
  for (int i = 0; i < 6; ++i) world.turn(0);
  EXPECT_EQ(calls(world, "receive " + near), 1u);
  EXPECT_EQ(calls(world, "receive " + far), 0u);
  world.settle();
  EXPECT_EQ(calls(world, "receive " + far), 1u);
  // Confirmed, then its own message, for each.
  const auto texts = client.texts();
  const auto place = [&](const std::string& text) {
    return std::find(texts.begin(), texts.end(), text) - texts.begin();
  };
  EXPECT_LT(place(confirmation(near)), place(confirmation(far)));
  EXPECT_LT(place(confirmation(far)), place(sim::cable_message(far, "1")));
  EXPECT_LT(place(sim::cable_message(far, "1")), static_cast<ptrdiff_t>(texts.size()));
}

TEST(Session, UnsubscribeAndSubscribeWhilePendingKeepTheirOrder) {
  World world({.shards = 2});
  const std::string room = chat_room(world.stream_at(1, "chat_").substr(5));
  Client& client = world.open_cable(0);
  client.subscribe(room);
  client.unsubscribe(room);
  client.subscribe(room);
  client.perform(room, R"({"action":"receive","message":1})");
  client.unsubscribe(room);
  world.settle();
  EXPECT_EQ(client.count(confirmation(room)), 2u);
  std::vector<std::string> seen;
  for (const std::string& call : world.scripts().calls) seen.push_back(call.substr(0, call.find(' ')));
  EXPECT_EQ(seen, (std::vector<std::string>{"subscribed", "unsubscribed", "subscribed", "receive",
                                            "unsubscribed"}));
  EXPECT_EQ(world.total(&Counters::subscriptions), 0u);
  EXPECT_EQ(world.total(&Counters::streams), 0u);
}

TEST(Session, ManyPendingCommandsPauseReading) {
  Limits limits;
  limits.pending_commands = 8;
  World world({.shards = 2, .limits = limits});
  const std::string room = chat_room(world.stream_at(1, "chat_").substr(5));
  Client& client = world.open_cable(0);
  client.subscribe(room);
  for (int i = 0; i < 100; ++i)
    client.perform(room, R"({"action":"receive","message":)" + std::to_string(i) + "}");
  client.pump();
  for (int i = 0; i < 10; ++i) world.turn(0);
  EXPECT_LE(world.total(&Counters::commands), 10u);
  ASSERT_TRUE(world.run_until([&] { return client.texts().size() == 102; }));
  const auto texts = client.texts();
  for (int i = 0; i < 100; ++i)
    EXPECT_EQ(texts[static_cast<size_t>(i) + 2], sim::cable_message(room, std::to_string(i)));
}

TEST(Session, NothingIsBroadcastToItBehindTheUnsubscribe) {
  World world({});
  Client& client = world.open_cable();
  const std::string room = chat_room("7");
  client.subscribe(room);
  world.settle();
  client.unsubscribe(room);
  world.settle();
  ASSERT_TRUE(world.publish("chat_7", "1"));
  world.settle();
  EXPECT_EQ(client.texts().size(), 2u);
}

TEST(Session, PeriodicTimersRunWhileItIsSubscribed) {
  World world({.shards = 2});
  const std::string stream = world.stream_at(1, "clock");
  std::vector<uint32_t> ticks;
  world.scripts().channels["ClockChannel"] = {.subscribed =
                                                  [&](SessionChannel& channel) {
                                                    channel.periodically(seconds(1), 3);
                                                    return channel.stream_from(stream) ? CallResult::ok
                                                                                       : CallResult::failed;
                                                  },
                                              .timer =
                                                  [&](SessionChannel& channel, uint32_t index) {
                                                    ticks.push_back(index);
                                                    channel.transmit(Json(static_cast<int>(ticks.size())));
                                                    return CallResult::ok;
                                                  }};
  Client& client = world.open_cable(0);
  const std::string identifier = channel_identifier("ClockChannel");
  client.subscribe(identifier);
  world.advance(milliseconds(5500));
  EXPECT_EQ(ticks, (std::vector<uint32_t>{3, 3, 3, 3, 3}));
  EXPECT_EQ(client.count(sim::cable_message(identifier, "5")), 1u);
  client.unsubscribe(identifier);
  world.advance(seconds(5));
  EXPECT_EQ(ticks.size(), 5u);
}

// A callback before the confirmation would run in the middle of the subscribe; and one
// that stops the stream it waits for must not leave it waiting for ever.
TEST(Session, PeriodicTimersWaitForTheConfirmation) {
  World world({.shards = 2});
  const std::string stream = world.stream_at(1, "clock");
  int ticks = 0;
  world.scripts().channels["ClockChannel"] = {.subscribed =
                                                  [&](SessionChannel& channel) {
                                                    channel.periodically(milliseconds(10), 0);
                                                    return channel.stream_from(stream) ? CallResult::ok
                                                                                       : CallResult::failed;
                                                  },
                                              .timer =
                                                  [&](SessionChannel& channel, uint32_t) {
                                                    ++ticks;
                                                    channel.stop_all_streams();
                                                    return CallResult::ok;
                                                  }};
  Client& client = world.open_cable(0);
  client.subscribe(channel_identifier("ClockChannel"));
  client.pump();
  for (int i = 0; i < 20; ++i) {
    world.turn(0);
    world.network().advance_to(world.now() + milliseconds(10));
  }
  EXPECT_EQ(ticks, 0);
  world.advance(seconds(1));
  EXPECT_EQ(client.count(confirmation(channel_identifier("ClockChannel"))), 1u);
  EXPECT_GT(ticks, 0);
}

TEST(Session, PingsComeEveryThreeSecondsWhileAStreamIsStalled) {
  World world({});
  Client& prompt = world.open_cable();
  Client& slow = world.open_cable();
  slow.subscribe(chat_room("7"));
  world.settle();
  slow.reading = false;
  for (int i = 0; i < 8; ++i) ASSERT_TRUE(world.publish("chat_7", "\"" + std::string(20'000, 'x') + "\""));
  world.advance(seconds(1));
  const size_t before = prompt.pings();
  world.advance(seconds(24));
  EXPECT_NEAR(static_cast<double>(prompt.pings() - before), 8, 1);
  // Never a second ping behind one that has not left, and it jumps the queue.
  EXPECT_EQ(slow.pings(), 0u);
  const uint64_t queued = world.total(&Counters::pings);
  EXPECT_LE(queued, prompt.pings() + 2);
  slow.reading = true;
  slow.read_bytes = 1000;
  ASSERT_TRUE(world.run_until([&] { return slow.pings() == 1; }, seconds(1)));
  EXPECT_LT(slow.count(""), 8u);
  size_t messages_before_ping = 0;
  for (const auto& frame : slow.frames()) {
    if (frame.payload.starts_with("{\"type\":\"ping\"")) break;
    ++messages_before_ping;
  }
  EXPECT_LT(messages_before_ping, 8u) << "the ping came behind the whole stream";
  slow.read_bytes = SIZE_MAX;
  world.settle();
  EXPECT_EQ(slow.pings(), 1u);
}

TEST(Session, Unauthorized) {
  World world({});
  world.scripts().connect = [](Session& session, const Exchange&) {
    session.reject_unauthorized();
    return CallResult::ok;
  };
  Client& client = world.connect();
  client.upgrade("/cable");
  client.subscribe(chat_room("7"));
  ASSERT_TRUE(world.run_until([&] { return client.ended(); }));
  world.settle();
  EXPECT_EQ(client.texts(),
            (std::vector<std::string>{R"({"type":"disconnect","reason":"unauthorized","reconnect":false})"}));
  EXPECT_TRUE(world.run_until([&] { return world.ended_by(EndReason::unauthorized) == 1u; }));
  EXPECT_EQ(calls(world, "disconnect"), 0u);
  EXPECT_EQ(calls(world, "subscribed"), 0u);
}

// Not before its deadline and at once after it, however far the deadline was.
TEST(Session, AConnectionEndsWhenItsCredentialExpires) {
  for (const Duration life : {Duration(milliseconds(1)), Duration(seconds(90)), Duration(seconds(7'200))}) {
    World world({});
    world.scripts().connect = [life](Session& session, const Exchange& exchange) {
      session.expire_at(exchange.shard.unix_ms() + std::chrono::duration_cast<milliseconds>(life).count());
      return CallResult::ok;
    };
    Client& client = world.open_cable();
    client.subscribe(chat_room("7"));
    const std::string expired = R"({"type":"disconnect","reason":"token_expired","reconnect":true})";
    if (life > seconds(1)) {
      world.advance(life - seconds(1));
      EXPECT_EQ(client.count(expired), 0u);
      EXPECT_TRUE(client.open());
    }
    world.advance(seconds(2));
    EXPECT_EQ(client.count(expired), 1u);
    EXPECT_EQ(client.close_code(), 1000u);
    EXPECT_EQ(calls(world, "disconnect"), 1u);
    EXPECT_TRUE(world.run_until([&] { return world.ended_by(EndReason::unauthorized) == 1u; }));
  }
}

TEST(Session, ACredentialMayOutliveTheClock) {
  World world({});
  world.scripts().connect = [](Session& session, const Exchange&) {
    session.expire_at(INT64_MAX);
    return CallResult::ok;
  };
  Client& client = world.open_cable();
  world.advance(seconds(3600));
  EXPECT_TRUE(client.open());
  EXPECT_FALSE(client.close_code());
}

// Ids of models count as Rails writes them, not as a person reads them.
TEST(Session, TheConnectionIsKnownByWhatItsIdentifiersContribute) {
  World world({});
  std::string known;
  world.scripts().connect = [&](Session& session, const Exchange&) {
    session.identify("current_user", "gid://app/User/1", "Z2lkOi8vYXBwL1VzZXIvMQ");
    session.identify("tenant", "7", "7");
    EXPECT_EQ(session.identified("current_user"), "gid://app/User/1");
    known = session.connection_identifier();
    return CallResult::ok;
  };
  world.open_cable();
  EXPECT_EQ(known, "7:Z2lkOi8vYXBwL1VzZXIvMQ");
}

TEST(Session, WhoeverItIsCanBeDisconnectedOnEveryShard) {
  World world({.shards = 3});
  std::string who = "7";
  world.scripts().connect = [&](Session& session, const Exchange&) {
    if (!who.empty()) session.identify("user", who, who);
    return CallResult::ok;
  };
  const auto published = [&](std::string_view channel, std::string_view message) {
    ASSERT_TRUE(world.publish(channel, message));
    world.settle();
  };
  std::vector<Client*> theirs, others;
  for (ShardIndex shard = 0; shard < 3; ++shard) {
    for (int i = 0; i < 3; ++i) theirs.push_back(&world.open_cable(shard));
  }
  for (const char* name : {"70", ""}) {
    who = name;
    others.push_back(&world.open_cable(1));
  }
  EXPECT_EQ(world.context().identities.size(), 2u);
  // Two that have left, first and last of their list, are not looked for.
  theirs.back()->vanish();
  theirs.front()->vanish();
  theirs.pop_back();
  theirs.erase(theirs.begin());
  world.settle();

  published("action_cable/7", R"({"type":"unknown","reconnect":true})");
  published("action_cable/", R"({"type":"disconnect"})");
  published("action_cable", R"({"type":"disconnect"})");
  for (const Client* client : theirs) EXPECT_FALSE(client->close_code());
  EXPECT_EQ(world.total(&Counters::remote_disconnects), 1u) << "of nobody";

  published("action_cable/7", R"({"type":"disconnect","reconnect":false})");
  for (Client* client : theirs) {
    EXPECT_EQ(client->texts().back(), R"({"type":"disconnect","reason":"remote","reconnect":false})");
    EXPECT_EQ(client->close_code(), 1000u);
  }
  for (const Client* client : others) EXPECT_FALSE(client->close_code());
  EXPECT_TRUE(world.run_until([&] { return world.ended_by(EndReason::remote) == theirs.size(); }));
  EXPECT_EQ(world.context().identities.size(), 1u);
}

// What the excluded one had not been sent yet still comes, before and behind the message.
TEST(Session, AMessageIsKeptFromTheSocketItNames) {
  World world({.shards = 2});
  world.context().socket_seed = 1;
  std::vector<std::string> sids;
  world.scripts().connect = [&](Session& session, const Exchange&) {
    sids.push_back(session.socket_id());
    return CallResult::ok;
  };
  std::vector<Client*> clients;
  for (const ShardIndex shard : {0, 1, 1}) {
    Client& client = world.connect(shard);
    client.upgrade("/cable");
    ASSERT_TRUE(world.run_until([&] { return !client.texts().empty(); }));
    EXPECT_EQ(client.texts().front(), R"({"type":"welcome","sid":")" + sids.back() + "\"}");
    client.subscribe(chat_room("7"));
    client.subscribe(R"({"channel":"ChatChannel", "room_id":"7"})");  // the same stream once more
    clients.push_back(&client);
  }
  world.settle();
  const auto say = [&](const std::string& text, std::string_view excluded) {
    MessageRef message =
        Message::create("chat_7", hash64("chat_7"), PayloadKind::text, as_bytes(text), nullptr);
    if (const auto socket = world.context().named_socket(excluded)) message->exclude(*socket);
    ASSERT_TRUE(world.shard(world.home_of("chat_7")).publish_from_outside(std::move(message)));
    world.settle();
  };
  const auto heard = [&](size_t who, const std::string& text) {
    return clients[who]->count(sim::cable_message(chat_room("7"), text));
  };
  clients[1]->reading = false;
  const std::string big = "\"" + std::string(200'000, 'x') + "\"";
  say(big, {});
  say("1", sids[1]);
  say("2", {});
  say("3", sids[0]);
  say("4", sids[1]);
  say("5", "0123456789abcdef0123456789abcdef");  // somebody's elsewhere
  clients[1]->reading = true;
  world.settle();
  const auto whole = [&](size_t who) {
    std::string seen;
    for (const char* text : {"1", "2", "3", "4", "5"}) seen.append(heard(who, text), *text);
    return seen;
  };
  EXPECT_EQ(whole(0), "1245");
  EXPECT_EQ(whole(1), "235");
  EXPECT_EQ(whole(2), "12345");
  std::string order;
  for (const std::string& text : clients[1]->texts()) {
    if (!text.starts_with(R"({"identifier":"{\"channel\":\"ChatChannel\",\"room_id\")")) continue;
    if (text.find("\"message\":") != text.npos) order += text.size() > 100'000 ? 'B' : text[text.size() - 2];
  }
  EXPECT_EQ(order, "B235");
  // Of the other subscription of the same connection likewise.
  EXPECT_EQ(clients[1]->texts().size(), 1u + 2 + 2 * 4);
}

TEST(Session, DisconnectIsToldOnceBehindEveryUnsubscribed) {
  World world({});
  Client& client = world.open_cable();
  for (const char* room : {"1", "2", "3"}) client.subscribe(chat_room(room));
  world.settle();
  client.vanish();
  world.settle();
  EXPECT_EQ(calls(world, "unsubscribed"), 3u);
  EXPECT_EQ(calls(world, "disconnect"), 1u);
  EXPECT_TRUE(world.scripts().calls.back().starts_with("disconnect"));
}

TEST(Session, MeaninglessCommandsHaveABudget) {
  Limits limits;
  limits.error_budget = 5;
  World world({.limits = limits});
  Client& client = world.open_cable();
  const std::string room = chat_room("7");
  client.subscribe(room);
  for (const char* text : {"not json", "{}", R"({"command":"dance"})"}) client.send_frame(Opcode::text, text);
  client.unsubscribe(chat_room("8"));
  client.perform(room, R"({"action":"subscribed"})");
  world.settle();
  EXPECT_FALSE(client.close_code().has_value());
  EXPECT_EQ(world.dropped_for(DropReason::command_ignored), 5u);
  client.send_frame(Opcode::binary, "x");
  ASSERT_TRUE(world.run_until([&] { return client.ended(); }));
  world.settle();
  EXPECT_EQ(client.close_code(), 1008u);
}

TEST(Session, LimitsReject) {
  Limits limits;
  limits.subscriptions_per_connection = 3;
  limits.identifier_bytes = 200;
  World world({.limits = limits});
  Client& client = world.open_cable();
  for (int i = 0; i < 4; ++i) client.subscribe(chat_room(std::to_string(i)));
  const std::string long_one = chat_room(std::string(300, 'x'));
  client.unsubscribe(chat_room("0"));
  client.subscribe(long_one);
  world.settle();
  EXPECT_EQ(client.count(rejection(chat_room("3"))), 1u);
  EXPECT_EQ(client.count(rejection(long_one)), 1u);
  EXPECT_EQ(world.total(&Counters::subscriptions), 2u);
}

TEST(Session, CommandsPerSecond) {
  Limits limits;
  limits.commands_per_second = 10;
  World world({.limits = limits});
  world.scripts().channels["PlainChannel"] = {};
  Client& client = world.open_cable();
  for (int second = 0; second < 3; ++second) {
    for (int i = 0; i < 10; ++i) client.subscribe(channel_identifier("PlainChannel"));
    world.advance(seconds(2));
  }
  EXPECT_FALSE(client.close_code().has_value());
  for (int i = 0; i < 11; ++i) client.subscribe(channel_identifier("PlainChannel"));
  ASSERT_TRUE(world.run_until([&] { return client.ended(); }));
  world.settle();
  EXPECT_EQ(client.close_code(), 1008u);
}

// Fifty subscriptions of one connection to streams of other shards: one round trip.
TEST(Session, ManySubscriptionsWaitTogether) {
  World world({.shards = 3});
  Client& client = world.open_cable(0);
  for (int i = 0; i < 50; ++i) client.subscribe(chat_room(std::to_string(i)));
  world.settle();
  for (int i = 0; i < 50; ++i) ASSERT_EQ(client.count(confirmation(chat_room(std::to_string(i)))), 1u) << i;
  for (int i = 0; i < 50; ++i) ASSERT_TRUE(world.publish("chat_" + std::to_string(i), std::to_string(i)));
  world.settle();
  for (int i = 0; i < 50; ++i) {
    EXPECT_EQ(client.count(sim::cable_message(chat_room(std::to_string(i)), std::to_string(i))), 1u) << i;
  }
}

// What params() gave a callback is still there in the others of its turn, and few are kept longer.
TEST(Session, ParamsAreGoodUntilTheTurnEnds) {
  constexpr size_t kMany = 3 * ChannelIdentifierTable::kDecodedMax;
  World world({});
  uint64_t turn = 0;
  size_t most = 0, ticks = 0;
  std::vector<std::pair<const Json*, std::string>> lent;  // in this turn
  const auto look = [&](SessionChannel& channel) {
    Shard& shard = channel.session().shard();
    if (std::exchange(turn, shard.counters().turns.value()) != turn) {
      EXPECT_LE(shard.identifiers().decoded(), ChannelIdentifierTable::kDecodedMax + 1);
      lent.clear();
    }
    lent.emplace_back(&channel.params(), std::string(channel.identifier()));
    EXPECT_EQ(lent.front().first->dump(), lent.front().second);
    most = std::max(most, lent.size());
    return CallResult::ok;
  };
  world.scripts().channels["ClockChannel"] = {.subscribed =
                                                  [&](SessionChannel& channel) {
                                                    channel.periodically(seconds(1), 0);
                                                    return look(channel);
                                                  },
                                              .timer =
                                                  [&](SessionChannel& channel, uint32_t) {
                                                    ++ticks;
                                                    return look(channel);
                                                  }};
  std::vector<Client*> clients;
  for (size_t i = 0; i < kMany; ++i) {
    clients.push_back(&world.open_cable(0));
    clients.back()->subscribe(Json{{"channel", "ClockChannel"}, {"symbol", i}}.dump());
  }
  world.advance(milliseconds(2500));
  EXPECT_EQ(ticks, 2 * kMany);
  EXPECT_GT(most, ChannelIdentifierTable::kDecodedMax);
  EXPECT_LE(world.shard(0).identifiers().decoded(), ChannelIdentifierTable::kDecodedMax);
}

}  // namespace
}  // namespace ringcast
