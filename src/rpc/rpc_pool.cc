// The pool's thread. Each turn: (1) what other threads asked, (2) deadlines, (3) calls onto
// connections, (4) the backend, (5) answers.
#include "rpc/rpc_pool.h"

#include <algorithm>
#include <deque>
#include <map>
#include <mutex>
#include <optional>
#include <thread>
#include <utility>
#include <vector>

#include "adapter/adapter_random.h"
#include "adapter/resolver.h"
#include "base/assert.h"
#include "base/prng.h"
#include "base/signals_blocked.h"
#include "io/clock.h"
#include "rpc/rpc_breaker.h"
#include "rpc/rpc_connection.h"

namespace ringcast {
namespace {

constexpr milliseconds kCloseGrace{1000};
constexpr milliseconds kBackoffFirst{20}, kBackoffMax{500};
// A call may wait so many time-outs before it is sent: a storm of clients that come back takes
// longer to serve than one call.
constexpr int kWaitTimeouts = 3;

// A call with what has happened to it.
struct Pending {
  RpcCall call;
  Instant since;  // accepted
  int attempts = 0;
};

class HttpRpcPool final : public RpcPool {
 public:
  HttpRpcPool(RpcPoolOptions options, Logger& logger, std::unique_ptr<Backend> backend,
              std::shared_ptr<const ClientTlsContext> tls);
  ~HttpRpcPool() override { stop(); }

  void start() override;
  void call(RpcCall call) override;
  void stop() override;
  const RpcCounters& counters() const override { return counters_; }

 private:
  struct Link {
    Link(uint16_t lane, const RpcPoolOptions& options, std::shared_ptr<const ClientTlsContext> tls)
        : connection(lane, options.url.host, std::move(tls), {.body_bytes_max = options.answer_bytes_max}) {}

    RpcConnection connection;
    std::optional<Pending> pending;  // the call under way
    Instant asked_at{};
    bool idled = false;    // it was open before the call came
    Instant idle_until{};  // without a call
  };

  void run();
  bool take_calls(Instant now);
  void expire(Instant now);
  void assign(Instant now);
  bool have_addresses(Instant now);
  void ask(std::deque<Pending>& queue, Instant now);
  Pending begin_attempt(std::deque<Pending>& queue);
  Link* free_link();
  std::string head_of(const RpcCall& call) const;
  Instant take_turn(Instant now);
  Instant next_deadline() const;
  void settle(Instant now);
  void judge(Link& link, Instant now);
  void attempt_failed(Pending pending, RpcResult result, bool repeat, std::string_view why, Instant now);
  void give_up(Pending pending, RpcResult result);
  void finish(const Pending& pending, RpcReply&& reply);
  void note_breaker(Instant now);
  void note_failure(std::string_view why, Instant now);
  void end();

  const RpcPoolOptions options_;
  LogBudget log_;
  const std::unique_ptr<Backend> backend_;
  Resolver resolver_;
  RpcCounters counters_;
  RpcBreaker breaker_;
  bool breaker_told_ = false;
  Prng prng_;
  std::vector<std::unique_ptr<Link>> links_;
  std::vector<EngineAddress> addresses_;  // empty: to be asked for
  size_t next_address_ = 0;

  std::deque<Pending> waiting_;
  std::multimap<Instant, Pending> retries_;  // by when
  std::deque<Pending> farewells_;
  Instant next_farewell_at_{};
  std::string down_reason_;  // as last logged; empty: all is well
  bool ending_ = false;
  std::vector<Submission> submissions_;
  Completions completions_;

  std::mutex mutex_;  // guards what follows
  std::vector<RpcCall> inbox_;
  bool stopping_ = false;
  bool touched_ = false;  // since the last take_calls(): only the first to touch needs to wake

  std::thread thread_;  // last: it uses all of the above
};

HttpRpcPool::HttpRpcPool(RpcPoolOptions options, Logger& logger, std::unique_ptr<Backend> backend,
                         std::shared_ptr<const ClientTlsContext> tls)
    : options_(std::move(options)),
      log_(logger),
      backend_(std::move(backend)),
      resolver_([this] { backend_->wake(); }),
      prng_(random_seed()) {
  for (uint32_t lane = 0; lane < options_.concurrency; ++lane) {
    links_.push_back(std::make_unique<Link>(static_cast<uint16_t>(lane), options_, tls));
  }
}

void HttpRpcPool::start() {
  RC_ASSERT(!thread_.joinable());
  const SignalsBlocked blocked;
  thread_ = std::thread([this] { run(); });
}

void HttpRpcPool::call(RpcCall call) {
  {
    std::unique_lock lock(mutex_);
    // Also the bound of what the thread has taken: what is accepted here is pending there.
    const bool full = counters_.pending.load(std::memory_order_relaxed) >= options_.waiting_max;
    if (!full && !stopping_) {
      RpcCounters::add(counters_.pending);
      inbox_.push_back(std::move(call));
      if (std::exchange(touched_, true)) return;
      lock.unlock();
      backend_->wake();
      return;
    }
    const RpcResult result = full ? RpcResult::full : RpcResult::unavailable;
    RpcCounters::add(counters_.calls[static_cast<size_t>(call.method)][static_cast<size_t>(result)]);
    lock.unlock();
    call.done({.result = result, .answer = {}});
  }
}

void HttpRpcPool::stop() {
  {
    const std::lock_guard lock(mutex_);
    stopping_ = true;
  }
  backend_->wake();
  if (thread_.joinable()) thread_.join();
}

void HttpRpcPool::run() {
  if (options_.thread_started) options_.thread_started();
  Instant now = monotonic_now();
  Instant ends_at = kNever;
  for (;;) {
    if (!take_calls(now) && ends_at == kNever) {
      ending_ = true;
      ends_at = now + options_.stop_grace;
    }
    expire(now);
    if (ending_) {
      const bool busy =
          std::ranges::any_of(links_, [](const auto& link) { return link->pending.has_value(); });
      const bool away = breaker_.state() == RpcBreaker::State::open;
      if (now >= ends_at || (!busy && (farewells_.empty() || away))) break;
    }
    assign(now);
    now = take_turn(std::min(next_deadline(), ends_at));
    log_.report(now);
  }
  end();
}

// --- What is asked ---------------------------------------------------------------------

bool HttpRpcPool::take_calls(Instant now) {
  std::vector<RpcCall> calls;
  bool running;
  {
    const std::lock_guard lock(mutex_);
    std::swap(calls, inbox_);
    touched_ = false;
    running = !stopping_;
  }
  for (RpcCall& call : calls) {
    std::deque<Pending>& queue = call.method == RpcMethod::disconnect ? farewells_ : waiting_;
    queue.push_back({.call = std::move(call), .since = now});
  }
  return running;
}

void HttpRpcPool::expire(Instant now) {
  for (const auto& link : links_) {
    if (link->pending && now >= link->asked_at + options_.timeout) {
      if (link->connection.stage() == RpcConnection::Stage::connecting) ++next_address_;
      link->connection.close("no answer in time", submissions_);
      attempt_failed(std::move(*std::exchange(link->pending, std::nullopt)), RpcResult::timeout, false,
                     "no answer in time", now);
    } else if (!link->pending && now >= link->idle_until &&
               link->connection.stage() != RpcConnection::Stage::closed) {
      link->connection.close("idle", submissions_);
    }
  }
  while (!retries_.empty() && retries_.begin()->first <= now) {
    waiting_.push_front(std::move(retries_.extract(retries_.begin()).mapped()));
  }
  // The server is gone, or nobody needs the answer any more.
  const auto wait_max = kWaitTimeouts * options_.timeout;
  while (!waiting_.empty() && (ending_ || now >= waiting_.front().since + wait_max)) {
    give_up(std::move(waiting_.front()), ending_ ? RpcResult::unavailable : RpcResult::timeout);
    waiting_.pop_front();
  }
  while (ending_ && !retries_.empty()) {
    give_up(std::move(retries_.extract(retries_.begin()).mapped()), RpcResult::unavailable);
  }
}

void HttpRpcPool::assign(Instant now) {
  while (!waiting_.empty() && free_link() != nullptr) {
    if (breaker_.state() == RpcBreaker::State::trying) break;  // the outcome is everybody's
    if (!breaker_.allows(now)) {
      // Nobody is kept waiting for what will not be asked.
      give_up(std::move(waiting_.front()), RpcResult::breaker);
      waiting_.pop_front();
    } else {
      if (!have_addresses(now)) break;
      ask(waiting_, now);
    }
  }
  while (!farewells_.empty() && waiting_.empty() && free_link() != nullptr &&
         (ending_ || now >= next_farewell_at_)) {
    if (!breaker_.allows(now) || !have_addresses(now)) break;
    next_farewell_at_ =
        std::max(next_farewell_at_, now) + Duration(seconds(1)) / options_.disconnects_per_second;
    ask(farewells_, now);
  }
}

// The one that was used last, so that the others may idle and end.
HttpRpcPool::Link* HttpRpcPool::free_link() {
  Link* closed = nullptr;
  Link* idle = nullptr;
  for (const auto& link : links_) {
    if (link->pending) continue;
    if (link->connection.stage() == RpcConnection::Stage::closed) {
      closed = link.get();
    } else if (idle == nullptr || link->idle_until > idle->idle_until) {
      idle = link.get();
    }
  }
  return idle != nullptr ? idle : closed;
}

bool HttpRpcPool::have_addresses(Instant now) {
  if (!addresses_.empty()) return true;
  resolver_.ask(options_.url.host, options_.url.port, now + options_.timeout);
  Resolver::Answer answer;
  if (!resolver_.take(answer)) {
    if (resolver_.late(now)) note_failure("the name server does not answer for " + options_.url.host, now);
    return false;
  }
  addresses_ = std::move(answer.addresses);
  next_address_ = 0;
  if (!addresses_.empty()) return true;
  // As if each had been tried and none had got through.
  next_farewell_at_ = now + kBackoffMax;
  note_failure(answer.error, now);
  for (size_t count = waiting_.size(); count > 0; --count) {
    attempt_failed(begin_attempt(waiting_), RpcResult::unavailable, true, answer.error, now);
  }
  return false;
}

std::string HttpRpcPool::head_of(const RpcCall& call) const {
  std::string head = "POST " + options_.url.path + "/" + to_string(call.method) + " HTTP/1.1\r\nHost: ";
  head += options_.url.authority + "\r\nUser-Agent: Ringcast\r\nContent-Type: application/json\r\n";
  head += "Accept: application/json\r\nContent-Length: " + std::to_string(call.body.size()) + "\r\n";
  if (!options_.secret.empty()) head += "Authorization: Bearer " + options_.secret + "\r\n";
  if (!call.socket_id.empty()) head += "X-AnyCable-Meta-sid: " + call.socket_id + "\r\n";
  return head += "\r\n";
}

Pending HttpRpcPool::begin_attempt(std::deque<Pending>& queue) {
  Pending pending = std::move(queue.front());
  queue.pop_front();
  counters_.pending.fetch_sub(1, std::memory_order_relaxed);
  RpcCounters::add(counters_.in_flight);
  ++pending.attempts;
  return pending;
}

// The first of the queue. REQUIRES: a free link, addresses, and the breaker's leave.
void HttpRpcPool::ask(std::deque<Pending>& queue, Instant now) {
  Link& link = *free_link();
  RpcConnection& connection = link.connection;
  breaker_.begin();
  Pending pending = begin_attempt(queue);
  link.idled = connection.stage() != RpcConnection::Stage::closed;
  if (!link.idled) {
    connection.open(addresses_[next_address_ % addresses_.size()], submissions_);
  }
  connection.request(head_of(pending.call), pending.call.body);
  link.asked_at = now;
  link.pending = std::move(pending);
}

// --- A turn ----------------------------------------------------------------------------

Instant HttpRpcPool::next_deadline() const {
  Instant next = kNever;
  const auto by = [&next](Instant when) { next = std::min(next, when); };
  bool free = false;
  for (const auto& link : links_) {
    free = free || !link->pending;
    if (link->pending) {
      by(link->asked_at + options_.timeout);
    } else if (link->connection.stage() != RpcConnection::Stage::closed) {
      by(link->idle_until);
    }
  }
  if (!retries_.empty()) by(retries_.begin()->first);
  if (!waiting_.empty()) by(waiting_.front().since + kWaitTimeouts * options_.timeout);
  by(resolver_.deadline());
  if (!farewells_.empty() && free && breaker_.state() != RpcBreaker::State::trying && !resolver_.busy()) {
    by(breaker_.state() == RpcBreaker::State::open ? std::max(next_farewell_at_, breaker_.open_until())
                                                   : next_farewell_at_);
  }
  return next;
}

Instant HttpRpcPool::take_turn(Instant deadline) {
  for (const auto& link : links_) link->connection.flush(submissions_);
  completions_.clear();
  const Instant now = backend_->turn(submissions_, completions_, deadline).now;
  submissions_.clear();
  settle(now);
  return now;
}

void HttpRpcPool::settle(Instant now) {
  const auto of = [this](Token token) -> Link& { return *links_[token.value & 0xffff]; };
  for (const Completion& completion : completions_.short_sends) {
    Link& link = of(completion.token);
    if (link.connection.owns(completion.token)) link.connection.short_send(completion, submissions_);
  }
  for (const auto& link : links_) link->connection.settle_send();
  for (const Completion& completion : completions_.others) {
    Link& link = of(completion.token);
    if (link.connection.owns(completion.token)) link.connection.completed(completion, submissions_);
  }
  uint64_t open = 0;
  for (const auto& link : links_) {
    judge(*link, now);
    open += link->connection.stage() != RpcConnection::Stage::closed;
  }
  counters_.connections.store(open, std::memory_order_relaxed);
}

// --- Answers ---------------------------------------------------------------------------

// What has become of the call under way, if anything has.
void HttpRpcPool::judge(Link& link, Instant now) {
  RpcConnection& connection = link.connection;
  if (!link.pending) return;
  if (!connection.answered()) {
    if (connection.stage() != RpcConnection::Stage::closed) return;
    Pending pending = std::move(*std::exchange(link.pending, std::nullopt));
    const bool unseen = connection.unseen();
    if (unseen && !link.idled) {
      // Nobody there: the next address, or the name may mean others by now.
      if (++next_address_ >= addresses_.size()) addresses_.clear();
    }
    const bool stale = link.idled && !connection.answer_begun() && pending.call.method == RpcMethod::connect;
    return attempt_failed(std::move(pending), RpcResult::unavailable, unseen || stale, connection.failure(),
                          now);
  }

  Pending pending = std::move(*std::exchange(link.pending, std::nullopt));
  const int status = connection.status();
  const std::string body = connection.body();
  const Duration trusted = connection.keep_alive_for(options_.idle_max);
  if (trusted > Duration{}) {
    connection.forget_answer();
    link.idle_until = now + trusted;
  } else {
    connection.close("answered", submissions_);
  }
  if (status >= 502 && status <= 504) {
    return attempt_failed(std::move(pending), RpcResult::unavailable, status == 503,
                          "answered with " + std::to_string(status), now);
  }

  breaker_.succeeded(now);
  note_breaker(now);
  if (!down_reason_.empty()) {
    down_reason_.clear();
    log_.log(now, LogLevel::info, "rpc_up", {{"url", std::string_view(options_.url.to_string())}});
  }
  const auto method = static_cast<size_t>(pending.call.method);
  RpcCounters::add(counters_.answers[method]);
  RpcCounters::add(counters_.answers_us[method],
                   static_cast<uint64_t>((now - link.asked_at) / microseconds(1)));
  RpcReply reply;
  std::string_view problem;
  std::optional<RpcAnswer> answer;
  if (status == 200) {
    answer = decode_rpc_answer(body, &problem);
  } else if (status == 401 || status == 403) {
    problem = "the application does not accept the secret";
  } else {
    problem = "the application answers with another status than 200";
  }
  if (answer) {
    reply.answer = std::move(*answer);
    switch (reply.answer.status) {
      case RpcAnswer::Status::success:
        reply.result = RpcResult::success;
        break;
      case RpcAnswer::Status::failure:
        reply.result = RpcResult::failure;
        break;
      case RpcAnswer::Status::error:
        reply.result = RpcResult::error;
        log_.log(now, LogLevel::warn, "rpc_error",
                 {{"method", std::string_view(to_string(pending.call.method))},
                  {"error", std::string_view(reply.answer.error)}});
        break;
    }
  } else {
    reply.result = RpcResult::nonsense;
    log_.log(now, LogLevel::warn, "rpc_nonsense",
             {{"method", std::string_view(to_string(pending.call.method))},
              {"status", int64_t{status}},
              {"why", problem}});
  }
  counters_.in_flight.fetch_sub(1, std::memory_order_relaxed);
  finish(pending, std::move(reply));
}

// One attempt came to nothing. `repeat`: the application surely did not act on it.
void HttpRpcPool::attempt_failed(Pending pending, RpcResult result, bool repeat, std::string_view why,
                                 Instant now) {
  counters_.in_flight.fetch_sub(1, std::memory_order_relaxed);
  breaker_.failed(now);
  note_breaker(now);
  note_failure(why, now);
  if (repeat && pending.call.method == RpcMethod::disconnect && !ending_) {
    RpcCounters::add(counters_.pending);
    farewells_.push_front(std::move(pending));
    next_farewell_at_ = std::max(next_farewell_at_, now + kBackoffMax);
    return;
  }
  const int doublings = std::clamp(pending.attempts - 1, 0, 5);
  const auto bound = std::min<Duration>(kBackoffMax, Duration(kBackoffFirst) * (1 << doublings));
  const auto half = static_cast<uint64_t>(bound.count()) / 2;
  const Instant again = now + Duration(half + prng_.below(half + 1));
  if (repeat && !ending_ && again < pending.since + options_.timeout &&
      breaker_.state() == RpcBreaker::State::closed) {
    RpcCounters::add(counters_.retries);
    RpcCounters::add(counters_.pending);
    retries_.emplace(again, std::move(pending));
    return;
  }
  finish(pending, {.result = result, .answer = {}});
}

// Of a call that waits: it will not be asked.
void HttpRpcPool::give_up(Pending pending, RpcResult result) {
  counters_.pending.fetch_sub(1, std::memory_order_relaxed);
  finish(pending, {.result = result, .answer = {}});
}

void HttpRpcPool::finish(const Pending& pending, RpcReply&& reply) {
  const auto method = static_cast<size_t>(pending.call.method);
  RpcCounters::add(counters_.calls[method][static_cast<size_t>(reply.result)]);
  pending.call.done(std::move(reply));
}

void HttpRpcPool::note_breaker(Instant now) {
  const bool open = breaker_.state() != RpcBreaker::State::closed;
  counters_.breaker_open.store(open, std::memory_order_relaxed);
  if (open == breaker_told_) return;
  breaker_told_ = open;
  if (open) {
    log_.log(now, LogLevel::error, "rpc_breaker_open", {{"reason", std::string_view(down_reason_)}});
  } else {
    log_.log(now, LogLevel::info, "rpc_breaker_closed");
  }
}

// One line for each reason, not for each call.
void HttpRpcPool::note_failure(std::string_view why, Instant now) {
  if (why == down_reason_) return;
  down_reason_ = why;
  log_.log(now, LogLevel::warn, "rpc_down",
           {{"url", std::string_view(options_.url.to_string())}, {"reason", why}});
}

void HttpRpcPool::end() {
  for (const auto& link : links_) link->connection.close("the server ends", submissions_);
  for (const auto& link : links_) {
    if (!link->pending) continue;
    counters_.in_flight.fetch_sub(1, std::memory_order_relaxed);
    finish(*link->pending, {.result = RpcResult::unavailable, .answer = {}});
    link->pending.reset();
  }
  for (; !farewells_.empty(); farewells_.pop_front()) {
    give_up(std::move(farewells_.front()), RpcResult::unavailable);
  }
  await_closes(*backend_, submissions_, kCloseGrace);
}

}  // namespace

const char* to_string(RpcMethod method) {
  constexpr const char* kNames[kRpcMethods] = {"connect", "command", "disconnect"};
  return kNames[static_cast<size_t>(method)];
}

const char* to_string(RpcResult result) {
  constexpr const char* kNames[kRpcResults] = {"success", "failure",     "error",   "nonsense",
                                               "timeout", "unavailable", "breaker", "full"};
  return kNames[static_cast<size_t>(result)];
}

std::unique_ptr<RpcPool> RpcPool::create(RpcPoolOptions options, Logger& logger, std::string* error) {
  std::shared_ptr<const ClientTlsContext> tls;
  if (options.url.tls) {
    tls = ClientTlsContext::create(options.tls, error);
    if (tls == nullptr) return nullptr;
  }
  // On a thread that ends at once: a ring that goes away, as the self-test's does, interrupts a
  // system call of the thread that made it, and the caller's is not ours to interrupt.
  std::unique_ptr<Backend> backend;
  {
    const SignalsBlocked blocked;
    std::thread([&] {
      backend = make_backend(options.backend, {.recv_buffers_bytes = size_t{256} << 10}, error);
    }).join();
  }
  if (backend == nullptr) return nullptr;
  error->clear();
  return std::make_unique<HttpRpcPool>(std::move(options), logger, std::move(backend), std::move(tls));
}

}  // namespace ringcast
