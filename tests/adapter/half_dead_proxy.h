// A TCP proxy that can go deaf: connections stay open, but of those that subscribed nothing
// more comes back, as when a firewall has forgotten them. Its own thread.
#pragma once

#include <arpa/inet.h>
#include <fcntl.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <array>
#include <atomic>
#include <cstdint>
#include <cstdlib>
#include <string_view>
#include <thread>
#include <vector>

namespace ringcast {

class HalfDeadProxy {
 public:
  explicit HalfDeadProxy(uint16_t to) : to_(to), listener_(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)) {
    sockaddr_in address = loopback(0);
    socklen_t bytes = sizeof address;
    if (bind(listener_, reinterpret_cast<sockaddr*>(&address), bytes) != 0 || listen(listener_, 16) != 0)
      std::abort();
    getsockname(listener_, reinterpret_cast<sockaddr*>(&address), &bytes);
    port_ = ntohs(address.sin_port);
    thread_ = std::thread([this] { run(); });
  }
  ~HalfDeadProxy() {
    stopping_ = true;
    thread_.join();
    for (const Pair& pair : pairs_) {
      ::close(pair.client);
      ::close(pair.server);
    }
    ::close(listener_);
  }

  uint16_t port() const { return port_; }
  // For the connections that there are; new ones are well.
  void deafen() { deafen_ = true; }
  void deafen_all() { deafen_ = all_ = true; }

 private:
  struct Pair {
    int client, server;
    bool subscribed = false, deaf = false, closed = false;
  };

  static sockaddr_in loopback(uint16_t port) {
    sockaddr_in address = {};
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    address.sin_port = htons(port);
    return address;
  }

  void run() {
    while (!stopping_) {
      std::vector<pollfd> waits = {{listener_, POLLIN, 0}};
      for (const Pair& pair : pairs_) {
        waits.push_back({pair.closed ? -1 : pair.client, POLLIN, 0});
        waits.push_back({pair.closed ? -1 : pair.server, POLLIN, 0});
      }
      poll(waits.data(), waits.size(), 5);
      if (deafen_.exchange(false)) {
        for (Pair& pair : pairs_) pair.deaf = pair.subscribed || all_;
      }
      for (size_t i = 0; i < pairs_.size(); ++i) {
        if (waits[2 * i + 1].revents != 0) forward(pairs_[i], true);
        if (!pairs_[i].closed && waits[2 * i + 2].revents != 0) forward(pairs_[i], false);
      }
      if (waits[0].revents != 0) accept_one();
    }
  }

  void accept_one() {
    const int client = accept4(listener_, nullptr, nullptr, SOCK_CLOEXEC);
    const int server = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    const sockaddr_in address = loopback(to_);
    if (connect(server, reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0) std::abort();
    pairs_.push_back({client, server});
  }

  void forward(Pair& pair, bool up) {
    std::array<char, 65536> buffer;
    const ssize_t bytes = recv(up ? pair.client : pair.server, buffer.data(), buffer.size(), 0);
    if (bytes <= 0) {
      pair.closed = true;
      shutdown(pair.client, SHUT_RDWR);
      shutdown(pair.server, SHUT_RDWR);
      return;
    }
    const std::string_view text(buffer.data(), static_cast<size_t>(bytes));
    if (up && text.find("SUBSCRIBE") != std::string_view::npos) pair.subscribed = true;
    if (!up && pair.deaf) return;
    [[maybe_unused]] const ssize_t sent =
        send(up ? pair.server : pair.client, text.data(), text.size(), MSG_NOSIGNAL);
  }

  const uint16_t to_;
  const int listener_;
  uint16_t port_ = 0;
  std::vector<Pair> pairs_;
  std::atomic<bool> stopping_{false}, deafen_{false}, all_{false};
  std::thread thread_;
};

}  // namespace ringcast
