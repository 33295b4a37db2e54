// The other side of auth/: makes cookies, tokens and stream names as Rails and JWT
// libraries make them, so that tests, fuzzers and benchmarks can have validly signed
// nonsense.
#pragma once

#include <openssl/evp.h>

#include <array>
#include <cstdlib>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "auth/crypto.h"
#include "base/base64.h"

namespace ringcast::test {

inline std::vector<std::byte> from_hex(std::string_view hex) {
  std::vector<std::byte> bytes;
  for (size_t i = 0; i + 1 < hex.size(); i += 2) {
    bytes.push_back(static_cast<std::byte>(std::strtoul(std::string(hex.substr(i, 2)).c_str(), nullptr, 16)));
  }
  return bytes;
}

inline std::string to_hex(Bytes bytes) {
  std::string hex;
  for (const std::byte byte : bytes) {
    hex += "0123456789abcdef"[std::to_integer<int>(byte) >> 4];
    hex += "0123456789abcdef"[std::to_integer<int>(byte) & 15];
  }
  return hex;
}

// MessageVerifier, from the base64 text on.
inline std::string sign_text(const HmacKey& key, std::string_view text) {
  return std::string(text) + "--" + key.sign_hex(text);
}

inline std::string sign_message(const HmacKey& key, std::string_view payload) {
  return sign_text(key, base64_encode(as_bytes(payload)));
}

// The envelope of cookies; `expiry` and `purpose` are JSON.
inline std::string enveloped(std::string_view serialized, const std::string& expiry,
                             const std::string& purpose) {
  return R"({"_rails":{"message":")" + base64_encode(as_bytes(serialized)) + R"(","exp":)" + expiry +
         R"(,"pur":)" + purpose + "}}";
}

// MessageEncryptor with a fixed iv, which is all a test needs.
inline std::string encrypt_message(Bytes key, std::string_view payload) {
  const std::array<unsigned char, 12> iv = {1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12};
  std::vector<std::byte> sealed(payload.size() + 16);
  std::array<std::byte, 16> tag;
  int size = 0;
  int rest = 0;
  EVP_CIPHER_CTX* const context = EVP_CIPHER_CTX_new();
  auto* const out = reinterpret_cast<unsigned char*>(sealed.data());
  EVP_EncryptInit_ex(context, EVP_aes_256_gcm(), nullptr, reinterpret_cast<const unsigned char*>(key.data()),
                     iv.data());
  EVP_EncryptUpdate(context, out, &size, reinterpret_cast<const unsigned char*>(payload.data()),
                    static_cast<int>(payload.size()));
  EVP_EncryptFinal_ex(context, out + size, &rest);
  EVP_CIPHER_CTX_ctrl(context, EVP_CTRL_AEAD_GET_TAG, 16, tag.data());
  EVP_CIPHER_CTX_free(context);
  sealed.resize(static_cast<size_t>(size + rest));
  return base64_encode(sealed) + "--" + base64_encode(std::as_bytes(std::span(iv))) + "--" +
         base64_encode(tag);
}

// A JWS in compact form with an HMAC.
inline std::string sign_jwt(const HmacKey& key, std::string_view header, std::string_view claims) {
  const std::string text = base64url_encode(as_bytes(header)) + "." + base64url_encode(as_bytes(claims));
  return text + "." + base64url_encode(key.sign(as_bytes(text)).view());
}

}  // namespace ringcast::test
