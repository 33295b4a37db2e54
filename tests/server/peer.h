// A client for the tests of the server's face: blocking, over a real loopback socket,
// sharing no code with the server. Each read waits up to a deadline only a broken
// server meets.
#pragma once

#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

#include <cerrno>
#include <cstdint>
#include <cstdlib>
#include <string>
#include <string_view>

namespace ringcast::test {

class Peer {
 public:
  // To "127.0.0.1:PORT" as Server::addresses has it.
  explicit Peer(const std::string& address) {
    sockaddr_in to{};
    to.sin_family = AF_INET;
    to.sin_port = htons(static_cast<uint16_t>(std::atoi(address.c_str() + address.rfind(':') + 1)));
    to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    fd_ = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    const timeval patience{60, 0};
    setsockopt(fd_, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
    if (connect(fd_, reinterpret_cast<const sockaddr*>(&to), sizeof to) != 0) close();
    host_ = address;
  }
  ~Peer() { close(); }
  Peer(const Peer&) = delete;
  Peer& operator=(const Peer&) = delete;

  bool connected() const { return fd_ >= 0; }
  int fd() const { return fd_; }
  void close() {
    if (fd_ >= 0) ::close(fd_);
    fd_ = -1;
  }

  void write(std::string_view bytes) {
    while (!bytes.empty()) {
      const ssize_t sent = send(fd_, bytes.data(), bytes.size(), MSG_NOSIGNAL);
      if (sent < 0 && errno == EINTR) continue;
      if (sent <= 0) return;
      bytes.remove_prefix(static_cast<size_t>(sent));
    }
  }

  // An answer's status, with its head and body kept.
  int request(std::string_view method, std::string_view target, std::string_view headers = {},
              std::string_view body = {}) {
    std::string text;
    text.append(method).append(" ").append(target).append(" HTTP/1.1\r\nHost: ").append(host_).append("\r\n");
    text.append(headers);
    if (!body.empty()) text.append("Content-Length: ").append(std::to_string(body.size())).append("\r\n");
    write(text.append("\r\n").append(body));
    return read_answer();
  }

  int upgrade(std::string_view target, std::string_view headers = {}) {
    return request("GET", target,
                   "Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"
                   "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n" +
                       std::string(headers));
  }

  const std::string& head() const { return head_; }
  const std::string& body() const { return body_; }

  // One masked frame (RFC 6455 5.3), of at most 65535 bytes.
  void send_frame(uint8_t opcode, std::string_view payload) {
    std::string frame(1, static_cast<char>(0x80 | opcode));
    if (payload.size() < 126) {
      frame += static_cast<char>(0x80 | payload.size());
    } else {
      frame += static_cast<char>(0x80 | 126);
      frame += static_cast<char>(payload.size() >> 8);
      frame += static_cast<char>(payload.size() & 0xff);
    }
    constexpr char kMask[] = {0x11, 0x22, 0x33, 0x44};
    frame.append(kMask, 4);
    for (size_t i = 0; i < payload.size(); ++i) frame += static_cast<char>(payload[i] ^ kMask[i & 3]);
    write(frame);
  }
  void send_text(std::string_view text) { send_frame(1, text); }

  // The next message's payload: "close:1000 reason" for a Close, "end" for the end of the
  // connection. Pings, of both protocols, are passed over.
  std::string next() {
    for (;;) {
      const std::string header = take(2);
      if (header.size() < 2) return "end";
      const int opcode = header[0] & 0x0f;
      size_t size = static_cast<unsigned char>(header[1]) & 0x7f;
      if (size >= 126) {
        const std::string length = take(size == 126 ? 2 : 8);
        size = 0;
        for (const char byte : length) size = size << 8 | static_cast<unsigned char>(byte);
      }
      std::string payload = take(size);
      if (opcode == 9 || payload.starts_with("{\"type\":\"ping\"")) continue;
      if (opcode != 8) return payload;
      if (payload.size() < 2) return "close:";
      const int code = static_cast<unsigned char>(payload[0]) << 8 | static_cast<unsigned char>(payload[1]);
      return "close:" + std::to_string(code) + " " + payload.substr(2);
    }
  }

 private:
  int read_answer() {
    while (received_.find("\r\n\r\n") == std::string::npos) {
      if (!read_some()) return 0;
    }
    const size_t end = received_.find("\r\n\r\n") + 4;
    head_ = received_.substr(0, end);
    received_.erase(0, end);
    const size_t length = head_.find("Content-Length: ");
    body_ = length == std::string::npos ? std::string()
                                        : take(std::strtoul(head_.c_str() + length + 16, nullptr, 10));
    return std::atoi(head_.c_str() + 9);
  }

  std::string take(size_t bytes) {
    while (received_.size() < bytes && read_some()) {
    }
    std::string taken = received_.substr(0, bytes);
    received_.erase(0, taken.size());
    return taken;
  }

  bool read_some() {
    char buffer[16384];
    ssize_t count;
    do {
      count = recv(fd_, buffer, sizeof buffer, 0);
    } while (count < 0 && errno == EINTR);  // a socket with a timeout is not restarted (signal(7))
    if (count <= 0) return false;
    received_.append(buffer, static_cast<size_t>(count));
    return true;
  }

  int fd_ = -1;
  std::string host_;
  std::string received_;
  std::string head_;
  std::string body_;
};

}  // namespace ringcast::test
