// Certificates and keys as files hold them, good and bad: what is served, what is
// refused and with which sentence; ticket keys and their rotation.
#include "protocol/tls_context.h"

#include <gtest/gtest.h>
#include <openssl/err.h>
#include <openssl/ssl.h>

#include <chrono>
#include <string>

#include "protocol/tls_engine.h"
#include "support/certificates.h"
#include "support/tls_client.h"

namespace ringcast {
namespace {

int64_t unix_ms_now() {
  return std::chrono::duration_cast<std::chrono::milliseconds>(
             std::chrono::system_clock::now().time_since_epoch())
      .count();
}

TlsContext::Made make(std::string_view certificates, std::string_view key, int64_t unix_ms = unix_ms_now()) {
  TlsContext::Made made = TlsContext::make(certificates, key, TlsTicketKeys::generate(Instant{}), unix_ms);
  EXPECT_EQ(made.context == nullptr, !made.error.empty());
  EXPECT_EQ(made.error.find('\n'), std::string::npos);
  EXPECT_EQ(made.warning.find('\n'), std::string::npos);
  EXPECT_EQ(ERR_peek_error(), 0u) << "errors stay behind";
  return made;
}

// A whole handshake with a client that trusts `root_pem` alone; empty if it succeeds.
std::string handshake(const TlsContext::Made& made, const std::string& root_pem, int version = 0) {
  TlsEngine server(made.context);
  TlsClient client({.version = version, .trusted_pem = root_pem});
  client.start();
  std::vector<std::byte> plain;
  for (int round = 0; round < 10 && !client.failed(); ++round) {
    std::vector<std::byte> out;
    server.receive(as_bytes(client.take_output()), plain, out);
    client.receive(as_text(out));
  }
  if (client.failed()) return client.failure();
  return client.done() && server.handshake_done() ? "" : "unfinished";
}

TEST(TlsContext, ServesEveryKindOfKey) {
  for (const TestKey kind : {TestKey::p256, TestKey::rsa2048, TestKey::ed25519}) {
    const TestCertificate certificate = make_test_certificate({.key = kind});
    const auto made = make(certificate.certificate_pem, certificate.key_pem);
    ASSERT_TRUE(made.context) << made.error;
    EXPECT_EQ(made.warning, "");
    EXPECT_EQ(handshake(made, certificate.certificate_pem, TLS1_2_VERSION), "");
    EXPECT_EQ(handshake(made, certificate.certificate_pem, TLS1_3_VERSION), "");
    EXPECT_EQ(handshake(made, make_test_certificate().certificate_pem), "certificate verify failed");
  }
}

TEST(TlsContext, SendsTheWholeChain) {
  const TestCertificate root = make_test_certificate({.common_name = "root"});
  const TestCertificate middle = make_test_certificate({.common_name = "middle", .issuer = &root});
  const TestCertificate leaf = make_test_certificate({.issuer = &middle});
  const auto whole = make(leaf.certificate_pem + middle.certificate_pem, leaf.key_pem);
  ASSERT_TRUE(whole.context) << whole.error;
  EXPECT_EQ(whole.warning, "");
  EXPECT_EQ(handshake(whole, root.certificate_pem), "");

  const auto cut = make(leaf.certificate_pem, leaf.key_pem);
  ASSERT_TRUE(cut.context);
  EXPECT_NE(handshake(cut, root.certificate_pem), "");

  const auto foreign = make(leaf.certificate_pem + root.certificate_pem, leaf.key_pem);
  ASSERT_TRUE(foreign.context);
  EXPECT_EQ(foreign.warning, "certificate 2 of the chain did not issue the one before it");

  // After the ticket keys rotated the chain is still whole.
  const auto rotated = whole.context->with_ticket_keys(whole.context->ticket_keys().rotated(Instant{}));
  EXPECT_EQ(handshake({rotated, "", ""}, root.certificate_pem), "");
  EXPECT_EQ(rotated->certificate_expires_unix_s(), whole.context->certificate_expires_unix_s());
}

// As many keep it: one file for everything, with text between the blocks.
TEST(TlsContext, TakesBothFromOneFile) {
  const TestCertificate certificate = make_test_certificate();
  const std::string all =
      "my key\r\n" + certificate.key_pem + "\nmy certificate:\n" + certificate.certificate_pem + "the end";
  const auto made = make(all, all);
  ASSERT_TRUE(made.context) << made.error;
  EXPECT_EQ(handshake(made, certificate.certificate_pem), "");
}

TEST(TlsContext, SaysWhatIsWrong) {
  const TestCertificate good = make_test_certificate();
  const TestCertificate other = make_test_certificate({.issuer = &good});
  const auto error = [](std::string_view certificates, std::string_view key) {
    return make(certificates, key).error;
  };
  EXPECT_EQ(error("", good.key_pem), "the certificate file holds no certificate in PEM form");
  EXPECT_EQ(error("\x30\x82\x01\x0a", good.key_pem), "the certificate file holds no certificate in PEM form");
  EXPECT_EQ(error(good.key_pem, good.key_pem), "the certificate file holds no certificate in PEM form");
  EXPECT_EQ(error(good.certificate_pem, ""), "the key file holds no private key in PEM form");
  EXPECT_EQ(error(good.certificate_pem, good.certificate_pem),
            "the key file holds no private key in PEM form");
  EXPECT_EQ(error(other.certificate_pem, good.key_pem), "the private key does not belong to the certificate");
  EXPECT_EQ(error(good.certificate_pem + other.certificate_pem, other.key_pem),
            "the private key belongs to certificate 2 of the file; the server's own must come first");
  EXPECT_EQ(
      error(good.certificate_pem, encrypt_test_key(good.key_pem, "secret")),
      "the private key is encrypted; store it without a passphrase (openssl pkey -in KEY -out NEW_KEY)");

  const TestCertificate small = make_test_certificate({.key = TestKey::rsa1024});
  EXPECT_EQ(error(small.certificate_pem, small.key_pem),
            "the private key is RSA of 1024 bits; 2048 are needed");
  const TestCertificate odd = make_test_certificate({.key = TestKey::secp256k1});
  EXPECT_EQ(error(odd.certificate_pem, odd.key_pem),
            "the private key is on the curve secp256k1; P-256, P-384 or P-521 is needed");
}

// A file damaged anywhere is an error or, where the damage is outside of the block, none:
// never a crash, never a context without a sentence (checked in make).
TEST(TlsContext, TakesDamagedFiles) {
  const TestCertificate good = make_test_certificate();
  for (size_t at = 0; at < good.certificate_pem.size(); at += 3) {
    std::string damaged = good.certificate_pem;
    damaged[at] = '!';
    make(damaged, good.key_pem);
    if (at + 1 == good.certificate_pem.size()) continue;  // without its last newline it is whole
    EXPECT_FALSE(make(std::string_view(good.certificate_pem).substr(0, at), good.key_pem).context) << at;
  }
  for (size_t at = 0; at < good.key_pem.size(); ++at) {
    std::string damaged = good.key_pem;
    damaged[at] = '!';
    make(good.certificate_pem, damaged);
    if (at + 1 == good.key_pem.size()) continue;
    EXPECT_FALSE(make(good.certificate_pem, std::string_view(good.key_pem).substr(0, at)).context) << at;
  }
  EXPECT_EQ(make(good.certificate_pem + "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n",
                 good.key_pem)
                .error.substr(0, 31),
            "certificate 2 cannot be read: w");
}

TEST(TlsContext, WarnsOfTimesOnly) {
  const int64_t now_ms = unix_ms_now();
  const TestCertificate certificate = make_test_certificate();
  const auto warning = [&](int64_t unix_ms) {
    const auto made = make(certificate.certificate_pem, certificate.key_pem, unix_ms);
    EXPECT_TRUE(made.context) << made.error;
    return made.warning;
  };
  EXPECT_EQ(warning(now_ms), "");
  EXPECT_EQ(warning(now_ms + int64_t{40} * 86'400'000).substr(0, 26), "the certificate expired on");
  EXPECT_EQ(warning(now_ms - int64_t{2} * 3'600'000).substr(0, 35), "the certificate is not valid before");
  EXPECT_EQ(warning(0), warning(1)) << "and the time named is the certificate's";
  EXPECT_EQ(warning(0).substr(36, 2), "20");

  const auto made = make(certificate.certificate_pem, certificate.key_pem);
  EXPECT_NEAR(made.context->certificate_expires_unix_s(), now_ms / 1000 + 30 * 86400, 600);
}

TEST(TlsTicketKeys, RotateKeepingOneOldKey) {
  const Instant start = Instant{} + std::chrono::hours(100);
  const TlsTicketKeys first = TlsTicketKeys::generate(start);
  EXPECT_FALSE(first.rotation_due(start));
  EXPECT_FALSE(first.rotation_due(start + kTlsTicketLifetime - Duration(1)));
  EXPECT_TRUE(first.rotation_due(start + kTlsTicketLifetime));

  const TlsTicketKeys second = first.rotated(start + kTlsTicketLifetime);
  EXPECT_FALSE(second.rotation_due(start + kTlsTicketLifetime));
  const TlsTicketKeys third = second.rotated(start + 2 * kTlsTicketLifetime);
  ASSERT_NE(first.find(first.current().name), nullptr);
  ASSERT_NE(second.find(first.current().name), nullptr);
  EXPECT_EQ(second.find(first.current().name)->cipher_key, first.current().cipher_key);
  EXPECT_EQ(second.find(first.current().name)->mac_key, first.current().mac_key);
  EXPECT_EQ(second.find(second.current().name), &second.current());
  EXPECT_EQ(third.find(first.current().name), nullptr);
  EXPECT_NE(third.find(second.current().name), nullptr);
  EXPECT_NE(first.current().cipher_key, second.current().cipher_key);
  EXPECT_EQ(first.find({}), nullptr);
}

}  // namespace
}  // namespace ringcast
