// The application that is asked about connections and channels, as the options name it. Made
// before the shards start; ended after the last of them has, and before they are gone.
#pragma once

#include <atomic>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "ringcast/options.h"
#include "rpc/rpc_pool.h"
#include "shard/handlers.h"

namespace ringcast::internal {

// What the options say of it; nothing to ask without a URL. On failure `*error` is a sentence.
struct RpcPlan {
  RpcPoolOptions pool;
  std::vector<std::string> headers;  // passed on, in lower case
};
std::optional<RpcPlan> plan_rpc(const Options& options, std::string* error);

class RpcService {
 public:
  RpcService(std::unique_ptr<RpcPool> pool, std::vector<std::string> headers)
      : pool_(std::move(pool)), headers_(std::move(headers)) {}

  RpcPool& pool() { return *pool_; }
  const RpcPool& pool() const { return *pool_; }

  // The request as the application is told of it. `host` is whom the client named.
  std::string describe(const Exchange& exchange, std::string_view host) const;

  // Answers for connections that had gone.
  void count_stale() { stale_.fetch_add(1, std::memory_order_relaxed); }
  uint64_t stale() const { return stale_.load(std::memory_order_relaxed); }

 private:
  const std::unique_ptr<RpcPool> pool_;
  const std::vector<std::string> headers_;
  std::atomic<uint64_t> stale_{0};
};

}  // namespace ringcast::internal
