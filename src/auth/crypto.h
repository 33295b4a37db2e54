// What auth/ needs of OpenSSL, as two immutable values: a keyed HMAC and an AES-256-GCM
// key. The key schedule is made once; using a key changes nothing in it, so one object
// may serve all threads, and copies share it. The bytes of a key are wiped when the last
// copy goes.
#pragma once

#include <array>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/bytes.h"

struct evp_mac_ctx_st;

namespace ringcast {

enum class Digest : uint8_t { sha1, sha256, sha384, sha512 };

constexpr size_t kDigestBytesMax = 64;
constexpr size_t digest_bytes(Digest digest) {
  constexpr size_t kBytes[] = {20, 32, 48, 64};
  return kBytes[static_cast<size_t>(digest)];
}

// "sha1", "SHA256", … as Rails and its users write them; case does not matter.
std::optional<Digest> parse_digest(std::string_view name);

// Whether two secrets of public length are equal, in time that does not depend on where
// they differ.
bool equal_in_constant_time(Bytes a, Bytes b);

// OpenSSL's type for the same bytes.
inline const unsigned char* openssl_octets(Bytes bytes) {
  return reinterpret_cast<const unsigned char*>(bytes.data());
}

class HmacKey {
 public:
  // Any length, also none, as RFC 2104 has it; whether that is a good idea is the caller's matter.
  HmacKey(Bytes secret, Digest digest);

  struct Mac {
    std::array<std::byte, kDigestBytesMax> bytes;
    size_t size = 0;
    Bytes view() const { return Bytes(bytes).first(size); }
  };
  Mac sign(Bytes text) const;
  std::string sign_hex(std::string_view text) const;

  // Whether `mac` is this key's for `text`; in constant time but for a wrong length.
  bool verify(Bytes text, Bytes mac) const;
  // The same for a MAC in hexadecimal. Lower case only, as Rails compares it as text.
  bool verify_hex(std::string_view text, std::string_view mac) const;

  Digest digest() const { return digest_; }

 private:
  // Keyed and never fed: each use works on a duplicate.
  std::shared_ptr<evp_mac_ctx_st> keyed_;
  Digest digest_;
};

class AesGcmKey {
 public:
  static constexpr size_t kKeyBytes = 32;
  static constexpr size_t kIvBytes = 12;
  static constexpr size_t kTagBytes = 16;

  // REQUIRES: key is kKeyBytes long.
  explicit AesGcmKey(Bytes key);

  // The plaintext; nothing unless iv and tag have their lengths and the tag is right. No
  // additional data.
  std::optional<std::vector<std::byte>> open(Bytes iv, Bytes ciphertext, Bytes tag) const;

 private:
  struct Secret;
  std::shared_ptr<const Secret> secret_;
};

}  // namespace ringcast
