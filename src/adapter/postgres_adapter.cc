// The PostgreSQL adapter's thread: poll(2), since libpq reads and writes by itself,
// reconnecting, and the canary. Each turn: (1) what other threads asked, (2) deadlines,
// (3) what is to be sent, (4) poll, (5) what came.
#include "adapter/postgres_adapter.h"

#include <poll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <optional>
#include <system_error>
#include <thread>
#include <utility>
#include <vector>

#include "adapter/adapter_counters.h"
#include "adapter/adapter_health.h"
#include "adapter/adapter_random.h"
#include "adapter/canary.h"
#include "adapter/engine_link.h"
#include "adapter/postgres_connection.h"
#include "adapter/postgres_publisher.h"
#include "adapter/postgres_subscriber.h"
#include "adapter/resolver.h"
#include "base/assert.h"
#include "base/signals_blocked.h"
#include "io/clock.h"
#include "io/socket.h"

namespace ringcast {
namespace {

class PostgresAdapter final : public Adapter {
 public:
  PostgresAdapter(PostgresOptions options, PostgresTarget target, Descriptor wake, Logger& logger);
  ~PostgresAdapter() override;

  void start(AdapterSink& sink) override;
  PublishStatus publish(MessageRef message) override;
  void subscribe(std::string_view stream) override { queue_.request(stream, true); }
  void unsubscribe(std::string_view stream) override { queue_.request(stream, false); }
  AdapterState state() const override { return counters_.state(queue_); }

 private:
  using Link = EngineLink<PostgresConnection>;

  void run();
  bool take_requests();
  void tend(Instant now);
  void tend(Link& link, Instant now);
  bool have_hosts(Instant now);
  void tend_canary(Instant now);
  void see_to_closed(Link& link, Instant now);
  void fill(Instant now);
  Instant next_deadline() const;
  Instant take_turn(Instant deadline);
  void read(Instant now);
  std::string to_channel(std::string_view stream) const {
    return postgres_channel(options_.names.to_wire(stream));
  }
  void wake() const;

  const PostgresOptions options_;
  const PostgresTarget target_;
  const Descriptor wake_;
  LogBudget log_;
  AdapterQueue queue_;
  AdapterCounters counters_;
  AdapterHealth health_;
  Canary canary_;
  Resolver resolver_;
  Link publishing_, listening_;
  PostgresPublisher publisher_;
  PostgresSubscriber subscriber_;
  AdapterSink* sink_ = nullptr;

  // Hosts with an address each, as far as they are resolved; used once all are.
  std::vector<PostgresTarget::Host> hosts_;
  size_t resolved_ = 0;        // of the target's
  std::string resolve_error_;  // the last
  Instant retry_sink_at_ = kNever;

  std::thread thread_;  // last: it uses all of the above
};

PostgresAdapter::PostgresAdapter(PostgresOptions options, PostgresTarget target, Descriptor wake,
                                 Logger& logger)
    : options_(std::move(options)),
      target_(std::move(target)),
      wake_(std::move(wake)),
      log_(logger),
      queue_(options_.limits, [this] { this->wake(); }),
      health_(counters_, log_, target_.to_string()),
      canary_(options_.canary_interval, options_.canary_timeout, counters_),
      resolver_([this] { this->wake(); }, options_.look_up),
      publishing_(options_.backoff_max),
      listening_(options_.backoff_max),
      publisher_(
          publishing_.connection, queue_, counters_,
          [this](std::string_view stream) { return to_channel(stream); },
          [this](const SocketId& socket) { return sink_->socket_name(socket); }, log_),
      subscriber_(
          listening_.connection, counters_, [this](std::string_view stream) { return to_channel(stream); },
          log_, to_channel(canary_channel_name()), options_.socket_ids) {}

PostgresAdapter::~PostgresAdapter() {
  queue_.stop();
  if (thread_.joinable()) thread_.join();
}

void PostgresAdapter::wake() const {
  const uint64_t one = 1;
  [[maybe_unused]] const ssize_t written = write(wake_.fd(), &one, sizeof one);  // full: it is awake
}

void PostgresAdapter::start(AdapterSink& sink) {
  RC_ASSERT(!thread_.joinable());
  sink_ = &sink;
  subscriber_.attach(sink);
  const SignalsBlocked blocked;
  thread_ = std::thread([this] { run(); });
}

PublishStatus PostgresAdapter::publish(MessageRef message) {
  const std::string_view payload = as_text(message->payload());
  if (payload.size() > kPostgresPayloadBytesMax) return PublishStatus::too_large;
  if (payload.find('\0') != std::string_view::npos ||
      message->stream().find('\0') != std::string_view::npos) {
    return PublishStatus::invalid;
  }
  return queue_.publish(std::move(message));
}

void PostgresAdapter::run() {
  if (options_.thread_started) options_.thread_started();
  Instant now = monotonic_now();
  Instant ends_at = kNever;
  for (;;) {
    if (!take_requests()) {
      if (ends_at == kNever) ends_at = now + options_.stop_grace;
      if (!health_.up() || publisher_.idle() || now >= ends_at) return;
    }
    tend(now);
    fill(now);
    now = take_turn(std::min(next_deadline(), ends_at));
    read(now);
    const bool up = publishing_.connection.ready() && listening_.connection.ready() && subscriber_.live();
    if (health_.update(up, *sink_, now)) {
      for (Link* link : {&publishing_, &listening_}) link->succeeded();
      canary_.begin(now);
    }
    log_.report(now);
  }
}

bool PostgresAdapter::take_requests() {
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

void PostgresAdapter::tend(Instant now) {
  tend(publishing_, now);
  tend(listening_, now);
  const auto late = [&](Instant since) { return since != kNever && now >= since + options_.reply_timeout; };
  if (late(publisher_.waiting_since())) {
    publishing_.connection.close("PostgreSQL does not answer");
    // Both go the same way, and only one of them would say so soon.
    if (health_.up() && canary_.silent(now) && !subscriber_.stalled()) {
      listening_.connection.close("PostgreSQL does not answer");
    }
  }
  if (!subscriber_.stalled() && late(subscriber_.waiting_since())) {
    listening_.connection.close("PostgreSQL does not answer");
  }
  tend_canary(now);
}

void PostgresAdapter::tend(Link& link, Instant now) {
  if (!link.closed()) {
    if (now >= link.connection.deadline())
      link.connection.close("PostgreSQL does not answer while connecting");
    return;
  }
  if (!link.may_open(now) || !have_hosts(now)) return;
  link.connection.open(target_, hosts_[link.begin_attempt(hosts_.size())], options_.client_name,
                       now + options_.connect_timeout);
  see_to_closed(link, now);
}

bool PostgresAdapter::have_hosts(Instant now) {
  for (; resolved_ < target_.hosts.size(); ++resolved_) {
    PostgresTarget::Host host = target_.hosts[resolved_];
    if (!host.address.empty() || host.host.empty() || host.host[0] == '/' || host.host[0] == '@') {
      hosts_.push_back(std::move(host));
      continue;
    }
    resolver_.ask(host.host, 0, now + options_.connect_timeout);
    Resolver::Answer answer;
    if (!resolver_.take(answer)) {
      if (resolver_.late(now)) health_.tell_down("the name server does not answer for " + host.host, now);
      return false;
    }
    if (answer.addresses.empty()) resolve_error_ = answer.error;
    for (const EngineAddress& address : answer.addresses) {
      host.address = address.ip();
      hosts_.push_back(host);
    }
  }
  if (!hosts_.empty()) return true;
  resolved_ = 0;
  health_.tell_down(resolve_error_, now);
  for (Link* link : {&publishing_, &listening_}) link->postpone(now);
  return false;
}

// What follows from a connection's end.
void PostgresAdapter::see_to_closed(Link& link, Instant now) {
  if (!link.take_end(now)) return;
  // All were tried, or what was there is gone: addresses may have changed.
  if (!resolver_.busy() && (health_.up() || link.tried_all(hosts_.size()))) {
    hosts_.clear();
    resolved_ = 0;
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

void PostgresAdapter::tend_canary(Instant now) {
  if (!health_.up()) return;
  if (canary_.late(now) && !subscriber_.stalled()) {
    listening_.connection.close("a message to ourselves did not come back");
    publishing_.connection.close("a message to ourselves did not come back");
    return;
  }
  if (canary_.due(now)) publisher_.publish_canary(subscriber_.canary_channel(), canary_.send(now), now);
}

// --- A turn ----------------------------------------------------------------------------

void PostgresAdapter::fill(Instant now) {
  if (listening_.connection.ready()) subscriber_.fill(now);
  if (health_.up()) publisher_.fill(now);
}

Instant PostgresAdapter::next_deadline() const {
  Instant next = retry_sink_at_;
  const auto by = [&next](Instant when) { next = std::min(next, when); };
  for (const Link* link : {&publishing_, &listening_}) {
    if (link->unsettled() && !subscriber_.stalled()) by(Instant::min());  // closed while sending
    if (!link->closed() || !resolver_.busy()) by(link->deadline());
  }
  by(resolver_.deadline());
  if (const Instant since = publisher_.waiting_since(); since != kNever) by(since + options_.reply_timeout);
  if (subscriber_.stalled()) return next;
  if (const Instant since = subscriber_.waiting_since(); since != kNever) by(since + options_.reply_timeout);
  if (health_.up()) by(canary_.deadline());
  return next;
}

Instant PostgresAdapter::take_turn(Instant deadline) {
  std::array<pollfd, 3> waits = {
      {{wake_.fd(), POLLIN, 0},
       {publishing_.connection.fd(), publishing_.connection.events(true), 0},
       {listening_.connection.fd(), listening_.connection.events(!subscriber_.stalled()), 0}}};
  // A stalled listener asks for nothing, and an error that poll tells unasked would spin.
  if (waits[2].events == 0) waits[2].fd = -1;
  const Instant before = monotonic_now();
  const timespec at_most = to_timespec(deadline > before ? deadline - before : Duration(0));
  const int ready = ppoll(waits.data(), waits.size(), deadline == kNever ? nullptr : &at_most, nullptr);
  if (ready > 0) {
    if (waits[0].revents != 0) {
      uint64_t count;
      [[maybe_unused]] const ssize_t bytes = ::read(wake_.fd(), &count, sizeof count);
    }
    publishing_.connection.progress(waits[1].revents);
    listening_.connection.progress(waits[2].revents);
  }
  const Instant now = monotonic_now();
  if (publishing_.connection.ready() && !publisher_.begun()) publisher_.begin(now);
  return now;
}

void PostgresAdapter::read(Instant now) {
  publisher_.take_results(now);
  const bool was_stalled = subscriber_.stalled();
  if (!was_stalled) subscriber_.take_results(now);
  if (!subscriber_.deliver(now)) {
    retry_sink_at_ = now + kSinkRetry;
  } else {
    retry_sink_at_ = kNever;
    if (was_stalled) canary_.excuse(now);
  }
  if (subscriber_.take_heard()) canary_.heard(now);
  canary_.came(subscriber_.take_canary(), now);
  see_to_closed(publishing_, now);
  if (!subscriber_.stalled()) see_to_closed(listening_, now);
}

}  // namespace

std::unique_ptr<Adapter> make_postgres_adapter(PostgresOptions options, Logger& logger, std::string* error) {
  if (*error = options.names.problem(); !error->empty()) return nullptr;
  std::optional<PostgresTarget> target = PostgresTarget::parse(options.url, error);
  if (!target) return nullptr;
  if (options.client_name.empty()) options.client_name = "Ringcast-PID-" + std::to_string(getpid());
  Descriptor wake(eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC));
  if (!wake) {
    *error = "cannot make an eventfd: " + std::system_category().message(errno);
    return nullptr;
  }
  return std::make_unique<PostgresAdapter>(std::move(options), std::move(*target), std::move(wake), logger);
}

}  // namespace ringcast
