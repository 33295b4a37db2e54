// Between the shards' idea of an engine and an adapter: what the homes publish goes to
// the adapter, what the adapter receives goes to the homes. Owned by the server core;
// made before the shards, ended after them.
#pragma once

#include <atomic>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>

#include "adapter/adapter.h"
#include "adapter/postgres_adapter.h"
#include "adapter/redis_adapter.h"
#include "adapter/test_adapter.h"
#include "adapter/wire_names.h"
#include "base/hash.h"
#include "base/log.h"
#include "ringcast/options.h"
#include "shard/engine.h"
#include "shard/shard.h"

namespace ringcast::internal {

// Which adapter, with what, as the flags or config/cable.yml have it.
struct AdapterPlan {
  AdapterChoice choice = AdapterChoice::async;
  WireNames names;
  std::optional<RedisOptions> redis;
  std::optional<PostgresOptions> postgres;
};

// Nothing if the options describe none that works: `*error` says why in a sentence.
std::optional<AdapterPlan> plan_adapter(const Options& options, std::string* error);

// Null for async. Null with an `*error` if it cannot be made.
std::unique_ptr<Adapter> make_adapter(const AdapterPlan& plan, Logger& logger, std::string* error);

class AdapterEngine final : public Engine, private AdapterSink {
 public:
  AdapterEngine(std::unique_ptr<Adapter> adapter, const AdapterPlan& plan, const Options& options,
                ServerContext& context);

  // Once every shard is there.
  void start() { adapter_->start(*this); }

  // Whether it is up, or has been away for no longer than Options::adapter_ready_s.
  bool ready() const;
  AdapterState state() const { return adapter_->state(); }
  // Of the test adapter; null with any other.
  TestAdapter* test_adapter() const { return test_adapter_; }

  // Publishes it could not carry, found out after they were accepted. Any thread.
  uint64_t too_large() const { return too_large_.load(std::memory_order_relaxed); }
  uint64_t invalid() const { return invalid_.load(std::memory_order_relaxed); }

  // --- Engine: any shard's thread ------------------------------------------------------
  bool accepting() const override { return !full_.load(std::memory_order_relaxed); }
  size_t payload_bytes_max() const override { return payload_bytes_max_; }
  bool publish(const MessageRef& message) override;
  void subscribe(std::string_view stream, uint64_t ticket) override;
  void unsubscribe(std::string_view stream) override;
  void listen(std::string_view channel) override { adapter_->subscribe(channel); }
  void stop_listening(std::string_view channel) override { adapter_->unsubscribe(channel); }

 private:
  // --- AdapterSink: the adapter's thread -----------------------------------------------
  void subscribed(std::string_view stream) override;
  bool received(std::string_view stream, Bytes payload, std::string_view excluded_socket) override;
  void state_changed(bool up, milliseconds outage) override;
  std::string socket_name(const SocketId& socket) const override;

  Shard& home_of(std::string_view stream) const;
  MessageRef enveloped(const Message& message);

  ServerContext& context_;
  const WireNames names_;
  const size_t payload_bytes_max_;
  const bool envelopes_exclusions_;  // who is left out is said in AnyCable's way
  const seconds ready_within_;
  const seconds reconnect_after_;
  std::atomic<bool> full_{false};          // the adapter's queue, when last asked
  std::atomic<int64_t> down_since_ns_{0};  // of the monotonic clock; 0: up
  std::atomic<uint64_t> too_large_{0};
  std::atomic<uint64_t> invalid_{0};
  std::mutex mutex_;
  std::unordered_map<std::string, uint64_t, StringHash, std::equal_to<>>
      tickets_;  // unanswered; guarded by mutex_
  TestAdapter* const test_adapter_;
  const std::unique_ptr<Adapter> adapter_;  // last: its thread uses all of the above
};

}  // namespace ringcast::internal
