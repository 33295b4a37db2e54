// A cookie's way from the header to its value.
#include "auth/rails_cookie.h"

#include <algorithm>

#include "base/ascii.h"

namespace ringcast {
namespace {

constexpr size_t kIvTextBytes = 16;           // 12 bytes in base64
constexpr size_t kTagTextBytes = 24;          // 16 bytes, padded
constexpr size_t kTagTextBytesUnpadded = 22;  // … as a URL-safe encryptor leaves them

std::optional<std::string> form_decode(std::string_view text) {
  std::string decoded;
  decoded.reserve(text.size());
  for (size_t i = 0; i < text.size(); ++i) {
    if (text[i] != '%') {
      decoded += text[i] == '+' ? ' ' : text[i];
      continue;
    }
    if (text.size() - i < 3) return std::nullopt;
    const int high = hex_value(text[i + 1]);
    const int low = hex_value(text[i + 2]);
    if (high < 0 || low < 0) return std::nullopt;
    decoded += static_cast<char>(high << 4 | low);
    i += 2;
  }
  return decoded;
}

std::string purpose_of(std::string_view cookie) {
  return std::string("cookie.").append(cookie);
}

struct Sealed {
  std::string_view ciphertext, iv, tag;
};

// Cut from the right by width, since URL-safe base64 may hold "--".
std::optional<Sealed> cut_sealed(std::string_view value, size_t tag_bytes) {
  const size_t behind = kRailsSeparator.size() + kIvTextBytes + kRailsSeparator.size() + tag_bytes;
  if (value.size() < behind) return std::nullopt;
  const std::string_view end = value.substr(value.size() - behind);
  if (!end.starts_with(kRailsSeparator) ||
      end.substr(kRailsSeparator.size() + kIvTextBytes, kRailsSeparator.size()) != kRailsSeparator) {
    return std::nullopt;
  }
  return Sealed{value.substr(0, value.size() - behind), end.substr(kRailsSeparator.size(), kIvTextBytes),
                end.substr(behind - tag_bytes)};
}

}  // namespace

std::optional<std::string> find_cookie(std::string_view header, std::string_view name) {
  while (!header.empty()) {
    const size_t end = std::min(header.find(';'), header.size());
    const std::string_view pair = header.substr(0, end);
    header.remove_prefix(end);
    if (!header.empty()) header.remove_prefix(1);
    header.remove_prefix(std::min(header.find_first_not_of(' '), header.size()));

    const size_t equals = pair.find('=');
    if (pair.substr(0, equals) != name || pair.empty()) continue;
    // A name without '=' has no value, and still hides later ones.
    if (equals == std::string_view::npos) return std::nullopt;
    const std::string_view value = pair.substr(equals + 1);
    if (auto decoded = form_decode(value)) return decoded;
    return std::string(value);
  }
  return std::nullopt;
}

RailsMessage verify_signed_cookie(const KeyRing& keys, std::string_view name, std::string_view value,
                                  int64_t now_unix_ms) {
  SignedText proven{value.empty() ? RailsError::missing : RailsError::bad_signature, {}};
  for (const RailsKeys& key : keys.keys()) {
    proven = verify_rails_signature(value, key.signed_cookie);
    // The other keys' MACs have the same length, so only a wrong MAC is worth another try.
    if (proven.error != RailsError::bad_signature) break;
  }
  if (proven.error != RailsError::none) return RailsMessage::failed(proven.error);
  const auto payload = decode_rails_base64(proven.text);
  if (!payload) return RailsMessage::failed(RailsError::malformed);
  return read_rails_payload(*payload, RailsEnvelope::cookie, purpose_of(name), RailsPurpose::optional,
                            now_unix_ms);
}

RailsMessage decrypt_cookie(const KeyRing& keys, std::string_view name, std::string_view value,
                            int64_t now_unix_ms) {
  if (value.empty()) return RailsMessage::failed(RailsError::missing);
  if (value.size() > kRailsMessageBytesMax) return RailsMessage::failed(RailsError::too_large);
  auto parts = cut_sealed(value, kTagTextBytes);
  if (!parts) parts = cut_sealed(value, kTagTextBytesUnpadded);
  if (!parts) return RailsMessage::failed(RailsError::malformed);
  const auto ciphertext = decode_rails_base64(parts->ciphertext);
  const auto iv = decode_rails_base64(parts->iv);
  const auto tag = decode_rails_base64(parts->tag);
  if (!ciphertext || !iv || !tag) return RailsMessage::failed(RailsError::malformed);

  for (const RailsKeys& key : keys.keys()) {
    const auto payload = key.encrypted_cookie.open(*iv, *ciphertext, *tag);
    if (!payload) continue;
    return read_rails_payload(*payload, RailsEnvelope::cookie, purpose_of(name), RailsPurpose::optional,
                              now_unix_ms);
  }
  return RailsMessage::failed(RailsError::bad_signature);
}

}  // namespace ringcast
