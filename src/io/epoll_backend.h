// The backend for machines that refuse io_uring: epoll says who is ready, plain
// non-blocking calls do the work, and the completions come out the same. Owned by
// one shard; its thread calls everything but wake().
#pragma once

#include <sys/epoll.h>

#include <deque>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "io/backend.h"
#include "io/make_backend.h"
#include "io/recv_buffers.h"
#include "io/socket.h"

namespace ringcast {

class EpollBackend final : public Backend {
 public:
  // nullptr when the process is out of descriptors or memory; `*error` says which.
  static std::unique_ptr<EpollBackend> create(const BackendOptions& options, std::string* error);

  TurnTime turn(std::span<const Submission> submissions, Completions& completions, Instant deadline) override;
  void wake() noexcept override;
  const char* name() const noexcept override { return "epoll"; }
  size_t operations_in_flight() const noexcept override { return in_flight_; }
  size_t buffers_lent() const noexcept override { return arena_.lent(); }

 private:
  // What we know of one descriptor.
  struct Socket {
    bool armed() const { return recv_armed || accept_armed || connect_armed || poll_armed; }

    Token token;            // of what is armed
    uint32_t interest = 0;  // the mask given to epoll; 0: not registered
    bool recv_armed = false, accept_armed = false, connect_armed = false, poll_armed = false;
    bool readable = false;  // an edge came and the end of what it announced was not seen
    bool hung_up = false;   // FIN, RST or an error is behind the data: no further edge tells
    bool in_ready = false;  // exactly when ready_ holds this descriptor
  };
  // A hundred thousand connections pay 100 KB for each byte.
  static_assert(sizeof(Socket) <= 24);

  EpollBackend(Descriptor epoll, Descriptor wake, size_t buffers_bytes);

  Socket& socket(int fd);
  void arm(Socket& socket, bool& armed, Token token);
  void submit(const Submission& submission);
  void send(const Submission& submission);
  void connect(int fd, Socket& socket, const Submission& submission);
  void arm_reading(int fd, Socket& socket, Operation operation, Token token);
  void arm_poll(int fd, Socket& socket, Token token);
  void cancel_reading(Socket& socket, Operation operation);
  void cancel_poll(Socket& socket);
  void close(int fd, Socket& socket, const Submission& submission);
  int watch(int fd, Socket& socket, uint32_t events);
  void push_ready(int fd, Socket& socket);

  void gather(Instant deadline);
  int wait(Duration at_most);
  void take_event(int fd, uint32_t events);
  void read_ready();
  bool read(int fd, Socket& socket);
  bool accept(int fd, Socket& socket);
  void complete(Operation operation, Token token, int32_t result, bool more = false, MutableBytes bytes = {});

  const Descriptor epoll_;
  const Descriptor wake_;
  RecvArena arena_;
  std::vector<Socket> sockets_;  // by descriptor
  std::deque<int> ready_;        // readable, first come first served
  std::vector<epoll_event> events_;
  Completions* completions_ = nullptr;  // during a turn
  size_t in_flight_ = 0;
  bool woken_ = false;
  bool nanosecond_sleep_ = true;  // until epoll_pwait2 turns out to be missing
};

}  // namespace ringcast
