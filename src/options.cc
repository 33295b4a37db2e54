// The server's rows of the table of options, and what makes a set of options one a
// server can start with. Values; any thread.
#include "ringcast/options.h"

#include "auth/origin.h"
#include "auth/trusted_proxies.h"
#include "base/glob.h"
#include "base/log.h"
#include "base/number.h"
#include "engine.h"
#include "identity.h"
#include "io/socket.h"
#include "options_parts.h"
#include "ringcast/option_table.h"
#include "rpc_service.h"
#include "shard/limits.h"

namespace ringcast {
namespace {

constexpr uint64_t kYear_s = 366 * 24 * 3600;
constexpr uint64_t kGiB = 1 << 30;

// "ticks:*=latest" in its pattern and the rest. No pattern: it is no such rule.
std::pair<std::string_view, std::string_view> split_rule(std::string_view text) {
  const size_t equals = text.rfind('=');
  if (equals == text.npos) return {};
  return {text.substr(0, equals), text.substr(equals + 1)};
}

}  // namespace

void OptionTable::add_server(Options& o) {
  section("Serving");
  list("listen", "ADDR:PORT", o.listen,
       "listen here; repeatable; port 0 picks one; 127.0.0.1:8080 if nothing else is said");
  list("tls-listen", "ADDR:PORT", o.tls_listen,
       "listen here for TLS (https, wss); repeatable; alone it opens no plain port");
  number("shards", "N", o.shards, {0, 512}, "threads that serve; 0 takes the cores available");
  text("cpus", "LIST", o.cpus, "pin the shards to these cores in turn, as in 0-3,6");
  choice("backend", o.backend,
         {{"auto", BackendChoice::automatic},
          {"io_uring", BackendChoice::io_uring},
          {"epoll", BackendChoice::epoll}},
         "how to talk to the kernel; auto falls back to epoll and says why");
  number("spin-us", "US", o.spin_us, {0, 1'000'000},
         "look for work so long before sleeping: lower latency for a busy core; off where shards >= cores");
  toggle("stage-latency", o.stage_latency,
         "measure how long messages take from stage to stage inside, for /metrics");
  number("drain-seconds", "S", o.drain_seconds, {0, 3600}, "how long a stop waits for clients to leave");

  section("TLS and compression");
  text("tls-cert", "FILE", o.tls_cert,
       "the certificate chain, PEM, the server's own first; SIGHUP reads it again");
  text("tls-key", "FILE", o.tls_key, "its private key, PEM, not encrypted; likewise");
  toggle("deflate", o.deflate,
         "permessage-deflate with clients that offer it: one compression for each broadcast");
  number("deflate-threshold-bytes", "BYTES", o.deflate_threshold_bytes, {0, kGiB},
         "smaller messages are sent as they are");
  toggle("deflate-client-takeover", o.deflate_client_takeover,
         "let clients compress with reference to earlier messages, for some 40 KiB each");

  section("Who may come in");
  list("allowed-origins", "ORIGIN", o.allowed_origins,
       "browsers may come from these pages besides the server's own: https://example.com, "
       "https://*.example.com, *");
  toggle("require-origin", o.require_origin, "refuse upgrades without an Origin, that is, native clients");

  list("trusted-proxy", "CIDR", o.trusted_proxy,
       "believe X-Forwarded-For, -Proto and -Host of these peers; repeatable");
  toggle("proxy-protocol", o.proxy_protocol,
         "trusted proxies begin every connection with a PROXY header, version 1 or 2");

  section("Who is connected");
  list("identified-by", "NAME=SOURCE", o.identified_by,
       "whoever lacks this on /cable is refused; repeatable; sources: cookies.signed.NAME, "
       "cookies.encrypted.NAME/POINTER, devise.COOKIE, jwt.CLAIM (jwt.CLAIM[] for a list), header.NAME, "
       "query.NAME, or a template such "
       "as gid://app/User/{jwt.sub}");
  text("secret-key-base-file", "FILE", o.secret_key_base_file,
       "Rails' secret_key_base, which signs and encrypts its cookies");
  list("old-secret-key-base-file", "FILE", o.old_secret_key_base_file,
       "one that was rotated and is still accepted; repeatable");
  choice("signed-cookie-digest", o.signed_cookie_digest,
         {{"sha1", CookieDigest::sha1}, {"sha256", CookieDigest::sha256}},
         "as config.action_dispatch.signed_cookie_digest in Rails");
  text("jwt-secret-file", "FILE", o.jwt_secret_file, "what tokens are signed with: HS256, HS384, HS512");
  text("jwt-public-key-file", "FILE", o.jwt_public_key_file,
       "the public half of what they are signed with, PEM: RS256, RS384, RS512 or ES256");
  list("jwt-algorithms", "NAME", o.jwt_algorithms,
       "accept these alone; all that fit a key if nothing is said");
  list("jwt-audience", "TEXT", o.jwt_audience, "one of these has to be in a token's aud; repeatable");
  text("jwt-issuer", "TEXT", o.jwt_issuer, "has to be a token's iss");
  text("streams-secret-file", "FILE", o.streams_secret_file,
       "what stream names for $pubsub are signed with, as AnyCable's streams_secret");
  toggle("turbo-streams", o.turbo_streams,
         "Turbo::StreamsChannel, its stream names verified with secret_key_base");
  toggle("public-streams", o.public_streams,
         "$pubsub with names nobody signed: whoever is connected may read any stream");

  section("Other processes");
  choice("adapter", o.adapter,
         {{"async", AdapterChoice::async},
          {"redis", AdapterChoice::redis},
          {"postgresql", AdapterChoice::postgresql},
          {"test", AdapterChoice::test}},
         "what carries broadcasts between processes; async is this one alone, test remembers them");
  text("redis-url", "URL", o.redis_url, "redis://, rediss:// or unix://, with user, password and database");
  text("postgres-url", "URL", o.postgres_url, "postgresql://user:password@host/database, or libpq's words");
  text("cable-yml", "FILE", o.cable_yml, "take adapter, URL and prefix from Rails' config/cable.yml instead");
  text("environment", "NAME", o.environment, "whose part of that file");
  text("channel-prefix", "TEXT", o.channel_prefix,
       "Rails' channel_prefix: stands before a stream's name, with a colon");
  list("unprefixed-streams", "PATTERN", o.unprefixed_streams,
       "streams that keep their bare names all the same");
  toggle("anycable", o.anycable,
         "as AnyCable: the Redis channel __anycable__ is heard, too, and sockets learn an id (sid) by which "
         "meta.exclude_socket leaves them out");
  number("adapter-timeout-s", "S", o.adapter_timeout_s, {1, kYear_s},
         "the adapter may be silent so long before its connections are made anew",
         {"", "ringcast_adapter_gaps_total"});
  number("adapter-ready-s", "S", o.adapter_ready_s, {0, kYear_s},
         "the adapter may be away so long before /ready says 503", {"/ready 503", "ringcast_adapter_up"});
  number(
      "outage-reconnect-s", "S", o.outage_reconnect_s, {0, kYear_s},
      "after being away so long the adapter is back: Action Cable clients are told to reconnect, and fetch "
      "what they missed",
      {"disconnect server_restart", "ringcast_adapter_gaps_total"});

  section("Asking the application");
  text("rpc-url", "URL", o.rpc_url,
       "ask an application over AnyCable's HTTP RPC about connections and channels, as in "
       "http://127.0.0.1:3000/_anycable");
  text("rpc-secret-file", "FILE", o.rpc_secret_file, "AnyCable's http_rpc_secret, which calls carry");
  text("anycable-secret-file", "FILE", o.anycable_secret_file,
       "AnyCable's secret: without rpc-secret-file, that is derived from it");
  list("rpc-headers", "NAME", o.rpc_headers, "headers of the client's request that the application is told");
  number("rpc-timeout-ms", "MS", o.rpc_timeout_ms, {10, 600'000}, "for one answer",
         {"disconnect unavailable, 1013", "ringcast_rpc_calls_total{result=\"timeout\"}"});
  number("rpc-concurrency", "N", o.rpc_concurrency, {1, 10'000}, "calls under way at once",
         {"calls wait", "ringcast_rpc_pending"});
  number("rpc-queue", "N", o.rpc_queue, {1, 10'000'000}, "calls that wait",
         {"disconnect unavailable, 1013", "ringcast_rpc_calls_total{result=\"full\"}"});
  number("rpc-disconnects-per-second", "N", o.rpc_disconnects_per_second, {1, 1'000'000},
         "ended connections that the application is told of", {"they wait", "ringcast_rpc_pending"});

  section("Limits on requests");
  number("request-head-bytes", "BYTES", o.request_head_bytes, {1024, 1 << 20}, "a request's line and headers",
         {"431", "ringcast_refused_total"});
  number("request-headers", "N", o.request_headers, {8, 10'000}, "header lines of a request",
         {"431", "ringcast_refused_total"});
  number("request-body-bytes", "BYTES", o.request_body_bytes, {0, kGiB}, "a request's body",
         {"413", "ringcast_refused_total"});
  number("handshake-timeout-s", "S", o.handshake_timeout_s, {1, kYear_s},
         "from connecting to the end of the first request",
         {"the connection ends", "ringcast_ended_total{reason=\"handshake_timeout\"}"});
  number("keep-alive-timeout-s", "S", o.keep_alive_timeout_s, {1, kYear_s},
         "idle time between requests of a connection",
         {"the connection ends", "ringcast_ended_total{reason=\"idle_timeout\"}"});

  section("Limits on admission; 0 is off");
  number("max-connections", "N", o.max_connections, {}, "connections of the whole server",
         {"503", "ringcast_refused_total"});
  number("connections-per-address", "N", o.connections_per_address, {}, "connections from one address",
         {"429", "ringcast_refused_total"});
  number("connects-per-second", "N", o.connects_per_second, {0, UINT32_MAX}, "new connections of each shard",
         {"503", "ringcast_refused_total"});

  section("Limits on conversations");
  number("max-message-bytes", "BYTES", o.max_message_bytes, {128, kGiB}, "a message from a client",
         {"1009", "ringcast_ended_total{reason=\"too_big\"}"});
  number("subscriptions-per-connection", "N", o.subscriptions_per_connection, {1, Limits::kSubscriptionsMax},
         "streams, and channels, of one connection", {"reject_subscription", "ringcast_rejects_total"});
  number("identifier-bytes", "BYTES", o.identifier_bytes, {64, 1 << 20}, "an Action Cable identifier",
         {"reject_subscription", "ringcast_rejects_total"});
  number("stream-name-bytes", "BYTES", o.stream_name_bytes, {16, 1 << 16}, "a stream's name",
         {"reject_subscription; the publish fails", "ringcast_dropped_total{reason=\"too_large\"}"});
  number("pending-commands", "N", o.pending_commands, {1, 1 << 20},
         "commands that wait behind an unconfirmed subscription", {"reading pauses", ""});
  number("commands-per-second", "N", o.commands_per_second, {0, UINT32_MAX},
         "Action Cable commands of one connection; 0 is off",
         {"1008", "ringcast_ended_total{reason=\"policy\"}"});
  number("error-budget", "N", o.error_budget, {0, UINT32_MAX},
         "meaningless commands of one connection; 0 is off",
         {"1008", "ringcast_ended_total{reason=\"policy\"}"});

  section("Limits on slow readers");
  number("frame-log-bytes", "BYTES", o.frame_log_bytes, {4096, 16 * kGiB},
         "kept for a stream's slowest reader on each shard; at least 4 of the largest messages",
         {"1013, and disconnect too_slow on cable", "ringcast_ended_total{reason=\"too_slow\"}"});
  number("outbox-bytes", "BYTES", o.outbox_bytes, {4096, kGiB},
         "waiting for one connection alone; one message may exceed it",
         {"reading from it pauses", "ringcast_outbox_bytes"});
  number("lap-grace-ms", "MS", o.lap_grace_ms, {0, 60'000},
         "how long a reader without progress holds its stream up before it is lapped",
         {"", "ringcast_held_lanes_total"});
  choice("slow-consumer", o.slow_consumer,
         {{"close", SlowConsumer::close},
          {"drop_oldest", SlowConsumer::drop_oldest},
          {"latest", SlowConsumer::latest}},
         "what becomes of a reader that was lapped");
  list("stream-policy", "PATTERN=POLICY", o.stream_policy,
       "the same for streams whose name matches, as in ticks:*=latest; the first match counts");
  list("coalesce", "PATTERN=MS", o.coalesce,
       "send what streams carry whose name matches once in so many ms, as in ticks:*=20, so that one send "
       "carries more; the first match counts");
  number("backlog-bytes", "BYTES", o.backlog_bytes, {4096, 16 * kGiB},
         "all that waits for one stalled connection, over all its streams",
         {"lapped", "ringcast_dropped_total"});
  number("write-stall-s", "S", o.write_stall_s, {1, kYear_s}, "no byte could be written for so long",
         {"reset", "ringcast_ended_total{reason=\"write_stall\"}"});
  number("sndbuf-bytes", "BYTES", o.sndbuf_bytes, {0, kGiB}, "each socket's send buffer; 0 is the system's");
  number("notsent-lowat-bytes", "BYTES", o.notsent_lowat_bytes, {0, kGiB},
         "unsent bytes the kernel may hold before a socket counts as full; 0 is the system's");
  number("memory-limit-bytes", "BYTES", o.memory_limit_bytes, {0, 1024 * kGiB},
         "held for peers in all: logs, outboxes, unfinished messages, messages under way; 0 is off",
         {"the worst offenders get 1013, newcomers 503", "ringcast_ended_total{reason=\"memory\"}"});

  section("Keeping connections alive");
  number("ping-interval-s", "S", o.ping_interval_s, {1, 3600},
         "Action Cable pings; browsers give up after 6 seconds without one");
  number("raw-ping-interval-s", "S", o.raw_ping_interval_s, {0, kYear_s},
         "WebSocket pings on idle raw connections; 0 sends none");
  number("pong-timeout-s", "S", o.pong_timeout_s, {0, kYear_s},
         "nothing at all came since a ping; 0 waits for ever",
         {"the connection ends", "ringcast_ended_total{reason=\"pong_timeout\"}"});
  number("tcp-user-timeout-s", "S", o.tcp_user_timeout_s, {0, 3600},
         "what was sent stays unacknowledged for so long; 0 is the system's",
         {"the connection ends", "ringcast_ended_total{reason=\"peer_vanished\"}"});
  number("tcp-keepalive-s", "S", o.tcp_keepalive_s, {0, 3600},
         "idle time before TCP looks whether the peer is still there; 0 never looks",
         {"the connection ends", "ringcast_ended_total{reason=\"peer_vanished\"}"});
  number("close-timeout-s", "S", o.close_timeout_s, {1, 3600}, "for the client's part of a close",
         {"reset", "ringcast_close_timeouts_total"});

  section("Between shards");
  number("mailbox-size", "N", o.mailbox_size, {16, 1 << 20},
         "messages under way between two shards, rounded up to a power of two",
         {"publishers wait, 503", "ringcast_dropped_total{reason=\"mailbox_full\"}"});
  number("broadcast-inbox", "N", o.broadcast_inbox, {16, 1 << 24},
         "messages other threads and HTTP have published and a shard has not taken",
         {"BroadcastStatus::full, 503", "ringcast_dropped_total{reason=\"mailbox_full\"}"});
  number("queued-bytes", "BYTES", o.queued_bytes, {4096, 64 * kGiB},
         "payloads published and not yet in the logs of all shards; at least 4 of the largest messages",
         {"publishers wait, 503", "ringcast_dropped_total{reason=\"mailbox_full\"}"});

  section("The log");
  choice("log-level", o.log_level,
         {{"debug", LogLevel::debug},
          {"info", LogLevel::info},
          {"warn", LogLevel::warn},
          {"error", LogLevel::error}},
         "the least that is logged, on stderr");
  choice("log-format", o.log_format, {{"logfmt", LogFormat::logfmt}, {"json", LogFormat::json}},
         "how lines look");
}

std::string Options::problem() const {
  for (const std::string& address : listen) {
    std::string error;
    if (!SocketAddress::parse(address, &error)) return "listen: " + error;
  }
  for (const std::string& address : tls_listen) {
    std::string error;
    if (!SocketAddress::parse(address, &error)) return "tls-listen: " + error;
  }
  if (!tls_listen.empty() && (tls_cert.empty() || tls_key.empty())) {
    return "tls-listen needs tls-cert and tls-key";
  }
  for (const std::string& network : trusted_proxy) {
    std::string error;
    if (!TrustedProxies().add(network, &error)) return "trusted-proxy: " + error;
  }
  if (std::string wrong; !internal::plan_adapter(*this, &wrong)) return wrong;
  if (proxy_protocol && trusted_proxy.empty()) return "proxy-protocol needs a trusted-proxy";
  if (std::string problem = internal::identity_problem(*this); !problem.empty()) return problem;
  if (!rpc_url.empty()) {
    if (std::string wrong; !internal::plan_rpc(*this, &wrong)) return wrong;
  } else if (!rpc_secret_file.empty()) {
    return "rpc-secret-file needs rpc-url";
  }
  for (const std::string& origin : allowed_origins) {
    if (!valid_origin_entry(origin)) {
      return "allowed-origins: '" + origin + "' is no origin such as https://example.com";
    }
  }
  for (const std::string& rule : stream_policy) {
    if (!parse_stream_policy(rule)) {
      return "stream-policy: '" + rule + "' is not PATTERN=close, PATTERN=drop_oldest or PATTERN=latest";
    }
  }
  for (const std::string& rule : coalesce) {
    if (!parse_coalescing(rule)) {
      return "coalesce: '" + rule + "' is not PATTERN=MS with 1 to " + std::to_string(kCoalesceMax_ms) +
             " ms";
    }
  }
  if (queued_bytes / 4 < max_message_bytes) {
    return "queued-bytes (" + std::to_string(queued_bytes) +
           ") must be at least 4 times max-message-bytes (" + std::to_string(max_message_bytes) + ")";
  }
  // A log must take a largest message and still leave its readers room to move (design:
  // the head laps nobody who reads).
  if (frame_log_bytes / 4 < max_message_bytes) {
    return "frame-log-bytes (" + std::to_string(frame_log_bytes) +
           ") must be at least 4 times max-message-bytes (" + std::to_string(max_message_bytes) + ")";
  }
  return {};
}

Options Options::from_command_line(int argc, const char* const* argv) {
  Options options;
  options.log_sink = stderr_log_sink();
  OptionTable table;
  table.add_server(options);
  const OptionTable::Reading read = table.read(argc, argv);
  if (!read.problem.empty()) {
    options.notice = read.problem;
    options.exit_code = 2;
  } else if (read.help) {
    options.notice = table.help(argc > 0 ? argv[0] : "server", "Serves Action Cable and WebSockets.");
  } else if (read.help_markdown) {
    options.notice = table.help_markdown();
  } else if (read.version) {
    options.notice = version();
  } else if (read.check_config || read.print_config) {
    options.notice = options.problem();
    options.exit_code = options.notice.empty() ? 0 : 2;
    if (options.notice.empty()) options.notice = read.print_config ? table.toml() : "the options are good";
  }
  return options;
}

std::optional<StreamRule> parse_stream_policy(std::string_view text) {
  const auto [pattern, word] = split_rule(text);
  if (pattern.empty()) return std::nullopt;
  constexpr std::pair<std::string_view, SlowConsumer> kPolicies[] = {
      {"close", SlowConsumer::close},
      {"drop_oldest", SlowConsumer::drop_oldest},
      {"latest", SlowConsumer::latest}};
  for (const auto& [name, policy] : kPolicies) {
    if (word == name) return StreamRule{std::string(pattern), policy};
  }
  return std::nullopt;
}

std::optional<CoalescingRule> parse_coalescing(std::string_view text) {
  const auto [pattern, digits] = split_rule(text);
  if (pattern.empty()) return std::nullopt;
  const std::optional<uint64_t> ms = parse_number<uint64_t>(digits);
  if (!ms || *ms < 1 || *ms > kCoalesceMax_ms) return std::nullopt;
  return CoalescingRule{std::string(pattern), *ms};
}

LogSink stderr_log_sink() {
  return log_to_stderr;
}

bool matches_pattern(std::string_view pattern, std::string_view text) {
  return glob_match(pattern, text);
}

}  // namespace ringcast
