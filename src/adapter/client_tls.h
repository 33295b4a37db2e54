// The client's side of TLS, towards an engine or another server, as bytes to bytes: no socket, no waiting.
// The certificate is verified against the machine's authorities, or a file's, and the
// other side's name. Owned by a connection; its thread only.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "base/bytes.h"

struct ssl_st;
struct ssl_ctx_st;

namespace ringcast {

struct ClientTlsOptions {
  bool verify = true;
  std::string ca_file = {};    // PEM; empty: the machine's
  std::string cert_file = {};  // PEM, for engines that want to know their clients …
  std::string key_file = {};   // … and its key
};

// What connections share. Any thread may hold it.
class ClientTlsContext {
 public:
  // nullptr if a file cannot be used; `*error` is one sentence.
  static std::shared_ptr<const ClientTlsContext> create(const ClientTlsOptions& options, std::string* error);
  ~ClientTlsContext();

  ssl_ctx_st* get() const { return context_; }

 private:
  explicit ClientTlsContext(ssl_ctx_st* context) : context_(context) {}
  ssl_ctx_st* const context_;
};

class ClientTls {
 public:
  // `host`: a name or an address, as the certificate must hold it.
  ClientTls(std::shared_ptr<const ClientTlsContext> context, const std::string& host);
  ClientTls(const ClientTls&) = delete;
  ClientTls& operator=(const ClientTls&) = delete;
  ~ClientTls();

  // Takes all of `ciphertext` (none: begins the handshake), appends the plaintext it held
  // to `plaintext` and what must be sent to `out`. False: the connection is over, see failure().
  bool receive(Bytes ciphertext, std::vector<std::byte>& plaintext, std::vector<std::byte>& out);

  // Appends records that hold all of `plaintext`. False before the handshake is done and
  // after a failure.
  bool encrypt(Bytes plaintext, std::vector<std::byte>& out);

  bool handshake_done() const { return done_; }
  const std::string& failure() const { return failure_; }

 private:
  bool fail();
  void take_output(std::vector<std::byte>& out);

  const std::shared_ptr<const ClientTlsContext> context_;
  ssl_st* const ssl_;
  bool done_ = false;
  std::string failure_;
};

}  // namespace ringcast
