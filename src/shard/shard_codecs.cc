// What a shard does to bytes besides framing them: TLS handshakes, a few a turn, and
// compression, once for everybody who takes the same.
#include "shard/shard.h"

namespace ringcast {
namespace {

// Receives of handshakes under way; a full handshake is two, of which one signs.
constexpr size_t kHandshakesPerTurn = 8;

}  // namespace

bool Shard::may_shake_hands(const Connection& connection) {
  if (handshakes_left_ > 0) {
    --handshakes_left_;
    return true;
  }
  counters_.tls_deferrals.add();
  waiting_for_handshake_.push_back(connection.id());
  return false;
}

// Those who wait go before those who come.
void Shard::shake_waiting_hands() {
  handshakes_left_ = kHandshakesPerTurn;
  while (handshakes_left_ > 0 && !waiting_for_handshake_.empty()) {
    Connection* const connection = find(waiting_for_handshake_.front());
    waiting_for_handshake_.pop_front();
    if (connection != nullptr) connection->shake_hands();
  }
}

std::optional<Bytes> Shard::compress(uint8_t window_bits, std::span<const Bytes> parts) {
  if (window_bits == 0) return {};
  size_t bytes = 0;
  for (const Bytes part : parts) bytes += part.size();
  if (bytes < limits().deflate_bytes) return {};
  std::unique_ptr<Deflater>& deflater = deflaters_[window_bits == kWindowBitsMax ? 0 : 1];
  if (!deflater) deflater = std::make_unique<Deflater>(window_bits);
  compressed_.clear();
  if (!deflater->compress(parts, compressed_)) return {};
  counters_.compressions.add();
  counters_.compressed_in_bytes.add(bytes);
  counters_.compressed_out_bytes.add(compressed_.size());
  return compressed_;
}

}  // namespace ringcast
