// Networks as the operator writes them, and the walk from the peer back to the client.
#include "auth/trusted_proxies.h"

#include <algorithm>

#include "base/ascii.h"
#include "base/number.h"

namespace ringcast {
namespace {

constexpr unsigned kAddressBits = 128;
constexpr unsigned kV4PrefixBits = 96;  // of ::ffff:a.b.c.d
constexpr size_t kHostBytesMax = 255;

std::string_view trimmed(std::string_view text) {
  const size_t first = text.find_first_not_of(" \t");
  if (first == std::string_view::npos) return {};
  return text.substr(first, text.find_last_not_of(" \t") - first + 1);
}

// Cuts the last member off a comma-separated list.
std::string_view take_last_member(std::string_view& list) {
  const size_t comma = list.rfind(',');
  const size_t at = comma == std::string_view::npos ? 0 : comma + 1;
  const std::string_view member = trimmed(list.substr(at));
  list = list.substr(0, at == 0 ? 0 : comma);
  return member;
}

std::string_view last_member(std::string_view list) {
  return take_last_member(list);
}

bool is_port(std::string_view digits) {
  return !digits.empty() && digits.size() <= 5 && digits.find_first_not_of("0123456789") == digits.npos;
}

// Proxies append "192.0.2.1", some "192.0.2.1:443", "2001:db8::1", "[2001:db8::1]" or
// "[2001:db8::1]:443".
std::optional<IpAddress> parse_hop(std::string_view member) {
  if (member.starts_with('[')) {
    const size_t bracket = member.find(']');
    if (bracket == std::string_view::npos) return std::nullopt;
    const std::string_view behind = member.substr(bracket + 1);
    if (!behind.empty() && (behind.front() != ':' || !is_port(behind.substr(1)))) return std::nullopt;
    member = member.substr(1, bracket - 1);
    if (member.find(':') == std::string_view::npos) return std::nullopt;
  } else if (const size_t colon = member.find(':');
             colon != std::string_view::npos && colon == member.rfind(':')) {
    if (!is_port(member.substr(colon + 1))) return std::nullopt;
    member = member.substr(0, colon);
  }
  return IpAddress::parse(member);
}

std::optional<bool> parse_scheme(std::string_view scheme) {
  if (equals_ignoring_case(scheme, "https") || equals_ignoring_case(scheme, "wss")) return true;
  if (equals_ignoring_case(scheme, "http") || equals_ignoring_case(scheme, "ws")) return false;
  return std::nullopt;
}

// What a Host header may hold. It is compared with an Origin and never sent back, so
// the bytes matter and not whether a resolver would like their order.
bool is_host(std::string_view host) {
  return !host.empty() && host.size() <= kHostBytesMax && std::ranges::all_of(host, [](char c) {
    return is_letter(c) || is_digit(c) || std::string_view("-._~:[]").find(c) != std::string_view::npos;
  });
}

}  // namespace

std::optional<IpNetwork> IpNetwork::parse(std::string_view text, std::string* error) {
  const auto refuse = [&](const std::string& why) {
    *error = "\"" + std::string(text) + "\" is not a network: " + why;
    return std::nullopt;
  };
  const size_t slash = text.find('/');
  const auto address = IpAddress::parse(text.substr(0, slash));
  if (!address) return refuse("write ADDRESS/BITS, as in 10.0.0.0/8 or 2001:db8::/32");

  IpNetwork network;
  // Written as ::ffff:10.0.0.0/104 the bits count from the mapped form's first.
  const bool mapped = address->is_v4() && text.find(':') != std::string_view::npos;
  const bool dotted = address->is_v4() && !mapped;
  const unsigned most = dotted ? kAddressBits - kV4PrefixBits : kAddressBits;
  unsigned bits = most;
  if (slash != std::string_view::npos) {
    const std::optional<unsigned> number = parse_number<unsigned>(text.substr(slash + 1));
    if (!number || *number > most) return refuse("the bits are no number from 0 to " + std::to_string(most));
    bits = *number;
  }
  if (mapped && bits < kV4PrefixBits) return refuse("of a mapped IPv4 address at least 96 bits count");
  if (dotted) bits += kV4PrefixBits;
  network.v4_ = address->is_v4();
  network.bits_ = static_cast<uint8_t>(bits);
  network.first_ = *address;
  for (unsigned bit = bits; bit < kAddressBits; ++bit) {
    network.first_.bytes[bit / 8] &= static_cast<uint8_t>(~(0x80u >> bit % 8));
  }
  // 10.1.2.3/8 means 10.0.0.0/8 to some and one machine to others: who writes it says which.
  if (network.first_ != *address) {
    return refuse("bits behind the first " + std::string(text.substr(slash + 1)) + " are set; did you mean " +
                  network.first_.to_string() + std::string(text.substr(slash)) + "?");
  }
  return network;
}

bool IpNetwork::contains(const IpAddress& address) const {
  if (address.is_v4() != v4_) return false;
  const size_t whole = bits_ / 8;
  if (!std::equal(first_.bytes.begin(), first_.bytes.begin() + whole, address.bytes.begin())) return false;
  const unsigned rest = bits_ % 8;
  if (rest == 0) return true;
  const auto mask = static_cast<uint8_t>(0xff00u >> rest);
  return ((first_.bytes[whole] ^ address.bytes[whole]) & mask) == 0;
}

bool TrustedProxies::add(std::string_view network, std::string* error) {
  const auto parsed = IpNetwork::parse(network, error);
  if (parsed) networks_.push_back(*parsed);
  return parsed.has_value();
}

bool TrustedProxies::contains(const IpAddress& address) const {
  return std::ranges::any_of(networks_, [&](const IpNetwork& network) { return network.contains(address); });
}

void ForwardingHeaders::note(std::string_view name, std::string_view value) {
  if (equals_ignoring_case(name, "x-forwarded-for")) {
    forwarded_for.push_back(value);
  } else if (equals_ignoring_case(name, "x-forwarded-proto")) {
    proto = value;
  } else if (equals_ignoring_case(name, "x-forwarded-host")) {
    host = value;
  }
}

ForwardedClient resolve_forwarded(const IpAddress& peer, const TrustedProxies& trusted,
                                  const ForwardingHeaders& headers) {
  ForwardedClient client{.address = peer};
  if (!trusted.contains(peer)) return client;

  // Several lines are one list (RFC 9110 5.3), so the last line holds the nearest hops.
  const auto& lines = headers.forwarded_for;
  for (size_t at = lines.size(); at > 0 && trusted.contains(client.address);) {
    std::string_view list = lines[--at];
    while (!list.empty() && trusted.contains(client.address)) {
      const std::string_view member = take_last_member(list);
      if (member.empty()) continue;  // RFC 9110 5.6.1.2
      const auto hop = parse_hop(member);
      if (!hop) {
        at = 0;
        break;
      }
      client.address = *hop;
    }
  }

  // The rightmost again: of a list the peer itself has written that.
  client.tls = parse_scheme(last_member(headers.proto));
  if (const std::string_view host = last_member(headers.host); is_host(host)) client.host = host;
  return client;
}

}  // namespace ringcast
