// Who is connected, as an embedder asks it: cookies, tokens and headers of a request,
// identifiers from sources, a token's end on the live socket, streams by signed name.
#include <gtest/gtest.h>

#include <chrono>
#include <mutex>
#include <string>
#include <vector>

#include "auth/keys.h"
#include "auth/signed_stream.h"
#include "peer.h"
#include "ringcast/server.h"
#include "support/rails_signer.h"
#include "support/secret_file.h"

namespace ringcast {
namespace {

using test::encrypt_message;
using test::enveloped;
using test::Peer;
using test::SecretFile;
using test::sign_jwt;
using test::sign_message;

constexpr std::string_view kSecret = "a secret_key_base of this test's own";
constexpr std::string_view kJwtSecret = "a secret that tokens of this test are signed with";
constexpr std::string_view kWelcome = R"({"type":"welcome"})";
constexpr std::string_view kUnauthorized =
    R"({"type":"disconnect","reason":"unauthorized","reconnect":false})";

std::string disconnected(std::string_view reason, bool reconnect) {
  return Json({{"type", "disconnect"}, {"reason", reason}, {"reconnect", reconnect}}).dump();
}

HmacKey signing_key() {
  return HmacKey(derive_rails_key(kSecret, "signed cookie", 64, Digest::sha256), Digest::sha1);
}
std::string signed_value(std::string_view name, std::string_view json) {
  return sign_message(signing_key(), enveloped(json, "null", "\"cookie." + std::string(name) + "\""));
}
std::string encrypted_value(std::string_view name, std::string_view json) {
  std::string value =
      encrypt_message(derive_rails_key(kSecret, "authenticated encrypted cookie", 32, Digest::sha256),
                      enveloped(json, "null", "\"cookie." + std::string(name) + "\""));
  // As Rails writes it: only '+' would read back as something else.
  for (size_t at = 0; (at = value.find('+', at)) != value.npos;) value.replace(at, 1, "%2B");
  return value;
}
std::string token(const Json& claims) {
  return sign_jwt(HmacKey(as_bytes(kJwtSecret), Digest::sha256), R"({"alg":"HS256"})", claims.dump());
}
int64_t unix_ms() {
  return std::chrono::duration_cast<std::chrono::milliseconds>(
             std::chrono::system_clock::now().time_since_epoch())
      .count();
}

class Identity : public testing::Test {
 protected:
  Identity() {
    options_.listen = {"127.0.0.1:0"};
    options_.shards = 1;
    options_.handle_signals = false;
    options_.secret_key_base_file = secret_.path();
    options_.jwt_secret_file = jwt_secret_.path();
    options_.streams_secret_file = streams_secret_.path();
    options_.log_sink = [this](std::string_view line) {
      const std::lock_guard lock(log_mutex_);
      log_ += std::string(line) + "\n";
    };
  }

  // A server whose /cable is identified by that source, as current_user.
  void start(std::string_view source) {
    server_.emplace(options_);
    server_->cable("/cable").identified_by("current_user", source);
    const StartResult started = server_->start();
    ASSERT_TRUE(started) << started.error;
  }

  // The first message to a client with those headers.
  std::string answer(std::string_view headers, std::string_view query = {}) {
    Peer peer(server_->addresses()[0]);
    EXPECT_EQ(peer.upgrade("/cable" + std::string(query), headers), 101);
    const std::string first = peer.next();
    if (first != kWelcome) {
      EXPECT_EQ(peer.next(), "close:1000 ");
    }
    return first;
  }

  // What is in the log once the server has ended.
  std::string log() {
    server_.reset();
    const std::lock_guard lock(log_mutex_);
    return log_;
  }

  const SecretFile secret_{std::string(kSecret) + "\n"};
  const SecretFile jwt_secret_{kJwtSecret};
  const SecretFile streams_secret_{"streams-secret"};
  std::mutex log_mutex_;
  std::string log_;
  Options options_;
  std::optional<Server> server_;
};

TEST_F(Identity, ARequestReadsWhatRailsWrote) {
  server_.emplace(options_);
  server_->get("/who", [](const Request& request, Response& response) {
    const auto id = request.signed_cookie("user_id");
    const auto session = request.encrypted_cookie("_app_session");
    response.json({{"id", id ? *id : Json("nobody")},
                   {"session", session ? *session : Json("none")},
                   {"claims", request.jwt_claims()}});
  });
  ASSERT_TRUE(server_->start());
  const auto who = [&](const std::string& headers) {
    Peer peer(server_->addresses()[0]);
    EXPECT_EQ(peer.request("GET", "/who", headers), 200);
    return peer.body();
  };
  EXPECT_EQ(who(""), R"({"id":"nobody","session":"none","claims":null})");
  EXPECT_EQ(who("Cookie: a=b; user_id=" + signed_value("user_id", "42") +
                "; _app_session=" + encrypted_value("_app_session", R"({"cart":[7]})") + "\r\n" +
                "Authorization: Bearer " + token({{"sub", "x"}}) + "\r\n"),
            R"({"id":42,"session":{"cart":[7]},"claims":{"sub":"x"}})");
  // Good for another name only; nil; plain.
  EXPECT_EQ(who("Cookie: user_id=" + signed_value("admin_id", "42") + "\r\n"),
            R"({"id":"nobody","session":"none","claims":null})");
  EXPECT_EQ(who("Cookie: user_id=" + signed_value("user_id", "null") + "\r\n"),
            R"({"id":"nobody","session":"none","claims":null})");
  EXPECT_EQ(who("Cookie: user_id=42\r\n"), R"({"id":"nobody","session":"none","claims":null})");
}

TEST_F(Identity, ASourceDecidesWhoIsLetIn) {
  start("gid://app/User/{cookies.signed.user_id}");
  EXPECT_EQ(answer("Cookie: user_id=" + signed_value("user_id", "42") + "\r\n"), kWelcome);
  EXPECT_EQ(answer(""), kUnauthorized);
  EXPECT_EQ(answer("Cookie: user_id=42\r\n"), kUnauthorized);
  EXPECT_EQ(answer("Cookie: user_id=" + signed_value("other", "42") + "\r\n"), kUnauthorized);
  const std::string lines = log();
  EXPECT_NE(lines.find("the signed cookie user_id is missing"), lines.npos) << lines;
  EXPECT_EQ(lines.find("event=anonymous"), lines.npos) << lines;
}

TEST_F(Identity, MarshalIsNamedInTheLogAndNeverRead) {
  start("cookies.signed.user_id");
  EXPECT_EQ(
      answer("Cookie: user_id=" + sign_message(signing_key(), std::string_view("\x04\x08i/", 4)) + "\r\n"),
      kUnauthorized);
  const std::string lines = log();
  EXPECT_NE(lines.find("event=cookie_not_json"), lines.npos) << lines;
}

// The first place that holds a token decides: a valid one further down does not help.
TEST_F(Identity, TokensAreFoundWhereClientsPutThem) {
  start("jwt.sub");
  const std::string good = token({{"sub", "u"}});
  EXPECT_EQ(answer("Authorization: bearer  " + good + "\r\n"), kWelcome);
  EXPECT_EQ(answer("X-JID: " + good + "\r\n"), kWelcome);
  EXPECT_EQ(answer("Sec-WebSocket-Protocol: actioncable-v1-json, anycable-token." + good + "\r\n"), kWelcome);
  EXPECT_EQ(answer("", "?jid=" + good), kWelcome);
  EXPECT_EQ(answer("", "?token=" + good), kWelcome);
  // A proxy's own password is no token, so the next place counts.
  EXPECT_EQ(answer("Authorization: Basic dTpw\r\n", "?jid=" + good), kWelcome);

  EXPECT_EQ(answer("Authorization: Bearer x\r\n", "?jid=" + good), kUnauthorized);
  EXPECT_EQ(answer("X-JID: x\r\n", "?jid=" + good), kUnauthorized);
  EXPECT_EQ(answer("", "?jid=" + good + "x"), kUnauthorized);
  EXPECT_EQ(answer(""), kUnauthorized);
  EXPECT_EQ(answer("X-JID: " + token({{"name", "no sub"}}) + "\r\n"), kUnauthorized);
}

TEST_F(Identity, ATokenOfferedAsASubprotocolIsNeverSelected) {
  start("jwt.sub");
  Peer peer(server_->addresses()[0]);
  ASSERT_EQ(peer.upgrade("/cable", "Sec-WebSocket-Protocol: anycable-token." + token({{"sub", "u"}}) +
                                       ", actioncable-v1-json\r\n"),
            101);
  EXPECT_NE(peer.head().find("Sec-WebSocket-Protocol: actioncable-v1-json\r\n"), std::string::npos);
  EXPECT_EQ(peer.next(), kWelcome);
}

TEST_F(Identity, AnExpiredTokenIsToldAtTheDoor) {
  start("jwt.sub");
  EXPECT_EQ(answer("X-JID: " + token({{"sub", "u"}, {"exp", unix_ms() / 1000 - 1}}) + "\r\n"),
            disconnected("token_expired", false));
}

TEST_F(Identity, AConnectionEndsWithItsToken) {
  server_.emplace(options_);
  server_->cable("/cable").identified_by("user", "jwt.sub");
  server_->cable("/asked").authorize([](const Request& request) { return !request.jwt_claims().is_null(); });
  ASSERT_TRUE(server_->start());
  for (const char* path : {"/cable", "/asked"}) {
    const int64_t expires_unix_s = unix_ms() / 1000 + 3;
    Peer peer(server_->addresses()[0]);
    ASSERT_EQ(peer.upgrade(path, "X-JID: " + token({{"sub", "u"}, {"exp", expires_unix_s}}) + "\r\n"), 101);
    ASSERT_EQ(peer.next(), kWelcome);
    EXPECT_EQ(peer.next(), disconnected("token_expired", true)) << path;
    EXPECT_GE(unix_ms(), expires_unix_s * 1000) << path;
    EXPECT_EQ(peer.next(), "close:1000 ");
  }
}

TEST_F(Identity, AHeaderCountsOnlyFromATrustedProxyAndOnlyOnce) {
  options_.trusted_proxy = {"127.0.0.1"};
  start("header.X-User");
  EXPECT_EQ(answer("X-User: ann\r\n"), kWelcome);
  EXPECT_EQ(answer("X-User: ann\r\nx-user: root\r\n"), kUnauthorized);
  EXPECT_EQ(answer(""), kUnauthorized);
  options_.trusted_proxy = {"10.0.0.1"};
  start("header.X-User");
  EXPECT_EQ(answer("X-User: ann\r\n"), kUnauthorized);
}

TEST_F(Identity, TheOptionsIdentifyCablesThatNameNothingThemselves) {
  options_.identified_by = {"current_user=query.u"};
  struct Who : Channel {
    void subscribed() override { transmit(connection().identifiers()); }
  };
  server_.emplace(options_);
  server_->cable("/cable").channel<Who>("Who");
  server_->cable("/own").identified_by("other", "query.o").channel<Who>("Who");
  ASSERT_TRUE(server_->start());
  const auto identifiers = [&](std::string_view target) {
    Peer peer(server_->addresses()[0]);
    EXPECT_EQ(peer.upgrade(target), 101);
    const std::string first = peer.next();
    if (first != kWelcome) return first;
    peer.send_text(R"({"command":"subscribe","identifier":"{\"channel\":\"Who\"}"})");
    return Json::parse(peer.next()).value_or(Json())["message"].dump();
  };
  EXPECT_EQ(identifiers("/cable?u=ann"), R"({"current_user":"ann"})");
  EXPECT_EQ(identifiers("/cable?o=ann"), kUnauthorized);
  EXPECT_EQ(identifiers("/own?o=ann"), R"({"other":"ann"})");
  EXPECT_EQ(identifiers("/own?u=ann"), kUnauthorized);
}

TEST_F(Identity, IdentifiersAreTheTagsOfWhatAConnectionLogs) {
  start("gid://app/User/{query.u}");
  Peer peer(server_->addresses()[0]);
  ASSERT_EQ(peer.upgrade("/cable?u=7"), 101);
  ASSERT_EQ(peer.next(), kWelcome);
  peer.send_text("nonsense");
  peer.send_text(R"({"command":"subscribe","identifier":"{\"channel\":\"None\"}"})");
  ASSERT_NE(peer.next().find("reject_subscription"), std::string::npos);
  const std::string lines = log();
  EXPECT_NE(lines.find("[current_user:gid://app/User/7]"), lines.npos) << lines;
}

TEST_F(Identity, MistakesAreOneSentenceAtTheStart) {
  const auto problem = [&](std::string_view source) {
    server_.emplace(options_);
    server_->cable("/cable").identified_by("current_user", source);
    return server_->start().error;
  };
  EXPECT_NE(problem("cookies.user_id").find("anybody can write a plain cookie"), std::string::npos);
  EXPECT_EQ(problem("header.X-User"), "identified_by: current_user=header.X-User needs a trusted-proxy");
  options_.secret_key_base_file.clear();
  EXPECT_EQ(problem("cookies.signed.user_id"),
            "identified_by: current_user=cookies.signed.user_id needs secret-key-base-file");
  options_.jwt_secret_file.clear();
  EXPECT_EQ(problem("jwt.sub"),
            "identified_by: current_user=jwt.sub needs jwt-secret-file or jwt-public-key-file");
  options_.secret_key_base_file = "/nonexistent/secret";
  EXPECT_EQ(problem("query.u"), "secret-key-base-file: '/nonexistent/secret' cannot be read");
}

TEST_F(Identity, WithoutIdentifiersTheLogSaysThatNobodyIsAsked) {
  server_.emplace(options_);
  server_->cable("/cable");
  server_->cable("/guarded").authorize([](const Request&) { return true; });
  ASSERT_TRUE(server_->start());
  const std::string lines = log();
  EXPECT_NE(lines.find("event=anonymous route=/cable"), lines.npos) << lines;
  EXPECT_EQ(lines.find("route=/guarded"), lines.npos) << lines;
}

// --- Streams by name ---------------------------------------------------------------------

class SignedStreams : public Identity {
 protected:
  std::string subscribe(const Json& identifier) {
    const std::string name = identifier.dump();
    peer_->send_text(Json({{"command", "subscribe"}, {"identifier", name}}).dump());
    return Json::parse(peer_->next()).value_or(Json()).string("type");
  }

  void start() {
    server_.emplace(options_);
    server_->cable("/cable");
    ASSERT_TRUE(server_->start());
    peer_.emplace(server_->addresses()[0]);
    ASSERT_EQ(peer_->upgrade("/cable"), 101);
    ASSERT_EQ(peer_->next(), kWelcome);
  }

  std::optional<Peer> peer_;
};

TEST_F(SignedStreams, TurboAndPubsubTakeNamesThatVerify) {
  options_.turbo_streams = true;
  start();
  const HmacKey turbo(derive_rails_key(kSecret, "turbo/signed_stream_verifier_key", 64, Digest::sha256),
                      Digest::sha256);
  const HmacKey pubsub = signed_stream_key("streams-secret");
  const std::string room = sign_message(turbo, R"("room:1")");
  const std::string news = sign_message(pubsub, R"("news")");
  EXPECT_EQ(subscribe({{"channel", "Turbo::StreamsChannel"}, {"signed_stream_name", room}}),
            "confirm_subscription");
  EXPECT_EQ(subscribe({{"channel", "$pubsub"}, {"signed_stream_name", news}}), "confirm_subscription");
  ASSERT_EQ(server_->broadcast("room:1", Json("<turbo-stream>")), BroadcastStatus::ok);
  EXPECT_EQ(Json::parse(peer_->next()).value_or(Json())["message"], Json("<turbo-stream>"));

  // Each by its own key alone; unsigned; without a name; one byte off.
  EXPECT_EQ(subscribe({{"channel", "Turbo::StreamsChannel"}, {"signed_stream_name", news}}),
            "reject_subscription");
  EXPECT_EQ(subscribe({{"channel", "$pubsub"}, {"signed_stream_name", room}}), "reject_subscription");
  EXPECT_EQ(subscribe({{"channel", "$pubsub"}, {"stream_name", "news"}}), "reject_subscription");
  EXPECT_EQ(subscribe({{"channel", "$pubsub"}}), "reject_subscription");
  EXPECT_EQ(subscribe({{"channel", "$pubsub"}, {"signed_stream_name", sign_message(pubsub, R"("")")}}),
            "reject_subscription");
  EXPECT_EQ(subscribe({{"channel", "$pubsub"}, {"signed_stream_name", news + "0"}}), "reject_subscription");
}

TEST_F(SignedStreams, NothingIsOpenThatWasNotSwitchedOn) {
  options_.streams_secret_file.clear();
  start();
  const HmacKey turbo(derive_rails_key(kSecret, "turbo/signed_stream_verifier_key", 64, Digest::sha256),
                      Digest::sha256);
  EXPECT_EQ(subscribe({{"channel", "Turbo::StreamsChannel"},
                       {"signed_stream_name", sign_message(turbo, R"("room:1")")}}),
            "reject_subscription");
  EXPECT_EQ(subscribe({{"channel", "$pubsub"},
                       {"signed_stream_name", sign_message(signed_stream_key(""), R"("news")")}}),
            "reject_subscription");
}

// A signed name decides where there is one, also when it does not verify.
TEST_F(SignedStreams, PublicStreamsAreOpenByName) {
  options_.public_streams = true;
  start();
  EXPECT_EQ(subscribe({{"channel", "$pubsub"}, {"stream_name", "news"}}), "confirm_subscription");
  EXPECT_EQ(subscribe({{"channel", "$pubsub"}, {"stream_name", "news"}, {"signed_stream_name", "x"}}),
            "reject_subscription");
  EXPECT_EQ(subscribe({{"channel", "$pubsub"}, {"stream_name", ""}}), "reject_subscription");
}

}  // namespace
}  // namespace ringcast
