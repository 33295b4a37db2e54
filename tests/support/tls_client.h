// A TLS client in memory: OpenSSL's client side over its own memory BIOs, to be set
// against a server of ours or anybody's. Knows nothing of src/. One thread.
#pragma once

#include <memory>
#include <string>
#include <string_view>

struct ssl_st;
struct ssl_ctx_st;
struct ssl_session_st;

namespace ringcast {

// What a client keeps to resume with.
using TlsClientSession = std::shared_ptr<ssl_session_st>;

struct TlsClientOptions {
  int version = 0;           // TLS1_2_VERSION, TLS1_3_VERSION … alone; 0: what OpenSSL offers
  std::string alpn = {};     // as on the wire: "\x08http/1.1"; empty: no such extension
  std::string ciphers = {};  // of TLS 1.2, in OpenSSL's language; empty: its default
  std::string server_name = "localhost";
  std::string trusted_pem = {};  // empty: takes any certificate
  TlsClientSession resume = {};
  size_t fragment_bytes = 0;  // plaintext in a record at most, 512 or more
};

class TlsClient {
 public:
  explicit TlsClient(const TlsClientOptions& options = {});
  TlsClient(const TlsClient&) = delete;
  TlsClient& operator=(const TlsClient&) = delete;
  ~TlsClient();

  // Takes what the server sent, goes on with the handshake or reads as far as it can.
  void receive(std::string_view ciphertext);
  void start() { receive({}); }

  // What must be sent to the server; taken out.
  std::string take_output();
  // Plaintext received; taken out.
  std::string take_received();

  bool write(std::string_view plaintext);
  void close();                            // close_notify
  void update_key(bool ask_for_the_same);  // TLS 1.3

  bool done() const;    // the handshake
  bool closed() const;  // the server's close_notify has come
  bool failed() const { return !failure_.empty(); }
  const std::string& failure() const { return failure_; }  // "tlsv1 alert no application protocol" …

  bool reused() const;
  std::string alpn() const;  // what the server chose
  TlsClientSession session() const;
  ssl_st* ssl() const { return ssl_.get(); }

 private:
  struct Free {
    void operator()(ssl_st* ssl) const;
    void operator()(ssl_ctx_st* context) const;
  };

  void note(int result);

  std::unique_ptr<ssl_ctx_st, Free> context_;
  std::unique_ptr<ssl_st, Free> ssl_;
  std::string received_;
  std::string failure_;
};

}  // namespace ringcast
