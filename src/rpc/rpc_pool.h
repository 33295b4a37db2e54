// Asks the application: calls come from any thread, answers go back from the pool's own. Keeps
// connections open between calls, as many as may be asked at once; what is more waits, bounded.
// Owned by the server.
//
// A call is repeated, with back-off, only where the application surely did not act on it:
// nothing of it was sent, or the answer was 503. Connecting may be repeated whenever a
// connection that had idled broke without a word: for a client that comes back it would be,
// too. Farewells are paced, and wait while the application is away.
#pragma once

#include <array>
#include <atomic>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <string_view>

#include "adapter/client_tls.h"
#include "base/log.h"
#include "base/time.h"
#include "io/make_backend.h"
#include "protocol/http_url.h"
#include "rpc/rpc_messages.h"

namespace ringcast {

enum class RpcMethod : uint8_t { connect, command, disconnect };
inline constexpr size_t kRpcMethods = 3;
const char* to_string(RpcMethod method);

// What became of a call.
enum class RpcResult : uint8_t {
  success,
  failure,      // the application said no
  error,        // the application said that it failed
  nonsense,     // no answer of this protocol: HTML, 500, a wrong secret
  timeout,      // no answer in time
  unavailable,  // no connection, a broken one, 502 to 504
  breaker,      // not asked: the circuit breaker is open
  full,         // not asked: too much waits
};
inline constexpr size_t kRpcResults = 8;
const char* to_string(RpcResult result);

struct RpcReply {
  RpcResult result = RpcResult::unavailable;
  RpcAnswer answer;  // of the first three

  // The application answered in its own words.
  bool answered() const { return result <= RpcResult::error; }
  // Nobody knows whether it acted, or it was not even asked.
  bool unanswered() const { return result >= RpcResult::timeout; }
};

struct RpcCall {
  RpcMethod method = RpcMethod::connect;
  std::string body;
  std::string socket_id;                 // X-AnyCable-Meta-sid; empty: no such header
  std::function<void(RpcReply&&)> done;  // once; on the pool's thread, or within call()
};

struct RpcPoolOptions {
  HttpUrl url = {};
  std::string secret = {};  // Authorization: Bearer; empty: no such header
  ClientTlsOptions tls = {};
  BackendKind backend = BackendKind::automatic;
  milliseconds timeout{3000};  // from the first byte's way out to the answer's last
  uint32_t concurrency = 28;   // calls under way at once
  size_t waiting_max = 10'000;
  uint32_t disconnects_per_second = 100;
  size_t answer_bytes_max = size_t{4} << 20;
  milliseconds idle_max{15'000};  // below what application servers keep idle connections for
  milliseconds stop_grace{3000};  // for farewells when the pool ends
  std::function<void()> thread_started = {};
};

// Read from any thread.
struct RpcCounters {
  using Counter = std::atomic<uint64_t>;

  std::array<std::array<Counter, kRpcResults>, kRpcMethods> calls{};
  std::array<Counter, kRpcMethods> answers{};     // those that were timed,
  std::array<Counter, kRpcMethods> answers_us{};  // and how long they took
  Counter retries{0};
  Counter in_flight{0};    // gauge
  Counter pending{0};      // gauge: accepted and not under way, farewells included
  Counter connections{0};  // gauge
  std::atomic<bool> breaker_open{false};

  static void add(Counter& counter, uint64_t count = 1) {
    counter.fetch_add(count, std::memory_order_relaxed);
  }
};

class RpcPool {
 public:
  // nullptr if it cannot be made; `*error` then says why in one sentence. That the application
  // is not there is no reason: it may come.
  static std::unique_ptr<RpcPool> create(RpcPoolOptions options, Logger& logger, std::string* error);

  RpcPool() = default;
  RpcPool(const RpcPool&) = delete;
  RpcPool& operator=(const RpcPool&) = delete;
  virtual ~RpcPool() = default;

  // Starts the thread, with all signals blocked.
  virtual void start() = 0;
  // Any thread; never waits.
  virtual void call(RpcCall call) = 0;
  // Fails what waits, says farewells for as long as the grace lasts, and joins. After it,
  // calls are answered with `unavailable` at once.
  virtual void stop() = 0;

  virtual const RpcCounters& counters() const = 0;
};

}  // namespace ringcast
