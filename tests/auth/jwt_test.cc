// Tokens: those a real library judged, those of the RFCs, and those that must not pass.
#include "auth/jwt.h"

#include <gtest/gtest.h>
#include <openssl/bio.h>
#include <openssl/ec.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/rsa.h>

#include <memory>

#include "support/rails_signer.h"
#include "support/vectors.h"

namespace ringcast {
namespace jwt_test {

using test::sign_jwt;

constexpr int64_t kNow = 1795375362000;
constexpr std::string_view kSecret = "ringcast-jwt-key-of-some-length-0123456789";
constexpr std::string_view kHs256 = R"({"alg":"HS256"})";

JwtKey secret_key(std::string_view secret = kSecret) {
  std::string error;
  auto key = JwtKey::from_secret(secret, &error);
  EXPECT_TRUE(key) << error;
  return *key;
}

JwtPolicy hmac_policy() {
  JwtPolicy policy;
  policy.keys.push_back(secret_key());
  return policy;
}

std::string token(std::string_view claims, std::string_view header = kHs256) {
  return sign_jwt(HmacKey(as_bytes(kSecret), Digest::sha256), header, claims);
}

// A private key of the other side.
class Signer {
 public:
  static Signer rsa(unsigned bits = 2048) { return Signer(EVP_RSA_gen(bits)); }
  static Signer ec(const char* curve = "P-256") { return Signer(EVP_EC_gen(curve)); }

  std::string public_pem() const {
    return pem([this](BIO* bio) { return PEM_write_bio_PUBKEY(bio, key_.get()); });
  }
  std::string private_pem() const {
    return pem([this](BIO* bio) {
      return PEM_write_bio_PrivateKey(bio, key_.get(), nullptr, nullptr, 0, nullptr, nullptr);
    });
  }

  std::vector<std::byte> sign(const EVP_MD* digest, std::string_view text) const {
    std::vector<std::byte> signature(1024);
    size_t size = signature.size();
    EVP_MD_CTX* const context = EVP_MD_CTX_new();
    EXPECT_EQ(EVP_DigestSignInit(context, nullptr, digest, nullptr, key_.get()), 1);
    EXPECT_EQ(EVP_DigestSign(context, reinterpret_cast<unsigned char*>(signature.data()), &size,
                             reinterpret_cast<const unsigned char*>(text.data()), text.size()),
              1);
    EVP_MD_CTX_free(context);
    signature.resize(size);
    return signature;
  }

  // ECDSA in the form of a token: r and s, 32 bytes each.
  std::vector<std::byte> sign_raw(std::string_view text) const {
    const auto der = sign(EVP_sha256(), text);
    const auto* at = reinterpret_cast<const unsigned char*>(der.data());
    ECDSA_SIG* const pair = d2i_ECDSA_SIG(nullptr, &at, static_cast<long>(der.size()));
    std::vector<std::byte> raw(64);
    BN_bn2binpad(ECDSA_SIG_get0_r(pair), reinterpret_cast<unsigned char*>(raw.data()), 32);
    BN_bn2binpad(ECDSA_SIG_get0_s(pair), reinterpret_cast<unsigned char*>(raw.data()) + 32, 32);
    ECDSA_SIG_free(pair);
    return raw;
  }

 private:
  explicit Signer(EVP_PKEY* key) : key_(key, EVP_PKEY_free) {}

  template <class Write>
  static std::string pem(Write write) {
    BIO* const bio = BIO_new(BIO_s_mem());
    EXPECT_EQ(write(bio), 1);
    char* text = nullptr;
    const long size = BIO_get_mem_data(bio, &text);
    std::string result(text, static_cast<size_t>(size));
    BIO_free(bio);
    return result;
  }

  std::shared_ptr<EVP_PKEY> key_;
};

const Signer& rsa_signer() {
  static const Signer signer = Signer::rsa();
  return signer;
}
const Signer& ec_signer() {
  static const Signer signer = Signer::ec();
  return signer;
}

JwtKey pem_key(const std::string& pem) {
  std::string error;
  auto key = JwtKey::from_pem(pem, &error);
  EXPECT_TRUE(key) << error;
  return *key;
}

std::string signing_input(std::string_view algorithm, std::string_view claims) {
  return base64url_encode(as_bytes(R"({"alg":")" + std::string(algorithm) + R"("})")) + "." +
         base64url_encode(as_bytes(claims));
}

std::string rsa_token(std::string_view algorithm, const EVP_MD* digest, std::string_view claims) {
  const std::string text = signing_input(algorithm, claims);
  return text + "." + base64url_encode(rsa_signer().sign(digest, text));
}

std::string ec_token(std::string_view claims) {
  const std::string text = signing_input("ES256", claims);
  return text + "." + base64url_encode(ec_signer().sign_raw(text));
}

JwtError error_of(const JwtPolicy& policy, std::string_view text, int64_t now = kNow) {
  return verify_jwt(policy, text, now).error;
}

TEST(Jwt, AgreesWithEveryRecordedVerdict) {
  const Json file = test::read_vectors("jwt_hs256.json");
  ASSERT_EQ(file["key"].text(), kSecret);
  const int64_t now = file["generated_at"].as_int64().value() * 1000;
  ASSERT_EQ(file["vectors"].size(), 20u);
  for (const Json& vector : file["vectors"].elements()) {
    JwtPolicy policy = hmac_policy();
    policy.algorithms = {JwtAlgorithm::hs256};
    if (vector["options"].has("aud")) policy.audiences = {vector["options"].string("aud")};
    policy.issuer = vector["options"].string("iss");
    const Jwt jwt = verify_jwt(policy, vector["token"].text(), now);
    EXPECT_EQ(static_cast<bool>(jwt), vector["verdict"]["accepted"].as_bool())
        << vector.dump() << describe(jwt.error);
    EXPECT_EQ(jwt.claims, vector["verdict"]["payload"][0]) << vector.dump();
    // Its reasons are ours, where it has reasons.
    const std::string_view error = vector["verdict"]["error"].text();
    EXPECT_EQ(jwt.error == JwtError::expired, error == "JWT::ExpiredSignature") << vector.dump();
    EXPECT_EQ(jwt.error == JwtError::not_yet_valid, error == "JWT::ImmatureSignature") << vector.dump();
    EXPECT_EQ(jwt.error == JwtError::algorithm_refused, error == "JWT::IncorrectAlgorithm") << vector.dump();
    EXPECT_EQ(jwt.error == JwtError::wrong_audience, error == "JWT::InvalidAudError") << vector.dump();
    EXPECT_EQ(jwt.error == JwtError::wrong_issuer, error == "JWT::InvalidIssuerError") << vector.dump();
  }
}

// RFC 7515 A.1; the key is the base64url of its JWK. Its claims hold line breaks, and exp
// is in 2011.
TEST(Jwt, AgreesWithTheRfcsExample) {
  const auto secret = base64url_decode(
      "AyM1SysPpbyDfgZld3umj1qzKObwVMkoqQ-EstJQLr_T-1qS0gZH75aKtMN3Yj0iPS4hcgUuTwjAzZr1Z9CAow");
  JwtPolicy policy;
  policy.keys.push_back(secret_key(as_text(*secret)));
  const std::string_view text =
      "eyJ0eXAiOiJKV1QiLA0KICJhbGciOiJIUzI1NiJ9"
      ".eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogImh0dHA6Ly9leGFtcGxlLmNvbS9pc19yb290Ijp0cnVlfQ"
      ".dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk";
  EXPECT_EQ(error_of(policy, text), JwtError::expired);
  const Jwt jwt = verify_jwt(policy, text, 1300819379999);
  ASSERT_TRUE(jwt);
  EXPECT_EQ(jwt.claims["iss"].text(), "joe");
  EXPECT_EQ(jwt.expires_unix_ms, 1300819380000);
}

// RFC 7515 A.3, a P-256 signature made by somebody else.
TEST(Jwt, AgreesWithTheRfcsEcdsaExample) {
  // x and y of the JWK behind the fixed head of a P-256 SubjectPublicKeyInfo.
  std::vector<std::byte> der = test::from_hex("3059301306072a8648ce3d020106082a8648ce3d03010703420004");
  for (const std::string_view coordinate :
       {"f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU", "x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0"}) {
    const auto bytes = base64url_decode(coordinate);
    der.insert(der.end(), bytes->begin(), bytes->end());
  }
  JwtPolicy policy;
  policy.keys.push_back(
      pem_key("-----BEGIN PUBLIC KEY-----\n" + base64_encode(der) + "\n-----END PUBLIC KEY-----\n"));
  const std::string_view text =
      "eyJhbGciOiJFUzI1NiJ9"
      ".eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogImh0dHA6Ly9leGFtcGxlLmNvbS9pc19yb290Ijp0cnVlfQ"
      ".DtEhU3ljbEg8L38VWAfUAqOyKAM6-Xx-F4GawxaepmXFCgfTjDxw5djxLa8ISlSApmWQxfKTUJqPP3-Kg6NU1Q";
  EXPECT_TRUE(verify_jwt(policy, text, 1300819379999));
  EXPECT_EQ(error_of(policy, text), JwtError::expired);
}

TEST(Jwt, EveryAlgorithmVerifiesWithItsKey) {
  const std::string claims = R"({"sub":"7"})";
  for (const auto& [name, digest] : {std::pair("HS256", Digest::sha256), std::pair("HS384", Digest::sha384),
                                     std::pair("HS512", Digest::sha512)}) {
    const std::string text =
        sign_jwt(HmacKey(as_bytes(kSecret), digest), R"({"alg":")" + std::string(name) + R"("})", claims);
    EXPECT_EQ(verify_jwt(hmac_policy(), text, kNow).claims["sub"].text(), "7") << name;
  }
  JwtPolicy rsa;
  rsa.keys.push_back(pem_key(rsa_signer().public_pem()));
  EXPECT_TRUE(verify_jwt(rsa, rsa_token("RS256", EVP_sha256(), claims), kNow));
  EXPECT_TRUE(verify_jwt(rsa, rsa_token("RS384", EVP_sha384(), claims), kNow));
  EXPECT_TRUE(verify_jwt(rsa, rsa_token("RS512", EVP_sha512(), claims), kNow));
  EXPECT_EQ(error_of(rsa, rsa_token("RS512", EVP_sha256(), claims)), JwtError::bad_signature);
  EXPECT_EQ(error_of(rsa, rsa_token("PS256", EVP_sha256(), claims)), JwtError::algorithm_refused);
  JwtPolicy ec;
  ec.keys.push_back(pem_key(ec_signer().public_pem()));
  EXPECT_TRUE(verify_jwt(ec, ec_token(claims), kNow));
}

// The public key is public: a token signed with its text must not pass as HMAC.
TEST(Jwt, APublicKeyIsNoSecret) {
  const std::string claims = R"({"sub":"admin"})";
  for (const Signer* signer : {&rsa_signer(), &ec_signer()}) {
    const std::string pem = signer->public_pem();
    JwtPolicy policy;
    policy.keys.push_back(pem_key(pem));
    for (const std::string& as_secret : {pem, pem.substr(0, pem.size() - 1)}) {
      EXPECT_EQ(error_of(policy, sign_jwt(HmacKey(as_bytes(as_secret), Digest::sha256), kHs256, claims)),
                JwtError::algorithm_refused);
    }
    std::string error;
    EXPECT_FALSE(JwtKey::from_secret(pem, &error));
    EXPECT_NE(error, "");
  }
}

TEST(Jwt, TheAlgorithmMustFitAndBeAllowed) {
  const std::string claims = R"({"sub":"admin"})";
  for (const std::string_view header :
       {R"({"alg":"none"})", R"({"alg":"None"})", R"({"alg":"hs256"})", R"({"alg":""})", R"({"alg":null})",
        "{}", R"({"alg":["HS256"]})", R"({"alg":"HS256 "})", R"({"alg":"RS256"})", R"({"alg":"ES256"})",
        R"({"alg":"HS1"})", R"({"alg":"HS256","crit":["exp"]})", R"({"alg":"HS256","crit":[]})",
        R"({"alg":"HS256","b64":false,"crit":["b64"]})"}) {
    EXPECT_EQ(error_of(hmac_policy(), token(claims, header)), JwtError::algorithm_refused) << header;
  }
  const std::string none =
      base64url_encode(as_bytes(R"({"alg":"none"})")) + "." + base64url_encode(as_bytes(claims)) + ".";
  EXPECT_EQ(error_of(hmac_policy(), none), JwtError::algorithm_refused);

  JwtPolicy only_512 = hmac_policy();
  only_512.algorithms = {JwtAlgorithm::hs512};
  EXPECT_EQ(error_of(only_512, token(claims)), JwtError::algorithm_refused);
  // The header's word against the signature.
  EXPECT_EQ(error_of(hmac_policy(), sign_jwt(HmacKey(as_bytes(kSecret), Digest::sha512), kHs256, claims)),
            JwtError::bad_signature);
  EXPECT_EQ(error_of(JwtPolicy(), token(claims)), JwtError::algorithm_refused);
}

TEST(Jwt, RotatedAndMixedKeysAreAllTried) {
  JwtPolicy policy;
  policy.keys = {secret_key("another"), pem_key(rsa_signer().public_pem()), secret_key(),
                 pem_key(Signer::ec().public_pem()), pem_key(ec_signer().public_pem())};
  EXPECT_TRUE(verify_jwt(policy, token("{}"), kNow));
  EXPECT_TRUE(verify_jwt(policy, rsa_token("RS256", EVP_sha256(), "{}"), kNow));
  EXPECT_TRUE(verify_jwt(policy, ec_token("{}"), kNow));
  EXPECT_EQ(error_of(policy, sign_jwt(HmacKey(as_bytes("third"), Digest::sha256), kHs256, "{}")),
            JwtError::bad_signature);
}

TEST(Jwt, EveryFlippedBitAndTruncationIsNoticed) {
  JwtPolicy policy;
  policy.keys = {secret_key(), pem_key(ec_signer().public_pem()), pem_key(rsa_signer().public_pem())};
  const std::string claims = R"({"sub":"7","exp":4102444800})";
  for (const std::string& whole : {token(claims), ec_token(claims)}) {
    ASSERT_TRUE(verify_jwt(policy, whole, kNow));
    for (size_t i = 0; i < whole.size(); ++i) {
      for (int bit = 0; bit < 8; ++bit) {
        std::string forged = whole;
        forged[i] = static_cast<char>(forged[i] ^ (1 << bit));
        EXPECT_FALSE(verify_jwt(policy, forged, kNow)) << i << " " << bit;
      }
      EXPECT_FALSE(verify_jwt(policy, whole.substr(0, i), kNow));
      EXPECT_FALSE(verify_jwt(policy, whole.substr(i + 1), kNow));
    }
  }
  // RSA signs slowly and verifies quickly enough for every byte.
  const std::string rsa = rsa_token("RS256", EVP_sha256(), claims);
  for (size_t i = 0; i < rsa.size(); ++i) {
    std::string forged = rsa;
    forged[i] = static_cast<char>(forged[i] ^ 1);
    EXPECT_FALSE(verify_jwt(policy, forged, kNow)) << i;
  }
}

TEST(Jwt, PartsOfTwoTokensDoNotCombine) {
  const std::string one = token(R"({"sub":"1"})");
  const std::string two = token(R"({"sub":"2"})");
  const std::string mixed = one.substr(0, one.rfind('.')) + two.substr(two.rfind('.'));
  EXPECT_EQ(error_of(hmac_policy(), mixed), JwtError::bad_signature);
  const std::string moved = one.substr(one.find('.') + 1) + "." + one.substr(0, one.find('.'));
  EXPECT_FALSE(verify_jwt(hmac_policy(), moved, kNow));
}

TEST(Jwt, EcdsaSignaturesHaveOneForm) {
  JwtPolicy policy;
  policy.keys.push_back(pem_key(ec_signer().public_pem()));
  const std::string text = signing_input("ES256", "{}");
  const auto with = [&](Bytes signature) {
    return error_of(policy, text + "." + base64url_encode(signature));
  };
  EXPECT_EQ(with(ec_signer().sign_raw(text)), JwtError::none);
  EXPECT_EQ(with(ec_signer().sign(EVP_sha256(), text)), JwtError::bad_signature);  // DER
  EXPECT_EQ(with(std::vector<std::byte>(64)), JwtError::bad_signature);            // r = s = 0
  EXPECT_EQ(with(std::vector<std::byte>(64, std::byte{0xff})), JwtError::bad_signature);
  EXPECT_EQ(with({}), JwtError::bad_signature);
  auto longer = ec_signer().sign_raw(text);
  longer.push_back(std::byte{0});
  EXPECT_EQ(with(longer), JwtError::bad_signature);
}

TEST(Jwt, AFailedSignatureLeavesNothingInTheErrorQueue) {
  JwtPolicy policy;
  policy.keys = {pem_key(rsa_signer().public_pem()), pem_key(ec_signer().public_pem())};
  ERR_clear_error();
  EXPECT_EQ(error_of(policy, signing_input("RS256", "{}") + ".AAAA"), JwtError::bad_signature);
  EXPECT_EQ(error_of(policy, signing_input("ES256", "{}") + "." + std::string(86, 'A')),
            JwtError::bad_signature);
  EXPECT_EQ(ERR_peek_error(), 0ul);
}

TEST(Jwt, ExpiryIsExactAndHasALeeway) {
  JwtPolicy policy = hmac_policy();
  const std::string text = token(R"({"exp":1800000000})");
  EXPECT_TRUE(verify_jwt(policy, text, 1799999999999));
  EXPECT_EQ(error_of(policy, text, 1800000000000), JwtError::expired);
  EXPECT_EQ(error_of(policy, text, 1800000001000), JwtError::expired);
  EXPECT_EQ(verify_jwt(policy, text, 0).expires_unix_ms, 1800000000000);
  policy.leeway_ms = 5000;
  EXPECT_TRUE(verify_jwt(policy, text, 1800000004999));
  EXPECT_EQ(error_of(policy, text, 1800000005000), JwtError::expired);
  EXPECT_EQ(verify_jwt(policy, text, 0).expires_unix_ms, 1800000005000);
  EXPECT_EQ(verify_jwt(policy, token("{}"), 0).expires_unix_ms, std::nullopt);
  EXPECT_EQ(verify_jwt(hmac_policy(), token(R"({"exp":1800000000.25})"), 0).expires_unix_ms, 1800000000250);
}

TEST(Jwt, NotBeforeIsExactAndHasALeeway) {
  JwtPolicy policy = hmac_policy();
  const std::string text = token(R"({"nbf":1800000000})");
  EXPECT_TRUE(verify_jwt(policy, text, 1800000000000));
  EXPECT_EQ(error_of(policy, text, 1799999999999), JwtError::not_yet_valid);
  policy.leeway_ms = 1000;
  EXPECT_TRUE(verify_jwt(policy, text, 1799999999000));
  EXPECT_EQ(error_of(policy, text, 1799999998999), JwtError::not_yet_valid);
}

TEST(Jwt, DatesAreNumbersOfThisWorld) {
  for (const std::string_view claims :
       {R"({"exp":"4102444800"})", R"({"exp":null})", R"({"exp":true})", R"({"exp":[]})", R"({"exp":1e300})",
        R"({"exp":1e400})", R"({"nbf":"0"})", R"({"nbf":-1e300})", R"({"nbf":{}})"}) {
    EXPECT_EQ(error_of(hmac_policy(), token(claims)), JwtError::bad_claims) << claims;
  }
  EXPECT_EQ(error_of(hmac_policy(), token(R"({"exp":-1})")), JwtError::expired);
  EXPECT_EQ(error_of(hmac_policy(), token(R"({"exp":0})")), JwtError::expired);
}

TEST(Jwt, TheAudienceIsOneOfOurs) {
  JwtPolicy policy = hmac_policy();
  policy.audiences = {"web", "app"};
  for (const std::string_view claims : {R"({"aud":"web"})", R"({"aud":["x","app"]})"}) {
    EXPECT_TRUE(verify_jwt(policy, token(claims), kNow)) << claims;
    EXPECT_TRUE(verify_jwt(hmac_policy(), token(claims), kNow)) << claims;
  }
  for (const std::string_view claims :
       {"{}", R"({"aud":"Web"})", R"({"aud":""})", R"({"aud":[]})", R"({"aud":["we"]})",
        R"({"aud":[["web"]]})", R"({"aud":{"web":"web"}})", R"({"aud":null})"}) {
    EXPECT_EQ(error_of(policy, token(claims)), JwtError::wrong_audience) << claims;
  }
  policy.issuer = "us";
  EXPECT_EQ(error_of(policy, token(R"({"aud":"web"})")), JwtError::wrong_issuer);
  EXPECT_TRUE(verify_jwt(policy, token(R"({"aud":"web","iss":"us"})"), kNow));
}

TEST(Jwt, ExpiredMeansThatAllElseIsInOrder) {
  JwtPolicy policy = hmac_policy();
  policy.audiences = {"web"};
  EXPECT_EQ(error_of(policy, token(R"({"exp":1,"aud":"other"})")), JwtError::wrong_audience);
  EXPECT_EQ(error_of(policy, sign_jwt(HmacKey(as_bytes("x"), Digest::sha256), kHs256, R"({"exp":1})")),
            JwtError::bad_signature);
}

TEST(Jwt, TheFormIsStrict) {
  const JwtPolicy policy = hmac_policy();
  const std::string good = token(R"({"sub":"7"})");
  ASSERT_TRUE(verify_jwt(policy, good, kNow));
  EXPECT_EQ(error_of(policy, ""), JwtError::missing);
  for (const std::string& text :
       {std::string("."), std::string(".."), std::string("..."), std::string("a.b.c"), good + ".", "." + good,
        good + "=", good + " ", " " + good, good + "\n", good + ".e30", std::string("Bearer ") + good}) {
    EXPECT_FALSE(verify_jwt(policy, text, kNow)) << text;
  }
  // Signed by us, and still no token.
  for (const std::string_view claims : {"", "[]", "null", "7", "{", "{}x", "{\"a\":\"\xff\"}"}) {
    EXPECT_EQ(error_of(policy, token(claims)), JwtError::malformed) << claims;
  }
  for (const std::string_view header : {"", "[]", "HS256", "{"}) {
    EXPECT_EQ(error_of(policy, token("{}", header)), JwtError::malformed) << header;
  }
  const std::string deep = R"({"a":)" + std::string(120, '[') + std::string(120, ']') + "}";
  EXPECT_EQ(error_of(policy, token(deep)), JwtError::malformed);
  EXPECT_EQ(error_of(policy, token("{}", R"({"alg":"HS256","a":)" + std::string(120, '[') +
                                             std::string(120, ']') + "}")),
            JwtError::malformed);
}

TEST(Jwt, HugeTokensAreNotEvenDecoded) {
  const std::string large = token(R"({"a":")" + std::string(kJwtBytesMax, 'a') + R"("})");
  EXPECT_EQ(error_of(hmac_policy(), large), JwtError::too_large);
  EXPECT_EQ(error_of(hmac_policy(), std::string(64 << 20, '.')), JwtError::too_large);
  EXPECT_EQ(error_of(hmac_policy(), std::string(kJwtBytesMax, '.')), JwtError::malformed);
  EXPECT_TRUE(verify_jwt(hmac_policy(), token(R"({"a":")" + std::string(4000, 'a') + R"("})"), kNow));
}

TEST(JwtKey, RefusesWhatIsNoUsableKey) {
  std::string error;
  EXPECT_FALSE(JwtKey::from_secret("", &error));
  EXPECT_EQ(error, "the secret is empty");
  for (const std::string& pem :
       {std::string(), std::string("secret"), rsa_signer().private_pem(), ec_signer().private_pem(),
        Signer::rsa(1024).public_pem(), Signer::ec("P-384").public_pem(),
        rsa_signer().public_pem().substr(0, 200)}) {
    error.clear();
    EXPECT_FALSE(JwtKey::from_pem(pem, &error)) << pem;
    EXPECT_NE(error, "");
  }
  EXPECT_EQ(ERR_peek_error(), 0ul);
}

TEST(AnycableIdentifiers, AreKeptAsTheyWereSigned) {
  const auto read = [](std::string_view claims) { return anycable_identifiers(*Json::parse(claims)); };
  const auto identifiers = read(R"({"ext":"{ \"user_id\": 42 }","exp":1})");
  ASSERT_TRUE(identifiers);
  EXPECT_EQ(identifiers->text, R"({ "user_id": 42 })");
  EXPECT_EQ(identifiers->values["user_id"], Json(42));
  for (const std::string_view claims :
       {"{}", R"({"ext":{"user_id":42}})", R"({"ext":null})", R"({"ext":"["})", R"({"ext":"[]"})",
        R"({"ext":""})", R"({"ext":"42"})"}) {
    EXPECT_FALSE(read(claims)) << claims;
  }
}

}  // namespace jwt_test
}  // namespace ringcast
