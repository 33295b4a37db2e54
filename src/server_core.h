// The server behind Server: routes, shards and their threads, the log. Shared by
// Server and every Publisher, so that a publisher may outlive its server; what it
// needs of the shards stays until the last of them is gone. Each member says who may
// touch it.
#pragma once

#include <signal.h>

#include <array>
#include <atomic>
#include <chrono>
#include <memory>
#include <mutex>
#include <string>
#include <string_view>
#include <thread>
#include <vector>

#include "base/log.h"
#include "engine.h"
#include "identity.h"
#include "ringcast/server.h"
#include "rpc_service.h"
#include "shard/limits.h"
#include "shard/message.h"
#include "shard/routes.h"
#include "shard/shard.h"

namespace ringcast::internal {

struct CableDefinition;

class ServerCore {
 public:
  ServerCore(Options options, Server& server);
  ~ServerCore();

  // --- Before start(), one thread ----------------------------------------------------

  CableRoute& add_cable(std::string_view pattern);
  void add_websocket(std::string_view pattern, WebSocketRoute route);
  void add_http(std::string_view method, std::string_view pattern, Server::HttpHandler handler);

  std::string start();  // the error, or nothing

  // --- Any thread ----------------------------------------------------------------------

  // Begins the end; `drain` of zero cuts everybody off.
  void begin_stop(std::chrono::milliseconds drain);
  // Joins the shards. Not on a shard's thread.
  void wait();
  bool ready() const {
    return state_.load(std::memory_order_acquire) == State::running && (!engine_ || engine_->ready());
  }
  // Becomes readable when the last shard has ended.
  int ended_event() const { return ended_event_.fd(); }
  // Becomes readable when a signal for run() is pending; -1 if it handles none.
  int signal_event() const { return signal_event_.fd(); }

  BroadcastStatus publish(std::string_view stream, uint64_t hash, PayloadKind kind, Bytes payload);
  BroadcastStatus publish(const std::vector<Server::Broadcast>& batch);
  StreamPublisher publisher(std::shared_ptr<ServerCore> self, std::string_view stream);
  Publisher publisher(std::shared_ptr<ServerCore> self, const PublisherOptions& options);

  // For those who bring it to the shards themselves. Whether it may be published, counted if not;
  BroadcastStatus check(std::string_view stream, PayloadKind kind, Bytes payload);
  // whether shards and engine take more at present;
  bool has_room() const;
  // when it was published, where stages are measured;
  Instant stage_now() const { return context_->stage_clock ? context_->stage_clock() : Instant{}; }
  // that there was none.
  void count_full(size_t messages = 1) { outside_full_.fetch_add(messages, std::memory_order_relaxed); }
  // Once it runs, and from then on.
  bool running() const {
    const State state = state_.load(std::memory_order_acquire);
    return state == State::running || state == State::stopping;
  }
  Shard& shard(ShardIndex index) { return *shards_[index]; }
  Shard& home_of(uint64_t stream_hash) { return *shards_[shards_.front()->home_of(stream_hash)]; }
  size_t shards() const { return shards_.size(); }
  MessageBytes& message_bytes() { return context_->message_bytes; }

  void set_allowed_origins(std::vector<std::string> allowed);
  // The error, or nothing: then the certificate is as before.
  std::string replace_certificate(const std::string& chain_file, const std::string& key_file);
  // The error, or nothing: then secrets are as before.
  std::string reload_secrets();
  // Null with any other adapter.
  TestAdapter* test_adapter() const { return engine_ ? engine_->test_adapter() : nullptr; }
  Stats stats() const;
  std::string metrics_text() const;

  Logger& logger() { return *logger_; }
  const Options& options() const { return options_; }
  const std::vector<std::string>& addresses() const { return addresses_; }
  const std::vector<std::string>& urls() const { return urls_; }
  bool started() const { return state_.load(std::memory_order_acquire) != State::fresh; }

  // --- Shard threads ----------------------------------------------------------------------

  Server& server() { return server_; }
  // The calling shard's own: good until its callback returns.
  const Identity& identity() const { return *identities_[Shard::current()->index()]; }
  RpcService* rpc() const { return rpc_.get(); }  // null: there is no application to ask

 private:
  enum class State : uint8_t { fresh, running, stopping, stopped };

  // In the order of registration, which is the order of matching.
  struct PendingRoute {
    Route route;
    const CableDefinition* cable;  // of a cable's route: what it was told later
  };

  BroadcastStatus hand_to_test_adapter(const MessageRef& message);
  // Right before it is given to its home.
  void stamp(Message& message) const;
  // What no shard counts: publishes refused before one saw them, or by the engine.
  std::array<std::pair<DropReason, uint64_t>, 3> dropped_outside() const;
  bool may_add(std::string_view pattern);
  void refuse(std::string problem);
  std::string make_shards();
  std::string open_listeners(const std::vector<std::string>& addresses, std::string_view scheme,
                             std::vector<std::vector<Descriptor>>& listeners);
  std::string load_certificate(const std::string& chain_file, const std::string& key_file);
  void rotate_ticket_keys();
  void share_tls_context();
  void run_shard(size_t index);
  Limits limits() const;

  const Options options_;
  Server& server_;
  const std::unique_ptr<Logger> logger_;  // made with signals blocked, as all our threads are

  // Written before the shards start, then constant.
  std::vector<PendingRoute> pending_;  // until start()
  Routes routes_;
  std::vector<std::unique_ptr<CableDefinition>> cables_;
  std::string route_problem_;  // the first mistake in a route
  std::vector<std::string> addresses_;
  std::vector<std::string> urls_;
  // One for each shard, which alone reads and replaces its own once it runs.
  std::vector<std::shared_ptr<const Identity>> identities_;
  std::unique_ptr<ServerContext> context_;
  std::unique_ptr<AdapterEngine> engine_;  // after the context, before the shards: each uses the one before
  std::unique_ptr<RpcService> rpc_;        // likewise
  std::vector<std::unique_ptr<Shard>> shards_;
  std::mutex tls_mutex_;
  std::shared_ptr<const TlsContext> tls_;  // guarded by tls_mutex_; what new connections get
  std::vector<int> cpus_;                  // shard i runs on cpus_[i % size]; empty: anywhere

  // `running` is stored (release) after everything above stands, and pairs with the
  // acquiring loads of whoever uses it from another thread.
  std::atomic<State> state_{State::fresh};
  std::atomic<size_t> running_shards_{0};
  Descriptor ended_event_;
  Descriptor signal_event_;

  std::mutex join_mutex_;
  std::vector<std::thread> threads_;  // guarded by join_mutex_ once running

  // Publishes from outside that never reached a shard; any thread adds.
  std::atomic<uint64_t> outside_full_{0};
  std::atomic<uint64_t> outside_too_large_{0};
  std::atomic<uint64_t> outside_invalid_{0};
};

// What run() waits for.
sigset_t handled_signals(const Options& options);

// The shards' word for what became of a publish, in the embedder's terms.
constexpr BroadcastStatus told(PublishStatus status) {
  switch (status) {
    case PublishStatus::ok:
      return BroadcastStatus::ok;
    case PublishStatus::full:
      return BroadcastStatus::full;
    case PublishStatus::too_large:
      return BroadcastStatus::too_large;
    case PublishStatus::invalid:
      break;
  }
  return BroadcastStatus::invalid;
}

class StreamPublisherCore {
 public:
  StreamPublisherCore(std::shared_ptr<ServerCore> server, std::string_view stream, uint64_t hash)
      : server_(std::move(server)), stream_(stream), hash_(hash) {}

  BroadcastStatus publish(PayloadKind kind, Bytes payload) const {
    return server_->publish(stream_, hash_, kind, payload);
  }
  const std::string& stream() const { return stream_; }

 private:
  const std::shared_ptr<ServerCore> server_;
  const std::string stream_;
  const uint64_t hash_;
};

// Calls what an embedder wrote. Whatever it throws ends here: a line in the log, and
// `failed` for the shard to count.
template <class Function>
CallResult guarded(Logger& logger, std::string_view callback, Function&& function) noexcept {
  try {
    function();
    return CallResult::ok;
  } catch (const std::exception& error) {
    logger.log(LogLevel::error, "callback_threw",
               {{"callback", callback}, {"what", std::string_view(error.what())}});
  } catch (...) {
    logger.log(LogLevel::error, "callback_threw", {{"callback", callback}, {"what", "not a std::exception"}});
  }
  return CallResult::failed;
}

}  // namespace ringcast::internal
