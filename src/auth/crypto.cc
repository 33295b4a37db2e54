// HMAC and AES-256-GCM on libcrypto's EVP interface. Algorithms are fetched once: by name
// in each call they cost more than the cryptography does.
#include "auth/crypto.h"

#include <openssl/core_names.h>
#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/params.h>

#include <algorithm>

#include "base/ascii.h"
#include "base/assert.h"

namespace ringcast {
namespace {

constexpr const char* kDigestNames[] = {"SHA1", "SHA256", "SHA384", "SHA512"};

struct FreeMac {
  void operator()(EVP_MAC_CTX* context) const { EVP_MAC_CTX_free(context); }
};
using MacContext = std::unique_ptr<EVP_MAC_CTX, FreeMac>;

struct FreeCipher {
  void operator()(EVP_CIPHER_CTX* context) const { EVP_CIPHER_CTX_free(context); }
};
using CipherContext = std::unique_ptr<EVP_CIPHER_CTX, FreeCipher>;

// Kept for the life of the process.
EVP_MAC* hmac() {
  static EVP_MAC* const algorithm = EVP_MAC_fetch(nullptr, "HMAC", nullptr);
  RC_ASSERT(algorithm != nullptr);
  return algorithm;
}

EVP_CIPHER* aes_256_gcm() {
  static EVP_CIPHER* const algorithm = EVP_CIPHER_fetch(nullptr, "AES-256-GCM", nullptr);
  RC_ASSERT(algorithm != nullptr);
  return algorithm;
}

size_t write_hex(Bytes bytes, char* to) {
  static constexpr char kHex[] = "0123456789abcdef";
  for (const std::byte byte : bytes) {
    *to++ = kHex[std::to_integer<unsigned>(byte) >> 4];
    *to++ = kHex[std::to_integer<unsigned>(byte) & 15];
  }
  return bytes.size() * 2;
}

}  // namespace

std::optional<Digest> parse_digest(std::string_view name) {
  for (size_t i = 0; i < std::size(kDigestNames); ++i) {
    if (equals_ignoring_case(name, kDigestNames[i])) {
      return static_cast<Digest>(i);
    }
  }
  return std::nullopt;
}

bool equal_in_constant_time(Bytes a, Bytes b) {
  return a.size() == b.size() && CRYPTO_memcmp(a.data(), b.data(), a.size()) == 0;
}

HmacKey::HmacKey(Bytes secret, Digest digest) : keyed_(EVP_MAC_CTX_new(hmac()), FreeMac{}), digest_(digest) {
  RC_ASSERT(keyed_ != nullptr);
  const OSSL_PARAM parameters[] = {
      OSSL_PARAM_construct_utf8_string(OSSL_MAC_PARAM_DIGEST,
                                       const_cast<char*>(kDigestNames[static_cast<size_t>(digest)]), 0),
      OSSL_PARAM_construct_end(),
  };
  // A null key would mean "keep the old one".
  const unsigned char none = 0;
  const bool ready = EVP_MAC_init(keyed_.get(), secret.empty() ? &none : openssl_octets(secret),
                                  secret.size(), parameters) == 1;
  RC_ASSERT(ready);
}

HmacKey::Mac HmacKey::sign(Bytes text) const {
  // Duplicating reads the keyed context only: any number of threads may.
  const MacContext context(EVP_MAC_CTX_dup(keyed_.get()));
  Mac mac;
  const bool done = context && EVP_MAC_update(context.get(), openssl_octets(text), text.size()) == 1 &&
                    EVP_MAC_final(context.get(), reinterpret_cast<unsigned char*>(mac.bytes.data()),
                                  &mac.size, mac.bytes.size()) == 1;
  RC_ASSERT(done && mac.size == digest_bytes(digest_));
  return mac;
}

std::string HmacKey::sign_hex(std::string_view text) const {
  const Mac mac = sign(as_bytes(text));
  std::string hex(mac.size * 2, '\0');
  write_hex(mac.view(), hex.data());
  return hex;
}

bool HmacKey::verify(Bytes text, Bytes mac) const {
  return mac.size() == digest_bytes(digest_) && equal_in_constant_time(sign(text).view(), mac);
}

bool HmacKey::verify_hex(std::string_view text, std::string_view mac) const {
  if (mac.size() != 2 * digest_bytes(digest_)) return false;
  char hex[2 * kDigestBytesMax];
  const size_t size = write_hex(sign(as_bytes(text)).view(), hex);
  return equal_in_constant_time(as_bytes({hex, size}), as_bytes(mac));
}

struct AesGcmKey::Secret {
  std::array<unsigned char, kKeyBytes> bytes;
  ~Secret() { OPENSSL_cleanse(bytes.data(), bytes.size()); }
};

AesGcmKey::AesGcmKey(Bytes key) {
  RC_ASSERT(key.size() == kKeyBytes);
  auto secret = std::make_shared<Secret>();
  std::copy_n(openssl_octets(key), kKeyBytes, secret->bytes.begin());
  secret_ = std::move(secret);
}

std::optional<std::vector<std::byte>> AesGcmKey::open(Bytes iv, Bytes ciphertext, Bytes tag) const {
  // OpenSSL would check as few bytes of a tag as it is given.
  if (iv.size() != kIvBytes || tag.size() != kTagBytes) return std::nullopt;
  if (ciphertext.size() > INT32_MAX) return std::nullopt;
  const CipherContext context(EVP_CIPHER_CTX_new());
  RC_ASSERT(context != nullptr);

  std::vector<std::byte> plaintext(ciphertext.size() + kTagBytes);  // never empty, so data() is a place
  std::array<unsigned char, kTagBytes> expected;
  std::copy_n(openssl_octets(tag), kTagBytes, expected.begin());
  auto* const out = reinterpret_cast<unsigned char*>(plaintext.data());
  int written = 0;
  int rest = 0;
  const bool authentic =
      EVP_DecryptInit_ex2(context.get(), aes_256_gcm(), secret_->bytes.data(), openssl_octets(iv), nullptr) ==
          1 &&
      EVP_DecryptUpdate(context.get(), out, &written, openssl_octets(ciphertext),
                        static_cast<int>(ciphertext.size())) == 1 &&
      EVP_CIPHER_CTX_ctrl(context.get(), EVP_CTRL_AEAD_SET_TAG, kTagBytes, expected.data()) == 1 &&
      EVP_DecryptFinal_ex(context.get(), out + written, &rest) == 1;
  if (!authentic) return std::nullopt;
  plaintext.resize(static_cast<size_t>(written) + static_cast<size_t>(rest));
  return plaintext;
}

}  // namespace ringcast
