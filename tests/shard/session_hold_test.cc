// A session on hold: somebody outside has been asked, and until they answer commands wait in
// their order.
#include <gtest/gtest.h>

#include "shard/session.h"
#include "tests/sim/world.h"

namespace ringcast {
namespace {

using sim::channel_identifier;
using sim::chat_room;
using sim::Client;
using sim::confirmation;
using sim::rejection;
using sim::World;

const std::string kAsking = channel_identifier("AskingChannel");

// A server whose AskingChannel asks about subscribes and actions; the test answers.
struct Asked {
  explicit Asked(World& world) : world(world) {
    world.scripts().channels["AskingChannel"] = {
        .subscribed =
            [this](SessionChannel& asking) {
              channel = &asking;
              session = &asking.session();
              questions.push_back("subscribe");
              asking.ask();
              return CallResult::ok;
            },
        .perform =
            [this](SessionChannel& asking, std::string_view action, const Json&, CallResult&) {
              session = &asking.session();
              questions.push_back(std::string(action));
              session->hold();
              return true;
            }};
  }

  // As the shard would be told by mail.
  void answer(const std::function<void()>& apply) {
    world.post(0, [this, apply](Shard&) {
      apply();
      if (session->held()) session->release();
    });
    world.settle();
  }
  void accept(std::vector<std::string> messages = {}) {
    answer([&] { channel->accept(std::move(messages)); });
  }

  World& world;
  SessionChannel* channel = nullptr;
  Session* session = nullptr;
  std::vector<std::string> questions;
};

std::string action(std::string_view name) {
  return R"({"action":")" + std::string(name) + R"("})";
}

TEST(SessionHold, CommandsWaitInTheirOrder) {
  World world({});
  Asked asked(world);
  Client& client = world.open_cable();
  client.subscribe(kAsking);
  for (const char* name : {"a", "b", "c"}) client.perform(kAsking, action(name));
  client.subscribe(chat_room("1"));
  world.settle();
  EXPECT_EQ(asked.questions, (std::vector<std::string>{"subscribe"}));
  EXPECT_EQ(client.count(confirmation(chat_room("1"))), 0u) << "everything waits, whatever it is for";
  asked.accept();
  EXPECT_EQ(client.count(confirmation(kAsking)), 1u);
  for (int i = 0; i < 3; ++i) asked.answer([] {});
  EXPECT_EQ(asked.questions, (std::vector<std::string>{"subscribe", "a", "b", "c"}));
  EXPECT_EQ(client.count(confirmation(chat_room("1"))), 1u);
  world.finish();
}

TEST(SessionHold, TheApplicationsOwnMessagesTakeTheConfirmationsPlaceOnceLive) {
  World world({.shards = 2});
  Asked asked(world);
  const std::string stream = world.stream_at(1, "far");
  Client& client = world.open_cable(0);
  client.subscribe(kAsking);
  world.settle();
  world.post(0, [&](Shard&) {
    EXPECT_TRUE(asked.channel->stream_from(stream));
    asked.channel->accept({"\"first\"", confirmation(kAsking)});
    asked.session->release();
  });
  world.turn(0);
  client.pump();
  EXPECT_EQ(client.count(confirmation(kAsking)), 0u) << "its home has not heard of it";
  world.settle();
  const auto texts = client.texts();
  ASSERT_EQ(texts.size(), 3u);
  EXPECT_EQ(texts[1], "\"first\"");
  EXPECT_EQ(texts[2], confirmation(kAsking));
  client.subscribe(kAsking);  // a client that asks again gets ours
  world.settle();
  EXPECT_EQ(client.count(confirmation(kAsking)), 2u);
  EXPECT_EQ(asked.questions.size(), 1u);
  world.finish();
}

TEST(SessionHold, AskingAgainMeanwhileIsAnsweredOnce) {
  World world({});
  Asked asked(world);
  Client& client = world.open_cable();
  for (int i = 0; i < 4; ++i) client.subscribe(kAsking);
  world.settle();
  asked.accept();
  EXPECT_EQ(client.count(confirmation(kAsking)), 1u);
  EXPECT_EQ(asked.questions.size(), 1u);

  client.perform(kAsking, action("slow"));
  client.unsubscribe(kAsking);
  for (int i = 0; i < 3; ++i) client.subscribe(kAsking);
  world.settle();
  asked.answer([] {});
  EXPECT_EQ(asked.questions, (std::vector<std::string>{"subscribe", "slow", "subscribe"}));
  asked.accept();
  EXPECT_EQ(client.count(confirmation(kAsking)), 2u);
  world.finish();
}

TEST(SessionHold, RefusedWithOurWordsOrTheirs) {
  World world({});
  Asked asked(world);
  Client& client = world.open_cable();
  client.subscribe(kAsking);
  world.settle();
  asked.answer([&] { asked.channel->refuse({}); });
  EXPECT_EQ(client.count(rejection(kAsking)), 1u);
  client.subscribe(kAsking);
  world.settle();
  const std::string theirs[] = {"\"no\"", rejection(kAsking)};
  asked.answer([&] { asked.channel->refuse(theirs); });
  EXPECT_EQ(client.count("\"no\""), 1u);
  EXPECT_EQ(client.count(rejection(kAsking)), 2u);
  EXPECT_EQ(world.total(&Counters::rejects), 2u);
  world.finish();
}

TEST(SessionHold, ManyWaitingCommandsPauseReading) {
  Limits limits;
  limits.pending_commands = 8;
  World world({.limits = limits});
  Asked asked(world);
  Client& client = world.open_cable();
  client.subscribe(kAsking);
  for (int i = 0; i < 100; ++i) client.perform(kAsking, action("a" + std::to_string(i)));
  world.settle();
  EXPECT_LE(world.total(&Counters::commands), 10u);
  asked.accept();
  for (int i = 0; i < 100; ++i) asked.answer([] {});
  ASSERT_EQ(asked.questions.size(), 101u);
  for (size_t i = 0; i < 100; ++i) EXPECT_EQ(asked.questions[i + 1], "a" + std::to_string(i));
  world.finish();
}

TEST(SessionHold, LargeWaitingCommandsPauseReadingByTheirBytes) {
  Limits limits;
  limits.outbox_bytes = 10'000;
  World world({.limits = limits});
  Asked asked(world);
  Client& client = world.open_cable();
  client.subscribe(kAsking);
  const std::string large = R"({"action":"a","x":")" + std::string(4000, 'x') + R"("})";
  for (int i = 0; i < 50; ++i) client.perform(kAsking, large);
  world.settle();
  EXPECT_LE(world.total(&Counters::commands), 6u);
  asked.accept();
  for (int i = 0; i < 50; ++i) asked.answer([] {});
  EXPECT_EQ(asked.questions.size(), 51u);
  world.finish();
}

// --- connect() ------------------------------------------------------------------------

// A server that decides later who may come in.
struct AskedAtConnect {
  explicit AskedAtConnect(World& world) : world(world) {
    world.scripts().connect = [this](Session& asking, const Exchange&) {
      session = &asking;
      session->hold();
      return CallResult::ok;
    };
  }
  void answer(const std::function<void()>& apply) {
    world.post(0, [this, apply](Shard&) {
      apply();
      if (session->held()) session->release();
    });
    world.settle();
  }

  World& world;
  Session* session = nullptr;
};

TEST(SessionHold, NothingComesBeforeTheWelcome) {
  World world({});
  AskedAtConnect asked(world);
  Client& client = world.connect();
  client.upgrade("/cable", "Sec-WebSocket-Protocol: actioncable-v1-json\r\n");
  world.settle();
  ASSERT_TRUE(client.upgraded());
  client.subscribe(chat_room("1"));
  world.advance(seconds(7));
  EXPECT_EQ(client.texts().size(), 0u);
  EXPECT_EQ(client.pings(), 0u);
  const std::string theirs[] = {R"({"type":"welcome","sid":"x"})"};
  asked.answer([&] { asked.session->welcome(theirs); });
  EXPECT_EQ(client.texts(), (std::vector<std::string>{theirs[0], confirmation(chat_room("1"))}));
  world.advance(seconds(7));
  EXPECT_GE(client.pings(), 2u);
  world.finish();
}

TEST(SessionHold, TurnedAwayWithOurWordsOrTheirs) {
  World world({});
  AskedAtConnect asked(world);
  for (const std::string& theirs : {std::string(), std::string(R"({"type":"disconnect","reason":"x"})")}) {
    Client& client = world.connect();
    client.upgrade("/cable", "Sec-WebSocket-Protocol: actioncable-v1-json\r\n");
    world.settle();
    client.subscribe(chat_room("1"));
    const std::vector<std::string> messages(theirs.empty() ? 0 : 1, theirs);
    asked.answer([&] { asked.session->turn_away(messages); });
    const std::string ours = R"({"type":"disconnect","reason":"unauthorized","reconnect":false})";
    EXPECT_EQ(client.texts(), (std::vector<std::string>{theirs.empty() ? ours : theirs}));
    EXPECT_EQ(client.close_code(), 1000u);
  }
  EXPECT_EQ(world.ended_by(EndReason::unauthorized), 2u);
  EXPECT_TRUE(world.scripts().calls.empty()) << "disconnect() is for those who were welcomed";
  world.finish();
}

TEST(SessionHold, AnAnswerThatNeverComesEndsTheHandshake) {
  World world({});
  AskedAtConnect asked(world);
  Client& client = world.connect();
  client.upgrade("/cable", "Sec-WebSocket-Protocol: actioncable-v1-json\r\n");
  world.settle();
  world.advance(seconds(11));
  EXPECT_EQ(client.texts(),
            (std::vector<std::string>{R"({"type":"disconnect","reason":null,"reconnect":true})"}));
  EXPECT_EQ(world.ended_by(EndReason::handshake_timeout), 1u);
  world.finish();
}

TEST(SessionHold, WhoeverLeavesMeanwhileLeavesNothing) {
  World world({});
  Asked asked(world);
  Client& client = world.open_cable();
  client.subscribe(kAsking);
  for (int i = 0; i < 5; ++i) client.perform(kAsking, action("a"));
  world.settle();
  client.vanish();
  world.settle();
  EXPECT_EQ(asked.questions.size(), 1u);
  world.finish();
}

}  // namespace
}  // namespace ringcast
