// The keys that a Rails application derives from its secret_key_base, derived here once
// at start: PBKDF2-HMAC, 1000 iterations, one salt for each use. A KeyRing is an
// immutable value; copies share the keys and all threads may use them.
//
// Which digest drives the derivation is an application's `load_defaults`: SHA-256 since
// 7.0, SHA-1 before and in applications upgraded without it. A wrong guess would look
// like a wrong secret, so a ring holds both unless told otherwise.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "auth/crypto.h"
#include "base/bytes.h"

namespace ringcast {

constexpr uint32_t kRailsKeyIterations = 1000;

// ActiveSupport::KeyGenerator: the secret is taken as its text.
std::vector<std::byte> derive_rails_key(std::string_view secret_key_base, std::string_view salt, size_t bytes,
                                        Digest digest, uint32_t iterations = kRailsKeyIterations);

// AnyCable's keys for an application that has set only one secret: "broadcast-cable",
// "rpc-cable", "api-cable". Lower-case hexadecimal text, used as such.
std::string derive_anycable_key(std::string_view secret, std::string_view purpose);

// What one secret gives under one derivation digest.
struct RailsKeys {
  HmacKey signed_cookie;       // "signed cookie", 64 bytes
  AesGcmKey encrypted_cookie;  // "authenticated encrypted cookie", 32 bytes
  HmacKey turbo_stream;        // "turbo/signed_stream_verifier_key", 64 bytes; its MAC is SHA-256 always
};

enum class KeyDerivation : uint8_t { sha256_and_sha1, sha256, sha1 };

struct KeyRingOptions {
  KeyDerivation derivation = KeyDerivation::sha256_and_sha1;
  // Rails' signed_cookie_digest. Never guessed: what an application does not write it must not accept.
  Digest signed_cookie_digest = Digest::sha1;
  uint32_t iterations = kRailsKeyIterations;
};

class KeyRing {
 public:
  KeyRing() = default;  // no keys: nothing verifies

  // The current secret first, then rotated ones in the order they are to be tried. Takes
  // some milliseconds for each secret and digest.
  static KeyRing derive(std::span<const std::string> secrets, const KeyRingOptions& options = {});

  std::span<const RailsKeys> keys() const { return keys_; }
  bool empty() const { return keys_.empty(); }

 private:
  std::vector<RailsKeys> keys_;
};

}  // namespace ringcast
