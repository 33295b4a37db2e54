// libpq without waiting. Owned by the PostgreSQL adapter; its thread only.
#include "adapter/postgres_connection.h"

#include <poll.h>
#include <postgresql/libpq-fe.h>

#include <algorithm>
#include <cstring>

#include "base/assert.h"
#include "base/number.h"

namespace ringcast {
namespace {

struct FreeOptions {
  void operator()(PQconninfoOption* options) const { PQconninfoFree(options); }
};
using ConnectionOptions = std::unique_ptr<PQconninfoOption, FreeOptions>;

std::vector<std::string> split_at_commas(std::string_view text) {
  std::vector<std::string> parts;
  for (;;) {
    const size_t comma = text.find(',');
    parts.emplace_back(text.substr(0, comma));
    if (comma == std::string_view::npos) return parts;
    text.remove_prefix(comma + 1);
  }
}

// One for all hosts, or one for each.
std::string nth(const std::vector<std::string>& parts, size_t index) {
  return parts.size() == 1 ? parts[0] : index < parts.size() ? parts[index] : "";
}

bool is_port(std::string_view text) {
  return parse_number<uint16_t>(text).value_or(0) != 0;
}

}  // namespace

void PostgresResultFree::operator()(pg_result* result) const {
  PQclear(result);
}

std::string one_line(std::string_view text) {
  std::string line;
  for (const char c : text) {
    if (c == '\n' || c == '\t') {
      if (!line.empty() && line.back() != ' ') line += ' ';
    } else {
      line += c;
    }
  }
  while (!line.empty() && line.back() == ' ') line.pop_back();
  return line;
}

std::optional<PostgresTarget> PostgresTarget::parse(const std::string& url, std::string* error) {
  char* problem = nullptr;
  const ConnectionOptions options(PQconninfoParse(url.c_str(), &problem));
  if (options == nullptr) {
    // libpq repeats the URL's parts, the password perhaps.
    *error = "the PostgreSQL URL is malformed: write postgresql://user:password@host:port/database";
    PQfreemem(problem);
    return std::nullopt;
  }
  // Nothing but names may be left to libpq to find out: it would wait for a name server.
  const ConnectionOptions defaults(PQconndefaults());
  const auto default_of = [&](const char* keyword) -> std::string {
    for (const PQconninfoOption* at = defaults.get(); at != nullptr && at->keyword != nullptr; ++at) {
      if (std::strcmp(at->keyword, keyword) == 0 && at->val != nullptr) return at->val;
    }
    return {};
  };
  PostgresTarget target;
  std::string host, address, port;
  bool has_host = false;
  for (const PQconninfoOption* at = options.get(); at->keyword != nullptr; ++at) {
    if (at->val == nullptr) continue;
    const std::string_view keyword = at->keyword;
    if (keyword == "host") {
      host = at->val;
      has_host = true;
    } else if (keyword == "hostaddr") {
      address = at->val;
      has_host = true;
    } else if (keyword == "port") {
      port = at->val;
    } else {
      target.settings.emplace_back(at->keyword, at->val);
    }
  }
  if (!has_host) {
    host = default_of("host");
    address = default_of("hostaddr");
  }
  if (port.empty()) port = default_of("port");
  const std::vector<std::string> hosts = split_at_commas(host), addresses = split_at_commas(address),
                                 ports = split_at_commas(port);
  for (size_t i = 0; i < std::max(hosts.size(), addresses.size()); ++i) {
    target.hosts.push_back(
        {i < hosts.size() ? hosts[i] : "", i < addresses.size() ? addresses[i] : "", nth(ports, i)});
    std::string& number = target.hosts.back().port;
    if (number.empty()) number = "5432";
    if (!is_port(number)) {
      *error = "the PostgreSQL URL's port is no number from 1 to 65535";
      return std::nullopt;
    }
  }
  return target;
}

std::string PostgresTarget::to_string() const {
  std::string text = "postgresql://";
  for (const Host& host : hosts) {
    if (text.back() != '/') text += ',';
    const std::string& name = host.host.empty() ? host.address : host.host;
    text += name.find(':') != std::string::npos ? "[" + name + "]" : name;
    text += ":" + host.port;
  }
  for (const auto& [keyword, value] : settings) {
    if (keyword == "dbname") text += "/" + value;
  }
  return text;
}

PostgresConnection::~PostgresConnection() {
  if (connection_ != nullptr) PQfinish(connection_);
}

void PostgresConnection::open(const PostgresTarget& target, const PostgresTarget::Host& host,
                              const std::string& client_name, Instant deadline) {
  RC_ASSERT(stage_ == Stage::closed);
  if (connection_ != nullptr) PQfinish(connection_);
  failure_.clear();
  last_words_.clear();
  unflushed_ = false;
  // Later ones win. Encryption by GSSAPI would ask a key server, and wait for it.
  std::vector<const char*> keywords = {"fallback_application_name", "gssencmode", "client_encoding", "port"};
  std::vector<const char*> values = {client_name.c_str(), "disable", "UTF8", host.port.c_str()};
  const auto set = [&](const char* keyword, const std::string& value) {
    keywords.push_back(keyword);
    values.push_back(value.c_str());
  };
  if (!host.host.empty()) set("host", host.host);
  if (!host.address.empty()) set("hostaddr", host.address);
  for (const auto& [keyword, value] : target.settings) {
    if (keyword != "client_encoding") set(keyword.c_str(), value);
  }
  keywords.push_back(nullptr);
  values.push_back(nullptr);
  connection_ = PQconnectStartParams(keywords.data(), values.data(), 0);
  RC_ASSERT(connection_ != nullptr);
  // The default writes to stderr, which belongs to the process.
  PQsetNoticeReceiver(connection_, take_notice, this);
  stage_ = Stage::connecting;
  deadline_ = deadline;
  connect_events_ = POLLOUT;
  if (PQstatus(connection_) == CONNECTION_BAD) close_with_error();
}

void PostgresConnection::take_notice(void* connection, const pg_result* notice) {
  const char* severity = PQresultErrorField(notice, PG_DIAG_SEVERITY_NONLOCALIZED);
  if (severity == nullptr || std::strcmp(severity, "FATAL") != 0) return;
  static_cast<PostgresConnection*>(connection)->last_words_ = one_line(PQresultErrorMessage(notice));
}

void PostgresConnection::close(std::string why) {
  if (stage_ == Stage::closed) return;
  failure_ = std::move(why);
  stage_ = Stage::closed;
  deadline_ = kNever;
}

void PostgresConnection::close_with_error() {
  std::string why = last_words_.empty() ? one_line(PQerrorMessage(connection_)) : last_words_;
  close(why.empty() ? "the connection broke" : std::move(why));
}

int PostgresConnection::fd() const {
  return stage_ == Stage::closed ? -1 : PQsocket(connection_);
}

short PostgresConnection::events(bool reading) const {
  if (stage_ == Stage::connecting) return connect_events_;
  return static_cast<short>((reading ? POLLIN : 0) | (unflushed_ ? POLLOUT : 0));
}

void PostgresConnection::poll_connect() {
  switch (PQconnectPoll(connection_)) {
    case PGRES_POLLING_READING:
      connect_events_ = POLLIN;
      return;
    case PGRES_POLLING_WRITING:
      connect_events_ = POLLOUT;
      return;
    case PGRES_POLLING_OK:
      stage_ = Stage::ready;
      deadline_ = kNever;
      PQsetnonblocking(connection_, 1);
      return;
    default:
      close_with_error();
  }
}

void PostgresConnection::progress(short events) {
  if (events == 0 || stage_ == Stage::closed) return;
  if (stage_ == Stage::connecting) {
    poll_connect();
    return;
  }
  if ((events & (POLLIN | POLLHUP | POLLERR)) != 0 && PQconsumeInput(connection_) == 0) {
    close_with_error();
    return;
  }
  if ((events & POLLOUT) != 0) flush();
}

void PostgresConnection::flush() {
  if (stage_ != Stage::ready) return;
  const int left = PQflush(connection_);
  unflushed_ = left > 0;
  if (left < 0) close_with_error();
}

}  // namespace ringcast
