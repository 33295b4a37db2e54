// One connection to PostgreSQL, made and kept without waiting: libpq does its own system
// calls on a non-blocking socket, and this says when. Owned by the PostgreSQL adapter; its
// thread only.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/time.h"

struct pg_conn;    // PGconn
struct pg_result;  // PGresult

namespace ringcast {

// Where PostgreSQL is: postgresql://user:password@host:port/database?sslmode=…, several
// hosts included, or "host=… dbname=…". What is not said comes from PGHOST and the like.
struct PostgresTarget {
  struct Host {
    std::string host;     // a name, an address, a folder of sockets, or nothing
    std::string address;  // where it is not to be resolved
    std::string port;
  };
  std::vector<Host> hosts;  // at least one, in the order they should be tried
  std::vector<std::pair<std::string, std::string>> settings;  // all others

  // On failure `*error` is one sentence.
  static std::optional<PostgresTarget> parse(const std::string& url, std::string* error);

  // For logs: hosts and database.
  std::string to_string() const;
};

struct PostgresResultFree {
  void operator()(pg_result* result) const;
};
using PostgresResult = std::unique_ptr<pg_result, PostgresResultFree>;

class PostgresConnection {
 public:
  enum class Stage : uint8_t { closed, connecting, ready };

  PostgresConnection() = default;
  PostgresConnection(const PostgresConnection&) = delete;
  PostgresConnection& operator=(const PostgresConnection&) = delete;
  ~PostgresConnection();

  Stage stage() const { return stage_; }
  bool ready() const { return stage_ == Stage::ready; }
  const std::string& failure() const { return failure_; }
  Instant deadline() const { return deadline_; }  // kNever once ready

  // `host` has an address, or none is needed. It must be ready by `deadline`.
  void open(const PostgresTarget& target, const PostgresTarget::Host& host, const std::string& client_name,
            Instant deadline);
  void close(std::string why);
  // With libpq's own words, in one line.
  void close_with_error();

  // For poll(2): the descriptor, and what to wait for.
  int fd() const;
  short events(bool reading) const;
  // Goes on with what poll said.
  void progress(short events);
  // Sends what libpq holds, as far as the socket takes it.
  void flush();

  pg_conn* get() const { return connection_; }

 private:
  void poll_connect();
  static void take_notice(void* connection, const pg_result* notice);

  pg_conn* connection_ = nullptr;
  Stage stage_ = Stage::closed;
  std::string failure_;
  std::string last_words_;  // why the server ends the connection, said before it does
  Instant deadline_ = kNever;
  short connect_events_ = 0;
  bool unflushed_ = false;
};

// libpq's messages end lines and have several; logs have one.
std::string one_line(std::string_view text);

}  // namespace ringcast
