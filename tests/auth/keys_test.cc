// Keys as Rails was recorded deriving them, and the primitives under them against
// published vectors.
#include "auth/keys.h"

#include <gtest/gtest.h>

#include <map>
#include <thread>

#include "support/rails_signer.h"
#include "support/vectors.h"

namespace ringcast {
namespace {

using test::from_hex;
using test::read_vectors;
using test::to_hex;

TEST(DeriveRailsKey, AgreesWithEveryRecordedKey) {
  const Json file = read_vectors("key_generator_rails61.json");
  ASSERT_GT(file["vectors"].size(), 50u);
  for (const Json& vector : file["vectors"].elements()) {
    const Digest digest = parse_digest(vector["digest"].text()).value();
    const auto key = derive_rails_key(vector["secret_key_base"].text(), vector["salt"].text(),
                                      static_cast<size_t>(vector["length"].as_int64().value()), digest,
                                      static_cast<uint32_t>(vector["iterations"].as_int64().value()));
    EXPECT_EQ(to_hex(key), vector["key_hex"].text()) << vector.dump();
  }
}

// Signs and opens what the recorded derived keys sign and seal.
TEST(KeyRing, HoldsTheRecordedKeysOfBothDerivations) {
  const Json file = read_vectors("cookies_rails72.json");
  ASSERT_EQ(file["keys"].size(), 4u);
  for (const Json& key : file["keys"].elements()) {
    const bool sha1 = key["kd"].text() == "SHA1";
    const std::string secret(key["secret_key_base"].text());
    const KeyRing ring =
        KeyRing::derive({&secret, 1}, {.derivation = sha1 ? KeyDerivation::sha1 : KeyDerivation::sha256});
    ASSERT_EQ(ring.keys().size(), 1u);
    const RailsKeys& keys = ring.keys().front();
    EXPECT_EQ(keys.signed_cookie.sign_hex("text"),
              HmacKey(from_hex(key["signed_key_hex"].text()), Digest::sha1).sign_hex("text"));
    EXPECT_EQ(keys.turbo_stream.sign_hex("text"),
              HmacKey(from_hex(key["turbo_key_hex"].text()), Digest::sha256).sign_hex("text"));

    const std::string sealed = test::encrypt_message(from_hex(key["encrypted_key_hex"].text()), "payload");
    const size_t iv = sealed.find("--") + 2;
    const auto opened = keys.encrypted_cookie.open(*base64_decode(std::string_view(sealed).substr(iv, 16)),
                                                   *base64_decode(std::string_view(sealed).substr(0, iv - 2)),
                                                   *base64_decode(std::string_view(sealed).substr(iv + 18)));
    ASSERT_TRUE(opened);
    EXPECT_EQ(as_text(*opened), "payload");
  }
}

TEST(KeyRing, TriesTheCurrentSecretFirstAndEachInBothDerivations) {
  const std::vector<std::string> secrets = {"current", "older", "oldest"};
  const KeyRing ring = KeyRing::derive(secrets, {.signed_cookie_digest = Digest::sha256});
  ASSERT_EQ(ring.keys().size(), 6u);
  for (size_t i = 0; i < 6; ++i) {
    const Digest digest = i % 2 == 0 ? Digest::sha256 : Digest::sha1;
    const HmacKey expected(derive_rails_key(secrets[i / 2], "signed cookie", 64, digest), Digest::sha256);
    EXPECT_EQ(ring.keys()[i].signed_cookie.sign_hex("x"), expected.sign_hex("x")) << i;
  }
  EXPECT_TRUE(KeyRing().empty());
  EXPECT_TRUE(KeyRing::derive({}).empty());
}

TEST(DeriveAnycableKey, AgreesWithTheDocumentedKeys) {
  EXPECT_EQ(derive_anycable_key("app-secret", "broadcast-cable"),
            "5a33bbfb713e6563c169eca1551a0cf64ab80a91d3e9c50fcc4f9c2f63fa7341");
  EXPECT_EQ(derive_anycable_key("app-secret", "rpc-cable"),
            "8ef2701920b7e9ce47d619f4b93a013b7a00167332c3514428d2ad590d89414b");
  EXPECT_EQ(derive_anycable_key("app-secret", "api-cable"),
            "4ad5d70375d7e1fd452f86160c43e4e8485d39cee4d055b0338c96a06b878961");
}

// RFC 2202 and RFC 4231, test case 2 of each.
TEST(HmacKey, AgreesWithTheRfcs) {
  const std::map<Digest, std::string> expected = {
      {Digest::sha1, "effcdf6ae5eb2fa2d27416d5f184df9c259a7c79"},
      {Digest::sha256, "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843"},
      {Digest::sha384,
       "af45d2e376484031617f78d2b58a6b1b9c7ef464f5a01b47e42ec3736322445e8e2240ca5e69e2c78b3239ecfab21649"},
      {Digest::sha512,
       "164b7a7bfcf819e2e395fbe73b56e0a387bd64222e831fd610270cd7ea2505549758bf75c05a994a6d034f65f8f0e6fdcaeab"
       "1a34d4"
       "a6b4b636e070a38bce737"},
  };
  for (const auto& [digest, hex] : expected) {
    const HmacKey key(as_bytes("Jefe"), digest);
    EXPECT_EQ(key.sign_hex("what do ya want for nothing?"), hex);
    EXPECT_TRUE(key.verify(as_bytes("what do ya want for nothing?"), from_hex(hex)));
    EXPECT_TRUE(key.verify_hex("what do ya want for nothing?", hex));
    EXPECT_FALSE(key.verify_hex("what do ya want for nothing!", hex));
    EXPECT_FALSE(key.verify_hex("what do ya want for nothing?", hex.substr(2)));
    EXPECT_FALSE(key.verify(as_bytes("what do ya want for nothing?"), {}));
  }
}

TEST(HmacKey, AnEmptyKeyAndAnEmptyTextAreLikeAnyOther) {
  EXPECT_EQ(HmacKey({}, Digest::sha256).sign_hex(""),
            "b613679a0814d9ec772f95d778c35fc5ff1697c493715653c6c712144292c5ad");
}

TEST(HmacKey, OneKeyServesManyThreads) {
  const HmacKey key(as_bytes("secret"), Digest::sha256);
  const std::string expected = key.sign_hex("text");
  std::vector<std::jthread> threads;
  for (int i = 0; i < 4; ++i) {
    threads.emplace_back([&key, &expected] {
      for (int turn = 0; turn < 2000; ++turn) {
        EXPECT_EQ(key.sign_hex("text"), expected);
        EXPECT_FALSE(key.verify_hex("other", expected));
      }
    });
  }
}

TEST(AesGcmKey, OpensOnlyWhatIsWhole) {
  const std::vector<std::byte> secret(AesGcmKey::kKeyBytes, std::byte{7});
  const AesGcmKey key(secret);
  const std::string sealed = test::encrypt_message(secret, "");
  const auto iv = *base64_decode(std::string_view(sealed).substr(2, 16));
  const auto tag = *base64_decode(std::string_view(sealed).substr(20));
  ASSERT_TRUE(key.open(iv, {}, tag));
  EXPECT_TRUE(key.open(iv, {}, tag)->empty());
  for (size_t bytes = 0; bytes < tag.size(); ++bytes) EXPECT_FALSE(key.open(iv, {}, Bytes(tag).first(bytes)));
  for (size_t bytes = 0; bytes < iv.size(); ++bytes) EXPECT_FALSE(key.open(Bytes(iv).first(bytes), {}, tag));
  EXPECT_FALSE(key.open(iv, as_bytes("x"), tag));
}

TEST(ParseDigest, ReadsRubysNames) {
  EXPECT_EQ(parse_digest("SHA1"), Digest::sha1);
  EXPECT_EQ(parse_digest("sha256"), Digest::sha256);
  EXPECT_EQ(parse_digest("Sha512"), Digest::sha512);
  EXPECT_EQ(parse_digest("md5"), std::nullopt);
  EXPECT_EQ(parse_digest(""), std::nullopt);
}

}  // namespace
}  // namespace ringcast
