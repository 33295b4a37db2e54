// Any bytes, in any chunks: the frame parser says the same frames as for one piece, and
// everything it consumed is accounted for. The first input byte seeds the chunking, the
// second chooses limit and RSV1; the rest is the wire.
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <string>
#include <vector>

#include "base/prng.h"
#include "protocol/frame_parser.h"

namespace {

using ringcast::CloseCode;
using ringcast::FrameParser;
using ringcast::MutableBytes;
using ringcast::Opcode;
using ringcast::Prng;
using ringcast::Rsv1;
using Kind = FrameParser::Event::Kind;

void expect(bool condition) {
  if (!condition) std::abort();
}

struct Frame {
  Opcode opcode;
  bool fin;
  bool compressed;
  uint64_t payload_bytes;
  std::string payload;
  CloseCode error = CloseCode::none;
  friend bool operator==(const Frame&, const Frame&) = default;
};

// `prng` null: in one piece.
std::vector<Frame> parse(const uint8_t* wire, size_t size, uint64_t limit, Rsv1 rsv1, Prng* prng) {
  FrameParser parser(limit, rsv1);
  std::vector<Frame> frames;
  while (size > 0) {
    const size_t bytes =
        prng == nullptr ? size : std::min<size_t>(size, 1 + prng->below(prng->chance(0.5) ? 3 : 64));
    // Exactly as large as the chunk and gone after it.
    const auto chunk = std::make_unique<std::byte[]>(bytes);
    std::memcpy(chunk.get(), wire, bytes);
    wire += bytes;
    size -= bytes;
    MutableBytes input(chunk.get(), bytes);
    for (;;) {
      const FrameParser::Event event = parser.next(input);
      if (event.kind == Kind::need_more) break;
      if (event.kind == Kind::error) {
        expect(event.error != CloseCode::none && !event.problem.empty());
        frames.push_back({Opcode::close, false, false, 0, "", event.error});
        continue;
      }
      expect(frames.empty() || frames.back().error == CloseCode::none);
      if (event.frame_begin) {
        const uint64_t declared = event.payload.size() + event.rest_bytes;
        expect(declared <= limit || is_control(event.opcode));
        expect(!is_control(event.opcode) || (event.fin && declared <= 125));
        expect(!event.compressed || rsv1 == Rsv1::marks_compressed);
        frames.push_back({event.opcode, event.fin, event.compressed, declared, ""});
      }
      frames.back().payload += ringcast::as_text(event.payload);
      expect(frames.back().payload.size() + event.rest_bytes == frames.back().payload_bytes);
    }
    expect(input.empty());
  }
  return frames;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  if (size < 2) return 0;
  Prng prng(data[0]);
  const uint64_t limits[] = {UINT64_MAX, 1 << 20, 200, 0};
  const uint64_t limit = limits[data[1] & 3];
  const Rsv1 rsv1 = (data[1] & 4) != 0 ? Rsv1::marks_compressed : Rsv1::refused;
  const auto whole = parse(data + 2, size - 2, limit, rsv1, nullptr);
  const auto chunked = parse(data + 2, size - 2, limit, rsv1, &prng);
  expect(whole == chunked);
  return 0;
}
