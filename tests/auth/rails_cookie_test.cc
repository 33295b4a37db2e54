// Cookies: those that real Rails 6.1 and 7.2 wrote and judged, those that an attacker
// would send, and the header they come in.
#include "auth/rails_cookie.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <map>
#include <tuple>

#include "support/rails_signer.h"
#include "support/vectors.h"

namespace ringcast {
namespace rails_cookie_test {

using test::enveloped;
using test::read_vectors;
using test::sign_message;
using test::sign_text;

constexpr int64_t kNow = 1795375362000;  // 2026-11-22, when the vectors were made
constexpr std::string_view kSecret = "a secret_key_base of one's own, for what Rails would not sign";

struct Reader {
  std::string secret;
  KeyRingOptions options;
  auto operator<=>(const Reader& other) const {
    return std::tie(secret, options.derivation, options.signed_cookie_digest) <=>
           std::tie(other.secret, other.options.derivation, other.options.signed_cookie_digest);
  }
};

const KeyRing& ring_of(const Reader& reader) {
  static std::map<Reader, KeyRing> rings;
  auto& ring = rings[reader];
  if (ring.empty()) ring = KeyRing::derive({&reader.secret, 1}, reader.options);
  return ring;
}

KeyDerivation derivation_of(const Json& vector) {
  return vector["kd"].text() == "SHA256" ? KeyDerivation::sha256 : KeyDerivation::sha1;
}

// "SHA256", "SHA512"; "default", "SHA1 (6.1 default)" and null are SHA-1.
Digest digest_of(const Json& vector) {
  return parse_digest(vector.text()).value_or(Digest::sha1);
}

std::string secret_of(const Json& file, std::string_view name) {
  for (const Json& key : file["keys"].elements()) {
    if (key["name"].text() == name) return key.string("secret_key_base");
  }
  ADD_FAILURE() << "no key " << name;
  return {};
}

// Rails answers nil for a cookie it refuses and for one that holds null.
void expect_verdict(const RailsMessage& message, const Json& vector) {
  const Json& verdict = vector["verdict"];
  const std::string text = vector.dump() + "\n" + std::string(describe(message.error));
  if (verdict["accepted"].as_bool() == true) {
    EXPECT_TRUE(message) << text;
    EXPECT_EQ(message.value, verdict["value"]) << text;
  } else {
    EXPECT_TRUE(!message || message.value.is_null()) << text;
  }
}

bool is_marshal(const Json& vector) {
  return vector["serializer"].text() == "marshal" || vector["reader"]["serializer"].text() == "marshal";
}

TEST(SignedCookie, AgreesWithRails61OnEveryVector) {
  const Json file = read_vectors("signed_cookies_rails61.json");
  size_t marshal = 0;
  for (const Json& vector : file["vectors"].elements()) {
    const Reader reader{
        secret_of(file, vector["key"].text()),
        {.derivation = KeyDerivation::sha1, .signed_cookie_digest = digest_of(vector["digest"])}};
    const RailsMessage message =
        verify_signed_cookie(ring_of(reader), vector["cookie"].text(), vector["cookie_value"].text(), kNow);
    if (is_marshal(vector)) {
      EXPECT_EQ(message.error, RailsError::marshal) << vector.dump();
      ++marshal;
      continue;
    }
    expect_verdict(message, vector);
    EXPECT_EQ(message.value, vector["value"]) << vector.dump();
    if (vector["expires"].is_string()) {
      EXPECT_EQ(message.expires_unix_ms, 4102444799000) << vector.dump();
    } else {
      EXPECT_EQ(message.expires_unix_ms, std::nullopt) << vector.dump();
    }
  }
  EXPECT_EQ(marshal, 32u);
  EXPECT_EQ(file["vectors"].size(), 128u);
}

TEST(SignedCookie, AgreesWithRails61OnRefusals) {
  const Json file = read_vectors("signed_cookies_rails61.json");
  // Where 6.1 is laxer than 7.2 is, or reads what we never do, it is not followed; what
  // 7.2 reads beyond it is accepted.
  const std::map<std::string, RailsError, std::less<>> ours = {
      {"trailing --junk", RailsError::malformed},
      {"trailing --", RailsError::malformed},
      {"hybrid reads Marshal", RailsError::marshal},
      {"Marshal payload read by the JSON serializer", RailsError::marshal},
      {"signed, no padding", RailsError::none},
      {"signed, payload not JSON", RailsError::malformed},
      {"marshal reads JSON-serialised", RailsError::none},
  };
  size_t differing = 0;
  for (const Json& vector : file["negative"].elements()) {
    const Reader reader{
        secret_of(file, vector["key"].text()),
        {.derivation = KeyDerivation::sha1, .signed_cookie_digest = digest_of(vector["reader"]["digest"])}};
    const RailsMessage message =
        verify_signed_cookie(ring_of(reader), vector["cookie"].text(), vector["cookie_value"].text(), kNow);
    if (const auto exception = ours.find(vector["case"].text()); exception != ours.end()) {
      EXPECT_EQ(message.error, exception->second) << vector.dump() << describe(message.error);
      ++differing;
      continue;
    }
    expect_verdict(message, vector);
  }
  EXPECT_EQ(differing, ours.size());
}

TEST(SignedCookie, AgreesWithRails72OnEveryVector) {
  const Json file = read_vectors("cookies_rails72.json");
  for (const Json& vector : file["signed"].elements()) {
    const Reader reader{
        secret_of(file, vector["key"].text()),
        {.derivation = derivation_of(vector), .signed_cookie_digest = digest_of(vector["digest"])}};
    const RailsMessage message =
        verify_signed_cookie(ring_of(reader), vector["cookie"].text(), vector["cookie_value"].text(), kNow);
    if (is_marshal(vector)) {
      EXPECT_EQ(message.error, RailsError::marshal) << vector.dump();
    } else {
      expect_verdict(message, vector);
    }
  }
}

TEST(Cookies, AgreeWithRails72OnRefusals) {
  const Json file = read_vectors("cookies_rails72.json");
  const KeyRing& ring = ring_of({secret_of(file, "hex128"), {.derivation = KeyDerivation::sha256}});
  for (const Json& vector : file["negative"].elements()) {
    const bool is_signed = vector["kind"].text() == "signed";
    const RailsMessage message =
        is_signed ? verify_signed_cookie(ring, "user_id", vector["cookie_value"].text(), kNow)
                  : decrypt_cookie(ring, "user_id", vector["cookie_value"].text(), kNow);
    expect_verdict(message, vector);
    const bool marshal = vector["case"].text().starts_with("Marshal");
    EXPECT_EQ(message.error == RailsError::marshal, marshal) << vector.dump();
    const bool expired = vector["case"].text().starts_with("expired");
    EXPECT_EQ(message.error == RailsError::expired, expired) << vector.dump();
  }
}

TEST(EncryptedCookie, AgreesWithBothRailsOnEveryVector) {
  for (const auto& [name, list] : {std::pair("encrypted_cookies_rails61.json", "vectors"),
                                   std::pair("encrypted_cookies_rails61.json", "negative"),
                                   std::pair("cookies_rails72.json", "encrypted")}) {
    const Json file = read_vectors(name);
    ASSERT_GT(file[list].size(), 10u);
    for (const Json& vector : file[list].elements()) {
      const KeyRing& ring =
          ring_of({secret_of(file, vector["key"].text()), {.derivation = derivation_of(vector)}});
      const RailsMessage message =
          decrypt_cookie(ring, vector["cookie"].text(), vector["cookie_value"].text(), kNow);
      if (is_marshal(vector)) {
        EXPECT_EQ(message.error, RailsError::marshal) << vector.dump();
      } else {
        expect_verdict(message, vector);
      }
    }
  }
}

// One cookie as ActiveSupport 6.1, 7.2 and 8.1 all write it, under both derivations, and
// the encrypted form of it.
TEST(Cookies, AgreeWithRails61To81) {
  std::string secret;
  for (int i = 0; i < 8; ++i) secret += "0123456789abcdef";
  const KeyRing ring = KeyRing::derive({&secret, 1});
  const std::string purpose =
      "eyJfcmFpbHMiOnsibWVzc2FnZSI6Ik5EST0iLCJleHAiOm51bGwsInB1ciI6ImNvb2tpZS51c2VyX2lkIn19--";
  const std::string expiry =
      "eyJfcmFpbHMiOnsibWVzc2FnZSI6Ik5EST0iLCJleHAiOiIyMTAwLTAxLTAxVDAwOjAwOjAwLjAwMFoiLCJwdXIiOiJjb29raWUudX"
      "Nlcl9p"
      "ZCJ9fQ==--";
  for (const std::string& cookie : {std::string("NDI=--41c9b340d76afbbb83a61e3e140ed9fcd205f203"),
                                    std::string("NDI=--f78e82be625d2aa3adbf4368c99a203535fe736a"),
                                    purpose + "00816ecd46a42b99afefc42e3c745622483790c6",
                                    purpose + "cf12a72ceab661a1b7a7047ff0acdbf04b5b838c",
                                    expiry + "c9ebd91d6cb3a4ac2e5617914a76776b36fa24b3",
                                    expiry + "9fc55888e64e6d8ffc1756988a9b653e77532474"}) {
    EXPECT_EQ(verify_signed_cookie(ring, "user_id", cookie, kNow).value, Json(42)) << cookie;
  }
  for (const std::string_view cookie :
       {"EXfgHTkhulKtQ96C9e5gUngYRwuXXdIwDrZkbxQuXHGQgVAtelmY1jhnN7sHnVyXQOD3VZZjghwT1I54wRDX--"
        "zxdpSIaImzSHB4pI--"
        "2kPAkqykWQc/2eyzJM2YKA==",
        "vYPSJd1XvPKo69Ql+bEA2dc5iSSOc2urISc4ivbKVZmWLZ7I8X3Uhp6bAqtFBpHetsmrNueshxILOnazxvbv--"
        "55025Hittwoiytkm--"
        "CefI/YRy+AqKi2hFPPYtrQ=="}) {
    EXPECT_EQ(decrypt_cookie(ring, "user_id", cookie, kNow).value, Json(42)) << cookie;
    EXPECT_EQ(decrypt_cookie(ring, "admin_id", cookie, kNow).error, RailsError::wrong_purpose) << cookie;
  }
}

// What a browser sends back of a recorded Set-Cookie, among other cookies.
TEST(FindCookie, UndoesWhatRailsWrote) {
  for (const auto& [name, list] : {std::pair("signed_cookies_rails61.json", "vectors"),
                                   std::pair("encrypted_cookies_rails61.json", "vectors"),
                                   std::pair("cookies_rails72.json", "signed")}) {
    const Json file = read_vectors(name);
    for (const Json& vector : file[list].elements()) {
      const std::string_view set_cookie = vector["set_cookie"].text();
      const std::string header = "a=b; " + std::string(set_cookie.substr(0, set_cookie.find(';'))) + "; z=y";
      EXPECT_EQ(find_cookie(header, vector["cookie"].text()), vector["cookie_value"].text());
    }
  }
}

TEST(FindCookie, CutsAsRackDoes) {
  EXPECT_EQ(find_cookie("a=1; b=2;c=3;  d=4", "a"), "1");
  EXPECT_EQ(find_cookie("a=1; b=2;c=3;  d=4", "b"), "2");
  EXPECT_EQ(find_cookie("a=1; b=2;c=3;  d=4", "c"), "3");
  EXPECT_EQ(find_cookie("a=1; b=2;c=3;  d=4", "d"), "4");
  EXPECT_EQ(find_cookie("a=1; a=2", "a"), "1");
  EXPECT_EQ(find_cookie("a=b=c", "a"), "b=c");
  EXPECT_EQ(find_cookie("a=", "a"), "");
  EXPECT_EQ(find_cookie("a=;a=1", "a"), "");
  EXPECT_EQ(find_cookie(";;; a=1;", "a"), "1");
  EXPECT_EQ(find_cookie("a=1 ; b=2", "a"), "1 ");
  EXPECT_EQ(find_cookie("a=\"1\"", "a"), "\"1\"");
  EXPECT_EQ(find_cookie("ab=1", "a"), std::nullopt);
  EXPECT_EQ(find_cookie("A=1", "a"), std::nullopt);
  EXPECT_EQ(find_cookie("a =1", "a"), std::nullopt);
  EXPECT_EQ(find_cookie("%61=1", "a"), std::nullopt);
  EXPECT_EQ(find_cookie("a=1, b=2", "b"), std::nullopt);
  EXPECT_EQ(find_cookie("a; a=1", "a"), std::nullopt);
  EXPECT_EQ(find_cookie("", "a"), std::nullopt);
  EXPECT_EQ(find_cookie(";", ""), std::nullopt);
}

TEST(FindCookie, DecodesFormsOrNothing) {
  EXPECT_EQ(find_cookie("a=x%2By+z%3d", "a"), "x+y z=");
  EXPECT_EQ(find_cookie("a=%00%ff", "a"), std::string("\0\xff", 2));
  // One malformed escape and the value is as it came, '+' included.
  EXPECT_EQ(find_cookie("a=%41+%4", "a"), "%41+%4");
  EXPECT_EQ(find_cookie("a=%41%", "a"), "%41%");
  EXPECT_EQ(find_cookie("a=%zz", "a"), "%zz");
}

class Attack : public testing::Test {
 protected:
  Attack() : ring_(KeyRing::derive(secrets_)) {}

  static std::vector<std::string> secrets() { return {std::string(kSecret)}; }
  const HmacKey& signing_key() const { return ring_.keys().front().signed_cookie; }
  RailsMessage read(std::string_view value, int64_t now = kNow) const {
    return verify_signed_cookie(ring_, "user_id", value, now);
  }
  RailsMessage open(std::string_view value, int64_t now = kNow) const {
    return decrypt_cookie(ring_, "user_id", value, now);
  }
  std::string sealed(std::string_view payload) const {
    return test::encrypt_message(
        derive_rails_key(kSecret, "authenticated encrypted cookie", 32, Digest::sha256), payload);
  }
  static std::string payload(std::string_view value = "42") {
    return enveloped(value, R"("2100-01-01T00:00:00.000Z")", R"("cookie.user_id")");
  }

  const std::vector<std::string> secrets_ = secrets();
  const KeyRing ring_;
};

TEST_F(Attack, EveryFlippedBitIsNoticed) {
  const std::string is_signed = sign_message(signing_key(), payload());
  const std::string is_sealed = sealed(payload());
  ASSERT_EQ(read(is_signed).value, Json(42));
  ASSERT_EQ(open(is_sealed).value, Json(42));
  for (const std::string* whole : {&is_signed, &is_sealed}) {
    for (size_t i = 0; i < whole->size(); ++i) {
      for (int bit = 0; bit < 8; ++bit) {
        std::string forged = *whole;
        forged[i] = static_cast<char>(forged[i] ^ (1 << bit));
        const RailsMessage message = whole == &is_signed ? read(forged) : open(forged);
        // Unsigned text may be spelled in the other alphabet, which opens nothing else.
        const bool respelled =
            whole == &is_sealed && std::string_view("+-/_").find((*whole)[i]) != std::string_view::npos;
        EXPECT_FALSE(message && !respelled) << i << " " << bit;
        EXPECT_TRUE(message ? message.value == Json(42) : message.value.is_null());
      }
    }
  }
}

TEST_F(Attack, EveryTruncationAndExtensionIsNoticed) {
  const std::string is_signed = sign_message(signing_key(), payload());
  const std::string is_sealed = sealed(payload());
  for (size_t size = 0; size < is_signed.size(); ++size) {
    EXPECT_FALSE(read(is_signed.substr(0, size)));
    EXPECT_FALSE(read(is_signed.substr(is_signed.size() - size)));
  }
  for (size_t size = 0; size < is_sealed.size(); ++size) {
    // Without its padding the tag is still whole.
    EXPECT_EQ(static_cast<bool>(open(is_sealed.substr(0, size))), size == is_sealed.size() - 2) << size;
    EXPECT_FALSE(open(is_sealed.substr(is_sealed.size() - size)));
  }
  for (const std::string& more : {std::string(" "), std::string("\n"), std::string("--"), std::string("a"),
                                  std::string("="), std::string("--a"), std::string(1, '\0')}) {
    EXPECT_FALSE(read(is_signed + more)) << more;
    EXPECT_FALSE(read(more + is_signed)) << more;
    EXPECT_FALSE(open(is_sealed + more)) << more;
    EXPECT_FALSE(open(more + is_sealed)) << more;
  }
}

TEST_F(Attack, PartsOfValidCookiesDoNotCombine) {
  const std::string one = sealed(payload("1"));
  const std::string two = test::encrypt_message(
      derive_rails_key("another secret", "authenticated encrypted cookie", 32, Digest::sha256), payload("1"));
  const auto cut = [](const std::string& text) {
    const size_t iv = text.find("--");
    return std::array{text.substr(0, iv), text.substr(iv + 2, 16), text.substr(iv + 20)};
  };
  const auto a = cut(one);
  const auto b = cut(two);
  EXPECT_TRUE(open(a[0] + "--" + a[1] + "--" + a[2]));
  EXPECT_FALSE(open(b[0] + "--" + a[1] + "--" + a[2]));
  EXPECT_FALSE(open(a[0] + "--" + a[1] + "--" + b[2]));
  EXPECT_FALSE(open(a[0] + "--" + a[2] + "--" + a[1]));
  EXPECT_FALSE(open(a[1] + "--" + a[0] + "--" + a[2]));

  const std::string first = sign_message(signing_key(), "1");
  const std::string second = sign_message(signing_key(), "2");
  EXPECT_FALSE(read(first.substr(0, first.find("--")) + second.substr(second.find("--"))));
  // Neither kind is read as the other.
  EXPECT_FALSE(read(one));
  EXPECT_FALSE(open(first));
}

TEST_F(Attack, AKeyForOneUseServesNoOther) {
  const HmacKey turbo(derive_rails_key(kSecret, "turbo/signed_stream_verifier_key", 64, Digest::sha256),
                      Digest::sha1);
  EXPECT_EQ(read(sign_message(turbo, payload())).error, RailsError::bad_signature);
  const HmacKey raw(as_bytes(kSecret), Digest::sha1);
  EXPECT_EQ(read(sign_message(raw, payload())).error, RailsError::bad_signature);
}

TEST_F(Attack, ExpiryIsExactToTheMillisecond) {
  const int64_t end = 4102444800000;  // 2100-01-01
  for (const bool encrypted : {false, true}) {
    const auto check = [&](int64_t now) {
      return encrypted ? open(sealed(payload()), now) : read(sign_message(signing_key(), payload()), now);
    };
    EXPECT_TRUE(check(end - 1));
    EXPECT_EQ(check(end - 1).expires_unix_ms, end);
    EXPECT_EQ(check(end).error, RailsError::expired);
    EXPECT_EQ(check(end + 1000).error, RailsError::expired);
    EXPECT_TRUE(check(end).value.is_null());
  }
}

TEST_F(Attack, ACookieServesOnlyUnderItsName) {
  const auto made_for = [&](const std::string& purpose) {
    return read(sign_message(signing_key(), enveloped("42", "null", purpose))).error;
  };
  EXPECT_EQ(made_for(R"("cookie.user_id")"), RailsError::none);
  EXPECT_EQ(made_for("null"), RailsError::none);
  EXPECT_EQ(made_for(R"("")"), RailsError::none);
  EXPECT_EQ(made_for(R"("cookie.user_i")"), RailsError::wrong_purpose);
  EXPECT_EQ(made_for(R"("cookie.user_id2")"), RailsError::wrong_purpose);
  EXPECT_EQ(made_for(R"("user_id")"), RailsError::wrong_purpose);
  EXPECT_EQ(made_for(R"("Cookie.user_id")"), RailsError::wrong_purpose);
  EXPECT_EQ(made_for("5"), RailsError::malformed);
  EXPECT_EQ(made_for("{}"), RailsError::malformed);
}

// All validly signed: the application's own oddities, and bugs elsewhere.
TEST_F(Attack, SignedNonsenseIsMalformed) {
  const auto error_of = [&](std::string_view content) {
    return read(sign_message(signing_key(), content)).error;
  };
  EXPECT_EQ(error_of("not json"), RailsError::malformed);
  EXPECT_EQ(error_of(""), RailsError::malformed);
  EXPECT_EQ(error_of("{\"a\":"), RailsError::malformed);
  EXPECT_EQ(error_of("\"\xff\""), RailsError::malformed);
  EXPECT_EQ(error_of("\xcc\x80\x01"), RailsError::malformed);  // MessagePack
  EXPECT_EQ(error_of("\x04\x08i\x06"), RailsError::marshal);
  EXPECT_EQ(error_of(enveloped("\x04\x08i\x06", "null", "null")), RailsError::marshal);
  EXPECT_EQ(error_of(enveloped("{", "null", "null")), RailsError::malformed);
  EXPECT_EQ(error_of(R"({"_rails":{"message":"!","exp":null,"pur":null}})"), RailsError::malformed);
  EXPECT_EQ(error_of(R"({"_rails":{"message":42,"exp":null,"pur":null}})"), RailsError::malformed);
  EXPECT_EQ(error_of(R"({"_rails":{"message":null,"exp":null,"pur":"x"}})"), RailsError::wrong_purpose);
  EXPECT_EQ(error_of(enveloped("1", "4102444800", "null")), RailsError::malformed);
  EXPECT_EQ(error_of(enveloped("1", R"("tomorrow")", "null")), RailsError::malformed);
  EXPECT_EQ(error_of(std::string(101, '[') + std::string(101, ']')), RailsError::malformed);
  // Not base64, though signed.
  EXPECT_EQ(read(sign_text(signing_key(), "****")).error, RailsError::malformed);
  EXPECT_EQ(read(sign_text(signing_key(), "MQ=")).error, RailsError::malformed);
  EXPECT_EQ(read(sign_text(signing_key(), "MR==")).error, RailsError::malformed);  // stray bits
  EXPECT_EQ(read(sign_text(signing_key(), "M")).error, RailsError::malformed);
  EXPECT_EQ(open(sealed("\x04\x08i\x06")).error, RailsError::marshal);
  EXPECT_EQ(open(sealed("nonsense")).error, RailsError::malformed);
  EXPECT_EQ(open(sealed("")).error, RailsError::malformed);
}

TEST_F(Attack, BothAlphabetsArePassableUnderASignature) {
  const std::string value = "\"?>?>~~\xc3\xbf\"";
  const std::string standard = base64_encode(as_bytes(value));
  ASSERT_NE(standard.find_first_of("+/"), std::string::npos);
  std::string url = standard;
  std::ranges::replace(url, '+', '-');
  std::ranges::replace(url, '/', '_');
  for (std::string text : {standard, url}) {
    EXPECT_EQ(read(sign_text(signing_key(), text)).value.text(), "?>?>~~\xc3\xbf");
    text.resize(std::min(text.find('='), text.size()));
    EXPECT_EQ(read(sign_text(signing_key(), text)).value.text(), "?>?>~~\xc3\xbf");
  }
  // The separator is not the first "--": U+FF5E behind '#' makes one inside the text.
  std::string dashes = base64_encode(as_bytes("\"xx#\xef\xbd\x9e\""));
  std::ranges::replace(dashes, '+', '-');
  ASSERT_NE(dashes.find("--"), std::string::npos);
  EXPECT_EQ(read(sign_text(signing_key(), dashes)).value.text(), "xx#\xef\xbd\x9e");
  std::string sealed_url = sealed(payload());
  std::ranges::replace(sealed_url, '+', '-');
  std::ranges::replace(sealed_url, '/', '_');
  EXPECT_TRUE(open(sealed_url));
  EXPECT_TRUE(open(sealed_url.substr(0, sealed_url.size() - 2)));  // the tag unpadded
}

TEST_F(Attack, RotatedSecretsAreTriedAndNoOthers) {
  const std::vector<std::string> secrets = {"current", "old"};
  const KeyRing both = KeyRing::derive(secrets);
  const KeyRing old_only = KeyRing::derive({secrets.data() + 1, 1}, {.derivation = KeyDerivation::sha1});
  const std::string old_cookie = sign_message(old_only.keys().front().signed_cookie, payload());
  EXPECT_EQ(verify_signed_cookie(both, "user_id", old_cookie, kNow).value, Json(42));
  EXPECT_EQ(verify_signed_cookie(KeyRing::derive({secrets.data(), 1}), "user_id", old_cookie, kNow).error,
            RailsError::bad_signature);
  const std::string old_sealed = test::encrypt_message(
      derive_rails_key("old", "authenticated encrypted cookie", 32, Digest::sha1), payload());
  EXPECT_EQ(decrypt_cookie(both, "user_id", old_sealed, kNow).value, Json(42));
  EXPECT_EQ(open(old_sealed).error, RailsError::bad_signature);
  // Nothing verifies without keys.
  EXPECT_EQ(verify_signed_cookie(KeyRing(), "user_id", old_cookie, kNow).error, RailsError::bad_signature);
  EXPECT_EQ(decrypt_cookie(KeyRing(), "user_id", old_sealed, kNow).error, RailsError::bad_signature);
}

TEST_F(Attack, HugeAndEmptyInputsHaveTheirOwnErrors) {
  EXPECT_EQ(read("").error, RailsError::missing);
  EXPECT_EQ(open("").error, RailsError::missing);
  for (const std::string& huge : {std::string(kRailsMessageBytesMax + 1, 'A'), std::string(50 << 20, '-')}) {
    EXPECT_EQ(read(huge).error, RailsError::too_large);
    EXPECT_EQ(open(huge).error, RailsError::too_large);
  }
  EXPECT_EQ(read(std::string(kRailsMessageBytesMax, '-')).error, RailsError::bad_signature);
  EXPECT_EQ(open(std::string(kRailsMessageBytesMax, '-')).error, RailsError::bad_signature);
}

}  // namespace rails_cookie_test
}  // namespace ringcast
