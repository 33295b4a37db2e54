// Plays bytes through a ProxyHeaderParser, cut as asked, and writes down the outcome.
// Each piece is a buffer of its own whose end is guarded, so that reading past it is a
// crash. Used by its test and its fuzz target; one thread.
#pragma once

#include <algorithm>
#include <span>
#include <string>
#include <string_view>

#include "protocol/proxy_header.h"
#include "tests/support/guarded_bytes.h"

namespace ringcast {

inline std::string describe(const ProxyHeader& header) {
  if (header.local) return "header local";
  switch (header.family) {
    case ProxyHeader::Family::unspecified:
      return "header unspecified";
    case ProxyHeader::Family::unix_socket:
      return "header unix";
    case ProxyHeader::Family::inet:
      return "header inet " + header.source.to_string() + " " + std::to_string(header.source_port);
  }
  return "no such family";
}

// "need_more", "error REASON", or "header …", with " then REST" if bytes of the
// connection's own follow it. `cuts` are the offsets where a new input begins, ascending.
template <class Buffer = GuardedBytes>
std::string play_proxy(std::string_view wire, std::span<const size_t> cuts) {
  using Kind = ProxyHeaderParser::Event::Kind;
  ProxyHeaderParser parser;
  size_t from = 0;
  for (size_t i = 0; i <= cuts.size(); ++i) {
    const size_t to = i < cuts.size() ? std::min(cuts[i], wire.size()) : wire.size();
    Buffer piece(wire.substr(from, to - from));
    MutableBytes input = piece.bytes();
    const auto event = parser.next(input);
    from = to;
    switch (event.kind) {
      case Kind::need_more:
        if (!input.empty()) return "need_more with input left";
        break;
      case Kind::error:
        return "error " + std::string(event.reason);
      case Kind::header: {
        const std::string rest = std::string(as_text(input)) + std::string(wire.substr(to));
        return describe(event.header) + (rest.empty() ? "" : " then " + rest);
      }
    }
  }
  return "need_more";
}

}  // namespace ringcast
