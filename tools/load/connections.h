// Many client connections on one thread: non-blocking sockets on one epoll, upgraded to
// WebSocket, with TLS where the URL says wss. Hands whole and partial frames on as they
// come; what they mean is the mode's business (Listener).
//
// Owned by a mode. Connections live as long as the object; a closed one can be opened
// again. Listeners may close any connection from within any call.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

struct ssl_st;
struct ssl_ctx_st;

namespace load {

struct Target {
  std::string host = "127.0.0.1";
  uint16_t port = 8080;
  std::string path = "/";
  bool tls = false;
};

// "ws[s]://ADDRESS:PORT/PATH" with a numeric IPv4 address; false if it is not that.
bool parse_target(std::string_view url, Target& target);

// One subscription of a connection, as the verifier (fanout) keeps it.
struct Subscription {
  uint32_t flow = 0;
  uint64_t next = 0;    // number of the message that must come next
  uint64_t cursor = 0;  // where it starts in the flow's log; meaningful on its own only
};

class Connections;

class Connection {
 public:
  enum class State : uint8_t { closed, connecting, tls_handshake, upgrading, open };
  // What it is here for; the mode's to set.
  enum class Role : uint8_t { member, stuck, passer_by };

  State state() const { return state_; }
  uint32_t index() const { return index_; }

  // Queued frames go out at flush(), or when the socket takes more.
  std::string& out() { return out_; }
  void flush();

  // For modes.
  Role role = Role::member;
  uint32_t confirmed = 0;  // subscriptions
  uint64_t since = 0;      // when connect() was called, ns
  uint64_t counter = 0, answered = 0;
  uint64_t last_ping = 0;
  std::vector<uint64_t> sent_at;
  std::vector<Subscription> subscriptions;
  uint64_t heard = 0;  // a digest of what came, in its order

 private:
  friend class Connections;

  Connections* owner_ = nullptr;
  int fd_ = -1;
  uint32_t index_ = 0;
  uint32_t source_ = 0;
  uint32_t generation_ = 0;
  State state_ = State::closed;
  bool wants_write_ = false;
  bool deaf_ = false;
  ssl_st* ssl_ = nullptr;
  std::string out_;
  size_t out_sent_ = 0;
  std::string held_;  // a partial frame, or head of an answer
};

class Listener {
 public:
  virtual ~Listener() = default;
  virtual void opened(Connection& connection) = 0;
  // Frames, the last perhaps partial. Returns how many bytes were dealt with: the rest
  // comes again in front of what follows.
  virtual size_t received(Connection& connection, std::string_view bytes, uint64_t now) = 0;
  // The server's doing, or the network's; `connection` is closed already.
  virtual void lost(Connection& connection, std::string_view why) = 0;
};

class Connections {
 public:
  Connections(Listener& listener, bool spin);
  ~Connections();
  Connections(const Connections&) = delete;
  Connections& operator=(const Connections&) = delete;

  Connection& add();
  // A port of one source address each: they are spread over 127.0.0.0/8.
  void connect(Connection& connection, const Target& target, std::string_view subprotocol);
  void close(Connection& connection);  // RST: leaves no port in TIME_WAIT behind
  // For good: until it is connected again.
  void stop_reading(Connection& connection);

  // Waits for events until `deadline_ns` at most, and handles them.
  void poll(uint64_t deadline_ns);

  size_t open() const { return open_; }
  size_t size() const { return connections_.size(); }
  Connection& operator[](size_t index) { return *connections_[index]; }
  // Time spent waiting for the server, ns: what is left of the wall clock was work.
  uint64_t idle_ns() const { return idle_ns_; }

 private:
  friend class Connection;

  void lose(Connection& connection, std::string_view why);
  void watch(Connection& connection);
  void ready(Connection& connection, uint32_t events);
  void shake_hands(Connection& connection);
  void readable(Connection& connection);
  bool upgraded(Connection& connection, std::string_view& bytes);
  void start_tls(Connection& connection);
  long read(Connection& connection, char* to, size_t size);
  long write(Connection& connection, const char* from, size_t size);

  Listener& listener_;
  const bool spin_;
  int epoll_;
  ssl_ctx_st* tls_ = nullptr;
  std::vector<std::unique_ptr<Connection>> connections_;
  std::vector<char> buffer_;
  size_t open_ = 0;
  uint64_t idle_ns_ = 0;
};

}  // namespace load
