// Any negotiation and any compressed conversation. The answer to an offer is an offer
// whose answer is itself; the reader says the same events for any chunking as for one
// piece, keeps its promises about them, and holds no more than its limit; and what the
// Deflater makes of the bytes, the Inflater undoes.
//
// The input: one octet seeds the chunking, one chooses limit, pool and takeover; a line
// with the client's offers; then frames, each as an octet of flags, one of length, and
// its payload. Framing is spared the fuzzer here: websocket_fuzz.cc is about that.
#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <memory>
#include <string>
#include <vector>

#include "base/prng.h"
#include "base/utf8.h"
#include "protocol/deflate.h"
#include "protocol/websocket.h"
#include "tests/support/client_frames.h"
#include "tests/support/http_script.h"

namespace {

using namespace ringcast;
using Kind = WebSocketReader::Event::Kind;

std::optional<DeflateParameters> negotiated(std::string_view offers, const DeflatePolicy& policy) {
  HttpRequestParser parser({});
  HeapBytes head("GET / HTTP/1.1\r\nHost: a\r\nSec-WebSocket-Extensions: " + std::string(offers) +
                 "\r\n\r\n");
  MutableBytes input = head.bytes();
  if (parser.next(input).kind != HttpRequestParser::Event::Kind::head) return std::nullopt;
  return negotiate_deflate(parser.request(), policy);
}

DeflateParameters negotiate(std::string_view offers, bool takeover) {
  const auto parameters = negotiated(offers, {.client_takeover = takeover});
  if (!parameters) return {.client_no_context_takeover = !takeover};
  require(takeover || parameters->client_no_context_takeover);
  require(parameters->sender_window_bits() == 9 || parameters->sender_window_bits() == 15);
  require(parameters->server_window_bits_cap == 0 ||
          parameters->sender_window_bits() <= parameters->server_window_bits_cap);
  const std::string response = deflate_response(*parameters);
  const auto again = negotiated(response, {.client_takeover = true});
  require(again && deflate_response(*again) == response);
  return *parameters;
}

struct Seen {
  Kind kind;
  CloseCode code;
  std::string payload;
  friend bool operator==(const Seen&, const Seen&) = default;
};

std::vector<Seen> read(std::string_view wire, uint64_t limit, size_t lent_max,
                       const DeflateParameters& parameters, Prng* prng) {
  InflaterPool pool(lent_max);
  WebSocketReader reader(limit, pool, parameters);
  std::vector<Seen> seen;
  size_t arrived = 0;
  while (!wire.empty()) {
    const size_t bytes = prng == nullptr
                             ? wire.size()
                             : std::min<size_t>(wire.size(), 1 + prng->below(prng->chance(0.5) ? 3 : 64));
    HeapBytes chunk(wire.substr(0, bytes));
    wire.remove_prefix(bytes);
    arrived += bytes;
    MutableBytes input = chunk.bytes();
    for (;;) {
      const WebSocketReader::Event event = reader.next(input);
      // One octet proves a message too long; a cut control frame lies behind it; and
      // compressed octets wait where nothing could be borrowed.
      require(reader.held_bytes() <=
              std::max<uint64_t>({64, limit + 1, 2 * arrived}) + kControlPayloadBytesMax);
      if (event.kind == Kind::need_more) break;
      require(seen.empty() || (seen.back().kind != Kind::close && seen.back().kind != Kind::error));
      if (event.kind == Kind::text) require(valid_utf8(event.payload));
      if (event.kind == Kind::text || event.kind == Kind::binary) require(event.payload.size() <= limit);
      if (event.kind == Kind::error) require(is_wire_close_code(event.code) && pool.lent() == 0);
      seen.push_back({event.kind, event.code, std::string(as_text(event.payload))});
      std::fill(event.payload.begin(), event.payload.end(), std::byte{0xa5});  // it is ours to change
    }
    require(input.empty());
    require(pool.lent() <= std::min<size_t>(lent_max, parameters.client_no_context_takeover));
  }
  return seen;
}

void expect_round_trip(std::string_view message, uint8_t window_bits) {
  Deflater deflater(window_bits, {.level = 1 + static_cast<int>(message.size() % 9)});
  Inflater inflater(window_bits);
  const Bytes parts[] = {as_bytes(message.substr(0, message.size() / 2)),
                         as_bytes(message.substr(message.size() / 2))};
  std::vector<std::byte> payload;
  if (!deflater.compress(parts, payload)) {
    require(payload.empty());
    return;
  }
  require(payload.size() < message.size());
  payload.insert(payload.end(), std::begin(Inflater::kTail), std::end(Inflater::kTail));
  std::vector<std::byte> out(message.size() + 1);
  Bytes input = payload;
  MutableBytes room = out;
  require(inflater.inflate(input, room) == Inflater::Outcome::progress);
  require(input.empty() && room.size() == 1 && inflater.at_end());
  require(as_text(out).substr(0, message.size()) == message);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  if (size < 2) return 0;
  Prng prng(data[0]);
  const uint8_t choice = data[1];
  std::string_view rest(reinterpret_cast<const char*>(data) + 2, size - 2);

  constexpr uint64_t kLimits[] = {1 << 20, 1 << 16, 300, 10};
  const size_t line_end = std::min(rest.find('\n'), rest.size());
  DeflateParameters parameters = negotiate(rest.substr(0, line_end), (choice & 4) != 0);
  // zlib lets what lies in one output refer further back than a small window, so that
  // breaking the agreement means different things in different chunks.
  parameters.client_window_bits = 0;
  rest.remove_prefix(std::min(line_end + 1, rest.size()));
  expect_round_trip(rest, (choice & 8) != 0 ? 9 : 15);

  std::string wire;
  while (rest.size() >= 2) {
    constexpr unsigned kOpcodes[] = {0, 1, 2, 9};
    const auto flags = static_cast<uint8_t>(rest[0]);
    const std::string_view payload = rest.substr(2, static_cast<uint8_t>(rest[1]));
    rest.remove_prefix(2 + payload.size());
    wire += encode({.opcode = flags == 0xff ? 8 : kOpcodes[flags & 3],
                    .payload = payload,
                    .fin = (flags & 4) != 0,
                    .rsv = (flags & 8) != 0 ? 4u : 0u});
  }
  const size_t lent_max = (choice >> 4) & 1;
  const uint64_t limit = kLimits[choice & 3];
  require(read(wire, limit, lent_max, parameters, nullptr) == read(wire, limit, lent_max, parameters, &prng));
  return 0;
}
