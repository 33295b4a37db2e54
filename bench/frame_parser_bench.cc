// Question: what does taking a client's frames apart cost beyond touching its bytes, and
// is reading a header where it lies worth its own path?
//
// An echo of 64 bytes at depth 16 is about 250 ns in all, so the reader has some 20 ns
// of them. Were headers cut in two (the gathering path) less than twice as dear as whole
// ones, the fast path would go. Were the reader's share over the parser's (UTF-8, message
// rules, one more event) above 20 ns for small messages, the two would become one class.
#include <benchmark/benchmark.h>

#include <algorithm>
#include <string>

#include "protocol/frame_parser.h"
#include "protocol/websocket.h"
#include "support/client_frames.h"

namespace ringcast {
namespace {

constexpr size_t kInputBytes = 256 * 1024;

// Frames of `payload_bytes` back to back, about one receive buffer full of them. The key
// is zero, so that unmasking in place leaves the input fit for the next iteration; what
// is measured does not depend on the key.
std::string frames(unsigned opcode, size_t payload_bytes) {
  const std::string frame =
      encode({.opcode = opcode, .payload = std::string(payload_bytes, 'x'), .key = {0, 0, 0, 0}});
  std::string wire;
  do wire += frame;
  while (wire.size() + frame.size() <= kInputBytes);
  return wire;
}

void count(benchmark::State& state, const std::string& wire, size_t payload_bytes) {
  const size_t frame_bytes = encode({.payload = std::string(payload_bytes, 'x')}).size();
  state.SetBytesProcessed(static_cast<int64_t>(state.iterations() * wire.size()));
  state.SetItemsProcessed(static_cast<int64_t>(state.iterations() * (wire.size() / frame_bytes)));
}

void BM_FrameParser(benchmark::State& state) {
  const auto payload_bytes = static_cast<size_t>(state.range(0));
  std::string wire = frames(2, payload_bytes);
  FrameParser parser(kFrameBytesMax);
  for (auto _ : state) {
    MutableBytes input(reinterpret_cast<std::byte*>(wire.data()), wire.size());
    for (;;) {
      const auto event = parser.next(input);
      benchmark::DoNotOptimize(event.payload.data());
      if (event.kind == FrameParser::Event::Kind::need_more) break;
    }
  }
  count(state, wire, payload_bytes);
}

// The same with every header cut after its first octet.
void BM_FrameParserCutHeaders(benchmark::State& state) {
  const auto payload_bytes = static_cast<size_t>(state.range(0));
  std::string wire = frames(2, payload_bytes);
  const size_t frame_bytes = encode({.payload = std::string(payload_bytes, 'x')}).size();
  FrameParser parser(kFrameBytesMax);
  for (auto _ : state) {
    auto* at = reinterpret_cast<std::byte*>(wire.data());
    for (size_t done = 0; done < wire.size(); done += frame_bytes, at += frame_bytes) {
      MutableBytes start(at, 1);
      MutableBytes rest(at + 1, frame_bytes - 1);
      benchmark::DoNotOptimize(parser.next(start));
      benchmark::DoNotOptimize(parser.next(rest));
    }
  }
  count(state, wire, payload_bytes);
}

void read_messages(benchmark::State& state, unsigned opcode) {
  const auto payload_bytes = static_cast<size_t>(state.range(0));
  std::string wire = frames(opcode, payload_bytes);
  WebSocketReader reader(kFrameBytesMax);
  for (auto _ : state) {
    MutableBytes input(reinterpret_cast<std::byte*>(wire.data()), wire.size());
    for (;;) {
      const auto event = reader.next(input);
      benchmark::DoNotOptimize(event.payload.data());
      if (event.kind == WebSocketReader::Event::Kind::need_more) break;
    }
  }
  count(state, wire, payload_bytes);
}

void BM_ReaderBinary(benchmark::State& state) {
  read_messages(state, 2);
}
void BM_ReaderText(benchmark::State& state) {
  read_messages(state, 1);
}

// A message of 1 MiB in inputs of so many bytes: what gathering adds.
void BM_ReaderAssembles(benchmark::State& state) {
  const auto chunk_bytes = static_cast<size_t>(state.range(0));
  std::string wire = encode({.opcode = 2, .payload = std::string(1 << 20, 'x'), .key = {0, 0, 0, 0}});
  WebSocketReader reader(kFrameBytesMax);
  for (auto _ : state) {
    for (size_t at = 0; at < wire.size(); at += chunk_bytes) {
      MutableBytes input(reinterpret_cast<std::byte*>(wire.data()) + at,
                         std::min(chunk_bytes, wire.size() - at));
      while (reader.next(input).kind != WebSocketReader::Event::Kind::need_more) {
      }
    }
  }
  state.SetBytesProcessed(static_cast<int64_t>(state.iterations() * wire.size()));
}

BENCHMARK(BM_FrameParser)->Arg(0)->Arg(16)->Arg(64)->Arg(125)->Arg(1024)->Arg(65536);
BENCHMARK(BM_FrameParserCutHeaders)->Arg(16)->Arg(64)->Arg(1024);
BENCHMARK(BM_ReaderBinary)->Arg(0)->Arg(16)->Arg(64)->Arg(125)->Arg(1024)->Arg(65536);
BENCHMARK(BM_ReaderText)->Arg(0)->Arg(16)->Arg(64)->Arg(125)->Arg(1024)->Arg(65536);
BENCHMARK(BM_ReaderAssembles)->Arg(1500)->Arg(16384)->Arg(65536);

}  // namespace
}  // namespace ringcast
