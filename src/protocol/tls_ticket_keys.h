// What session tickets are sealed with: a current key, and the one before it, which
// still opens older tickets. A value that never changes: whoever owns the contexts
// keeps it, makes its successor when it is due, and gives it to every context made
// from then on, so that tickets outlive a certificate and are good on every shard.
// Any thread.
#pragma once

#include <array>
#include <chrono>
#include <cstddef>
#include <optional>

#include "base/bytes.h"
#include "base/time.h"

namespace ringcast {

// How long a ticket is good for. Its key seals for as long and then opens for as
// long again, so every ticket lives its full time. That is also how far back a
// stolen key reaches: a day of TLS 1.2. (Resumption in 1.3 has fresh keys always.)
inline constexpr std::chrono::hours kTlsTicketLifetime{12};

class TlsTicketKeys {
 public:
  // Random secrets, unlike those of any other process or start.
  static TlsTicketKeys generate(Instant now);

  bool rotation_due(Instant now) const { return now - since_ >= kTlsTicketLifetime; }

  // A new current key; what was current becomes the previous, what was previous is gone.
  TlsTicketKeys rotated(Instant now) const;

  // AES-256-CBC, then HMAC-SHA-256 over that (RFC 5077, 4). The name travels in
  // the ticket, in clear. Wiped when it dies.
  struct Key {
    std::array<std::byte, 16> name;
    std::array<std::byte, 32> cipher_key;
    std::array<std::byte, 32> mac_key;

    Key() = default;
    Key(const Key&) = default;
    Key& operator=(const Key&) = default;
    ~Key();
  };

  const Key& current() const { return current_; }

  // The key of that name; null if there is none (any more).
  const Key* find(Bytes name) const;

 private:
  explicit TlsTicketKeys(Instant since) : since_(since) {}

  Instant since_;  // when current_ began to seal
  Key current_;
  std::optional<Key> previous_;
};

}  // namespace ringcast
