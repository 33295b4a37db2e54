// A PostgreSQL of a test's own, and a client to look at it and to disturb it. One thread.
#pragma once

#include <postgresql/libpq-fe.h>
#include <pwd.h>
#include <signal.h>
#include <unistd.h>

#include <chrono>
#include <cstdlib>
#include <filesystem>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "adapter/engine_process.h"

namespace ringcast {

class PostgresServer {
 public:
  PostgresServer() : port_(free_tcp_port()) {
    // It refuses to run as root.
    if (const passwd* user = geteuid() == 0 ? getpwnam("nobody") : nullptr) {
      user_ = user->pw_uid;
      group_ = user->pw_gid;
      if (chown(folder_.path().c_str(), user_, group_) != 0) std::abort();
    }
    run({program("initdb"), "-D", data(), "-U", "ringcast", "-A", "trust", "-E", "UTF8", "--locale=C",
         "--no-sync"});
    start();
  }
  ~PostgresServer() { process_.end(SIGQUIT); }

  void start() {
    std::error_code ignored;
    std::filesystem::remove(data() + "/postmaster.pid", ignored);
    process_.start({program("postgres"), "-D", data(), "-p", std::to_string(port_), "-k", folder_.path(),
                    "-c", "listen_addresses=127.0.0.1", "-c", "fsync=off", "-c", "restart_after_crash=on"},
                   folder_.path() + "/log", user_, group_);
    await_engine("PostgreSQL to start: " + folder_.path(), [this] {
      client_.reset(PQconnectdb(url().c_str()));
      return PQstatus(client_.get()) == CONNECTION_OK;
    });
  }
  // At once, as in a crash: all connections break.
  void kill() { process_.end(SIGQUIT); }

  uint16_t port() const { return port_; }
  std::string url() const {
    return "postgresql://ringcast@127.0.0.1:" + std::to_string(port_) + "/postgres?connect_timeout=10";
  }
  const std::string& folder() const { return folder_.path(); }

  // The first column, one row a line; or the error.
  std::string text(const std::string& statement) {
    const std::unique_ptr<PGresult, decltype(&PQclear)> result(PQexec(client_.get(), statement.c_str()),
                                                               PQclear);
    if (PQresultStatus(result.get()) == PGRES_FATAL_ERROR) return PQresultErrorMessage(result.get());
    std::string lines;
    for (int row = 0; row < PQntuples(result.get()); ++row)
      lines += std::string(PQgetvalue(result.get(), row, 0)) + "\n";
    return lines;
  }

  // What has come to the channels that text("LISTEN …") named.
  std::vector<std::string> heard() {
    std::vector<std::string> payloads;
    text("SELECT 1");  // its answer comes after what was notified before it
    while (PGnotify* notification = PQnotifies(client_.get())) {
      payloads.emplace_back(notification->extra);
      PQfreemem(notification);
    }
    return payloads;
  }

  // The adapter's backends, once there are as many: those of an adapter that has ended go when
  // they notice. After a minute, those there are.
  std::vector<pid_t> await_backends(size_t count) {
    const auto deadline = std::chrono::steady_clock::now() + std::chrono::minutes(1);
    for (;;) {
      std::vector<pid_t> pids;
      const std::string lines =
          text("SELECT pid FROM pg_stat_activity WHERE application_name LIKE 'Ringcast%'");
      for (size_t at = 0; at < lines.size(); at = lines.find('\n', at) + 1)
        pids.push_back(std::atoi(lines.c_str() + at));
      if (pids.size() == count || std::chrono::steady_clock::now() > deadline) return pids;
      std::this_thread::sleep_for(std::chrono::milliseconds(10));
    }
  }

 private:
  static std::string program(const std::string& name) {
    const std::string newest = "/usr/lib/postgresql/15/bin/" + name;
    return std::filesystem::exists(newest) ? newest : name;
  }
  std::string data() const { return folder_.path() + "/data"; }
  void run(const std::vector<std::string>& arguments) {
    EngineProcess process;
    process.start(arguments, folder_.path() + "/log", user_, group_);
    process.end(0);
  }

  TemporaryFolder folder_;
  const uint16_t port_;
  uid_t user_ = 0;
  gid_t group_ = 0;
  EngineProcess process_;
  std::unique_ptr<PGconn, decltype(&PQfinish)> client_{nullptr, PQfinish};
};

}  // namespace ringcast
