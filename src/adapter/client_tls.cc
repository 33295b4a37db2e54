// OpenSSL's client over a pair of memory BIOs. Owned by a connection to an engine.
#include "adapter/client_tls.h"

#include <openssl/err.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>

#include <algorithm>
#include <climits>

#include "base/assert.h"
#include "base/ip_address.h"

namespace ringcast {
namespace {

constexpr size_t kPlaintextChunkBytes = 16 * 1024;  // a record holds no more

std::string openssl_reason() {
  const unsigned long code = ERR_peek_last_error();
  const char* reason = ERR_reason_error_string(code);
  ERR_clear_error();
  return reason != nullptr ? reason : "unknown error";
}

}  // namespace

std::shared_ptr<const ClientTlsContext> ClientTlsContext::create(const ClientTlsOptions& options,
                                                                 std::string* error) {
  ERR_clear_error();
  SSL_CTX* context = SSL_CTX_new(TLS_client_method());
  RC_ASSERT(context != nullptr);
  std::shared_ptr<const ClientTlsContext> shared(new ClientTlsContext(context));
  SSL_CTX_set_min_proto_version(context, TLS1_2_VERSION);
  SSL_CTX_set_mode(context, SSL_MODE_RELEASE_BUFFERS);
  SSL_CTX_set_verify(context, options.verify ? SSL_VERIFY_PEER : SSL_VERIFY_NONE, nullptr);
  if (!options.ca_file.empty()) {
    if (SSL_CTX_load_verify_locations(context, options.ca_file.c_str(), nullptr) != 1) {
      *error = "cannot use the authorities in " + options.ca_file + ": " + openssl_reason();
      return nullptr;
    }
  } else {
    SSL_CTX_set_default_verify_paths(context);
  }
  if (!options.cert_file.empty()) {
    const std::string& key = options.key_file.empty() ? options.cert_file : options.key_file;
    if (SSL_CTX_use_certificate_chain_file(context, options.cert_file.c_str()) != 1 ||
        SSL_CTX_use_PrivateKey_file(context, key.c_str(), SSL_FILETYPE_PEM) != 1) {
      *error = "cannot use the client certificate " + options.cert_file + ": " + openssl_reason();
      return nullptr;
    }
  }
  return shared;
}

ClientTlsContext::~ClientTlsContext() {
  SSL_CTX_free(context_);
}

ClientTls::ClientTls(std::shared_ptr<const ClientTlsContext> context, const std::string& host)
    : context_(std::move(context)), ssl_(SSL_new(context_->get())) {
  RC_ASSERT(ssl_ != nullptr);
  SSL_set_bio(ssl_, BIO_new(BIO_s_mem()), BIO_new(BIO_s_mem()));
  SSL_set_connect_state(ssl_);
  if (IpAddress::parse(host)) {
    X509_VERIFY_PARAM_set1_ip_asc(SSL_get0_param(ssl_), host.c_str());
  } else {
    SSL_set_tlsext_host_name(ssl_, host.c_str());
    SSL_set1_host(ssl_, host.c_str());
  }
}

ClientTls::~ClientTls() {
  SSL_free(ssl_);
}

bool ClientTls::fail() {
  if (!failure_.empty()) return false;
  const long verified = SSL_get_verify_result(ssl_);
  failure_ = verified != X509_V_OK
                 ? std::string("certificate refused: ") + X509_verify_cert_error_string(verified)
                 : openssl_reason();
  ERR_clear_error();
  return false;
}

void ClientTls::take_output(std::vector<std::byte>& out) {
  BIO* bio = SSL_get_wbio(ssl_);
  const size_t pending = BIO_ctrl_pending(bio);
  if (pending == 0) return;
  const size_t before = out.size();
  out.resize(before + pending);
  BIO_read(bio, out.data() + before, static_cast<int>(pending));
}

bool ClientTls::receive(Bytes ciphertext, std::vector<std::byte>& plaintext, std::vector<std::byte>& out) {
  if (!failure_.empty()) return false;
  ERR_clear_error();
  RC_ASSERT(ciphertext.size() < INT_MAX);
  if (!ciphertext.empty()) {
    BIO_write(SSL_get_rbio(ssl_), ciphertext.data(), static_cast<int>(ciphertext.size()));
  }
  if (!done_) {
    const int result = SSL_do_handshake(ssl_);
    take_output(out);
    if (result != 1) return SSL_get_error(ssl_, result) == SSL_ERROR_WANT_READ || fail();
    done_ = true;
  }
  for (;;) {
    const size_t before = plaintext.size();
    plaintext.resize(before + kPlaintextChunkBytes);
    const int read = SSL_read(ssl_, plaintext.data() + before, kPlaintextChunkBytes);
    plaintext.resize(before + static_cast<size_t>(std::max(read, 0)));
    if (read > 0) continue;
    take_output(out);  // an answered KeyUpdate
    switch (SSL_get_error(ssl_, read)) {
      case SSL_ERROR_WANT_READ:
        return true;
      case SSL_ERROR_ZERO_RETURN:
        failure_ = "closed by the other side";
        return false;
      default:
        return fail();
    }
  }
}

bool ClientTls::encrypt(Bytes plaintext, std::vector<std::byte>& out) {
  if (!done_ || !failure_.empty()) return false;
  ERR_clear_error();
  while (!plaintext.empty()) {
    const size_t bytes = std::min(plaintext.size(), size_t{1} << 20);
    // A memory BIO takes everything.
    const int written = SSL_write(ssl_, plaintext.data(), static_cast<int>(bytes));
    if (written <= 0) return fail();
    plaintext = plaintext.subspan(static_cast<size_t>(written));
  }
  take_output(out);
  return true;
}

}  // namespace ringcast
