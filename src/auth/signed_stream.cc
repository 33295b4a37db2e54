// Names behind a MAC, and where an identifier holds them.
#include "auth/signed_stream.h"

#include "base/assert.h"

namespace ringcast {
namespace {

// A name is a JSON string and nothing else.
SignedStream name_in(const RailsMessage& message) {
  if (!message) return SignedStream::failed(message.error);
  const auto name = message.value.as_string();
  if (!name) return SignedStream::failed(RailsError::malformed);
  return {RailsError::none, std::string(*name)};
}

SignedStream read_turbo(std::string_view text, int64_t now_unix_ms) {
  const auto payload = decode_rails_base64(text);
  if (!payload) return SignedStream::failed(RailsError::malformed);
  return name_in(
      read_rails_payload(*payload, RailsEnvelope::verifier, {}, RailsPurpose::optional, now_unix_ms));
}

StreamRequest request(StreamRequest::Kind kind, const Json& member) {
  const auto text = member.as_string();
  if (!text) return {};
  return {kind, *text};
}

}  // namespace

HmacKey signed_stream_key(std::string_view secret) {
  return HmacKey(as_bytes(secret), Digest::sha256);
}

SignedStream verify_signed_stream(const HmacKey& key, std::string_view token) {
  RC_ASSERT(key.digest() == Digest::sha256);
  const SignedText proven = verify_rails_signature(token, key);
  if (proven.error != RailsError::none) return SignedStream::failed(proven.error);
  const auto payload = decode_rails_base64(proven.text);
  if (!payload) return SignedStream::failed(RailsError::malformed);
  RailsMessage message;
  if (auto value = Json::parse(as_text(*payload))) {
    message = {RailsError::none, std::move(*value), std::nullopt};
  } else {
    message.error = RailsError::malformed;
  }
  return name_in(message);
}

SignedStream verify_turbo_stream(const KeyRing& keys, std::string_view token, int64_t now_unix_ms) {
  SignedStream last = SignedStream::failed(token.empty() ? RailsError::missing : RailsError::bad_signature);
  for (const RailsKeys& key : keys.keys()) {
    last = verify_turbo_stream(key.turbo_stream, token, now_unix_ms);
    if (last.error != RailsError::bad_signature) break;
  }
  return last;
}

SignedStream verify_turbo_stream(const HmacKey& key, std::string_view token, int64_t now_unix_ms) {
  const SignedText proven = verify_rails_signature(token, key);
  if (proven.error != RailsError::none) return SignedStream::failed(proven.error);
  return read_turbo(proven.text, now_unix_ms);
}

StreamRequest stream_request(std::string_view channel, const Json& params) {
  using Kind = StreamRequest::Kind;
  if (channel == "Turbo::StreamsChannel") return request(Kind::turbo, params["signed_stream_name"]);
  if (channel == "CableReady::Stream") return request(Kind::cable_ready, params["identifier"]);
  if (channel != "$pubsub") return {};
  // A signed name beside a public one decides, also when it does not verify: what was
  // meant to be proven must not pass unproven.
  if (const Json* proven = params.find("signed_stream_name"); proven != nullptr && !proven->is_null()) {
    return request(Kind::pubsub, *proven);
  }
  return request(Kind::public_name, params["stream_name"]);
}

}  // namespace ringcast
