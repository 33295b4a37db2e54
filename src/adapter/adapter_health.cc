// Changes of an engine's state. Owned by an adapter; its thread only.
#include "adapter/adapter_health.h"

#include <utility>

namespace ringcast {

bool AdapterHealth::update(bool up, AdapterSink& sink, Instant now) {
  if (up == up_) return false;
  up_ = up;
  counters_.up.store(up, std::memory_order_relaxed);
  if (!up) {
    sink.state_changed(false, milliseconds(0));
    return false;
  }
  down_reason_.clear();
  const Duration outage = gap_since_ ? now - *gap_since_ : Duration(0);
  gap_since_.reset();
  if (std::exchange(was_up_, true)) AdapterCounters::add(counters_.reconnects);
  const auto outage_ms = std::chrono::ceil<milliseconds>(outage);
  log_.log(now, LogLevel::info, "adapter_up",
           {{"engine", engine_}, {"missed_ms", int64_t{outage_ms.count()}}});
  sink.state_changed(true, outage_ms);
  return true;
}

void AdapterHealth::missed(Instant since) {
  if (gap_since_) return;
  gap_since_ = since;
  AdapterCounters::add(counters_.gaps);
}

void AdapterHealth::tell_down(const std::string& why, Instant now) {
  if (why == down_reason_) return;
  down_reason_ = why;
  log_.log(now, LogLevel::warn, "adapter_down", {{"engine", engine_}, {"reason", why}});
}

}  // namespace ringcast
