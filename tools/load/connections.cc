#include "connections.h"

#include <arpa/inet.h>
#include <netinet/tcp.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <charconv>
#include <cstring>

#include "process.h"
#include "settings.h"

namespace load {
namespace {

// Of an address's 28,232 ephemeral ports (net.ipv4.ip_local_port_range as Linux sets it)
// some are taken, or wait in TIME_WAIT.
constexpr uint32_t kConnectionsPerAddress = 20'000;
constexpr size_t kReadBytes = 256 * 1024;
// The answer to this key is known, and is checked (RFC 6455, 1.3).
constexpr std::string_view kKey = "dGhlIHNhbXBsZSBub25jZQ==";
constexpr std::string_view kAccept = "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=";

[[noreturn]] void die(const char* what) {
  fail(std::string(what) + ": " + std::strerror(errno));
}

}  // namespace

bool parse_target(std::string_view url, Target& target) {
  target.tls = url.starts_with("wss://");
  if (!target.tls && !url.starts_with("ws://")) return false;
  url.remove_prefix(target.tls ? 6 : 5);
  const size_t slash = std::min(url.find('/'), url.size());
  const std::string_view authority = url.substr(0, slash);
  target.path = slash == url.size() ? "/" : std::string(url.substr(slash));
  const size_t colon = authority.find(':');
  if (colon == authority.npos) return false;
  target.host = authority.substr(0, colon);
  const std::string_view port = authority.substr(colon + 1);
  const auto parsed = std::from_chars(port.data(), port.data() + port.size(), target.port);
  in_addr address;
  return parsed.ec == std::errc() && parsed.ptr == port.data() + port.size() &&
         inet_pton(AF_INET, target.host.c_str(), &address) == 1;
}

void Connection::flush() {
  if (state_ != State::open && state_ != State::upgrading) return;
  const uint32_t generation = generation_;
  while (out_sent_ < out_.size()) {
    const long sent = owner_->write(*this, out_.data() + out_sent_, out_.size() - out_sent_);
    if (generation != generation_) return;  // lost meanwhile
    if (sent == 0) break;
    out_sent_ += static_cast<size_t>(sent);
  }
  if (out_sent_ == out_.size()) {
    out_.clear();
    out_sent_ = 0;
  }
  const bool wants = !out_.empty();
  if (wants != wants_write_) {
    wants_write_ = wants;
    owner_->watch(*this);
  }
}

Connections::Connections(Listener& listener, bool spin)
    : listener_(listener), spin_(spin), epoll_(epoll_create1(EPOLL_CLOEXEC)), buffer_(kReadBytes) {
  if (epoll_ < 0) die("epoll_create1");
}

Connections::~Connections() {
  for (const auto& connection : connections_) close(*connection);
  if (tls_ != nullptr) SSL_CTX_free(tls_);
  ::close(epoll_);
}

Connection& Connections::add() {
  auto connection = std::make_unique<Connection>();
  connection->owner_ = this;
  connection->index_ = static_cast<uint32_t>(connections_.size());
  connection->source_ = connection->index_ / kConnectionsPerAddress;
  connections_.push_back(std::move(connection));
  return *connections_.back();
}

void Connections::connect(Connection& connection, const Target& target, std::string_view subprotocol) {
  close(connection);
  connection.since = now_ns();
  connection.confirmed = 0;
  connection.deaf_ = false;
  connection.fd_ = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
  if (connection.fd_ < 0) die("socket (ulimit -n is too low?)");
  const int on = 1;
  setsockopt(connection.fd_, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
  // Little room at the end of who will never read: it is stuck soon, not after megabytes.
  const int little = 4096;
  if (connection.role == Connection::Role::stuck)
    setsockopt(connection.fd_, SOL_SOCKET, SO_RCVBUF, &little, sizeof little);
  sockaddr_in address{};
  address.sin_family = AF_INET;
  if (target.host.starts_with("127.")) {
    address.sin_addr.s_addr = htonl(0x7f000001 + connection.source_);
    setsockopt(connection.fd_, IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, &on, sizeof on);
    if (bind(connection.fd_, reinterpret_cast<sockaddr*>(&address), sizeof address) != 0) die("bind");
  }
  inet_pton(AF_INET, target.host.c_str(), &address.sin_addr);
  address.sin_port = htons(target.port);
  if (::connect(connection.fd_, reinterpret_cast<sockaddr*>(&address), sizeof address) != 0 &&
      errno != EINPROGRESS) {
    die("connect");
  }
  // With an Origin of the server's own, which strict ones (Rails) ask for.
  std::string& head = connection.out_;
  head = "GET " + target.path + " HTTP/1.1\r\nHost: " + target.host + ":" + std::to_string(target.port) +
         "\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: ";
  head.append(kKey).append("\r\nOrigin: http").append(target.tls ? "s" : "").append("://");
  head.append(target.host).append(":").append(std::to_string(target.port)).append("\r\n");
  if (!subprotocol.empty()) head.append("Sec-WebSocket-Protocol: ").append(subprotocol).append("\r\n");
  head.append("\r\n");
  if (target.tls) start_tls(connection);
  connection.state_ = Connection::State::connecting;
  connection.wants_write_ = true;
  epoll_event event{.events = EPOLLIN | EPOLLOUT, .data = {.ptr = &connection}};
  if (epoll_ctl(epoll_, EPOLL_CTL_ADD, connection.fd_, &event) != 0) die("epoll_ctl");
}

void Connections::start_tls(Connection& connection) {
  if (tls_ == nullptr) {
    tls_ = SSL_CTX_new(TLS_client_method());
    if (tls_ == nullptr) fail("OpenSSL gave no context");
    SSL_CTX_set_verify(tls_, SSL_VERIFY_NONE, nullptr);  // a test's certificate is nobody's
    SSL_CTX_set_mode(
        tls_, SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER | SSL_MODE_RELEASE_BUFFERS);
  }
  connection.ssl_ = SSL_new(tls_);
  SSL_set_fd(connection.ssl_, connection.fd_);
  SSL_set_connect_state(connection.ssl_);
}

void Connections::close(Connection& connection) {
  if (connection.fd_ < 0) return;
  const linger now{.l_onoff = 1, .l_linger = 0};
  setsockopt(connection.fd_, SOL_SOCKET, SO_LINGER, &now, sizeof now);
  if (connection.ssl_ != nullptr) SSL_free(connection.ssl_);
  connection.ssl_ = nullptr;
  ::close(connection.fd_);
  connection.fd_ = -1;
  ++connection.generation_;
  if (connection.state_ == Connection::State::open) --open_;
  connection.state_ = Connection::State::closed;
  connection.out_ = {};
  connection.held_ = {};
  connection.out_sent_ = 0;
}

void Connections::lose(Connection& connection, std::string_view why) {
  if (connection.fd_ < 0) return;
  close(connection);
  listener_.lost(connection, why);
}

void Connections::watch(Connection& connection) {
  const uint32_t reads = connection.deaf_ ? 0u : static_cast<uint32_t>(EPOLLIN);
  epoll_event event{.events = reads | (connection.wants_write_ ? static_cast<uint32_t>(EPOLLOUT) : 0u),
                    .data = {.ptr = &connection}};
  epoll_ctl(epoll_, EPOLL_CTL_MOD, connection.fd_, &event);
}

void Connections::stop_reading(Connection& connection) {
  connection.deaf_ = true;
  if (connection.fd_ >= 0) watch(connection);
}

void Connections::poll(uint64_t deadline_ns) {
  epoll_event events[256];
  const uint64_t now = now_ns();
  const uint64_t wait = deadline_ns <= now || spin_ ? 0 : deadline_ns - now;
  const timespec timeout{.tv_sec = static_cast<time_t>(wait / 1'000'000'000),
                         .tv_nsec = static_cast<long>(wait % 1'000'000'000)};
  // First without waiting: under load that is the only call, and then no time was idle.
  int count = epoll_wait(epoll_, events, 256, 0);
  if (count == 0) {
    if (wait > 0) count = epoll_pwait2(epoll_, events, 256, &timeout, nullptr);
    idle_ns_ += now_ns() - now;
  }
  for (int i = 0; i < count; ++i) ready(*static_cast<Connection*>(events[i].data.ptr), events[i].events);
}

void Connections::ready(Connection& connection, uint32_t events) {
  if (connection.fd_ < 0) return;  // closed by an earlier event of this round
  if (connection.state_ == Connection::State::connecting && (events & (EPOLLOUT | EPOLLERR | EPOLLHUP))) {
    int error = 0;
    socklen_t size = sizeof error;
    getsockopt(connection.fd_, SOL_SOCKET, SO_ERROR, &error, &size);
    if (error != 0) return lose(connection, std::strerror(error));
    connection.state_ =
        connection.ssl_ != nullptr ? Connection::State::tls_handshake : Connection::State::upgrading;
  }
  if (connection.state_ == Connection::State::tls_handshake) return shake_hands(connection);
  const uint32_t generation = connection.generation_;
  if (events & EPOLLOUT) connection.flush();
  if (generation != connection.generation_) return;
  if (events & (EPOLLIN | EPOLLHUP | EPOLLERR)) {
    // Its bytes stay unread, so this can only be its end.
    if (connection.deaf_) return lose(connection, "cut");
    readable(connection);
  }
}

void Connections::shake_hands(Connection& connection) {
  ERR_clear_error();
  const int done = SSL_do_handshake(connection.ssl_);
  if (done == 1) {
    connection.state_ = Connection::State::upgrading;
    return connection.flush();
  }
  const int error = SSL_get_error(connection.ssl_, done);
  if (error != SSL_ERROR_WANT_READ && error != SSL_ERROR_WANT_WRITE)
    return lose(connection, "the TLS handshake failed");
  connection.wants_write_ = error == SSL_ERROR_WANT_WRITE;
  watch(connection);
}

// What was read; 0 nothing now; -1 the connection was lost, and the listener told.
long Connections::read(Connection& connection, char* to, size_t size) {
  if (connection.ssl_ != nullptr) {
    ERR_clear_error();
    const int got = SSL_read(connection.ssl_, to, static_cast<int>(size));
    if (got > 0) return got;
    const int error = SSL_get_error(connection.ssl_, got);
    if (error == SSL_ERROR_WANT_READ || error == SSL_ERROR_WANT_WRITE) return 0;
    return lose(connection, "closed"), -1;
  }
  const ssize_t got = recv(connection.fd_, to, size, 0);
  if (got > 0) return got;
  if (got < 0 && (errno == EAGAIN || errno == EINTR)) return 0;
  return lose(connection, got == 0 ? "closed" : std::strerror(errno)), -1;
}

// What was taken; 0 nothing now, or the connection was lost.
long Connections::write(Connection& connection, const char* from, size_t size) {
  if (connection.ssl_ != nullptr) {
    ERR_clear_error();
    const int sent = SSL_write(connection.ssl_, from, static_cast<int>(std::min<size_t>(size, 1 << 30)));
    if (sent > 0) return sent;
    const int error = SSL_get_error(connection.ssl_, sent);
    if (error != SSL_ERROR_WANT_READ && error != SSL_ERROR_WANT_WRITE) lose(connection, "closed");
    return 0;
  }
  const ssize_t sent = send(connection.fd_, from, size, MSG_NOSIGNAL);
  if (sent >= 0) return sent;
  if (errno != EAGAIN && errno != EINTR) lose(connection, std::strerror(errno));
  return 0;
}

void Connections::readable(Connection& connection) {
  for (;;) {
    // What was held comes in front of what is read, so that frames are always whole in one place.
    const size_t held = connection.held_.size();
    if (buffer_.size() < held + kReadBytes) buffer_.resize(held + kReadBytes);
    const long got = read(connection, buffer_.data() + held, kReadBytes);
    if (got <= 0) return;
    if (held > 0) std::memcpy(buffer_.data(), connection.held_.data(), held);
    std::string_view bytes(buffer_.data(), held + static_cast<size_t>(got));

    const uint32_t generation = connection.generation_;
    if (connection.state_ == Connection::State::open || upgraded(connection, bytes)) {
      if (generation != connection.generation_) return;
      const size_t dealt_with = listener_.received(connection, bytes, now_ns());
      if (generation != connection.generation_) return;
      bytes.remove_prefix(dealt_with);
    }
    if (generation != connection.generation_) return;
    if (!bytes.empty() || held > 0) connection.held_.assign(bytes);
    // TLS may hold decrypted bytes that epoll knows nothing of.
    if (connection.ssl_ == nullptr || SSL_pending(connection.ssl_) == 0) return;
  }
}

// Takes the answer's head off the front; true once that is done.
bool Connections::upgraded(Connection& connection, std::string_view& bytes) {
  const size_t end = bytes.find("\r\n\r\n");
  if (end == bytes.npos) return false;
  const std::string_view head = bytes.substr(0, end);
  if (!head.starts_with("HTTP/1.1 101")) {
    lose(connection, "refused: " + std::string(head.substr(0, head.find('\r'))));
    return false;
  }
  if (head.find(kAccept) == head.npos) {
    lose(connection, "answered with a wrong Sec-WebSocket-Accept");
    return false;
  }
  bytes.remove_prefix(end + 4);
  connection.state_ = Connection::State::open;
  connection.held_.clear();
  ++open_;
  listener_.opened(connection);
  return true;
}

}  // namespace load
