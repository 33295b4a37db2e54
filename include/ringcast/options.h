// How a server is set up: everything with a default that serves. The fields mirror
// the table of options (README), so a field, a flag, an environment variable and a
// key of the configuration file have one name and one meaning. A value; the server
// copies it when it is made.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "ringcast/log.h"
#include "ringcast/slow_consumer.h"

namespace ringcast {

// What carries broadcasts between server processes. `test` does not, and remembers them
// (Server::broadcasts).
enum class AdapterChoice : uint8_t { async, redis, postgresql, test };

enum class BackendChoice : uint8_t { automatic, io_uring, epoll };
enum class CookieDigest : uint8_t { sha1, sha256 };

struct Options {
  // --- Where and on what ------------------------------------------------------
  // ADDR:PORT, [V6]:PORT; port 0 picks one. With neither these nor tls_listen: kDefaultListen.
  std::vector<std::string> listen;
  std::vector<std::string> tls_listen;  // the same, speaking TLS
  static constexpr const char* kDefaultListen = "127.0.0.1:8080";
  uint64_t shards = 0;  // 0: as many as there are cores to run on
  std::string cpus;     // "0-3,6": pin shards to these, in turn
  BackendChoice backend = BackendChoice::automatic;
  uint64_t spin_us = 0;        // look again for so long before sleeping; ignored where shards >= cores
  bool stage_latency = false;  // measure how long messages take inside, for metrics_text()
  uint64_t drain_seconds = 10;

  // --- TLS and compression ------------------------------------------------------
  std::string tls_cert;  // PEM files: the chain, the server's certificate first …
  std::string tls_key;   // … and its private key, not encrypted
  bool deflate = false;  // permessage-deflate (RFC 7692) with clients that offer it
  uint64_t deflate_threshold_bytes = 1024;
  bool deflate_client_takeover = false;  // clients may refer back to earlier messages: some 40 KiB each

  // --- Who may come in --------------------------------------------------------
  // Besides the server's own origin: "https://example.com", "https://*.example.com", "*".
  std::vector<std::string> allowed_origins;
  bool require_origin = false;  // refuse upgrades without an Origin header
  // Proxies whose X-Forwarded-For, -Proto and -Host are believed: "10.0.0.0/8", "::1".
  std::vector<std::string> trusted_proxy;
  bool proxy_protocol = false;  // they begin every connection with a PROXY header, v1 or v2

  // --- Who is connected; files hold one secret each, on one line ------------------
  // "current_user=cookies.signed.user_id": of cables that name no identifiers themselves.
  std::vector<std::string> identified_by;
  std::string secret_key_base_file;                        // Rails' secret_key_base
  std::vector<std::string> old_secret_key_base_file;       // rotated ones, still accepted
  CookieDigest signed_cookie_digest = CookieDigest::sha1;  // as config.action_dispatch has it
  std::string jwt_secret_file;                             // for HS256, HS384, HS512
  std::string jwt_public_key_file;                         // PEM, for RS256, RS384, RS512 or ES256
  std::vector<std::string> jwt_algorithms;                 // allowed ones; empty: all that fit a key
  std::vector<std::string> jwt_audience;                   // one must be in `aud`; empty: any
  std::string jwt_issuer;                                  // must be `iss`; empty: any
  std::string streams_secret_file;                         // $pubsub's signed_stream_name
  bool turbo_streams = false;                              // Turbo::StreamsChannel, with secret_key_base
  bool public_streams = false;                             // $pubsub's stream_name: any stream, unsigned

  // --- Other processes ----------------------------------------------------------
  AdapterChoice adapter = AdapterChoice::async;  // async: there are none
  std::string redis_url = "redis://localhost:6379";
  std::string postgres_url;  // postgresql://user:password@host/database, or libpq's "host=… dbname=…"
  // Rails' config/cable.yml, in place of the three above and the prefix.
  std::string cable_yml;
  std::string environment = "production";
  std::string channel_prefix;  // Rails' channel_prefix: "prefix:stream"
  std::vector<std::string> unprefixed_streams = {"room_*"};
  bool anycable = false;             // sockets have ids; the Redis channel __anycable__ is heard, too
  uint64_t adapter_timeout_s = 5;    // no answer from it for so long: its connections are made anew
  uint64_t adapter_ready_s = 5;      // away for longer: ready() is false
  uint64_t outage_reconnect_s = 30;  // away for longer: Action Cable clients are told to reconnect

  // --- An application that is asked, as AnyCable's HTTP RPC has it ---------------
  std::string rpc_url;               // http://127.0.0.1:3000/_anycable; empty: nobody is asked
  std::string rpc_secret_file;       // what calls are signed with: Authorization: Bearer
  std::string anycable_secret_file;  // AnyCable's one secret, of which that is derived
  std::vector<std::string> rpc_headers = {"cookie"};  // of clients' requests that are passed on
  uint64_t rpc_timeout_ms = 3000;
  uint64_t rpc_concurrency = 28;
  uint64_t rpc_queue = 10'000;  // calls that wait
  uint64_t rpc_disconnects_per_second = 100;

  // --- Limits; 0 switches a limit off where the table says so ------------------
  uint64_t max_message_bytes = 1 << 20;
  uint64_t request_head_bytes = 16 << 10;
  uint64_t request_headers = 100;
  uint64_t request_body_bytes = 1 << 20;
  uint64_t handshake_timeout_s = 10;
  uint64_t keep_alive_timeout_s = 60;
  uint64_t close_timeout_s = 5;
  uint64_t max_connections = 0;
  uint64_t connections_per_address = 0;
  uint64_t connects_per_second = 0;
  uint64_t subscriptions_per_connection = 1000;
  uint64_t identifier_bytes = 4096;
  uint64_t stream_name_bytes = 1024;
  uint64_t pending_commands = 256;
  uint64_t commands_per_second = 0;
  uint64_t error_budget = 100;
  uint64_t frame_log_bytes = 4 << 20;
  uint64_t outbox_bytes = 1 << 20;
  uint64_t lap_grace_ms = 250;
  SlowConsumer slow_consumer = SlowConsumer::close;  // where neither stream_policy nor the route says another
  std::vector<std::string> stream_policy;  // "ticks:*=latest": by stream name, the first that matches
  // "ticks:*=20": a connection is sent what streams of such names carry once in so many ms (1 to
  // 10,000), so that one send, which is what costs, carries more of their messages; the first
  // that matches. Where none of the rule's streams was sent anything for so long, a message goes
  // at once; whatever else is sent to the connection takes what waits along, a full log
  // waits for nothing, and order is kept. What one connection is sent in an interval
  // should stay well below outbox_bytes.
  std::vector<std::string> coalesce;
  uint64_t backlog_bytes = 16 << 20;  // all that waits for one stalled connection
  uint64_t write_stall_s = 30;
  uint64_t ping_interval_s = 3;
  uint64_t raw_ping_interval_s = 25;
  uint64_t pong_timeout_s = 30;
  uint64_t sndbuf_bytes = 0;
  uint64_t notsent_lowat_bytes = 128 << 10;
  uint64_t mailbox_size = 4096;
  uint64_t broadcast_inbox = 8192;
  uint64_t queued_bytes = 16 << 20;  // at least 4 of the largest messages
  uint64_t memory_limit_bytes = 0;
  uint64_t tcp_user_timeout_s = 30;
  uint64_t tcp_keepalive_s = 60;

  // --- The log ----------------------------------------------------------------
  LogLevel log_level = LogLevel::info;
  LogFormat log_format = LogFormat::logfmt;
  LogSink log_sink;  // empty: nothing is logged

  // --- The process the server lives in ------------------------------------------
  // Called first on every thread the server starts: name it, set its priority.
  std::function<void()> thread_started;
  // Called when a bug of the library's own is found, before abort().
  void (*assertion_hook)(const char* file, int line, const char* expression) = nullptr;
  // Whether run() waits for SIGTERM and SIGINT. start() and stop() never touch signals.
  bool handle_signals = true;
  // Called by run() on SIGHUP, on its thread; without it run() leaves SIGHUP alone.
  std::function<void()> reload;

  // For a program that hands its main over to the server: reads flags, RINGCAST_…
  // variables and the file of --config, and logs to stderr. It neither prints nor
  // exits: a mistake, or --help, is kept in `notice` and `exit_code`, which
  // Server::run then reports and returns, and Server::start refuses to start with.
  static Options from_command_line(int argc, const char* const* argv);
  std::string notice;
  int exit_code = 0;  // meaningful only with a notice

  // Why no server can start with these; empty if one can.
  std::string problem() const;
};

// Whether all of `text` matches as stream_policy and unprefixed_streams do: '*' stands for any
// run of characters.
bool matches_pattern(std::string_view pattern, std::string_view text);

// The sink that writes lines to stderr.
LogSink stderr_log_sink();

}  // namespace ringcast
