// What peers make a shard hold, and what it does when that is too much: a connection
// that does not read is held to its backlog; past the ceiling of the whole server the
// worst offenders go, and nobody new comes in. Nothing here is done per message.
#include <algorithm>
#include <utility>

#include "shard/shard.h"

namespace ringcast {
namespace {

constexpr Duration kWatchInterval = milliseconds(100);
// Less than this is not worth anybody's connection.
constexpr size_t kOffenceBytesMin = 16 * 1024;

uint64_t held_by(const Counters& counters) {
  return counters.log_bytes.value() + counters.outbox_bytes.value() + counters.input_bytes.value();
}

}  // namespace

void Shard::note_stalled(Connection& connection) {
  if (connection.listed_stalled) return;
  connection.listed_stalled = true;
  stalled_.push_back(connection.id());
  if (!watch_deadline_.armed()) timers_.schedule(watch_deadline_, now() + kWatchInterval);
}

void Shard::watch() {
  std::erase_if(stalled_, [this](SlotId id) {
    Connection* const connection = find(id);
    if (connection == nullptr) return true;
    if (connection->stalled()) connection->trim_backlog();
    connection->listed_stalled = connection->stalled();
    return !connection->listed_stalled;
  });

  if (limits().memory_bytes > 0) {
    counters_.log_bytes.set(hub_.chunks().held_bytes());
    uint64_t held = 0;
    for (const Shard* shard : context_.shards) held += held_by(shard->counters_);
    const uint64_t total = held + context_.message_bytes.total();
    const bool over = total > limits().memory_bytes;
    const bool was_over = std::exchange(short_of_memory_, over);
    if (over && !was_over) {
      log_.log(now(), LogLevel::warn, "short_of_memory",
               {{"bytes", total}, {"limit", limits().memory_bytes}});
    }
    // What waits for company goes first, and the next look tells what is left; after that
    // each shard gives back its part of the excess.
    const bool hurried = over && !was_over && hub_.hurry();
    if (over && !hurried && held > 0) {
      const auto mine = static_cast<double>(held_by(counters_)) / static_cast<double>(held);
      evict(static_cast<uint64_t>(mine * static_cast<double>(total - limits().memory_bytes)) + 1);
    }
  }
  if (limits().memory_bytes > 0 || !stalled_.empty()) {
    timers_.schedule(watch_deadline_, now() + kWatchInterval);
  }
}

// Those who hold the most first. What lies in a log is shared, so this may free less
// than it counts: the next look is a moment away.
void Shard::evict(uint64_t bytes) {
  std::vector<std::pair<size_t, SlotId>> offenders;
  connections_.for_each([&](SlotId id, const Connection& connection) {
    const size_t held = connection.input_bytes() + (connection.stalled() ? connection.backlog_bytes() : 0);
    if (held >= kOffenceBytesMin) offenders.emplace_back(held, id);
  });
  std::sort(offenders.begin(), offenders.end(),
            [](const auto& a, const auto& b) { return a.first > b.first; });
  for (const auto& [held, id] : offenders) {
    if (bytes == 0) return;
    bytes -= std::min<uint64_t>(bytes, held);
    if (Connection* connection = find(id)) connection->evict();
  }
}

}  // namespace ringcast
