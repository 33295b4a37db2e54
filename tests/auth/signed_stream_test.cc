// Signed stream names: recorded ones, documented ones, and forged ones.
#include "auth/signed_stream.h"

#include <gtest/gtest.h>

#include "support/rails_signer.h"
#include "support/vectors.h"

namespace ringcast {
namespace signed_stream_test {

using test::read_vectors;
using test::sign_message;
using test::sign_text;

constexpr int64_t kNow = 1795375362000;

std::string documented_secret() {
  std::string secret;
  for (int i = 0; i < 8; ++i) secret += "0123456789abcdef";
  return secret;
}

TEST(TurboStream, AgreesWithTheDocumentedVectors) {
  const std::string secret = documented_secret();
  const KeyRing ring = KeyRing::derive({&secret, 1});
  EXPECT_EQ(ring.keys()[0].turbo_stream.sign_hex("ImNoYXQ6cm9vbSI="),
            "11d564e54154ef3b510f793bf52815c746c9d03e2a5e57d7f3551b7813e42834");
  for (const std::string_view mac : {"11d564e54154ef3b510f793bf52815c746c9d03e2a5e57d7f3551b7813e42834",
                                     "37873df5295618ce1ea81e60c785126fb697c0b688eadbd8ecb1a3e1959a293b"}) {
    const SignedStream stream = verify_turbo_stream(ring, "ImNoYXQ6cm9vbSI=--" + std::string(mac), kNow);
    EXPECT_TRUE(stream);
    EXPECT_EQ(stream.name, "chat:room");
  }
}

TEST(TurboStream, AgreesWithEveryRecordedToken) {
  const Json file = read_vectors("message_verifier_rails61.json");
  for (const Json& key : file["keys"].elements()) {
    const HmacKey given(test::from_hex(key["key_hex"].text()), Digest::sha256);
    const std::string secret = key.string("secret_key_base");
    const KeyRing ring = KeyRing::derive({&secret, 1});
    for (const char* list : {"vectors", "negative"}) {
      for (const Json& vector : file[list].elements()) {
        if (vector["key"].text() != key["name"].text() || !vector["token"].is_string()) continue;
        const SignedStream by_key = verify_turbo_stream(given, vector["token"].text(), kNow);
        // Turbo expects no purpose, whatever the recording's reader did; 6.1 ignored what
        // follows a second "--".
        const std::string_view name = vector["case"].text();
        const bool passes =
            name == "no purpose read with one" ||
            (vector["verdict"].is_string() && vector["read_purpose"].is_null() && name != "trailing --x");
        EXPECT_EQ(static_cast<bool>(by_key), passes) << vector.dump() << describe(by_key.error);
        if (passes && vector["verdict"].is_string()) {
          EXPECT_EQ(by_key.name, vector["verdict"].text());
        }
        if (secret.empty()) continue;
        const SignedStream by_ring = verify_turbo_stream(ring, vector["token"].text(), kNow);
        EXPECT_EQ(by_ring.error, by_key.error) << vector.dump();
        EXPECT_EQ(by_ring.name, by_key.name);
      }
    }
  }
}

TEST(AnycableStream, AgreesWithTheDocumentedVectors) {
  const HmacKey key = signed_stream_key("streams-secret");
  const SignedStream plain = verify_signed_stream(
      key, "Im5vdGlmaWNhdGlvbnMvMTci--e98b20074e883ca4b3da492428c63e820487e3ab94afa38dc7474ecda90e6ad2");
  EXPECT_TRUE(plain);
  EXPECT_EQ(plain.name, "notifications/17");
  const SignedStream url_safe = verify_signed_stream(
      key, "InE-Pj9-fsO_Ig==--1e07b0a39dc87edccd95ae3917fde9237fdbbdf9a8eb5d0ca955cc32b54f3878");
  EXPECT_TRUE(url_safe);
  EXPECT_EQ(url_safe.name, "q>>?~~\xc3\xbf");
}

TEST(AnycableStream, IsAStringAndNothingElse) {
  const HmacKey key = signed_stream_key("s");
  EXPECT_EQ(verify_signed_stream(key, sign_message(key, R"("a")")).name, "a");
  EXPECT_TRUE(verify_signed_stream(key, sign_message(key, R"("")")));
  for (const std::string_view content : {"1", "null", "true", "[]", "{}", "a", "\"a", "", "\"a\"\"b\""}) {
    EXPECT_EQ(verify_signed_stream(key, sign_message(key, content)).error, RailsError::malformed) << content;
  }
  // Rails' envelope is Turbo's business.
  EXPECT_EQ(verify_signed_stream(key, sign_message(key, test::enveloped("\"a\"", "null", "null"))).error,
            RailsError::malformed);
  EXPECT_EQ(verify_turbo_stream(key, sign_message(key, "17"), kNow).error, RailsError::malformed);
  EXPECT_EQ(verify_signed_stream(key, sign_text(key, "*")).error, RailsError::malformed);
  EXPECT_EQ(verify_signed_stream(key, "").error, RailsError::missing);
  EXPECT_EQ(verify_signed_stream(key, std::string(kRailsMessageBytesMax + 1, 'a')).error,
            RailsError::too_large);
}

TEST(SignedStream, EveryFlippedBitAndTruncationIsNoticed) {
  const HmacKey key = signed_stream_key("streams-secret");
  const std::string token = sign_message(key, R"("chat_42")");
  ASSERT_TRUE(verify_signed_stream(key, token));
  ASSERT_TRUE(verify_turbo_stream(key, token, kNow));
  for (size_t i = 0; i < token.size(); ++i) {
    for (int bit = 0; bit < 8; ++bit) {
      std::string forged = token;
      forged[i] = static_cast<char>(forged[i] ^ (1 << bit));
      EXPECT_FALSE(verify_signed_stream(key, forged));
      EXPECT_FALSE(verify_turbo_stream(key, forged, kNow));
    }
    EXPECT_FALSE(verify_signed_stream(key, token.substr(0, i)));
    EXPECT_FALSE(verify_signed_stream(key, token.substr(i + 1)));
  }
  EXPECT_EQ(verify_signed_stream(signed_stream_key("Streams-secret"), token).error,
            RailsError::bad_signature);
}

TEST(StreamRequest, IsToldByTheChannel) {
  using Kind = StreamRequest::Kind;
  const Json signed_name = {{"channel", "x"}, {"signed_stream_name", "token"}};
  EXPECT_EQ(stream_request("Turbo::StreamsChannel", signed_name).kind, Kind::turbo);
  EXPECT_EQ(stream_request("$pubsub", signed_name).kind, Kind::pubsub);
  EXPECT_EQ(stream_request("$pubsub", signed_name).text, "token");
  EXPECT_EQ(stream_request("ChatChannel", signed_name).kind, Kind::none);
  EXPECT_EQ(stream_request("turbo::StreamsChannel", signed_name).kind, Kind::none);
  const Json public_name = {{"stream_name", "news"}};
  EXPECT_EQ(stream_request("$pubsub", public_name).kind, Kind::public_name);
  EXPECT_EQ(stream_request("$pubsub", public_name).text, "news");
  EXPECT_EQ(stream_request("Turbo::StreamsChannel", public_name).kind, Kind::none);
  const Json cable_ready = {{"identifier", "token"}};
  EXPECT_EQ(stream_request("CableReady::Stream", cable_ready).kind, Kind::cable_ready);
  EXPECT_EQ(stream_request("CableReady::Stream", cable_ready).text, "token");
  EXPECT_EQ(stream_request("$pubsub", Json()).kind, Kind::none);
}

TEST(StreamRequest, ASignedNameIsNeverPassedOverForAPublicOne) {
  using Kind = StreamRequest::Kind;
  const Json both = {{"stream_name", "news"}, {"signed_stream_name", "token"}};
  EXPECT_EQ(stream_request("$pubsub", both).text, "token");
  const Json odd = {{"stream_name", "news"}, {"signed_stream_name", 5}};
  EXPECT_EQ(stream_request("$pubsub", odd).kind, Kind::none);
  const Json null = {{"stream_name", "news"}, {"signed_stream_name", nullptr}};
  EXPECT_EQ(stream_request("$pubsub", null).kind, Kind::public_name);
}

}  // namespace signed_stream_test
}  // namespace ringcast
