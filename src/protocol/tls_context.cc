// PEM files to an SSL_CTX with everything decided: see the header. Also the ticket
// and ALPN callbacks, which run on the threads of the connections they serve.
#include "protocol/tls_context.h"

#include <openssl/bio.h>
#include <openssl/core_names.h>
#include <openssl/crypto.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/params.h>
#include <openssl/pem.h>
#include <openssl/rand.h>
#include <openssl/ssl.h>
#include <openssl/x509.h>

#include <algorithm>
#include <climits>
#include <ctime>
#include <utility>
#include <vector>

#include "base/assert.h"

namespace ringcast {

namespace {

struct Free {
  void operator()(BIO* bio) const { BIO_free(bio); }
  void operator()(X509* certificate) const { X509_free(certificate); }
  void operator()(EVP_PKEY* key) const { EVP_PKEY_free(key); }
};
using BioPtr = std::unique_ptr<BIO, Free>;
using CertificatePtr = std::unique_ptr<X509, Free>;
using KeyPtr = std::unique_ptr<EVP_PKEY, Free>;

// Forward secrecy and AEAD only. AES-128 first: as safe here, and faster than 256.
constexpr const char* kCiphers12 =
    "ECDHE-ECDSA-AES128-GCM-SHA256:ECDHE-RSA-AES128-GCM-SHA256:"
    "ECDHE-ECDSA-AES256-GCM-SHA384:ECDHE-RSA-AES256-GCM-SHA384:"
    "ECDHE-ECDSA-CHACHA20-POLY1305:ECDHE-RSA-CHACHA20-POLY1305";
constexpr const char* kCiphers13 =
    "TLS_AES_128_GCM_SHA256:TLS_AES_256_GCM_SHA384:TLS_CHACHA20_POLY1305_SHA256";
// Without P-521, with which any client could make a handshake several times as dear.
constexpr const char* kGroups = "X25519:P-256:P-384";

// Sessions of one context are good in all: a reload keeps them.
constexpr unsigned char kSessionContext[] = "ringcast";

// What OpenSSL's error queue began with, for a sentence; empties the queue.
std::string openssl_reason() {
  const char* reason = ERR_reason_error_string(ERR_peek_error());
  ERR_clear_error();
  return reason != nullptr ? reason : "OpenSSL does not say why";
}

// Reads where the caller's bytes lie.
BioPtr reader_of(std::string_view pem) {
  BioPtr bio(BIO_new_mem_buf(pem.data(), static_cast<int>(std::min<size_t>(pem.size(), INT_MAX))));
  RC_ASSERT(bio != nullptr);
  return bio;
}

// Whether reading stopped because there is no (further) PEM block of the kind asked for.
bool at_end_of_pem() {
  const unsigned long error = ERR_peek_last_error();
  return ERR_GET_LIB(error) == ERR_LIB_PEM && ERR_GET_REASON(error) == PEM_R_NO_START_LINE;
}

// In the order of the file. Empty: see `error`.
std::vector<CertificatePtr> read_certificates(std::string_view pem, std::string& error) {
  std::vector<CertificatePtr> chain;
  // OpenSSL takes a null pointer for a missing buffer, even of no bytes.
  const BioPtr bio = reader_of(pem.empty() ? std::string_view(" ") : pem);
  for (;;) {
    CertificatePtr certificate(PEM_read_bio_X509(bio.get(), nullptr, nullptr, nullptr));
    if (certificate == nullptr) break;
    chain.push_back(std::move(certificate));
  }
  if (!at_end_of_pem()) {
    error = "certificate " + std::to_string(chain.size() + 1) + " cannot be read: " + openssl_reason();
    return {};
  }
  ERR_clear_error();
  if (chain.empty()) error = "the certificate file holds no certificate in PEM form";
  return chain;
}

int refuse_passphrase(char*, int, int, void* asked) {
  *static_cast<bool*>(asked) = true;
  return -1;
}

KeyPtr read_key(std::string_view pem, std::string& error) {
  bool encrypted = false;
  const BioPtr bio = reader_of(pem.empty() ? std::string_view(" ") : pem);
  KeyPtr key(PEM_read_bio_PrivateKey(bio.get(), nullptr, refuse_passphrase, &encrypted));
  if (key != nullptr) {
    ERR_clear_error();
    return key;
  }
  if (encrypted) {
    error = "the private key is encrypted; store it without a passphrase (openssl pkey -in KEY -out NEW_KEY)";
  } else if (pem.find("PRIVATE KEY-----") == std::string_view::npos) {
    error = "the key file holds no private key in PEM form";
  } else {
    error = "the private key cannot be read: " + openssl_reason();
  }
  ERR_clear_error();
  return nullptr;
}

// Why no client could be served with this key; empty if all is well. OpenSSL would take
// most of these, and then fail every handshake.
std::string problem_of_key(const EVP_PKEY* key) {
  if (EVP_PKEY_is_a(key, "RSA") || EVP_PKEY_is_a(key, "RSA-PSS")) {
    if (EVP_PKEY_get_bits(key) >= 2048) return {};
    return "the private key is RSA of " + std::to_string(EVP_PKEY_get_bits(key)) + " bits; 2048 are needed";
  }
  if (EVP_PKEY_is_a(key, "ED25519") || EVP_PKEY_is_a(key, "ED448")) return {};
  if (EVP_PKEY_is_a(key, "EC")) {
    char curve[64] = "unnamed";
    EVP_PKEY_get_group_name(key, curve, sizeof curve, nullptr);
    for (const std::string_view known : {"prime256v1", "secp384r1", "secp521r1"}) {
      if (known == curve) return {};
    }
    return std::string("the private key is on the curve ") + curve + "; P-256, P-384 or P-521 is needed";
  }
  const char* type = EVP_PKEY_get0_type_name(key);
  return std::string("the private key is of type ") + (type != nullptr ? type : "unknown") +
         "; RSA, EC or Ed25519 is needed";
}

// Why the key cannot sign for the first certificate; empty if it can.
std::string problem_of_pair(const std::vector<CertificatePtr>& chain, const EVP_PKEY* key) {
  for (size_t i = 0; i < chain.size(); ++i) {
    if (X509_check_private_key(chain[i].get(), key) != 1) continue;
    ERR_clear_error();
    if (i == 0) return {};
    return "the private key belongs to certificate " + std::to_string(i + 1) +
           " of the file; the server's own must come first";
  }
  ERR_clear_error();
  return "the private key does not belong to the certificate";
}

int64_t unix_seconds(const ASN1_TIME* time) {
  std::tm parts{};
  if (ASN1_TIME_to_tm(time, &parts) != 1) return 0;
  return timegm(&parts);
}

std::string text_of(int64_t unix_s) {
  const time_t time = unix_s;
  std::tm parts{};
  char text[64] = "";
  if (gmtime_r(&time, &parts) != nullptr) std::strftime(text, sizeof text, "%Y-%m-%d %H:%M:%S UTC", &parts);
  return text;
}

// Of a chain that works all the same: clients decide, and a clock may be wrong.
std::string warning_about(const std::vector<CertificatePtr>& chain, int64_t unix_s) {
  for (size_t i = 0; i < chain.size(); ++i) {
    const std::string which =
        i == 0 ? "the certificate" : "certificate " + std::to_string(i + 1) + " of the chain";
    const int64_t begins = unix_seconds(X509_get0_notBefore(chain[i].get()));
    const int64_t ends = unix_seconds(X509_get0_notAfter(chain[i].get()));
    if (unix_s < begins) return which + " is not valid before " + text_of(begins);
    if (unix_s > ends) return which + " expired on " + text_of(ends);
  }
  for (size_t i = 0; i + 1 < chain.size(); ++i) {
    if (X509_NAME_cmp(X509_get_issuer_name(chain[i].get()), X509_get_subject_name(chain[i + 1].get())) != 0) {
      return "certificate " + std::to_string(i + 2) + " of the chain did not issue the one before it";
    }
  }
  return {};
}

// Seals (`seal` 1) or opens a ticket. 1: go on; 2: go on, and give the client a newer
// ticket; 0: not ours, a full handshake follows; -1 ends the handshake.
int ticket_key(SSL* ssl, unsigned char* name, unsigned char* iv, EVP_CIPHER_CTX* cipher, EVP_MAC_CTX* mac,
               int seal) {
  const auto& keys = *static_cast<const TlsTicketKeys*>(SSL_CTX_get_app_data(SSL_get_SSL_CTX(ssl)));
  const TlsTicketKeys::Key* key = &keys.current();
  if (seal == 1) {
    std::ranges::copy(as_text(key->name), reinterpret_cast<char*>(name));
    if (RAND_bytes(iv, EVP_CIPHER_get_iv_length(EVP_aes_256_cbc())) != 1) return -1;
  } else {
    key = keys.find(Bytes(reinterpret_cast<const std::byte*>(name), key->name.size()));
    if (key == nullptr) return 0;
  }

  const auto* cipher_key = reinterpret_cast<const unsigned char*>(key->cipher_key.data());
  // OSSL_PARAM has no const form; a set only reads.
  auto* mac_key = const_cast<std::byte*>(key->mac_key.data());
  char digest[] = "SHA256";
  const OSSL_PARAM parameters[] = {
      OSSL_PARAM_construct_octet_string(OSSL_MAC_PARAM_KEY, mac_key, key->mac_key.size()),
      OSSL_PARAM_construct_utf8_string(OSSL_MAC_PARAM_DIGEST, digest, 0),
      OSSL_PARAM_construct_end(),
  };
  if (EVP_CipherInit_ex(cipher, EVP_aes_256_cbc(), nullptr, cipher_key, iv, seal) != 1 ||
      EVP_MAC_CTX_set_params(mac, parameters) != 1) {
    return -1;
  }
  // A client of 1.3 uses a ticket once (RFC 8446, C.4) and needs one for the next time.
  return key == &keys.current() && SSL_version(ssl) != TLS1_3_VERSION ? 1 : 2;
}

int choose_protocol(SSL*, const unsigned char** chosen, unsigned char* chosen_size,
                    const unsigned char* offered, unsigned offered_size, void*) {
  constexpr std::string_view kHttp = "http/1.1";
  // OpenSSL has checked that this is a sequence of octet-counted, non-empty names.
  for (unsigned at = 0; at < offered_size; at += 1 + offered[at]) {
    const std::string_view name(reinterpret_cast<const char*>(offered) + at + 1, offered[at]);
    if (name != kHttp) continue;
    *chosen = offered + at + 1;
    *chosen_size = offered[at];
    return SSL_TLSEXT_ERR_OK;
  }
  return SSL_TLSEXT_ERR_ALERT_FATAL;  // no_application_protocol (RFC 7301, 3.2)
}

void decide_everything(SSL_CTX* context) {
  // What the system's openssl.cnf says is overridden: the same everywhere.
  SSL_CTX_set_min_proto_version(context, TLS1_2_VERSION);
  SSL_CTX_set_max_proto_version(context, TLS1_3_VERSION);
  SSL_CTX_set_security_level(context, 2);  // 112 bits: RSA from 2048, no SHA-1 signatures
  RC_ASSERT(SSL_CTX_set_cipher_list(context, kCiphers12) == 1);
  RC_ASSERT(SSL_CTX_set_ciphersuites(context, kCiphers13) == 1);
  RC_ASSERT(SSL_CTX_set1_groups_list(context, kGroups) == 1);

  SSL_CTX_clear_options(context, SSL_CTX_get_options(context));
  SSL_CTX_set_options(context, SSL_OP_NO_COMPRESSION | SSL_OP_NO_RENEGOTIATION |
                                   SSL_OP_CIPHER_SERVER_PREFERENCE |
                                   // … except that a client without AES in hardware, which puts
                                   // ChaCha20 first, gets it.
                                   SSL_OP_PRIORITIZE_CHACHA | SSL_OP_ENABLE_MIDDLEBOX_COMPAT);
  SSL_CTX_set_max_early_data(context, 0);

  // Record buffers go back to the allocator when empty; the chain is what the file
  // holds, not looked for in the system's store at every handshake.
  SSL_CTX_set_mode(context, SSL_MODE_RELEASE_BUFFERS | SSL_MODE_AUTO_RETRY | SSL_MODE_NO_AUTO_CHAIN |
                                SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
  SSL_CTX_set_read_ahead(context, 0);

  SSL_CTX_set_session_cache_mode(context, SSL_SESS_CACHE_OFF);
  SSL_CTX_set_timeout(context, std::chrono::seconds(kTlsTicketLifetime).count());
  RC_ASSERT(SSL_CTX_set_session_id_context(context, kSessionContext, sizeof kSessionContext - 1) == 1);
  SSL_CTX_set_tlsext_ticket_key_evp_cb(context, ticket_key);
  SSL_CTX_set_alpn_select_cb(context, choose_protocol, nullptr);
}

// Why OpenSSL does not take them; empty if it does.
std::string install(SSL_CTX* context, X509* certificate, EVP_PKEY* key, STACK_OF(X509) * rest) {
  if (SSL_CTX_use_cert_and_key(context, certificate, key, rest, 1) == 1) return {};
  return "the certificate cannot be used: " + openssl_reason();
}

}  // namespace

void TlsContext::Free::operator()(ssl_ctx_st* context) const {
  SSL_CTX_free(context);
}

TlsContext::TlsContext(const TlsTicketKeys& ticket_keys)
    : ticket_keys_(ticket_keys), context_(SSL_CTX_new(TLS_server_method())) {
  RC_ASSERT(context_ != nullptr);
  SSL_CTX_set_app_data(context_.get(), &ticket_keys_);
  decide_everything(context_.get());
}

TlsContext::~TlsContext() = default;

TlsContext::Made TlsContext::make(std::string_view certificates_pem, std::string_view private_key_pem,
                                  const TlsTicketKeys& ticket_keys, int64_t unix_ms) {
  ERR_clear_error();
  Made made;
  const std::vector<CertificatePtr> chain = read_certificates(certificates_pem, made.error);
  if (chain.empty()) return made;
  const KeyPtr key = read_key(private_key_pem, made.error);
  if (key == nullptr) return made;
  made.error = problem_of_key(key.get());
  if (made.error.empty()) made.error = problem_of_pair(chain, key.get());
  if (!made.error.empty()) return made;

  const auto free_stack = [](STACK_OF(X509) * stack) { sk_X509_free(stack); };
  const std::unique_ptr<STACK_OF(X509), decltype(free_stack)> rest(sk_X509_new_null(), free_stack);
  for (size_t i = 1; i < chain.size(); ++i) sk_X509_push(rest.get(), chain[i].get());

  std::shared_ptr<TlsContext> context(new TlsContext(ticket_keys));
  made.error = install(context->ssl_context(), chain.front().get(), key.get(), rest.get());
  if (!made.error.empty()) return made;
  context->expires_unix_s_ = unix_seconds(X509_get0_notAfter(chain.front().get()));
  made.warning = warning_about(chain, unix_ms / 1000);
  made.context = std::move(context);
  return made;
}

std::shared_ptr<const TlsContext> TlsContext::with_ticket_keys(const TlsTicketKeys& ticket_keys) const {
  ERR_clear_error();
  std::shared_ptr<TlsContext> context(new TlsContext(ticket_keys));
  SSL_CTX* from = ssl_context();
  STACK_OF(X509)* rest = nullptr;
  SSL_CTX_get0_chain_certs(from, &rest);
  const std::string error =
      install(context->ssl_context(), SSL_CTX_get0_certificate(from), SSL_CTX_get0_privatekey(from), rest);
  RC_ASSERT(error.empty());  // it took the same before
  context->expires_unix_s_ = expires_unix_s_;
  return context;
}

}  // namespace ringcast
