// What the outside can find out about a server and its process: its metrics, what /proc
// says, what a short run of the binary prints; and publishing by HTTP, as every suite
// here does it. Values and plain functions; any thread.
#pragma once

#include <sys/types.h>

#include <array>
#include <chrono>
#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "blackbox/client.h"

namespace ringcast::blackbox {

// ── Metrics ──────────────────────────────────────────────────────────────────

// A reading of /metrics.
class Metrics {
 public:
  // On a connection of its own, or on one that stays open.
  static Metrics read(uint16_t port);
  static Metrics read(TcpClient& kept_open);
  static Metrics parse(std::string_view text);

  // Summed over shards and whatever other labels there are; with `label`, as in
  // reason="too_slow", over the samples that carry it. 0 if there is none.
  uint64_t sum(std::string_view name, std::string_view label = {}) const;
  bool has(std::string_view name) const;

 private:
  struct Sample {
    std::string name;
    std::string labels;
    uint64_t value = 0;
  };
  std::vector<Sample> samples_;
};

// Reads /metrics until `name` sums up to `value`; false if it never does.
bool wait_for_metric(uint16_t port, std::string_view name, uint64_t value, std::string_view label = {});

// ── What it holds ────────────────────────────────────────────────────────────

// What must be as it was once everybody has left. Log bytes count in steps of a chunk:
// none may be left at all.
inline constexpr std::array<std::string_view, 11> kHeldGauges = {
    "ringcast_connections",  "ringcast_tls_connections",     "ringcast_conversations",
    "ringcast_streams",      "ringcast_subscriptions",       "ringcast_log_bytes",
    "ringcast_outbox_bytes", "ringcast_input_bytes",         "ringcast_queued_bytes",
    "ringcast_buffers_lent", "ringcast_operations_in_flight"};

struct Holdings {
  std::array<uint64_t, kHeldGauges.size()> gauges{};
  size_t descriptors = 0;
  friend bool operator==(const Holdings&, const Holdings&) = default;

  std::string to_string() const;
};

// Asked on one connection from the beginning to the end, which is itself among what is held.
Holdings holdings(TcpClient& watcher, pid_t pid);
// With nobody here but the watcher: two readings of the gauges that are brought up to date
// once a second say the same.
Holdings holdings_at_rest(TcpClient& watcher, pid_t pid);
// Waits until what is held is `expected`; what it was in the end.
Holdings settled_holdings(TcpClient& watcher, pid_t pid, const Holdings& expected);

// ── The process ──────────────────────────────────────────────────────────────

size_t resident_bytes(pid_t pid);
size_t descriptor_count(pid_t pid);
// User and system time so far.
double cpu_seconds(pid_t pid);
// A sanitizer reserves terabytes of shadow and keeps what was freed: how much memory
// such a process holds says nothing.
bool memory_is_telling(pid_t pid);

// ── The binary, run to its end ───────────────────────────────────────────────

struct ProgramResult {
  int exit_code = -1;  // -1: a signal ended it, or it had to be ended
  std::string output;
  std::string error;
};
// RINGCAST_BIN with exactly these arguments.
ProgramResult run_binary(const std::vector<std::string>& arguments,
                         const std::vector<std::pair<std::string, std::string>>& environment = {});

// ── Publishing by HTTP ───────────────────────────────────────────────────────

std::string post_request(std::string_view path, std::string_view content_type, std::string_view body,
                         std::string_view more_headers = {});

// An envelope of POST /_broadcast; `data` is printable ASCII.
std::string envelope(std::string_view stream, std::string_view data);
std::string envelopes(std::string_view stream, const std::vector<std::string>& data);

// Posts to /_broadcast on a connection kept open, again and again while the answer is
// 503. The last status; 0 if there was no answer.
int broadcast(TcpClient& client, std::string_view body);
int broadcast(uint16_t port, std::string_view body);

}  // namespace ringcast::blackbox
