// Certificates for tests, made when needed: for localhost, 127.0.0.1 and ::1,
// self-signed or issued by another one. Knows nothing of src/. Values only; any thread.
#pragma once

#include <cstdint>
#include <string>

namespace ringcast {

struct TestCertificate {
  std::string certificate_pem;
  std::string key_pem;
};

enum class TestKey { p256, secp256k1, rsa2048, rsa1024, ed25519 };

struct TestCertificateOptions {
  TestKey key = TestKey::p256;
  std::string common_name = "localhost";
  // Seconds from now.
  int64_t begins_s = -3600;
  int64_t ends_s = 30 * 86400;
  // Null: signed by itself. Any may issue.
  const TestCertificate* issuer = nullptr;
};

// Aborts if OpenSSL refuses.
TestCertificate make_test_certificate(const TestCertificateOptions& options = {});

// The key again, under a passphrase.
std::string encrypt_test_key(const std::string& key_pem, const std::string& passphrase);

// Writes `certificate.pem` and `key.pem` into an existing folder. Aborts if it cannot.
struct TestCertificateFiles {
  std::string certificate;
  std::string key;
};
TestCertificateFiles write_test_certificate(const TestCertificate& certificate, const std::string& folder);

}  // namespace ringcast
