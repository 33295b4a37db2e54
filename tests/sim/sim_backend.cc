// The simulated network and the backend on it. One thread, wake() aside.
#include "tests/sim/sim_backend.h"

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <utility>

#include "base/assert.h"
#include "io/socket.h"

namespace ringcast::sim {
namespace {

constexpr size_t kRecvMax = 16 * 1024;  // per socket and turn
constexpr int kFirstDescriptor = 3;
constexpr int64_t kUnixEpochMs = 1'700'000'000'000;  // wall-clock time when the virtual clock reads 0

}  // namespace

// ---- Network

void Network::advance_to(Instant instant) {
  RC_ASSERT(instant >= now_);
  now_ = instant;
}

Network::Socket& Network::at(int fd) {
  const auto found = sockets_.find(fd);
  RC_ASSERT(found != sockets_.end());
  return *found->second;
}

const Network::Socket& Network::at(int fd) const {
  return const_cast<Network*>(this)->at(fd);
}

int Network::lowest_free_descriptor() const {
  int fd = kFirstDescriptor;
  for (const auto& [taken, socket] : sockets_) {
    if (taken != fd) break;
    ++fd;
  }
  return fd;
}

// The lowest free number, as a kernel gives: so numbers are used again at once.
int Network::place(std::unique_ptr<Socket> socket) {
  const int fd = lowest_free_descriptor();
  if (fd >= descriptor_limit_) return -EMFILE;
  sockets_.emplace(fd, std::move(socket));
  return fd;
}

int Network::listen(uint16_t port) {
  const auto taken = [&](uint16_t candidate) {
    return std::any_of(sockets_.begin(), sockets_.end(),
                       [&](const auto& entry) { return entry.second->port == candidate; });
  };
  if (port == 0) {
    port = 10'000;
    while (taken(port)) ++port;
  } else if (taken(port)) {
    return -EADDRINUSE;
  }
  auto listener = std::make_unique<Socket>();
  listener->port = port;
  return place(std::move(listener));
}

uint16_t Network::port(int listener) const {
  return at(listener).port;
}

int Network::make_socket() {
  return place(std::make_unique<Socket>());
}

int Network::connect(int fd, uint16_t port) {
  const auto listener = std::find_if(sockets_.begin(), sockets_.end(), [&](const auto& entry) {
    return port != 0 && entry.second->port == port;
  });
  if (listener == sockets_.end()) return -ECONNREFUSED;
  Socket& near = at(fd);
  auto far = std::make_unique<Socket>();
  near.other = far.get();
  far->other = &near;
  listener->second->backlog.push_back(std::move(far));
  return 0;
}

int Network::connect(uint16_t port) {
  const int fd = make_socket();
  if (fd < 0) return fd;
  const int result = connect(fd, port);
  if (result < 0) sockets_.erase(fd);
  return result < 0 ? result : fd;
}

int Network::accept(int listener) {
  Socket& socket = at(listener);
  // As the kernel does it: the number is drawn before the queue is looked at.
  if (lowest_free_descriptor() >= descriptor_limit_) return -EMFILE;
  if (socket.backlog.empty()) return -EAGAIN;
  std::unique_ptr<Socket> accepted = std::move(socket.backlog.front());
  socket.backlog.pop_front();
  return place(std::move(accepted));
}

int64_t Network::send(int fd, Bytes bytes) {
  Socket& socket = at(fd);
  if (socket.reset) {
    socket.reset = false;
    socket.was_reset = true;
    return -ECONNRESET;
  }
  if (socket.was_reset || socket.sent_finish) return -EPIPE;
  if (socket.other == nullptr) {
    // The first bytes to a closed end are taken; its answer is RST.
    socket.reset = true;
    return static_cast<int64_t>(bytes.size());
  }
  Socket& other = *socket.other;
  const size_t room = socket.send_buffer - std::min(socket.send_buffer, other.inbox.size());
  const size_t taken = std::min(room, bytes.size());
  if (taken == 0 && !bytes.empty()) return -EAGAIN;
  other.inbox.insert(other.inbox.end(), bytes.begin(), bytes.begin() + static_cast<ptrdiff_t>(taken));
  return static_cast<int64_t>(taken);
}

int64_t Network::recv(int fd, MutableBytes into) {
  Socket& socket = at(fd);
  if (socket.reset) {
    socket.reset = false;
    socket.was_reset = true;
    return -ECONNRESET;
  }
  const size_t count = std::min(into.size(), socket.inbox.size());
  if (count == 0) return socket.finished || socket.was_reset ? 0 : -EAGAIN;
  const auto end = socket.inbox.begin() + static_cast<ptrdiff_t>(count);
  std::copy(socket.inbox.begin(), end, into.begin());
  socket.inbox.erase(socket.inbox.begin(), end);
  return static_cast<int64_t>(count);
}

void Network::shutdown(int fd) {
  Socket& socket = at(fd);
  socket.sent_finish = true;
  if (socket.other != nullptr) socket.other->finished = true;
}

void Network::end(Socket& socket, bool reset) {
  for (const auto& waiting : socket.backlog) end(*waiting, true);
  if (socket.other == nullptr) return;
  Socket& other = *socket.other;
  other.other = nullptr;
  other.finished = true;
  if (reset || !socket.inbox.empty()) {
    other.reset = true;
    other.inbox.clear();
  }
}

void Network::close(int fd, bool reset) {
  end(at(fd), reset);
  sockets_.erase(fd);
}

bool Network::acceptable(int fd) const {
  return !at(fd).backlog.empty();
}

bool Network::readable(int fd) const {
  const Socket& socket = at(fd);
  return !socket.inbox.empty() || socket.finished || socket.reset || socket.was_reset;
}

// As TCP says it: not at the first free byte, but when a third is free.
bool Network::writable(int fd) const {
  const Socket& socket = at(fd);
  if (socket.other == nullptr || socket.reset || socket.was_reset || socket.sent_finish) return true;
  return socket.other->inbox.size() <= socket.send_buffer - (socket.send_buffer + 2) / 3;
}

void Network::set_send_buffer(int fd, size_t bytes) {
  at(fd).send_buffer = bytes;
}

// ---- SimBackend

TurnTime SimBackend::turn(std::span<const Submission> submissions, Completions& completions,
                          Instant deadline) {
  completions_ = &completions;
  sent_.clear();
  // What the last turn lent goes once this one has submitted: a send may come out of it,
  // and a cancelled receive may still lend.
  std::vector<std::unique_ptr<std::byte[]>> expired = std::exchange(lent_, {});
  for (const Submission& submission : submissions) submit(submission);
  expired.clear();
  collect();

  sleeping_until_ = network_.now();
  const bool nothing = completions.short_sends.empty() && completions.others.empty();
  if (!woken_.exchange(false) && nothing && deadline > network_.now()) {
    sleeping_until_ = deadline;
    if (sleep_ == Sleep::advance) {
      // Nobody else moves while this one sleeps: only the deadline can end it.
      if (deadline != kNever) network_.advance_to(deadline);
    } else if (sleeper_) {
      sleeper_(deadline);
      woken_.store(false);
      collect();
    }
  }
  completions_ = nullptr;
  const auto elapsed = std::chrono::duration_cast<milliseconds>(network_.now().time_since_epoch());
  return {.now = network_.now(), .unix_ms = kUnixEpochMs + elapsed.count()};
}

size_t SimBackend::operations_in_flight() const noexcept {
  size_t count = closing_.size();
  for (const auto& [fd, armed] : armed_) {
    count += static_cast<size_t>(std::count(std::begin(armed.armed), std::end(armed.armed), true));
  }
  return count;
}

bool SimBackend::ready() const {
  if (woken_.load() || !closing_.empty()) return true;
  return std::any_of(armed_.begin(), armed_.end(), [&](const auto& entry) {
    const auto& [fd, armed] = entry;
    return (armed.armed[kRecv] && network_.readable(fd)) ||
           (armed.armed[kAccept] && network_.acceptable(fd)) || (armed.armed[kPoll] && network_.writable(fd));
  });
}

void SimBackend::submit(const Submission& submission) {
  const int fd = submission.fd;
  switch (submission.operation) {
    case Operation::accept:
      return arm(submission, kAccept);
    case Operation::recv:
      return arm(submission, kRecv);
    case Operation::poll_writable:
      return arm(submission, kPoll);
    case Operation::connect:
      return connect(submission);
    case Operation::send:
      return send(submission);
    case Operation::shutdown:
      return network_.shutdown(fd);
    case Operation::cancel:
      cancel(fd, kRecv);
      return cancel(fd, kPoll);
    case Operation::cancel_accept:
      return cancel(fd, kAccept);
    case Operation::close:
      for (uint8_t kind = 0; kind < kKinds; ++kind) cancel(fd, kind);
      armed_.erase(fd);
      closing_.push_back({fd, submission.token, submission.reset});
      return;
  }
}

void SimBackend::send(const Submission& submission) {
  RC_ASSERT(sent_.insert(submission.fd).second);
  const iovec whole{const_cast<void*>(submission.data), submission.size};
  std::span<const iovec> parts(&whole, 1);
  if (submission.iovec_count > 0) {
    RC_ASSERT(submission.iovec_count <= kSendPartsMax);
    parts = {static_cast<const iovec*>(submission.data), submission.iovec_count};
  }
  size_t asked = 0;
  for (const iovec& part : parts) asked += part.iov_len;
  RC_ASSERT(asked <= kSendBytesMax);
  const auto ends_with = [&](int32_t result) {
    completions_->short_sends.push_back(
        {.operation = Operation::send, .result = result, .token = submission.token});
  };
  if (happens(&Faults::send_refused, &Faults::Count::sends_refused)) return ends_with(-ENOBUFS);
  size_t allowed = asked;
  if (happens(&Faults::short_send, &Faults::Count::short_sends)) allowed = faults_->prng.below(asked);
  size_t sent = 0;
  for (const iovec& part : parts) {
    const Bytes bytes(static_cast<const std::byte*>(part.iov_base), std::min(part.iov_len, allowed - sent));
    const int64_t taken = network_.send(submission.fd, bytes);
    if (taken < 0 && taken != -EAGAIN && sent == 0) return ends_with(static_cast<int32_t>(taken));
    if (taken > 0) sent += static_cast<size_t>(taken);
    if (taken != static_cast<int64_t>(part.iov_len)) break;
  }
  if (sent < asked) ends_with(static_cast<int32_t>(sent));
}

void SimBackend::connect(const Submission& submission) {
  const auto address = SocketAddress::from(static_cast<const sockaddr*>(submission.data),
                                           static_cast<socklen_t>(submission.size));
  RC_ASSERT(address.has_value());
  complete(Operation::connect, submission.token, network_.connect(submission.fd, address->port));
}

void SimBackend::arm(const Submission& submission, uint8_t kind) {
  Armed& armed = armed_[submission.fd];
  RC_ASSERT(!armed.armed[kind]);
  armed.armed[kind] = true;
  armed.token[kind] = submission.token;
}

void SimBackend::cancel(int fd, uint8_t kind) {
  constexpr Operation kOperations[] = {Operation::recv, Operation::accept, Operation::poll_writable};
  const auto found = armed_.find(fd);
  if (found == armed_.end() || !found->second.armed[kind]) return;
  if (kind == kRecv && network_.readable(fd) && happens(&Faults::cancel_race, &Faults::Count::cancel_races)) {
    deliver_recv(fd, found->second);
    if (!found->second.armed[kind]) return;
  }
  if (kind == kPoll && happens(&Faults::cancel_race, &Faults::Count::cancel_races)) {
    found->second.armed[kind] = false;
    return complete(kOperations[kind], found->second.token[kind], 0);
  }
  found->second.armed[kind] = false;
  complete(kOperations[kind], found->second.token[kind], -ECANCELED);
}

void SimBackend::collect() {
  finish_closes();
  deliver();
  if (faults_ == nullptr) return;
  auto& others = completions_->others;
  for (size_t i = 1; i < others.size(); ++i) {
    if (others[i].token == others[i - 1].token) continue;  // of one socket: in order
    if (happens(&Faults::reorder, &Faults::Count::reorders)) std::swap(others[i], others[i - 1]);
  }
}

void SimBackend::deliver() {
  for (auto& [fd, armed] : armed_) {
    if (happens(&Faults::late, &Faults::Count::late)) continue;
    if (armed.armed[kAccept]) deliver_accept(fd, armed);
    if (armed.armed[kRecv]) deliver_recv(fd, armed);
    if (armed.armed[kPoll] && network_.writable(fd)) {
      armed.armed[kPoll] = false;
      complete(Operation::poll_writable, armed.token[kPoll], 0);
    }
  }
  std::erase_if(armed_, [](const auto& entry) { return !entry.second.any(); });
}

void SimBackend::deliver_recv(int fd, Armed& armed) {
  if (!network_.readable(fd)) return;
  const bool ends = happens(&Faults::early_end, &Faults::Count::early_ends);
  if (ends && faults_->prng.chance(0.5)) {
    armed.armed[kRecv] = false;
    return complete(Operation::recv, armed.token[kRecv], -ENOBUFS);
  }
  std::vector<std::byte> bytes(kRecvMax);
  if (happens(&Faults::split_recv, &Faults::Count::split_recvs)) {
    bytes.resize(1 + faults_->prng.below(faults_->prng.chance(0.5) ? 8 : 1000));
  }
  const int64_t count = network_.recv(fd, bytes);
  RC_ASSERT(count != -EAGAIN);
  if (count <= 0) {
    armed.armed[kRecv] = false;
    return complete(Operation::recv, armed.token[kRecv], static_cast<int32_t>(count));
  }
  const auto size = static_cast<size_t>(count);
  auto& piece = lent_.emplace_back(std::make_unique<std::byte[]>(size));
  std::memcpy(piece.get(), bytes.data(), size);
  if (ends) armed.armed[kRecv] = false;
  complete(Operation::recv, armed.token[kRecv], static_cast<int32_t>(count), !ends, {piece.get(), size});
}

void SimBackend::deliver_accept(int fd, Armed& armed) {
  while (network_.acceptable(fd)) {
    const int accepted = network_.accept(fd);
    armed.armed[kAccept] = accepted >= 0;
    complete(Operation::accept, armed.token[kAccept], accepted, accepted >= 0);
    if (accepted < 0) return;
  }
}

void SimBackend::finish_closes() {
  std::erase_if(closing_, [&](const Closing& closing) {
    if (happens(&Faults::late, &Faults::Count::late)) return false;
    network_.close(closing.fd, closing.reset);
    complete(Operation::close, closing.token, 0);
    return true;
  });
}

bool SimBackend::happens(double Faults::*weight, uint64_t Faults::Count::*count) {
  if (faults_ == nullptr || !faults_->prng.chance(faults_->*weight)) return false;
  ++(faults_->count.*count);
  return true;
}

void SimBackend::complete(Operation operation, Token token, int32_t result, bool more, MutableBytes bytes) {
  completions_->others.push_back(
      {.operation = operation, .more = more, .result = result, .token = token, .bytes = bytes});
}

}  // namespace ringcast::sim
