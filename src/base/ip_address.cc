// Addresses parsed and printed as everybody else does: by inet_pton(3) and inet_ntop(3).
#include "base/ip_address.h"

#include <arpa/inet.h>
#include <netinet/in.h>

#include <algorithm>
#include <cstring>

#include "base/hash.h"

namespace ringcast {
namespace {

constexpr std::array<uint8_t, 12> kV4Prefix{0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff};

}  // namespace

IpAddress IpAddress::v4(uint8_t a, uint8_t b, uint8_t c, uint8_t d) {
  IpAddress address;
  std::copy(kV4Prefix.begin(), kV4Prefix.end(), address.bytes.begin());
  address.bytes[12] = a;
  address.bytes[13] = b;
  address.bytes[14] = c;
  address.bytes[15] = d;
  return address;
}

std::optional<IpAddress> IpAddress::parse(std::string_view text) {
  char terminated[INET6_ADDRSTRLEN];
  // A NUL inside would end the text early for inet_pton, and hide what follows it.
  if (text.size() >= sizeof terminated || text.find('\0') != text.npos) return std::nullopt;
  terminated[text.copy(terminated, text.size())] = '\0';
  in_addr four;
  if (inet_pton(AF_INET, terminated, &four) == 1) {
    uint8_t octets[4];
    std::memcpy(octets, &four, sizeof octets);
    return v4(octets[0], octets[1], octets[2], octets[3]);
  }
  IpAddress six;
  if (inet_pton(AF_INET6, terminated, six.bytes.data()) == 1) return six;
  return std::nullopt;
}

bool IpAddress::is_v4() const {
  return std::equal(kV4Prefix.begin(), kV4Prefix.end(), bytes.begin());
}

bool IpAddress::is_loopback() const {
  IpAddress one;
  one.bytes[15] = 1;
  return is_v4() ? bytes[12] == 127 : *this == one;
}

bool IpAddress::is_any() const {
  return *this == IpAddress{} || *this == v4(0, 0, 0, 0);
}

std::string IpAddress::to_string() const {
  char text[INET6_ADDRSTRLEN];
  const char* written = is_v4() ? inet_ntop(AF_INET, bytes.data() + kV4Prefix.size(), text, sizeof text)
                                : inet_ntop(AF_INET6, bytes.data(), text, sizeof text);
  return written == nullptr ? std::string() : std::string(written);
}

// Keyed by the process's random seed: an IPv6 client chooses 64 bits of its address.
size_t IpAddressHash::operator()(const IpAddress& address) const noexcept {
  return StringHash{}(
      std::string_view(reinterpret_cast<const char*>(address.bytes.data()), address.bytes.size()));
}

}  // namespace ringcast
