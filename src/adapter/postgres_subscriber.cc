// LISTEN, its answers, and notifications. Owned by the PostgreSQL adapter; its thread only.
#include "adapter/postgres_subscriber.h"

#include <postgresql/libpq-fe.h>

#include <utility>

namespace ringcast {
namespace {

constexpr size_t kBatchMax = 500;

std::string quoted(std::string_view name) {
  std::string identifier = "\"";
  for (const char c : name) {
    if (c == '"') identifier += '"';
    identifier += c;
  }
  return identifier + '"';
}

}  // namespace

// A stream of the exclusions' name is never acknowledged: its end would be theirs.
void PostgresSubscriber::want(std::string_view stream) {
  if (stream == kPostgresExclusionChannel) return;
  if (table_.want(stream)) sink_->subscribed(stream);
  count_streams();
}

void PostgresSubscriber::drop(std::string_view stream) {
  table_.drop(stream);
  count_streams();
}

void PostgresSubscriber::fill(Instant now) {
  if (!batch_.empty()) return;
  if (!alone_.empty()) {
    Change next = std::move(alone_.back());
    alone_.pop_back();
    send({std::move(next)}, now);
    return;
  }
  std::vector<StreamTable::Stream*> listen, unlisten;
  const bool more = table_.take_changes(kBatchMax, listen, unlisten);
  std::vector<Change> changes;
  // Before the streams, so that no message comes without what was said in front of it.
  if (!std::exchange(greeted_, true) && socket_ids_)
    changes.push_back({std::string(kPostgresExclusionChannel), true});
  for (const StreamTable::Stream* stream : unlisten) changes.push_back({stream->wire, false});
  for (const StreamTable::Stream* stream : listen) changes.push_back({stream->wire, true});
  if (!more && !live_) changes.push_back({canary_channel_, true});
  if (!changes.empty()) send(std::move(changes), now);
}

void PostgresSubscriber::send(std::vector<Change> changes, Instant now) {
  // Several statements in one query are one transaction: all take effect, or none does.
  std::string query;
  for (const Change& change : changes) {
    query += change.listen ? "LISTEN " : "UNLISTEN ";
    query += quoted(change.channel);
    query += ';';
  }
  batch_ = std::move(changes);
  sent_at_ = now;
  error_.clear();
  if (PQsendQuery(connection_.get(), query.c_str()) != 1) {
    connection_.close_with_error();
    return;
  }
  connection_.flush();
}

void PostgresSubscriber::take_results(Instant now) {
  while (connection_.ready() && !batch_.empty() && PQisBusy(connection_.get()) == 0) {
    const PostgresResult result(PQgetResult(connection_.get()));
    if (result == nullptr) {
      settle(now);
    } else if (PQresultStatus(result.get()) == PGRES_FATAL_ERROR) {
      error_ = one_line(PQresultErrorMessage(result.get()));
      const char* state = PQresultErrorField(result.get(), PG_DIAG_SQLSTATE);
      error_state_ = state == nullptr ? "" : state;
    }
  }
}

void PostgresSubscriber::settle(Instant now) {
  const std::vector<Change> batch = std::exchange(batch_, {});
  if (error_.empty()) {
    for (const Change& change : batch) {
      if (change.channel == canary_channel_) {
        live_ = true;
      } else if (!change.listen) {
        table_.unsubscribed(change.channel);
      } else if (const StreamTable::Stream* stream = table_.subscribed(change.channel)) {
        sink_->subscribed(stream->name);
      }
    }
    count_streams();
    return;
  }
  // A standby listens to nothing (read_only_sql_transaction, feature_not_supported), and
  // without a canary there is no path to watch: another attempt may find another server.
  if (error_state_ == "25006" || error_state_ == "0A000" ||
      (batch.size() == 1 && batch.front().channel == canary_channel_)) {
    connection_.close(error_);
  } else if (batch.size() > 1) {
    alone_.assign(batch.rbegin(), batch.rend());
    std::erase_if(alone_, [this](const Change& change) { return change.channel == canary_channel_; });
  } else {
    log_.log(now, LogLevel::error, "adapter_subscribe_refused",
             {{"channel", batch.front().channel}, {"error", error_}});
    table_.refused(batch.front().channel);
    count_streams();
  }
}

bool PostgresSubscriber::deliver(Instant now) {
  if (held_) {
    if (!sink_->received(held_->stream, as_bytes(held_->payload), held_->excluded_socket)) return false;
    AdapterCounters::add(counters_.received);
    held_.reset();
    sent_at_ = now;  // that nothing was read meanwhile is not PostgreSQL's fault
  }
  struct Free {
    void operator()(PGnotify* notification) const { PQfreemem(notification); }
  };
  if (connection_.get() == nullptr) return true;
  while (const std::unique_ptr<PGnotify, Free> notification{PQnotifies(connection_.get())}) {
    const std::string_view channel = notification->relname, payload = notification->extra;
    heard_ = true;
    if (channel == kPostgresExclusionChannel) {
      exclusion_ = PostgresExclusion::parse(payload);
      exclusion_from_ = notification->be_pid;
      continue;
    }
    const std::string excluded_socket = taken_exclusion(channel, payload, notification->be_pid);
    if (const StreamTable::Stream* stream = table_.find_wire(channel)) {
      if (!sink_->received(stream->name, as_bytes(payload), excluded_socket)) {
        held_ = Held{stream->name, std::string(payload), excluded_socket};
        return false;
      }
      AdapterCounters::add(counters_.received);
    } else if (channel == canary_channel_) {
      canary_text_ = payload;
    }
  }
  return true;
}

// A transaction's notifications come one after the other, nobody else's in between.
std::string PostgresSubscriber::taken_exclusion(std::string_view channel, std::string_view payload,
                                                int backend) {
  const std::optional<PostgresExclusion> exclusion = std::exchange(exclusion_, std::nullopt);
  const bool concerns = exclusion && exclusion_from_ == backend && exclusion->concerns(channel, payload);
  return concerns ? exclusion->socket : std::string();
}

void PostgresSubscriber::lost() {
  greeted_ = false;
  exclusion_.reset();
  batch_.clear();
  alone_.clear();
  live_ = false;
  canary_text_.clear();
  table_.engine_lost();
  count_streams();
}

}  // namespace ringcast
