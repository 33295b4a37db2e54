// The turn on epoll. Readiness is edge-triggered and remembered here, so a descriptor
// costs one epoll_ctl in its life, and what a turn leaves unread comes first in the
// next. The shard's thread.
#include "io/epoll_backend.h"

#include <netinet/in.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <climits>
#include <system_error>

#include "base/assert.h"
#include "io/clock.h"

namespace ringcast {
namespace {

constexpr size_t kEventsMax = 512;      // per turn
constexpr size_t kReadMax = 64 * 1024;  // per socket and turn: one that floods waits for the others
constexpr size_t kReadMin = 4 * 1024;   // less room than this waits for the next turn
constexpr unsigned kAcceptsMax = 64;    // per listener and turn

constexpr uint32_t kHangUp = EPOLLRDHUP | EPOLLHUP | EPOLLERR;

}  // namespace

std::unique_ptr<EpollBackend> EpollBackend::create(const BackendOptions& options, std::string* error) {
  Descriptor epoll(epoll_create1(EPOLL_CLOEXEC));
  Descriptor wake(epoll ? eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK) : -1);
  epoll_event event{.events = EPOLLIN, .data = {.fd = wake.fd()}};
  if (!wake || epoll_ctl(epoll.fd(), EPOLL_CTL_ADD, wake.fd(), &event) != 0) {
    *error = "epoll cannot be used: " + std::system_category().message(errno);
    return nullptr;
  }
  const size_t bytes = std::max(options.recv_buffers_bytes, size_t{64} * 1024);
  std::unique_ptr<EpollBackend> backend(new EpollBackend(std::move(epoll), std::move(wake), bytes));
  if (!backend->arena_.ready()) {
    *error = "there is no memory for receive buffers";
    return nullptr;
  }
  return backend;
}

EpollBackend::EpollBackend(Descriptor epoll, Descriptor wake, size_t buffers_bytes)
    : epoll_(std::move(epoll)), wake_(std::move(wake)), arena_(buffers_bytes), events_(kEventsMax) {}

TurnTime EpollBackend::turn(std::span<const Submission> submissions, Completions& completions,
                            Instant deadline) {
  completions_ = &completions;
  woken_ = false;
  for (const Submission& submission : submissions) submit(submission);
  // Nothing sends out of the last turn's buffers any more.
  arena_.expire();
  gather(deadline);
  completions_ = nullptr;
  return read_clocks();
}

void EpollBackend::wake() noexcept {
  const int error = errno;  // a signal handler may be calling
  const uint64_t one = 1;
  [[maybe_unused]] const ssize_t written = ::write(wake_.fd(), &one, sizeof one);
  errno = error;
}

EpollBackend::Socket& EpollBackend::socket(int fd) {
  RC_ASSERT(fd >= 0);
  const auto index = static_cast<size_t>(fd);
  if (index >= sockets_.size()) sockets_.resize(index + 1);
  return sockets_[index];
}

void EpollBackend::arm(Socket& socket, bool& armed, Token token) {
  RC_ASSERT(!armed && (!socket.armed() || socket.token == token));
  socket.token = token;
  armed = true;
  ++in_flight_;
}

void EpollBackend::submit(const Submission& submission) {
  const int fd = submission.fd;
  Socket& socket = this->socket(fd);
  switch (submission.operation) {
    case Operation::accept:
    case Operation::recv:
      return arm_reading(fd, socket, submission.operation, submission.token);
    case Operation::connect:
      return connect(fd, socket, submission);
    case Operation::send:
      return send(submission);
    case Operation::poll_writable:
      return arm_poll(fd, socket, submission.token);
    case Operation::shutdown:
      ::shutdown(fd, SHUT_WR);  // fails only if the peer has ended it all already
      return;
    case Operation::cancel:
      cancel_reading(socket, Operation::recv);
      cancel_poll(socket);
      return;
    case Operation::cancel_accept:
      return cancel_reading(socket, Operation::accept);
    case Operation::close:
      return close(fd, socket, submission);
  }
}

void EpollBackend::send(const Submission& submission) {
  iovec one{.iov_base = const_cast<void*>(submission.data), .iov_len = submission.size};
  msghdr message{};
  message.msg_iov = &one;
  message.msg_iovlen = 1;
  size_t bytes = submission.size;
  if (submission.iovec_count > 0) {
    RC_ASSERT(submission.iovec_count <= kSendPartsMax);
    message.msg_iov = static_cast<iovec*>(const_cast<void*>(submission.data));
    message.msg_iovlen = submission.iovec_count;
    bytes = 0;
    for (size_t part = 0; part < message.msg_iovlen; ++part) bytes += message.msg_iov[part].iov_len;
  }
  RC_ASSERT(bytes <= kSendBytesMax);

  ssize_t taken;
  do {
    taken = sendmsg(submission.fd, &message, MSG_DONTWAIT | MSG_NOSIGNAL);
  } while (taken < 0 && errno == EINTR);
  if (taken >= 0 && static_cast<size_t>(taken) == bytes) return;
  if (taken < 0) taken = errno == EAGAIN ? 0 : -errno;
  completions_->short_sends.push_back(
      {.operation = Operation::send, .result = static_cast<int32_t>(taken), .token = submission.token});
}

void EpollBackend::connect(int fd, Socket& socket, const Submission& submission) {
  int error = 0;
  if (::connect(fd, static_cast<const sockaddr*>(submission.data), static_cast<socklen_t>(submission.size)) !=
      0) {
    error = -errno;
  }
  // Interrupted, a connect goes on by itself.
  if (error == -EINPROGRESS || error == -EINTR) {
    error = watch(fd, socket, EPOLLOUT);
    if (error == 0) {
      return arm(socket, socket.connect_armed, submission.token);
    }
  }
  complete(Operation::connect, submission.token, error);
}

void EpollBackend::arm_reading(int fd, Socket& socket, Operation operation, Token token) {
  if ((socket.interest & EPOLLIN) == 0) {
    // If there is something to read already, registering brings the first edge.
    if (const int error = watch(fd, socket, EPOLLIN | EPOLLRDHUP); error != 0) {
      return complete(operation, token, error);
    }
  }
  arm(socket, operation == Operation::recv ? socket.recv_armed : socket.accept_armed, token);
  if (socket.readable) push_ready(fd, socket);
}

void EpollBackend::arm_poll(int fd, Socket& socket, Token token) {
  // Also when EPOLLOUT is watched already: the call makes epoll look again, and so
  // brings the edge that came before anybody waited for it.
  if (const int error = watch(fd, socket, EPOLLOUT); error != 0) {
    return complete(Operation::poll_writable, token, error);
  }
  arm(socket, socket.poll_armed, token);
}

void EpollBackend::cancel_reading(Socket& socket, Operation operation) {
  bool& armed = operation == Operation::recv ? socket.recv_armed : socket.accept_armed;
  if (!armed) return;
  armed = false;
  --in_flight_;
  complete(operation, socket.token, -ECANCELED);
}

void EpollBackend::cancel_poll(Socket& socket) {
  if (!socket.poll_armed) return;
  socket.poll_armed = false;
  --in_flight_;
  complete(Operation::poll_writable, socket.token, -ECANCELED);
}

void EpollBackend::close(int fd, Socket& socket, const Submission& submission) {
  cancel_reading(socket, Operation::accept);
  cancel_reading(socket, Operation::recv);
  cancel_poll(socket);
  if (socket.connect_armed) {
    --in_flight_;
    complete(Operation::connect, socket.token, -ECANCELED);
  }
  // By hand: a close alone would leave it registered if a forked child holds it too.
  if (socket.interest != 0) epoll_ctl(epoll_.fd(), EPOLL_CTL_DEL, fd, nullptr);
  if (submission.reset) {
    const linger now{.l_onoff = 1, .l_linger = 0};
    setsockopt(fd, SOL_SOCKET, SO_LINGER, &now, sizeof now);
  }
  ::close(fd);
  // An entry of ready_ may outlive the socket; the number's next owner must know of it.
  const bool in_ready = socket.in_ready;
  socket = Socket{};
  socket.in_ready = in_ready;
  complete(Operation::close, submission.token, 0);
}

// 0 or -errno.
int EpollBackend::watch(int fd, Socket& socket, uint32_t events) {
  const uint32_t wanted = socket.interest | events;
  epoll_event event{.events = wanted | EPOLLET, .data = {.fd = fd}};
  const int operation = socket.interest == 0 ? EPOLL_CTL_ADD : EPOLL_CTL_MOD;
  if (epoll_ctl(epoll_.fd(), operation, fd, &event) != 0) return -errno;
  socket.interest = wanted;
  return 0;
}

void EpollBackend::push_ready(int fd, Socket& socket) {
  if (socket.in_ready) return;
  socket.in_ready = true;
  ready_.push_back(fd);
}

// Looks for events and reads what is ready until there is something to hand over.
void EpollBackend::gather(Instant deadline) {
  const auto nothing_yet = [&] {
    return completions_->short_sends.empty() && completions_->others.empty() && !woken_;
  };
  Instant now = monotonic_now();
  for (;;) {
    const bool sleep = nothing_yet() && ready_.empty() && deadline > now;
    const Duration at_most = !sleep               ? Duration::zero()
                             : deadline == kNever ? Duration::max()
                                                  : deadline - now;
    const int count = wait(at_most);
    for (int index = 0; index < count; ++index) {
      const epoll_event& event = events_[static_cast<size_t>(index)];
      take_event(event.data.fd, event.events);
    }
    read_ready();
    if (!nothing_yet()) return;
    now = monotonic_now();
    if (now >= deadline) return;
  }
}

// The number of events; 0 also after a signal.
int EpollBackend::wait(Duration at_most) {
  const bool forever = at_most == Duration::max();
  if (nanosecond_sleep_) {
    const timespec timeout = to_timespec(at_most);
    const int count =
        epoll_pwait2(epoll_.fd(), events_.data(), kEventsMax, forever ? nullptr : &timeout, nullptr);
    if (count >= 0 || errno == EINTR) return std::max(count, 0);
    // Older than Linux 5.11, or a seccomp filter older than it.
    RC_ASSERT(errno == ENOSYS || errno == EPERM);
    nanosecond_sleep_ = false;
  }
  // Rounded up: woken early, the turn would spin through the last millisecond.
  const int64_t ms = (std::min<int64_t>(at_most.count(), INT64_MAX - 999'999) + 999'999) / 1'000'000;
  const int timeout = forever ? -1 : static_cast<int>(std::min<int64_t>(ms, INT_MAX));
  return std::max(epoll_wait(epoll_.fd(), events_.data(), kEventsMax, timeout), 0);
}

void EpollBackend::take_event(int fd, uint32_t events) {
  if (fd == wake_.fd()) {
    uint64_t count;
    [[maybe_unused]] const ssize_t got = ::read(fd, &count, sizeof count);
    woken_ = true;
    return;
  }
  Socket& socket = this->socket(fd);
  if ((events & (EPOLLIN | kHangUp)) != 0) {
    socket.readable = true;
    socket.hung_up = socket.hung_up || (events & kHangUp) != 0;
    if (socket.recv_armed || socket.accept_armed) push_ready(fd, socket);
  }
  if ((events & (EPOLLOUT | EPOLLHUP | EPOLLERR)) == 0) return;
  if (socket.connect_armed) {
    socket.connect_armed = false;
    --in_flight_;
    int error = 0;
    socklen_t bytes = sizeof error;
    getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &bytes);
    complete(Operation::connect, socket.token, -error);
  }
  if (socket.poll_armed) {
    socket.poll_armed = false;
    --in_flight_;
    complete(Operation::poll_writable, socket.token, 0);
  }
}

// Gives each ready descriptor one go, as far as the buffers reach.
void EpollBackend::read_ready() {
  for (size_t left = ready_.size(); left > 0; --left) {
    const int fd = ready_.front();
    Socket& socket = sockets_[static_cast<size_t>(fd)];
    if (socket.recv_armed && arena_.room(kReadMin).size() < kReadMin) return;
    ready_.pop_front();
    socket.in_ready = false;
    const bool accepts_more = accept(fd, socket);
    const bool reads_more = read(fd, socket);
    if (accepts_more || reads_more) push_ready(fd, socket);
  }
}

// Whether there may be more to read at once.
bool EpollBackend::read(int fd, Socket& socket) {
  if (!socket.recv_armed || !socket.readable) return false;
  const MutableBytes room = arena_.room(kReadMax);
  ssize_t count;
  do {
    count = ::recv(fd, room.data(), room.size(), MSG_DONTWAIT);
  } while (count < 0 && errno == EINTR);
  if (count > 0) {
    // A short read has emptied the socket, and what comes later brings an edge of its
    // own; but a FIN or an error announced with this data brings none.
    if (static_cast<size_t>(count) < room.size() && !socket.hung_up) socket.readable = false;
    complete(Operation::recv, socket.token, static_cast<int32_t>(count), true,
             arena_.lend(static_cast<size_t>(count)));
    return socket.readable;
  }
  if (count < 0 && errno == EAGAIN) {
    socket.readable = false;
    return false;
  }
  socket.recv_armed = false;
  --in_flight_;
  complete(Operation::recv, socket.token, count == 0 ? 0 : -errno);
  return false;
}

// Whether there may be more to accept at once.
bool EpollBackend::accept(int fd, Socket& socket) {
  if (!socket.accept_armed || !socket.readable) return false;
  for (unsigned accepted = 0; accepted < kAcceptsMax; ++accepted) {
    const int peer = ::accept4(fd, nullptr, nullptr, SOCK_NONBLOCK | SOCK_CLOEXEC);
    if (peer >= 0) {
      complete(Operation::accept, socket.token, peer, true);
    } else if (errno == EAGAIN) {
      socket.readable = false;
      return false;
    } else if (errno != EINTR) {
      // As io_uring does, an error ends the accept; connections that wait stay where they are.
      socket.accept_armed = false;
      --in_flight_;
      complete(Operation::accept, socket.token, -errno);
      return false;
    }
  }
  return true;
}

void EpollBackend::complete(Operation operation, Token token, int32_t result, bool more, MutableBytes bytes) {
  completions_->others.push_back(
      {.operation = operation, .more = more, .result = result, .token = token, .bytes = bytes});
}

}  // namespace ringcast
