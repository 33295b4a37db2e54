// The binary: reads its configuration, starts a server with what it says, and ends
// when told to. What a process decides about itself (signals, limits, stdout, exit
// status) is decided here, and everything else on the library's public headers.
#include <signal.h>
#include <sys/resource.h>

#include <cstdio>
#include <optional>
#include <string>
#include <string_view>
#include <utility>

#include "app/config.h"
#include "app/demo.h"
#include "app/generate.h"
#include "app/in_force.h"
#include "app/publish.h"
#include "app/ticker.h"
#include "ringcast/ringcast.h"

namespace {

void write_out(FILE* to, const std::string& text) {
  std::fwrite(text.data(), 1, text.size(), to);
  std::fflush(to);
}

// A connection is a descriptor: take as many as the system grants.
void raise_descriptor_limit() {
  rlimit limit;
  if (getrlimit(RLIMIT_NOFILE, &limit) != 0) return;
  limit.rlim_cur = limit.rlim_max;
  setrlimit(RLIMIT_NOFILE, &limit);
}

std::string greeting(const ringcast::Server& server) {
  std::string line = "Ringcast " + std::string(ringcast::version()) + " is serving ";
  bool first = true;
  for (const std::string& url : server.urls()) {
    line += (first ? "" : ", ") + url;
    first = false;
  }
  const ringcast::Stats stats = server.stats();
  return line + " (" + std::to_string(stats.shards) + (stats.shards == 1 ? " shard, " : " shards, ") +
         stats.backend + ")\n";
}

}  // namespace

int main(int argc, char** argv) {
  if (argc > 1 && std::string_view(argv[1]) == "generate") {
    return ringcast::generate_command(argc - 1, argv + 1);
  }
  if (argc > 1 && std::string_view(argv[1]) == "publish")
    return ringcast::publish_command(argc - 1, argv + 1);
  ringcast::CommandLine line = ringcast::read_command_line(argc, argv);
  if (line.exit_status) {
    write_out(stdout, line.output);
    if (!line.error.empty()) write_out(stderr, "ringcast: " + line.error + "\n");
    return *line.exit_status;
  }
  raise_descriptor_limit();

  // Blocked from here on: run() waits for them, and none may end the process between
  // start() and run(). SIGPIPE would come from a closed stdout or stderr only.
  sigset_t signals;
  sigemptyset(&signals);
  for (const int signal : {SIGTERM, SIGINT, SIGHUP}) sigaddset(&signals, signal);
  pthread_sigmask(SIG_BLOCK, &signals, nullptr);
  signal(SIGPIPE, SIG_IGN);

  ringcast::Server* running = nullptr;
  // What can change while connections are open does; the rest waits for a restart.
  ringcast::InForce in_force(line.config);
  line.config.server.reload = [&running, &in_force, argc, argv] {
    ringcast::CommandLine again = ringcast::read_command_line(argc, argv);
    if (!again.error.empty()) {
      running->log(ringcast::LogLevel::error, "not_reloaded", {{"why", std::string_view(again.error)}});
      return;
    }
    running->set_allowed_origins(again.config.server.allowed_origins);
    running->set_log_level(again.config.server.log_level);
    if (!again.config.server.tls_listen.empty()) {
      const std::string wrong =
          running->replace_certificate(again.config.server.tls_cert, again.config.server.tls_key);
      if (!wrong.empty()) {
        running->log(ringcast::LogLevel::error, "certificate_not_loaded", {{"why", std::string_view(wrong)}});
      }
    }
    if (const std::string wrong = running->reload_secrets(); !wrong.empty()) {
      running->log(ringcast::LogLevel::error, "secrets_not_loaded", {{"why", std::string_view(wrong)}});
    }
    in_force.broadcast_key.set(std::move(again.config.broadcast_key));
    for (const std::string& path : in_force.rules.replace(std::move(again.config.declared))) {
      running->log(ringcast::LogLevel::warn, "route_needs_restart", {{"path", std::string_view(path)}});
    }
    running->log(ringcast::LogLevel::info, "reloaded");
  };

  ringcast::Server server(line.config.server);
  running = &server;
  ringcast::add_endpoints(server, line.config, in_force);
  if (const ringcast::StartResult started = server.start(); !started) {
    write_out(stderr, "ringcast: " + started.error + "\n");
    return 2;
  }
  write_out(stdout, greeting(server));
  std::optional<ringcast::Ticker> ticker;
  if (line.config.demo_on()) ticker.emplace(server);
  return server.run();
}
