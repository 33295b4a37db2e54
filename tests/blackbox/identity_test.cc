// Who gets in: real Rails cookies against the binary, whole and forged at every byte; tokens,
// also when they expire on an open socket; streams by signed name; foreign origins.
// Signs with OpenSSL itself and shares no code with src/auth.
#include <gtest/gtest.h>

#include <chrono>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "blackbox/cable.h"
#include "blackbox/client.h"
#include "blackbox/server_process.h"
#include "blackbox/tokens.h"
#include "support/secret_file.h"
#include "support/vectors.h"

namespace ringcast::blackbox {
namespace {

using test::SecretFile;

constexpr std::string_view kUnauthorized =
    R"({"type":"disconnect","reason":"unauthorized","reconnect":false})";

// As a browser sends back what Rails wrote into Set-Cookie.
std::string form_encoded(std::string_view text) {
  std::string out;
  for (const char c : text) {
    if (std::isalnum(static_cast<unsigned char>(c)) != 0 || c == '-' || c == '_' || c == '.') {
      out += c;
      continue;
    }
    constexpr char kHex[] = "0123456789ABCDEF";
    out += {'%', kHex[static_cast<unsigned char>(c) >> 4], kHex[static_cast<unsigned char>(c) & 15]};
  }
  return out;
}

std::string cookie(std::string_view value) {
  return "Cookie: theme=dark; user_id=" + form_encoded(value) + "\r\n";
}

int64_t unix_ms() {
  return std::chrono::duration_cast<std::chrono::milliseconds>(
             std::chrono::system_clock::now().time_since_epoch())
      .count();
}

class IdentityOf : public ::testing::Test {
 protected:
  void start(std::vector<std::string> arguments) {
    std::string why_not;
    server_ = ServerProcess::start({.arguments = std::move(arguments)}, why_not);
    ASSERT_NE(server_, nullptr) << why_not;
  }

  WebSocketClient connect(std::string_view headers, std::string_view query = {}) {
    return WebSocketClient::connect(server_->port(), "/cable" + std::string(query), headers);
  }

  // The next text that is no ping; "close CODE REASON" and "end" for what they are.
  static std::string next(WebSocketClient& client) {
    for (;;) {
      const auto frame = client.next();
      if (!frame) return "end";
      if (frame->opcode == 8) return "close " + std::to_string(frame->close_code()) + frame->close_reason();
      if (frame->opcode == 1 && !is_cable_ping(frame->payload)) return frame->payload;
    }
  }

  // The first answer to who comes with these headers; behind a refusal nothing but a close.
  std::string answer(std::string_view headers, std::string_view query = {}) {
    WebSocketClient client = connect(headers, query);
    if (!client.open()) return "status " + std::to_string(client.answer().status);
    std::string first = next(client);
    if (first != kCableWelcome) {
      EXPECT_EQ(next(client), "close 1000");
    }
    return first;
  }

  // What others see as the sender of what comes with these headers, as JSON.
  std::string sender(std::string_view headers) {
    WebSocketClient client = connect(headers);
    const std::string identifier = chat_identifier("who");
    client.send(cable_subscribe(identifier) + cable_perform(identifier, R"({"message":"x"})"));
    if (const std::string first = next(client); first != kCableWelcome) return first;
    EXPECT_EQ(next(client), cable_confirmation(identifier));
    const Json heard = Json::parse(next(client)).value_or(Json());
    return heard["message"]["sender"].dump();
  }

  std::unique_ptr<ServerProcess> server_;
};

// --- Rails' cookies ------------------------------------------------------------------

class Cookies : public IdentityOf {
 protected:
  static constexpr std::string_view kName = "hex128";

  Cookies() : file_(test::read_vectors("cookies_rails72.json")) {
    for (const Json& key : file_["keys"].elements()) {
      if (key["name"].text() == kName) secret_.write(key.string("secret_key_base") + "\n");
    }
  }

  // Recorded ones of that key whose value can be somebody: a scalar that is not nil.
  std::vector<const Json*> usable(std::string_view list, std::string_view digest) {
    std::vector<const Json*> found;
    for (const Json& vector : file_[list].elements()) {
      const Json& value = vector["value"];
      if (vector["key"].text() != kName || vector["verdict"]["accepted"].as_bool() != true) continue;
      if (vector.has("digest") && vector["digest"].text() != digest) continue;
      if (value.is_number() || (value.is_string() && !value.text().empty() && value.text() != " ")) {
        found.push_back(&vector);
      }
    }
    return found;
  }

  void expect_each_forged_byte_refused(std::string value) {
    for (size_t i = 0; i < value.size(); ++i) {
      value[i] ^= 1;
      ASSERT_EQ(answer(cookie(value)), kUnauthorized) << "byte " << i << " of " << value;
      value[i] ^= 1;
    }
    EXPECT_EQ(answer(cookie(value)), kCableWelcome);
  }

  const Json file_;
  SecretFile secret_{""};
};

TEST_F(Cookies, SignedOnesThatRailsWroteSayWhoItIs) {
  start({"--identified-by", "current_user=cookies.signed.user_id", "--secret-key-base-file", secret_.path()});
  const auto vectors = usable("signed", "default");
  ASSERT_GT(vectors.size(), 10u);
  for (const Json* vector : vectors) {
    EXPECT_EQ(sender(cookie((*vector)["cookie_value"].text())), (*vector)["value"].dump()) << vector->dump();
  }
  for (const Json& vector : file_["negative"].elements()) {
    // Either derivation is tried, since each is some release's default.
    if (vector["kind"].text() != "signed" || vector["verdict"]["accepted"].as_bool() == true ||
        vector["case"].text() == "key derived with SHA1") {
      continue;
    }
    EXPECT_EQ(answer(cookie(vector["cookie_value"].text())), kUnauthorized) << vector.dump();
  }
  expect_each_forged_byte_refused(vectors.front()->string("cookie_value"));
  EXPECT_EQ(answer(""), kUnauthorized);
  EXPECT_EQ(answer("Cookie: user_id=1\r\n"), kUnauthorized);
  // One made for another cookie, or found in another place.
  EXPECT_EQ(answer("Cookie: admin_id=" + form_encoded(vectors.front()->string("cookie_value")) + "\r\n"),
            kUnauthorized);
}

TEST_F(Cookies, EncryptedOnesToo) {
  start({"--identified-by", "current_user=cookies.encrypted.user_id", "--secret-key-base-file",
         secret_.path()});
  const auto vectors = usable("encrypted", "");
  ASSERT_GT(vectors.size(), 10u);
  for (const Json* vector : vectors) {
    EXPECT_EQ(sender(cookie((*vector)["cookie_value"].text())), (*vector)["value"].dump()) << vector->dump();
  }
  expect_each_forged_byte_refused(vectors.front()->string("cookie_value"));
}

TEST_F(Cookies, AnotherDigestIsAcceptedOnlyWhereItIsTheApplications) {
  const auto sha1 = usable("signed", "default");
  const auto sha256 = usable("signed", "SHA256");
  ASSERT_FALSE(sha256.empty());
  start({"--identified-by", "current_user=cookies.signed.user_id", "--secret-key-base-file", secret_.path(),
         "--signed-cookie-digest", "sha256"});
  EXPECT_EQ(answer(cookie((*sha256.front())["cookie_value"].text())), kCableWelcome);
  EXPECT_EQ(answer(cookie((*sha1.front())["cookie_value"].text())), kUnauthorized);
}

TEST_F(Cookies, ARotatedSecretIsAcceptedAndAModelIsNamedAsRailsNamesIt) {
  const SecretFile current("the secret of today");
  start({"--identified-by", "current_user=gid://app/User/{cookies.signed.user_id}", "--secret-key-base-file",
         current.path(), "--old-secret-key-base-file", secret_.path()});
  const Json& vector = *usable("signed", "default").front();
  EXPECT_EQ(sender(cookie(vector["cookie_value"].text())),
            "\"gid://app/User/" + vector.string("value") + "\"");
}

TEST_F(Cookies, WithoutAnIdentifierTheLogSaysThatConnectionsAreAnonymous) {
  start({});
  EXPECT_EQ(answer(""), kCableWelcome);
  EXPECT_EQ(server_->stop(), (ServerProcess::Exit{.code = 0}));
  EXPECT_NE(server_->standard_error().find("event=anonymous route=/cable"), std::string::npos);
}

// A good cookie in a foreign page's handshake is what the check of origins is for.
TEST_F(Cookies, AForeignPageGets404AndItsCookieIsNoHelp) {
  start({"--identified-by", "current_user=cookies.signed.user_id", "--secret-key-base-file", secret_.path(),
         "--allowed-origins", "https://app.example"});
  const std::string good = cookie((*usable("signed", "default").front())["cookie_value"].text());
  EXPECT_EQ(answer(good + "Origin: https://elsewhere.example\r\n"), "status 404");
  EXPECT_EQ(answer(good + "Origin: https://app.example\r\n"), kCableWelcome);
}

// --- Tokens --------------------------------------------------------------------------

class Tokens : public IdentityOf {
 protected:
  static constexpr std::string_view kSecret = "the secret of tokens, long enough for anybody";
  const SecretFile secret_{kSecret};
};

TEST_F(Tokens, SayWhoItIsUntilAnyByteIsForged) {
  start({"--identified-by", "current_user=jwt.sub", "--jwt-secret-file", secret_.path(), "--jwt-audience",
         "chat"});
  std::string token = jwt(kSecret, R"({"sub":"ann","aud":"chat"})");
  EXPECT_EQ(sender("Authorization: Bearer " + token + "\r\n"), "\"ann\"");
  EXPECT_EQ(sender("Sec-WebSocket-Protocol: actioncable-v1-json, anycable-token." + token + "\r\n"),
            "\"ann\"");
  EXPECT_EQ(answer("", "?jid=" + token), kCableWelcome);
  EXPECT_EQ(answer("", "?jid=" + jwt(kSecret, R"({"sub":"ann","aud":"shop"})")), kUnauthorized);
  EXPECT_EQ(answer("", "?jid=" + jwt("another secret", R"({"sub":"ann","aud":"chat"})")), kUnauthorized);
  EXPECT_EQ(answer("", "?jid=" + base64url(R"({"alg":"none"})") + "." +
                           base64url(R"({"sub":"ann","aud":"chat"})") + "."),
            kUnauthorized);
  for (size_t i = 0; i < token.size(); ++i) {
    token[i] ^= 1;
    ASSERT_EQ(answer("X-JID: " + token + "\r\n"), kUnauthorized) << "byte " << i << " of " << token;
    token[i] ^= 1;
  }
}

TEST_F(Tokens, EndTheSocketWhenTheyExpire) {
  start({"--identified-by", "current_user=jwt.ext/user", "--jwt-secret-file", secret_.path()});
  const auto token = [](int64_t expires_unix_s) {
    return jwt(kSecret, R"({"ext":"{\"user\":\"ann\"}","exp":)" + std::to_string(expires_unix_s) + "}");
  };
  const int64_t soon = unix_ms() / 1000 + 4;
  WebSocketClient ends = connect("", "?jid=" + token(soon));
  WebSocketClient stays = connect("", "?jid=" + token(soon + 100'000));
  ASSERT_EQ(next(ends), kCableWelcome);
  ASSERT_EQ(next(stays), kCableWelcome);
  EXPECT_EQ(next(ends), R"({"type":"disconnect","reason":"token_expired","reconnect":true})");
  EXPECT_GE(unix_ms(), soon * 1000);
  EXPECT_EQ(next(ends), "close 1000");
  stays.send(cable_subscribe(chat_identifier("1")));
  EXPECT_EQ(next(stays), cable_confirmation(chat_identifier("1")));
  // Coming back with the same one is of no use, and the client is told not to try.
  EXPECT_EQ(answer("", "?jid=" + token(soon)),
            R"({"type":"disconnect","reason":"token_expired","reconnect":false})");
}

TEST_F(Tokens, AreRenewedOnTheOpenSocketByTheSameUserAlone) {
  start({"--identified-by", "current_user=jwt.ext/user", "--jwt-secret-file", secret_.path()});
  const auto token = [](std::string_view user, int64_t expires_unix_s) {
    return jwt(kSecret, R"({"ext":"{\"user\":\")" + std::string(user) + R"(\"}","exp":)" +
                            std::to_string(expires_unix_s) + "}");
  };
  const int64_t soon = unix_ms() / 1000 + 4;
  const int64_t later = soon + 100'000;
  WebSocketClient ends = connect("", "?jid=" + token("bob", soon));
  WebSocketClient stays = connect("", "?jid=" + token("ann", soon));
  ASSERT_EQ(next(ends), kCableWelcome);
  ASSERT_EQ(next(stays), kCableWelcome);
  const auto refresh = [&](WebSocketClient& client, std::string_view with) {
    client.send(encode({.payload = R"({"command":"refresh","token":")" + std::string(with) + R"("})"}));
    return next(client);
  };
  constexpr std::string_view kRejected = R"({"type":"reject_refresh"})";
  std::string forged = token("bob", later);
  forged[forged.size() / 2] ^= 1;
  EXPECT_EQ(refresh(ends, forged), kRejected);
  EXPECT_EQ(refresh(ends, ""), kRejected);
  EXPECT_EQ(refresh(ends, token("bob", soon - 100)), kRejected);
  EXPECT_EQ(refresh(ends, token("ann", later)), kRejected);
  EXPECT_EQ(refresh(ends, jwt(kSecret, R"({"exp":)" + std::to_string(later) + "}")), kRejected);
  EXPECT_EQ(refresh(stays, token("ann", later)), R"({"type":"confirm_refresh"})");
  EXPECT_EQ(next(ends), R"({"type":"disconnect","reason":"token_expired","reconnect":true})");
  EXPECT_GE(unix_ms(), soon * 1000);
  stays.send(cable_subscribe(chat_identifier("1")));
  EXPECT_EQ(next(stays), cable_confirmation(chat_identifier("1")));
  // It can become shorter, too.
  EXPECT_EQ(refresh(stays, token("ann", unix_ms() / 1000 + 2)), R"({"type":"confirm_refresh"})");
  EXPECT_EQ(next(stays), R"({"type":"disconnect","reason":"token_expired","reconnect":true})");
}

TEST_F(IdentityOf, ATokenRenewsNothingThatCameWithoutOne) {
  start({});
  WebSocketClient client = connect("");
  ASSERT_EQ(next(client), kCableWelcome);
  client.send(encode({.payload = R"({"command":"refresh","token":"x.y.z"})"}));
  EXPECT_EQ(next(client), R"({"type":"reject_refresh"})");
}

// --- Streams by name -------------------------------------------------------------------

// Tokens that ActiveSupport and AnyCable made for these secrets.
TEST_F(IdentityOf, StreamsAreSubscribedToByNamesThatTheApplicationSigned) {
  std::string secret_key_base;
  for (int i = 0; i < 8; ++i) secret_key_base += "0123456789abcdef";
  const SecretFile rails(secret_key_base);
  const SecretFile streams("streams-secret\n");
  start({"--turbo-streams", "on", "--secret-key-base-file", rails.path(), "--streams-secret-file",
         streams.path()});
  WebSocketClient client = connect("");
  ASSERT_EQ(next(client), kCableWelcome);
  const auto subscribe = [&](std::string_view channel, std::string_view token) {
    const std::string identifier =
        R"({"channel":")" + std::string(channel) + R"(","signed_stream_name":)" + json_string(token) + "}";
    client.send(cable_subscribe(identifier));
    const std::string said = next(client);
    EXPECT_TRUE(said == cable_confirmation(identifier) || said == cable_rejection(identifier)) << said;
    return said == cable_confirmation(identifier);
  };
  const std::string sha256 =
      "ImNoYXQ6cm9vbSI=--11d564e54154ef3b510f793bf52815c746c9d03e2a5e57d7f3551b7813e42834";
  const std::string sha1 =
      "ImNoYXQ6cm9vbSI=--37873df5295618ce1ea81e60c785126fb697c0b688eadbd8ecb1a3e1959a293b";
  std::string pubsub =
      "Im5vdGlmaWNhdGlvbnMvMTci--e98b20074e883ca4b3da492428c63e820487e3ab94afa38dc7474ecda90e6ad2";
  EXPECT_TRUE(subscribe("Turbo::StreamsChannel", sha256));
  EXPECT_TRUE(subscribe("Turbo::StreamsChannel", sha1));
  EXPECT_TRUE(subscribe(
      "$pubsub", "InE-Pj9-fsO_Ig==--1e07b0a39dc87edccd95ae3917fde9237fdbbdf9a8eb5d0ca955cc32b54f3878"));
  EXPECT_FALSE(subscribe("$pubsub", sha256));
  EXPECT_FALSE(subscribe("Turbo::StreamsChannel", pubsub));
  for (size_t i = 0; i < pubsub.size(); ++i) {
    pubsub[i] ^= 1;
    ASSERT_FALSE(subscribe("$pubsub", pubsub)) << "byte " << i << " of " << pubsub;
    pubsub[i] ^= 1;
  }
  ASSERT_TRUE(subscribe("$pubsub", pubsub));

  const std::string body = R"({"stream":"notifications/17","data":"\"<turbo-stream>\""})";
  TcpClient producer = TcpClient::connect(server_->port());
  producer.send("POST /_broadcast HTTP/1.1\r\nHost: localhost\r\nContent-Length: " +
                std::to_string(body.size()) + "\r\n\r\n" + body);
  ASSERT_LT(read_http_answer(producer).status, 300);
  EXPECT_EQ(next(client),
            cable_broadcast(R"({"channel":"$pubsub","signed_stream_name":)" + json_string(pubsub) + "}",
                            "\"<turbo-stream>\""));
}

TEST_F(IdentityOf, StreamsAreOpenByNameOnlyOnceTheyAreSaidToBe) {
  const std::string identifier = R"({"channel":"$pubsub","stream_name":"news"})";
  for (const bool open : {false, true}) {
    start(open ? std::vector<std::string>{"--public-streams"} : std::vector<std::string>{});
    WebSocketClient client = connect("");
    ASSERT_EQ(next(client), kCableWelcome);
    client.send(cable_subscribe(identifier));
    EXPECT_EQ(next(client), open ? cable_confirmation(identifier) : cable_rejection(identifier));
  }
}

}  // namespace
}  // namespace ringcast::blackbox
