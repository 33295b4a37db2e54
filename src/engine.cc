#include "engine.h"

#include <algorithm>
#include <cstdlib>
#include <fstream>
#include <sstream>

#include "adapter/anycable_envelope.h"
#include "adapter/cable_yml.h"
#include "base/glob.h"
#include "base/utf8.h"
#include "io/clock.h"
#include "protocol/json.h"

namespace ringcast::internal {
namespace {

// How fast those who missed something are sent to fetch it: all within so long.
constexpr seconds kReconnectWithin{10};

// pg_notify takes payloads below 8000 bytes.
constexpr size_t kPostgresPayloadBytesMax = 7999;

// What the flags say, with the three words of config/cable.yml in their place if it is given.
struct Wanted {
  AdapterChoice choice;
  std::string redis_url;
  std::string postgres_url;
  std::string prefix;
  std::string client_name = {};
  ClientTlsOptions tls = {};
};

std::optional<std::string> environment_variable(const std::string& name) {
  const char* const value = std::getenv(name.c_str());
  return value == nullptr ? std::nullopt : std::optional<std::string>(value);
}

std::optional<Wanted> read_wanted(const Options& options, std::string* error) {
  Wanted wanted{.choice = options.adapter,
                .redis_url = options.redis_url,
                .postgres_url = options.postgres_url,
                .prefix = options.channel_prefix};
  if (options.cable_yml.empty()) return wanted;

  std::ifstream file(options.cable_yml, std::ios::binary);
  std::ostringstream text;
  text << file.rdbuf();
  if (!file) {
    *error = "'" + options.cable_yml + "' cannot be read";
    return {};
  }
  const std::optional<CableYml> yml =
      read_cable_yml(text.str(), options.environment, environment_variable, error);
  if (!yml) {
    *error = options.cable_yml + ": " + *error;
    return {};
  }
  switch (yml->engine) {
    case CableYml::Engine::async:
      wanted.choice = AdapterChoice::async;
      break;
    case CableYml::Engine::test:
      wanted.choice = AdapterChoice::test;
      break;
    case CableYml::Engine::redis:
      wanted.choice = AdapterChoice::redis;
      if (!yml->url.empty()) wanted.redis_url = yml->url;
      break;
    case CableYml::Engine::postgresql:
      wanted.choice = AdapterChoice::postgresql;
      if (!yml->url.empty()) wanted.postgres_url = yml->url;
      break;
  }
  wanted.prefix = yml->channel_prefix;
  wanted.client_name = yml->client_name;
  wanted.tls = {.verify = yml->tls_verify,
                .ca_file = yml->tls_ca_file,
                .cert_file = yml->tls_cert_file,
                .key_file = yml->tls_key_file};
  return wanted;
}

}  // namespace

std::optional<AdapterPlan> plan_adapter(const Options& options, std::string* error) {
  const std::optional<Wanted> wanted = read_wanted(options, error);
  if (!wanted) return {};
  AdapterPlan plan{.choice = wanted->choice,
                   .names = {.prefix = wanted->prefix, .unprefixed = options.unprefixed_streams},
                   .redis = {},
                   .postgres = {}};
  const milliseconds timeout = seconds(options.adapter_timeout_s);
  if (plan.choice == AdapterChoice::redis) {
    const std::optional<RedisUrl> url = RedisUrl::parse(wanted->redis_url, error);
    if (!url) {
      *error = "redis-url: " + *error;
      return {};
    }
    // What leaves somebody out goes through AnyCable's channel, which has no prefix.
    if (options.anycable) plan.names.unprefixed.emplace_back(kAnycableChannel);
    plan.redis = RedisOptions{.url = *url,
                              .tls = wanted->tls,
                              .names = plan.names,
                              .anycable = options.anycable,
                              .client_name = wanted->client_name,
                              .connect_timeout = timeout,
                              .reply_timeout = timeout,
                              .canary_timeout = timeout,
                              .thread_started = options.thread_started};
  } else if (plan.choice == AdapterChoice::postgresql) {
    if (wanted->postgres_url.empty()) {
      *error = "adapter postgresql needs a postgres-url (Rails takes it from config/database.yml)";
      return {};
    }
    plan.postgres = PostgresOptions{.url = wanted->postgres_url,
                                    .names = plan.names,
                                    .socket_ids = options.anycable,
                                    .client_name = wanted->client_name,
                                    .connect_timeout = timeout,
                                    .reply_timeout = timeout,
                                    .canary_timeout = timeout,
                                    .thread_started = options.thread_started};
  }
  if (plan.redis || plan.postgres) {
    if (*error = plan.names.problem(); !error->empty()) return {};
  }
  return plan;
}

std::unique_ptr<Adapter> make_adapter(const AdapterPlan& plan, Logger& logger, std::string* error) {
  switch (plan.choice) {
    case AdapterChoice::async:
      break;
    case AdapterChoice::redis:
      return make_redis_adapter(*plan.redis, logger, error);
    case AdapterChoice::postgresql:
      return make_postgres_adapter(*plan.postgres, logger, error);
    case AdapterChoice::test:
      return std::make_unique<TestAdapter>();
  }
  return nullptr;
}

AdapterEngine::AdapterEngine(std::unique_ptr<Adapter> adapter, const AdapterPlan& plan,
                             const Options& options, ServerContext& context)
    : context_(context),
      names_(plan.names),
      payload_bytes_max_(plan.choice == AdapterChoice::postgresql ? kPostgresPayloadBytesMax : SIZE_MAX),
      envelopes_exclusions_(plan.choice == AdapterChoice::redis),
      ready_within_(options.adapter_ready_s),
      reconnect_after_(options.outage_reconnect_s),
      down_since_ns_(monotonic_now().time_since_epoch().count()),
      test_adapter_(dynamic_cast<TestAdapter*>(adapter.get())),
      adapter_(std::move(adapter)) {}

Shard& AdapterEngine::home_of(std::string_view stream) const {
  return *context_.shards[context_.shards.front()->home_of(hash64(stream))];
}

bool AdapterEngine::ready() const {
  const int64_t since = down_since_ns_.load(std::memory_order_relaxed);
  return since == 0 || monotonic_now() - Instant(Duration(since)) < ready_within_;
}

bool AdapterEngine::publish(const MessageRef& message) {
  MessageRef outgoing = message;
  // Other processes take only JSON from a stream of Action Cable's. A bare name is a room
  // of raw sockets, whose text is their own affair.
  const auto is_bare = [&](const std::string& pattern) { return glob_match(pattern, message->stream()); };
  if (message->kind() == PayloadKind::text && std::ranges::none_of(names_.unprefixed, is_bare) &&
      !valid_json(message->payload())) {
    std::string json;
    append_json_string(json, as_text(message->payload()), JsonEscape::rails);
    outgoing = Message::create(message->stream(), message->stream_hash(), PayloadKind::json, as_bytes(json),
                               &context_.message_bytes);
    outgoing->exclude(message->excluded());
  }
  if (message->excluded() && envelopes_exclusions_) outgoing = enveloped(*outgoing);
  const PublishStatus status = adapter_->publish(std::move(outgoing));
  full_.store(status == PublishStatus::full, std::memory_order_relaxed);
  // Accepted before, and not to be carried all the same: grown by the conversion, or text
  // that this engine cannot hold.
  if (status == PublishStatus::too_large) too_large_.fetch_add(1, std::memory_order_relaxed);
  if (status == PublishStatus::invalid) invalid_.fetch_add(1, std::memory_order_relaxed);
  return status != PublishStatus::full;
}

void AdapterEngine::subscribe(std::string_view stream, uint64_t ticket) {
  {
    const std::lock_guard lock(mutex_);
    tickets_[std::string(stream)] = ticket;
  }
  adapter_->subscribe(stream);
}

void AdapterEngine::unsubscribe(std::string_view stream) {
  {
    const std::lock_guard lock(mutex_);
    if (const auto found = tickets_.find(stream); found != tickets_.end()) tickets_.erase(found);
  }
  adapter_->unsubscribe(stream);
}

void AdapterEngine::subscribed(std::string_view stream) {
  uint64_t ticket = 0;
  {
    const std::lock_guard lock(mutex_);
    const auto found = tickets_.find(stream);
    if (found == tickets_.end()) return;  // known already: the engine was away meanwhile
    ticket = found->second;
    tickets_.erase(found);
  }
  home_of(stream).post(
      [name = std::string(stream), ticket](Shard& here) { here.hub().carried(name, ticket); });
}

// As AnyCable's servers understand it, since nothing else on Redis can say who does not get it.
MessageRef AdapterEngine::enveloped(const Message& message) {
  std::string text;
  append_anycable_envelope(text, {.stream = std::string(message.stream()),
                                  .payload = std::string(as_text(message.payload())),
                                  .excluded_socket = socket_name(message.excluded())});
  return Message::create(kAnycableChannel, hash64(kAnycableChannel), PayloadKind::json, as_bytes(text),
                         &context_.message_bytes);
}

bool AdapterEngine::received(std::string_view stream, Bytes payload, std::string_view excluded_socket) {
  if (context_.message_bytes.total() >= context_.limits.queued_bytes) return false;
  MessageRef message =
      Message::create(stream, hash64(stream), valid_utf8(payload) ? PayloadKind::text : PayloadKind::binary,
                      payload, &context_.message_bytes);
  message->mark_carried();
  if (const auto socket = context_.named_socket(excluded_socket)) message->exclude(*socket);
  if (context_.stage_clock != nullptr) message->stamp(context_.stage_clock());
  Shard& home = home_of(stream);
  return home.publish_from_outside(std::move(message)) || home.ended();
}

std::string AdapterEngine::socket_name(const SocketId& socket) const {
  return socket.to_string(context_.socket_seed);
}

void AdapterEngine::state_changed(bool up, milliseconds outage) {
  down_since_ns_.store(up ? 0 : monotonic_now().time_since_epoch().count(), std::memory_order_relaxed);
  if (!up || outage < reconnect_after_) return;
  // What they missed only the application has: a client that connects anew fetches it.
  for (Shard* shard : context_.shards) {
    shard->post([](Shard& here) { here.ask_to_reconnect(kReconnectWithin); });
  }
}

}  // namespace ringcast::internal
