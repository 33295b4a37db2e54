// OpenSSL between the caller's buffers: see the header. A BIO of our own reads from
// the span and writes to the vector of the call under way, so that no byte is held
// here and idle connections keep no buffers.
#include "protocol/tls_engine.h"

#include <openssl/bio.h>
#include <openssl/crypto.h>
#include <openssl/err.h>
#include <openssl/ssl.h>

#include <algorithm>
#include <cstring>
#include <utility>

#include "base/assert.h"

namespace ringcast {

namespace {

// A KeyUpdate costs as much as about this many small records, an answer included. Each
// earns itself by records received or sent; so many may be owed at once.
constexpr uint16_t kKeyUpdateCost = 16;
constexpr uint16_t kKeyUpdateCreditMax = 32 * kKeyUpdateCost;

// OpenSSL's error queue belongs to the thread, not to the connection: what one left
// there would be read as the failure of the next, or of a stranger's library.
void clear_errors() {
  if (ERR_peek_error() != 0) ERR_clear_error();
}

// The first reason the TLS code itself gave, else the first at all. Empties the queue.
std::string_view take_reason() {
  unsigned long chosen = 0;
  while (const unsigned long error = ERR_get_error()) {
    if (chosen == 0 || (ERR_GET_LIB(error) == ERR_LIB_SSL && ERR_GET_LIB(chosen) != ERR_LIB_SSL))
      chosen = error;
  }
  const char* reason = ERR_reason_error_string(chosen);  // of a table that lives as long as the process
  return reason != nullptr ? reason : "unknown";
}

}  // namespace

// The buffers of the call under way.
struct TlsEngine::Transfer {
  TlsEngine& engine;
  Bytes input;
  std::vector<std::byte>& output;
};

// For as long as it lives, OpenSSL's reads and writes go to `transfer`, and the thread's
// error queue is this engine's own.
class TlsEngine::Call {
 public:
  Call(SSL* ssl, Transfer& transfer) : bio_(SSL_get_rbio(ssl)) {
    clear_errors();
    BIO_set_data(bio_, &transfer);
  }
  Call(const Call&) = delete;
  Call& operator=(const Call&) = delete;
  ~Call() {
    BIO_set_data(bio_, nullptr);
    clear_errors();
  }

 private:
  BIO* bio_;
};

void TlsEngine::Free::operator()(ssl_st* ssl) const {
  SSL_free(ssl);
}

const BIO_METHOD* TlsEngine::transport() {
  // One for the process: whoever has a BIO of it holds no reference.
  static const BIO_METHOD* const method = [] {
    BIO_METHOD* made = BIO_meth_new(BIO_get_new_index() | BIO_TYPE_SOURCE_SINK, "ringcast transfer");
    RC_ASSERT(made != nullptr);
    BIO_meth_set_read_ex(made, read_transport);
    BIO_meth_set_write_ex(made, write_transport);
    BIO_meth_set_ctrl(made, control_transport);
    return made;
  }();
  return method;
}

int TlsEngine::read_transport(BIO* bio, char* to, size_t size, size_t* read) noexcept {
  auto* transfer = static_cast<Transfer*>(BIO_get_data(bio));
  RC_ASSERT(transfer != nullptr);
  TlsEngine& engine = transfer->engine;
  BIO_clear_retry_flags(bio);
  *read = 0;
  if (!engine.violation_.empty()) return 0;  // for good: no retry flag
  if (transfer->input.empty()) {
    BIO_set_retry_read(bio);
    return 0;
  }
  *read = std::min(size, transfer->input.size());
  if (!engine.handshake_done_) {
    engine.handshake_bytes_ += static_cast<uint32_t>(*read);
    if (engine.handshake_bytes_ > kTlsHandshakeBytesMax) {
      engine.violation_ = "handshake too long";
      *read = 0;
      return 0;
    }
  }
  std::memcpy(to, transfer->input.data(), *read);
  transfer->input = transfer->input.subspan(*read);
  return 1;
}

// Tells OpenSSL that nothing more comes only to make it end a connection over a violation:
// it then sends its alert, as it would for a peer that went away in the middle.
long TlsEngine::control_transport(BIO* bio, int command, long, void*) noexcept {
  const auto* transfer = static_cast<Transfer*>(BIO_get_data(bio));
  switch (command) {
    case BIO_CTRL_FLUSH:
      return 1;  // nothing is ever held back
    case BIO_CTRL_EOF:
      return transfer != nullptr && !transfer->engine.violation_.empty() ? 1 : 0;
    default:
      return 0;
  }
}

int TlsEngine::write_transport(BIO* bio, const char* from, size_t size, size_t* written) noexcept {
  auto* transfer = static_cast<Transfer*>(BIO_get_data(bio));
  RC_ASSERT(transfer != nullptr);
  const auto* bytes = reinterpret_cast<const std::byte*>(from);
  transfer->output.insert(transfer->output.end(), bytes, bytes + size);
  *written = size;
  return 1;
}

// Sees every message in clear, both ways, before OpenSSL acts on it. There is no way
// to refuse one here; the next read does (read_transport).
void TlsEngine::saw_message(int sent, int version, int type, const void* bytes, size_t size, SSL*,
                            void* engine_pointer) noexcept {
  auto& engine = *static_cast<TlsEngine*>(engine_pointer);
  const auto* octets = static_cast<const unsigned char*>(bytes);
  if (sent == 0 && type == SSL3_RT_HANDSHAKE && version == TLS1_3_VERSION && size > 0 &&
      octets[0] == SSL3_MT_KEY_UPDATE) {
    if (engine.key_update_credit_ < kKeyUpdateCost) {
      engine.violation_ = "too many key updates";
    } else {
      engine.key_update_credit_ -= kKeyUpdateCost;
    }
  }
  // OpenSSL declines and carries on, however often it is asked.
  if (sent == 1 && type == SSL3_RT_ALERT && size == 2 && octets[1] == SSL_AD_NO_RENEGOTIATION) {
    engine.violation_ = "renegotiation refused";
  }
}

TlsEngine::TlsEngine(std::shared_ptr<const TlsContext> context, uint32_t records_per_key_max)
    : context_(std::move(context)),
      ssl_(SSL_new(context_->ssl_context())),
      records_per_key_max_(records_per_key_max),
      key_update_credit_(kKeyUpdateCreditMax) {
  BIO* bio = BIO_new(transport());
  RC_ASSERT(ssl_ != nullptr && bio != nullptr);
  BIO_set_init(bio, 1);
  SSL_set_bio(ssl_.get(), bio, bio);  // takes the one reference for both directions
  SSL_set_msg_callback(ssl_.get(), saw_message);
  SSL_set_msg_callback_arg(ssl_.get(), this);
  SSL_set_accept_state(ssl_.get());
}

TlsEngine::~TlsEngine() {
  // A session freed before its close_notify is looked for in the cache, to be removed:
  // a lock of the shared context for each connection lost, and the cache is off.
  SSL_set_shutdown(ssl_.get(), SSL_SENT_SHUTDOWN | SSL_RECEIVED_SHUTDOWN);
}

TlsEngine::Status TlsEngine::receive(Bytes ciphertext, std::vector<std::byte>& plaintext,
                                     std::vector<std::byte>& ciphertext_out) {
  if (status_ == Status::closed || status_ == Status::failed) return status_;
  Transfer transfer{*this, ciphertext, ciphertext_out};
  const Call call(ssl_.get(), transfer);
  if (handshake_done_ || shake_hands()) {
    while (read_record(plaintext)) {
    }
  }
  return status_;
}

// True once it is done.
bool TlsEngine::shake_hands() {
  const int result = SSL_do_handshake(ssl_.get());
  if (result != 1) {
    stop(SSL_get_error(ssl_.get(), result));
    return false;
  }
  handshake_done_ = true;
  status_ = Status::open;
  return true;
}

// Appends what the next record holds. False when there is none yet, or never will be.
bool TlsEngine::read_record(std::vector<std::byte>& plaintext) {
  // By way of the stack: how much a record holds is known only when it is open, and a
  // vector cannot grow without writing zeros first.
  std::byte record[kTlsRecordBytesMax];
  size_t size = 0;
  const int result = SSL_read_ex(ssl_.get(), record, sizeof record, &size);
  if (result != 1) {
    stop(SSL_get_error(ssl_.get(), result));
    return false;
  }
  plaintext.insert(plaintext.end(), record, record + size);
  key_update_credit_ = std::min<uint16_t>(key_update_credit_ + 1, kKeyUpdateCreditMax);
  return true;
}

bool TlsEngine::encrypt(Bytes plaintext, std::vector<std::byte>& ciphertext_out) {
  return encrypt(std::span(&plaintext, 1), ciphertext_out);
}

bool TlsEngine::encrypt(std::span<const Bytes> parts, std::vector<std::byte>& ciphertext_out) {
  if (!handshake_done_ || status_ == Status::failed || close_sent_) return false;
  Transfer transfer{*this, {}, ciphertext_out};
  const Call call(ssl_.get(), transfer);
  std::byte record[kTlsRecordBytesMax];
  size_t filled = 0;
  for (size_t i = 0; i < parts.size(); ++i) {
    Bytes part = parts[i];
    if (filled == 0) {
      // Whole records go straight from where they lie, and so does what would be
      // alone in the last.
      const bool last = i + 1 == parts.size();
      const size_t direct = last ? part.size() : part.size() / kTlsRecordBytesMax * kTlsRecordBytesMax;
      if (!write_records(part.first(direct))) return false;
      part = part.subspan(direct);
    }
    while (!part.empty()) {
      const size_t fits = std::min(part.size(), sizeof record - filled);
      std::memcpy(record + filled, part.data(), fits);
      filled += fits;
      part = part.subspan(fits);
      if (filled < sizeof record) continue;
      if (!write_records(Bytes(record, filled))) return false;
      filled = 0;
    }
  }
  return write_records(Bytes(record, filled));
}

bool TlsEngine::write_records(Bytes plaintext) {
  while (!plaintext.empty()) {
    const Bytes record = plaintext.first(std::min(plaintext.size(), kTlsRecordBytesMax));
    if (records_sealed_ >= records_per_key_max_ && SSL_version(ssl_.get()) == TLS1_3_VERSION) {
      // Sent with the next write. The peer's key is the peer's to count.
      SSL_key_update(ssl_.get(), SSL_KEY_UPDATE_NOT_REQUESTED);
      records_sealed_ = 0;
    }
    size_t written = 0;
    const int result = SSL_write_ex(ssl_.get(), record.data(), record.size(), &written);
    if (result != 1) {
      stop(SSL_get_error(ssl_.get(), result));
      return false;
    }
    RC_ASSERT(written == record.size());  // the transport takes everything
    ++records_sealed_;
    key_update_credit_ = std::min<uint16_t>(key_update_credit_ + 1, kKeyUpdateCreditMax);
    plaintext = plaintext.subspan(written);
  }
  return true;
}

void TlsEngine::close(std::vector<std::byte>& ciphertext_out) {
  if (!handshake_done_ || status_ == Status::failed || close_sent_) return;
  Transfer transfer{*this, {}, ciphertext_out};
  const Call call(ssl_.get(), transfer);
  SSL_shutdown(ssl_.get());  // once: a second would wait for the peer's
  close_sent_ = true;
}

// OpenSSL went no further.
void TlsEngine::stop(int ssl_error) {
  switch (ssl_error) {
    case SSL_ERROR_WANT_READ:
      return;
    case SSL_ERROR_ZERO_RETURN:
      status_ = Status::closed;
      return;
    default:
      // OpenSSL has written the alert where the RFC has one, or has read the peer's.
      status_ = Status::failed;
      failure_ = violation_.empty() ? take_reason() : violation_;
      return;
  }
}

bool TlsEngine::session_reused() const {
  return SSL_session_reused(ssl_.get()) == 1;
}

std::string_view TlsEngine::version() const {
  return SSL_get_version(ssl_.get());
}

std::string_view TlsEngine::cipher() const {
  const char* name = SSL_get_cipher_name(ssl_.get());
  return name != nullptr ? name : "none";
}

}  // namespace ringcast
