// Base64 (RFC 4648), both alphabets, decoded strictly: one byte string has one
// spelling, so a signed cookie or a handshake key cannot be respelled. Pure
// functions; any thread.
#pragma once

#include <cstddef>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/bytes.h"

namespace ringcast {

// Length with padding.
constexpr size_t base64_encoded_bytes(size_t bytes) {
  return (bytes + 2) / 3 * 4;
}

// Section 4: alphabet ending in + and /, padded.
std::string base64_encode(Bytes bytes);

// nullopt for anything but the one canonical spelling: foreign characters,
// white space, missing or extra padding, trailing bits that are not zero.
std::optional<std::vector<std::byte>> base64_decode(std::string_view text);

// Section 5: alphabet ending in - and _. Encoded without padding (as in JWT,
// RFC 7515); decoded with the right padding or with none (Rails writes both).
std::string base64url_encode(Bytes bytes);
std::optional<std::vector<std::byte>> base64url_decode(std::string_view text);

}  // namespace ringcast
