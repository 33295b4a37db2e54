// What a server counts, as Stats and as Prometheus text. Read from any thread: the
// counters are relaxed atomics, so a reading is of no single instant.
#include <array>
#include <cstdio>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "io/machine.h"
#include "ringcast/option_table.h"
#include "server_core.h"

namespace ringcast::internal {
namespace {

// One metric and where each shard counts it.
struct Metric {
  const char* name;
  const char* type;
  const char* help;
  Counter Counters::*counter;
};

constexpr Metric kMetrics[] = {
    {"ringcast_accepted_total", "counter", "Connections accepted.", &Counters::accepted},
    {"ringcast_accept_errors_total", "counter", "Failed accepts.", &Counters::accept_errors},
    {"ringcast_accept_pauses_total", "counter", "Times accepting paused for want of descriptors.",
     &Counters::accept_pauses},
    {"ringcast_handed_over_total", "counter", "Connections handed to another shard to balance them.",
     &Counters::handed_over},
    {"ringcast_connections", "gauge", "Open connections, plain HTTP included.", &Counters::connections},
    {"ringcast_upgrades_total", "counter", "Handshakes answered with 101.", &Counters::upgrades},
    {"ringcast_refused_total", "counter", "Requests answered with 4xx or 5xx.", &Counters::refused},
    {"ringcast_http_requests_total", "counter", "HTTP requests, upgrades included.",
     &Counters::http_requests},
    {"ringcast_tls_connections", "gauge", "Open TLS connections.", &Counters::tls_connections},
    {"ringcast_tls_handshakes_total", "counter", "TLS handshakes done.", &Counters::tls_handshakes},
    {"ringcast_tls_resumptions_total", "counter", "Of those: with a session ticket.",
     &Counters::tls_resumptions},
    {"ringcast_tls_failures_total", "counter", "TLS connections that failed.", &Counters::tls_failures},
    {"ringcast_tls_deferrals_total", "counter", "Handshakes that waited for a later turn.",
     &Counters::tls_deferrals},
    {"ringcast_received_bytes_total", "counter", "Bytes received.", &Counters::received_bytes},
    {"ringcast_sent_bytes_total", "counter", "Bytes the kernel took.", &Counters::sent_bytes},
    {"ringcast_messages_received_total", "counter", "Whole WebSocket messages received.",
     &Counters::messages_received},
    {"ringcast_sends_total", "counter", "Sends submitted.", &Counters::sends},
    {"ringcast_short_sends_total", "counter", "Sends that took less than they were given.",
     &Counters::short_sends},
    {"ringcast_close_timeouts_total", "counter",
     "Connections whose peer never finished the closing handshake.", &Counters::close_timeouts},
    {"ringcast_stalls_total", "counter", "Times a connection began to wait for writability.",
     &Counters::stalls},
    {"ringcast_publishes_total", "counter", "Messages taken by their stream.", &Counters::publishes},
    {"ringcast_deliveries_total", "counter", "Messages given to subscribers.", &Counters::deliveries},
    {"ringcast_encodings_total", "counter", "Frames encoded, once per identifier.", &Counters::encodings},
    {"ringcast_compressions_total", "counter", "Frames compressed, once per log.", &Counters::compressions},
    {"ringcast_compressed_in_bytes_total", "counter", "What was compressed.", &Counters::compressed_in_bytes},
    {"ringcast_compressed_out_bytes_total", "counter", "What it became.", &Counters::compressed_out_bytes},
    {"ringcast_streams", "gauge", "Streams with subscribers on the shard.", &Counters::streams},
    {"ringcast_subscriptions", "gauge", "Subscriptions to streams.", &Counters::subscriptions},
    {"ringcast_log_bytes", "gauge", "Bytes of frame logs held.", &Counters::log_bytes},
    {"ringcast_outbox_bytes", "gauge", "Bytes waiting for single connections.", &Counters::outbox_bytes},
    {"ringcast_input_bytes", "gauge", "Bytes of unfinished messages and requests.", &Counters::input_bytes},
    {"ringcast_held_lanes_total", "counter", "Times deliveries waited for a reader.", &Counters::held_lanes},
    {"ringcast_commands_total", "counter", "Action Cable commands.", &Counters::commands},
    {"ringcast_confirms_total", "counter", "Subscriptions confirmed.", &Counters::confirms},
    {"ringcast_rejects_total", "counter", "Subscriptions rejected.", &Counters::rejects},
    {"ringcast_remote_disconnects_total", "counter", "Asked to disconnect somebody, wherever they are.",
     &Counters::remote_disconnects},
    {"ringcast_pings_total", "counter", "Action Cable pings.", &Counters::pings},
    {"ringcast_pings_late_total", "counter", "Pings more than a second late.", &Counters::pings_late},
    {"ringcast_callback_exceptions_total", "counter", "Exceptions out of callbacks.",
     &Counters::callback_exceptions},
    {"ringcast_turns_total", "counter", "Turns of the reactor.", &Counters::turns},
    {"ringcast_sleeps_total", "counter", "Turns that slept.", &Counters::sleeps},
    {"ringcast_operations_in_flight", "gauge", "Operations the backend has not completed.",
     &Counters::operations_in_flight},
    {"ringcast_buffers_lent", "gauge", "Receive buffers lent out.", &Counters::buffers_lent},
    {"ringcast_queue_overflows_total", "counter", "Times more had completed than the kernel's queue holds.",
     &Counters::queue_overflows},
};

void append_head(std::string& out, const char* name, const char* type, const char* help) {
  out.append("# HELP ").append(name).append(" ").append(help).append("\n# TYPE ").append(name);
  out.append(" ").append(type).append("\n");
}

void append_sample(std::string& out, const char* name, std::string_view labels, uint64_t value) {
  out.append(name);
  if (!labels.empty()) out.append("{").append(labels).append("}");
  out.append(" ").append(std::to_string(value)).append("\n");
}

std::string shard_label(const Shard& shard) {
  return "shard=\"" + std::to_string(shard.index()) + "\"";
}

std::string label(const char* name, const char* value) {
  return std::string(name).append("=\"").append(value).append("\"");
}

// The shards added up, as one histogram for each stage.
void append_stages(std::string& out, const std::vector<std::unique_ptr<Shard>>& shards) {
  constexpr struct {
    Stage stage;
    const char* name;
    const char* help;
  } kStageMetrics[] = {
      {Stage::publish, "ringcast_stage_publish_seconds", "From a client's message to its publish."},
      {Stage::home, "ringcast_stage_home_seconds", "From a publish until its home shard numbers it."},
      {Stage::fan_out, "ringcast_stage_fan_out_seconds", "From there into a listening shard's logs."},
      {Stage::submit, "ringcast_stage_submit_seconds", "From there into its last subscriber's send."},
  };
  for (const auto& [stage, name, help] : kStageMetrics) {
    append_head(out, name, "histogram", help);
    uint64_t sum_ns = 0;
    for (const auto& shard : shards) sum_ns += shard->stages()->of(stage).sum_ns();
    uint64_t below = 0;
    for (size_t bucket = 0; bucket < LatencyHistogram::kBuckets; ++bucket) {
      for (const auto& shard : shards) below += shard->stages()->of(stage).count(bucket);
      char end[32] = "+Inf";
      if (bucket + 1 < LatencyHistogram::kBuckets) {
        std::snprintf(end, sizeof end, "%.9g", static_cast<double>(LatencyHistogram::end_ns(bucket)) / 1e9);
      }
      out.append(name).append("_bucket{le=\"").append(end).append("\"} ");
      out.append(std::to_string(below)).append("\n");
    }
    char sum[32];
    std::snprintf(sum, sizeof sum, "%.9f", static_cast<double>(sum_ns) / 1e9);
    out.append(name).append("_sum ").append(sum).append("\n");
    out.append(name).append("_count ").append(std::to_string(below)).append("\n");
  }
}

// One figure for the whole server.
struct Figure {
  const char* name;
  const char* type;
  const char* help;
  uint64_t value;
};

void append_figures(std::string& out, std::initializer_list<Figure> figures) {
  for (const Figure& figure : figures) {
    append_head(out, figure.name, figure.type, figure.help);
    append_sample(out, figure.name, {}, figure.value);
  }
}

void append_adapter(std::string& out, const AdapterState& state) {
  append_figures(
      out,
      {{"ringcast_adapter_up", "gauge", "Whether what is published comes back.", state.up},
       {"ringcast_adapter_reconnects_total", "counter", "Times the engine came back.", state.reconnects},
       {"ringcast_adapter_gaps_total", "counter", "Interruptions in which messages may have been missed.",
        state.gaps},
       {"ringcast_adapter_published_total", "counter", "Publishes the engine acknowledged.", state.published},
       {"ringcast_adapter_refused_total", "counter", "Publishes it answered with an error.",
        state.publish_refused},
       {"ringcast_adapter_lost_total", "counter", "Publishes sent and never answered.", state.publish_lost},
       {"ringcast_adapter_received_total", "counter", "Messages received from it.", state.received},
       {"ringcast_adapter_malformed_total", "counter", "Envelopes that are none.", state.malformed},
       {"ringcast_adapter_queued_messages", "gauge", "Publishes not yet sent.", state.queued_messages},
       {"ringcast_adapter_queued_bytes", "gauge", "Their bytes.", state.queued_bytes},
       {"ringcast_adapter_unacknowledged", "gauge", "Publishes sent and not yet answered.",
        state.unacknowledged},
       {"ringcast_adapter_streams", "gauge", "Streams subscribed there.", state.streams},
       {"ringcast_adapter_lag_microseconds", "gauge", "The last message to ourselves, there and back.",
        state.canary_us}});
}

void append_rpc(std::string& out, const RpcService& service) {
  const RpcCounters& counters = service.pool().counters();
  const auto read = [](const RpcCounters::Counter& counter) {
    return counter.load(std::memory_order_relaxed);
  };
  append_head(out, "ringcast_rpc_calls_total", "counter",
              "Calls to the application, by what became of them.");
  for (size_t method = 0; method < kRpcMethods; ++method) {
    for (size_t result = 0; result < kRpcResults; ++result) {
      append_sample(out, "ringcast_rpc_calls_total",
                    label("method", to_string(static_cast<RpcMethod>(method))) + "," +
                        label("result", to_string(static_cast<RpcResult>(result))),
                    read(counters.calls[method][result]));
    }
  }
  append_head(out, "ringcast_rpc_seconds", "summary", "From a call's way out to its answer.");
  for (size_t method = 0; method < kRpcMethods; ++method) {
    const std::string labels = label("method", to_string(static_cast<RpcMethod>(method)));
    char sum[32];
    std::snprintf(sum, sizeof sum, "%.6f", static_cast<double>(read(counters.answers_us[method])) / 1e6);
    out.append("ringcast_rpc_seconds_sum{").append(labels).append("} ").append(sum).append("\n");
    append_sample(out, "ringcast_rpc_seconds_count", labels, read(counters.answers[method]));
  }
  append_figures(
      out,
      {{"ringcast_rpc_in_flight", "gauge", "Calls under way.", read(counters.in_flight)},
       {"ringcast_rpc_pending", "gauge", "Calls that wait.", read(counters.pending)},
       {"ringcast_rpc_connections", "gauge", "Connections to the application.", read(counters.connections)},
       {"ringcast_rpc_breaker_open", "gauge", "Whether calls fail without being made.",
        counters.breaker_open.load(std::memory_order_relaxed)},
       {"ringcast_rpc_retries_total", "counter", "Attempts after the first of a call.",
        read(counters.retries)},
       {"ringcast_rpc_stale_total", "counter", "Answers for connections that had gone.", service.stale()}});
}

}  // namespace

std::array<std::pair<DropReason, uint64_t>, 3> ServerCore::dropped_outside() const {
  const auto count = [](const std::atomic<uint64_t>& counter) {
    return counter.load(std::memory_order_relaxed);
  };
  return {{{DropReason::mailbox_full, count(outside_full_)},
           {DropReason::too_large, count(outside_too_large_) + (engine_ ? engine_->too_large() : 0)},
           {DropReason::invalid, count(outside_invalid_) + (engine_ ? engine_->invalid() : 0)}}};
}

std::string ServerCore::metrics_text() const {
  std::string out;
  out.reserve(16 * 1024);
  append_head(out, "ringcast_info", "gauge", "The version and the backend in use.");
  if (!started()) return out;
  append_sample(
      out, "ringcast_info",
      "version=\"" + std::string(version()) + "\",backend=\"" + shards_.front()->backend_name() + "\"", 1);
  for (const Metric& metric : kMetrics) {
    append_head(out, metric.name, metric.type, metric.help);
    for (const auto& shard : shards_) {
      append_sample(out, metric.name, shard_label(*shard), (shard->counters().*metric.counter).value());
    }
  }

  append_head(out, "ringcast_wakes_total", "counter", "System calls that woke a sleeping shard.");
  for (const auto& shard : shards_) {
    append_sample(out, "ringcast_wakes_total", shard_label(*shard),
                  context_->mailboxes.bell(shard->index()).wakes());
  }
  append_head(out, "ringcast_conversations", "gauge", "Open WebSockets by transport.");
  for (const auto& shard : shards_) {
    append_sample(out, "ringcast_conversations", shard_label(*shard) + ",transport=\"websocket\"",
                  shard->counters().websockets.value());
    append_sample(out, "ringcast_conversations", shard_label(*shard) + ",transport=\"cable\"",
                  shard->counters().sessions.value());
  }
  append_head(out, "ringcast_ended_total", "counter", "Connections that ended, by reason.");
  for (const auto& shard : shards_) {
    for (size_t i = 0; i < kEndReasons; ++i) {
      append_sample(out, "ringcast_ended_total",
                    shard_label(*shard) + "," + label("reason", to_string(static_cast<EndReason>(i))),
                    shard->counters().ended[i].value());
    }
  }
  append_head(out, "ringcast_dropped_total", "counter", "What did not reach somebody, by reason.");
  for (const auto& shard : shards_) {
    for (size_t i = 0; i < kDropReasons; ++i) {
      append_sample(out, "ringcast_dropped_total",
                    shard_label(*shard) + "," + label("reason", to_string(static_cast<DropReason>(i))),
                    shard->counters().dropped[i].value());
    }
  }
  for (const auto& [reason, count] : dropped_outside()) {
    append_sample(out, "ringcast_dropped_total", "shard=\"none\"," + label("reason", to_string(reason)),
                  count);
  }
  append_head(out, "ringcast_queued_bytes", "gauge", "Messages published and not yet in every log.");
  append_sample(out, "ringcast_queued_bytes", {}, context_->message_bytes.total());
  append_head(out, "process_resident_memory_bytes", "gauge", "Resident memory of this process.");
  append_sample(out, "process_resident_memory_bytes", {}, resident_memory_bytes());
  append_head(out, "ringcast_kernel_tcp_memory_bytes", "gauge",
              "What the kernel holds for the TCP sockets of this network namespace.");
  append_sample(out, "ringcast_kernel_tcp_memory_bytes", {}, kernel_tcp_memory_bytes());
  if (options_.stage_latency) append_stages(out, shards_);
  if (engine_) append_adapter(out, engine_->state());
  if (rpc_) append_rpc(out, *rpc_);
  append_head(out, "ringcast_log_lines_lost_total", "counter", "Log lines the sink was too slow for.");
  append_sample(out, "ringcast_log_lines_lost_total", {}, logger_->dropped());
  append_head(out, "ringcast_ready", "gauge", "Whether new clients are welcome.");
  append_sample(out, "ringcast_ready", {}, ready() ? 1 : 0);
  return out;
}

Stats ServerCore::stats() const {
  Stats stats;
  if (!started()) return stats;
  stats.shards = shards_.size();
  stats.backend = shards_.front()->backend_name();
  for (const auto& shard : shards_) {
    const Counters& counters = shard->counters();
    stats.connections += counters.connections.value();
    stats.websockets += counters.websockets.value();
    stats.cable_sessions += counters.sessions.value();
    stats.streams += counters.streams.value();
    stats.subscriptions += counters.subscriptions.value();
    stats.accepted += counters.accepted.value();
    stats.upgrades += counters.upgrades.value();
    stats.refused += counters.refused.value();
    stats.http_requests += counters.http_requests.value();
    stats.messages_received += counters.messages_received.value();
    stats.received_bytes += counters.received_bytes.value();
    stats.sent_bytes += counters.sent_bytes.value();
    stats.publishes += counters.publishes.value();
    stats.deliveries += counters.deliveries.value();
    for (const Counter& dropped : counters.dropped) stats.dropped += dropped.value();
    stats.closed_too_slow += counters.ended[static_cast<size_t>(EndReason::too_slow)].value();
    stats.commands += counters.commands.value();
    stats.callback_errors += counters.callback_exceptions.value();
  }
  for (const auto& [reason, count] : dropped_outside()) stats.dropped += count;
  stats.log_lines_lost = logger_->dropped();
  return stats;
}

}  // namespace ringcast::internal
