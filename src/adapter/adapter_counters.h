// An adapter's counters: written by its thread, read by whoever asks for its state.
#pragma once

#include <atomic>
#include <cstdint>

#include "adapter/adapter.h"
#include "adapter/adapter_queue.h"

namespace ringcast {

struct AdapterCounters {
  using Counter = std::atomic<uint64_t>;

  std::atomic<bool> up{false};
  Counter reconnects{0}, gaps{0}, published{0}, publish_refused{0}, publish_lost{0}, received{0},
      malformed{0}, ignored_commands{0}, unacknowledged{0}, streams{0}, canary_us{0};

  static void add(Counter& counter, uint64_t count = 1) {
    counter.fetch_add(count, std::memory_order_relaxed);
  }

  AdapterState state(const AdapterQueue& queue) const {
    const auto read = [](const Counter& counter) { return counter.load(std::memory_order_relaxed); };
    return {.up = up.load(std::memory_order_relaxed),
            .reconnects = read(reconnects),
            .gaps = read(gaps),
            .published = read(published),
            .publish_refused = read(publish_refused),
            .publish_lost = read(publish_lost),
            .received = read(received),
            .malformed = read(malformed),
            .ignored_commands = read(ignored_commands),
            .queued_messages = queue.messages(),
            .queued_bytes = queue.bytes(),
            .unacknowledged = read(unacknowledged),
            .streams = read(streams),
            .canary_us = read(canary_us)};
  }
};

}  // namespace ringcast
