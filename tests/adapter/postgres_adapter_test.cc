// The PostgreSQL adapter against a real PostgreSQL: what is delivered and in which order,
// and what becomes of it when backends are terminated or hang and the server dies.
#include "adapter/postgres_adapter.h"

#include <gtest/gtest.h>

#include <thread>

#include "adapter/hanging_look_up.h"
#include "adapter/logged_lines.h"
#include "adapter/postgres_exclusion.h"
#include "adapter/postgres_server.h"
#include "adapter/recording_sink.h"

namespace ringcast {
namespace {

using Received = RecordingSink::Received;

class PostgresAdapterTest : public testing::Test {
 protected:
  static void SetUpTestSuite() { shared_ = new PostgresServer; }
  static void TearDownTestSuite() {
    delete shared_;
    shared_ = nullptr;
  }

  // Where silence is not what is tried, it is a busy machine.
  PostgresOptions options() {
    return {.url = server().url(),
            .connect_timeout = seconds(600),
            .reply_timeout = seconds(600),
            .canary_timeout = seconds(600)};
  }
  PostgresServer& server() { return *shared_; }

  std::unique_ptr<Adapter> start(const PostgresOptions& options, AdapterSink& sink) {
    std::string error;
    std::unique_ptr<Adapter> adapter = make_postgres_adapter(options, lines_.logger(), &error);
    EXPECT_NE(adapter, nullptr) << error;
    if (adapter != nullptr) adapter->start(sink);
    return adapter;
  }

  LoggedLines lines_;
  static PostgresServer* shared_;  // initdb takes seconds; every test leaves it running
};
PostgresServer* PostgresAdapterTest::shared_ = nullptr;

std::vector<std::string> numbers(size_t from, size_t to) {
  std::vector<std::string> texts;
  for (size_t i = from; i < to; ++i) texts.push_back(std::to_string(i));
  return texts;
}

TEST_F(PostgresAdapterTest, DeliversWhatAnybodyPublishesAfterTheAcknowledgement) {
  RecordingSink sink;
  const auto adapter = start(options(), sink);
  adapter->subscribe(R"(we"ird 'name)");
  ASSERT_TRUE(sink.await_subscribed(R"(we"ird 'name)"));
  server().text(R"(NOTIFY "we""ird 'name", '{"bid":1.10}')");
  ASSERT_TRUE(sink.await_received(1) && sink.await_up());
  const std::string text = R"(["O'Brien \\ \u20ac €"])";
  ASSERT_EQ(adapter->publish(make_message(R"(we"ird 'name)", text)), PublishStatus::ok);
  ASSERT_EQ(adapter->publish(make_message("nobody's", "1")), PublishStatus::ok);
  ASSERT_TRUE(sink.await_received(2));
  EXPECT_EQ(sink.payloads(), (std::vector<std::string>{R"({"bid":1.10})", text}));
  EXPECT_TRUE(await_state(*adapter, [](const AdapterState& state) {
    return state.published == 2 && state.received == 2 && state.queued_messages == 0 && state.canary_us > 0;
  }));
}

TEST_F(PostgresAdapterTest, HashesNamesOfMoreThan63BytesAsRailsDoes) {
  RecordingSink sink;
  PostgresOptions prefixed = options();
  prefixed.names.prefix = "app";
  const auto adapter = start(prefixed, sink);
  const std::string raw(59, 'b'), hashed(60, 'b'),
      wide = "ä" + std::string(58, 'b');  // 63, 64, 64 with the prefix
  for (const std::string& name : {raw, hashed, wide, std::string("room_1")}) {
    adapter->subscribe(name);
    ASSERT_TRUE(sink.await_subscribed(name));
  }
  server().text("SELECT pg_notify('app:" + raw + "', '1')");
  server().text("SELECT pg_notify(encode(sha224('x'), 'hex'), 'nobody''s')");
  ASSERT_EQ(postgres_channel("app:" + hashed).size(), 40u);
  server().text("SELECT pg_notify('" + postgres_channel("app:" + hashed) + "', '2')");
  server().text("SELECT pg_notify('" + postgres_channel("app:" + wide) + "', '3')");
  server().text("SELECT pg_notify('room_1', '4')");
  ASSERT_EQ(adapter->publish(make_message(hashed, "5")), PublishStatus::ok);
  ASSERT_TRUE(sink.await_received(5));
  EXPECT_EQ(sink.all_received(),
            (std::vector<Received>{
                {raw, "1", ""}, {hashed, "2", ""}, {wide, "3", ""}, {"room_1", "4", ""}, {hashed, "5", ""}}));
}

TEST_F(PostgresAdapterTest, DeliversEqualPayloadsAsOftenAsTheyWerePublished) {
  RecordingSink sink;
  const auto adapter = start(options(), sink);
  adapter->subscribe("ticks");
  ASSERT_TRUE(sink.await_subscribed("ticks"));
  std::vector<std::string> ticks;
  for (int i = 0; i < 1000; ++i) ticks.push_back(i % 3 == 0 ? "2" : "1");
  for (const std::string& tick : ticks) {
    ASSERT_EQ(adapter->publish(make_message("ticks", tick)), PublishStatus::ok);
  }
  ASSERT_TRUE(sink.await_received(ticks.size()));
  EXPECT_EQ(sink.payloads(), ticks);
}

TEST_F(PostgresAdapterTest, SaysWhatPostgresqlCannotCarry) {
  RecordingSink sink;
  const auto adapter = start(options(), sink);
  adapter->subscribe("s");
  ASSERT_TRUE(sink.await_subscribed("s"));
  const std::string longest(7999, 'x');
  EXPECT_EQ(adapter->publish(make_message("s", longest + "x")), PublishStatus::too_large);
  EXPECT_EQ(adapter->publish(make_message("s", std::string("a\0b", 3))), PublishStatus::invalid);
  ASSERT_EQ(adapter->publish(make_message("s", "\xff")), PublishStatus::ok);
  ASSERT_EQ(adapter->publish(make_message("s", longest)), PublishStatus::ok);
  ASSERT_TRUE(sink.await_received(1));
  EXPECT_EQ(sink.payloads().front(), longest);
  EXPECT_EQ(adapter->state().publish_refused, 1u);
  EXPECT_TRUE(lines_.await({"adapter_publish_refused", "stream=s", "invalid byte sequence"}));
}

TEST_F(PostgresAdapterTest, SaysWhomAMessageLeavesOutAndToRailsOnlyTheMessage) {
  RecordingSink sink, deaf_sink;
  PostgresOptions with_ids = options();
  with_ids.names.prefix = "app";
  const auto without_ids = start(with_ids, deaf_sink);
  with_ids.socket_ids = true;
  const auto adapter = start(with_ids, sink);
  const std::string long_name(70, 'x');
  for (const std::string& stream : {std::string("a"), long_name}) {
    adapter->subscribe(stream);
    without_ids->subscribe(stream);
    ASSERT_TRUE(sink.await_subscribed(stream) && deaf_sink.await_subscribed(stream));
  }
  server().text(R"(LISTEN "app:a")");
  const auto publish = [&](const std::string& stream, const std::string& payload, uint64_t socket) {
    const MessageRef message = make_message(stream, payload);
    if (socket != 0) message->exclude({.place = 1, .secret = socket});
    ASSERT_EQ(adapter->publish(message), PublishStatus::ok);
  };
  const std::string longest(7999, 'x');
  publish("a", "1", 0);
  publish("a", "1.10", 7);
  publish("nobody's", "0", 8);
  publish("a", "1.10", 0);
  publish(long_name, longest, 9);
  publish("a", "2", 10);
  ASSERT_TRUE(sink.await_received(5) && deaf_sink.await_received(5));
  EXPECT_EQ(sink.all_received(), (std::vector<Received>{{"a", "1", ""},
                                                        {"a", "1.10", "socket-7"},
                                                        {"a", "1.10", ""},
                                                        {long_name, longest, "socket-9"},
                                                        {"a", "2", "socket-10"}}));
  EXPECT_EQ(deaf_sink.payloads(), sink.payloads());
  EXPECT_EQ(server().heard(), (std::vector<std::string>{"1", "1.10", "1.10", "2"}));
}

TEST_F(PostgresAdapterTest, AnExclusionIsOnlyForTheMessageRightBehindIt) {
  RecordingSink sink;
  PostgresOptions with_ids = options();
  with_ids.socket_ids = true;
  const auto adapter = start(with_ids, sink);
  adapter->subscribe("a");
  ASSERT_TRUE(sink.await_subscribed("a"));
  const auto exclusion = [](std::string_view payload) {
    return "NOTIFY " + std::string(kPostgresExclusionChannel) + ", '" +
           PostgresExclusion::of("x", "a", payload).to_string() + "'; ";
  };
  server().text(exclusion("1") + "NOTIFY a, '1'");
  server().text(exclusion("2"));  // of a message that was not for us yet
  server().text("NOTIFY a, '3'");
  server().text(exclusion("4"));
  server().text("NOTIFY other, '4'; NOTIFY a, '4.0'; NOTIFY a, '4'");
  server().text("NOTIFY " + std::string(kPostgresExclusionChannel) + ", 'nonsense'; NOTIFY a, '5'");
  ASSERT_TRUE(sink.await_received(5));
  EXPECT_EQ(sink.all_received(),
            (std::vector<Received>{
                {"a", "1", "x"}, {"a", "3", ""}, {"a", "4.0", ""}, {"a", "4", ""}, {"a", "5", ""}}));
  // Nobody's coming and going ends it for the others.
  adapter->subscribe(kPostgresExclusionChannel);
  adapter->unsubscribe(kPostgresExclusionChannel);
  adapter->subscribe("b");
  ASSERT_TRUE(sink.await_subscribed("b"));
  server().text(exclusion("6") + "NOTIFY a, '6'");
  ASSERT_TRUE(sink.await_received(6));
  EXPECT_EQ(sink.all_received().back(), (Received{"a", "6", "x"}));
}

TEST_F(PostgresAdapterTest, KeepsTheOrderOfTwoProcesses) {
  RecordingSink first_sink, second_sink;
  const auto first = start(options(), first_sink), second = start(options(), second_sink);
  first->subscribe("s");
  second->subscribe("s");
  ASSERT_TRUE(first_sink.await_subscribed("s") && second_sink.await_subscribed("s"));
  std::thread other([&] {
    for (const std::string& text : numbers(0, 2000)) {
      EXPECT_EQ(second->publish(make_message("s", text)), PublishStatus::ok);
    }
  });
  for (const std::string& text : numbers(2000, 4000)) {
    EXPECT_EQ(first->publish(make_message("s", text)), PublishStatus::ok);
  }
  other.join();
  ASSERT_TRUE(first_sink.await_received(4000) && second_sink.await_received(4000));
  EXPECT_EQ(first_sink.payloads(), second_sink.payloads());
}

TEST_F(PostgresAdapterTest, ASinkWithoutRoomGetsEverythingLater) {
  RecordingSink sink;
  const auto adapter = start(options(), sink);
  adapter->subscribe("s");
  ASSERT_TRUE(sink.await_subscribed("s") && sink.await_up());
  sink.set_full(true);
  for (const std::string& text : numbers(0, 2000)) {
    ASSERT_EQ(adapter->publish(make_message("s", text)), PublishStatus::ok);
  }
  ASSERT_TRUE(sink.await_refused(20));
  sink.set_full(false);
  ASSERT_TRUE(sink.await_received(2000));
  EXPECT_EQ(sink.payloads(), numbers(0, 2000));
  EXPECT_EQ(adapter->state().gaps, 0u);
}

TEST_F(PostgresAdapterTest, ListensAgainToThousandsOfStreamsAfterItsBackendsWereTerminated) {
  RecordingSink sink;
  const auto adapter = start(options(), sink);
  constexpr size_t kStreams = 3000;
  for (const std::string& text : numbers(0, kStreams)) adapter->subscribe("stream_" + text);
  ASSERT_TRUE(sink.await_subscribed_streams(kStreams) && sink.await_up());
  ASSERT_EQ(server().await_backends(2).size(), 2u);
  server().text(
      "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name LIKE 'Ringcast%'");
  ASSERT_TRUE(sink.await_subscribed_streams(kStreams, 2) && sink.await_up(2));
  EXPECT_EQ(adapter->state().gaps, 1u);
  EXPECT_TRUE(lines_.await({"adapter_down", "terminating connection"}));
  server().text("NOTIFY stream_2999, 'after'");
  ASSERT_TRUE(sink.await_received(1));
  for (const std::string& text : numbers(0, kStreams)) adapter->unsubscribe("stream_" + text);
  EXPECT_TRUE(await_state(*adapter, [](const AdapterState& state) { return state.streams == 0; }));
}

TEST_F(PostgresAdapterTest, NothingComesTwiceWhenBackendsAreTerminatedInTheMiddleOfTraffic) {
  RecordingSink sink;
  const auto adapter = start(options(), sink);
  adapter->subscribe("s");
  ASSERT_TRUE(sink.await_subscribed("s") && sink.await_up());
  constexpr size_t kCount = 5000;
  for (const std::string& text : numbers(0, kCount)) {
    ASSERT_EQ(adapter->publish(make_message("s", text)), PublishStatus::ok);
  }
  ASSERT_TRUE(sink.await_received(100));
  server().text(
      "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name LIKE 'Ringcast%'");
  ASSERT_TRUE(sink.await_up(2));
  ASSERT_TRUE(await_state(*adapter, [](const AdapterState& state) {
    return state.published + state.publish_lost == kCount && state.queued_messages == 0;
  }));
  ASSERT_EQ(adapter->publish(make_message("s", std::to_string(kCount))), PublishStatus::ok);
  ASSERT_TRUE(sink.await_last(std::to_string(kCount)));
  const std::vector<std::string> payloads = sink.payloads();
  for (size_t i = 1; i < payloads.size(); ++i)
    ASSERT_GT(std::stoul(payloads[i]), std::stoul(payloads[i - 1]));
}

TEST_F(PostgresAdapterTest, ComesBackWithTheServer) {
  RecordingSink sink;
  const auto adapter = start(options(), sink);
  adapter->subscribe("s");
  ASSERT_TRUE(sink.await_subscribed("s") && sink.await_up());
  server().kill();
  ASSERT_TRUE(sink.await_changes(2));
  for (const std::string& text : numbers(0, 10)) {
    ASSERT_EQ(adapter->publish(make_message("s", text)), PublishStatus::ok);
  }
  server().start();
  ASSERT_TRUE(sink.await_up(2) && sink.await_received(10));
  EXPECT_EQ(sink.payloads(), numbers(0, 10));
  EXPECT_GT(sink.changes()[2].outage.count(), 0);
  EXPECT_EQ(adapter->state().reconnects, 1u);
}

TEST_F(PostgresAdapterTest, ANameServerThatHangsHoldsUpNobody) {
  HangingLookUp names;
  RecordingSink sink, other_sink;
  PostgresOptions named = options();
  named.url = "host=somewhere port=" + std::to_string(server().port()) + " user=ringcast dbname=postgres";
  named.connect_timeout = milliseconds(200);
  named.look_up = names.look_up();
  const auto adapter = start(named, sink);
  auto impatient = start(named, other_sink);
  adapter->subscribe("s");
  ASSERT_TRUE(lines_.await({"adapter_down", "name server does not answer for somewhere"}));
  ASSERT_TRUE(await_state(*impatient, [&](const AdapterState&) { return names.asked() == 2; }));
  impatient.reset();  // ends while its question is out
  for (const std::string& text : numbers(0, 100)) {
    ASSERT_EQ(adapter->publish(make_message("s", text)), PublishStatus::ok);
  }
  EXPECT_TRUE(await_state(*adapter, [](const AdapterState& state) { return state.streams == 1; }));
  EXPECT_FALSE(adapter->state().up);
  EXPECT_EQ(names.asked(), 2);
  names.answer();
  ASSERT_TRUE(sink.await_received(100));
  EXPECT_EQ(sink.payloads(), numbers(0, 100));
}

TEST_F(PostgresAdapterTest, NoticesBackendsThatHangWithoutClosing) {
  RecordingSink sink;
  PostgresOptions quick = options();
  quick.reply_timeout = quick.canary_timeout = milliseconds(300);
  quick.canary_interval = milliseconds(50);
  const auto adapter = start(quick, sink);
  adapter->subscribe("s");
  ASSERT_TRUE(sink.await_subscribed("s") && sink.await_up());
  const std::vector<pid_t> backends = server().await_backends(2);
  ASSERT_EQ(backends.size(), 2u);
  for (const pid_t backend : backends) ::kill(backend, SIGSTOP);
  // The postmaster is well: new connections are made beside those that hang.
  EXPECT_TRUE(sink.await_up(2));
  ASSERT_EQ(adapter->publish(make_message("s", "1")), PublishStatus::ok);
  EXPECT_TRUE(sink.await_received(1));
  for (const pid_t backend : backends) ::kill(backend, SIGCONT);
}

TEST_F(PostgresAdapterTest, NamesWhatTheServerSaysToAWrongLogin) {
  RecordingSink sink;
  PostgresOptions wrong = options();
  wrong.url = "host=localhost port=" + std::to_string(server().port()) + " user=stranger dbname=postgres";
  const auto adapter = start(wrong, sink);
  EXPECT_TRUE(lines_.await({"adapter_down", "stranger", "does not exist"}));
  server().text("CREATE ROLE stranger LOGIN");
  EXPECT_TRUE(sink.await_up());
}

TEST_F(PostgresAdapterTest, SpeaksThroughAUnixSocketAndTriesHostsInTurn) {
  RecordingSink sink;
  PostgresOptions several = options();
  const std::string port = std::to_string(server().port()), nobodys = std::to_string(free_tcp_port());
  several.url = "host=127.0.0.1," + server().folder() + " port=" + nobodys + "," + port +
                " user=ringcast dbname=postgres";
  const auto adapter = start(several, sink);
  adapter->subscribe("s");
  ASSERT_TRUE(sink.await_subscribed("s") && sink.await_up());
  ASSERT_EQ(adapter->publish(make_message("s", "1")), PublishStatus::ok);
  EXPECT_TRUE(sink.await_received(1));
}

TEST_F(PostgresAdapterTest, RefusesUrlsThatAreNone) {
  std::string error;
  EXPECT_EQ(make_postgres_adapter({.url = "postgresql://u:secret@h:port:x/"}, lines_.logger(), &error),
            nullptr);
  EXPECT_FALSE(error.empty());
  EXPECT_EQ(error.find("secret"), std::string::npos);
}

}  // namespace
}  // namespace ringcast
