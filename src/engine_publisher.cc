// An adapter that nobody listens through. Any thread.
#include "ringcast/engine_publisher.h"

#include <atomic>

#include "base/hash.h"
#include "base/signals_blocked.h"
#include "engine.h"
#include "protocol/json.h"
#include "server_core.h"

namespace ringcast {
namespace {

class NobodyListens final : public AdapterSink {
  void subscribed(std::string_view) override {}
  bool received(std::string_view, Bytes, std::string_view) override { return true; }
  void state_changed(bool, milliseconds) override {}
};

}  // namespace

struct EnginePublisher::Core {
  explicit Core(const Options& options)
      : logger({.level = options.log_level,
                .format = options.log_format,
                .sink = options.log_sink,
                .thread_started = options.thread_started}) {}

  Logger logger;
  NobodyListens sink;
  std::atomic<uint64_t> queued{0};
  std::unique_ptr<Adapter> adapter;  // last: its thread uses the above
};

EnginePublisher::EnginePublisher(const Options& options) {
  const std::optional<internal::AdapterPlan> plan = internal::plan_adapter(options, &error_);
  if (!plan) return;
  if (plan->choice != AdapterChoice::redis && plan->choice != AdapterChoice::postgresql) {
    error_ = "there is no engine to publish to: the adapter is neither redis nor postgresql";
    return;
  }
  const SignalsBlocked blocked;
  core_ = std::make_unique<Core>(options);
  core_->adapter = internal::make_adapter(*plan, core_->logger, &error_);
  if (core_->adapter == nullptr) {
    core_.reset();
    return;
  }
  core_->adapter->start(core_->sink);
}

EnginePublisher::~EnginePublisher() = default;

BroadcastStatus EnginePublisher::publish(std::string_view stream, std::string_view json) {
  if (core_ == nullptr) return BroadcastStatus::stopped;
  if (stream.empty()) return BroadcastStatus::too_large;
  if (!valid_json(as_bytes(json))) return BroadcastStatus::invalid;
  // Counted first: what is accepted is never more than what was queued.
  core_->queued.fetch_add(1, std::memory_order_relaxed);
  const PublishStatus status =
      core_->adapter->publish(Message::create(stream, hash64(stream), PayloadKind::json, as_bytes(json)));
  if (status != PublishStatus::ok) core_->queued.fetch_sub(1, std::memory_order_relaxed);
  return internal::told(status);
}

EnginePublisher::Progress EnginePublisher::progress() const {
  if (core_ == nullptr) return {};
  const AdapterState state = core_->adapter->state();
  return {.connected = state.up,
          .queued = core_->queued.load(std::memory_order_relaxed),
          .accepted = state.published,
          .refused = state.publish_refused,
          .lost = state.publish_lost};
}

}  // namespace ringcast
