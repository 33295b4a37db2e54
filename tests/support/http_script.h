// Plays bytes through an HttpRequestParser, cut as asked, and writes down what came
// out. Two cuts of the same bytes must give the same script. Each piece is a buffer of
// its own whose end is guarded, so that reading past it is a crash. Used by tests and
// fuzz targets; one thread.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <functional>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/bytes.h"
#include "protocol/http_request.h"
#include "tests/support/guarded_bytes.h"

namespace ringcast {

// Exactly as large as its content: under AddressSanitizer its end is guarded too, and
// it costs no page, which matters to a fuzzer.
class HeapBytes {
 public:
  explicit HeapBytes(std::string_view content)
      : bytes_(std::make_unique<std::byte[]>(content.size())), size_(content.size()) {
    std::copy_n(as_bytes(content).begin(), size_, bytes_.get());
  }
  MutableBytes bytes() { return {bytes_.get(), size_}; }

 private:
  std::unique_ptr<std::byte[]> bytes_;
  size_t size_;
};

struct HttpScript {
  std::string text;            // one line per event; pieces of a body are joined
  size_t held_bytes_peak = 0;  // the most the parser kept between two inputs
};

using OnHead = std::function<void(const HttpRequest&)>;

inline void require(bool truth) {
  if (!truth) std::abort();
}

// Where to cut: offsets from a small generator seeded with the bytes, so that a fuzzer's crash
// replays from its file alone.
inline std::vector<size_t> cuts_of(std::string_view wire) {
  uint32_t state = 2166136261u;
  for (const char c : wire) state = (state ^ static_cast<uint8_t>(c)) * 16777619u;
  std::vector<size_t> cuts;
  for (size_t at = 0; at < wire.size();) {
    state = state * 1664525u + 1013904223u;
    at += (state >> 16) % (state >> 28 == 0 ? 200 : 12);
    cuts.push_back(std::min(at, wire.size()));
  }
  return cuts;
}

inline std::string describe(const HttpRequest& request) {
  std::string text = "head " + std::string(request.method()) + " " + std::string(request.path());
  if (!request.query().empty()) text += " ? " + std::string(request.query());
  text += " 1." + std::to_string(request.version_minor());
  for (const HttpHeader& header : request.headers()) {
    text += " [" + std::string(header.name) + "=" + std::string(header.value) + "]";
  }
  return text + "\n";
}

// `cuts` are the offsets where a new input begins, ascending. Goes on with the next
// request after each complete one, as a keep-alive connection does.
template <class Buffer = GuardedBytes>
HttpScript play_http(std::string_view wire, const HttpLimits& limits, std::span<const size_t> cuts,
                     const OnHead& on_head = nullptr) {
  using Kind = HttpRequestParser::Event::Kind;
  HttpRequestParser parser(limits);
  HttpScript script;
  std::string body;
  const auto flush_body = [&] {
    if (!body.empty()) script.text += "body " + body + "\n";
    body.clear();
  };

  size_t from = 0;
  for (size_t i = 0; i <= cuts.size(); ++i) {
    const size_t to = i < cuts.size() ? std::min(cuts[i], wire.size()) : wire.size();
    Buffer piece(wire.substr(from, to - from));
    from = to;
    MutableBytes input = piece.bytes();
    for (bool more = true; more;) {
      const auto event = parser.next(input);
      switch (event.kind) {
        case Kind::need_more:
          require(input.empty());
          more = false;
          break;
        case Kind::head:
          script.text += describe(parser.request());
          if (on_head) on_head(parser.request());
          break;
        case Kind::expect_continue:
          script.text += "expect_continue\n";
          break;
        case Kind::body:
          require(!event.body.empty());
          body += as_text(event.body);
          break;
        case Kind::complete:
          flush_body();
          script.text += "complete\n";
          require(parser.next(input).kind == Kind::need_more);  // nothing before reset()
          parser.reset();
          require(!parser.begun() && parser.held_bytes() == 0);
          break;
        case Kind::error:
          flush_body();
          script.text += "error " + std::to_string(event.status) + " " + std::string(event.reason) + "\n";
          require(parser.next(input).status == event.status);  // it stays failed
          return script;
      }
    }
    script.held_bytes_peak = std::max(script.held_bytes_peak, parser.held_bytes());
  }
  flush_body();
  if (parser.begun()) script.text += "unfinished\n";
  return script;
}

}  // namespace ringcast
