// The Redis adapter's thread: turns, reconnecting, and the canary. Each turn: (1) what other threads asked,
// (2) deadlines, (3) what is to be sent, (4) the backend, (5) what came.
#include "adapter/redis_adapter.h"

#include <unistd.h>

#include <algorithm>
#include <thread>
#include <utility>
#include <vector>

#include "adapter/adapter_counters.h"
#include "adapter/adapter_health.h"
#include "adapter/adapter_random.h"
#include "adapter/canary.h"
#include "adapter/engine_link.h"
#include "adapter/redis_connection.h"
#include "adapter/redis_publisher.h"
#include "adapter/redis_subscriber.h"
#include "adapter/resolver.h"
#include "base/assert.h"
#include "base/signals_blocked.h"
#include "io/clock.h"

namespace ringcast {
namespace {

constexpr milliseconds kCloseGrace{1000};

class RedisAdapter final : public Adapter {
 public:
  RedisAdapter(RedisOptions options, Logger& logger, std::unique_ptr<Backend> backend,
               std::shared_ptr<const ClientTlsContext> tls);
  ~RedisAdapter() override;

  void start(AdapterSink& sink) override;
  PublishStatus publish(MessageRef message) override { return queue_.publish(std::move(message)); }
  void subscribe(std::string_view stream) override { queue_.request(stream, true); }
  void unsubscribe(std::string_view stream) override { queue_.request(stream, false); }
  AdapterState state() const override { return counters_.state(queue_); }

 private:
  using Link = EngineLink<RedisConnection>;

  void run();
  bool take_requests();
  void tend(Instant now);
  void tend(Link& link, Instant now);
  bool have_addresses(Instant now);
  void tend_canary(Instant now);
  void see_to_closed(Link& link, Instant now);
  void fill(Instant now);
  Instant next_deadline() const;
  Instant take_turn(Instant deadline);
  void settle_sends();
  void read(Instant now);
  void read_subscriptions(Instant now);
  void update_state(Instant now);
  void end();

  const RedisOptions options_;
  LogBudget log_;
  const std::unique_ptr<Backend> backend_;
  AdapterQueue queue_;
  AdapterCounters counters_;
  AdapterHealth health_;
  Canary canary_;
  Resolver resolver_;
  Link publishing_, listening_;
  RedisPublisher publisher_;
  RedisSubscriber subscriber_;
  AdapterSink* sink_ = nullptr;

  std::vector<EngineAddress> addresses_;  // empty: to be asked for
  std::vector<Submission> submissions_;
  Completions completions_;
  Instant retry_sink_at_ = kNever;

  std::thread thread_;  // last: it uses all of the above
};

RedisAdapter::RedisAdapter(RedisOptions options, Logger& logger, std::unique_ptr<Backend> backend,
                           std::shared_ptr<const ClientTlsContext> tls)
    : options_(std::move(options)),
      log_(logger),
      backend_(std::move(backend)),
      queue_(options_.limits, [this] { backend_->wake(); }),
      health_(counters_, log_, options_.url.to_string()),
      canary_(options_.canary_interval, options_.canary_timeout, counters_),
      resolver_([this] { backend_->wake(); }, options_.look_up),
      publishing_(options_.backoff_max, options_.url, options_.client_name, tls, 0),
      listening_(options_.backoff_max, options_.url, options_.client_name, tls, 1),
      publisher_(publishing_.connection, queue_, counters_, options_.names, log_),
      // Below the prefix, where an ACL that allows the application's channels allows it too.
      subscriber_(
          listening_.connection, counters_,
          [this](std::string_view stream) { return options_.names.to_wire(stream); }, log_,
          options_.names.to_wire(canary_channel_name()), options_.anycable) {}

RedisAdapter::~RedisAdapter() {
  queue_.stop();
  if (thread_.joinable()) thread_.join();
}

void RedisAdapter::start(AdapterSink& sink) {
  RC_ASSERT(!thread_.joinable());
  sink_ = &sink;
  subscriber_.attach(sink);
  const SignalsBlocked blocked;
  thread_ = std::thread([this] { run(); });
}

void RedisAdapter::run() {
  if (options_.thread_started) options_.thread_started();
  Instant now = monotonic_now();
  Instant ends_at = kNever;
  for (;;) {
    if (!take_requests()) {
      if (ends_at == kNever) ends_at = now + options_.stop_grace;
      if (!health_.up() || publisher_.idle() || now >= ends_at) break;
    }
    tend(now);
    fill(now);
    now = take_turn(std::min(next_deadline(), ends_at));
    read(now);
    update_state(now);
    log_.report(now);
  }
  end();
}

bool RedisAdapter::take_requests() {
  std::vector<AdapterQueue::Request> requests;
  const bool running = queue_.take(publisher_.unsent(), requests);
  for (const AdapterQueue::Request& request : requests) {
    if (request.wanted) {
      subscriber_.want(request.stream);
    } else {
      subscriber_.drop(request.stream);
    }
  }
  return running;
}

// --- Connections -----------------------------------------------------------------------

void RedisAdapter::tend(Instant now) {
  tend(publishing_, now);
  tend(listening_, now);
  const auto late = [&](Instant since) { return since != kNever && now >= since + options_.reply_timeout; };
  if (late(publisher_.waiting_since())) {
    publishing_.connection.close("Redis does not answer", submissions_);
    // Both go the same way, and only one of them would say so soon.
    if (health_.up() && canary_.silent(now) && !subscriber_.stalled()) {
      listening_.connection.close("Redis does not answer", submissions_);
    }
  }
  if (!subscriber_.stalled() && late(subscriber_.waiting_since())) {
    listening_.connection.close("Redis does not answer", submissions_);
  }
  tend_canary(now);
}

void RedisAdapter::tend(Link& link, Instant now) {
  if (!link.closed()) {
    if (now >= link.connection.deadline()) {
      link.connection.close("Redis does not answer while connecting", submissions_);
    }
    return;
  }
  if (!link.may_open(now) || !have_addresses(now)) return;
  const EngineAddress address = addresses_[link.begin_attempt(addresses_.size())];
  link.connection.open(address, now + options_.connect_timeout, submissions_);
  see_to_closed(link, now);
}

bool RedisAdapter::have_addresses(Instant now) {
  if (!addresses_.empty()) return true;
  if (options_.url.unix_path.empty()) {
    resolver_.ask(options_.url.host, options_.url.port, now + options_.connect_timeout);
  } else {
    resolver_.ask_path(options_.url.unix_path);
  }
  Resolver::Answer answer;
  if (!resolver_.take(answer)) {
    if (resolver_.late(now)) {
      health_.tell_down("the name server does not answer for " + options_.url.host, now);
    }
    return false;
  }
  addresses_ = std::move(answer.addresses);
  if (!addresses_.empty()) return true;
  health_.tell_down(answer.error, now);
  for (Link* link : {&publishing_, &listening_}) link->postpone(now);
  return false;
}

// What follows from a connection's end.
void RedisAdapter::see_to_closed(Link& link, Instant now) {
  if (!link.take_end(now)) return;
  // All addresses were tried, or what was there is gone: they may have changed.
  if (health_.up() || link.tried_all(addresses_.size())) {
    addresses_.clear();
    link.addresses_changed();
  }
  if (&link == &listening_) {
    // As far back as we cannot know better: at most an interval of the canary, unless it was waited for.
    if (subscriber_.live()) health_.missed(canary_.heard_at());
    subscriber_.lost();
  } else {
    publisher_.lost(now);
  }
  canary_.forget();
  health_.tell_down(link.connection.failure(), now);
}

void RedisAdapter::tend_canary(Instant now) {
  if (!health_.up()) return;
  if (canary_.late(now) && !subscriber_.stalled()) {
    const std::string why = "a message to ourselves did not come back";
    listening_.connection.close(why, submissions_);
    publishing_.connection.close(why, submissions_);
    return;
  }
  if (!canary_.due(now)) return;
  if (!subscriber_.canary_refused()) {
    publisher_.publish_canary(subscriber_.canary_channel(), canary_.send(now), now);
    return;
  }
  if (publisher_.waiting_since() == kNever) publisher_.ping(now);
  if (subscriber_.waiting_since() == kNever) subscriber_.ping(now);
}

// --- A turn ----------------------------------------------------------------------------

void RedisAdapter::fill(Instant now) {
  if (listening_.connection.ready()) subscriber_.fill(now);
  if (health_.up() && publishing_.connection.ready()) publisher_.fill(now);
  publishing_.connection.flush(submissions_);
  listening_.connection.flush(submissions_);
}

Instant RedisAdapter::next_deadline() const {
  Instant next = retry_sink_at_;
  const auto by = [&next](Instant when) { next = std::min(next, when); };
  for (const Link* link : {&publishing_, &listening_}) {
    if (!link->closed() || !resolver_.busy()) by(link->deadline());
  }
  by(resolver_.deadline());
  if (const Instant since = publisher_.waiting_since(); since != kNever) by(since + options_.reply_timeout);
  if (subscriber_.stalled()) return next;
  if (const Instant since = subscriber_.waiting_since(); since != kNever) by(since + options_.reply_timeout);
  if (health_.up()) by(canary_.deadline());
  return next;
}

Instant RedisAdapter::take_turn(Instant deadline) {
  completions_.clear();
  const Instant now = backend_->turn(submissions_, completions_, deadline).now;
  submissions_.clear();
  settle_sends();
  for (const Completion& completion : completions_.others) {
    for (Link* link : {&publishing_, &listening_}) {
      if (link->connection.owns(completion.token)) link->connection.completed(completion, submissions_);
    }
  }
  return now;
}

void RedisAdapter::settle_sends() {
  for (const Completion& completion : completions_.short_sends) {
    for (Link* link : {&publishing_, &listening_}) {
      if (link->connection.owns(completion.token)) link->connection.short_send(completion, submissions_);
    }
  }
  publishing_.connection.settle_send();
  listening_.connection.settle_send();
}

void RedisAdapter::read(Instant now) {
  while (RedisReply reply = publishing_.connection.next_reply(submissions_)) {
    if (publisher_.take_reply(*reply, now)) continue;
    subscriber_.refuse_canary();
    canary_.forget();
  }
  read_subscriptions(now);
  see_to_closed(publishing_, now);
  if (!subscriber_.stalled()) see_to_closed(listening_, now);
}

void RedisAdapter::read_subscriptions(Instant now) {
  if (subscriber_.stalled()) {
    if (!subscriber_.retry(now)) {
      retry_sink_at_ = now + kSinkRetry;
      return;
    }
    retry_sink_at_ = kNever;
    canary_.excuse(now);
    listening_.connection.pause(false);
  }
  while (RedisReply reply = listening_.connection.next_reply(submissions_)) {
    canary_.heard(now);
    if (subscriber_.take_reply(*reply, now)) continue;
    listening_.connection.pause(true);
    retry_sink_at_ = now + kSinkRetry;
    break;
  }
  canary_.came(subscriber_.take_canary(), now);
}

void RedisAdapter::update_state(Instant now) {
  const bool up = publishing_.connection.ready() && listening_.connection.ready() && subscriber_.live();
  if (!health_.update(up, *sink_, now)) return;
  for (Link* link : {&publishing_, &listening_}) link->succeeded();
  canary_.begin(now);
}

void RedisAdapter::end() {
  publishing_.connection.close({}, submissions_);
  listening_.connection.close({}, submissions_);
  await_closes(*backend_, submissions_, kCloseGrace);
}

}  // namespace

std::unique_ptr<Adapter> make_redis_adapter(RedisOptions options, Logger& logger, std::string* error) {
  if (*error = options.names.problem(); !error->empty()) return nullptr;
  std::shared_ptr<const ClientTlsContext> tls;
  if (options.url.tls) {
    tls = ClientTlsContext::create(options.tls, error);
    if (tls == nullptr) return nullptr;
  }
  if (options.client_name.empty()) options.client_name = "Ringcast-PID-" + std::to_string(getpid());
  std::unique_ptr<Backend> backend =
      make_backend(options.backend, {.recv_buffers_bytes = size_t{256} << 10}, error);
  if (backend == nullptr) return nullptr;
  error->clear();
  return std::make_unique<RedisAdapter>(std::move(options), logger, std::move(backend), std::move(tls));
}

}  // namespace ringcast
