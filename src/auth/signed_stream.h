// Stream names that the application signed and the page hands back: Turbo's, and
// AnyCable's for "$pubsub" and CableReady. Pure; any thread.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "auth/crypto.h"
#include "auth/keys.h"
#include "auth/rails_message.h"
#include "ringcast/json.h"

namespace ringcast {

struct SignedStream {
  RailsError error = RailsError::missing;
  std::string name;  // may be empty or hold any character: the signer chose it

  static SignedStream failed(RailsError error) { return {error, {}}; }
  explicit operator bool() const { return error == RailsError::none; }
};

// AnyCable: base64 of a JSON string, "--", hexadecimal HMAC-SHA256 over the base64 text.
// Either alphabet, padded or not, since AnyCable's Ruby side and its server disagree.
// REQUIRES: the key's digest is SHA-256.
SignedStream verify_signed_stream(const HmacKey& key, std::string_view token);

// The key for the above: the secret's text as it is.
HmacKey signed_stream_key(std::string_view secret);

// Turbo::StreamsChannel: the same, and Rails' metadata envelope is read (expiry holds; a
// purpose is refused, since Turbo expects none). The first takes the keys derived from
// secret_key_base, the second one given as config.turbo.signed_stream_verifier_key.
SignedStream verify_turbo_stream(const KeyRing& keys, std::string_view token, int64_t now_unix_ms);
SignedStream verify_turbo_stream(const HmacKey& key, std::string_view token, int64_t now_unix_ms);

// What the decoded identifier of a subscription asks for, by the channel's name.
struct StreamRequest {
  enum class Kind : uint8_t {
    none,         // another channel, or the member is missing or no string
    turbo,        // Turbo::StreamsChannel: verify_turbo_stream
    pubsub,       // $pubsub with signed_stream_name: verify_signed_stream with the streams secret
    public_name,  // $pubsub with stream_name alone: for servers that switched public streams on
    cable_ready,  // CableReady::Stream: verify_signed_stream with CableReady's key
  };
  Kind kind = Kind::none;
  std::string_view text;  // the token, or the public name; lives as long as `params`
};
StreamRequest stream_request(std::string_view channel, const Json& params);

}  // namespace ringcast
