// Base64 by table, three octets to four characters. Handshakes and cookies are
// short, so nothing here is vectorised.
#include "base/base64.h"

#include <array>

namespace ringcast {
namespace {

constexpr std::string_view kStandard = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
constexpr std::string_view kUrl = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

enum class Padding { required, optional };

using DecodeTable = std::array<uint8_t, 256>;
constexpr uint8_t kForeign = 0xff;

constexpr DecodeTable invert(std::string_view alphabet) {
  DecodeTable table = {};
  table.fill(kForeign);
  for (size_t i = 0; i < alphabet.size(); ++i) {
    table[static_cast<unsigned char>(alphabet[i])] = static_cast<uint8_t>(i);
  }
  return table;
}
constexpr DecodeTable kFromStandard = invert(kStandard);
constexpr DecodeTable kFromUrl = invert(kUrl);

std::string encode(Bytes bytes, std::string_view alphabet, bool pad) {
  std::string text;
  text.reserve(base64_encoded_bytes(bytes.size()));
  const auto put = [&](uint32_t group, size_t characters) {
    for (size_t i = 0; i < characters; ++i) text.push_back(alphabet[(group >> (18 - 6 * i)) & 63]);
  };
  for (; bytes.size() >= 3; bytes = bytes.subspan(3)) {
    put(std::to_integer<uint32_t>(bytes[0]) << 16 | std::to_integer<uint32_t>(bytes[1]) << 8 |
            std::to_integer<uint32_t>(bytes[2]),
        4);
  }
  if (!bytes.empty()) {
    uint32_t group = std::to_integer<uint32_t>(bytes[0]) << 16;
    if (bytes.size() == 2) group |= std::to_integer<uint32_t>(bytes[1]) << 8;
    put(group, bytes.size() + 1);
    if (pad) text.append(3 - bytes.size(), '=');
  }
  return text;
}

std::optional<std::vector<std::byte>> decode(std::string_view text, const DecodeTable& from,
                                             Padding padding) {
  if (text.size() % 4 == 0) {
    // At most two; a third or one elsewhere is a foreign character below.
    if (text.ends_with('=')) text.remove_suffix(1);
    if (text.size() % 4 == 3 && text.ends_with('=')) text.remove_suffix(1);
  } else if (padding == Padding::required) {
    return std::nullopt;
  }
  if (text.size() % 4 == 1) return std::nullopt;  // 6 bits are no octet

  std::vector<std::byte> bytes;
  bytes.reserve(text.size() / 4 * 3 + 2);
  uint32_t bits = 0;  // the low `bit_count` are yet to be written
  unsigned bit_count = 0;
  for (const char character : text) {
    const uint8_t value = from[static_cast<unsigned char>(character)];
    if (value == kForeign) return std::nullopt;
    bits = (bits << 6 | value) & 0xfff;
    bit_count += 6;
    if (bit_count >= 8) {
      bit_count -= 8;
      bytes.push_back(static_cast<std::byte>(bits >> bit_count));
    }
  }
  // RFC 4648, 3.5: bits beyond the last octet must be zero.
  if ((bits & ((1u << bit_count) - 1)) != 0) return std::nullopt;
  return bytes;
}

}  // namespace

std::string base64_encode(Bytes bytes) {
  return encode(bytes, kStandard, true);
}

std::optional<std::vector<std::byte>> base64_decode(std::string_view text) {
  return decode(text, kFromStandard, Padding::required);
}

std::string base64url_encode(Bytes bytes) {
  return encode(bytes, kUrl, false);
}

std::optional<std::vector<std::byte>> base64url_decode(std::string_view text) {
  return decode(text, kFromUrl, Padding::optional);
}

}  // namespace ringcast
