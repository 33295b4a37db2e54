// Server: the face of ServerCore, and run(), for programs that hand their main over.
#include "ringcast/server.h"

#include <poll.h>
#include <signal.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include <cerrno>

#include "base/hash.h"
#include "base/log.h"
#include "base/signals_blocked.h"
#include "protocol/cable.h"
#include "protocol/url.h"
#include "server_core.h"

namespace ringcast {

Server::Server(Options options) : core_(std::make_shared<internal::ServerCore>(std::move(options), *this)) {}

Server::~Server() {
  core_->begin_stop({});
  core_->wait();
}

bool Server::valid_pattern(std::string_view pattern) {
  return PathPattern::valid(pattern);
}

CableRoute& Server::cable(std::string_view pattern) {
  return core_->add_cable(pattern);
}
void Server::websocket(std::string_view pattern, WebSocketRoute route) {
  core_->add_websocket(pattern, std::move(route));
}
void Server::get(std::string_view pattern, HttpHandler handler) {
  route("GET", pattern, std::move(handler));
}
void Server::post(std::string_view pattern, HttpHandler handler) {
  route("POST", pattern, std::move(handler));
}
void Server::route(std::string_view method, std::string_view pattern, HttpHandler handler) {
  core_->add_http(method, pattern, std::move(handler));
}

StartResult Server::start() {
  return {core_->start()};
}

void Server::stop(std::chrono::milliseconds drain) {
  core_->begin_stop(drain);
  // A callback that stops its server must return before its shard can end.
  if (Shard::current() == nullptr) core_->wait();
}

bool Server::ready() const {
  return core_->ready();
}
std::vector<std::string> Server::addresses() const {
  return core_->addresses();
}
std::vector<std::string> Server::urls() const {
  return core_->urls();
}
const Options& Server::options() const {
  return core_->options();
}

std::string Server::replace_certificate(const std::string& chain_file, const std::string& key_file) {
  return core_->replace_certificate(chain_file, key_file);
}

std::string Server::reload_secrets() {
  return core_->reload_secrets();
}

void Server::set_allowed_origins(std::vector<std::string> allowed) {
  core_->set_allowed_origins(std::move(allowed));
}
void Server::set_log_level(LogLevel level) {
  core_->logger().set_level(level);
}

BroadcastStatus Server::broadcast(std::string_view stream, Text text) {
  return core_->publish(stream, hash64(stream), PayloadKind::text, as_bytes(text.view()));
}
BroadcastStatus Server::broadcast(std::string_view stream, Binary binary) {
  return core_->publish(stream, hash64(stream), PayloadKind::binary, binary.bytes());
}
BroadcastStatus Server::broadcast(std::string_view stream, const Json& json) {
  const std::string text = json.dump();
  return core_->publish(stream, hash64(stream), PayloadKind::json, as_bytes(text));
}

BroadcastStatus Server::broadcast(const std::vector<Broadcast>& batch) {
  return core_->publish(batch);
}

Server::Broadcast Server::disconnection(const Json& identifiers, bool reconnect) {
  Broadcast broadcast{.stream = internal_channel_of(identifiers), .text = {}};
  append_remote_disconnect(broadcast.text, reconnect);
  return broadcast;
}

BroadcastStatus Server::disconnect(const Json& identifiers, bool reconnect) {
  const Broadcast broadcast = disconnection(identifiers, reconnect);
  if (broadcast.stream.empty()) return BroadcastStatus::invalid;
  return core_->publish(broadcast.stream, hash64(broadcast.stream), PayloadKind::json,
                        as_bytes(broadcast.text));
}

Publisher Server::publisher(PublisherOptions options) {
  return core_->publisher(core_, options);
}
StreamPublisher Server::publisher(std::string_view stream) {
  return core_->publisher(core_, stream);
}

std::vector<std::string> Server::broadcasts(std::string_view stream) const {
  const TestAdapter* const adapter = core_->test_adapter();
  return adapter == nullptr ? std::vector<std::string>() : adapter->broadcasts(stream);
}
void Server::clear_broadcasts(std::string_view stream) {
  if (TestAdapter* const adapter = core_->test_adapter()) adapter->clear(stream);
}
void Server::clear_broadcasts() {
  if (TestAdapter* const adapter = core_->test_adapter()) adapter->clear_all();
}

Stats Server::stats() const {
  return core_->stats();
}
std::string Server::metrics_text() const {
  return core_->metrics_text();
}
void Server::log(LogLevel level, std::string_view event, std::initializer_list<LogField> fields) {
  core_->logger().log(level, event, fields);
}

// --- run() --------------------------------------------------------------------------

namespace {

// 0 when none is pending.
int next_signal(int descriptor) {
  signalfd_siginfo info;
  return read(descriptor, &info, sizeof info) == sizeof info ? static_cast<int>(info.ssi_signo) : 0;
}

}  // namespace

int Server::run() {
  const Options& options = core_->options();
  if (!options.notice.empty()) {
    log_to_stderr(options.notice);
    return options.exit_code;
  }
  // The server's own threads block every signal, so these arrive nowhere else in a program
  // that has no other threads.
  std::optional<SignalsBlocked> blocked;
  if (options.handle_signals) blocked.emplace(internal::handled_signals(options));
  if (!core_->started()) {
    if (const StartResult started = start(); !started) {
      log_to_stderr(started.error);
      return 2;
    }
  }

  const std::chrono::seconds drain(options.drain_seconds);
  bool draining = false;
  for (;;) {
    pollfd waits[] = {{core_->ended_event(), POLLIN, 0}, {core_->signal_event(), POLLIN, 0}};
    if (poll(waits, std::size(waits), -1) < 0 && errno != EINTR) break;
    if (waits[0].revents != 0) break;
    for (int signal = 0; blocked && (signal = next_signal(core_->signal_event())) != 0;) {
      if (signal == SIGHUP) {
        (void)internal::guarded(core_->logger(), "reload", [&options] { options.reload(); });
        continue;
      }
      core_->logger().log(LogLevel::info, draining ? "ending_at_once" : "draining",
                          {{"signal", std::string_view(signal == SIGTERM ? "SIGTERM" : "SIGINT")}});
      core_->begin_stop(draining ? std::chrono::seconds(0) : drain);
      draining = true;
    }
  }
  core_->wait();
  return 0;
}

}  // namespace ringcast
