// A token's three parts, the algorithm against the key's kind, the signature, and only
// then the claims.
#include "auth/jwt.h"

#include <openssl/bio.h>
#include <openssl/bn.h>
#include <openssl/core_names.h>
#include <openssl/ec.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/pem.h>

#include <algorithm>
#include <array>
#include <cmath>

#include "base/assert.h"
#include "base/base64.h"

namespace ringcast {
namespace {

constexpr std::string_view kAlgorithmNames[] = {"HS256", "HS384", "HS512", "RS256",
                                                "RS384", "RS512", "ES256"};
constexpr int kRsaBitsMin = 2048;         // RFC 7518 3.3
constexpr size_t kP256IntegerBytes = 32;  // RFC 7518 3.4

// A date beyond this, some 280 million years on, is no date.
constexpr double kUnixSecondsMax = 9e15;

// `type`_free for std::unique_ptr.
template <auto Free>
struct Freed {
  template <class T>
  void operator()(T* object) const {
    Free(object);
  }
};
using Bio = std::unique_ptr<BIO, Freed<BIO_free>>;
using PublicKey = std::unique_ptr<EVP_PKEY, Freed<EVP_PKEY_free>>;
using DigestContext = std::unique_ptr<EVP_MD_CTX, Freed<EVP_MD_CTX_free>>;
using Integer = std::unique_ptr<BIGNUM, Freed<BN_free>>;
using EcdsaSignature = std::unique_ptr<ECDSA_SIG, Freed<ECDSA_SIG_free>>;

const EVP_MD* message_digest(JwtAlgorithm algorithm) {
  switch (algorithm) {
    case JwtAlgorithm::hs384:
    case JwtAlgorithm::rs384:
      return EVP_sha384();
    case JwtAlgorithm::hs512:
    case JwtAlgorithm::rs512:
      return EVP_sha512();
    default:
      return EVP_sha256();
  }
}

bool verify_with(EVP_PKEY* key, const EVP_MD* digest, Bytes text, const unsigned char* signature,
                 size_t bytes) {
  const DigestContext context(EVP_MD_CTX_new());
  RC_ASSERT(context != nullptr);
  const bool valid =
      EVP_DigestVerifyInit(context.get(), nullptr, digest, nullptr, key) == 1 &&
      EVP_DigestVerify(context.get(), signature, bytes, openssl_octets(text), text.size()) == 1;
  // A refused signature leaves its reason in the thread's queue, where TLS on the same
  // thread would take it for its own.
  if (!valid) ERR_clear_error();
  return valid;
}

// r and s, back to back, become the DER that OpenSSL reads.
bool verify_p256(EVP_PKEY* key, Bytes text, Bytes signature) {
  if (signature.size() != 2 * kP256IntegerBytes) return false;
  Integer r(BN_bin2bn(openssl_octets(signature), kP256IntegerBytes, nullptr));
  Integer s(BN_bin2bn(openssl_octets(signature.subspan(kP256IntegerBytes)), kP256IntegerBytes, nullptr));
  const EcdsaSignature pair(ECDSA_SIG_new());
  RC_ASSERT(r && s && pair);
  const bool taken = ECDSA_SIG_set0(pair.get(), r.get(), s.get()) == 1;
  RC_ASSERT(taken);
  // The pair owns them now.
  static_cast<void>(r.release());
  static_cast<void>(s.release());
  std::array<unsigned char, 2 * (kP256IntegerBytes + 3) + 3> der;  // two signed integers in a sequence
  unsigned char* end = der.data();
  const int bytes = i2d_ECDSA_SIG(pair.get(), &end);
  return bytes > 0 && verify_with(key, EVP_sha256(), text, der.data(), static_cast<size_t>(bytes));
}

// RFC 7515 2: no padding, so base64url_decode's kindness is not wanted here.
std::optional<std::vector<std::byte>> decode_part(std::string_view part) {
  if (part.find('=') != std::string_view::npos) return std::nullopt;
  return base64url_decode(part);
}

std::optional<Json> parse_part(std::string_view part) {
  const auto bytes = decode_part(part);
  if (!bytes) return std::nullopt;
  auto json = Json::parse(as_text(*bytes));
  if (json && !json->is_object()) return std::nullopt;
  return json;
}

struct Parts {
  std::string_view header, claims, signature, signed_text;
};

std::optional<Parts> cut(std::string_view token) {
  const size_t first = token.find('.');
  if (first == std::string_view::npos) return std::nullopt;
  const size_t second = token.find('.', first + 1);
  if (second == std::string_view::npos || token.find('.', second + 1) != std::string_view::npos)
    return std::nullopt;
  return Parts{token.substr(0, first), token.substr(first + 1, second - first - 1), token.substr(second + 1),
               token.substr(0, second)};
}

JwtError verify_signature(const JwtPolicy& policy, const Json& header, Bytes text, Bytes signature) {
  // RFC 7515 4.1.11: who does not understand an extension that is critical must refuse; we understand none.
  if (header.has("crit")) return JwtError::algorithm_refused;
  const auto algorithm = parse_jwt_algorithm(header["alg"].as_string().value_or(""));
  if (!algorithm) return JwtError::algorithm_refused;
  if (!policy.algorithms.empty() &&
      std::ranges::find(policy.algorithms, *algorithm) == policy.algorithms.end()) {
    return JwtError::algorithm_refused;
  }
  JwtError error = JwtError::algorithm_refused;
  for (const JwtKey& key : policy.keys) {
    if (!key.fits(*algorithm)) continue;
    if (key.verify(*algorithm, text, signature)) return JwtError::none;
    error = JwtError::bad_signature;
  }
  return error;
}

// A NumericDate (RFC 7519 2) in milliseconds, rounded up; nothing when the claim is no such thing.
std::optional<int64_t> numeric_date(const Json& claim) {
  const auto seconds = claim.as_double();
  if (!seconds || std::abs(*seconds) > kUnixSecondsMax) return std::nullopt;
  return static_cast<int64_t>(std::ceil(*seconds * 1000));
}

bool names_audience(const Json& claim, std::string_view audience) {
  if (claim.is_string()) return claim.text() == audience;
  return std::ranges::any_of(claim.elements(),
                             [&](const Json& one) { return one.is_string() && one.text() == audience; });
}

JwtError check_claims(const JwtPolicy& policy, const Json& claims, int64_t now_unix_ms,
                      std::optional<int64_t>& expires_unix_ms) {
  if (!policy.audiences.empty() && std::ranges::none_of(policy.audiences, [&](const std::string& audience) {
        return names_audience(claims["aud"], audience);
      })) {
    return JwtError::wrong_audience;
  }
  if (!policy.issuer.empty() && claims["iss"].as_string() != std::string_view(policy.issuer)) {
    return JwtError::wrong_issuer;
  }
  if (const Json* begins = claims.find("nbf")) {
    const auto from = numeric_date(*begins);
    if (!from) return JwtError::bad_claims;
    if (now_unix_ms < *from - policy.leeway_ms) return JwtError::not_yet_valid;
  }
  if (const Json* ends = claims.find("exp")) {
    const auto until = numeric_date(*ends);
    if (!until) return JwtError::bad_claims;
    expires_unix_ms = *until + policy.leeway_ms;
    if (now_unix_ms >= *expires_unix_ms) return JwtError::expired;
  }
  return JwtError::none;
}

}  // namespace

std::optional<JwtAlgorithm> parse_jwt_algorithm(std::string_view name) {
  const auto* const found = std::ranges::find(kAlgorithmNames, name);
  if (found == std::end(kAlgorithmNames)) return std::nullopt;
  return static_cast<JwtAlgorithm>(found - std::begin(kAlgorithmNames));
}

std::string_view describe(JwtError error) {
  switch (error) {
    case JwtError::none:
      return "is valid";
    case JwtError::missing:
      return "is missing";
    case JwtError::too_large:
      return "is too large";
    case JwtError::malformed:
      return "is malformed";
    case JwtError::algorithm_refused:
      return "is signed with an algorithm that is not allowed";
    case JwtError::bad_signature:
      return "was not signed with a key of ours";
    case JwtError::bad_claims:
      return "has claims of the wrong type";
    case JwtError::expired:
      return "is expired";
    case JwtError::not_yet_valid:
      return "is not valid yet";
    case JwtError::wrong_audience:
      return "is for another audience";
    case JwtError::wrong_issuer:
      return "is of another issuer";
  }
  return "is invalid";
}

std::optional<JwtKey> JwtKey::from_secret(std::string_view secret, std::string* error) {
  if (secret.empty()) {
    *error = "the secret is empty";
    return std::nullopt;
  }
  if (secret.find("-----BEGIN ") != std::string_view::npos) {
    *error = "this is a PEM document and no secret: whoever holds a public key could sign with it";
    return std::nullopt;
  }
  JwtKey key(Kind::secret);
  for (const Digest digest : {Digest::sha256, Digest::sha384, Digest::sha512}) {
    key.hmac_.emplace_back(as_bytes(secret), digest);
  }
  return key;
}

std::optional<JwtKey> JwtKey::from_pem(std::string_view pem, std::string* error) {
  const auto refuse = [&](std::string why) {
    *error = std::move(why);
    return std::nullopt;
  };
  if (pem.find("PRIVATE KEY-----") != std::string_view::npos) {
    return refuse("this is a private key: give the public one, verifying needs no more");
  }
  if (pem.size() > INT32_MAX) return refuse("this is no PEM document");
  const Bio bio(BIO_new_mem_buf(pem.data(), static_cast<int>(pem.size())));
  RC_ASSERT(bio != nullptr);
  // The callback keeps OpenSSL from asking the terminal for a password.
  const auto no_password = [](char*, int, int, void*) { return -1; };
  PublicKey parsed(PEM_read_bio_PUBKEY(bio.get(), nullptr, no_password, nullptr));
  ERR_clear_error();
  if (!parsed) return refuse("this is no PEM document with a public key (-----BEGIN PUBLIC KEY-----)");

  if (EVP_PKEY_is_a(parsed.get(), "RSA") == 1) {
    if (EVP_PKEY_get_bits(parsed.get()) < kRsaBitsMin) return refuse("an RSA key needs 2048 bits at least");
    JwtKey key(Kind::rsa);
    key.public_key_ = std::move(parsed);
    return key;
  }
  char group[64] = {};
  if (EVP_PKEY_is_a(parsed.get(), "EC") == 1 &&
      EVP_PKEY_get_group_name(parsed.get(), group, sizeof group, nullptr) == 1 &&
      std::string_view(group) == "prime256v1") {
    JwtKey key(Kind::p256);
    key.public_key_ = std::move(parsed);
    return key;
  }
  ERR_clear_error();
  return refuse("the public key is neither RSA nor on the curve P-256");
}

bool JwtKey::fits(JwtAlgorithm algorithm) const {
  switch (algorithm) {
    case JwtAlgorithm::hs256:
    case JwtAlgorithm::hs384:
    case JwtAlgorithm::hs512:
      return kind_ == Kind::secret;
    case JwtAlgorithm::rs256:
    case JwtAlgorithm::rs384:
    case JwtAlgorithm::rs512:
      return kind_ == Kind::rsa;
    case JwtAlgorithm::es256:
      return kind_ == Kind::p256;
  }
  return false;
}

bool JwtKey::verify(JwtAlgorithm algorithm, Bytes text, Bytes signature) const {
  RC_ASSERT(fits(algorithm));
  switch (kind_) {
    case Kind::secret:
      return hmac_[static_cast<size_t>(algorithm)].verify(text, signature);
    case Kind::rsa:
      return verify_with(public_key_.get(), message_digest(algorithm), text, openssl_octets(signature),
                         signature.size());
    case Kind::p256:
      return verify_p256(public_key_.get(), text, signature);
  }
  return false;
}

Jwt verify_jwt(const JwtPolicy& policy, std::string_view token, int64_t now_unix_ms) {
  if (token.empty()) return Jwt::failed(JwtError::missing);
  if (token.size() > kJwtBytesMax) return Jwt::failed(JwtError::too_large);
  const auto parts = cut(token);
  if (!parts) return Jwt::failed(JwtError::malformed);
  const auto header = parse_part(parts->header);
  const auto signature = decode_part(parts->signature);
  if (!header || !signature) return Jwt::failed(JwtError::malformed);
  const JwtError doubt = verify_signature(policy, *header, as_bytes(parts->signed_text), *signature);
  if (doubt != JwtError::none) return Jwt::failed(doubt);

  auto claims = parse_part(parts->claims);
  if (!claims) return Jwt::failed(JwtError::malformed);
  Jwt jwt;
  jwt.error = check_claims(policy, *claims, now_unix_ms, jwt.expires_unix_ms);
  if (jwt) jwt.claims = std::move(*claims);
  return jwt;
}

std::optional<AnycableIdentifiers> anycable_identifiers(const Json& claims) {
  const auto text = claims["ext"].as_string();
  if (!text) return std::nullopt;
  auto values = Json::parse(*text);
  if (!values || !values->is_object()) return std::nullopt;
  return AnycableIdentifiers{std::string(*text), std::move(*values)};
}

}  // namespace ringcast
