// The machines that the conformance script runs on: the real kernel, with each form of
// backend, and the simulated network. A World makes the backend under test and stands
// at the other end of its sockets. One thread.
#pragma once

#include <cstdint>
#include <memory>
#include <ostream>
#include <string>

#include "io/backend.h"
#include "io/socket.h"

namespace ringcast {

// The far end of a connection. Results are as the system calls': a count, 0 for FIN,
// or -errno; nothing waits.
class Peer {
 public:
  virtual ~Peer() = default;
  virtual int64_t write(Bytes bytes) = 0;
  virtual int64_t read(MutableBytes into) = 0;
  virtual void finish() = 0;  // FIN
  virtual void reset() = 0;   // RST
  virtual void close() = 0;
};

class World {
 public:
  virtual ~World() = default;
  virtual Backend& backend() = 0;
  virtual int listen() = 0;
  virtual std::unique_ptr<Peer> connect(int listener) = 0;

  // For Operation::connect: a descriptor to connect with, somewhere to connect to that
  // answers, one that does not, and the far end of what was connected.
  virtual int unconnected() = 0;
  virtual SocketAddress answering() = 0;
  virtual SocketAddress refusing() = 0;
  virtual std::unique_ptr<Peer> take_connected() = 0;

  virtual void set_send_buffer(int fd, uint32_t bytes) = 0;
  // No new descriptor from now on, or as many as before.
  virtual void forbid_descriptors(bool forbid) = 0;
  // Whether turn() takes the time it says it took.
  virtual bool real_time() const = 0;
};

enum class WorldKind : uint8_t {
  uring_best,              // all that this kernel has
  uring_linux_6_1,         // what Debian 12's has
  uring_floor,             // without deferred task work
  uring_tiny_queue,        // completions overflow all the time
  uring_floor_tiny_queue,  // and come between turns, too
  uring_refused,           // `automatic` where a seccomp filter forbids io_uring: must be epoll
  epoll,
  sim,
};

const char* name(WorldKind kind);
inline void PrintTo(WorldKind kind, std::ostream* to) {
  *to << name(kind);
}

// nullptr with a reason where this machine cannot show the kind asked for.
std::unique_ptr<World> make_world(WorldKind kind, std::string* why_not);

// Runs `f` on a thread for which io_uring_setup fails with `error`, as in a container
// whose seccomp profile forbids it. The filter dies with the thread.
template <class F>
void without_io_uring(int error, F f);

}  // namespace ringcast

#include <thread>

namespace ringcast {

void forbid_io_uring_on_this_thread(int error);

template <class F>
void without_io_uring(int error, F f) {
  std::thread([&] {
    forbid_io_uring_on_this_thread(error);
    f();
  }).join();
}

}  // namespace ringcast
