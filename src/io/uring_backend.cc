// The turn on io_uring: submissions become ring entries, in batches; ring entries
// become completions. Setting the ring up is uring_setup.cc. The shard's thread.
#include "io/uring_backend.h"

#include <poll.h>
#include <sched.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>

#include "base/assert.h"
#include "io/clock.h"
#include "io/uring_compat.h"

namespace ringcast {
namespace {

// A multishot receive tries the kernel's buffers 32 times before it steps back; then
// it may still post its end.
constexpr unsigned kRecvCompletionsMax = 33;

uint64_t pack(uint8_t kind, uint64_t value) {
  return uint64_t{kind} << 56 | value;
}

}  // namespace

// What an entry's user_data says it is, in the top byte; below it the descriptor, or
// for a send its index in the turn's submissions. The first four are bits of
// Socket::armed.
enum class UringBackend::Kind : uint8_t {
  recv = 1,
  accept = 2,
  connect = 4,
  poll = 8,
  send = 16,
  wake = 32,
  cancel = 64,
};

TurnTime UringBackend::turn(std::span<const Submission> submissions, Completions& completions,
                            Instant deadline) {
  if (!enabled_) {
    RC_ASSERT(uring::enable_ring(ring_.ring_fd) == 0);
    enabled_ = true;
  }
  submissions_ = submissions;
  completions_ = &completions;
  woken_ = false;
  sends_lent_bytes_ = false;
  buffers_->begin_turn();
  // Without deferred task work completions come between turns too, and would take
  // the room that a batch counts on.
  collect();

  if (!wake_armed_) submit_wake_read();
  for (size_t index = 0; index < submissions.size(); ++index) submit(submissions[index], index);

  // Usually the last batch and the sleep are one trip. Not if the batch sends out of
  // lent buffers, or something must follow its sends.
  if (sends_lent_bytes_ || !after_batch_.empty()) submit_batch();
  buffers_->give_back();
  // Last, so that receives which ran out of buffers find those just given back.
  submit_recvs();
  sleep(deadline);

  completions_ = nullptr;
  return read_clocks();
}

void UringBackend::wake() noexcept {
  const int error = errno;  // a signal handler may be calling
  const uint64_t one = 1;
  // Fails only if 2^64 - 2 wakes wait already, and then one is as good as another.
  [[maybe_unused]] const ssize_t written = ::write(wake_.fd(), &one, sizeof one);
  errno = error;
}

UringBackend::Socket& UringBackend::socket(int fd) {
  RC_ASSERT(fd >= 0);
  const auto index = static_cast<size_t>(fd);
  if (index >= sockets_.size()) sockets_.resize(index + 1);
  return sockets_[index];
}

// The socket on which `submission` arms something, or which it closes.
UringBackend::Socket& UringBackend::socket_for(const Submission& submission) {
  Socket& socket = this->socket(submission.fd);
  RC_ASSERT(submission.token.value >> kTokenBits == 0);
  RC_ASSERT((socket.armed == 0 && !socket.recv_waiting) || socket.token() == submission.token);
  socket.token_bits = submission.token.value & ((uint64_t{1} << kTokenBits) - 1);
  return socket;
}

// An empty entry of the batch under way, which is submitted first if it is full or if
// what it can post, with `completions_max` more, might not find room.
io_uring_sqe* UringBackend::next_entry(unsigned completions_max) {
  if (batched_ == kBatchMax || completions_due_ + completions_max > queue_entries_) submit_batch();
  ++batched_;
  completions_due_ += completions_max;
  io_uring_sqe* entry = io_uring_get_sqe(&ring_);
  RC_ASSERT(entry != nullptr);
  return entry;
}

void UringBackend::submit(const Submission& submission, size_t index) {
  if (submission.operation == Operation::send) return submit_send(submission, index);

  const int fd = submission.fd;
  Socket& socket = this->socket(fd);
  RC_ASSERT(!socket.closing);
  switch (submission.operation) {
    case Operation::send:
      break;
    case Operation::accept: {
      // It may post as many as the backlog holds: it gets a batch to itself.
      io_uring_sqe* entry = next_entry(queue_entries_);
      io_uring_prep_multishot_accept(entry, fd, nullptr, nullptr, SOCK_NONBLOCK | SOCK_CLOEXEC);
      io_uring_sqe_set_data64(entry, pack(uint8_t(Kind::accept), static_cast<uint64_t>(fd)));
      return arm(socket_for(submission), Kind::accept);
    }
    case Operation::connect: {
      io_uring_sqe* entry = next_entry(1);
      io_uring_prep_connect(entry, fd, static_cast<const sockaddr*>(submission.data),
                            static_cast<socklen_t>(submission.size));
      io_uring_sqe_set_data64(entry, pack(uint8_t(Kind::connect), static_cast<uint64_t>(fd)));
      return arm(socket_for(submission), Kind::connect);
    }
    case Operation::poll_writable: {
      io_uring_sqe* entry = next_entry(1);
      io_uring_prep_poll_add(entry, fd, POLLOUT);
      io_uring_sqe_set_data64(entry, pack(uint8_t(Kind::poll), static_cast<uint64_t>(fd)));
      return arm(socket_for(submission), Kind::poll);
    }
    case Operation::recv:
      RC_ASSERT((socket.armed & uint8_t(Kind::recv)) == 0 && !socket.recv_waiting);
      socket_for(submission).recv_waiting = true;
      recvs_.push_back(fd);
      return;
    case Operation::shutdown:
      // Not IORING_OP_SHUTDOWN: the kernel hands that to a worker, which may come to it
      // when the descriptor is somebody else's.
      after_batch_.push_back(submission);
      return;
    case Operation::cancel:
      cancel_recv(fd, socket);
      if ((socket.armed & uint8_t(Kind::poll)) != 0) cancel(fd, Kind::poll);
      return;
    case Operation::cancel_accept:
      if ((socket.armed & uint8_t(Kind::accept)) != 0) cancel(fd, Kind::accept);
      return;
    case Operation::close:
      socket_for(submission).reset = submission.reset;
      return close(fd, socket);
  }
}

void UringBackend::submit_send(const Submission& submission, size_t index) {
  io_uring_sqe* entry = next_entry(1);
  const auto lent = [&](const void* at) { return buffers_->contains(at); };
  constexpr int kFlags = MSG_DONTWAIT | MSG_WAITALL | MSG_NOSIGNAL;
  if (submission.iovec_count > 0) {
    RC_ASSERT(submission.iovec_count <= kSendPartsMax);
    const std::span parts(static_cast<const iovec*>(submission.data), submission.iovec_count);
    for (const iovec& part : parts) sends_lent_bytes_ |= lent(part.iov_base);
    // batched_ counts this entry already.
    msghdr& message = messages_[batched_ - 1];
    message = {};
    message.msg_iov = const_cast<iovec*>(parts.data());
    message.msg_iovlen = parts.size();
    io_uring_prep_sendmsg(entry, submission.fd, &message, kFlags);
  } else {
    RC_ASSERT(submission.size <= kSendBytesMax);
    sends_lent_bytes_ |= lent(submission.data);
    io_uring_prep_send(entry, submission.fd, submission.data, submission.size, kFlags);
  }
  // Success is silent only because of MSG_WAITALL: without it the kernel calls a send
  // that took less than all a success too, and skips the completion that says so.
  entry->flags |= IOSQE_CQE_SKIP_SUCCESS;
  io_uring_sqe_set_data64(entry, pack(uint8_t(Kind::send), index));
}

void UringBackend::submit_recvs() {
  for (const int fd : recvs_) {
    Socket& socket = this->socket(fd);
    if (!socket.recv_waiting) continue;  // cancelled in the same turn
    socket.recv_waiting = false;
    io_uring_sqe* entry = next_entry(kRecvCompletionsMax);
    io_uring_prep_recv_multishot(entry, fd, nullptr, 0, 0);
    entry->flags |= IOSQE_BUFFER_SELECT;
    entry->buf_group = RecvRing::kGroup;
    io_uring_sqe_set_data64(entry, pack(uint8_t(Kind::recv), static_cast<uint64_t>(fd)));
    arm(socket, Kind::recv);
  }
  recvs_.clear();
}

void UringBackend::submit_wake_read() {
  // A read, not a poll: it also takes the count back to zero, without a system call.
  io_uring_sqe* entry = next_entry(1);
  io_uring_prep_read(entry, wake_.fd(), &wake_count_, sizeof wake_count_, 0);
  io_uring_sqe_set_data64(entry, pack(uint8_t(Kind::wake), 0));
  wake_armed_ = true;
}

void UringBackend::arm(Socket& socket, Kind kind) {
  RC_ASSERT((socket.armed & uint8_t(kind)) == 0);
  socket.armed |= uint8_t(kind);
  ++in_flight_;
}

// By user_data: an armed operation has one that nothing else has, and a connect on
// the same descriptor is left alone.
void UringBackend::cancel(int fd, Kind kind) {
  io_uring_sqe* entry = next_entry(2);
  io_uring_prep_cancel64(entry, pack(uint8_t(kind), static_cast<uint64_t>(fd)), 0);
  entry->flags |= IOSQE_CQE_SKIP_SUCCESS;
  io_uring_sqe_set_data64(entry, pack(uint8_t(Kind::cancel), 0));
}

void UringBackend::cancel_recv(int fd, Socket& socket) {
  if (socket.recv_waiting) {
    socket.recv_waiting = false;
    complete(Operation::recv, socket.token(), -ECANCELED);
  } else if ((socket.armed & uint8_t(Kind::recv)) != 0) {
    cancel(fd, Kind::recv);
  }
}

void UringBackend::close(int fd, Socket& socket) {
  if (socket.recv_waiting) cancel_recv(fd, socket);
  socket.closing = true;
  ++in_flight_;
  if (socket.armed == 0) {
    after_batch_.push_back(Submission::close(fd, socket.token()));
    return;
  }
  io_uring_sqe* entry = next_entry(5);  // its own, and one for each kind armed
  io_uring_prep_cancel_fd(entry, fd, IORING_ASYNC_CANCEL_ALL);
  entry->flags |= IOSQE_CQE_SKIP_SUCCESS;
  io_uring_sqe_set_data64(entry, pack(uint8_t(Kind::cancel), 0));
}

// Hands the batch to the kernel without sleeping, takes what it posted, then does
// what must follow it.
void UringBackend::submit_batch() {
  while (io_uring_sq_ready(&ring_) > 0) {
    const int result = io_uring_submit(&ring_);
    if (result >= 0 || result == -EINTR) continue;
    // The kernel is short of memory (EAGAIN) or wants its completions taken first (EBUSY).
    RC_ASSERT(result == -EAGAIN || result == -EBUSY);
    io_uring_get_events(&ring_);
    collect();
    sched_yield();
  }
  batched_ = 0;
  completions_due_ = 0;
  collect();
  finish_batch();
}

// Only when every entry made has been submitted: a send that still lay in the ring
// would otherwise meet a closed descriptor, or its next owner.
void UringBackend::finish_batch() {
  for (const Submission& submission : after_batch_) {
    if (submission.operation == Operation::shutdown) {
      ::shutdown(submission.fd, SHUT_WR);  // fails only if the peer has ended it all already
    } else {
      finish_close(submission.fd, socket(submission.fd));
    }
  }
  after_batch_.clear();
}

void UringBackend::sleep(Instant deadline) {
  const auto nothing_yet = [&] {
    return completions_->short_sends.empty() && completions_->others.empty() && !woken_;
  };
  Instant now = monotonic_now();
  const bool wait = deadline > now && nothing_yet();
  do {
    if (!wait) return enter(false, Duration::zero());
    enter(true, deadline == kNever ? Duration::max() : deadline - now);
    now = monotonic_now();
    // A signal, or an answer to something of our own, ends the kernel's sleep but not ours.
  } while (nothing_yet() && now < deadline);
}

// The trip into the kernel that ends a turn: the last batch goes in, what is ready
// comes out, and with `wait` it sleeps until there is something.
void UringBackend::enter(bool wait, Duration at_most) {
  const unsigned flags = IO_URING_READ_ONCE(*ring_.sq.kflags);
  if (wait) {
    __kernel_timespec timeout{.tv_sec = at_most.count() / 1'000'000'000,
                              .tv_nsec = at_most.count() % 1'000'000'000};
    io_uring_cqe* first = nullptr;
    io_uring_submit_and_wait_timeout(&ring_, &first, 1, at_most == Duration::max() ? nullptr : &timeout,
                                     nullptr);
  } else if (io_uring_sq_ready(&ring_) > 0 || (flags & (IORING_SQ_TASKRUN | IORING_SQ_CQ_OVERFLOW)) != 0) {
    io_uring_submit_and_get_events(&ring_);
  }
  // Errors need no look: whatever they left in the ring is submitted here, the rest is a wake-up for nothing.
  submit_batch();
}

// Takes all the kernel has posted, in its order.
void UringBackend::collect() {
  bool overflown = false;
  for (;;) {
    // Counted first: without deferred task work more may come while we read.
    const unsigned ready = io_uring_cq_ready(&ring_);
    unsigned head = *ring_.cq.khead;
    for (unsigned taken = 0; taken < ready; ++taken, ++head) take(ring_.cq.cqes[head & *ring_.cq.kring_mask]);
    io_uring_cq_advance(&ring_, ready);
    // As long as completions wait outside the full ring, all later ones queue up behind them,
    // those of failed sends too: the ring is clear only when both are empty.
    if (!io_uring_cq_has_overflow(&ring_)) break;
    overflown = true;
    io_uring_get_events(&ring_);
  }
  queue_overflows_ += overflown;
  // The kernel counts here what it had no memory to keep. A failed send among it would
  // leave a hole in a stream of bytes that nobody knows of; there is no going on.
  RC_ASSERT(*ring_.cq.koverflow == 0);
}

void UringBackend::take(const io_uring_cqe& cqe) {
  const auto kind = static_cast<Kind>(cqe.user_data >> 56);
  const uint64_t value = cqe.user_data & ((uint64_t{1} << 56) - 1);
  switch (kind) {
    case Kind::send: {
      RC_ASSERT(value < submissions_.size());  // a completion of this very turn
      const int32_t taken = cqe.res == -EAGAIN ? 0 : cqe.res;
      completions_->short_sends.push_back(
          {.operation = Operation::send, .result = taken, .token = submissions_[value].token});
      return;
    }
    case Kind::wake:
      wake_armed_ = false;
      woken_ = true;
      return;
    case Kind::cancel:
      return;  // there was nothing left to cancel
    case Kind::recv:
    case Kind::accept:
    case Kind::connect:
    case Kind::poll:
      break;
  }

  const int fd = static_cast<int>(value);
  Socket& socket = this->socket(fd);
  RC_ASSERT((socket.armed & uint8_t(kind)) != 0);
  const bool more = (cqe.flags & IORING_CQE_F_MORE) != 0;
  if (!more) {
    socket.armed &= static_cast<uint8_t>(~uint8_t(kind));
    --in_flight_;
  }
  if (kind == Kind::recv) {
    complete(Operation::recv, socket.token(), cqe.res, more, buffers_->take(cqe.flags, cqe.res));
  } else if (kind == Kind::accept) {
    complete(Operation::accept, socket.token(), cqe.res, more);
  } else if (kind == Kind::connect) {
    complete(Operation::connect, socket.token(), cqe.res);
  } else {
    complete(Operation::poll_writable, socket.token(), std::min(cqe.res, 0));
  }
  if (socket.closing && socket.armed == 0) after_batch_.push_back(Submission::close(fd, socket.token()));
}

void UringBackend::finish_close(int fd, Socket& socket) {
  RC_ASSERT(socket.closing && socket.armed == 0);
  const Token token = socket.token();
  if (socket.reset) {
    const linger now{.l_onoff = 1, .l_linger = 0};
    setsockopt(fd, SOL_SOCKET, SO_LINGER, &now, sizeof now);
  }
  // Nothing in the ring refers to the socket any more, so this is its end on the wire
  // too. EINTR means closed on Linux, and the rest tells of written files.
  ::close(fd);
  socket = {};
  --in_flight_;
  complete(Operation::close, token, 0);
}

void UringBackend::complete(Operation operation, Token token, int32_t result, bool more, MutableBytes bytes) {
  completions_->others.push_back(
      {.operation = operation, .more = more, .result = result, .token = token, .bytes = bytes});
}

}  // namespace ringcast
