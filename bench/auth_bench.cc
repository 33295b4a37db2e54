// What does it cost to know who connects? A handshake is some 30 us of CPU, so the check
// of a signed cookie must stay below 10 us (100,000 a second and core), also where the
// secret was rotated; if it did not, verified cookies would be remembered. RSA and ECDSA
// are what their mathematics costs: the figure says whether they need a thread of their own.
#include <benchmark/benchmark.h>

#include <openssl/ec.h>
#include <openssl/evp.h>
#include <openssl/rsa.h>
#include <openssl/x509.h>

#include <memory>
#include <string>
#include <vector>

#include "auth/identifier_source.h"
#include "auth/jwt.h"
#include "auth/rails_cookie.h"
#include "auth/signed_stream.h"
#include "support/rails_signer.h"

namespace ringcast {
namespace {

constexpr int64_t kNow = 1795375362000;

const std::string kSecret(128, 'a');  // as long as Rails makes them

// `tries` keys of which only the last one verifies.
KeyRing ring(int64_t tries, const std::string& last) {
  std::vector<std::string> all;
  for (int64_t i = 1; i < tries; ++i) all.push_back("rotated " + std::to_string(i));
  all.push_back(last);
  return KeyRing::derive(all, {.derivation = KeyDerivation::sha256});
}

std::string payload() {
  return test::enveloped("42", R"("2100-01-01T00:00:00.000Z")", R"("cookie.user_id")");
}

// A session as Devise fills it.
std::string session() {
  return test::enveloped(
      R"({"session_id":"0123456789abcdef0123456789abcdef","_csrf_token":"0123456789abcdef0123456789abcdef0123456789a",)"
      R"("warden.user.user.key":[[42],"$2a$12$0123456789012345678901"],"flash":{"discard":[],"flashes":{}}})",
      "null", R"("cookie._app_session")");
}

void BM_signed_cookie(benchmark::State& state) {
  const KeyRing keys = ring(state.range(0), kSecret);
  const std::string cookie = test::sign_message(keys.keys().back().signed_cookie, payload());
  for (auto _ : state) {
    const RailsMessage message = verify_signed_cookie(keys, "user_id", cookie, kNow);
    if (!message) state.SkipWithError("refused");
    benchmark::DoNotOptimize(message.value.is_number());
  }
}
BENCHMARK(BM_signed_cookie)->ArgName("keys")->Arg(1)->Arg(2)->Arg(4);

// What a stranger can make us spend.
void BM_forged_cookie(benchmark::State& state) {
  const KeyRing keys = ring(2, kSecret);
  const std::string cookie =
      std::string(static_cast<size_t>(state.range(0)), 'A') + "--" + std::string(40, '0');
  for (auto _ : state) benchmark::DoNotOptimize(verify_signed_cookie(keys, "user_id", cookie, kNow).error);
}
BENCHMARK(BM_forged_cookie)->ArgName("bytes")->Arg(128)->Arg(4096)->Arg(1 << 20);

void BM_encrypted_session(benchmark::State& state) {
  const KeyRing keys = ring(state.range(0), kSecret);
  const std::string cookie = test::encrypt_message(
      derive_rails_key(kSecret, "authenticated encrypted cookie", AesGcmKey::kKeyBytes, Digest::sha256),
      session());
  for (auto _ : state) {
    const RailsMessage message = decrypt_cookie(keys, "_app_session", cookie, kNow);
    if (!message) state.SkipWithError("refused");
    benchmark::DoNotOptimize(message.value.is_object());
  }
}
BENCHMARK(BM_encrypted_session)->ArgName("keys")->Arg(1)->Arg(2)->Arg(4);

void BM_turbo_stream(benchmark::State& state) {
  const KeyRing keys = ring(1, kSecret);
  const std::string token =
      test::sign_message(keys.keys().back().turbo_stream, R"("Z2lkOi8vYXBwL1Jvb20vMQ:messages")");
  for (auto _ : state) benchmark::DoNotOptimize(verify_turbo_stream(keys, token, kNow).name.data());
}
BENCHMARK(BM_turbo_stream);

void BM_jwt_hs256(benchmark::State& state) {
  JwtPolicy policy;
  std::string error;
  policy.keys.push_back(*JwtKey::from_secret(kSecret, &error));
  const std::string token =
      test::sign_jwt(HmacKey(as_bytes(kSecret), Digest::sha256), R"({"alg":"HS256","typ":"JWT"})",
                     R"({"ext":"{\"user_id\":42}","exp":4102444800})");
  for (auto _ : state) {
    if (!verify_jwt(policy, token, kNow)) state.SkipWithError("refused");
  }
}
BENCHMARK(BM_jwt_hs256);

// Any signature of the right form: refusing costs what accepting does.
void BM_jwt_public_key(benchmark::State& state, EVP_PKEY* (*make)(), const char* algorithm,
                       size_t signature_bytes) {
  const std::unique_ptr<EVP_PKEY, void (*)(EVP_PKEY*)> key(make(), EVP_PKEY_free);
  unsigned char* der = nullptr;
  const int der_bytes = i2d_PUBKEY(key.get(), &der);
  const std::string pem =
      "-----BEGIN PUBLIC KEY-----\n" +
      base64_encode({reinterpret_cast<const std::byte*>(der), static_cast<size_t>(der_bytes)}) +
      "\n-----END PUBLIC KEY-----\n";
  OPENSSL_free(der);
  JwtPolicy policy;
  std::string error;
  policy.keys.push_back(*JwtKey::from_pem(pem, &error));
  std::vector<std::byte> signature(signature_bytes, std::byte{0x5a});
  const std::string token = base64url_encode(as_bytes(R"({"alg":")" + std::string(algorithm) + R"("})")) +
                            "." + base64url_encode(as_bytes(R"({"sub":"42","exp":4102444800})")) + "." +
                            base64url_encode(signature);
  for (auto _ : state) {
    if (verify_jwt(policy, token, kNow).error != JwtError::bad_signature) state.SkipWithError("not tried");
  }
}
BENCHMARK_CAPTURE(
    BM_jwt_public_key, rs256_2048, [] { return EVP_RSA_gen(2048); }, "RS256", 256);
BENCHMARK_CAPTURE(
    BM_jwt_public_key, rs256_4096, [] { return EVP_RSA_gen(4096); }, "RS256", 512);
BENCHMARK_CAPTURE(
    BM_jwt_public_key, es256, [] { return EVP_EC_gen("P-256"); }, "ES256", 64);

class Request : public CredentialSource {
 public:
  Request() : keys_(ring(1, kSecret)) {
    header_ = "theme=dark; user_id=" + test::sign_message(keys_.keys().back().signed_cookie, payload()) +
              "; lang=en";
  }
  std::optional<std::string> cookie(std::string_view name) const override {
    return find_cookie(header_, name);
  }
  std::optional<std::string> header(std::string_view) const override { return std::nullopt; }
  std::optional<std::string> query(std::string_view) const override { return std::nullopt; }
  const Json* claims() const override { return nullptr; }
  const KeyRing& keys() const override { return keys_; }
  int64_t now_unix_ms() const override { return kNow; }

 private:
  KeyRing keys_;
  std::string header_;
};

// The whole way of a handshake: header, cookie, template.
void BM_global_id_from_header(benchmark::State& state) {
  const Request request;
  std::string error;
  const auto source = IdentifierSource::parse("current_user=gid://app/User/{cookies.signed.user_id}", &error);
  for (auto _ : state) {
    const IdentifierValue value = source->evaluate(request);
    if (!value) state.SkipWithError(value.reason.c_str());
    benchmark::DoNotOptimize(value.value.is_null());
  }
}
BENCHMARK(BM_global_id_from_header);

// Once at start for each secret and derivation.
void BM_derive_keys(benchmark::State& state) {
  for (auto _ : state) benchmark::DoNotOptimize(ring(1, kSecret).keys().size());
}
BENCHMARK(BM_derive_keys)->Unit(benchmark::kMillisecond);

}  // namespace
}  // namespace ringcast
