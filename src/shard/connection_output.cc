// What a connection sends of its own, and what becomes of its sends.
#include <algorithm>
#include <cerrno>

#include "shard/connection_phase.h"
#include "shard/shard.h"
#include "shard/tls_link.h"

namespace ringcast {

Outbox& Connection::open_outbox() {
  std::unique_ptr<Outbox>& outbox = activity().outbox;
  if (!outbox) outbox = shard_.hub().outboxes().acquire();
  return *outbox;
}

void Connection::release_outbox() {
  shard_.hub().outboxes().release(std::move(activity_->outbox));
}

bool Connection::has_output() const {
  return activity_ && (outbox() != nullptr || (tls() != nullptr && !tls()->unsent().empty()));
}

size_t Connection::output_bytes() const {
  return outbox_bytes() + (tls() ? tls()->unsent().size() : 0);
}

std::vector<std::byte>& Connection::http_output() {
  RC_ASSERT(state_ == State::http);
  return open_outbox().urgent.bytes;
}

void Connection::count_outbox() {
  if (!activity_) return;
  const auto size = static_cast<uint32_t>(std::min<size_t>(output_bytes(), UINT32_MAX));
  uint32_t& counted = activity_->outbox_counted;
  shard_.counters().outbox_bytes.add(uint64_t{size} - counted);  // unsigned: a difference either way
  counted = size;
  rest();
}

void Connection::send_message(Opcode opcode, Bytes payload, uint32_t owner) {
  if (state_ != State::open) return;
  if (blocked_ && outbox_bytes() > shard_.limits().outbox_bytes) {
    shard_.counters().dropped_for(DropReason::connection_ended).add();
    close_too_slow();
    return;
  }
  take_streams_into_outbox(owner);
  append_message(open_outbox().data.bytes, opcode, payload);
  shard_.mark_dirty(*this);
}

void Connection::append_message(std::vector<std::byte>& to, Opcode opcode, Bytes payload) {
  if (const auto compressed = shard_.compress(window_bits_, std::span(&payload, 1))) {
    append_frame(to, opcode, *compressed, true);
  } else {
    append_frame(to, opcode, payload);
  }
}

void Connection::send_reply(Bytes text) {
  if (state_ != State::open) return;
  append_message(open_outbox().data.bytes, Opcode::text, text);
  shard_.mark_dirty(*this);
}

void Connection::send_urgent(Opcode opcode, Bytes payload) {
  if (state_ != State::open) return;
  append_frame(open_outbox().urgent.bytes, opcode, payload);
  shard_.mark_dirty(*this);
}

// What was broadcast before a message of the connection's own goes before it: it is
// copied, which costs only those who are sent something of their own.
void Connection::take_streams_into_outbox(uint32_t owner) {
  RC_ASSERT(batch_entry == kNotInBatch);
  for (Subscription* subscription = subscriptions_; subscription != nullptr;
       subscription = subscription->next) {
    if (owner == 0 || subscription->owner == owner) take_into_outbox(*subscription);
  }
}

void Connection::take_into_outbox(Subscription& subscription) {
  FrameLog& log = subscription.log.bytes;
  if (subscription.cursor == log.head()) return;
  std::vector<iovec> parts;
  log.gather(subscription.cursor, parts);
  log.move(subscription.cursor, log.head());
  subscription.cursor = log.head();
  auto& data = open_outbox().data.bytes;
  for (const iovec& part : parts) {
    const auto* from = static_cast<const std::byte*>(part.iov_base);
    data.insert(data.end(), from, from + part.iov_len);
  }
}

void Connection::leave(Subscription& subscription) {
  if (!blocked_ && state_ == State::open) {
    take_into_outbox(subscription);
    if (has_output()) shard_.mark_dirty(*this);
  }
  shard_.hub().unsubscribe(subscription);
}

void Connection::leave_logs_of(const Stream& stream) {
  RC_ASSERT(batch_entry == kNotInBatch);
  for (Subscription* subscription = subscriptions_; subscription != nullptr;
       subscription = subscription->next) {
    if (&subscription->log.stream == &stream) take_into_outbox(*subscription);
  }
  if (has_output()) shard_.mark_dirty(*this);
}

void Connection::skip_to_head_of(const Stream& stream) {
  for (Subscription* subscription = subscriptions_; subscription != nullptr;
       subscription = subscription->next) {
    if (&subscription->log.stream != &stream) continue;
    FrameLog& log = subscription->log.bytes;
    log.move(subscription->cursor, log.head());
    subscription->cursor = log.head();
  }
}

bool Connection::is(const SocketId& socket) const {
  const Session* const session = this->session();
  return session != nullptr && session->is(socket);
}

void Connection::prepend_rest(Bytes rest) {
  open_outbox().begin_with(rest);
}

void Connection::send_settled(size_t bytes, bool took_all) {
  if (bytes > 0) in_the_way_ = false;
  if (const Outbox* const outbox = this->outbox(); outbox != nullptr && outbox->empty()) release_outbox();
  count_outbox();
  if (took_all) {
    if (stall_begun_) {
      stall_begun_ = false;
      forget_impediments();
    }
  } else {
    wait_for_writability(bytes > 0);
  }
  if (paused_ || state_ == State::closing || shard_.draining()) shard_.look_after_settling(id());
}

Instant Connection::may_be_lapped_at() {
  const uint32_t queue_bytes = unacknowledged_bytes(fd_);
  Impeded& impeded = this->impeded();
  if (!in_the_way_ || queue_bytes != impeded.lap_queue_bytes) {
    in_the_way_ = true;
    impeded.lap_queue_bytes = queue_bytes;
    impeded.lap_grace_since = shard_.now();
  }
  return impeded.lap_grace_since + shard_.limits().lap_grace;
}

// After a stall only the newest counts, where that is the policy.
void Connection::catch_up_with_latest() {
  for (Subscription* subscription = subscriptions_; subscription != nullptr;
       subscription = subscription->next) {
    if (subscription->policy() != LapPolicy::latest) continue;
    const FrameLog::Cursor newest = subscription->log.bytes.newest_frame();
    if (subscription->cursor < newest) shard_.hub().skip(*subscription, newest, DropReason::superseded);
  }
}

void Connection::wait_for_writability(bool progress) {
  if (!stall_begun_) shard_.counters().stalls.add();
  if (!stall_begun_ || progress) impeded().stalled_since = shard_.now();
  stall_begun_ = true;
  blocked_ = true;
  shard_.note_stalled(*this);
  if (!poll_armed_) {
    poll_armed_ = true;
    shard_.submit(Submission::poll_writable(fd_, token_of(id())));
  }
  schedule();
}

void Connection::send_failed(int error) {
  if (state_ == State::terminating) return;
  const bool gone = error == EPIPE || error == ECONNRESET || error == ETIMEDOUT || error == ENOTCONN;
  if (gone && state_ == State::closing) {
    terminate(end_reason_);
  } else {
    terminate(gone ? EndReason::peer_vanished : EndReason::io_error);
  }
}

void Connection::after_settling() {
  if (state_ == State::closing) output_done();
  maybe_resume();
  // The drain found it in the middle of this answer, which did not say that it is the last.
  if (state_ == State::http && shard_.draining() && !has_output() && !paused_ && !http()->exchange.busy()) {
    terminate(EndReason::drain);
  }
}

}  // namespace ringcast
