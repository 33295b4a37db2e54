// The load generator's side of many WebSockets: one thread, one epoll, non-blocking
// sockets, masked frames out, whole messages in. It shares no code with the server,
// so that a mistake there cannot hide here.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

// CLOCK_MONOTONIC, nanoseconds.
uint64_t now_ns();

struct Target {
  std::string host = "127.0.0.1";
  uint16_t port = 8080;
  std::string path = "/";

  // "ws://HOST:PORT/PATH" with a numeric host. False if it is not that.
  static bool parse(std::string_view url, Target& target);
};

class Peers;

class Peer {
 public:
  enum class State : uint8_t { connecting, handshaking, open, closed };

  State state() const { return state_; }
  uint32_t index() const { return index_; }

  // Queues a masked frame; flushed when the caller has done with this event, or by flush().
  void send(bool binary, std::string_view payload);
  void flush();

  uint64_t received = 0;  // messages
  uint64_t expected = 0;  // for the caller: the next sequence number
  uint64_t sent_at = 0;   // likewise

 private:
  friend class Peers;

  Peers* peers_ = nullptr;
  int fd_ = -1;
  uint32_t index_ = 0;
  State state_ = State::connecting;
  bool wants_write_ = false;
  std::string out_;
  size_t out_sent_ = 0;
  std::string in_;
};

class Peers {
 public:
  Peers(Target target, std::string subprotocol);
  ~Peers();
  Peers(const Peers&) = delete;
  Peers& operator=(const Peers&) = delete;

  // Each source address has some 28,000 ports: connections are spread over 127.0.0.0/8.
  Peer& connect();
  void close(Peer& peer);

  // Called for each message and for each change of state that matters.
  std::function<void(Peer&, std::string_view message)> on_message;
  std::function<void(Peer&)> on_open;
  std::function<void(Peer&)> on_closed;

  // Waits for events until `deadline_ns` at most, and handles them.
  void poll(uint64_t deadline_ns);

  size_t open() const { return open_; }
  size_t lost() const { return lost_; }  // closed by the other side
  Peer& at(size_t index) { return *peers_[index]; }
  size_t size() const { return peers_.size(); }

 private:
  friend class Peer;

  void readable(Peer& peer);
  void handshake(Peer& peer);
  void frames(Peer& peer);
  void lose(Peer& peer);
  void watch(Peer& peer, bool writes);

  const Target target_;
  const std::string subprotocol_;
  int epoll_;
  std::vector<std::unique_ptr<Peer>> peers_;
  std::vector<char> buffer_;
  size_t open_ = 0;
  size_t lost_ = 0;
};
