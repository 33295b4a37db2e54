#include "peers.h"

#include <arpa/inet.h>
#include <netinet/tcp.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cerrno>
#include <charconv>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <ctime>

namespace {

// A constant masking key is legal and keeps the generator off the profile.
constexpr unsigned char kMask[4] = {0x12, 0x34, 0x56, 0x78};
constexpr size_t kReadBytes = 256 * 1024;
constexpr size_t kPeersPerAddress = 20'000;

[[noreturn]] void die(const char* what) {
  std::fprintf(stderr, "ringcast-load: %s: %s\n", what, std::strerror(errno));
  std::exit(1);
}

uint64_t big_endian(const unsigned char* bytes, size_t count) {
  uint64_t value = 0;
  for (size_t i = 0; i < count; ++i) value = value << 8 | bytes[i];
  return value;
}

}  // namespace

uint64_t now_ns() {
  timespec time{};
  clock_gettime(CLOCK_MONOTONIC, &time);
  return static_cast<uint64_t>(time.tv_sec) * 1'000'000'000 + static_cast<uint64_t>(time.tv_nsec);
}

bool Target::parse(std::string_view url, Target& target) {
  if (!url.starts_with("ws://")) return false;
  url.remove_prefix(5);
  const size_t slash = url.find('/');
  target.path = slash == std::string_view::npos ? "/" : std::string(url.substr(slash));
  const std::string_view authority = url.substr(0, slash);
  const size_t colon = authority.rfind(':');
  if (colon == std::string_view::npos) return false;
  target.host = std::string(authority.substr(0, colon));
  const std::string_view port = authority.substr(colon + 1);
  const auto parsed = std::from_chars(port.data(), port.data() + port.size(), target.port);
  in_addr address{};
  return parsed.ec == std::errc() && parsed.ptr == port.data() + port.size() &&
         inet_pton(AF_INET, target.host.c_str(), &address) == 1;
}

void Peer::send(bool binary, std::string_view payload) {
  const size_t size = payload.size();
  out_.push_back(static_cast<char>(binary ? 0x82 : 0x81));
  if (size < 126) {
    out_.push_back(static_cast<char>(0x80 | size));
  } else if (size <= 0xffff) {
    out_.push_back(static_cast<char>(0x80 | 126));
    for (int shift = 8; shift >= 0; shift -= 8) out_.push_back(static_cast<char>(size >> shift));
  } else {
    out_.push_back(static_cast<char>(0x80 | 127));
    for (int shift = 56; shift >= 0; shift -= 8) out_.push_back(static_cast<char>(size >> shift));
  }
  out_.append(reinterpret_cast<const char*>(kMask), sizeof kMask);
  const size_t begin = out_.size();
  out_.append(payload);
  for (size_t i = 0; i < size; ++i) out_[begin + i] = static_cast<char>(out_[begin + i] ^ kMask[i & 3]);
}

void Peer::flush() {
  while (out_sent_ < out_.size()) {
    const ssize_t sent = ::send(fd_, out_.data() + out_sent_, out_.size() - out_sent_, MSG_NOSIGNAL);
    if (sent < 0) {
      if (errno == EAGAIN || errno == ENOTCONN) break;
      return peers_->lose(*this);
    }
    out_sent_ += static_cast<size_t>(sent);
  }
  if (out_sent_ == out_.size()) {
    out_.clear();
    out_sent_ = 0;
  }
  if (wants_write_ == out_.empty()) peers_->watch(*this, !out_.empty());
}

Peers::Peers(Target target, std::string subprotocol)
    : target_(std::move(target)),
      subprotocol_(std::move(subprotocol)),
      epoll_(epoll_create1(EPOLL_CLOEXEC)),
      buffer_(kReadBytes) {
  if (epoll_ < 0) die("epoll_create1");
}

Peers::~Peers() {
  for (const auto& peer : peers_) {
    if (peer->fd_ >= 0) ::close(peer->fd_);
  }
  ::close(epoll_);
}

Peer& Peers::connect() {
  auto made = std::make_unique<Peer>();
  Peer& peer = *made;
  peer.peers_ = this;
  peer.index_ = static_cast<uint32_t>(peers_.size());
  peers_.push_back(std::move(made));

  peer.fd_ = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
  if (peer.fd_ < 0) die("socket");
  const int on = 1;
  setsockopt(peer.fd_, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
  sockaddr_in address{};
  address.sin_family = AF_INET;
  if (target_.host.starts_with("127.")) {
    address.sin_addr.s_addr = htonl(0x7f000001 + static_cast<uint32_t>(peer.index_ / kPeersPerAddress));
    setsockopt(peer.fd_, IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, &on, sizeof on);
    if (bind(peer.fd_, reinterpret_cast<sockaddr*>(&address), sizeof address) != 0) die("bind");
  }
  inet_pton(AF_INET, target_.host.c_str(), &address.sin_addr);
  address.sin_port = htons(target_.port);
  if (::connect(peer.fd_, reinterpret_cast<sockaddr*>(&address), sizeof address) != 0 &&
      errno != EINPROGRESS) {
    die("connect");
  }
  peer.out_ = "GET " + target_.path + " HTTP/1.1\r\nHost: " + target_.host + ":" +
              std::to_string(target_.port) +
              "\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"
              "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n";
  if (!subprotocol_.empty()) peer.out_ += "Sec-WebSocket-Protocol: " + subprotocol_ + "\r\n";
  peer.out_ += "\r\n";
  peer.wants_write_ = true;
  epoll_event event{.events = EPOLLIN | EPOLLOUT, .data = {.ptr = &peer}};
  if (epoll_ctl(epoll_, EPOLL_CTL_ADD, peer.fd_, &event) != 0) die("epoll_ctl");
  return peer;
}

void Peers::watch(Peer& peer, bool writes) {
  peer.wants_write_ = writes;
  epoll_event event{.events = EPOLLIN | (writes ? EPOLLOUT : 0u), .data = {.ptr = &peer}};
  epoll_ctl(epoll_, EPOLL_CTL_MOD, peer.fd_, &event);
}

void Peers::close(Peer& peer) {
  if (peer.fd_ < 0) return;
  ::close(peer.fd_);
  peer.fd_ = -1;
  if (peer.state_ == Peer::State::open) --open_;
  peer.state_ = Peer::State::closed;
}

void Peers::lose(Peer& peer) {
  if (peer.fd_ < 0) return;
  ++lost_;
  close(peer);
  if (on_closed) on_closed(peer);
}

void Peers::poll(uint64_t deadline_ns) {
  epoll_event events[512];
  const uint64_t now = now_ns();
  const int timeout_ms = deadline_ns <= now ? 0 : static_cast<int>((deadline_ns - now) / 1'000'000);
  const int count = epoll_wait(epoll_, events, 512, timeout_ms);
  for (int i = 0; i < count; ++i) {
    Peer& peer = *static_cast<Peer*>(events[i].data.ptr);
    if (peer.fd_ < 0) continue;
    if (events[i].events & EPOLLOUT) {
      if (peer.state_ == Peer::State::connecting) peer.state_ = Peer::State::handshaking;
      peer.flush();
    }
    if (peer.fd_ >= 0 && events[i].events & (EPOLLIN | EPOLLHUP | EPOLLERR)) readable(peer);
  }
}

void Peers::readable(Peer& peer) {
  const ssize_t got = recv(peer.fd_, buffer_.data(), buffer_.size(), 0);
  if (got < 0 && errno == EAGAIN) return;
  if (got <= 0) return lose(peer);
  peer.in_.append(buffer_.data(), static_cast<size_t>(got));
  if (peer.state_ != Peer::State::open) handshake(peer);
  if (peer.state_ == Peer::State::open) frames(peer);
}

void Peers::handshake(Peer& peer) {
  const size_t end = peer.in_.find("\r\n\r\n");
  if (end == std::string::npos) return;
  if (!peer.in_.starts_with("HTTP/1.1 101")) {
    std::fprintf(stderr, "ringcast-load: refused: %s\n", peer.in_.substr(0, peer.in_.find('\r')).c_str());
    return lose(peer);
  }
  peer.in_.erase(0, end + 4);
  peer.state_ = Peer::State::open;
  ++open_;
  if (on_open) on_open(peer);
}

void Peers::frames(Peer& peer) {
  size_t at = 0;
  const auto* bytes = reinterpret_cast<const unsigned char*>(peer.in_.data());
  while (peer.in_.size() - at >= 2) {
    const unsigned opcode = bytes[at] & 0x0f;
    size_t header = 2;
    uint64_t size = bytes[at + 1] & 0x7f;
    if (size == 126) header = 4;
    if (size == 127) header = 10;
    if (peer.in_.size() - at < header) break;
    if (header > 2) size = big_endian(bytes + at + 2, header - 2);
    if (peer.in_.size() - at - header < size) break;
    const std::string_view payload(peer.in_.data() + at + header, size);
    at += header + size;
    if (opcode == 8) return lose(peer);
    if (opcode == 1 || opcode == 2) {
      ++peer.received;
      if (on_message) on_message(peer, payload);
      if (peer.fd_ < 0) return;
    }
  }
  peer.in_.erase(0, at);
}
