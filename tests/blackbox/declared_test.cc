// Channels and routes that a configuration file declares, over real sockets: README's own
// examples, then limits, what a reload changes and what a broken file does not.
#include <gtest/gtest.h>
#include <signal.h>

#include <algorithm>
#include <chrono>
#include <fstream>
#include <memory>
#include <string>
#include <string_view>
#include <thread>
#include <vector>

#include "blackbox/cable.h"
#include "blackbox/client.h"
#include "blackbox/probes.h"
#include "blackbox/server_process.h"
#include "blackbox/tokens.h"
#include "support/secret_file.h"

namespace ringcast::blackbox {
namespace {

class DeclaredServer : public ::testing::Test {
 protected:
  static constexpr std::string_view kSecret = "the secret of tokens, long enough for anybody";
  static constexpr std::string_view kRefused = "ringcast_declared_refused_total";

  // The fenced TOML of README that declares something, in its order.
  static std::vector<std::string> readme_examples() {
    std::ifstream file("README.md", std::ios::binary);
    std::vector<std::string> examples;
    std::string line, block;
    bool inside = false;
    while (std::getline(file, line)) {
      if (line == "```toml") {
        inside = true;
        block.clear();
      } else if (inside && line == "```") {
        inside = false;
        if (block.find("[[") != block.npos) examples.push_back(block);
      } else if (inside) {
        block += line + "\n";
      }
    }
    return examples;
  }

  // A header with a token of these claims.
  static std::string bearer(std::string_view claims) {
    return "Authorization: Bearer " + jwt(kSecret, claims) + "\r\n";
  }

  // With the secret's file where it is; the listed address gives way to the test's own.
  std::string placed(std::string text) const {
    const std::string_view name = "\"jwt_secret\"";
    if (const size_t at = text.find(name); at != text.npos) {
      text.replace(at, name.size(), "\"" + secret_.path() + "\"");
    }
    return text;
  }

  void start(const std::string& text, std::vector<std::string> more = {}) {
    config_.write(placed(text));
    std::vector<std::string> arguments = {"--config", config_.path(), "--broadcast-key-file", key_.path()};
    arguments.insert(arguments.end(), more.begin(), more.end());
    std::string why_not;
    server_ = ServerProcess::start({.arguments = std::move(arguments)}, why_not);
    ASSERT_NE(server_, nullptr) << why_not;
  }

  bool logged(std::string_view text, size_t times = 1) {
    for (const auto deadline = std::chrono::steady_clock::now() + kPatience;
         std::chrono::steady_clock::now() < deadline;
         std::this_thread::sleep_for(std::chrono::milliseconds(5))) {
      const std::string log = server_->standard_error();
      size_t found = 0;
      for (size_t at = log.find(text); at != log.npos; at = log.find(text, at + 1)) ++found;
      if (found >= times) return true;
    }
    return false;
  }

  void reload(const std::string& text) {
    config_.write(placed(text));
    server_->signal(SIGHUP);
    ASSERT_TRUE(logged("event=reloaded", ++reloads_)) << server_->standard_error();
  }

  uint64_t refused(std::string_view why) {
    return Metrics::read(server_->port()).sum(kRefused, "reason=\"" + std::string(why) + "\"");
  }

  int post(std::string_view path, std::string_view body) {
    TcpClient client = TcpClient::connect(server_->port());
    client.send(post_request(path, "application/json", body, "Authorization: Bearer key\r\n"));
    return read_http_answer(client).status;
  }

  static std::string next(WebSocketClient& client) {
    for (;;) {
      const auto frame = client.next();
      if (!frame) return "end";
      if (frame->opcode == 8) {
        return "close " + std::to_string(frame->close_code()) + " " + frame->close_reason();
      }
      if (frame->opcode == 1 && !is_cable_ping(frame->payload)) return frame->payload;
    }
  }

  WebSocketClient cable(std::string_view claims = {}) {
    WebSocketClient client =
        WebSocketClient::connect(server_->port(), "/cable", claims.empty() ? "" : bearer(claims));
    EXPECT_EQ(next(client), kCableWelcome);
    return client;
  }

  static bool subscribe(WebSocketClient& client, std::string_view identifier) {
    client.send(cable_subscribe(identifier));
    const std::string said = next(client);
    EXPECT_TRUE(said == cable_confirmation(identifier) || said == cable_rejection(identifier)) << said;
    return said == cable_confirmation(identifier);
  }

  const test::SecretFile secret_{kSecret};
  test::SecretFile key_{"key"};
  test::SecretFile config_{""};
  size_t reloads_ = 0;
  std::unique_ptr<ServerProcess> server_;
};

constexpr std::string_view kAnnClaims =
    R"({"sub":"ann","symbols":["ACME"],"name":"Ann","rooms":["general"]})";
constexpr std::string_view kBobClaims = R"({"sub":"bob","symbols":[],"name":"Bob","rooms":["general","b"]})";

// --- README ------------------------------------------------------------------------------

TEST_F(DeclaredServer, ReadmeHasJustTheseExamples) {
  const auto examples = readme_examples();
  ASSERT_EQ(examples.size(), 2u) << "one more needs a test of its own";
  for (const std::string& example : examples) {
    config_.write(placed(example));
    const ProgramResult checked = run_binary({"--config", config_.path(), "--check-config"});
    EXPECT_EQ(checked.exit_code, 0) << checked.error;
    EXPECT_EQ(
        run_binary({"--config", config_.path(), "--print-config"}).output.find("[[channel]] ChatChannel") !=
            std::string::npos,
        example.find("ChatChannel") != example.npos);
  }
}

TEST_F(DeclaredServer, ReadmesChannels) {
  ASSERT_NO_FATAL_FAILURE(start(readme_examples().at(0)));
  WebSocketClient stranger = WebSocketClient::connect(server_->port(), "/cable");
  EXPECT_EQ(next(stranger), R"({"type":"disconnect","reason":"unauthorized","reconnect":false})");
  WebSocketClient ann = cable(kAnnClaims);
  WebSocketClient bob = cable(kBobClaims);

  const std::string chat = R"({"channel":"ChatChannel","room_id":7,"theme":{"any":"thing"}})";
  ASSERT_TRUE(subscribe(ann, chat));
  ASSERT_TRUE(subscribe(bob, chat));
  EXPECT_FALSE(subscribe(bob, R"({"channel":"ChatChannel"})"));
  EXPECT_FALSE(subscribe(bob, R"({"channel":"ChatChannel","room_id":"General"})"))
      << "a character nobody listed";
  EXPECT_FALSE(subscribe(bob, R"({"channel":"ChatChannel","room_id":[7]})"));
  EXPECT_FALSE(subscribe(bob, chat_identifier(std::string(41, 'a'))));
  ann.send(cable_perform(chat, R"({"message":"</script>\n","sender":"root"})"));
  const std::string heard =
      cable_broadcast(chat, R"({"message":"\u003c/script\u003e\n","sender":"gid://board/User/ann"})");
  EXPECT_EQ(next(ann), heard);
  EXPECT_EQ(next(bob), heard);
  ann.send(cable_perform(chat, R"({"message":")" + std::string(5000, 'x') + R"("})"));
  ann.send(cable_perform(chat, R"({"message":1.10})"));
  EXPECT_EQ(next(bob), cable_broadcast(chat, R"({"message":1.10,"sender":"gid://board/User/ann"})"));
  EXPECT_EQ(next(ann), cable_broadcast(chat, R"({"message":1.10,"sender":"gid://board/User/ann"})"));
  EXPECT_EQ(refused("size"), 1u);

  const std::string notifications = R"({"channel":"NotificationsChannel"})";
  ASSERT_TRUE(subscribe(ann, notifications));
  ASSERT_TRUE(subscribe(bob, notifications));
  ASSERT_EQ(post("/_broadcast", envelope("notifications:" + base64url("gid://board/User/ann"), R"({"n":1})")),
            201);
  ASSERT_EQ(post("/_broadcast", envelope("notifications:" + base64url("gid://board/User/bob"), R"({"n":2})")),
            201);
  EXPECT_EQ(next(ann), cable_broadcast(notifications, R"({"n":1})"));
  EXPECT_EQ(next(bob), cable_broadcast(notifications, R"({"n":2})")) << "and nothing of ann's";

  const std::string comments = R"({"channel":"CommentsChannel","post_id":"3"})";
  ASSERT_TRUE(subscribe(ann, comments));
  EXPECT_FALSE(subscribe(ann, R"({"channel":"CommentsChannel","post_id":"3/4"})"));
  ASSERT_EQ(post("/_broadcast", envelope("comments:" + base64url("gid://board/Post/3"), R"("new")")), 201);
  EXPECT_EQ(next(ann), cable_broadcast(comments, R"("new")"));
  ann.send(cable_perform(comments, R"({"action":"typing"})"));
  EXPECT_EQ(next(ann), cable_broadcast(comments, R"({"typing":"gid://board/User/ann"})"));

  EXPECT_TRUE(subscribe(ann, ticker_identifier("ACME")));
  EXPECT_FALSE(subscribe(ann, ticker_identifier("OTHER")));
  EXPECT_FALSE(subscribe(bob, ticker_identifier("ACME")));
}

TEST_F(DeclaredServer, ReadmesRoomsAsInSinatraOnAnyAddress) {
  ASSERT_NO_FATAL_FAILURE(start(readme_examples().at(1), {"--listen", "0.0.0.0:0"}));
  // The greeting names the port that was picked.
  std::string greeting;
  for (const auto deadline = std::chrono::steady_clock::now() + kPatience;
       !greeting.ends_with('\n') && std::chrono::steady_clock::now() < deadline;
       std::this_thread::sleep_for(std::chrono::milliseconds(5))) {
    greeting = server_->standard_output();
  }
  const size_t at = greeting.find("http://0.0.0.0:");
  ASSERT_NE(at, greeting.npos) << greeting;
  const auto port = static_cast<uint16_t>(std::stoul(greeting.substr(at + 15)));
  const auto enter = [&](std::string_view room, std::string_view headers) {
    return WebSocketClient::connect(port, "/websocket/" + std::string(room), headers);
  };
  EXPECT_EQ(enter("general", "").answer().status, 401);
  EXPECT_EQ(enter("general", "").answer().header("WWW-Authenticate"), "Bearer");
  EXPECT_EQ(enter("general", "Authorization: Bearer x.y.z\r\n").answer().status, 401);
  EXPECT_EQ(enter("b", bearer(kAnnClaims)).answer().status, 403);
  EXPECT_EQ(enter("b", bearer(kBobClaims)).answer().status, 101);
  EXPECT_EQ(enter("general", bearer(kAnnClaims) + "Origin: https://elsewhere.example\r\n").answer().status,
            403);

  WebSocketClient ann = enter("general", bearer(kAnnClaims));
  WebSocketClient bob = enter("general", bearer(kBobClaims));
  EXPECT_EQ(next(ann), R"({"message":"Welcome to general, Ann!","sender":"Server"})");
  EXPECT_EQ(next(bob), R"({"message":"Welcome to general, Bob!","sender":"Server"})");
  ann.send(encode({.payload = R"({"message":{"any":[1.10]},"sender":"root"})"}));
  EXPECT_EQ(next(bob), R"({"message":{"any":[1.10]},"sender":"Ann"})");
  EXPECT_EQ(next(ann), R"({"message":{"any":[1.10]},"sender":"Ann"})");
  ASSERT_EQ(post("/send_message_to_room/general", R"({"message":"hello","sender":"cron"})"), 200);
  EXPECT_EQ(next(ann), R"({"message":"hello","sender":"cron"})");
  EXPECT_EQ(next(bob), R"({"message":"hello","sender":"cron"})");
  ann.send(encode({.payload = "no JSON"}));
  EXPECT_TRUE(next(ann).starts_with(R"({"error":"Invalid JSON format: )"));
  ann.send(encode({.payload = R"({"message":")" + std::string(17 * kKiB, 'x') + R"("})"}));
  EXPECT_EQ(next(ann), R"({"error":"the message is too large"})");
  EXPECT_EQ(refused("message"), 1u);
  EXPECT_EQ(refused("size"), 1u);
  EXPECT_EQ(refused("rule"), 1u) << "ann at b";

  // Whoever has logged out is out, and so is whose token has expired.
  ASSERT_EQ(post("/_broadcast",
                 R"({"command":"disconnect","payload":{"identifiers":{"name":"Bob"},"reconnect":false}})"),
            201);
  EXPECT_EQ(next(bob), "close 1008 remote");
  const auto soon =
      std::chrono::duration_cast<std::chrono::seconds>(std::chrono::system_clock::now().time_since_epoch())
          .count() +
      2;
  WebSocketClient brief =
      enter("general", bearer(R"({"name":"Eve","rooms":["general"],"exp":)" + std::to_string(soon) + "}"));
  if (brief.open()) {
    EXPECT_TRUE(next(brief).starts_with(R"({"message":"Welcome)"));
    EXPECT_EQ(next(brief), "close 1008 token_expired");
  }
}

// --- Limits ------------------------------------------------------------------------------

TEST_F(DeclaredServer, WhatIsOverARateOrABoundIsRefusedAndCounted) {
  ASSERT_NO_FATAL_FAILURE(start(R"(
[[channel]]
name = "Slow"
stream = "slow"
  [channel.action.receive]
  broadcast = "{data.n}"
  rate = "2/h"
  [channel.action.twice]
  broadcast = "{data.text}{data.text}"
  max-payload-bytes = 100
[[route]]
path = "/slow"
stream = "slow"
anonymous = true
rate = "1/h"
publish = [{ value = "{text}", matches = "say *" }]
message = "{number}: {text}"
)"));
  const std::string identifier = R"({"channel":"Slow"})";
  WebSocketClient one = cable(), two = cable();
  ASSERT_TRUE(subscribe(one, identifier));
  ASSERT_TRUE(subscribe(two, identifier));
  for (int n = 1; n <= 5; ++n) one.send(cable_perform(identifier, R"({"n":)" + std::to_string(n) + "}"));
  two.send(cable_perform(identifier, R"({"n":6})"));  // each subscription has its own
  std::vector<std::string> heard = {next(one), next(one), next(one)};
  std::ranges::sort(heard);
  EXPECT_EQ(heard,
            (std::vector<std::string>{cable_broadcast(identifier, "1"), cable_broadcast(identifier, "2"),
                                      cable_broadcast(identifier, "6")}));
  EXPECT_TRUE(wait_for_metric(server_->port(), kRefused, 3, "reason=\"rate\""));
  one.send(cable_perform(identifier, R"({"action":"twice","text":")" + std::string(60, 'x') + R"("})"));
  one.send(cable_perform(identifier, R"({"action":"twice","text":"ab"})"));
  EXPECT_EQ(next(one), cable_broadcast(identifier, R"("abab")"));
  EXPECT_EQ(refused("payload"), 1u);
  EXPECT_TRUE(logged("event=action_refused"));

  WebSocketClient raw = WebSocketClient::connect(server_->port(), "/slow");
  ASSERT_TRUE(raw.open());
  raw.send(encode({.payload = "say \"hi\""}));
  const std::string said = next(raw);
  EXPECT_TRUE(said.ends_with(": say \"hi\"")) << "a text is passed on as text: " << said;
  raw.send(encode({.payload = "say more"}));
  EXPECT_EQ(next(raw), R"({"error":"too many messages"})");
  WebSocketClient other = WebSocketClient::connect(server_->port(), "/slow");
  other.send(encode({.payload = "shout"}));
  EXPECT_EQ(next(other), R"({"error":"not allowed: {text}"})");
}

TEST_F(DeclaredServer, TakesThePlaceOfTheDemosOwn) {
  ASSERT_NO_FATAL_FAILURE(start(R"(
[[channel]]
name = "ChatChannel"
stream = "chat_{params.room_id|channel}"
  [channel.action.receive]
  broadcast = { declared = "{data.message}" }
)",
                                {"--demo", "on"}));
  WebSocketClient client = cable();
  const std::string chat = R"({"channel":"ChatChannel"})";
  ASSERT_TRUE(subscribe(client, chat));
  client.send(cable_perform(chat, R"({"message":"hi"})"));
  EXPECT_EQ(next(client), cable_broadcast(chat, R"({"declared":"hi"})"));
  EXPECT_TRUE(subscribe(client, ticker_identifier("ACME"))) << "the others are there";
  EXPECT_EQ(http_get(server_->port(), "/").status, 200);
}

// --- Reload ------------------------------------------------------------------------------

TEST_F(DeclaredServer, AReloadHoldsForNewSubscriptionsAndForTheNextAction) {
  const std::string first = R"(
[[channel]]
name = "A"
stream = "a"
  [channel.action.receive]
  broadcast = { first = "{data.x}" }
[[channel]]
name = "Gone"
stream = "g"
  [channel.action.receive]
  broadcast = "{data.x}"
[[route]]
path = "/r"
stream = "r"
anonymous = true
message = "first {text}"
)";
  ASSERT_NO_FATAL_FAILURE(start(first));
  WebSocketClient client = cable();
  const std::string a = R"({"channel":"A"})", b = R"({"channel":"B"})", gone = R"({"channel":"Gone"})";
  ASSERT_TRUE(subscribe(client, a));
  ASSERT_TRUE(subscribe(client, gone));
  EXPECT_FALSE(subscribe(client, b));
  client.send(cable_perform(a, R"({"x":1})"));
  EXPECT_EQ(next(client), cable_broadcast(a, R"({"first":1})"));
  WebSocketClient raw = WebSocketClient::connect(server_->port(), "/r");
  raw.send(encode({.payload = "x"}));
  EXPECT_EQ(next(raw), "first x");

  ASSERT_NO_FATAL_FAILURE(reload(R"(
[[channel]]
name = "A"
stream = "a"
allow = [{ value = "{params.key}", equals = "open" }]
  [channel.action.receive]
  broadcast = { second = "{data.x}" }
[[channel]]
name = "B"
stream = "b"
[[route]]
path = "/r"
stream = "r"
anonymous = true
message = "second {text}"
[[route]]
path = "/new"
stream = "n"
anonymous = true
)"));
  EXPECT_TRUE(logged("event=route_needs_restart path=/new"));
  client.send(cable_perform(a, R"({"x":2})"));
  EXPECT_EQ(next(client), cable_broadcast(a, R"({"second":2})")) << "an old subscription, a new action";
  client.send(cable_perform(gone, R"({"x":2})"));
  EXPECT_TRUE(subscribe(client, b));
  EXPECT_EQ(refused("rule"), 1u) << "an action of a channel that is gone";
  EXPECT_FALSE(subscribe(client, R"({"channel":"Gone","again":1})"));
  EXPECT_FALSE(subscribe(client, R"({"channel":"A","key":"shut"})"));
  WebSocketClient other = cable();
  EXPECT_TRUE(subscribe(other, R"({"channel":"A","key":"open"})"));
  raw.send(encode({.payload = "x"}));
  EXPECT_EQ(next(raw), "second x");
  EXPECT_EQ(WebSocketClient::connect(server_->port(), "/new").answer().status, 404);

  // A broken file changes nothing, and says where it is broken.
  config_.write("[[channel]]\nname = \"A\"\nstream = \"{nobody.x}\"\n");
  server_->signal(SIGHUP);
  EXPECT_TRUE(logged("event=not_reloaded"));
  EXPECT_TRUE(
      logged(config_.path() + ":3: channel A: stream: {nobody.x}: here there are params, identifiers"));
  client.send(cable_perform(a, R"({"x":3})"));
  EXPECT_EQ(next(client), cable_broadcast(a, R"({"second":3})"));

  ASSERT_NO_FATAL_FAILURE(reload("[[channel]]\nname = \"A\"\nstream = \"a\"\n"));
  EXPECT_TRUE(logged("event=route_needs_restart path=/r"));
  EXPECT_EQ(WebSocketClient::connect(server_->port(), "/r").answer().status, 403) << "declared no longer";
  raw.send(encode({.payload = "x"}));
  EXPECT_EQ(next(raw), R"({"error":"the route is no longer declared"})");
}

// Of everything a file holds: tokens' secret, and the key of those who publish.
TEST_F(DeclaredServer, AReloadReadsSecretsAgainAndKeepsWhoIsThere) {
  const std::string text = R"(
identified-by = ["user=jwt.sub"]
jwt-secret-file = "jwt_secret"
[[channel]]
name = "A"
stream = "a"
)";
  test::SecretFile secret("an older secret of tokens, long enough as well");
  std::string placed_text = text;
  placed_text.replace(placed_text.find("jwt_secret"), 10, secret.path());
  ASSERT_NO_FATAL_FAILURE(start(placed_text));
  const auto welcome = [&] {
    WebSocketClient client = WebSocketClient::connect(server_->port(), "/cable", bearer(R"({"sub":"ann"})"));
    return next(client) == kCableWelcome;
  };
  EXPECT_FALSE(welcome());
  EXPECT_EQ(post("/_broadcast", envelope("a", "1")), 201);
  secret.write(kSecret);
  key_.write("another");
  ASSERT_NO_FATAL_FAILURE(reload(placed_text));
  // Each shard takes them in a turn of its own.
  bool in = false;
  for (const auto deadline = std::chrono::steady_clock::now() + kPatience;
       !in && std::chrono::steady_clock::now() < deadline;) {
    in = welcome();
  }
  EXPECT_TRUE(in);
  EXPECT_EQ(post("/_broadcast", envelope("a", "1")), 401);
  // What cannot be used changes nothing.
  secret.write("two\nlines\n");
  server_->signal(SIGHUP);
  EXPECT_TRUE(logged("event=not_reloaded"));
  EXPECT_TRUE(logged("holds more than one line"));
  EXPECT_TRUE(welcome());
}

TEST_F(DeclaredServer, DoesNotStartWithAMistake) {
  config_.write("[[channel]]\nname = \"A\"\n");
  const ProgramResult ended = run_binary({"--config", config_.path(), "--listen", "127.0.0.1:0"});
  EXPECT_EQ(ended.exit_code, 2);
  EXPECT_EQ(ended.error, "ringcast: " + config_.path() + ":1: channel A: it has no stream\n");
}

}  // namespace
}  // namespace ringcast::blackbox
