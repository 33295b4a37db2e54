// Random keys for session tickets: see the header. Randomness is OpenSSL's.
#include "protocol/tls_ticket_keys.h"

#include <openssl/crypto.h>
#include <openssl/rand.h>

#include <algorithm>

#include "base/assert.h"

namespace ringcast {

namespace {

template <size_t size>
void fill_random(std::array<std::byte, size>& bytes) {
  // The kernel's generator is seeded long before a server starts; without it nothing here is safe.
  const int filled = RAND_priv_bytes(reinterpret_cast<unsigned char*>(bytes.data()), static_cast<int>(size));
  RC_ASSERT(filled == 1);
}

TlsTicketKeys::Key random_key() {
  TlsTicketKeys::Key key;
  fill_random(key.name);
  fill_random(key.cipher_key);
  fill_random(key.mac_key);
  return key;
}

}  // namespace

TlsTicketKeys::Key::~Key() {
  OPENSSL_cleanse(this, sizeof *this);
}

TlsTicketKeys TlsTicketKeys::generate(Instant now) {
  TlsTicketKeys keys(now);
  keys.current_ = random_key();
  return keys;
}

TlsTicketKeys TlsTicketKeys::rotated(Instant now) const {
  TlsTicketKeys keys = generate(now);
  keys.previous_ = current_;
  return keys;
}

const TlsTicketKeys::Key* TlsTicketKeys::find(Bytes name) const {
  if (std::ranges::equal(name, current_.name)) return &current_;
  if (previous_ && std::ranges::equal(name, previous_->name)) return &*previous_;
  return nullptr;
}

}  // namespace ringcast
