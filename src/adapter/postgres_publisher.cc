// NOTIFY and its answers. Owned by the PostgreSQL adapter; its thread only.
#include "adapter/postgres_publisher.h"

#include <postgresql/libpq-fe.h>

#include <array>
#include <utility>

#include "adapter/postgres_exclusion.h"

namespace ringcast {
namespace {

// What one break can cost at most. Enough for PostgreSQL to be always at work.
constexpr size_t kOnTheirWayMax = 512;

constexpr Oid kTextOid = 25;

}  // namespace

void PostgresPublisher::push(MessageRef message, Instant now) {
  on_their_way_.push_back({std::move(message), now, {}});
  counters_.unacknowledged.store(on_their_way_.size(), std::memory_order_relaxed);
}

void PostgresPublisher::begin(Instant now) {
  begun_ = true;
  pg_conn* connection = connection_.get();
  // A transaction that notifies waits for the disk when it commits, though a notification is
  // never on it.
  if (PQenterPipelineMode(connection) != 1 ||
      PQsendQueryParams(connection, "SET synchronous_commit = off", 0, nullptr, nullptr, nullptr, nullptr,
                        0) != 1 ||
      PQpipelineSync(connection) != 1) {
    connection_.close_with_error();
    return;
  }
  push({}, now);
  connection_.flush();
}

void PostgresPublisher::notify(std::span<const Notification> notifications) {
  // Binary, which for text is its bytes, because a payload does not end with a zero.
  const std::array<Oid, 4> types = {kTextOid, kTextOid, kTextOid, kTextOid};
  const std::array<int, 4> formats = {1, 1, 1, 1};
  std::array<const char*, 4> values = {};
  std::array<int, 4> lengths = {};
  size_t count = 0;
  for (const Notification& notification : notifications) {
    for (const std::string_view text : {notification.channel, notification.payload}) {
      values[count] = text.empty() ? "" : text.data();
      lengths[count++] = static_cast<int>(text.size());
    }
  }
  const char* const statement =
      count == 2 ? "SELECT pg_notify($1,$2)" : "SELECT pg_notify($1,$2),pg_notify($3,$4)";
  if (PQsendQueryParams(connection_.get(), statement, static_cast<int>(count), types.data(), values.data(),
                        lengths.data(), formats.data(), 0) != 1 ||
      PQpipelineSync(connection_.get()) != 1) {
    connection_.close_with_error();
  }
}

void PostgresPublisher::fill(Instant now) {
  bool sent = false;
  while (connection_.ready() && !unsent_.empty() && on_their_way_.size() < kOnTheirWayMax) {
    MessageRef message = std::move(unsent_.front());
    unsent_.pop_front();
    queue_.sent(*message);
    const std::string channel = to_wire_(message->stream());
    const Notification notification = {channel, as_text(message->payload())};
    if (const std::string socket = message->excluded() ? socket_name_(message->excluded()) : "";
        socket.empty()) {
      notify({&notification, 1});
    } else {
      const std::string exclusion = PostgresExclusion::of(socket, channel, notification.payload).to_string();
      notify(std::array{Notification{kPostgresExclusionChannel, exclusion}, notification});
    }
    push(std::move(message), now);
    sent = true;
  }
  if (sent) connection_.flush();
}

void PostgresPublisher::publish_canary(const std::string& channel, std::string_view text, Instant now) {
  if (!connection_.ready()) return;
  const Notification notification = {channel, text};
  notify({&notification, 1});
  push({}, now);
  connection_.flush();
}

void PostgresPublisher::take_results(Instant now) {
  bool ended = false;  // one null ends a query, two in a row are all there is
  while (connection_.ready() && !on_their_way_.empty() && PQisBusy(connection_.get()) == 0) {
    const PostgresResult result(PQgetResult(connection_.get()));
    if (result == nullptr) {
      if (std::exchange(ended, true)) return;
      continue;
    }
    ended = false;
    switch (PQresultStatus(result.get())) {
      case PGRES_PIPELINE_SYNC:
        settle(now);
        break;
      case PGRES_FATAL_ERROR:
        on_their_way_.front().error = one_line(PQresultErrorMessage(result.get()));
        break;
      default:
        break;
    }
  }
}

void PostgresPublisher::settle(Instant now) {
  const OnItsWay answered = std::move(on_their_way_.front());
  on_their_way_.pop_front();
  counters_.unacknowledged.store(on_their_way_.size(), std::memory_order_relaxed);
  if (!answered.message) return;
  if (answered.error.empty()) {
    AdapterCounters::add(counters_.published);
    return;
  }
  AdapterCounters::add(counters_.publish_refused);
  log_.log(now, LogLevel::error, "adapter_publish_refused",
           {{"stream", answered.message->stream()}, {"error", answered.error}});
}

void PostgresPublisher::lost(Instant now) {
  uint64_t lost = 0;
  for (const OnItsWay& one : on_their_way_) lost += one.message ? 1 : 0;
  on_their_way_.clear();
  begun_ = false;
  counters_.unacknowledged.store(0, std::memory_order_relaxed);
  if (lost == 0) return;
  AdapterCounters::add(counters_.publish_lost, lost);
  log_.log(now, LogLevel::error, "adapter_publishes_lost", {{"count", lost}});
}

}  // namespace ringcast
