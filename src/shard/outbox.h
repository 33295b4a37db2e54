// Bytes a connection has to send besides its streams: answers, control frames,
// confirmations, transmits. It exists only while it holds something. Shard thread
// only. `urgent` goes first: HTTP answers, then the rest of a frame begun, control
// frames, pings, confirmations; it may be cut anywhere. Whole frames lie in `data`.
#pragma once

#include <cstddef>
#include <memory>
#include <vector>

#include "base/assert.h"
#include "base/bytes.h"
#include "base/spares.h"
#include "protocol/frame.h"

namespace ringcast {

struct Outbox {
  // One of the two halves: bytes [sent, size) are still to go.
  struct Lane {
    std::vector<std::byte> bytes;
    size_t sent = 0;

    Bytes unsent() const { return Bytes(bytes).subspan(sent); }
    bool empty() const { return sent == bytes.size(); }
    void clear() {
      bytes.clear();
      sent = 0;
    }
  };

  Lane urgent;
  Lane data;
  bool ping_queued = false;  // a ping waits unsent: never a second one behind it

  bool empty() const { return urgent.empty() && data.empty(); }
  size_t size() const { return urgent.unsent().size() + data.unsent().size(); }

  // `taken` bytes of the data lane were sent. Whatever is left of the frame begun
  // moves to the urgent lane, so that the data lane begins at a frame again.
  void data_taken(size_t taken) {
    RC_ASSERT(taken <= data.unsent().size());
    if (taken == data.unsent().size()) return data.clear();  // nearly always: no frame is begun
    size_t boundary = 0;
    while (boundary < taken) {
      const auto frame = static_cast<size_t>(frame_bytes(data.unsent().subspan(boundary)));
      RC_ASSERT(frame > 0);
      boundary += frame;
    }
    const Bytes rest = data.unsent().subspan(taken, boundary - taken);
    if (!rest.empty()) begin_with(rest);
    data.sent += boundary;
    if (data.empty()) data.clear();
  }

  // What is left of a frame begun elsewhere: it goes before everything.
  void begin_with(Bytes rest) {
    RC_ASSERT(urgent.empty());
    urgent.clear();
    urgent.bytes.assign(rest.begin(), rest.end());
  }
};

// Outboxes come and go with every burst; their memory stays.
class OutboxPool {
 public:
  std::unique_ptr<Outbox> acquire() { return spares_.acquire(); }
  void release(std::unique_ptr<Outbox> outbox) {
    if (outbox->urgent.bytes.capacity() > kSpareBytesMax || outbox->data.bytes.capacity() > kSpareBytesMax) {
      return;
    }
    outbox->urgent.clear();
    outbox->data.clear();
    outbox->ping_queued = false;
    spares_.release(std::move(outbox));
  }

 private:
  static constexpr size_t kSpareBytesMax = 256 * 1024;
  Spares<Outbox> spares_;
};

}  // namespace ringcast
