// The two directions of permessage-deflate, RFC 7692 section 7.2, over zlib: Deflater
// makes a message's compressed payload, Inflater undoes what a client compressed, and
// InflaterPool lends a shard's few inflaters to its many connections. All of a shard's
// are owned by it and used on its thread alone. Frames and limits are the business of
// protocol/frame.h and protocol/websocket.h.
#pragma once

#include <zlib.h>

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "base/bytes.h"
#include "protocol/deflate_offer.h"

namespace ringcast {

// How hard to try, and with how much memory: 2^(window bits + 2) + 2^(memory_level + 9)
// bytes for each Deflater; half of the second term is cleared for every message.
// bench/deflate_bench.cc has what the choice costs.
struct DeflateEffort {
  int level = 1;         // 1 (fast) .. 9 (small)
  int memory_level = 5;  // 1 .. 9
};

// Compresses whole messages, each by itself. One for each window a shard sends with:
// DeflateParameters::sender_window_bits().
class Deflater {
 public:
  explicit Deflater(uint8_t window_bits, DeflateEffort effort = {});
  ~Deflater();
  Deflater(const Deflater&) = delete;
  Deflater& operator=(const Deflater&) = delete;

  // Appends the payload of a compressed frame for the message that `parts` make up, one
  // behind the other. False, and `out` as it was, where that would not be smaller than
  // the message: it is then sent as it is, which every receiver takes.
  bool compress(std::span<const Bytes> parts, std::vector<std::byte>& out);

 private:
  z_stream stream_{};
};

// Decompresses messages as their bytes come, into memory of the caller's. A peer that
// refers further back than the window it agreed to may be caught or not: zlib still
// follows it to what lies in the same `room`.
class Inflater {
 public:
  explicit Inflater(uint8_t window_bits = kWindowBitsMax);
  ~Inflater();
  Inflater(const Inflater&) = delete;
  Inflater& operator=(const Inflater&) = delete;

  // Forgets everything: the next message stands by itself.
  void reset();

  enum class Outcome : uint8_t {
    progress,  // `input` is used up, or `room` is full: then there may be more
    corrupt,   // no message goes on like this; what came before is in `room`
    no_memory,
  };
  // Consumes a prefix of `input`, fills a prefix of `room` (not empty) and shrinks each
  // to what is left of it.
  Outcome inflate(Bytes& input, MutableBytes& room);

  // Whether a message may end with the bytes seen, as they are. Where not, kTail has to
  // go through inflate() first.
  bool at_end() const;

  // What senders leave out, section 7.2.2: the rest of an empty stored block.
  static constexpr std::byte kTail[] = {std::byte{0}, std::byte{0}, std::byte{0xff}, std::byte{0xff}};

 private:
  z_stream stream_{};
};

// A shard's inflaters for messages that stand by themselves. Nearly all of them come
// whole with one input and are inflated within one call, for which one inflater serves
// every connection. Only a message still coming needs one to itself, for as long.
//
// A crowd that sends messages half and stops would pin an inflater (some 40 KiB) and a
// message inflated a thousandfold each. So no more than `lent_max` are lent at a time: a
// connection that gets none keeps the compressed bytes, as many as its peer sent, until
// its message has come whole. Lease by lease, memory is bounded by lent_max times
// (inflater + message limit), plus what peers really sent.
//
// Outlives every reader it is given to.
class InflaterPool {
 public:
  static constexpr size_t kLentMax = 16;

  explicit InflaterPool(size_t lent_max = kLentMax) : lent_max_(lent_max) {}
  InflaterPool(const InflaterPool&) = delete;
  InflaterPool& operator=(const InflaterPool&) = delete;
  ~InflaterPool();

  // Gives back to its pool, or destroys what belongs to none.
  struct Return {
    InflaterPool* pool = nullptr;
    void operator()(Inflater* inflater) const;
  };
  using Lease = std::unique_ptr<Inflater, Return>;

  // For use until the caller returns; reset.
  Inflater& momentary();
  // For a message still coming; reset. Null when lent_max are out.
  Lease borrow();

  size_t lent() const { return lent_; }

 private:
  Inflater momentary_;
  std::vector<std::unique_ptr<Inflater>> spare_;
  size_t lent_ = 0;
  size_t lent_max_;
};

}  // namespace ringcast
