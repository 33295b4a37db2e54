// A socket towards another server, with TLS over it where that is spoken: bytes out in their
// order, bytes in, and how it ended. What they mean is its owner's business. Owned by a
// connection; its thread only.
//
// Bytes are counted, so that after a break the owner knows what the other side can have seen.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "adapter/client_tls.h"
#include "adapter/resolver.h"
#include "base/bytes.h"
#include "base/time.h"
#include "io/backend.h"

namespace ringcast {

class ClientStream {
 public:
  enum class Stage : uint8_t { closed, connecting, securing, open };

  // What a completion has brought. Whoever hears of an end closes.
  struct News {
    enum class Kind : uint8_t {
      none,
      connected,  // bytes may follow the handshake
      bytes,
      ended,   // by the other side: `why` is what TLS says of it, or empty
      failed,  // `why` in words
    };
    Kind kind = Kind::none;
    std::string why = {};
  };

  // Each socket has a token of its own: `first`, and each time `step` more. `tls`: null for
  // plain TCP; `host` is whom the certificate must name.
  ClientStream(Token first, uint64_t step, std::string host, std::shared_ptr<const ClientTlsContext> tls);
  ClientStream(const ClientStream&) = delete;
  ClientStream& operator=(const ClientStream&) = delete;
  ~ClientStream();

  Stage stage() const { return stage_; }
  bool is_open() const { return fd_ >= 0; }  // a socket, at whatever stage
  bool secured() const { return tls_context_ != nullptr; }
  bool owns(Token token) const { return token == token_; }

  // REQUIRES: no socket. Returns why there can be none, or nothing.
  std::string open(const EngineAddress& address, std::vector<Submission>& submissions);
  // The counts stay readable until the next open().
  void close(std::vector<Submission>& submissions);

  // --- Out -----------------------------------------------------------------------------
  void append(Bytes bytes);
  uint64_t appended() const { return appended_; }  // since open()
  uint64_t moved() const { return moved_; }        // of these: on their way
  uint64_t taken() const { return taken_; }        // by the kernel, as they go over the wire
  size_t under_way_bytes() const { return wire_.size() - wire_at_; }  // likewise, not taken yet
  size_t unsent_bytes() const { return plain_.size() + under_way_bytes(); }

  // --- A turn --------------------------------------------------------------------------
  // While paused it asks the kernel for nothing more.
  void pause(bool paused) { paused_ = paused; }
  void flush(std::vector<Submission>& submissions);
  News short_send(const Completion& completion);
  // After the short sends, before all else: what was submitted and is not short is gone.
  void settle_send() { take(submitted_); }
  // Appends what came to `in`, also in front of an end.
  News completed(const Completion& completion, std::vector<std::byte>& in);

 private:
  News secure(Bytes bytes, std::vector<std::byte>& in, News::Kind well);
  void take(size_t bytes);

  const uint64_t step_;
  const std::string host_;
  const std::shared_ptr<const ClientTlsContext> tls_context_;

  Stage stage_ = Stage::closed;
  EngineAddress address_;  // a submitted connect points to it
  int fd_ = -1;
  Token token_;

  std::unique_ptr<ClientTls> tls_;
  std::vector<std::byte> plain_;  // not yet on their way …
  std::vector<std::byte> wire_;   // … and those that are, encrypted where TLS is spoken
  size_t wire_at_ = 0;            // taken by the kernel
  size_t submitted_ = 0;          // of wire_, by the turn under way
  uint64_t appended_ = 0;
  uint64_t moved_ = 0;
  uint64_t taken_ = 0;
  bool waits_writable_ = false;
  bool poll_armed_ = false;
  bool recv_armed_ = false;
  bool cancel_sent_ = false;
  bool paused_ = false;
};

// Takes turns until everything that was closed is, or for so long.
void await_closes(Backend& backend, std::vector<Submission>& submissions, Duration at_most);

}  // namespace ringcast
