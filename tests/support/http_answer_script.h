// Plays bytes through an HttpResponseParser, cut as asked, and writes down what came out.
// Two cuts of the same bytes must give the same script. Used by tests and fuzz targets.
#pragma once

#include <algorithm>
#include <span>
#include <string>
#include <string_view>
#include <utility>

#include "base/bytes.h"
#include "protocol/http_response_parser.h"
#include "tests/support/http_script.h"

namespace ringcast {

// `cuts` are the offsets where a new input begins, ascending. Goes on with the next answer
// after each complete one; `closes`: at the end the peer closes.
inline std::string play_answers(std::string_view wire, const HttpResponseLimits& limits,
                                std::span<const size_t> cuts, bool closes) {
  using Event = HttpResponseParser::Event;
  using Kind = Event::Kind;
  HttpResponseParser parser(limits);
  std::string script, body;
  // Returns whether the parser goes on.
  const auto take = [&](const Event& event) {
    if (event.kind != Kind::body && !body.empty()) script += "body " + std::exchange(body, {}) + "\n";
    switch (event.kind) {
      case Kind::need_more:
        break;
      case Kind::head:
        script += "head " + std::to_string(parser.status()) + "\n";
        break;
      case Kind::body:
        require(!event.body.empty());
        body += as_text(event.body);
        break;
      case Kind::complete:
        script += std::string("complete ") + (parser.keep_alive() ? "keep-alive" : "close") + "\n";
        parser.reset();
        require(!parser.begun() && parser.held_bytes() == 0);
        break;
      case Kind::error:
        script += "error " + std::string(event.reason) + "\n";
        return false;
    }
    return true;
  };

  size_t from = 0;
  for (size_t i = 0; i <= cuts.size(); ++i) {
    const size_t to = i < cuts.size() ? std::min(cuts[i], wire.size()) : wire.size();
    HeapBytes piece(wire.substr(from, to - from));
    from = to;
    Bytes input = piece.bytes();
    for (bool more = true; more;) {
      const Event event = parser.next(input);
      more = event.kind != Kind::need_more;
      if (!more) {
        require(input.empty());
        continue;  // pieces of a body are joined across inputs
      }
      if (!take(event)) return script;
    }
    require(parser.held_bytes() <= 2 * limits.head_bytes_max + limits.chunk_line_bytes_max);
  }
  if (closes) {
    take(parser.closed());
  } else {
    take({.kind = Kind::need_more});
  }
  return script;
}

}  // namespace ringcast
