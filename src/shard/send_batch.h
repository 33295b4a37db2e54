// The sends of one turn: gathered from outboxes and cursors into one submission a
// connection, and settled when the backend has said which of them fell short.
// Owned by the shard; its thread only.
//
// Cursors move at once, as if every send took everything, since nearly all do; those
// of a short send are put back, to a frame boundary. Between gathering and settling
// nothing is appended to a log or an outbox, and nothing is freed.
#pragma once

#include <sys/uio.h>

#include <cstddef>
#include <cstdint>
#include <memory>
#include <vector>

#include "base/slab.h"
#include "io/backend.h"
#include "shard/frame_log.h"

namespace ringcast {

class Connection;
class Shard;
class TlsLink;
struct StreamLog;
struct Subscription;

class SendBatch {
 public:
  explicit SendBatch(Shard& shard) : shard_(shard) {}

  // Gathers what the connection has to send and submits it. Nothing if that is
  // nothing, or if it has a send in this batch already.
  void add(Connection& connection);

  // After the backend's turn: moves every connection's outbox and cursors to where
  // its send really ended, then tells each connection. Connections whose send failed
  // are ended last, when nothing refers to a cursor any more.
  void settle(const std::vector<Completion>& short_sends);

  size_t size() const { return entries_.size(); }
  // Somebody cannot go on before this batch is settled: the turn that sends it must not
  // sleep. For all others sending is the end of the matter, and worth no turn of its own.
  bool awaited() const { return awaited_; }

 private:
  static constexpr size_t kCopyBytesMax = 16 * 1024;  // parts up to this in all are copied into one
  static constexpr size_t kPartsMax = 512;            // below IOV_MAX
  // No socket takes more at once, and a backend's results have 31 bits.
  static constexpr size_t kBytesMax = 16 * 1024 * 1024;
  static constexpr size_t kScratchBlockBytes = 256 * 1024;

  struct Entry {
    SlotId connection;
    size_t urgent_bytes;
    size_t data_bytes;
    size_t bytes;    // of outbox and streams, in all
    size_t offered;  // of those: with TLS, what was sealed; else all
    size_t wire;     // given to the socket
    uint32_t first_move;
    uint32_t moves;
    int32_t result;  // of `wire`: bytes taken, or -errno
    bool held_back;  // with TLS: there may be more than was sealed, which nothing but settling wakes
  };
  // A cursor moved ahead of its send.
  struct Move {
    Subscription* subscription;
    FrameLog::Cursor from;
    FrameLog::Cursor to;
  };

  std::byte* scratch(size_t bytes);
  void gather(Connection& connection, Entry& entry, size_t bytes_max);
  Bytes contiguous(size_t bytes);
  void submit_parts(Connection& connection, const Entry& entry);
  bool seal_into(TlsLink& link, Connection& connection, Entry& entry);
  void settle(Entry& entry, Connection& connection);

  Shard& shard_;
  std::vector<Entry> entries_;
  bool awaited_ = false;
  std::vector<Move> moves_;
  std::vector<iovec> parts_;         // of the send being gathered
  std::vector<iovec> copied_parts_;  // of which the last copy in scratch_ was made: copied_
  Bytes copied_;
  std::vector<Bytes> sealed_parts_;
  // What submissions point to until the backend has turned: never moves meanwhile.
  std::vector<std::unique_ptr<std::byte[]>> scratch_;
  size_t scratch_block_ = 0, scratch_used_ = 0;
  std::vector<std::vector<iovec>> iovecs_;
  size_t iovecs_used_ = 0;
  std::vector<StreamLog*> trimmable_;
  std::vector<std::pair<SlotId, int>> failed_;
};

}  // namespace ringcast
