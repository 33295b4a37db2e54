// The PROXY protocol, versions 1 and 2 (haproxy.org, proxy-protocol.txt): what a TCP
// proxy writes in front of a connection's own first byte, to say whose connection it
// passes on. Bytes in, one header out; whether the sender may be believed is the
// caller's decision, before the first call. A connection owns one until the header has
// come; no clock, no socket, any one thread.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <string_view>

#include "base/bytes.h"
#include "base/ip_address.h"

namespace ringcast {

struct ProxyHeader {
  enum class Family : uint8_t {
    unspecified,  // UNKNOWN, AF_UNSPEC: the proxy does not know or does not tell
    inet,         // IPv4 and IPv6: `source` and `source_port` stand
    unix_socket,  // the client came to the proxy through a file
  };
  Family family = Family::unspecified;
  // The proxy speaks for itself (a health check). Its family is `unspecified` then.
  bool local = false;
  IpAddress source;
  uint16_t source_port = 0;
};

class ProxyHeaderParser {
 public:
  // Version 1: a line with its CRLF (the specification's own bound).
  static constexpr size_t kLineBytesMax = 107;
  // Version 2: the largest address block, and what TLVs behind it may take. Real ones
  // hold a host name, an ALPN token, perhaps a certificate's subject.
  static constexpr size_t kAddressBytesMax = 216;
  static constexpr size_t kTlvBytesMax = 2 * 1024;

  struct Event {
    enum class Kind : uint8_t {
      need_more,  // `input` is used up
      header,     // `input` starts at the connection's own first byte; the parser is done
      error,  // close without a word: who did not speak PROXY may not speak HTTP. Said again at every call.
    };
    Kind kind = Kind::need_more;
    ProxyHeader header = {};
    std::string_view reason = {};  // of an error: constant text for our log, holds no client bytes
  };

  // Consumes a prefix of `input`. A wrong byte is an error as soon as it is seen, so
  // a client that came past the proxy is not waited for.
  Event next(MutableBytes& input);

 private:
  enum class State : uint8_t { start, line, fixed_part, addresses, skipping, failed };

  void on_byte();
  void on_line(std::string_view line);
  void on_fixed_part();
  void on_addresses();
  void fail(std::string_view reason);

  ProxyHeader header_;
  std::string_view reason_;
  uint16_t left_ = 0;  // bytes still to skip, TLVs mostly
  State state_ = State::start;
  uint8_t address_bytes_ = 0;  // of version 2's block: those that are read
  uint8_t held_ = 0;
  std::array<char, kLineBytesMax> bytes_;  // [0, held_): the line, or fixed part and addresses
};

}  // namespace ringcast
