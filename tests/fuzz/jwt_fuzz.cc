// Any bytes as a token, and as the header and the claims of a token that was really
// signed. Whatever is accepted must have the one algorithm, be in its time and for us.
//
// The first byte chooses: a token, or HEADER '\n' CLAIMS to be signed.
#include <algorithm>
#include <cstdint>
#include <cstdlib>
#include <string>

#include "auth/identifier_source.h"
#include "auth/jwt.h"
#include "support/rails_signer.h"

namespace {

using namespace ringcast;

constexpr int64_t kNow = 1795375362000;
constexpr std::string_view kSecret = "secret";

void require(bool truth) {
  if (!truth) std::abort();
}

const JwtPolicy& policy() {
  static const JwtPolicy policy = [] {
    JwtPolicy made;
    std::string error;
    made.keys.push_back(*JwtKey::from_secret(kSecret, &error));
    const auto p256 = JwtKey::from_pem(
        "-----BEGIN PUBLIC KEY-----\n"
        "MFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAEf83OJ3D2xF1Bg8vub9tLe1gHMzV7"
        "6e8Tus9uPHvRVEXH8UTNG72bfocs3+257rn0s2ldbqkLJK2KRiMohYjlrQ==\n"
        "-----END PUBLIC KEY-----\n",
        &error);
    made.keys.push_back(*p256);
    made.algorithms = {JwtAlgorithm::hs256, JwtAlgorithm::es256};
    made.audiences = {"us"};
    return made;
  }();
  return policy;
}

class Bearer : public CredentialSource {
 public:
  explicit Bearer(const Json& claims) : claims_(claims) {}
  std::optional<std::string> cookie(std::string_view) const override { return std::nullopt; }
  std::optional<std::string> header(std::string_view) const override { return std::nullopt; }
  std::optional<std::string> query(std::string_view) const override { return std::nullopt; }
  const Json* claims() const override { return &claims_; }
  const KeyRing& keys() const override { return keys_; }
  int64_t now_unix_ms() const override { return kNow; }

 private:
  const Json& claims_;
  KeyRing keys_;
};

void check_identifiers(const Json& claims) {
  static const std::vector<IdentifierSource> sources = [] {
    std::vector<IdentifierSource> made;
    std::string error;
    for (const char* text :
         {"u=jwt.sub", "u=jwt.ext/user_id", "u=gid://app/User/{jwt.sub}", "u={jwt.sub}:{jwt.a}"}) {
      made.push_back(*IdentifierSource::parse(text, &error));
    }
    return made;
  }();
  for (const IdentifierSource& source : sources) {
    const IdentifierValue value = source.evaluate(Bearer(claims));
    require(value ? !value.value.is_null() && value.reason.empty()
                  : !value.reason.empty() && value.value.is_null());
    require(value.value.text().size() <= kIdentifierValueBytesMax);
  }
}

void check_signed(std::string_view header, std::string_view claims) {
  static const HmacKey key(as_bytes(kSecret), Digest::sha256);
  const std::string token = test::sign_jwt(key, header, claims);
  const Jwt jwt = verify_jwt(policy(), token, kNow);
  require(jwt ? jwt.claims.is_object() : jwt.claims.is_null());
  if (!jwt) return;
  require(token.size() <= kJwtBytesMax);
  const auto parsed = Json::parse(header);
  require(parsed && (*parsed)["alg"] == Json("HS256") && !parsed->has("crit"));
  require(jwt.claims.has("aud"));
  require(jwt.expires_unix_ms.has_value() == jwt.claims.has("exp"));
  require(!jwt.expires_unix_ms || *jwt.expires_unix_ms > kNow);
  (void)anycable_identifiers(jwt.claims);
  check_identifiers(jwt.claims);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  if (size == 0) return 0;
  const std::string_view text(reinterpret_cast<const char*>(data) + 1, size - 1);
  if (data[0] % 2 == 0) {
    require(!verify_jwt(policy(), text, kNow));
  } else {
    const size_t line = std::min(text.find('\n'), text.size());
    check_signed(text.substr(0, line), text.substr(std::min(line + 1, text.size())));
  }
  return 0;
}
