// One connection's TLS, server side, as bytes to bytes: ciphertext in, plaintext and
// ciphertext out; plaintext in, ciphertext out. No socket, no waiting: what must be
// sent is appended to the caller's buffer, and every call takes all it is given.
// Owned by its connection, used on its shard's thread.
//
// Memory: 13-14 KiB of OpenSSL's for an idle connection (bench/tls_bench.cc), its record
// buffers of 16 KiB each living only within a call, or while a peer leaves a record
// unfinished. A handshake under way holds 40-70 KiB, with a hostile hello up to
// 200 KiB (OpenSSL makes room for 128 KiB as soon as a hello announces them): the
// handshake deadline and the connection limit bound how many there are.
//
// Who bounds what a peer can send at will:
//   length of a record, of a handshake message       OpenSSL, by the RFCs' limits
//   bytes of a whole handshake                        kTlsHandshakeBytesMax, here
//   empty records in a row (32), warnings (5)         OpenSSL
//   KeyUpdates (OpenSSL answers any number)           here: 32 at once, in the long run
//                                                     one for 16 records
//   requests to renegotiate (OpenSSL refuses each)    the first one ends it, here
//   records of few bytes                              nobody: each costs 1-2 us, as
//                                                     small frames cost their share
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string_view>
#include <vector>

#include "base/bytes.h"
#include "protocol/tls_context.h"

struct ssl_st;  // SSL
struct bio_st;  // BIO
struct bio_method_st;

namespace ringcast {

// The most plaintext in a record (RFC 8446, 5.1).
inline constexpr size_t kTlsRecordBytesMax = 16 * 1024;

// The most a record adds to its plaintext: 1.2 AES-GCM's header, nonce and tag. What
// encrypt() appends is at most its plaintext plus this for each record begun.
inline constexpr size_t kTlsRecordOverheadMax = 29;

// What a client may send until its handshake is done. Real ones send 2 KiB or less,
// post-quantum key shares included.
inline constexpr size_t kTlsHandshakeBytesMax = 64 * 1024;

// Records sealed with one key before TLS 1.3 changes it; AES-GCM should not seal more
// than 2^24.5 (RFC 8446, 5.5), which a busy subscriber reaches within hours.
inline constexpr uint32_t kTlsRecordsPerKeyMax = uint32_t{1} << 24;

class TlsEngine {
 public:
  enum class Status : uint8_t {
    handshaking,
    open,
    closed,  // the peer sent close_notify: nothing more comes, something may still be sent
    failed,  // nothing more comes or goes but what was appended (an alert, mostly)
  };

  // Shares the context: an engine outlives the certificate's replacement.
  explicit TlsEngine(std::shared_ptr<const TlsContext> context,
                     uint32_t records_per_key_max = kTlsRecordsPerKeyMax);
  TlsEngine(const TlsEngine&) = delete;
  TlsEngine& operator=(const TlsEngine&) = delete;
  ~TlsEngine();

  // Takes all of `ciphertext`, however it is cut. Appends what it held, at most its own
  // size and a record more, to `plaintext`, and what must be sent to `ciphertext_out`.
  // Both may have grown whatever is returned: data can come before a close_notify or a
  // failure. After closed or failed, input is discarded.
  Status receive(Bytes ciphertext, std::vector<std::byte>& plaintext, std::vector<std::byte>& ciphertext_out);

  // Appends records of up to 16 KiB that hold all of `plaintext`; none if it is empty.
  // False, with nothing appended, before the handshake is done, after close(), and
  // after a failure.
  bool encrypt(Bytes plaintext, std::vector<std::byte>& ciphertext_out);

  // The same for the concatenation of `parts`: small ones share a record.
  bool encrypt(std::span<const Bytes> parts, std::vector<std::byte>& ciphertext_out);

  // Appends close_notify, once; nothing before the handshake is done or after a failure.
  // The peer's own may be waited for with receive(), and need not be (RFC 8446, 6.1).
  void close(std::vector<std::byte>& ciphertext_out);

  Status status() const { return status_; }
  bool handshake_done() const { return handshake_done_; }

  // What failed, a constant from a fixed set without a peer's bytes: "http request",
  // "no shared cipher", "sslv3 alert certificate unknown" … Empty unless failed.
  std::string_view failure() const { return failure_; }

  // For log and metrics, once the handshake is done.
  bool session_reused() const;
  std::string_view version() const;  // "TLSv1.2", "TLSv1.3"
  std::string_view cipher() const;   // "TLS_AES_128_GCM_SHA256" …

 private:
  struct Transfer;
  class Call;

  struct Free {
    void operator()(ssl_st* ssl) const;
  };

  static const bio_method_st* transport();

  // What OpenSSL calls.
  static int read_transport(bio_st* bio, char* to, size_t size, size_t* read) noexcept;
  static int write_transport(bio_st* bio, const char* from, size_t size, size_t* written) noexcept;
  static long control_transport(bio_st* bio, int command, long number, void* pointer) noexcept;
  static void saw_message(int sent, int version, int type, const void* bytes, size_t size, ssl_st* ssl,
                          void* engine) noexcept;

  bool shake_hands();
  bool read_record(std::vector<std::byte>& plaintext);
  bool write_records(Bytes plaintext);
  void stop(int ssl_error);

  std::shared_ptr<const TlsContext> context_;
  std::unique_ptr<ssl_st, Free> ssl_;
  std::string_view failure_;
  // What a peer did that OpenSSL allows and this engine does not; read_transport then
  // gives OpenSSL no more to read.
  std::string_view violation_;
  uint32_t handshake_bytes_ = 0;
  uint32_t records_sealed_ = 0;  // with the current key
  uint32_t records_per_key_max_;
  uint16_t key_update_credit_;
  Status status_ = Status::handshaking;
  bool handshake_done_ = false;
  bool close_sent_ = false;
};

static_assert(sizeof(TlsEngine) <= 96);

}  // namespace ringcast
