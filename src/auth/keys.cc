// PBKDF2 once for each secret, digest and use.
#include "auth/keys.h"

#include <openssl/crypto.h>
#include <openssl/evp.h>

#include "base/assert.h"

namespace ringcast {
namespace {

constexpr size_t kMacKeyBytes = 64;  // what ActiveSupport::KeyGenerator gives when not asked for less

// Derived bytes that have become a key are wiped.
class Derived {
 public:
  Derived(std::string_view secret, std::string_view salt, size_t bytes, Digest digest, uint32_t iterations)
      : bytes_(derive_rails_key(secret, salt, bytes, digest, iterations)) {}
  ~Derived() { OPENSSL_cleanse(bytes_.data(), bytes_.size()); }
  Derived(const Derived&) = delete;
  Derived& operator=(const Derived&) = delete;
  operator Bytes() const { return bytes_; }

 private:
  std::vector<std::byte> bytes_;
};

RailsKeys derive_keys(std::string_view secret, Digest digest, const KeyRingOptions& options) {
  const uint32_t iterations = options.iterations;
  return {
      HmacKey(Derived(secret, "signed cookie", kMacKeyBytes, digest, iterations),
              options.signed_cookie_digest),
      AesGcmKey(Derived(secret, "authenticated encrypted cookie", AesGcmKey::kKeyBytes, digest, iterations)),
      HmacKey(Derived(secret, "turbo/signed_stream_verifier_key", kMacKeyBytes, digest, iterations),
              Digest::sha256),
  };
}

const EVP_MD* message_digest(Digest digest) {
  switch (digest) {
    case Digest::sha1:
      return EVP_sha1();
    case Digest::sha256:
      return EVP_sha256();
    case Digest::sha384:
      return EVP_sha384();
    case Digest::sha512:
      return EVP_sha512();
  }
  return nullptr;
}

}  // namespace

std::vector<std::byte> derive_rails_key(std::string_view secret_key_base, std::string_view salt, size_t bytes,
                                        Digest digest, uint32_t iterations) {
  std::vector<std::byte> key(bytes);
  const bool derived =
      PKCS5_PBKDF2_HMAC(secret_key_base.data(), static_cast<int>(secret_key_base.size()),
                        reinterpret_cast<const unsigned char*>(salt.data()), static_cast<int>(salt.size()),
                        static_cast<int>(iterations), message_digest(digest), static_cast<int>(bytes),
                        reinterpret_cast<unsigned char*>(key.data())) == 1;
  RC_ASSERT(derived);
  return key;
}

std::string derive_anycable_key(std::string_view secret, std::string_view purpose) {
  return HmacKey(as_bytes(secret), Digest::sha256).sign_hex(purpose);
}

KeyRing KeyRing::derive(std::span<const std::string> secrets, const KeyRingOptions& options) {
  KeyRing ring;
  for (const std::string& secret : secrets) {
    if (options.derivation != KeyDerivation::sha1) {
      ring.keys_.push_back(derive_keys(secret, Digest::sha256, options));
    }
    if (options.derivation != KeyDerivation::sha256) {
      ring.keys_.push_back(derive_keys(secret, Digest::sha1, options));
    }
  }
  return ring;
}

}  // namespace ringcast
