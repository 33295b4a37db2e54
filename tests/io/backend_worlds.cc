// Kernel sockets and simulated ones behind one face. One thread.
#include "tests/io/backend_worlds.h"

#include <fcntl.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>
#include <cstddef>

#include "base/assert.h"
#include "io/make_backend.h"
#include "tests/sim/sim_backend.h"

namespace ringcast {
namespace {

const SocketAddress kLoopback{.ip = IpAddress::v4(127, 0, 0, 1)};

class KernelPeer final : public Peer {
 public:
  explicit KernelPeer(Descriptor socket) : socket_(std::move(socket)) {}

  int64_t write(Bytes bytes) override {
    return result(::send(socket_.fd(), bytes.data(), bytes.size(), MSG_DONTWAIT | MSG_NOSIGNAL));
  }
  int64_t read(MutableBytes into) override {
    return result(::recv(socket_.fd(), into.data(), into.size(), MSG_DONTWAIT));
  }
  void finish() override { ::shutdown(socket_.fd(), SHUT_WR); }
  void reset() override {
    const linger now{.l_onoff = 1, .l_linger = 0};
    setsockopt(socket_.fd(), SOL_SOCKET, SO_LINGER, &now, sizeof now);
    socket_.reset();
  }
  void close() override { socket_.reset(); }

 private:
  static int64_t result(ssize_t count) { return count < 0 ? -errno : count; }

  Descriptor socket_;
};

class KernelWorld final : public World {
 public:
  explicit KernelWorld(std::unique_ptr<Backend> backend) : backend_(std::move(backend)) {
    std::string error;
    answering_ = listen_on(kLoopback, Listener::first, &error);
    RC_ASSERT(answering_);
  }
  ~KernelWorld() override { forbid_descriptors(false); }

  Backend& backend() override { return *backend_; }

  int listen() override {
    std::string error;
    Descriptor listener = listen_on(kLoopback, Listener::first, &error);
    RC_ASSERT(listener);
    return listener.release();
  }

  std::unique_ptr<Peer> connect(int listener) override {
    sockaddr_storage to;
    const socklen_t bytes = local_address(listener)->to_sockaddr(to);
    Descriptor socket(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
    RC_ASSERT(socket && ::connect(socket.fd(), reinterpret_cast<const sockaddr*>(&to), bytes) == 0);
    return std::make_unique<KernelPeer>(std::move(socket));
  }

  int unconnected() override {
    std::string error;
    return make_tcp_socket(true, &error).release();
  }
  SocketAddress answering() override { return *local_address(answering_.fd()); }
  // A port that was free a moment ago: bound by nobody, so it answers with RST.
  SocketAddress refusing() override {
    std::string error;
    const Descriptor gone = listen_on(kLoopback, Listener::first, &error);
    return *local_address(gone.fd());
  }
  std::unique_ptr<Peer> take_connected() override {
    Descriptor socket(::accept4(answering_.fd(), nullptr, nullptr, SOCK_CLOEXEC));
    return socket ? std::make_unique<KernelPeer>(std::move(socket)) : nullptr;
  }

  void set_send_buffer(int fd, uint32_t bytes) override { RC_ASSERT(ringcast::set_send_buffer(fd, bytes)); }

  void forbid_descriptors(bool forbid) override {
    if (forbid == (before_.rlim_cur != 0)) return;
    if (!forbid) {
      setrlimit(RLIMIT_NOFILE, &before_);
      before_ = {};
      return;
    }
    getrlimit(RLIMIT_NOFILE, &before_);
    const Descriptor lowest_free(::open("/dev/null", O_RDONLY | O_CLOEXEC));
    const rlimit none{.rlim_cur = static_cast<rlim_t>(lowest_free.fd()), .rlim_max = before_.rlim_max};
    RC_ASSERT(setrlimit(RLIMIT_NOFILE, &none) == 0);
  }

  bool real_time() const override { return true; }

 private:
  std::unique_ptr<Backend> backend_;
  Descriptor answering_;
  rlimit before_{};
};

class SimPeer final : public Peer {
 public:
  SimPeer(sim::Network& network, int fd) : network_(network), fd_(fd) {}
  ~SimPeer() override { close(); }

  int64_t write(Bytes bytes) override { return network_.send(fd_, bytes); }
  int64_t read(MutableBytes into) override { return network_.recv(fd_, into); }
  void finish() override { network_.shutdown(fd_); }
  void reset() override { end(true); }
  void close() override { end(false); }

 private:
  void end(bool reset) {
    if (fd_ >= 0) network_.close(fd_, reset);
    fd_ = -1;
  }

  sim::Network& network_;
  int fd_;
};

class SimWorld final : public World {
 public:
  SimWorld() : backend_(network_), answering_(network_.listen()) {}

  Backend& backend() override { return backend_; }
  int listen() override { return network_.listen(); }
  std::unique_ptr<Peer> connect(int listener) override {
    const int fd = network_.connect(network_.port(listener));
    RC_ASSERT(fd >= 0);
    return std::make_unique<SimPeer>(network_, fd);
  }
  int unconnected() override { return network_.make_socket(); }
  SocketAddress answering() override { return {kLoopback.ip, network_.port(answering_)}; }
  SocketAddress refusing() override { return {kLoopback.ip, 9}; }
  std::unique_ptr<Peer> take_connected() override {
    const int fd = network_.accept(answering_);
    return fd >= 0 ? std::make_unique<SimPeer>(network_, fd) : nullptr;
  }
  void set_send_buffer(int fd, uint32_t bytes) override { network_.set_send_buffer(fd, bytes); }
  void forbid_descriptors(bool forbid) override {
    network_.set_descriptor_limit(forbid ? network_.lowest_free_descriptor() : 1 << 20);
  }
  bool real_time() const override { return false; }

 private:
  sim::Network network_;
  sim::SimBackend backend_;
  int answering_;
};

}  // namespace

const char* name(WorldKind kind) {
  switch (kind) {
    case WorldKind::uring_best:
      return "uring_best";
    case WorldKind::uring_linux_6_1:
      return "uring_linux_6_1";
    case WorldKind::uring_floor:
      return "uring_floor";
    case WorldKind::uring_tiny_queue:
      return "uring_tiny_queue";
    case WorldKind::uring_floor_tiny_queue:
      return "uring_floor_tiny_queue";
    case WorldKind::uring_refused:
      return "uring_refused";
    case WorldKind::epoll:
      return "epoll";
    case WorldKind::sim:
      return "sim";
  }
  return "?";
}

void forbid_io_uring_on_this_thread(int error) {
  sock_filter program[] = {
      BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(seccomp_data, nr)),
      BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, __NR_io_uring_setup, 0, 1),
      BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | static_cast<unsigned>(error)),
      BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
  };
  const sock_fprog filter{.len = std::size(program), .filter = program};
  RC_ASSERT(prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0);
  RC_ASSERT(prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &filter) == 0);
}

std::unique_ptr<World> make_world(WorldKind kind, std::string* why_not) {
  // Small, so that the script gets to the bottom of the receive buffers.
  BackendOptions options{.recv_buffers_bytes = 256 * 1024};
  std::unique_ptr<Backend> backend;
  switch (kind) {
    case WorldKind::sim:
      return std::make_unique<SimWorld>();
    case WorldKind::uring_best:
      break;
    case WorldKind::uring_linux_6_1:
      options.uring_features = UringFeatures::linux_6_1();
      break;
    case WorldKind::uring_floor:
      options.uring_features = UringFeatures::floor();
      break;
    case WorldKind::uring_tiny_queue:
      options.uring_completions = 0;
      break;
    case WorldKind::uring_floor_tiny_queue:
      options.uring_features = UringFeatures::floor();
      options.uring_completions = 0;
      break;
    case WorldKind::uring_refused:
      without_io_uring(EPERM, [&] { backend = make_backend(BackendKind::automatic, options, why_not); });
      RC_ASSERT(backend && std::string_view(backend->name()) == "epoll");
      return std::make_unique<KernelWorld>(std::move(backend));
    case WorldKind::epoll:
      backend = make_backend(BackendKind::epoll, options, why_not);
      break;
  }
  if (!backend) backend = make_backend(BackendKind::io_uring, options, why_not);
  return backend ? std::make_unique<KernelWorld>(std::move(backend)) : nullptr;
}

}  // namespace ringcast
