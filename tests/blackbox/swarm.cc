// The swarm's event loop. Level-triggered: one read for each readable member and turn,
// so that none of them is starved by the others.
#include "blackbox/swarm.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <utility>

#include "support/client_frames.h"

namespace ringcast::blackbox {

namespace {

using Clock = std::chrono::steady_clock;

constexpr size_t kScratchBytes = 256 * 1024;
// A thousand receive buffers that grow as they like exhaust what one machine's TCP may
// hold (tcp_mem). The kernel then drops what it has received, and prompt readers wait
// seconds for retransmissions: a thousand machines would not.
constexpr int kSwarmBufferBytes = 128 * 1024;
// `done` is asked at least so often: it may look at what no socket tells.
constexpr int kLookAgainMs = 20;

unsigned octet(std::string_view bytes, size_t at) {
  return static_cast<uint8_t>(bytes[at]);
}

void raise_descriptor_limit() {
  rlimit limit;
  if (getrlimit(RLIMIT_NOFILE, &limit) != 0) return;
  limit.rlim_cur = limit.rlim_max;
  setrlimit(RLIMIT_NOFILE, &limit);
}

}  // namespace

Swarm::Swarm() : epoll_(epoll_create1(EPOLL_CLOEXEC)), scratch_(kScratchBytes) {
  raise_descriptor_limit();
}

Swarm::~Swarm() {
  for (Member& member : members_) {
    if (member.fd >= 0) ::close(member.fd);
  }
  ::close(epoll_);
}

size_t Swarm::add(uint16_t port, std::string_view path, std::string_view more_headers,
                  std::string_view pipelined) {
  return add_request(port, WebSocketClient::request(path, more_headers).append(pipelined));
}

size_t Swarm::add_request(uint16_t port, std::string_view request) {
  const size_t index = members_.size();
  Member& member = members_.emplace_back();
  member.fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  setsockopt(member.fd, SOL_SOCKET, SO_RCVBUF, &kSwarmBufferBytes, sizeof kSwarmBufferBytes);
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  address.sin_port = htons(port);
  if (member.fd < 0 || connect(member.fd, reinterpret_cast<sockaddr*>(&address), sizeof address) != 0) {
    finish(index, End::reset);
    return index;
  }
  const int on = 1;
  setsockopt(member.fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
  epoll_event event{};
  event.events = member.watched = EPOLLIN;
  event.data.u64 = index;
  epoll_ctl(epoll_, EPOLL_CTL_ADD, member.fd, &event);
  send(index, request);
  return index;
}

bool Swarm::run_until(const std::function<bool()>& done, std::chrono::seconds within) {
  const auto deadline = Clock::now() + within;
  std::array<epoll_event, 256> events;
  while (!done()) {
    if (Clock::now() >= deadline) return false;
    const int count = epoll_wait(epoll_, events.data(), static_cast<int>(events.size()), kLookAgainMs);
    for (int i = 0; i < count; ++i) {
      const epoll_event& event = events[static_cast<size_t>(i)];
      const auto member = static_cast<size_t>(event.data.u64);
      if ((event.events & EPOLLOUT) != 0) write(member);
      // A member that does not read is not to notice its reset either.
      if ((event.events & ~uint32_t{EPOLLOUT}) != 0 && members_[member].reads) read(member);
    }
  }
  return true;
}

bool Swarm::run_until_open() {
  return run_until([this] { return open_count_ + over_count_ == members_.size(); });
}

void Swarm::send(size_t index, std::string_view wire) {
  Member& member = members_[index];
  if (member.fd < 0) return;
  member.outbox.append(wire);
  write(index);
}

void Swarm::write(size_t index) {
  Member& member = members_[index];
  size_t& sent_bytes = member.sent_bytes;
  while (member.fd >= 0 && sent_bytes < member.outbox.size()) {
    const ssize_t sent = ::send(member.fd, member.outbox.data() + sent_bytes,
                                member.outbox.size() - sent_bytes, MSG_NOSIGNAL | MSG_DONTWAIT);
    if (sent < 0 && errno == EINTR) continue;
    if (sent < 0 && errno == EAGAIN) break;
    // An error is the peer's being gone. What it had said may still be read.
    sent_bytes = sent < 0 ? member.outbox.size() : sent_bytes + static_cast<size_t>(sent);
  }
  if (sent_bytes > member.outbox.size() / 2) {
    member.outbox.erase(0, sent_bytes);
    sent_bytes = 0;
  }
  watch(index);
}

void Swarm::watch(size_t index) {
  Member& member = members_[index];
  if (member.fd < 0) return;
  const uint32_t wanted = (member.reads ? EPOLLIN : 0u) | (member.outbox.empty() ? 0u : EPOLLOUT);
  if (wanted == member.watched) return;
  // Errors are reported unasked: who wants nothing is taken out altogether.
  const int operation = wanted == 0 ? EPOLL_CTL_DEL : member.watched == 0 ? EPOLL_CTL_ADD : EPOLL_CTL_MOD;
  member.watched = wanted;
  epoll_event event{};
  event.events = wanted;
  event.data.u64 = index;
  epoll_ctl(epoll_, operation, member.fd, &event);
}

void Swarm::stop_reading(size_t index) {
  members_[index].reads = false;
  watch(index);
}

void Swarm::read_again(size_t index) {
  members_[index].reads = true;
  watch(index);
}

void Swarm::expect(size_t index, const std::string* bytes) {
  Member& member = members_[index];
  member.expected = bytes;
  member.matched_bytes = 0;
}

void Swarm::read(size_t index) {
  Member& member = members_[index];
  if (member.fd < 0) return;
  const ssize_t count = recv(member.fd, scratch_.data(), scratch_.size(), MSG_DONTWAIT);
  if (count < 0 && (errno == EAGAIN || errno == EINTR)) return;
  if (count <= 0) return finish(index, count == 0 ? End::closed : End::reset);

  std::string_view bytes(scratch_.data(), static_cast<size_t>(count));
  std::string whole;
  if (!member.inbox.empty()) {
    whole = std::exchange(member.inbox, {}).append(bytes);
    bytes = whole;
  }
  bytes.remove_prefix(consume(index, bytes));
  member.inbox = bytes;
}

size_t Swarm::consume(size_t index, std::string_view bytes) {
  Member& member = members_[index];
  size_t consumed = 0;
  while (member.fd >= 0 && consumed < bytes.size()) {
    const std::string_view rest = bytes.substr(consumed);
    size_t taken = 0;
    if (member.state == State::asking) {
      taken = consume_answer(index, rest);
    } else if (member.expected != nullptr) {
      taken = consume_expected(member, rest);
    } else {
      taken = consume_frame(index, rest);
    }
    if (taken == 0) break;
    consumed += taken;
  }
  return consumed;
}

size_t Swarm::consume_answer(size_t index, std::string_view bytes) {
  Member& member = members_[index];
  if (member.status != 0) return bytes.size();  // the body of a refusal
  const size_t head_end = bytes.find("\r\n\r\n");
  if (head_end == std::string_view::npos) return 0;
  member.status = bytes.starts_with("HTTP/1.1 ") ? std::atoi(std::string(bytes.substr(9, 3)).c_str()) : -1;
  if (member.status == 101) {
    member.state = State::open;
    ++open_count_;
    if (on_open) on_open(index);
  }
  return head_end + 4;
}

size_t Swarm::consume_expected(Member& member, std::string_view bytes) {
  const size_t count = std::min(bytes.size(), member.expected->size() - member.matched_bytes);
  if (std::memcmp(bytes.data(), member.expected->data() + member.matched_bytes, count) != 0) {
    member.differs = true;
  }
  member.matched_bytes += count;
  if (member.matched_bytes == member.expected->size()) member.expected = nullptr;
  return count;
}

size_t Swarm::consume_frame(size_t index, std::string_view bytes) {
  if (bytes.size() < 2) return 0;
  const unsigned length = octet(bytes, 1) & 0x7f;
  const size_t extended_bytes = length == 126 ? 2 : length == 127 ? 8 : 0;
  if (bytes.size() < 2 + extended_bytes) return 0;
  uint64_t payload_bytes = extended_bytes == 0 ? length : 0;
  for (size_t i = 0; i < extended_bytes; ++i) payload_bytes = payload_bytes << 8 | octet(bytes, 2 + i);
  const size_t header_bytes = 2 + extended_bytes;
  if (bytes.size() - header_bytes < payload_bytes) return 0;

  const Frame frame{octet(bytes, 0) & 0xf, bytes.substr(header_bytes, payload_bytes)};
  Member& member = members_[index];
  if (frame.opcode == 8) {
    member.close_code =
        frame.payload.size() < 2 ? 1005 : octet(frame.payload, 0) << 8 | octet(frame.payload, 1);
    send_close(index, member.close_code == 1005 ? 1000 : member.close_code);
  } else if (frame.opcode == 9) {
    send(index, encode({.opcode = 10, .payload = frame.payload}));
  }
  if (on_frame) on_frame(index, frame);
  return header_bytes + payload_bytes;
}

void Swarm::send_close(size_t index, unsigned code) {
  if (std::exchange(members_[index].close_sent, true)) return;
  send(index, encode_close(code));
}

void Swarm::shutdown_write(size_t index) {
  ::shutdown(members_[index].fd, SHUT_WR);
}

void Swarm::close(size_t index) {
  finish(index, End::none);
}

void Swarm::reset(size_t index) {
  const linger no_farewell{.l_onoff = 1, .l_linger = 0};
  setsockopt(members_[index].fd, SOL_SOCKET, SO_LINGER, &no_farewell, sizeof no_farewell);
  finish(index, End::none);
}

void Swarm::finish(size_t index, End end) {
  Member& member = members_[index];
  if (member.state == State::over) return;
  if (member.state == State::open) --open_count_;
  ++over_count_;
  member.state = State::over;
  member.end = end;
  member.outbox = {};
  member.sent_bytes = 0;
  if (member.fd >= 0) ::close(std::exchange(member.fd, -1));
  if (end != End::none && on_end) on_end(index);
}

std::string server_frame(unsigned opcode, std::string_view payload) {
  std::string wire(1, static_cast<char>(0x80 | opcode));
  const size_t bytes = payload.size();
  const unsigned bits = bytes <= 125 ? 0 : bytes <= 0xffff ? 16 : 64;
  wire += static_cast<char>(bits == 0 ? bytes : bits == 16 ? 126u : 127u);
  for (unsigned shift = bits; shift > 0; shift -= 8) wire += static_cast<char>(bytes >> (shift - 8));
  return wire.append(payload);
}

}  // namespace ringcast::blackbox
