// An Internet address as a value: parsed, printed, compared and hashed, without a
// socket in sight. Values only; any thread.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace ringcast {

// An IPv4 or IPv6 address. IPv4 is kept as IPv6 keeps it (::ffff:a.b.c.d), so one
// client has one value whichever kind of listener it came through.
struct IpAddress {
  std::array<uint8_t, 16> bytes{};

  friend bool operator==(const IpAddress&, const IpAddress&) = default;

  static IpAddress v4(uint8_t a, uint8_t b, uint8_t c, uint8_t d);
  // Dotted IPv4 or IPv6 without brackets.
  static std::optional<IpAddress> parse(std::string_view text);

  bool is_v4() const;
  bool is_loopback() const;  // 127.0.0.0/8, ::1
  bool is_any() const;       // 0.0.0.0, ::
  std::string to_string() const;
};

// A 64-bit mix of the address for hash tables of addresses the server itself counts.
struct IpAddressHash {
  size_t operator()(const IpAddress& address) const noexcept;
};

}  // namespace ringcast
