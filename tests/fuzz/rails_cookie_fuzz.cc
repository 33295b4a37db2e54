// Any bytes as a Cookie header, a cookie's value, a stream's name and, since a fuzzer does
// not find MACs, as what the application itself signed or sealed. What is accepted must be
// what its signer meant; nothing unsigned is.
//
// The first byte chooses: a header, a value, or a payload that is signed first.
#include <algorithm>
#include <cstdint>
#include <cstdlib>
#include <string>

#include "auth/rails_cookie.h"
#include "auth/signed_stream.h"
#include "support/rails_signer.h"

namespace {

using namespace ringcast;

constexpr int64_t kNow = 1795375362000;

void require(bool truth) {
  if (!truth) std::abort();
}

const KeyRing& keys() {
  static const std::string secret = "secret";
  // One round: keys are derived anew in each process.
  static const KeyRing ring =
      KeyRing::derive({&secret, 1}, {.derivation = KeyDerivation::sha256, .iterations = 1});
  return ring;
}

void check_header(std::string_view header) {
  const auto value = find_cookie(header, "a");
  require(!value || value->size() <= header.size());
  require(!value || header.find("a=") != std::string_view::npos);
  // What is found first stays what is found.
  require(find_cookie(std::string(header) + "; a=2", "a") == value || !value);
}

void check_value(std::string_view value) {
  // 160 bits and more: an accepted one would have been seen in the seeds.
  require(!verify_signed_cookie(keys(), "a", value, kNow));
  require(!decrypt_cookie(keys(), "a", value, kNow));
  require(!verify_turbo_stream(keys(), value, kNow));
  require(!verify_signed_stream(keys().keys().front().turbo_stream, value));
  (void)parse_iso8601_unix_ms(value);
}

void check_payload(std::string_view payload) {
  const RailsKeys& key = keys().keys().front();
  const std::string cookie = test::sign_message(key.signed_cookie, payload);
  const RailsMessage proven = verify_signed_cookie(keys(), "a", cookie, kNow);
  require(proven || proven.value.is_null());
  require(proven.error != RailsError::bad_signature && proven.error != RailsError::missing);
  require((cookie.size() > kRailsMessageBytesMax) == (proven.error == RailsError::too_large));
  if (proven.error == RailsError::too_large) return;
  require(!proven.expires_unix_ms || *proven.expires_unix_ms > kNow);

  // Sealed, it says the same.
  static const std::vector<std::byte> sealing =
      derive_rails_key("secret", "authenticated encrypted cookie", AesGcmKey::kKeyBytes, Digest::sha256, 1);
  const RailsMessage opened = decrypt_cookie(keys(), "a", test::encrypt_message(sealing, payload), kNow);
  require(opened.error == RailsError::too_large ||
          (opened.error == proven.error && opened.value == proven.value));

  const std::string token = test::sign_message(key.turbo_stream, payload);
  const SignedStream turbo = verify_turbo_stream(keys(), token, kNow);
  const SignedStream plain = verify_signed_stream(key.turbo_stream, token);
  require(turbo || turbo.name.empty());
  // Without an envelope the two kinds of stream names are one.
  if (plain) require(turbo && turbo.name == plain.name);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  if (size == 0) return 0;
  const std::string_view text(reinterpret_cast<const char*>(data) + 1, size - 1);
  switch (data[0] % 3) {
    case 0:
      check_header(text);
      break;
    case 1:
      check_value(text);
      break;
    case 2:
      check_payload(text);
      break;
  }
  return 0;
}
