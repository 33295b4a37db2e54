// A server's life: listeners, shards on their threads, publishes from outside, the end.
#include "server_core.h"

#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <sys/eventfd.h>
#include <sys/random.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include <algorithm>
#include <bit>
#include <cstring>
#include <fstream>
#include <sstream>

#include "base/assert.h"
#include "base/hash.h"
#include "base/number.h"
#include "base/signals_blocked.h"
#include "base/utf8.h"
#include "cable_route.h"
#include "http_access.h"
#include "io/clock.h"
#include "io/machine.h"
#include "io/make_backend.h"
#include "options_parts.h"
#include "publisher_core.h"
#include "ringcast/option_table.h"
#include "websocket_route.h"

namespace ringcast::internal {
namespace {

// The process's signals are its own business, so they never interrupt a thread of ours.
template <class Make>
auto blocking_signals(Make make) {
  const SignalsBlocked blocked;
  return make();
}

LogOptions log_options(const Options& options) {
  return {.level = options.log_level,
          .format = options.log_format,
          .sink = options.log_sink,
          .thread_started = options.thread_started};
}

// "0-3,6" -> 0 1 2 3 6. Nothing when it is not such a list.
std::optional<std::vector<int>> parse_cpus(std::string_view text) {
  std::vector<int> cpus;
  const auto number = [](std::string_view digits) -> std::optional<int> {
    const std::optional<int> value = parse_number<int>(digits);
    return value && *value >= 0 && *value <= 4095 ? value : std::nullopt;
  };
  while (!text.empty()) {
    const size_t comma = std::min(text.find(','), text.size());
    const std::string_view part = text.substr(0, comma);
    const size_t dash = part.find('-');
    const auto first = number(part.substr(0, dash));
    const auto last = dash == part.npos ? first : number(part.substr(dash + 1));
    if (!first || !last || *last < *first) return std::nullopt;
    for (int cpu = *first; cpu <= *last; ++cpu) cpus.push_back(cpu);
    text.remove_prefix(std::min(comma + 1, text.size()));
  }
  return cpus;
}

LapPolicy lap_policy(SlowConsumer policy) {
  switch (policy) {
    case SlowConsumer::drop_oldest:
      return LapPolicy::drop_oldest;
    case SlowConsumer::latest:
      return LapPolicy::latest;
    case SlowConsumer::close:
      break;
  }
  return LapPolicy::close;
}

BackendKind backend_kind(BackendChoice choice) {
  switch (choice) {
    case BackendChoice::io_uring:
      return BackendKind::io_uring;
    case BackendChoice::epoll:
      return BackendKind::epoll;
    case BackendChoice::automatic:
      break;
  }
  return BackendKind::automatic;
}

// One for each shard; none, and why, if one cannot be made. On a thread that ends at
// once: a ring that goes away, as the self-test's does, interrupts a system call of
// the thread that made it, and the embedder's thread is not ours to interrupt.
std::vector<std::unique_ptr<Backend>> make_backends(BackendKind kind, size_t count, std::string* why_not) {
  std::vector<std::unique_ptr<Backend>> backends;
  const auto make = [&] {
    while (backends.size() < count) {
      std::unique_ptr<Backend> backend = make_backend(kind, {}, why_not);
      if (backend == nullptr) return backends.clear();
      backends.push_back(std::move(backend));
    }
  };
  blocking_signals([&] { return std::thread(make); }).join();
  return backends;
}

// An HTTP route's way from the shard to the embedder's function.
class HttpGate final : public HttpHandler {
 public:
  HttpGate(ServerCore& core, std::string name, Server::HttpHandler handler)
      : core_(core), name_(std::move(name)), handler_(std::move(handler)) {}

  CallResult handle(const Exchange& exchange, HttpAnswer& answer) override {
    return guarded(core_.logger(), name_, [&] {
      const RequestData data(exchange, core_.server(), core_.identity());
      const Request request = RequestAccess::make(data);
      Response response;
      handler_(request, response);
      ResponseAccess::move_into(response, answer);
    });
  }

 private:
  ServerCore& core_;
  const std::string name_;
  const Server::HttpHandler handler_;
};

}  // namespace

sigset_t handled_signals(const Options& options) {
  sigset_t signals;
  sigemptyset(&signals);
  sigaddset(&signals, SIGTERM);
  sigaddset(&signals, SIGINT);
  if (options.reload) sigaddset(&signals, SIGHUP);
  return signals;
}

ServerCore::ServerCore(Options options, Server& server)
    : options_(std::move(options)),
      server_(server),
      logger_(blocking_signals([this] { return std::make_unique<Logger>(log_options(options_)); })) {
  if (options_.assertion_hook != nullptr) set_assertion_hook(options_.assertion_hook);
}

ServerCore::~ServerCore() {
  begin_stop({});
  wait();
}

// --- Routes ----------------------------------------------------------------------------

void ServerCore::refuse(std::string problem) {
  if (route_problem_.empty()) route_problem_ = std::move(problem);
}

bool ServerCore::may_add(std::string_view pattern) {
  if (started()) {
    refuse("routes are added before the server starts");
  } else if (!PathPattern::valid(pattern)) {
    refuse("'" + std::string(pattern) + "' is not a path pattern");
  } else {
    return true;
  }
  return false;
}

CableRoute& ServerCore::add_cable(std::string_view pattern) {
  cables_.push_back(std::make_unique<CableDefinition>(*this, pattern));
  CableDefinition& definition = *cables_.back();
  if (may_add(pattern)) {
    pending_.push_back({Route::for_cable(pattern, std::make_unique<CableGate>(definition)), &definition});
  }
  return definition.face;
}

void ServerCore::add_websocket(std::string_view pattern, WebSocketRoute route) {
  if (!may_add(pattern)) return;
  if (route.identified && options_.identified_by.empty()) {
    return refuse("the route " + std::string(pattern) + " asks who comes, and no identified-by says how");
  }
  if (route.page) {
    add_http("GET", pattern, std::exchange(route.page, nullptr));
  }
  const uint64_t message_bytes = route.message_bytes_max;
  const bool check_origin = route.check_origin;
  const bool text_only = !route.binary;
  const std::optional<SlowConsumer> slow_consumer = route.slow_consumer;
  Route added = Route::for_websocket(pattern, std::make_unique<WebSocketGate>(*this, std::move(route)));
  added.message_bytes = message_bytes;
  added.check_origin = check_origin;
  added.text_only = text_only;
  if (slow_consumer) added.lap_policy = lap_policy(*slow_consumer);
  pending_.push_back({std::move(added), nullptr});
}

void ServerCore::add_http(std::string_view method, std::string_view pattern, Server::HttpHandler handler) {
  if (!may_add(pattern)) return;
  if (!handler) return refuse("the route " + std::string(pattern) + " has no handler");
  if (std::ranges::find(kHttpMethods, method) == std::end(kHttpMethods)) {
    return refuse("'" + std::string(method) + "' is not a method that can be routed");
  }
  std::string name = std::string(method) + " " + std::string(pattern);
  pending_.push_back({Route::for_http(method, pattern,
                                      std::make_unique<HttpGate>(*this, std::move(name), std::move(handler))),
                      nullptr});
}

// --- Start -----------------------------------------------------------------------------

Limits ServerCore::limits() const {
  const Options& o = options_;
  const auto s = [](uint64_t value) { return Duration(seconds(value)); };
  std::vector<StreamPolicy> policies;
  for (const std::string& text : o.stream_policy) {
    const std::optional<StreamRule> rule = parse_stream_policy(text);
    policies.push_back({rule->pattern, lap_policy(rule->policy)});
  }
  std::vector<Coalescing> coalescing;
  for (const std::string& text : o.coalesce) {
    const std::optional<CoalescingRule> rule = parse_coalescing(text);
    coalescing.push_back({rule->pattern, milliseconds(rule->interval_ms)});
  }
  return {.request_head_bytes = o.request_head_bytes,
          .request_headers = o.request_headers,
          .request_body_bytes = o.request_body_bytes,
          .handshake_timeout = s(o.handshake_timeout_s),
          .keep_alive_timeout = s(o.keep_alive_timeout_s),
          .message_bytes = o.max_message_bytes,
          .close_timeout = s(o.close_timeout_s),
          .raw_ping_interval = s(o.raw_ping_interval_s),
          .pong_timeout = s(o.pong_timeout_s),
          .deflate = o.deflate,
          .deflate_client_takeover = o.deflate_client_takeover,
          .deflate_bytes = o.deflate_threshold_bytes,
          .ping_interval = s(o.ping_interval_s),
          .subscriptions_per_connection = o.subscriptions_per_connection,
          .identifier_bytes = o.identifier_bytes,
          .pending_commands = o.pending_commands,
          .error_budget = static_cast<uint32_t>(o.error_budget),
          .commands_per_second = static_cast<uint32_t>(o.commands_per_second),
          .stream_name_bytes = o.stream_name_bytes,
          .frame_log_bytes = o.frame_log_bytes,
          .lap_grace = milliseconds(o.lap_grace_ms),
          .lap_policy = lap_policy(o.slow_consumer),
          .stream_policies = std::move(policies),
          .coalescing = std::move(coalescing),
          .backlog_bytes = o.backlog_bytes,
          .outbox_bytes = o.outbox_bytes,
          .write_stall = s(o.write_stall_s),
          .mailbox_items = std::bit_ceil(o.mailbox_size),
          .broadcast_inbox_items = o.broadcast_inbox,
          .queued_bytes = o.queued_bytes,
          .memory_bytes = o.memory_limit_bytes,
          .connections = o.max_connections,
          .connections_per_address = o.connections_per_address,
          .connects_per_second = static_cast<uint32_t>(o.connects_per_second),
          .send_buffer_bytes = static_cast<int>(o.sndbuf_bytes),
          .notsent_lowat_bytes = static_cast<int>(o.notsent_lowat_bytes),
          .tcp_user_timeout = s(o.tcp_user_timeout_s),
          .tcp_keepalive = s(o.tcp_keepalive_s)};
}

std::string ServerCore::start() {
  if (started()) return "a server is started once";
  if (!options_.notice.empty()) return options_.notice;
  if (std::string problem = options_.problem(); !problem.empty()) return problem;
  for (const auto& cable : cables_) {
    if (!cable->problem.empty()) refuse(cable->problem);
  }
  if (!route_problem_.empty()) return route_problem_;
  const auto identity = std::make_shared<Identity>();
  if (std::string problem = load_identity(options_, *identity); !problem.empty()) return problem;
  for (const auto& cable : cables_) {
    if (!cable->identifiers.empty()) continue;
    for (const IdentifierSource& source : identity->sources) {
      cable->identifiers.push_back({source.name(), nullptr, source});
    }
  }
  const auto cpus = parse_cpus(options_.cpus);
  if (!cpus) return "cpus: '" + options_.cpus + "' is not a list of cores such as 0-3,6";
  cpus_ = *cpus;
  ended_event_ = Descriptor(eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
  // Made now, though only run() reads it: by then clients may have taken every descriptor.
  if (options_.handle_signals) {
    const sigset_t signals = handled_signals(options_);
    signal_event_ = Descriptor(signalfd(-1, &signals, SFD_CLOEXEC | SFD_NONBLOCK));
  }
  if (!ended_event_ || (options_.handle_signals && !signal_event_)) {
    return "no descriptor is left for the server";
  }

  for (PendingRoute& pending : pending_) {
    if (pending.cable != nullptr) {
      pending.route.check_origin = pending.cable->check_origin;
      if (pending.cable->slow_consumer) pending.route.lap_policy = lap_policy(*pending.cable->slow_consumer);
    }
    routes_.add(std::move(pending.route));
  }
  pending_.clear();
  if (std::string problem = make_shards(); !problem.empty()) {
    shards_.clear();  // closes what they listen on
    context_.reset();
    return problem;
  }
  identities_.assign(shards_.size(), identity);

  const SignalsBlocked blocked;
  if (engine_) engine_->start();
  if (rpc_) rpc_->pool().start();
  std::lock_guard lock(join_mutex_);
  running_shards_.store(shards_.size(), std::memory_order_relaxed);
  state_.store(State::running, std::memory_order_release);
  for (size_t i = 0; i < shards_.size(); ++i) threads_.emplace_back([this, i] { run_shard(i); });
  logger_->log(LogLevel::info, "started",
               {{"version", version()},
                {"addresses", static_cast<uint64_t>(addresses_.size())},
                {"address", std::string_view(addresses_.front())},
                {"shards", static_cast<uint64_t>(shards_.size())},
                {"backend", std::string_view(shards_.front()->backend_name())}});
  for (const auto& cable : cables_) {
    if (!cable->anonymous() || (rpc_ && cable->ask_application)) continue;
    logger_->log(LogLevel::info, "anonymous",
                 {{"route", std::string_view(cable->pattern)},
                  {"why", "no identifier is configured, so connections are not asked who they are"}});
  }
  return {};
}

// One listener for each address and shard. Of `addresses_`, the plain ones come first.
std::string ServerCore::open_listeners(const std::vector<std::string>& addresses, std::string_view scheme,
                                       std::vector<std::vector<Descriptor>>& listeners) {
  const AcceptedOptions accepted{
      .send_buffer_bytes = static_cast<uint32_t>(options_.sndbuf_bytes),
      .unsent_low_water_bytes = static_cast<uint32_t>(options_.notsent_lowat_bytes),
      .user_timeout_s = static_cast<uint32_t>(options_.tcp_user_timeout_s),
      .keepalive_s = static_cast<uint32_t>(options_.tcp_keepalive_s),
  };
  for (const std::string& text : addresses) {
    std::string error;
    std::optional<SocketAddress> address = SocketAddress::parse(text, &error);
    for (size_t shard = 0; address && shard < listeners.size(); ++shard) {
      Descriptor listener = listen_on(*address, shard == 0 ? Listener::first : Listener::joining, &error);
      if (!listener) break;
      // The others join the port the kernel picked for the first.
      if (shard == 0) address = local_address(listener.fd());
      set_for_accepted(listener.fd(), accepted);
      listeners[shard].push_back(std::move(listener));
    }
    if (!error.empty()) return error;
    addresses_.push_back(address->to_string());
    urls_.push_back(std::string(scheme) + "://" + address->to_string());
  }
  return {};
}

// --- TLS ---------------------------------------------------------------------------------

// With the ticket keys of before, if there was a before. tls_mutex_ is held, or nobody
// else is there yet.
std::string ServerCore::load_certificate(const std::string& chain_file, const std::string& key_file) {
  std::string chain, key;
  for (const auto& [name, to] : {std::pair(&chain_file, &chain), std::pair(&key_file, &key)}) {
    std::ifstream file(*name, std::ios::binary);
    std::ostringstream content;
    content << file.rdbuf();
    if (!file) return "'" + *name + "' cannot be read";
    *to = content.str();
  }
  const TlsTicketKeys tickets = tls_ ? tls_->ticket_keys() : TlsTicketKeys::generate(monotonic_now());
  TlsContext::Made made = TlsContext::make(chain, key, tickets, read_clocks().unix_ms);
  // The private key's text was ours to read, not to leave behind.
  explicit_bzero(key.data(), key.size());
  if (!made.context) return made.error;
  if (!made.warning.empty()) {
    logger_->log(LogLevel::warn, "certificate", {{"warning", std::string_view(made.warning)}});
  }
  tls_ = std::move(made.context);
  return {};
}

std::string ServerCore::replace_certificate(const std::string& chain_file, const std::string& key_file) {
  if (options_.tls_listen.empty()) return "the server has no TLS listener";
  const std::lock_guard lock(tls_mutex_);
  if (std::string error = load_certificate(chain_file, key_file); !error.empty()) return error;
  share_tls_context();
  logger_->log(LogLevel::info, "certificate_loaded",
               {{"expires_unix_s", tls_->certificate_expires_unix_s()}});
  return {};
}

void ServerCore::rotate_ticket_keys() {
  const std::lock_guard lock(tls_mutex_);
  const Instant now = monotonic_now();
  if (!tls_->ticket_keys().rotation_due(now)) return;
  tls_ = tls_->with_ticket_keys(tls_->ticket_keys().rotated(now));
  share_tls_context();
}

// New connections of every shard; those there are keep theirs.
void ServerCore::share_tls_context() {
  for (const auto& shard : shards_) {
    shard->post([context = tls_](Shard& here) { here.set_tls(context); });
  }
}

std::string ServerCore::make_shards() {
  const size_t cores = cpus_.empty() ? available_cpus() : cpus_.size();
  const size_t count = options_.shards != 0 ? options_.shards : cores;

  std::vector<std::vector<Descriptor>> listeners(count), tls_listeners(count);
  std::vector<std::string> plain = options_.listen;
  if (plain.empty() && options_.tls_listen.empty()) plain = {Options::kDefaultListen};
  if (std::string error = open_listeners(plain, "http", listeners); !error.empty()) return error;
  if (!options_.tls_listen.empty()) {
    if (std::string error = load_certificate(options_.tls_cert, options_.tls_key); !error.empty())
      return error;
    if (std::string error = open_listeners(options_.tls_listen, "https", tls_listeners); !error.empty())
      return error;
  }

  context_ = std::make_unique<ServerContext>(static_cast<ShardIndex>(count), limits(), routes_, *logger_);
  for (const std::string& network : options_.trusted_proxy) {
    std::string error;
    context_->proxies.add(network, &error);
  }
  context_->proxy_protocol = options_.proxy_protocol;
  if (options_.stage_latency) context_->stage_clock = monotonic_now;
  if (tls_) context_->rotate_ticket_keys = [this] { rotate_ticket_keys(); };
  const OriginPolicy origins{.allowed = options_.allowed_origins, .required = options_.require_origin};
  // Never on the last core: whoever is to give it work could not run.
  const bool spins = options_.spin_us > 0 && count < std::max(cores, available_cpus());
  std::string why_not;
  std::vector<std::unique_ptr<Backend>> backends =
      make_backends(backend_kind(options_.backend), count, &why_not);
  if (backends.empty()) return why_not;
  if (!why_not.empty()) {
    logger_->log(LogLevel::warn, "io_uring_refused", {{"why", std::string_view(why_not)}});
  }
  std::string adapter_error;
  const std::optional<AdapterPlan> plan = plan_adapter(options_, &adapter_error);
  if (!plan) return adapter_error;
  if (std::unique_ptr<Adapter> adapter = make_adapter(*plan, *logger_, &adapter_error)) {
    engine_ = std::make_unique<AdapterEngine>(std::move(adapter), *plan, options_, *context_);
    context_->engine = engine_.get();
  } else if (!adapter_error.empty()) {
    return adapter_error;
  }
  if (!options_.rpc_url.empty()) {
    std::string rpc_error;
    std::optional<RpcPlan> rpc_plan = plan_rpc(options_, &rpc_error);
    if (!rpc_plan) return rpc_error;
    rpc_plan->pool.backend = backend_kind(options_.backend);
    std::unique_ptr<RpcPool> pool = RpcPool::create(std::move(rpc_plan->pool), *logger_, &rpc_error);
    if (pool == nullptr) return rpc_error;
    rpc_ = std::make_unique<RpcService>(std::move(pool), std::move(rpc_plan->headers));
  }
  // Only where a message that leaves somebody out can say so on its way.
  if ((options_.anycable && plan->choice != AdapterChoice::test) ||
      (rpc_ && plan->choice == AdapterChoice::async)) {
    (void)!getrandom(&context_->socket_seed, sizeof context_->socket_seed, GRND_NONBLOCK);
    context_->socket_seed |= 1;
  }
  for (size_t i = 0; i < count; ++i) {
    std::vector<int> fds;
    for (Descriptor& listener : listeners[i]) fds.push_back(listener.release());
    uint64_t seed = i;
    (void)!getrandom(&seed, sizeof seed, GRND_NONBLOCK);
    shards_.push_back(std::make_unique<Shard>(*context_, static_cast<ShardIndex>(i), std::move(backends[i]),
                                              std::move(fds), origins, seed,
                                              spins ? Duration(microseconds(options_.spin_us)) : Duration{}));
    if (tls_) {
      std::vector<int> tls_fds;
      for (Descriptor& listener : tls_listeners[i]) tls_fds.push_back(listener.release());
      shards_.back()->listen_with_tls(tls_fds, tls_);
    }
    context_->shards.push_back(shards_.back().get());
  }
  return {};
}

void ServerCore::run_shard(size_t index) {
  pthread_setname_np(pthread_self(), ("ringcast-" + std::to_string(index)).c_str());
  if (!cpus_.empty() && !pin_this_thread(cpus_[index % cpus_.size()])) {
    logger_->log(LogLevel::warn, "not_pinned",
                 {{"shard", static_cast<uint64_t>(index)}, {"cpu", int64_t{cpus_[index % cpus_.size()]}}});
  }
  if (options_.thread_started) {
    (void)guarded(*logger_, "thread_started", [this] { options_.thread_started(); });
  }
  shards_[index]->run();
  // The last one out says so; release: what it did is seen by who saw the event.
  if (running_shards_.fetch_sub(1, std::memory_order_acq_rel) == 1) {
    state_.store(State::stopped, std::memory_order_release);
    const uint64_t one = 1;
    (void)!write(ended_event_.fd(), &one, sizeof one);
  }
}

// --- The end ----------------------------------------------------------------------------

void ServerCore::begin_stop(std::chrono::milliseconds drain) {
  State expected = State::running;
  if (!state_.compare_exchange_strong(expected, State::stopping, std::memory_order_acq_rel) &&
      expected != State::stopping) {
    return;  // never started, or over
  }
  for (const auto& shard : shards_) {
    if (drain.count() > 0) {
      shard->post([drain](Shard& here) { here.drain(drain); });
    } else {
      shard->post([](Shard& here) { here.stop(); });
    }
  }
}

void ServerCore::wait() {
  std::lock_guard lock(join_mutex_);
  for (std::thread& thread : threads_) thread.join();
  threads_.clear();
  // It has mail for the shards, who have told it of the connections that ended.
  if (rpc_) rpc_->pool().stop();
}

// --- Publishing from outside --------------------------------------------------------------

BroadcastStatus ServerCore::check(std::string_view stream, PayloadKind kind, Bytes payload) {
  if (!running()) return BroadcastStatus::stopped;
  if (stream.empty() || stream.size() > options_.stream_name_bytes ||
      payload.size() > options_.max_message_bytes) {
    outside_too_large_.fetch_add(1, std::memory_order_relaxed);
    return BroadcastStatus::too_large;
  }
  if (engine_ && payload.size() > engine_->payload_bytes_max()) {
    outside_too_large_.fetch_add(1, std::memory_order_relaxed);
    return BroadcastStatus::too_large;
  }
  if (kind == PayloadKind::text && !valid_utf8(payload)) {
    outside_invalid_.fetch_add(1, std::memory_order_relaxed);
    return BroadcastStatus::invalid;
  }
  return BroadcastStatus::ok;
}

bool ServerCore::has_room() const {
  return context_->message_bytes.total() < options_.queued_bytes && (!engine_ || engine_->accepting());
}

BroadcastStatus ServerCore::publish(std::string_view stream, uint64_t hash, PayloadKind kind, Bytes payload) {
  const BroadcastStatus status = check(stream, kind, payload);
  if (status != BroadcastStatus::ok) return status;
  if (test_adapter() != nullptr) {
    return hand_to_test_adapter(Message::create(stream, hash, kind, payload, &context_->message_bytes));
  }
  Shard& home = home_of(hash);
  // Others may publish meanwhile: a bound that is passed by a message or two is a bound.
  if (has_room()) {
    MessageRef message = Message::create(stream, hash, kind, payload, &context_->message_bytes);
    stamp(*message);
    if (home.publish_from_outside(std::move(message))) return BroadcastStatus::ok;
  }
  if (home.ended()) return BroadcastStatus::stopped;
  count_full();
  return BroadcastStatus::full;
}

// Without the detour through its home: a test looks as soon as it has published.
BroadcastStatus ServerCore::hand_to_test_adapter(const MessageRef& message) {
  return engine_->publish(message) ? BroadcastStatus::ok : BroadcastStatus::full;
}

// On a shard's thread a callback publishes, for a client whose request this turn received.
void ServerCore::stamp(Message& message) const {
  if (context_->stage_clock == nullptr) return;
  Shard* const here = Shard::current();
  if (here != nullptr && &here->context() == context_.get()) {
    here->stages()->published(message, here->now());
  } else {
    message.stamp(context_->stage_clock());
  }
}

BroadcastStatus ServerCore::publish(const std::vector<Server::Broadcast>& batch) {
  for (const auto& [stream, text, exclude_socket] : batch) {
    const BroadcastStatus status = check(stream, PayloadKind::text, as_bytes(text));
    if (status != BroadcastStatus::ok) return status;
  }
  if (batch.empty()) return BroadcastStatus::ok;

  std::vector<std::vector<MessageRef>> by_home(shards_.size());
  for (const auto& [stream, text, exclude_socket] : batch) {
    const uint64_t hash = hash64(stream);
    std::vector<MessageRef>& home = by_home[shards_.front()->home_of(hash)];
    home.push_back(
        Message::create(stream, hash, PayloadKind::text, as_bytes(text), &context_->message_bytes));
    if (const auto socket = context_->named_socket(exclude_socket)) home.back()->exclude(*socket);
    stamp(*home.back());
    // More than can ever wait at once: trying again would not help.
    if (home.size() > options_.broadcast_inbox) return BroadcastStatus::too_large;
  }
  if (test_adapter() != nullptr) {
    for (const auto& home : by_home) {
      for (const MessageRef& message : home) (void)hand_to_test_adapter(message);
    }
    return BroadcastStatus::ok;
  }
  const bool room = has_room();
  for (size_t i = 0; i < shards_.size(); ++i) {
    if (room && shards_[i]->reserve_from_outside(by_home[i].size())) continue;
    for (size_t taken = 0; taken < i; ++taken) shards_[taken]->give_back_reserved(by_home[taken].size());
    if (shards_[i]->ended()) return BroadcastStatus::stopped;
    count_full(batch.size());
    return BroadcastStatus::full;
  }
  for (size_t i = 0; i < shards_.size(); ++i) {
    if (!by_home[i].empty()) shards_[i]->publish_reserved(by_home[i]);
  }
  return BroadcastStatus::ok;
}

StreamPublisher ServerCore::publisher(std::shared_ptr<ServerCore> self, std::string_view stream) {
  return StreamPublisher(
      std::make_shared<const StreamPublisherCore>(std::move(self), stream, hash64(stream)));
}

Publisher ServerCore::publisher(std::shared_ptr<ServerCore> self, const PublisherOptions& options) {
  return Publisher(std::make_unique<PublisherCore>(std::move(self), options));
}

std::string ServerCore::reload_secrets() {
  if (!running()) return {};
  const auto fresh = std::make_shared<Identity>();
  if (std::string problem = load_identity(options_, *fresh); !problem.empty()) return problem;
  const std::shared_ptr<const Identity> identity = fresh;
  for (const auto& shard : shards_) {
    shard->post([this, identity](Shard& here) { identities_[here.index()] = identity; });
  }
  return {};
}

void ServerCore::set_allowed_origins(std::vector<std::string> allowed) {
  if (!running()) return;
  const OriginPolicy policy{.allowed = std::move(allowed), .required = options_.require_origin};
  for (const auto& shard : shards_) {
    shard->post([policy](Shard& here) { here.set_origins(policy); });
  }
}

}  // namespace ringcast::internal
