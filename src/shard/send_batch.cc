#include "shard/send_batch.h"

#include <sys/socket.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

#include "shard/connection.h"
#include "shard/shard.h"
#include "shard/stream.h"
#include "shard/tls_link.h"

namespace ringcast {

std::byte* SendBatch::scratch(size_t bytes) {
  if (scratch_.empty() || scratch_used_ + bytes > kScratchBlockBytes) {
    if (!scratch_.empty()) ++scratch_block_;
    if (scratch_block_ == scratch_.size()) {
      scratch_.push_back(std::make_unique_for_overwrite<std::byte[]>(kScratchBlockBytes));
    }
    scratch_used_ = 0;
  }
  std::byte* const from = scratch_[scratch_block_].get() + scratch_used_;
  scratch_used_ += bytes;
  return from;
}

void SendBatch::add(Connection& connection) {
  if (connection.batch_entry != kNotInBatch || !connection.can_send()) return;
  Entry entry{.connection = connection.id(),
              .urgent_bytes = 0,
              .data_bytes = 0,
              .bytes = 0,
              .offered = 0,
              .wire = 0,
              .first_move = static_cast<uint32_t>(moves_.size()),
              .moves = 0,
              .result = 0,
              .held_back = false};
  parts_.clear();
  if (TlsLink* const link = connection.tls()) {
    if (!seal_into(*link, connection, entry)) return;
  } else {
    gather(connection, entry, kBytesMax);
    if (parts_.empty()) return;
    entry.offered = entry.wire = entry.bytes;
    submit_parts(connection, entry);
  }
  awaited_ = awaited_ || entry.held_back || connection.awaits_settling() || shard_.draining();
  connection.batch_entry = static_cast<uint32_t>(entries_.size());
  entries_.push_back(entry);
}

// What waits, in the order of the wire, until it is `bytes_max` or more.
void SendBatch::gather(Connection& connection, Entry& entry, size_t bytes_max) {
  if (const Outbox* outbox = connection.outbox()) {
    entry.urgent_bytes = outbox->urgent.unsent().size();
    entry.data_bytes = outbox->data.unsent().size();
    entry.bytes = entry.urgent_bytes + entry.data_bytes;
    for (const Bytes part : {outbox->urgent.unsent(), outbox->data.unsent()}) {
      if (!part.empty()) parts_.push_back({const_cast<std::byte*>(part.data()), part.size()});
    }
  }
  for (Subscription* subscription = connection.subscriptions(); subscription != nullptr;
       subscription = subscription->next) {
    FrameLog& log = subscription->log.bytes;
    if (subscription->cursor == log.head()) continue;
    if (parts_.size() >= kPartsMax || entry.bytes >= bytes_max) {
      shard_.mark_dirty(connection);  // the rest goes with the next turn
      return;
    }
    log.gather(subscription->cursor, parts_);
    entry.bytes += static_cast<size_t>(log.head() - subscription->cursor);
    moves_.push_back({subscription, subscription->cursor, log.head()});
    log.move(subscription->cursor, log.head());
    subscription->cursor = log.head();
    ++entry.moves;
  }
}

void SendBatch::submit_parts(Connection& connection, const Entry& entry) {
  const Token token = token_of(connection.id());
  if (parts_.size() == 1) {
    shard_.submit(Submission::send(connection.fd(), token,
                                   Bytes(static_cast<std::byte*>(parts_[0].iov_base), parts_[0].iov_len)));
  } else if (entry.bytes <= kCopyBytesMax) {
    shard_.submit(Submission::send(connection.fd(), token, contiguous(entry.bytes)));
  } else {
    if (iovecs_used_ == iovecs_.size()) iovecs_.emplace_back();
    std::vector<iovec>& kept = iovecs_[iovecs_used_++];
    kept.assign(parts_.begin(), parts_.end());
    shard_.submit(Submission::send(connection.fd(), token, kept));
  }
}

// The parts in one run, which costs the kernel less than iovecs. Those of one log whose
// cursors are equal are sent the same, mostly one after the other: one copy serves them all.
Bytes SendBatch::contiguous(size_t bytes) {
  const auto equal = [](const iovec& a, const iovec& b) {
    return a.iov_base == b.iov_base && a.iov_len == b.iov_len;
  };
  if (!std::ranges::equal(parts_, copied_parts_, equal)) {
    std::byte* to = scratch(bytes);
    copied_ = Bytes(to, bytes);
    for (const iovec& part : parts_) {
      std::memcpy(to, part.iov_base, part.iov_len);
      to += part.iov_len;
    }
    copied_parts_.assign(parts_.begin(), parts_.end());
  }
  return copied_;
}

// With TLS: seals as much as the window allows and sends records. What was gathered
// beyond it is put back when the batch is settled, as of any short send.
bool SendBatch::seal_into(TlsLink& link, Connection& connection, Entry& entry) {
  const size_t room = link.room();
  if (room > 0) gather(connection, entry, room);
  sealed_parts_.clear();
  for (const iovec& part : parts_) {
    const size_t bytes = std::min(part.iov_len, room - entry.offered);
    if (bytes == 0) break;
    sealed_parts_.push_back(Bytes(static_cast<const std::byte*>(part.iov_base), bytes));
    entry.offered += bytes;
  }
  if (!sealed_parts_.empty()) link.seal(sealed_parts_);
  // Without room nobody looked what else there is.
  entry.held_back = room == 0 || entry.offered < entry.bytes;
  const Bytes records = link.unsent();
  if (records.empty()) return false;
  entry.wire = records.size();
  shard_.submit(Submission::send(connection.fd(), token_of(connection.id()), records));
  return true;
}

void SendBatch::settle(const std::vector<Completion>& short_sends) {
  if (entries_.empty()) {
    RC_ASSERT(short_sends.empty());
    return;
  }
  for (Entry& entry : entries_) entry.result = static_cast<int32_t>(std::min<size_t>(entry.wire, INT32_MAX));
  for (const Completion& completion : short_sends) {
    const uint32_t at = shard_.connection(connection_of(completion.token)).batch_entry;
    RC_ASSERT(at < entries_.size());
    entries_[at].result = completion.result;
  }

  Counters& counters = shard_.counters();
  counters.sends.add(entries_.size());
  counters.short_sends.add(short_sends.size());
  for (Entry& entry : entries_) settle(entry, shard_.connection(entry.connection));

  // Now every cursor is where its peer is, and what nobody needs may go.
  for (StreamLog* log : trimmable_) log->bytes.trim();
  trimmable_.clear();
  entries_.clear();
  awaited_ = false;
  moves_.clear();
  copied_parts_.clear();
  scratch_block_ = scratch_used_ = iovecs_used_ = 0;

  for (const auto& [id, error] : failed_) {
    if (Connection* connection = shard_.find(id)) connection->send_failed(error);
  }
  failed_.clear();
}

void SendBatch::settle(Entry& entry, Connection& connection) {
  connection.batch_entry = kNotInBatch;
  const size_t taken = entry.result > 0 ? static_cast<size_t>(entry.result) : 0;
  shard_.counters().sent_bytes.add(taken);

  size_t left = taken;
  if (TlsLink* const link = connection.tls()) {
    link->taken(taken);
    left = entry.offered;  // sealed: as good as sent
    if (taken == entry.wire && entry.held_back) shard_.mark_dirty(connection);
  }
  if (Outbox* outbox = connection.outbox()) {
    const size_t urgent = std::min(left, entry.urgent_bytes);
    outbox->urgent.sent += urgent;
    left -= urgent;
    if (outbox->urgent.empty()) {
      outbox->urgent.clear();
      outbox->ping_queued = false;
    }
    const size_t data = std::min(left, entry.data_bytes);
    if (data > 0) outbox->data_taken(data);
    left -= data;
  }
  for (uint32_t i = 0; i < entry.moves; ++i) {
    const Move& move = moves_[entry.first_move + i];
    FrameLog& log = move.subscription->log.bytes;
    const auto whole = static_cast<size_t>(move.to - move.from);
    if (left >= whole) {
      left -= whole;
      // Only a log that somebody has left behind can have something to free.
      trimmable_.push_back(&move.subscription->log);
      continue;
    }
    const FrameLog::Advance reached = log.advance(move.from, left);
    left = 0;
    if (!reached.rest.empty()) connection.prepend_rest(reached.rest);
    log.move(move.to, reached.cursor);
    move.subscription->cursor = reached.cursor;
  }

  if (entry.result < 0) failed_.emplace_back(entry.connection, -entry.result);
  connection.send_settled(taken, taken == entry.wire);
}

}  // namespace ringcast
