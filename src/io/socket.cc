// Addresses, listeners and socket options: one or two system calls each. Any thread.
#include "io/socket.h"
#include "base/number.h"

#include <arpa/inet.h>
#include <linux/sockios.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <system_error>

namespace ringcast {
namespace {

// Of a mapped address, ::ffff:a.b.c.d: what stands before the four octets.
constexpr size_t kV4PrefixBytes = 12;

bool set_option(int fd, int level, int name, int value) {
  return setsockopt(fd, level, name, &value, sizeof value) == 0;
}

std::string words(int error) {
  return std::system_category().message(error);
}

std::string why_not_bound(const SocketAddress& address, int error) {
  std::string sentence = "cannot listen on " + address.to_string() + ": ";
  switch (error) {
    case EADDRINUSE:
      return sentence + "another program listens there already";
    case EADDRNOTAVAIL:
      return sentence + "no interface of this machine has that address";
    case EACCES:
      return sentence + "ports below 1024 need the privilege CAP_NET_BIND_SERVICE";
    case EAFNOSUPPORT:
      return sentence + "this machine has no IPv6";
    default:
      return sentence + words(error);
  }
}

Descriptor tcp_socket(bool v4, int* error) {
  Descriptor socket(::socket(v4 ? AF_INET : AF_INET6, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
  *error = socket ? 0 : errno;
  if (socket) set_option(socket.fd(), IPPROTO_TCP, TCP_NODELAY, 1);
  return socket;
}

}  // namespace

void Descriptor::reset(int fd) {
  if (fd_ >= 0) ::close(fd_);
  fd_ = fd;
}

std::optional<SocketAddress> SocketAddress::parse(std::string_view text, std::string* error) {
  const auto refuse = [&](const char* why) {
    *error = "\"" + std::string(text) + "\" is not an address to listen on or connect to: " + why;
    return std::nullopt;
  };
  const size_t colon = text.rfind(':');
  if (colon == text.npos) return refuse("write ADDR:PORT, as in 127.0.0.1:8080 or [::1]:8080");
  std::string_view host = text.substr(0, colon);
  const std::string_view digits = text.substr(colon + 1);

  const bool bracketed = host.size() >= 2 && host.front() == '[' && host.back() == ']';
  if (bracketed) host = host.substr(1, host.size() - 2);
  // Without brackets nobody can tell where an IPv6 address ends and its port begins.
  if (!bracketed && host.find(':') != host.npos) {
    return refuse("an IPv6 address needs brackets, as in [::1]:8080");
  }
  const std::optional<IpAddress> ip = IpAddress::parse(host);
  if (!ip) return refuse("what stands before the port is no IPv4 or IPv6 address (names are not resolved)");
  if (bracketed && host.find(':') == host.npos) return refuse("only an IPv6 address stands in brackets");

  const std::optional<uint16_t> port = parse_number<uint16_t>(digits);
  if (!port) return refuse("the port is no number from 0 to 65535");
  return SocketAddress{.ip = *ip, .port = *port};
}

std::optional<SocketAddress> SocketAddress::from(const sockaddr* address, socklen_t bytes) {
  SocketAddress result;
  if (address->sa_family == AF_INET && bytes >= sizeof(sockaddr_in)) {
    sockaddr_in four;
    std::memcpy(&four, address, sizeof four);
    uint8_t octets[4];
    std::memcpy(octets, &four.sin_addr, sizeof octets);
    result.ip = IpAddress::v4(octets[0], octets[1], octets[2], octets[3]);
    result.port = ntohs(four.sin_port);
    return result;
  }
  if (address->sa_family == AF_INET6 && bytes >= sizeof(sockaddr_in6)) {
    sockaddr_in6 six;
    std::memcpy(&six, address, sizeof six);
    std::memcpy(result.ip.bytes.data(), &six.sin6_addr, result.ip.bytes.size());
    result.port = ntohs(six.sin6_port);
    return result;
  }
  return std::nullopt;
}

socklen_t SocketAddress::to_sockaddr(sockaddr_storage& storage) const {
  storage = {};
  if (ip.is_v4()) {
    sockaddr_in four{};
    four.sin_family = AF_INET;
    four.sin_port = htons(port);
    std::memcpy(&four.sin_addr, ip.bytes.data() + kV4PrefixBytes, sizeof four.sin_addr);
    std::memcpy(&storage, &four, sizeof four);
    return sizeof four;
  }
  sockaddr_in6 six{};
  six.sin6_family = AF_INET6;
  six.sin6_port = htons(port);
  std::memcpy(&six.sin6_addr, ip.bytes.data(), sizeof six.sin6_addr);
  std::memcpy(&storage, &six, sizeof six);
  return sizeof six;
}

std::string SocketAddress::to_string() const {
  const std::string host = ip.is_v4() ? ip.to_string() : "[" + ip.to_string() + "]";
  return host + ":" + std::to_string(port);
}

Descriptor listen_on(const SocketAddress& address, Listener kind, std::string* error, int backlog) {
  int code = 0;
  Descriptor listener = tcp_socket(address.ip.is_v4(), &code);
  const auto refuse = [&](int why) {
    *error = why_not_bound(address, why);
    return Descriptor();
  };
  if (!listener) return refuse(code);
  const int fd = listener.fd();

  // SO_REUSEADDR lets a restarted server bind past its predecessor's TIME_WAIT; a
  // port somebody listens on stays refused.
  if (!set_option(fd, SOL_SOCKET, SO_REUSEADDR, 1)) return refuse(errno);
  if (!address.ip.is_v4() && !set_option(fd, IPPROTO_IPV6, IPV6_V6ONLY, 1)) return refuse(errno);
  if (kind == Listener::joining && !set_option(fd, SOL_SOCKET, SO_REUSEPORT, 1)) return refuse(errno);

  sockaddr_storage storage;
  const socklen_t bytes = address.to_sockaddr(storage);
  if (bind(fd, reinterpret_cast<const sockaddr*>(&storage), bytes) != 0) return refuse(errno);
  // Before listen(), which is when the kernel founds the group the others join.
  if (kind == Listener::first && !set_option(fd, SOL_SOCKET, SO_REUSEPORT, 1)) return refuse(errno);
  // With SO_REUSEADDR two may bind a port that nobody listens on yet: listen() then refuses the later.
  if (listen(fd, backlog) != 0) return refuse(errno);
  return listener;
}

Descriptor make_tcp_socket(bool v4, std::string* error) {
  int code = 0;
  Descriptor socket = tcp_socket(v4, &code);
  if (!socket) *error = "cannot make a socket: " + words(code);
  return socket;
}

std::optional<SocketAddress> local_address(int fd) {
  sockaddr_storage storage;
  socklen_t bytes = sizeof storage;
  if (getsockname(fd, reinterpret_cast<sockaddr*>(&storage), &bytes) != 0) return std::nullopt;
  return SocketAddress::from(reinterpret_cast<const sockaddr*>(&storage), bytes);
}

IpAddress peer_address(int fd) {
  sockaddr_storage storage;
  socklen_t bytes = sizeof storage;
  if (getpeername(fd, reinterpret_cast<sockaddr*>(&storage), &bytes) != 0) return {};
  const auto address = SocketAddress::from(reinterpret_cast<const sockaddr*>(&storage), bytes);
  return address ? address->ip : IpAddress{};
}

bool set_send_buffer(int fd, uint32_t bytes) {
  return set_option(fd, SOL_SOCKET, SO_SNDBUF, static_cast<int>(std::min<uint32_t>(bytes, INT32_MAX)));
}

bool set_for_accepted(int listener, const AcceptedOptions& options) {
  bool good = true;
  const auto set = [&](int level, int name, uint64_t value) {
    if (value > 0)
      good &= set_option(listener, level, name, static_cast<int>(std::min<uint64_t>(value, INT32_MAX)));
  };
  set(SOL_SOCKET, SO_SNDBUF, options.send_buffer_bytes);
  set(IPPROTO_TCP, TCP_NOTSENT_LOWAT, options.unsent_low_water_bytes);
  set(IPPROTO_TCP, TCP_USER_TIMEOUT, uint64_t{options.user_timeout_s} * 1000);
  if (options.keepalive_s > 0) {
    set(SOL_SOCKET, SO_KEEPALIVE, 1);
    set(IPPROTO_TCP, TCP_KEEPIDLE, options.keepalive_s);
    set(IPPROTO_TCP, TCP_KEEPINTVL, 10);
    set(IPPROTO_TCP, TCP_KEEPCNT, 3);
  }
  return good;
}

uint32_t unacknowledged_bytes(int fd) {
  int bytes = 0;
  return ioctl(fd, SIOCOUTQ, &bytes) == 0 && bytes > 0 ? static_cast<uint32_t>(bytes) : 0;
}

}  // namespace ringcast
