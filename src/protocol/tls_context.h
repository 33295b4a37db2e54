// What TLS connections have in common: certificate chain, private key, versions,
// ciphers, ticket keys. Immutable once made, and shared: whoever serves holds it by
// shared_ptr, every connection too, so that a new certificate is a new context and
// the connections of the old one keep theirs.
//
// Thread rule: any number of threads may make engines from one context, and use
// them, at the same time (OpenSSL counts references to an SSL_CTX atomically and
// nothing is set on it after make). The session cache, its one mutable part that
// takes a lock, is off.
//
// Offered: TLS 1.2 with ECDHE and AEAD only, and TLS 1.3. No renegotiation, no
// compression, no early data, no client certificates. ALPN: `http/1.1`, or the
// alert no_application_protocol for those who offer only others. A server name is
// taken and ignored: there is one certificate. Sessions are resumed by ticket.
//
// Clock: expiry of the certificate is judged by the time given to make, rotation of
// ticket keys by the caller (TlsTicketKeys); the age of a ticket alone is judged by
// OpenSSL, which reads the system's clock during a handshake.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>

#include "protocol/tls_ticket_keys.h"

struct ssl_ctx_st;  // SSL_CTX

namespace ringcast {

class TlsContext {
 public:
  struct Made {
    std::shared_ptr<const TlsContext> context;  // null: see `error`
    std::string error;                          // one line
    std::string warning;                        // one line, if there is something to say: expired …
  };

  // From the contents of PEM files. The server's own certificate comes first, then
  // those that lead to its root, each issued by the next; other blocks are skipped,
  // so both may be given one file that holds everything. The key is RSA (2048 bits or
  // more), EC on P-256, P-384 or P-521, Ed25519 or Ed448, and not encrypted.
  static Made make(std::string_view certificates_pem, std::string_view private_key_pem,
                   const TlsTicketKeys& ticket_keys, int64_t unix_ms);

  // The same with other ticket keys: how a rotation reaches new connections.
  std::shared_ptr<const TlsContext> with_ticket_keys(const TlsTicketKeys& ticket_keys) const;

  TlsContext(const TlsContext&) = delete;
  TlsContext& operator=(const TlsContext&) = delete;
  ~TlsContext();

  // When the server's certificate ends, seconds since 1970.
  int64_t certificate_expires_unix_s() const { return expires_unix_s_; }

  const TlsTicketKeys& ticket_keys() const { return ticket_keys_; }

  ssl_ctx_st* ssl_context() const { return context_.get(); }  // for TlsEngine

 private:
  struct Free {
    void operator()(ssl_ctx_st* context) const;
  };

  explicit TlsContext(const TlsTicketKeys& ticket_keys);

  TlsTicketKeys ticket_keys_;  // the ticket callback points here
  int64_t expires_unix_s_ = 0;
  std::unique_ptr<ssl_ctx_st, Free> context_;
};

}  // namespace ringcast
