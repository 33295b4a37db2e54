// The Redis adapter against a real redis-server: what is delivered and in which order, and
// what becomes of it when the server dies, hangs, refuses or throws us out.
#include "adapter/redis_adapter.h"

#include <gtest/gtest.h>

#include <thread>

#include "adapter/half_dead_proxy.h"
#include "adapter/hanging_look_up.h"
#include "adapter/logged_lines.h"
#include "adapter/recording_sink.h"
#include "adapter/redis_server.h"
#include "support/certificates.h"

namespace ringcast {
namespace redis_adapter_test {

using Received = RecordingSink::Received;

class RedisAdapterTest : public testing::Test {
 protected:
  RedisOptions options(const RedisServer& server) {
    RedisOptions options;
    options.url.host = "127.0.0.1";
    options.url.port = server.port();
    // Where silence is not what is tried, it is a busy machine.
    options.connect_timeout = options.reply_timeout = options.canary_timeout = seconds(600);
    return options;
  }

  std::unique_ptr<Adapter> start(const RedisOptions& options, AdapterSink& sink) {
    std::string error;
    std::unique_ptr<Adapter> adapter = make_redis_adapter(options, logger_, &error);
    EXPECT_NE(adapter, nullptr) << error;
    if (adapter != nullptr) adapter->start(sink);
    return adapter;
  }

  bool logged(const std::vector<std::string>& parts) { return lines_.await(parts); }
  size_t lines_with(const std::string& part) { return lines_.count(part); }

  LoggedLines lines_;
  Logger& logger_ = lines_.logger();
};

std::vector<std::string> numbers(size_t from, size_t to) {
  std::vector<std::string> texts;
  for (size_t i = from; i < to; ++i) texts.push_back(std::to_string(i));
  return texts;
}

TEST_F(RedisAdapterTest, DeliversWhatAnybodyPublishesAfterTheAcknowledgement) {
  RedisServer server;
  RecordingSink sink;
  const auto adapter = start(options(server), sink);
  adapter->subscribe("prices");
  ASSERT_TRUE(sink.await_subscribed("prices"));
  ASSERT_EQ(server.text({"PUBLISH", "prices", R"({"bid":1.10})"}), "1");
  ASSERT_TRUE(sink.await_received(1));
  ASSERT_TRUE(sink.await_up());
  ASSERT_EQ(adapter->publish(make_message("prices", "[1e400]")), PublishStatus::ok);
  ASSERT_EQ(adapter->publish(make_message("nobody's", "1")), PublishStatus::ok);
  // Bytes that are no JSON, no text and no C string come as they are.
  const std::string bytes("\0\r\n\xff*3", 6);
  ASSERT_EQ(adapter->publish(make_message("prices", bytes)), PublishStatus::ok);
  ASSERT_TRUE(sink.await_received(3));
  EXPECT_EQ(sink.all_received(),
            (std::vector<Received>{
                {"prices", R"({"bid":1.10})", ""}, {"prices", "[1e400]", ""}, {"prices", bytes, ""}}));
  EXPECT_TRUE(await_state(*adapter, [](const AdapterState& state) {
    return state.published == 3 && state.received == 3 && state.unacknowledged == 0 &&
           state.queued_messages == 0;
  }));
}

TEST_F(RedisAdapterTest, PrefixesAllStreamsButRooms) {
  RedisServer server;
  RecordingSink sink;
  RedisOptions with_prefix = options(server);
  with_prefix.names.prefix = "app";
  const auto adapter = start(with_prefix, sink);
  adapter->subscribe("chat");
  adapter->subscribe("room_7");
  ASSERT_TRUE(sink.await_subscribed("chat") && sink.await_subscribed("room_7"));
  EXPECT_EQ(server.text({"PUBLISH", "chat", "0"}), "0");
  EXPECT_EQ(server.text({"PUBLISH", "app:room_7", "0"}), "0");
  ASSERT_EQ(server.text({"PUBLISH", "app:chat", "1"}), "1");
  ASSERT_EQ(server.text({"PUBLISH", "room_7", "2"}), "1");
  ASSERT_TRUE(sink.await_received(2));
  EXPECT_EQ(sink.all_received(), (std::vector<Received>{{"chat", "1", ""}, {"room_7", "2", ""}}));
}

TEST_F(RedisAdapterTest, RefusesAPrefixThatARoomsNameCanImitate) {
  RedisOptions imitable;
  imitable.names.prefix = "room_app";
  std::string error;
  EXPECT_EQ(make_redis_adapter(imitable, logger_, &error), nullptr);
  EXPECT_NE(error.find("room_*"), std::string::npos) << error;
}

TEST_F(RedisAdapterTest, LeavesNoSubscriptionBehind) {
  RedisServer server;
  RecordingSink sink;
  const auto adapter = start(options(server), sink);
  for (int round = 0; round < 100; ++round) {
    adapter->subscribe("a");
    adapter->unsubscribe("a");
    adapter->subscribe("b");
  }
  adapter->subscribe("kept");
  ASSERT_TRUE(sink.await_subscribed("kept") && sink.await_subscribed("b"));
  adapter->unsubscribe("b");
  EXPECT_TRUE(await_state(*adapter, [](const AdapterState& state) { return state.streams == 1; }));
  EXPECT_EQ(server.text({"PUBSUB", "NUMSUB", "a", "b", "kept"}), "a\n0\nb\n0\nkept\n1\n");
}

TEST_F(RedisAdapterTest, ASubscriptionTakenBackAndWantedAgainIsAcknowledged) {
  RedisServer server;
  RecordingSink sink;
  const auto adapter = start(options(server), sink);
  adapter->subscribe("a");
  ASSERT_TRUE(sink.await_subscribed("a"));
  adapter->unsubscribe("a");
  adapter->subscribe("a");
  ASSERT_TRUE(sink.await_subscribed("a", 2));
  ASSERT_EQ(server.text({"PUBLISH", "a", "1"}), "1");
  EXPECT_TRUE(sink.await_received(1));
}

TEST_F(RedisAdapterTest, KeepsTheOrderOfAHundredThousandPublishes) {
  RedisServer server;
  RecordingSink sink;
  RedisOptions roomy = options(server);
  roomy.limits.messages_max = 200000;
  const auto adapter = start(roomy, sink);
  adapter->subscribe("s");
  ASSERT_TRUE(sink.await_subscribed("s"));
  constexpr size_t kCount = 100000;
  for (const std::string& text : numbers(0, kCount)) {
    ASSERT_EQ(adapter->publish(make_message("s", text)), PublishStatus::ok);
  }
  ASSERT_TRUE(sink.await_received(kCount));
  EXPECT_EQ(sink.payloads(), numbers(0, kCount));
}

TEST_F(RedisAdapterTest, CarriesPayloadsOfMegabytes) {
  RedisServer server;
  RecordingSink sink;
  const auto adapter = start(options(server), sink);
  adapter->subscribe("s");
  ASSERT_TRUE(sink.await_subscribed("s"));
  const std::string large = '"' + std::string(5 << 20, 'x') + '"';
  for (int i = 0; i < 3; ++i) ASSERT_EQ(adapter->publish(make_message("s", large)), PublishStatus::ok);
  ASSERT_TRUE(sink.await_received(3));
  EXPECT_TRUE(sink.payloads() == std::vector<std::string>(3, large));
}

TEST_F(RedisAdapterTest, ASinkWithoutRoomGetsEverythingLater) {
  RedisServer server;
  RecordingSink sink;
  const auto adapter = start(options(server), sink);
  adapter->subscribe("s");
  ASSERT_TRUE(sink.await_subscribed("s"));
  sink.set_full(true);
  constexpr size_t kCount = 20000;
  for (const std::string& text : numbers(0, kCount)) server.text({"PUBLISH", "s", text});
  ASSERT_TRUE(sink.await_refused(20));
  EXPECT_TRUE(sink.all_received().empty());
  sink.set_full(false);
  ASSERT_TRUE(sink.await_received(kCount));
  EXPECT_EQ(sink.payloads(), numbers(0, kCount));
  EXPECT_EQ(adapter->state().gaps, 0u);
}

TEST_F(RedisAdapterTest, ComesBackWithAllSubscriptionsAfterTheServerWasKilled) {
  RedisServer server;
  RecordingSink sink;
  const auto adapter = start(options(server), sink);
  adapter->subscribe("s");
  ASSERT_TRUE(sink.await_subscribed("s") && sink.await_up());
  server.kill();
  ASSERT_TRUE(sink.await_changes(2));
  EXPECT_FALSE(adapter->state().up);
  // What is published and subscribed meanwhile waits.
  for (const std::string& text : numbers(0, 10)) {
    ASSERT_EQ(adapter->publish(make_message("s", text)), PublishStatus::ok);
  }
  adapter->subscribe("t");
  EXPECT_EQ(adapter->state().queued_messages, 10u);
  server.start();
  ASSERT_TRUE(sink.await_up(2) && sink.await_subscribed("s", 2) && sink.await_subscribed("t"));
  ASSERT_TRUE(sink.await_received(10));
  EXPECT_EQ(sink.payloads(), numbers(0, 10));
  const std::vector<RecordingSink::Change> changes = sink.changes();
  ASSERT_EQ(changes.size(), 3u);
  EXPECT_EQ(changes[0].outage.count(), 0);
  EXPECT_GT(changes[2].outage.count(), 0);
  EXPECT_EQ(adapter->state().gaps, 1u);
  EXPECT_EQ(adapter->state().reconnects, 1u);
  EXPECT_EQ(lines_with("adapter_up"), 2u);
}

TEST_F(RedisAdapterTest, WaitsForAServerThatIsNotThereYet) {
  RedisServer server;
  server.kill();
  RecordingSink sink;
  RedisOptions small = options(server);
  small.limits.messages_max = 3;
  const auto adapter = start(small, sink);
  adapter->subscribe("s");
  ASSERT_TRUE(logged({"adapter_down", "refused"}));
  for (int i = 0; i < 3; ++i)
    ASSERT_EQ(adapter->publish(make_message("s", std::to_string(i))), PublishStatus::ok);
  EXPECT_EQ(adapter->publish(make_message("s", "3")), PublishStatus::full);
  server.start();
  ASSERT_TRUE(sink.await_received(3));
  EXPECT_EQ(sink.payloads(), numbers(0, 3));
  EXPECT_EQ(adapter->state().reconnects, 0u);
}

TEST_F(RedisAdapterTest, ANameServerThatHangsHoldsUpNobody) {
  RedisServer server;
  HangingLookUp names;
  RecordingSink sink, other_sink;
  RedisOptions named = options(server);
  named.url.host = "somewhere";
  named.connect_timeout = milliseconds(200);
  named.look_up = names.look_up();
  const auto adapter = start(named, sink);
  auto impatient = start(named, other_sink);
  adapter->subscribe("s");
  ASSERT_TRUE(logged({"adapter_down", "name server does not answer for somewhere"}));
  ASSERT_TRUE(await_state(*impatient, [&](const AdapterState&) { return names.asked() == 2; }));
  impatient.reset();  // ends while its question is out
  // All that others ask of the adapter is taken and waits.
  for (const std::string& text : numbers(0, 100))
    ASSERT_EQ(adapter->publish(make_message("s", text)), PublishStatus::ok);
  EXPECT_TRUE(await_state(*adapter, [](const AdapterState& state) { return state.streams == 1; }));
  adapter->subscribe("t");
  EXPECT_TRUE(await_state(*adapter, [](const AdapterState& state) { return state.streams == 2; }));
  EXPECT_FALSE(adapter->state().up);
  EXPECT_EQ(names.asked(), 2);  // each once, however long it takes
  names.answer();
  ASSERT_TRUE(sink.await_received(100) && sink.await_subscribed("t"));
  EXPECT_EQ(sink.payloads(), numbers(0, 100));
}

TEST_F(RedisAdapterTest, NoticesAServerThatHangsWithoutClosing) {
  RedisServer server;
  RecordingSink sink;
  RedisOptions quick = options(server);
  quick.reply_timeout = quick.connect_timeout = quick.canary_timeout = milliseconds(300);
  quick.canary_interval = milliseconds(50);
  const auto adapter = start(quick, sink);
  adapter->subscribe("s");
  ASSERT_TRUE(sink.await_subscribed("s") && sink.await_up());
  ASSERT_TRUE(await_state(*adapter, [](const AdapterState& state) { return state.canary_us > 0; }));
  server.hang();
  ASSERT_TRUE(sink.await_changes(2));
  ASSERT_EQ(adapter->publish(make_message("s", "1")), PublishStatus::ok);
  server.wake();
  ASSERT_TRUE(sink.await_up(2));
  ASSERT_TRUE(sink.await_received(1));
  EXPECT_EQ(sink.payloads(), numbers(1, 2));
}

TEST_F(RedisAdapterTest, TheCanaryFindsAPathThatIsDeadAtOneEnd) {
  RedisServer server;
  HalfDeadProxy proxy(server.port());
  RecordingSink sink;
  RedisOptions quick = options(server);
  quick.url.port = proxy.port();
  quick.canary_interval = milliseconds(20);
  quick.canary_timeout = milliseconds(300);
  const auto adapter = start(quick, sink);
  adapter->subscribe("s");
  ASSERT_TRUE(sink.await_subscribed("s") && sink.await_up());
  proxy.deafen();
  ASSERT_TRUE(sink.await_up(2));
  EXPECT_TRUE(logged({"adapter_down", "did not come back"}));
  EXPECT_GE(sink.changes()[2].outage, quick.canary_timeout);
  EXPECT_EQ(adapter->state().gaps, 1u);
  ASSERT_EQ(adapter->publish(make_message("s", "1")), PublishStatus::ok);
  EXPECT_TRUE(sink.await_received(1));
}

TEST_F(RedisAdapterTest, APathThatIsDeadForBothConnectionsIsLeftByBothAtOnce) {
  RedisServer server;
  HalfDeadProxy proxy(server.port());
  RecordingSink sink;
  RedisOptions quick = options(server);
  quick.url.port = proxy.port();
  quick.canary_interval = milliseconds(20);
  quick.reply_timeout = milliseconds(300);
  quick.canary_timeout = milliseconds(500);  // the publisher's silence is noticed first
  const auto adapter = start(quick, sink);
  adapter->subscribe("s");
  ASSERT_TRUE(sink.await_subscribed("s") && sink.await_up());
  proxy.deafen_all();
  ASSERT_TRUE(sink.await_up(2));
  ASSERT_EQ(adapter->publish(make_message("s", "1")), PublishStatus::ok);
  EXPECT_TRUE(sink.await_received(1));
  EXPECT_EQ(sink.changes().size(), 3u);  // up means both ways
  EXPECT_EQ(adapter->state().gaps, 1u);
}

TEST_F(RedisAdapterTest, NeverRepeatsWhatTheServerMayHaveSeen) {
  RedisServer server;
  RecordingSink sink;
  const auto adapter = start(options(server), sink);
  adapter->subscribe("s");
  ASSERT_TRUE(sink.await_subscribed("s") && sink.await_up());
  // Hung and then killed: what was sent by then is answered by nobody.
  server.hang();
  constexpr size_t kCount = 30000;
  const std::string padding(1000, 'x');
  for (const std::string& text : numbers(0, kCount)) {
    ASSERT_EQ(adapter->publish(make_message("s", text + " " + padding)), PublishStatus::ok);
  }
  ASSERT_TRUE(await_state(*adapter, [](const AdapterState& state) { return state.unacknowledged > 0; }));
  server.kill();
  ASSERT_TRUE(sink.await_changes(2));
  server.start();
  ASSERT_TRUE(await_state(*adapter, [](const AdapterState& state) {
    return state.up && state.queued_messages == 0 && state.unacknowledged == 0;
  }));
  const AdapterState state = adapter->state();
  EXPECT_GT(state.publish_lost, 0u);
  EXPECT_LT(state.publish_lost, kCount);
  EXPECT_EQ(state.publish_lost + state.published, kCount);
  // The lost ones are the first; all others came, once and in order.
  ASSERT_TRUE(sink.await_received(state.published));
  const std::vector<std::string> payloads = sink.payloads();
  ASSERT_EQ(payloads.size(), state.published);
  for (size_t i = 0; i < payloads.size(); ++i) {
    ASSERT_EQ(payloads[i], std::to_string(state.publish_lost + i) + " " + padding);
  }
}

TEST_F(RedisAdapterTest, NamesWhatTheServerSaysToAWrongPasswordAndTriesAgain) {
  RedisServer server({}, "secret");
  RecordingSink sink;
  RedisOptions wrong = options(server);
  wrong.url.password = "guess";
  const auto adapter = start(wrong, sink);
  adapter->subscribe("s");
  ASSERT_TRUE(logged({"adapter_down", "refuses AUTH", "WRONGPASS"}));
  ASSERT_EQ(server.text({"CONFIG", "SET", "requirepass", "guess"}), "OK");
  ASSERT_TRUE(sink.await_subscribed("s") && sink.await_up());
  EXPECT_EQ(lines_with("WRONGPASS"), 1u);  // however often it was tried
}

TEST_F(RedisAdapterTest, LogsInAsAUserAndSelectsADatabase) {
  RedisServer server("user app on >pa:ss@word allcommands allkeys allchannels\n");
  RecordingSink sink;
  RedisOptions login = options(server);
  std::string error;
  login.url =
      RedisUrl::parse("redis://app:pa%3Ass%40word@localhost:" + std::to_string(server.port()) + "/3", &error)
          .value();
  login.client_name = "me";
  const auto adapter = start(login, sink);
  ASSERT_TRUE(sink.await_up());
  const std::string clients = server.text({"CLIENT", "LIST"});
  EXPECT_NE(clients.find(" name=me "), std::string::npos) << clients;
  EXPECT_NE(clients.find(" user=app "), std::string::npos) << clients;
  EXPECT_NE(clients.find(" db=3 "), std::string::npos) << clients;
}

TEST_F(RedisAdapterTest, IsThrownOutForItsOutputBufferAndComesBack) {
  RedisServer server("client-output-buffer-limit pubsub 1mb 1mb 1\n");
  RecordingSink sink;
  const auto adapter = start(options(server), sink);
  adapter->subscribe("s");
  ASSERT_TRUE(sink.await_subscribed("s") && sink.await_up());
  sink.set_full(true);
  const std::string large(500000, 'x');
  for (int i = 0; i < 200; ++i) server.text({"PUBLISH", "s", large});
  ASSERT_TRUE(sink.await_refused(1));
  sink.set_full(false);
  ASSERT_TRUE(sink.await_up(2));
  EXPECT_EQ(adapter->state().gaps, 1u);
  sink.forget_received();
  ASSERT_TRUE(sink.await_subscribed("s", 2));
  ASSERT_EQ(server.text({"PUBLISH", "s", "after"}), "1");
  ASSERT_TRUE(sink.await_received(1));
  EXPECT_EQ(sink.payloads().back(), "after");
}

TEST_F(RedisAdapterTest, SurvivesClientKillInTheMiddleOfTraffic) {
  RedisServer server;
  RecordingSink sink;
  const auto adapter = start(options(server), sink);
  adapter->subscribe("s");
  ASSERT_TRUE(sink.await_subscribed("s") && sink.await_up());
  size_t published = 0;
  for (int round = 0; round < 5; ++round) {
    ASSERT_EQ(adapter->publish(make_message("s", std::to_string(published))), PublishStatus::ok);
    ASSERT_TRUE(sink.await_last(std::to_string(published++)));
    for (int i = 0; i < 200; ++i) {
      ASSERT_EQ(adapter->publish(make_message("s", std::to_string(published++))), PublishStatus::ok);
    }
    ASSERT_EQ(server.text({"CLIENT", "KILL", "TYPE", round % 2 == 0 ? "pubsub" : "normal"}), "1");
    ASSERT_TRUE(await_state(*adapter, [&](const AdapterState& state) {
      return state.up && state.reconnects == static_cast<uint64_t>(round) + 1 && state.queued_messages == 0 &&
             state.unacknowledged == 0;
    }));
  }
  ASSERT_EQ(adapter->publish(make_message("s", "end")), PublishStatus::ok);
  ASSERT_TRUE(sink.await_last("end"));
  // Some may be missing, none comes twice or out of order.
  std::vector<std::string> payloads = sink.payloads();
  payloads.pop_back();
  size_t last = 0;
  for (size_t i = 0; i < payloads.size(); ++i) {
    const size_t number = std::stoul(payloads[i]);
    if (i > 0) {
      ASSERT_GT(number, last);
    }
    last = number;
  }
  EXPECT_EQ(adapter->state().gaps, 3u);  // killing the publisher misses nothing
}

TEST_F(RedisAdapterTest, CountsAndNamesRefusedPublishes) {
  RedisServer server("user default on nopass allkeys allcommands resetchannels &allowed &_ringcast*\n");
  RecordingSink sink;
  const auto adapter = start(options(server), sink);
  ASSERT_TRUE(sink.await_up());
  ASSERT_EQ(adapter->publish(make_message("denied", "1")), PublishStatus::ok);
  ASSERT_EQ(adapter->publish(make_message("allowed", "1")), PublishStatus::ok);
  ASSERT_TRUE(await_state(*adapter, [](const AdapterState& state) {
    return state.publish_refused == 1 && state.published == 1;
  }));
  EXPECT_TRUE(logged({"adapter_publish_refused", "stream=denied", "NOPERM"}));
}

TEST_F(RedisAdapterTest, ARefusedStreamCostsItsNeighboursNothing) {
  // The canary is refused too: PING takes its place.
  RedisServer server("user default on nopass allkeys allcommands resetchannels &ok*\n");
  RecordingSink sink;
  RedisOptions pinging = options(server);
  pinging.canary_interval = milliseconds(20);
  pinging.reply_timeout = milliseconds(500);
  pinging.connect_timeout = milliseconds(500);
  const auto adapter = start(pinging, sink);
  for (int i = 0; i < 50; ++i) adapter->subscribe("ok" + std::to_string(i));
  adapter->subscribe("denied");
  for (int i = 50; i < 100; ++i) adapter->subscribe("ok" + std::to_string(i));
  ASSERT_TRUE(sink.await_subscribed_streams(100));
  EXPECT_TRUE(logged({"adapter_subscribe_refused", "channel=denied", "NOPERM"}));
  ASSERT_TRUE(sink.await_up());
  ASSERT_EQ(server.text({"PUBLISH", "ok99", "1"}), "1");
  ASSERT_TRUE(sink.await_received(1));
  server.hang();
  ASSERT_TRUE(sink.await_changes(2));
  server.wake();
  EXPECT_TRUE(sink.await_up(2));
}

TEST_F(RedisAdapterTest, ResubscribesTenThousandStreams) {
  RedisServer server;
  RecordingSink sink;
  const auto adapter = start(options(server), sink);
  constexpr size_t kStreams = 10000;
  for (const std::string& text : numbers(0, kStreams)) adapter->subscribe("stream_" + text);
  ASSERT_TRUE(sink.await_subscribed_streams(kStreams));
  ASSERT_EQ(server.text({"CONFIG", "RESETSTAT"}), "OK");
  ASSERT_EQ(server.text({"CLIENT", "KILL", "TYPE", "pubsub"}), "1");
  ASSERT_TRUE(sink.await_subscribed_streams(kStreams, 2));
  ASSERT_TRUE(sink.await_up(2));
  // 20 commands, and the canary's.
  const std::string statistics = server.text({"INFO", "commandstats"});
  EXPECT_NE(statistics.find("cmdstat_subscribe:calls=21,"), std::string::npos) << statistics;
  for (const std::string& text : numbers(0, kStreams)) adapter->unsubscribe("stream_" + text);
  ASSERT_TRUE(await_state(*adapter, [](const AdapterState& state) { return state.streams == 0; }));
  EXPECT_EQ(server.text({"PUBSUB", "NUMSUB", "stream_0", "stream_9999"}), "stream_0\n0\nstream_9999\n0\n");
}

TEST_F(RedisAdapterTest, UnderstandsAnyCablesEnvelopes) {
  RedisServer server;
  RecordingSink sink;
  RedisOptions anycable = options(server);
  anycable.anycable = true;
  anycable.names.prefix = "app";
  const auto adapter = start(anycable, sink);
  adapter->subscribe("a");
  adapter->subscribe("b");
  const std::string user = "action_cable/Z2lkOi8vYXBwL1VzZXIvNw";
  adapter->subscribe(user);
  ASSERT_TRUE(sink.await_subscribed("a") && sink.await_subscribed("b") && sink.await_up());
  const auto say = [&](const std::string& text) {
    ASSERT_EQ(server.text({"PUBLISH", "__anycable__", text}), "1");
  };
  say(R"({"stream":"a","data":"{\"text\":1.10}","meta":{"exclude_socket":"sid"}})");
  say(R"([{"stream":"b","data":"plain <text>"},{"stream":"elsewhere","data":"1"},{"stream":"a","data":"2"}])");
  say(R"({"command":"disconnect","payload":{"identifier":"{\"user\":\"gid://app/User/7\"}","reconnect":false}})");
  say(R"({"command":"disconnect","payload":{"identifier":"x","reconnect":true}})");
  say(R"({"command":"dance"})");
  say("no envelope");
  say(R"({"stream":"a","data":7})");
  say(R"({"stream":"a","data":"3"})");
  ASSERT_TRUE(sink.await_received(5));
  EXPECT_EQ(sink.all_received(),
            (std::vector<Received>{{"a", R"({"text":1.10})", "sid"},
                                   {"b", R"("plain \u003ctext\u003e")", ""},
                                   {"a", "2", ""},
                                   {user, R"({"type":"disconnect","reconnect":false})", ""},
                                   {"a", "3", ""}}));
  EXPECT_EQ(adapter->state().malformed, 3u);
  EXPECT_EQ(adapter->state().ignored_commands, 1u);
}

TEST_F(RedisAdapterTest, SpeaksThroughAUnixSocket) {
  RedisServer server;
  RecordingSink sink;
  RedisOptions local;
  std::string error;
  local.url = RedisUrl::parse("unix://" + server.socket_path() + "?db=2", &error).value();
  const auto adapter = start(local, sink);
  adapter->subscribe("s");
  ASSERT_TRUE(sink.await_subscribed("s") && sink.await_up());
  ASSERT_EQ(adapter->publish(make_message("s", "1")), PublishStatus::ok);
  EXPECT_TRUE(sink.await_received(1));
}

TEST_F(RedisAdapterTest, SpeaksTlsAndVerifiesTheCertificate) {
  TemporaryFolder folder;
  const TestCertificateFiles files = write_test_certificate(make_test_certificate(), folder.path());
  const uint16_t tls_port = free_tcp_port();
  RedisServer server("tls-port " + std::to_string(tls_port) + "\ntls-cert-file " + files.certificate +
                     "\ntls-key-file " + files.key + "\ntls-ca-cert-file " + files.certificate +
                     "\ntls-auth-clients no\n");
  RedisOptions secure = options(server);
  secure.url.port = tls_port;
  secure.url.tls = true;
  {
    RecordingSink sink;
    const auto adapter = start(secure, sink);
    EXPECT_TRUE(logged({"adapter_down", "certificate refused"}));
    EXPECT_FALSE(adapter->state().up);
  }
  RecordingSink sink;
  secure.tls.ca_file = files.certificate;
  const auto adapter = start(secure, sink);
  adapter->subscribe("s");
  ASSERT_TRUE(sink.await_subscribed("s") && sink.await_up());
  const std::string large(1 << 20, 'x');
  for (int i = 0; i < 5; ++i) ASSERT_EQ(adapter->publish(make_message("s", large)), PublishStatus::ok);
  ASSERT_TRUE(sink.await_received(5));
  EXPECT_TRUE(sink.payloads() == std::vector<std::string>(5, large));
}

TEST_F(RedisAdapterTest, TwoProcessesGetOneOrder) {
  RedisServer server;
  RecordingSink first_sink, second_sink;
  const auto first = start(options(server), first_sink), second = start(options(server), second_sink);
  first->subscribe("s");
  second->subscribe("s");
  ASSERT_TRUE(first_sink.await_subscribed("s") && second_sink.await_subscribed("s"));
  std::thread other([&] {
    for (const std::string& text : numbers(0, 5000))
      EXPECT_EQ(second->publish(make_message("s", text)), PublishStatus::ok);
  });
  for (const std::string& text : numbers(5000, 10000))
    EXPECT_EQ(first->publish(make_message("s", text)), PublishStatus::ok);
  other.join();
  ASSERT_TRUE(first_sink.await_received(10000) && second_sink.await_received(10000));
  EXPECT_EQ(first_sink.payloads(), second_sink.payloads());
}

TEST_F(RedisAdapterTest, EndsWhileTheServerIsAwayOrHangs) {
  RedisServer server;
  RecordingSink sink;
  auto hung = start(options(server), sink);
  hung->subscribe("s");
  ASSERT_TRUE(sink.await_subscribed("s") && sink.await_up());
  server.hang();
  ASSERT_EQ(hung->publish(make_message("s", "1")), PublishStatus::ok);
  hung.reset();
  server.wake();
  server.kill();
  RecordingSink other_sink;
  const auto away = start(options(server), other_sink);
}

}  // namespace redis_adapter_test
}  // namespace ringcast
