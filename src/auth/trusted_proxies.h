// Who the client behind a proxy is. Anybody can send X-Forwarded-For, so it counts
// only from peers the operator has named, and of it only what those have written:
// lists are read from the right, where the nearest proxy appends. Values only; the
// list is fixed once shards run, so any thread reads it.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/ip_address.h"

namespace ringcast {

// "10.0.0.0/8", "2001:db8::/32"; without a length it is one address. IPv4 and IPv6
// are separate: "::/0" holds no IPv4 address, whichever way that came.
class IpNetwork {
 public:
  // On failure `*error` is one sentence.
  static std::optional<IpNetwork> parse(std::string_view text, std::string* error);

  bool contains(const IpAddress& address) const;

  friend bool operator==(const IpNetwork&, const IpNetwork&) = default;

 private:
  IpAddress first_;     // bits past the prefix are zero
  uint8_t bits_ = 128;  // of the IPv6 form: an IPv4 /8 is 104
  bool v4_ = false;
};

class TrustedProxies {
 public:
  // One of --trusted-proxy. False: nothing was added and `*error` is one sentence.
  bool add(std::string_view network, std::string* error);

  bool contains(const IpAddress& address) const;
  bool empty() const { return networks_.empty(); }

 private:
  std::vector<IpNetwork> networks_;  // a handful, looked at once a connection: no tree
};

// What a request says of the way it came. The views live as long as its head.
struct ForwardingHeaders {
  std::vector<std::string_view> forwarded_for;  // X-Forwarded-For, each line, in their order
  std::string_view proto;                       // the last X-Forwarded-Proto line
  std::string_view host;                        // the last X-Forwarded-Host line

  // From any range of headers that have a `name` and a `value`.
  template <class Headers>
  static ForwardingHeaders of(const Headers& headers) {
    ForwardingHeaders result;
    for (const auto& header : headers) result.note(header.name, header.value);
    return result;
  }

 private:
  void note(std::string_view name, std::string_view value);
};

struct ForwardedClient {
  IpAddress address;  // the peer's own unless a trusted peer names another
  // Of the client's connection to the outermost proxy; nothing when none that counts
  // says it: then this connection's own TLS and Host stand.
  std::optional<bool> tls = std::nullopt;
  std::string_view host = {};  // "example.com", "[::1]:8080"; empty likewise
};

// The client's address is the rightmost that is not a trusted proxy's; if all are
// trusted, the leftmost. A member that is no address ends the search at the hop
// before: nothing left of it was written by anybody we trust. `Forwarded` (RFC 7239)
// is not read: a proxy that writes X-Forwarded-For hands a client's own `Forwarded`
// on as it came, and nothing tells us which of the two is the proxy's.
ForwardedClient resolve_forwarded(const IpAddress& peer, const TrustedProxies& trusted,
                                  const ForwardingHeaders& headers);

}  // namespace ringcast
