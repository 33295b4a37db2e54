#include "protocol/deflate.h"

#include <algorithm>

#include "base/assert.h"
#include "protocol/frame_parser.h"

namespace ringcast {

namespace {

// zlib speaks raw deflate, without a header of its own, when the window is negative.
int raw(uint8_t window_bits) {
  return -static_cast<int>(std::clamp(window_bits, kWindowBitsMin, kWindowBitsMax));
}

// zlib's interface predates const.
Bytef* zlib_bytes(const std::byte* bytes) {
  return const_cast<Bytef*>(reinterpret_cast<const Bytef*>(bytes));
}

}  // namespace

Deflater::Deflater(uint8_t window_bits, DeflateEffort effort) {
  const int status = deflateInit2(&stream_, effort.level, Z_DEFLATED, raw(window_bits), effort.memory_level,
                                  Z_DEFAULT_STRATEGY);
  RC_ASSERT(status == Z_OK);
}

Deflater::~Deflater() {
  deflateEnd(&stream_);
}

bool Deflater::compress(std::span<const Bytes> parts, std::vector<std::byte>& out) {
  uint64_t message_bytes = 0;
  for (const Bytes part : parts) message_bytes += part.size();
  // zlib counts in 32 bits, and no peer takes a message like that anyway.
  if (message_bytes == 0 || message_bytes > kFrameBytesMax) return false;

  const size_t before = out.size();
  // Room for the longest result that is smaller than the message, its tail, and one
  // byte: if that is used up, the result is too long, or zlib has more to say.
  const auto room = static_cast<size_t>(message_bytes) + sizeof Inflater::kTail;
  out.resize(before + room);
  deflateReset(&stream_);
  stream_.next_out = zlib_bytes(out.data() + before);
  stream_.avail_out = static_cast<uInt>(room);
  for (size_t i = 0; i < parts.size(); ++i) {
    const bool last = i + 1 == parts.size();
    if (parts[i].empty() && !last) continue;
    stream_.next_in = zlib_bytes(parts[i].data());
    stream_.avail_in = static_cast<uInt>(parts[i].size());
    const int status = deflate(&stream_, last ? Z_SYNC_FLUSH : Z_NO_FLUSH);
    if (stream_.avail_out == 0) {
      out.resize(before);
      return false;
    }
    RC_ASSERT(status == Z_OK && stream_.avail_in == 0);
  }
  const size_t written = room - stream_.avail_out;
  RC_ASSERT(written > sizeof Inflater::kTail);
  out.resize(before + written - sizeof Inflater::kTail);
  RC_ASSERT(out.size() - before < message_bytes);
  return true;
}

Inflater::Inflater(uint8_t window_bits) {
  const int status = inflateInit2(&stream_, raw(window_bits));
  RC_ASSERT(status == Z_OK);
}

Inflater::~Inflater() {
  inflateEnd(&stream_);
}

void Inflater::reset() {
  inflateReset(&stream_);
}

Inflater::Outcome Inflater::inflate(Bytes& input, MutableBytes& room) {
  RC_ASSERT(!room.empty());
  auto outcome = Outcome::progress;
  // Also without input: what a full `room` left behind comes with the next one.
  for (;;) {
    const auto in = static_cast<uInt>(std::min<size_t>(input.size(), kFrameBytesMax));
    const auto out = static_cast<uInt>(std::min<size_t>(room.size(), kFrameBytesMax));
    stream_.next_in = zlib_bytes(input.data());
    stream_.avail_in = in;
    stream_.next_out = zlib_bytes(room.data());
    stream_.avail_out = out;
    const int status = ::inflate(&stream_, Z_SYNC_FLUSH);
    input = input.subspan(in - stream_.avail_in);
    room = room.subspan(out - stream_.avail_out);
    if (status == Z_STREAM_END) {
      // A final block (7.2.3.4) ends a stream within the message; what follows begins
      // another, and by RFC 1951 does not refer to anything before it.
      inflateReset(&stream_);
    } else if (status == Z_MEM_ERROR) {
      outcome = Outcome::no_memory;
      break;
    } else if (status != Z_OK && status != Z_BUF_ERROR) {
      outcome = Outcome::corrupt;
      break;
    }
    if (input.empty() || room.empty()) break;
  }
  return outcome;
}

// A message ends, its tail added, at a block's end on a byte's edge. It may be there
// without the tail: a peer that flushes twice with nothing between sends an empty message
// without any octet (zlib's users do, with context takeover), one that finishes its
// stream may leave out the empty block behind it, and one may forget to cut the tail.
// What they mean is plain.
bool Inflater::at_end() const {
  constexpr int kUnusedBits = 7;
  constexpr int kBetweenBlocks = 128;
  if (stream_.total_in == 0) return true;
  return (stream_.data_type & (kBetweenBlocks | kUnusedBits)) == kBetweenBlocks;
}

InflaterPool::~InflaterPool() {
  RC_ASSERT(lent_ == 0);
}

void InflaterPool::Return::operator()(Inflater* inflater) const {
  std::unique_ptr<Inflater> owned(inflater);
  if (pool == nullptr) return;
  --pool->lent_;
  pool->spare_.push_back(std::move(owned));
}

Inflater& InflaterPool::momentary() {
  momentary_.reset();
  return momentary_;
}

InflaterPool::Lease InflaterPool::borrow() {
  if (lent_ == lent_max_) return {};
  ++lent_;
  if (spare_.empty()) return Lease(new Inflater, Return{this});
  Inflater* inflater = spare_.back().release();
  spare_.pop_back();
  inflater->reset();
  return Lease(inflater, Return{this});
}

}  // namespace ringcast
