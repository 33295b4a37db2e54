// The tests' client. Sockets are used without blocking and waited for with poll, so
// that every wait has a deadline and reading goes on while writing.
#include "blackbox/client.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <charconv>
#include <cstring>

namespace ringcast::blackbox {

namespace {

using Clock = std::chrono::steady_clock;

// Waits for any of `events`; false when the deadline has come.
bool wait_for(int fd, short events, Clock::time_point deadline) {
  for (;;) {
    const auto left = std::chrono::duration_cast<std::chrono::milliseconds>(deadline - Clock::now()).count();
    if (left <= 0) return false;
    pollfd waited{.fd = fd, .events = events, .revents = 0};
    const int ready = poll(&waited, 1, static_cast<int>(left));
    if (ready > 0) return true;
    if (ready == 0 || errno != EINTR) return false;
  }
}

bool equal_ignoring_case(std::string_view a, std::string_view b) {
  return a.size() == b.size() && strncasecmp(a.data(), b.data(), a.size()) == 0;
}

unsigned octet(std::string_view bytes, size_t at) {
  return static_cast<uint8_t>(bytes[at]);
}

uint64_t big_endian(std::string_view bytes) {
  uint64_t number = 0;
  for (size_t at = 0; at < bytes.size(); ++at) number = number << 8 | octet(bytes, at);
  return number;
}

}  // namespace

// ── TCP ──────────────────────────────────────────────────────────────────────

TcpClient::TcpClient() = default;

TcpClient::~TcpClient() {
  close();
}

TcpClient::TcpClient(TcpClient&& other) noexcept
    : fd_(std::exchange(other.fd_, -1)),
      end_(other.end_),
      tls_(std::move(other.tls_)),
      unsent_(std::move(other.unsent_)),
      received_(std::move(other.received_)),
      consumed_(std::exchange(other.consumed_, 0)) {}

TcpClient& TcpClient::operator=(TcpClient&& other) noexcept {
  if (this != &other) {
    close();
    fd_ = std::exchange(other.fd_, -1);
    end_ = other.end_;
    tls_ = std::move(other.tls_);
    unsent_ = std::move(other.unsent_);
    received_ = std::move(other.received_);
    consumed_ = std::exchange(other.consumed_, 0);
  }
  return *this;
}

TcpClient TcpClient::connect(uint16_t port, int receive_buffer_bytes) {
  const int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  if (fd < 0) return {};
  TcpClient client(fd);
  if (receive_buffer_bytes > 0) {
    setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &receive_buffer_bytes, sizeof receive_buffer_bytes);
  }
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  address.sin_port = htons(port);
  if (::connect(fd, reinterpret_cast<sockaddr*>(&address), sizeof address) != 0) return {};
  // Chops and single frames go out as they are handed over.
  const int on = 1;
  setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
  return client;
}

TcpClient TcpClient::connect_tls(uint16_t port, const TlsClientOptions& options, int receive_buffer_bytes) {
  TcpClient client = connect(port, receive_buffer_bytes);
  if (!client.open()) return client;
  client.tls_ = std::make_unique<TlsClient>(options);
  client.tls_->start();
  client.shake_hands();
  return client;
}

// Until it is done, or never will be.
bool TcpClient::shake_hands() {
  const auto deadline = Clock::now() + kPatience;
  queue({});
  while (flush() && !tls_->done() && !tls_->failed() && read_some()) {
    if (tls_->done() || tls_->failed() || !unsent_.empty()) continue;
    if (!wait_for(fd_, POLLIN, deadline)) end_ = End::timed_out;
  }
  flush();
  return tls_->done();
}

void TcpClient::queue(std::string_view bytes) {
  if (!tls_) {
    unsent_.append(bytes);
    return;
  }
  if (!bytes.empty()) tls_->write(bytes);
  unsent_ += tls_->take_output();
}

bool TcpClient::flush() {
  const auto deadline = Clock::now() + kPatience;
  size_t sent_bytes = 0;
  while (sent_bytes < unsent_.size()) {
    const ssize_t sent = open() ? ::send(fd_, unsent_.data() + sent_bytes, unsent_.size() - sent_bytes,
                                         MSG_NOSIGNAL | MSG_DONTWAIT)
                                : -1;
    const int error = sent < 0 ? errno : 0;
    if (sent > 0) {
      sent_bytes += static_cast<size_t>(sent);
    } else if (open() && (error == EAGAIN || error == EWOULDBLOCK)) {
      // At the peer's FIN only writability is left to wait for.
      const short events = end_ == End::none ? POLLOUT | POLLIN : POLLOUT;
      if (!wait_for(fd_, events, deadline)) break;
    } else if (error != EINTR) {
      break;
    }
    read_some();
  }
  const bool all = sent_bytes == unsent_.size();
  if (!all) read_some();
  unsent_.clear();
  return all;
}

bool TcpClient::send(std::string_view bytes, size_t chop_bytes) {
  do {
    const size_t chop = chop_bytes == 0 ? bytes.size() : std::min(chop_bytes, bytes.size());
    queue(bytes.substr(0, chop));
    if (!flush()) return false;
    bytes.remove_prefix(chop);
  } while (!bytes.empty());
  read_some();
  return true;
}

bool TcpClient::send_on_the_wire(std::string_view bytes) {
  unsent_.append(bytes);
  return flush();
}

bool TcpClient::send_until_stalled(std::string_view bytes, std::chrono::milliseconds stalled) {
  queue(bytes);
  size_t sent_bytes = 0;
  while (sent_bytes < unsent_.size()) {
    const ssize_t sent =
        ::send(fd_, unsent_.data() + sent_bytes, unsent_.size() - sent_bytes, MSG_NOSIGNAL | MSG_DONTWAIT);
    if (sent > 0) {
      sent_bytes += static_cast<size_t>(sent);
    } else if (errno != EINTR && (errno != EAGAIN || !wait_for(fd_, POLLOUT, Clock::now() + stalled))) {
      break;
    }
  }
  unsent_.erase(0, sent_bytes);
  return unsent_.empty();
}

std::string_view TcpClient::received(size_t bytes_min) {
  const auto deadline = Clock::now() + kPatience;
  while (received_.size() - consumed_ < bytes_min && read_some()) {
    if (received_.size() - consumed_ >= bytes_min) break;
    if (!wait_for(fd_, POLLIN, deadline)) {
      end_ = End::timed_out;
      break;
    }
  }
  return std::string_view(received_).substr(consumed_);
}

void TcpClient::consume(size_t bytes) {
  consumed_ += bytes;
  if (consumed_ == received_.size()) {
    received_.clear();
    consumed_ = 0;
  }
}

bool TcpClient::read_some() {
  if (!open() || end_ != End::none) return false;
  if (consumed_ > received_.size() / 2) {
    received_.erase(0, consumed_);
    consumed_ = 0;
  }
  std::array<char, 65536> buffer;
  for (;;) {
    const ssize_t bytes = recv(fd_, buffer.data(), buffer.size(), MSG_DONTWAIT);
    if (bytes > 0 && tls_) {
      tls_->receive({buffer.data(), static_cast<size_t>(bytes)});
      received_ += tls_->take_received();
      queue({});  // what TLS itself has to say to it goes with the next flush
      continue;
    }
    if (bytes > 0) {
      received_.append(buffer.data(), static_cast<size_t>(bytes));
      continue;
    }
    if (bytes == 0) {
      end_ = !tls_ || tls_->closed() ? End::closed : End::truncated;
      return false;
    }
    if (errno == EINTR) continue;
    if (errno == EAGAIN || errno == EWOULDBLOCK) return true;
    end_ = End::reset;
    return false;
  }
}

void TcpClient::shutdown_write() {
  if (tls_) {
    tls_->close();
    queue({});
    flush();
  }
  shutdown(fd_, SHUT_WR);
}

void TcpClient::reset() {
  const linger no_farewell{.l_onoff = 1, .l_linger = 0};
  setsockopt(fd_, SOL_SOCKET, SO_LINGER, &no_farewell, sizeof no_farewell);
  close();
}

void TcpClient::close() {
  if (fd_ >= 0) ::close(fd_);
  fd_ = -1;
}

// ── HTTP ─────────────────────────────────────────────────────────────────────

std::string HttpAnswer::header(std::string_view name) const {
  for (const auto& [given, value] : headers) {
    if (equal_ignoring_case(given, name)) return value;
  }
  return {};
}

size_t HttpAnswer::count(std::string_view name) const {
  return static_cast<size_t>(std::ranges::count_if(
      headers, [&](const auto& header) { return equal_ignoring_case(header.first, name); }));
}

HttpAnswer read_http_answer(TcpClient& client) {
  size_t head_bytes = std::string::npos;
  for (size_t wanted = 1; head_bytes == std::string::npos;) {
    const std::string_view bytes = client.received(wanted);
    head_bytes = bytes.find("\r\n\r\n");
    if (head_bytes == std::string::npos && bytes.size() < wanted) return {};
    wanted = bytes.size() + 1;
  }
  const std::string head(client.received(0).substr(0, head_bytes + 2));
  client.consume(head_bytes + 4);

  HttpAnswer answer;
  size_t line_start = head.find("\r\n") + 2;
  answer.status_line = head.substr(0, line_start - 2);
  if (!answer.status_line.starts_with("HTTP/1.1 ") || answer.status_line.size() < 12) return {};
  std::from_chars(answer.status_line.data() + 9, answer.status_line.data() + 12, answer.status);
  while (line_start < head.size()) {
    const size_t line_end = head.find("\r\n", line_start);
    const std::string line = head.substr(line_start, line_end - line_start);
    const size_t colon = line.find(':');
    if (colon == std::string::npos) return {};
    const size_t value_start = line.find_first_not_of(" \t", colon + 1);
    answer.headers.emplace_back(line.substr(0, colon),
                                value_start == std::string::npos ? "" : line.substr(value_start));
    line_start = line_end + 2;
  }
  if (answer.status == 101) return answer;

  size_t body_bytes = std::string::npos;
  const std::string length = answer.header("Content-Length");
  if (!length.empty()) std::from_chars(length.data(), length.data() + length.size(), body_bytes);
  if (answer.status == 204 || answer.status == 304) body_bytes = 0;
  const std::string_view body = client.received(body_bytes).substr(0, body_bytes);
  answer.body = std::string(body);
  client.consume(answer.body.size());
  return answer;
}

HttpAnswer http_get(TcpClient client, std::string_view path) {
  if (!client.open()) return {};
  std::string request = "GET ";
  request.append(path).append(" HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n");
  client.send(request);
  return read_http_answer(client);
}

HttpAnswer http_get(uint16_t port, std::string_view path) {
  return http_get(TcpClient::connect(port), path);
}

// ── WebSocket ────────────────────────────────────────────────────────────────

unsigned ServerFrame::close_code() const {
  return payload.size() < 2 ? 0 : static_cast<unsigned>(big_endian(std::string_view(payload).substr(0, 2)));
}

std::string ServerFrame::close_reason() const {
  return payload.size() < 2 ? "" : payload.substr(2);
}

std::string WebSocketClient::request(std::string_view path, std::string_view more_headers) {
  std::string text = "GET ";
  text.append(path).append(" HTTP/1.1\r\nHost: 127.0.0.1\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n");
  text.append("Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: ").append(kKey).append("\r\n");
  return text.append(more_headers).append("\r\n");
}

WebSocketClient WebSocketClient::connect(uint16_t port, std::string_view path,
                                         std::string_view more_headers) {
  return ask(TcpClient::connect(port), path, more_headers);
}

WebSocketClient WebSocketClient::ask(TcpClient tcp, std::string_view path, std::string_view more_headers) {
  tcp.send(request(path, more_headers));
  return on(std::move(tcp));
}

WebSocketClient WebSocketClient::on(TcpClient tcp) {
  WebSocketClient client;
  client.tcp_ = std::move(tcp);
  client.answer_ = read_http_answer(client.tcp_);
  return client;
}

std::optional<ServerFrame> WebSocketClient::next() {
  std::string_view bytes = tcp_.received(2);
  if (bytes.size() < 2) return std::nullopt;
  ServerFrame frame;
  frame.fin = (octet(bytes, 0) & 0x80) != 0;
  frame.rsv = octet(bytes, 0) >> 4 & 7;
  frame.opcode = octet(bytes, 0) & 0xf;
  frame.masked = (octet(bytes, 1) & 0x80) != 0;

  const unsigned length = octet(bytes, 1) & 0x7f;
  const size_t extended_bytes = length == 126 ? 2 : length == 127 ? 8 : 0;
  // A server does not mask. One that did would be told so by its test, not misread.
  const size_t header_bytes = 2 + extended_bytes + (frame.masked ? 4 : 0);
  bytes = tcp_.received(header_bytes);
  if (bytes.size() < header_bytes) return std::nullopt;
  const uint64_t payload_bytes = extended_bytes == 0 ? length : big_endian(bytes.substr(2, extended_bytes));
  if (extended_bytes == 2) frame.minimal = payload_bytes > 125;
  if (extended_bytes == 8) frame.minimal = payload_bytes > 0xffff;

  bytes = tcp_.received(header_bytes + payload_bytes);
  if (bytes.size() < header_bytes + payload_bytes) return std::nullopt;
  frame.payload = std::string(bytes.substr(header_bytes, payload_bytes));
  tcp_.consume(header_bytes + payload_bytes);
  return frame;
}

}  // namespace ringcast::blackbox
