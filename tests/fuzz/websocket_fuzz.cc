// Any bytes, in any chunks: the message reader says the same events as for one piece,
// keeps its promises about them, and holds no more memory than has arrived calls for.
// The first input byte seeds the chunking, the second chooses the limit; the rest is the
// wire.
#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <string>
#include <vector>

#include "base/prng.h"
#include "base/utf8.h"
#include "protocol/websocket.h"

namespace {

using ringcast::as_bytes;
using ringcast::as_text;
using ringcast::CloseCode;
using ringcast::kControlPayloadBytesMax;
using ringcast::MutableBytes;
using ringcast::Prng;
using ringcast::valid_utf8;
using ringcast::WebSocketReader;
using Kind = WebSocketReader::Event::Kind;

void expect(bool condition) {
  if (!condition) std::abort();
}

struct Seen {
  Kind kind;
  CloseCode code;
  std::string payload;
  friend bool operator==(const Seen&, const Seen&) = default;
};

void expect_promises(const WebSocketReader::Event& event, uint64_t limit) {
  switch (event.kind) {
    case Kind::text:
      expect(valid_utf8(event.payload));
      [[fallthrough]];
    case Kind::binary:
      expect(event.payload.size() <= limit);
      break;
    case Kind::ping:
    case Kind::pong:
      expect(event.payload.size() <= kControlPayloadBytesMax);
      break;
    case Kind::close:
      expect(event.code == CloseCode::none ? event.payload.empty() : is_wire_close_code(event.code));
      expect(valid_utf8(event.payload));
      break;
    case Kind::error:
      expect(is_wire_close_code(event.code) && !event.problem.empty() && event.payload.empty());
      break;
    case Kind::need_more:
      expect(false);
  }
}

std::vector<Seen> read(const uint8_t* wire, size_t size, uint64_t limit, Prng* prng) {
  WebSocketReader reader(limit);
  std::vector<Seen> seen;
  size_t arrived = 0;
  while (size > 0) {
    const size_t bytes =
        prng == nullptr ? size : std::min<size_t>(size, 1 + prng->below(prng->chance(0.5) ? 3 : 64));
    const auto chunk = std::make_unique<std::byte[]>(bytes);
    std::memcpy(chunk.get(), wire, bytes);
    wire += bytes;
    size -= bytes;
    arrived += bytes;
    MutableBytes input(chunk.get(), bytes);
    for (;;) {
      const WebSocketReader::Event event = reader.next(input);
      if (event.kind == Kind::need_more) break;
      expect(seen.empty() || (seen.back().kind != Kind::close && seen.back().kind != Kind::error));
      expect_promises(event, limit);
      seen.push_back({event.kind, event.code, std::string(as_text(event.payload))});
      std::fill(event.payload.begin(), event.payload.end(), std::byte{0xa5});  // it is ours to change
    }
    expect(input.empty());
    // 64 is the least; doubling costs at most twice what came; a cut control frame
    // lies behind the message.
    expect(reader.held_bytes() <= std::max<size_t>(64, 2 * arrived) + kControlPayloadBytesMax);
    expect(reader.held_bytes() <= std::max<uint64_t>(64, limit) + kControlPayloadBytesMax);
  }
  return seen;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  if (size < 2) return 0;
  Prng prng(data[0]);
  const uint64_t limits[] = {UINT32_MAX, 1 << 16, 300, 10};
  const uint64_t limit = limits[data[1] & 3];
  expect(read(data + 2, size - 2, limit, nullptr) == read(data + 2, size - 2, limit, &prng));
  return 0;
}
