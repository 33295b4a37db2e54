// The simulated network and the backend on it. One thread, wake() aside.
#include "tests/sim/sim_backend.h"

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <utility>

#include "base/assert.h"
#include "io/socket.h"
#include "shard/connection.h"

namespace ringcast::sim {
namespace {

constexpr size_t kRecvMax = 16 * 1024;  // per socket and turn
constexpr int kFirstDescriptor = 3;
constexpr int kPoison = 0xdd;
constexpr const char* kOperationNames[] = {"accept",   "connect", "recv",          "send", "poll",
                                           "shutdown", "cancel",  "cancel_accept", "close"};
constexpr int64_t kUnixEpochMs = 1'700'000'000'000;  // wall-clock time when the virtual clock reads 0

}  // namespace

// ---- Network

void Network::advance_to(Instant instant) {
  RC_ASSERT(instant >= now_);
  now_ = instant;
}

void Network::Pipe::pop(MutableBytes into) {
  std::memcpy(into.data(), bytes_.data() + read_, into.size());
  read_ += into.size();
  // Moved seldom: what is moved is at most what was read.
  if (read_ == bytes_.size()) {
    clear();
  } else if (read_ * 2 > bytes_.size()) {
    bytes_.erase(bytes_.begin(), bytes_.begin() + static_cast<ptrdiff_t>(read_));
    read_ = 0;
  }
}

void Network::Pipe::clear() {
  bytes_.clear();
  read_ = 0;
}

Network::Socket& Network::at(int fd) {
  RC_ASSERT(fd >= 0 && static_cast<size_t>(fd) < sockets_.size() && sockets_[static_cast<size_t>(fd)]);
  return *sockets_[static_cast<size_t>(fd)];
}

const Network::Socket& Network::at(int fd) const {
  return const_cast<Network*>(this)->at(fd);
}

int Network::lowest_free_descriptor() const {
  const auto free = std::find(sockets_.begin() + std::min<ptrdiff_t>(kFirstDescriptor, std::ssize(sockets_)),
                              sockets_.end(), nullptr);
  return std::max(kFirstDescriptor, static_cast<int>(free - sockets_.begin()));
}

// The lowest free number, as a kernel gives: so numbers are used again at once.
int Network::place(std::unique_ptr<Socket> socket) {
  const int fd = lowest_free_descriptor();
  if (fd >= descriptor_limit_) return -EMFILE;
  if (static_cast<size_t>(fd) >= sockets_.size()) sockets_.resize(static_cast<size_t>(fd) + 1);
  sockets_[static_cast<size_t>(fd)] = std::move(socket);
  ++open_;
  return fd;
}

void Network::remove(int fd) {
  sockets_[static_cast<size_t>(fd)] = nullptr;
  --open_;
}

int Network::listen(uint16_t port) {
  const auto taken = [&](uint16_t candidate) {
    return std::any_of(sockets_.begin(), sockets_.end(),
                       [&](const auto& socket) { return socket && socket->port == candidate; });
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
  const auto listener = std::find_if(sockets_.begin(), sockets_.end(), [&](const auto& socket) {
    return port != 0 && socket && socket->port == port;
  });
  if (listener == sockets_.end()) return -ECONNREFUSED;
  Socket& near = at(fd);
  auto far = std::make_unique<Socket>();
  near.other = far.get();
  far->other = &near;
  (*listener)->backlog.push_back(std::move(far));
  (*listener)->tell();
  return 0;
}

int Network::connect(uint16_t port) {
  const int fd = make_socket();
  if (fd < 0) return fd;
  const int result = connect(fd, port);
  if (result < 0) remove(fd);
  return result < 0 ? result : fd;
}

int Network::accept(int listener) {
  Socket& socket = at(listener);
  // As the kernel does it: the number is drawn before the queue is looked at.
  if (lowest_free_descriptor() >= descriptor_limit_) return -EMFILE;
  if (socket.backlog.empty()) return -EAGAIN;
  std::unique_ptr<Socket> accepted = std::move(socket.backlog.front());
  socket.backlog.pop_front();
  accepted->send_buffer = accepted_send_buffer_;
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
    socket.tell();
    return static_cast<int64_t>(bytes.size());
  }
  Socket& other = *socket.other;
  const size_t room = socket.send_buffer - std::min(socket.send_buffer, other.inbox.size());
  const size_t taken = std::min(room, bytes.size());
  if (taken == 0 && !bytes.empty()) return -EAGAIN;
  other.inbox.push(bytes.first(taken));
  other.tell();
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
  socket.inbox.pop(into.first(count));
  if (socket.other != nullptr) socket.other->tell();
  return static_cast<int64_t>(count);
}

void Network::shutdown(int fd) {
  Socket& socket = at(fd);
  socket.sent_finish = true;
  if (socket.other == nullptr) return;
  socket.other->finished = true;
  socket.other->tell();
}

void Network::end(Socket& socket, bool reset) {
  for (const auto& waiting : socket.backlog) end(*waiting, true);
  if (socket.other == nullptr) return;
  Socket& other = *socket.other;
  other.other = nullptr;
  other.finished = true;
  other.tell();
  if (reset || !socket.inbox.empty()) {
    other.reset = true;
    other.inbox.clear();
  }
}

void Network::close(int fd, bool reset) {
  end(at(fd), reset);
  remove(fd);
}

void Network::break_connection(int fd, bool told) {
  Socket& socket = at(fd);
  if (socket.other == nullptr) return;
  end(socket, true);
  socket.other = nullptr;
  socket.finished = true;
  socket.inbox.clear();
  (told ? socket.was_reset : socket.reset) = true;
  socket.tell();
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
  at(fd).tell();
}

// ---- SimBackend

TurnTime SimBackend::turn(std::span<const Submission> submissions, Completions& completions,
                          Instant deadline) {
  completions_ = &completions;
  touched_.clear();
  ++turns_;
  // What the last turn lent goes once this one has submitted: a send may come out of it,
  // and a cancelled receive may still lend.
  std::vector<Piece> expired = std::exchange(lent_, {});
  for (const Submission& submission : submissions) submit(submission);
  for (const Submission& submission : submissions) poison(submission);
  for (const Piece& piece : expired) std::memset(piece.bytes.get(), kPoison, piece.size);
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
  for (const auto* list : {&completions.short_sends, &completions.others}) {
    for (const Completion& completion : *list) {
      touched_.push_back(completion.token);
      if (trace_ == nullptr) continue;
      trace_->note(network_.now(), shard_, kOperationNames[static_cast<size_t>(completion.operation)],
                   completion.token.value, completion.result, completion.bytes);
    }
  }
  for (const Submission& submission : submissions) touched_.push_back(submission.token);
  if (!touched_.empty()) ++turns_with_work_;
  completions_ = nullptr;
  const auto elapsed = std::chrono::duration_cast<milliseconds>(network_.now().time_since_epoch());
  return {.now = network_.now(), .unix_ms = kUnixEpochMs + elapsed.count()};
}

size_t SimBackend::operations_in_flight() const noexcept {
  size_t count = closing_.size();
  for (const Armed& armed : armed_) {
    count += static_cast<size_t>(std::count(std::begin(armed.armed), std::end(armed.armed), true));
  }
  return count;
}

bool SimBackend::ready() {
  if (woken_.load() || !closing_.empty()) return true;
  if (!news_) return false;
  for (size_t i = 0; i < armed_.size(); ++i) {
    const Armed& armed = armed_[i];
    const int fd = static_cast<int>(i);
    if ((armed.armed[kRecv] && network_.readable(fd)) || (armed.armed[kAccept] && network_.acceptable(fd)) ||
        (armed.armed[kPoll] && network_.writable(fd))) {
      return true;
    }
  }
  news_ = false;
  return false;
}

// The bytes of a send may be a log's, which others still read; what carried them was the
// backend's for this call alone, and whoever looks at it later must not like what it sees.
void SimBackend::poison(const Submission& submission) {
  if (submission.operation != Operation::send || submission.iovec_count == 0) return;
  auto* parts = static_cast<iovec*>(const_cast<void*>(submission.data));
  for (uint32_t i = 0; i < submission.iovec_count; ++i) parts[i] = {nullptr, SIZE_MAX};
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
      if (trace_ != nullptr) trace_->note(network_.now(), shard_, "fin", submission.token.value, fd);
      return network_.shutdown(fd);
    case Operation::cancel:
      cancel(fd, kRecv);
      return cancel(fd, kPoll);
    case Operation::cancel_accept:
      return cancel(fd, kAccept);
    case Operation::close:
      for (uint8_t kind = 0; kind < kKinds; ++kind) cancel(fd, kind);
      if (!names_connection(submission.token)) ++plain_closes_;
      closing_.push_back({fd, submission.token, submission.reset});
      return;
  }
}

void SimBackend::send(const Submission& submission) {
  const auto fd = static_cast<size_t>(submission.fd);
  if (fd >= sent_.size()) sent_.resize(fd + 1);
  RC_ASSERT(sent_[fd] != turns_);
  sent_[fd] = turns_;
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
  if (happens(Fault::send_enobufs)) return ends_with(-ENOBUFS);
  if (happens(Fault::connection_reset)) network_.break_connection(submission.fd, false);
  if (happens(Fault::broken_pipe)) network_.break_connection(submission.fd, true);
  size_t allowed = asked;
  if (happens(Fault::short_send)) allowed = faults_->prng.below(asked);
  size_t sent = 0;
  for (const iovec& part : parts) {
    const Bytes bytes(static_cast<const std::byte*>(part.iov_base), std::min(part.iov_len, allowed - sent));
    const int64_t taken = network_.send(submission.fd, bytes);
    if (taken < 0 && taken != -EAGAIN && sent == 0) return ends_with(static_cast<int32_t>(taken));
    if (taken > 0) {
      sent += static_cast<size_t>(taken);
      if (trace_ != nullptr) {
        trace_->note(network_.now(), shard_, "sent", submission.token.value, taken,
                     bytes.first(static_cast<size_t>(taken)));
      }
    }
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
  const auto fd = static_cast<size_t>(submission.fd);
  if (fd >= armed_.size()) armed_.resize(fd + 1);
  Armed& armed = armed_[fd];
  RC_ASSERT(!armed.armed[kind]);
  armed.armed[kind] = true;
  armed.token[kind] = submission.token;
  network_.watch(submission.fd, &news_);
  news_ = true;
}

void SimBackend::cancel(int fd, uint8_t kind) {
  constexpr Operation kOperations[] = {Operation::recv, Operation::accept, Operation::poll_writable};
  if (static_cast<size_t>(fd) >= armed_.size()) return;
  Armed& armed = armed_[static_cast<size_t>(fd)];
  if (!armed.armed[kind]) return;
  if (kind == kRecv && network_.readable(fd) && happens(Fault::cancel_race)) {
    deliver_recv(fd, armed);
    if (!armed.armed[kind]) return;
  }
  if (kind == kAccept && network_.acceptable(fd) && happens(Fault::cancel_race)) {
    deliver_accept(fd, armed);
    if (!armed.armed[kind]) return;
  }
  const bool completes = kind == kPoll && happens(Fault::cancel_race);
  armed.armed[kind] = false;
  complete(kOperations[kind], armed.token[kind], completes ? 0 : -ECANCELED);
}

void SimBackend::collect() {
  others_max_ = happens(Fault::queue_pressure) ? 1 + faults_->prng.below(4) : SIZE_MAX;
  finish_closes();
  deliver();
  if (faults_ == nullptr) return;
  auto& others = completions_->others;
  for (size_t i = 1; i < others.size(); ++i) {
    if (others[i].token == others[i - 1].token) continue;  // of one socket: in order
    if (happens(Fault::reorder)) std::swap(others[i], others[i - 1]);
  }
}

void SimBackend::deliver() {
  if (armed_.empty()) return;
  // Where a turn hands over only a part, nobody is always the last.
  const size_t first = others_max_ == SIZE_MAX ? 0 : faults_->prng.below(armed_.size());
  for (size_t i = 0; i < armed_.size() && !full(); ++i) {
    const size_t at = first + i < armed_.size() ? first + i : first + i - armed_.size();
    Armed& armed = armed_[at];
    const int fd = static_cast<int>(at);
    if (!armed.any() || happens(Fault::late)) continue;
    if (armed.armed[kAccept]) deliver_accept(fd, armed);
    if (armed.armed[kRecv]) deliver_recv(fd, armed);
    if (armed.armed[kPoll] && (network_.writable(fd) || happens(Fault::spurious_poll))) {
      armed.armed[kPoll] = false;
      complete(Operation::poll_writable, armed.token[kPoll], 0);
    }
  }
}

void SimBackend::deliver_recv(int fd, Armed& armed) {
  if (happens(Fault::connection_reset)) network_.break_connection(fd, false);
  if (!network_.readable(fd)) return;
  const auto ends_with = [&](int32_t result) {
    armed.armed[kRecv] = false;
    complete(Operation::recv, armed.token[kRecv], result);
  };
  if (happens(Fault::recv_enobufs)) return ends_with(-ENOBUFS);
  if (happens(Fault::recv_enomem)) return ends_with(-ENOMEM);
  size_t most = std::min(kRecvMax, network_.unread(fd));
  if (most > 1 && happens(Fault::split_recv)) {
    most = std::min<size_t>(most - 1, 1 + faults_->prng.below(faults_->prng.chance(0.5) ? 8 : 1000));
  }
  auto piece = std::make_unique_for_overwrite<std::byte[]>(most);
  const int64_t count = network_.recv(fd, {piece.get(), most});
  RC_ASSERT(count != -EAGAIN);
  if (count <= 0) return ends_with(static_cast<int32_t>(count));
  const bool ends = happens(Fault::recv_ends);
  if (ends) armed.armed[kRecv] = false;
  complete(Operation::recv, armed.token[kRecv], static_cast<int32_t>(count), !ends, {piece.get(), most});
  lent_.push_back({std::move(piece), most});
}

void SimBackend::deliver_accept(int fd, Armed& armed) {
  while (network_.acceptable(fd) && !full()) {
    int accepted = 0;
    if (happens(Fault::accept_emfile)) accepted = -EMFILE;
    if (happens(Fault::accept_enomem)) accepted = -ENOMEM;
    if (happens(Fault::accept_aborted)) accepted = -ECONNABORTED;
    if (accepted == 0) accepted = network_.accept(fd);
    armed.armed[kAccept] = accepted >= 0 && !happens(Fault::accept_ends);
    complete(Operation::accept, armed.token[kAccept], accepted, armed.armed[kAccept]);
    if (!armed.armed[kAccept]) return;
  }
}

void SimBackend::finish_closes() {
  std::erase_if(closing_, [&](const Closing& closing) {
    if (full() || happens(Fault::late)) return false;
    network_.close(closing.fd, closing.reset);
    complete(Operation::close, closing.token, 0);
    return true;
  });
}

void SimBackend::complete(Operation operation, Token token, int32_t result, bool more, MutableBytes bytes) {
  completions_->others.push_back(
      {.operation = operation, .more = more, .result = result, .token = token, .bytes = bytes});
}

}  // namespace ringcast::sim
