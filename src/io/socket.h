// Sockets outside the turn: their addresses, listeners, and the options a shard
// sets on what it accepts. Every call is one or two quick system calls that never
// wait; any thread.
#pragma once

#include <sys/socket.h>

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <utility>

#include "base/ip_address.h"

namespace ringcast {

// Owns a descriptor. Handing it to a Backend's close means release() first.
class Descriptor {
 public:
  Descriptor() = default;
  explicit Descriptor(int fd) : fd_(fd) {}
  Descriptor(Descriptor&& other) noexcept : fd_(other.release()) {}
  Descriptor& operator=(Descriptor&& other) noexcept {
    reset(other.release());
    return *this;
  }
  ~Descriptor() { reset(); }

  int fd() const { return fd_; }
  explicit operator bool() const { return fd_ >= 0; }
  int release() { return std::exchange(fd_, -1); }
  void reset(int fd = -1);

 private:
  int fd_ = -1;
};

struct SocketAddress {
  IpAddress ip;
  uint16_t port = 0;

  friend bool operator==(const SocketAddress&, const SocketAddress&) = default;

  // "127.0.0.1:8080", "[::1]:8080". Names are not resolved. On failure `*error` is
  // one sentence.
  static std::optional<SocketAddress> parse(std::string_view text, std::string* error);
  static std::optional<SocketAddress> from(const sockaddr* address, socklen_t bytes);

  // Returns the length used.
  socklen_t to_sockaddr(sockaddr_storage& storage) const;
  std::string to_string() const;
};

enum class Listener : uint8_t {
  // The first on its port. Bound without SO_REUSEPORT, so that a port somebody
  // listens on already is an error even if that was a server of ours; the option
  // is set once the port is taken, so that others may join.
  first,
  // One more shard on the port of a `first` of this process.
  joining,
};

// A non-blocking TCP listener with TCP_NODELAY, which what it accepts inherits. An
// IPv6 listener takes IPv6 only. Port 0 lets the kernel choose: see local_address().
// On failure the descriptor is empty and `*error` one sentence.
Descriptor listen_on(const SocketAddress& address, Listener kind, std::string* error, int backlog = 4096);

// A non-blocking TCP socket with TCP_NODELAY, for Operation::connect.
Descriptor make_tcp_socket(bool v4, std::string* error);

std::optional<SocketAddress> local_address(int fd);

// The address at the other end; `::` when the peer is gone already or is no IP peer.
IpAddress peer_address(int fd);

// SO_SNDBUF of one socket.
bool set_send_buffer(int fd, uint32_t bytes);

// Options of a listener for what it accepts: Linux hands them on (tcp(7), socket(7)), so
// that no accept pays for them. 0 leaves the system's.
struct AcceptedOptions {
  // SO_SNDBUF. The kernel doubles it for its bookkeeping, and stops growing it by itself.
  uint32_t send_buffer_bytes = 0;
  // TCP_NOTSENT_LOWAT: the socket stops counting as writable once so much waits unsent,
  // so what is stale stays here, where it can still be dropped. It bounds what poll says,
  // not what one send may take: SO_SNDBUF does that.
  uint32_t unsent_low_water_bytes = 0;
  // TCP_USER_TIMEOUT: what was sent stays unacknowledged, or the window shut, for so long.
  uint32_t user_timeout_s = 0;
  // SO_KEEPALIVE and TCP_KEEPIDLE; three probes, ten seconds apart.
  uint32_t keepalive_s = 0;
};
bool set_for_accepted(int listener, const AcceptedOptions& options);

// Bytes sent that the peer's kernel has not acknowledged, and those not sent yet
// (SIOCOUTQ, tcp(7)). While it changes, somebody reads at the other end. 0 if unknown.
uint32_t unacknowledged_bytes(int fd);

}  // namespace ringcast
