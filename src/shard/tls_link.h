// TLS between a connection's socket and its protocol: the engine, and the records
// sealed and not yet taken by the socket. Owned by its connection; shard thread only.
//
// What was sealed cannot be taken back, so it must go out whatever the peer is too slow
// for: only as much is sealed as the socket will probably take. The window begins with
// one record, doubles while sends take everything, and is one record again after a
// send that fell short.
#pragma once

#include <algorithm>
#include <cstddef>
#include <memory>
#include <span>
#include <vector>

#include "base/assert.h"
#include "base/bytes.h"
#include "protocol/tls_engine.h"

namespace ringcast {

class TlsLink {
 public:
  explicit TlsLink(std::shared_ptr<const TlsContext> context) : engine_(std::move(context)) {}

  TlsEngine& engine() { return engine_; }

  // Records for the socket, the engine's own (handshake, alerts) among them. Grows
  // between turns only: a send may point into it.
  std::vector<std::byte>& records() { return records_; }
  Bytes unsent() const { return Bytes(records_).subspan(sent_); }

  // How much plaintext may be sealed now.
  size_t room() const {
    if (!engine_.handshake_done() || engine_.status() == TlsEngine::Status::failed) return 0;
    const size_t waiting = unsent().size();
    return waiting >= window_ ? 0 : window_ - waiting;
  }
  void seal(std::span<const Bytes> parts) {
    const bool sealed = engine_.encrypt(parts, records_);
    RC_ASSERT(sealed);
  }

  // A send of everything unsent took `bytes` of it.
  void taken(size_t bytes) {
    const size_t offered = unsent().size();
    RC_ASSERT(bytes <= offered);
    sent_ += bytes;
    if (bytes < offered) {
      window_ = kTlsRecordBytesMax;
    } else {
      // Only what the window held back says that it is too small.
      if (offered >= window_) window_ = std::min(2 * window_, kWindowBytesMax);
      release();
    }
  }

  // close_notify, once. False: it has been said, or there is nobody to say it to.
  bool say_goodbye() {
    const size_t before = records_.size();
    engine_.close(records_);
    return records_.size() > before;
  }

  // Ciphertext that waits for its turn to shake hands (Shard::may_shake_hands).
  std::vector<std::byte> waiting;

 private:
  static constexpr size_t kWindowBytesMax = 256 * 1024;
  static constexpr size_t kIdleBytesMax = 1024;  // kept for the next record

  void release() {
    records_.clear();
    sent_ = 0;
    if (records_.capacity() > kIdleBytesMax) records_.shrink_to_fit();
  }

  TlsEngine engine_;
  std::vector<std::byte> records_;
  size_t sent_ = 0;
  size_t window_ = kTlsRecordBytesMax;
};

}  // namespace ringcast
