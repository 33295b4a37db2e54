// OpenSSL's client over memory BIOs: see the header.
#include "support/tls_client.h"

#include <openssl/bio.h>
#include <openssl/pem.h>
#include <openssl/ssl.h>

#include <utility>

#include "support/openssl_require.h"

namespace ringcast {

void TlsClient::Free::operator()(ssl_st* ssl) const {
  SSL_free(ssl);
}
void TlsClient::Free::operator()(ssl_ctx_st* context) const {
  SSL_CTX_free(context);
}

TlsClient::TlsClient(const TlsClientOptions& options) : context_(SSL_CTX_new(TLS_client_method())) {
  SSL_CTX* context = context_.get();
  require_openssl(context != nullptr);
  // So that a test may offer what a server should decline.
  SSL_CTX_set_security_level(context, 0);
  SSL_CTX_set_min_proto_version(context, options.version);
  SSL_CTX_set_max_proto_version(context, options.version);
  SSL_CTX_set_session_cache_mode(context, SSL_SESS_CACHE_CLIENT | SSL_SESS_CACHE_NO_INTERNAL);
  if (!options.ciphers.empty())
    require_openssl(SSL_CTX_set_cipher_list(context, options.ciphers.c_str()) == 1);
  if (!options.alpn.empty()) {
    const auto* names = reinterpret_cast<const unsigned char*>(options.alpn.data());
    require_openssl(SSL_CTX_set_alpn_protos(context, names, static_cast<unsigned>(options.alpn.size())) == 0);
  }
  if (!options.trusted_pem.empty()) {
    BIO* bio = BIO_new_mem_buf(options.trusted_pem.data(), static_cast<int>(options.trusted_pem.size()));
    X509* trusted = PEM_read_bio_X509(bio, nullptr, nullptr, nullptr);
    require_openssl(trusted != nullptr && X509_STORE_add_cert(SSL_CTX_get_cert_store(context), trusted) == 1);
    X509_free(trusted);
    BIO_free(bio);
    SSL_CTX_set_verify(context, SSL_VERIFY_PEER, nullptr);
  }

  ssl_.reset(SSL_new(context));
  BIO* in = BIO_new(BIO_s_mem());
  BIO* out = BIO_new(BIO_s_mem());
  require_openssl(ssl_ != nullptr && in != nullptr && out != nullptr);
  BIO_set_mem_eof_return(in, -1);  // empty: more will come
  SSL_set_bio(ssl_.get(), in, out);
  if (!options.server_name.empty()) {
    SSL_set_tlsext_host_name(ssl_.get(), options.server_name.c_str());
    SSL_set1_host(ssl_.get(), options.server_name.c_str());
  }
  if (options.resume != nullptr) require_openssl(SSL_set_session(ssl_.get(), options.resume.get()) == 1);
  if (options.fragment_bytes > 0)
    SSL_set_max_send_fragment(ssl_.get(), static_cast<long>(options.fragment_bytes));
  SSL_set_connect_state(ssl_.get());
}

TlsClient::~TlsClient() {
  // Freed before a close_notify, OpenSSL would forbid to resume the session.
  SSL_set_shutdown(ssl_.get(), SSL_SENT_SHUTDOWN | SSL_RECEIVED_SHUTDOWN);
}

void TlsClient::note(int result) {
  const int error = SSL_get_error(ssl_.get(), result);
  if (error == SSL_ERROR_SSL || error == SSL_ERROR_SYSCALL) {
    const char* reason = ERR_reason_error_string(ERR_peek_error());
    if (failure_.empty()) failure_ = reason != nullptr ? reason : "unknown";
  }
  ERR_clear_error();
}

void TlsClient::receive(std::string_view ciphertext) {
  if (!ciphertext.empty()) {
    BIO_write(SSL_get_rbio(ssl_.get()), ciphertext.data(), static_cast<int>(ciphertext.size()));
  }
  ERR_clear_error();
  if (!done()) {
    const int result = SSL_do_handshake(ssl_.get());
    if (result != 1) return note(result);
  }
  // Reads even if nothing can be there: tickets come after the handshake.
  for (;;) {
    char piece[4096];
    const int size = SSL_read(ssl_.get(), piece, sizeof piece);
    if (size <= 0) return note(size);
    received_.append(piece, static_cast<size_t>(size));
  }
}

std::string TlsClient::take_output() {
  std::string output(BIO_ctrl_pending(SSL_get_wbio(ssl_.get())), '\0');
  if (!output.empty()) BIO_read(SSL_get_wbio(ssl_.get()), output.data(), static_cast<int>(output.size()));
  return output;
}

std::string TlsClient::take_received() {
  return std::exchange(received_, {});
}

bool TlsClient::write(std::string_view plaintext) {
  ERR_clear_error();
  const int result = SSL_write(ssl_.get(), plaintext.data(), static_cast<int>(plaintext.size()));
  if (result > 0) return true;
  note(result);
  return false;
}

void TlsClient::close() {
  ERR_clear_error();
  SSL_shutdown(ssl_.get());
}

void TlsClient::update_key(bool ask_for_the_same) {
  require_openssl(SSL_key_update(ssl_.get(), ask_for_the_same ? SSL_KEY_UPDATE_REQUESTED
                                                              : SSL_KEY_UPDATE_NOT_REQUESTED) == 1);
  require_openssl(SSL_do_handshake(ssl_.get()) == 1);
}

bool TlsClient::done() const {
  return SSL_is_init_finished(ssl_.get()) == 1;
}
bool TlsClient::closed() const {
  return (SSL_get_shutdown(ssl_.get()) & SSL_RECEIVED_SHUTDOWN) != 0 && failure_.empty();
}
bool TlsClient::reused() const {
  return SSL_session_reused(ssl_.get()) == 1;
}

std::string TlsClient::alpn() const {
  const unsigned char* name = nullptr;
  unsigned size = 0;
  SSL_get0_alpn_selected(ssl_.get(), &name, &size);
  return {reinterpret_cast<const char*>(name), size};
}

TlsClientSession TlsClient::session() const {
  return {SSL_get1_session(ssl_.get()), SSL_SESSION_free};
}

}  // namespace ringcast
