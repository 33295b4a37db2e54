// Many clients on one thread: connections that handshake, subscribe, read or refuse to
// read as they are told, driven by epoll from inside run_until. What they hear goes to
// the test's functions, or is compared with the bytes it ought to be without being kept.
// Shares no code with src/. Owned by one test; its thread only.
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "blackbox/client.h"

namespace ringcast::blackbox {

class Swarm {
 public:
  using End = TcpClient::End;

  // A whole frame; the payload lives until the function returns.
  struct Frame {
    unsigned opcode = 0;
    std::string_view payload;
  };

  Swarm();
  ~Swarm();
  Swarm(const Swarm&) = delete;
  Swarm& operator=(const Swarm&) = delete;

  // Any of them may call anything of the swarm but run_until.
  std::function<void(size_t member)> on_open = nullptr;  // the 101 has come
  std::function<void(size_t member, const Frame&)> on_frame = nullptr;
  std::function<void(size_t member)> on_end = nullptr;  // FIN or reset by the server

  // Connects, sends the handshake and whatever is given behind it, and returns the new
  // member: 0, 1, 2, …
  size_t add(uint16_t port, std::string_view path, std::string_view more_headers = {},
             std::string_view pipelined = {});
  // The same for a request that is no whole handshake.
  size_t add_request(uint16_t port, std::string_view request);

  // Lets everything happen until `done`; false when the patience ended first.
  bool run_until(const std::function<bool()>& done, std::chrono::seconds within = kPatience);
  // Until each member is open, or has ended.
  bool run_until_open();

  // What the socket does not take at once goes out by and by.
  void send(size_t member, std::string_view wire);
  size_t unsent_bytes(size_t member) const {
    return members_[member].outbox.size() - members_[member].sent_bytes;
  }

  void stop_reading(size_t member);
  void read_again(size_t member);

  // From here on exactly these bytes are expected; frames after the last of them are
  // reported again. The bytes must outlive the comparison.
  void expect(size_t member, const std::string* bytes);
  size_t matched_bytes(size_t member) const { return members_[member].matched_bytes; }
  bool differs(size_t member) const { return members_[member].differs; }

  void send_close(size_t member, unsigned code = 1000);
  void shutdown_write(size_t member);  // FIN; what still comes is read
  void close(size_t member);           // FIN, or RST if something is unread
  void reset(size_t member);           // RST

  size_t size() const { return members_.size(); }
  bool open(size_t member) const { return members_[member].state == State::open; }
  bool over(size_t member) const { return members_[member].state == State::over; }
  size_t open_count() const { return open_count_; }
  size_t over_count() const { return over_count_; }
  int status(size_t member) const { return members_[member].status; }
  End end(size_t member) const { return members_[member].end; }
  // Of the server's Close frame; 0 while there was none.
  unsigned close_code(size_t member) const { return members_[member].close_code; }

 private:
  enum class State : uint8_t { asking, open, over };
  struct Member {
    int fd = -1;
    State state = State::asking;
    End end = End::none;
    bool reads = true;
    bool close_sent = false;
    bool differs = false;
    int status = 0;
    unsigned close_code = 0;
    uint32_t watched = 0;  // the events epoll was asked for
    std::string inbox;     // an unfinished head or frame
    std::string outbox;
    size_t sent_bytes = 0;  // of the outbox, already with the kernel
    const std::string* expected = nullptr;
    size_t matched_bytes = 0;
  };

  void read(size_t member);
  void write(size_t member);
  size_t consume(size_t member, std::string_view bytes);
  size_t consume_answer(size_t member, std::string_view bytes);
  size_t consume_expected(Member& member, std::string_view bytes);
  size_t consume_frame(size_t member, std::string_view bytes);
  void watch(size_t member);
  void finish(size_t member, End end);

  int epoll_ = -1;
  std::deque<Member> members_;  // references stay good while members are added
  size_t open_count_ = 0;
  size_t over_count_ = 0;
  std::vector<char> scratch_;
};

// A frame as the server encodes it: unmasked, whole, its length in the shortest form.
std::string server_frame(unsigned opcode, std::string_view payload);

}  // namespace ringcast::blackbox
