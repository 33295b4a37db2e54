// JSON Web Tokens (RFC 7519) in compact JWS form (RFC 7515), as a bearer proves who it is
// with. The two classic holes are closed by type: a key knows which algorithms are its
// own, so there is no "none" and no HMAC with a public key for a secret. Pure; any thread.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "auth/crypto.h"
#include "base/bytes.h"
#include "ringcast/json.h"

struct evp_pkey_st;

namespace ringcast {

// Longer ones are not even decoded. A token travels in a request's head, which ends at 16 KiB.
constexpr size_t kJwtBytesMax = 8 * 1024;

enum class JwtAlgorithm : uint8_t { hs256, hs384, hs512, rs256, rs384, rs512, es256 };

// "HS256", …; case matters, as in the header.
std::optional<JwtAlgorithm> parse_jwt_algorithm(std::string_view name);

class JwtKey {
 public:
  // For HS256, HS384 and HS512; the secret is taken as its bytes. Nothing, and a sentence,
  // when it is empty or is a PEM document, which the bearer of a public key could forge with.
  static std::optional<JwtKey> from_secret(std::string_view secret, std::string* error);

  // For RS256, RS384 and RS512 (RSA of 2048 bits and more) or ES256 (P-256), from a PEM
  // document with one public key. Nothing, and a sentence, for anything else.
  static std::optional<JwtKey> from_pem(std::string_view pem, std::string* error);

  // Whether the algorithm is for keys of this kind.
  bool fits(JwtAlgorithm algorithm) const;
  // REQUIRES: fits(algorithm). `signature` as in the token: of ES256 it is r and s, 32 bytes each.
  bool verify(JwtAlgorithm algorithm, Bytes text, Bytes signature) const;

 private:
  enum class Kind : uint8_t { secret, rsa, p256 };
  explicit JwtKey(Kind kind) : kind_(kind) {}

  Kind kind_;
  std::vector<HmacKey> hmac_;                // by algorithm: 256, 384, 512
  std::shared_ptr<evp_pkey_st> public_key_;  // used only to read
};

struct JwtPolicy {
  std::vector<JwtKey> keys;              // current first; a token is tried against all that fit
  std::vector<JwtAlgorithm> algorithms;  // allowed ones; empty: all that fit a key
  std::vector<std::string> audiences;    // one must be in `aud`; empty: `aud` is not looked at
  std::string issuer;                    // must be `iss`; empty: not looked at
  int64_t leeway_ms = 0;                 // by which `exp` may be past, or `nbf` to come
};

enum class JwtError : uint8_t {
  none,
  missing,            // an empty token
  too_large,          //
  malformed,          // not three parts of strict base64url, or not JSON in them
  algorithm_refused,  // none, not allowed, of another kind than the keys, or `crit` extensions
  bad_signature,      //
  bad_claims,         // claims of the wrong type
  expired,            // everything else is in order: the bearer may come back with a new one
  not_yet_valid,
  wrong_audience,
  wrong_issuer,
};

// What a log says of it: "is expired".
std::string_view describe(JwtError error);

struct Jwt {
  JwtError error = JwtError::missing;
  Json claims;  // an object; null unless error is none
  // When verify_jwt will begin to say expired: `exp` and the leeway. Nothing: never.
  std::optional<int64_t> expires_unix_ms;

  static Jwt failed(JwtError error) { return {error, {}, {}}; }
  explicit operator bool() const { return error == JwtError::none; }
};

Jwt verify_jwt(const JwtPolicy& policy, std::string_view token, int64_t now_unix_ms);

// AnyCable's tokens carry the connection's identifiers as JSON text in the claim `ext`.
struct AnycableIdentifiers {
  std::string text;  // as signed: remote disconnects are compared with it byte by byte
  Json values;       // the object
};
// Nothing when the claim is absent, no string, or its text is no JSON object.
std::optional<AnycableIdentifiers> anycable_identifiers(const Json& claims);

}  // namespace ringcast
