// The seam between a shard and the kernel: one call per turn, arrays of values
// across it, both ways. io_uring, epoll and the simulator stand behind it with
// one meaning, held together by tests/io/backend_conformance_test.cc.
//
// Thread rule: everything but wake() belongs to the shard's thread.
//
// What each operation means is what its completions mean:
//
//   accept         Multishot. A completion carries a new descriptor, non-blocking
//                  and close-on-exec, or -errno. `more == false`: arm it again.
//   connect        One shot. 0 or -errno.
//   recv           Multishot. `bytes` lends received data; 0 bytes with result 0
//                  is the peer's FIN; or -errno. `more == false`: arm it again
//                  (after -ENOBUFS too), except after FIN or a fatal error.
//   send           Takes what the socket takes now and never waits. A send that
//                  took everything is silent. One that took less completes with
//                  what it took (0 if nothing) or -errno. No send outlives the
//                  turn that submits it: its bytes may be reused when turn returns.
//   poll_writable  One shot. Completes when the socket can take more, or is broken.
//   shutdown       Sends FIN after the sends submitted before it. Silent.
//   cancel         Ends the recv or poll_writable armed on `fd`. Silent itself; what
//                  it ends completes with -ECANCELED and more == false. It may race:
//                  the operation may complete as if it had not been cancelled.
//   cancel_accept  The same for the accept armed on `fd`.
//   close          Ends whatever is armed on `fd`, lets it complete, closes `fd`, and
//                  completes last of all on that socket. With `reset`, the peer gets
//                  RST and unsent data is dropped.
//
// At most one operation of a kind is armed on a descriptor at a time, and a turn holds
// at most one send per descriptor: after one that fell short, a second would leave a
// gap. Nothing is submitted on a descriptor after its close, and what is armed on one
// has one token.
//
// Lifetime of lent bytes: until the *next* turn() returns. So a send may go
// straight out of a receive buffer, and nobody gives buffers back by hand.
#pragma once

#include <sys/uio.h>

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "base/bytes.h"
#include "base/time.h"

struct sockaddr;

namespace ringcast {

enum class Operation : uint8_t {
  accept,
  connect,
  recv,
  send,
  poll_writable,
  shutdown,
  cancel,
  cancel_accept,
  close,
};

// The most that one send may hold.
inline constexpr size_t kSendBytesMax = size_t{1} << 30;
inline constexpr size_t kSendPartsMax = 1024;  // IOV_MAX

// Ties a completion to who asked. The backend hands it back unread; a shard packs
// slot and generation of a connection into it (shard/connection.h). 56 bits of it count:
// a backend keeps one for each descriptor, beside what it knows of that.
inline constexpr unsigned kTokenBits = 56;
struct Token {
  uint64_t value = 0;
  friend bool operator==(Token, Token) = default;
};

// A submission is a value; what it points to must live until turn() returns.
struct Submission {
  Operation operation;
  bool reset = false;  // close only
  int fd = -1;
  Token token;
  // send: either one run of bytes, or iovecs when `iovec_count` > 0.
  // connect: the peer's address, `size` bytes long.
  const void* data = nullptr;
  size_t size = 0;
  uint32_t iovec_count = 0;

  static Submission accept(int fd, Token token) {
    return {.operation = Operation::accept, .fd = fd, .token = token};
  }
  static Submission connect(int fd, Token token, const sockaddr* address, size_t address_bytes) {
    return {
        .operation = Operation::connect, .fd = fd, .token = token, .data = address, .size = address_bytes};
  }
  static Submission recv(int fd, Token token) {
    return {.operation = Operation::recv, .fd = fd, .token = token};
  }
  static Submission send(int fd, Token token, Bytes bytes) {
    return {
        .operation = Operation::send, .fd = fd, .token = token, .data = bytes.data(), .size = bytes.size()};
  }
  static Submission send(int fd, Token token, std::span<const iovec> parts) {
    return {.operation = Operation::send,
            .fd = fd,
            .token = token,
            .data = parts.data(),
            .iovec_count = static_cast<uint32_t>(parts.size())};
  }
  static Submission poll_writable(int fd, Token token) {
    return {.operation = Operation::poll_writable, .fd = fd, .token = token};
  }
  static Submission shutdown(int fd, Token token) {
    return {.operation = Operation::shutdown, .fd = fd, .token = token};
  }
  static Submission cancel(int fd, Token token) {
    return {.operation = Operation::cancel, .fd = fd, .token = token};
  }
  static Submission cancel_accept(int fd, Token token) {
    return {.operation = Operation::cancel_accept, .fd = fd, .token = token};
  }
  static Submission close(int fd, Token token, bool reset = false) {
    return {.operation = Operation::close, .reset = reset, .fd = fd, .token = token};
  }
};

struct Completion {
  Operation operation;
  bool more = false;   // multishot: still armed
  int32_t result = 0;  // descriptor, byte count, 0, or -errno
  Token token;
  MutableBytes bytes{};  // recv: the lent bytes, the reader's to change in place
};

// What a turn brought. Sends that fell short come apart from the rest because they
// must be settled first: until a cursor is put back, its bytes may not be freed,
// and handling anything else may free them.
struct Completions {
  std::vector<Completion> short_sends;
  std::vector<Completion> others;  // in the order the kernel gave them

  void clear() {
    short_sends.clear();
    others.clear();
  }
};

class Backend {
 public:
  virtual ~Backend() = default;

  // Submits everything, sleeps until something completes, wake() is called or
  // `deadline` has come (a deadline not after the present never sleeps), and fills
  // `completions`. Bounded: it may leave completions for the next turn.
  virtual TurnTime turn(std::span<const Submission> submissions, Completions& completions,
                        Instant deadline) = 0;

  // Ends the present or the next sleep of turn(). Any thread; async-signal-safe.
  virtual void wake() noexcept = 0;

  // "io_uring", "epoll" or "sim".
  virtual const char* name() const noexcept = 0;

  // For leak accounting: operations submitted and not completed (a silent send
  // counts as completed), and receive buffers not yet back in the pool.
  virtual size_t operations_in_flight() const noexcept = 0;
  virtual size_t buffers_lent() const noexcept = 0;

  // Times that more had completed than the kernel's queue holds. All of it came in the
  // end, in order; often, it says that the queue is too small. 0 where there is none.
  virtual uint64_t queue_overflows() const noexcept { return 0; }
};

}  // namespace ringcast
