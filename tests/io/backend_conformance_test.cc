// One script, every backend: what io/backend.h promises is asked of io_uring with all
// this kernel has, with less of it, of epoll, of what is chosen where io_uring is
// forbidden, and of the simulator, whose word the rest of the tests take.
//
// Nothing here depends on how long anything takes: the script turns the backend until
// what it waits for has come, and gives up after a time no machine needs.
#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/resource.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <functional>
#include <map>
#include <numeric>
#include <string>
#include <thread>
#include <vector>

#include "io/make_backend.h"
#include "io/uring_backend.h"
#include "tests/io/backend_worlds.h"

namespace ringcast {
namespace {

constexpr auto kGiveUp = std::chrono::seconds(60);

// Position-dependent bytes: a piece lost, doubled or moved does not compare equal.
std::string pattern(size_t bytes, size_t seed = 0) {
  std::string text(bytes, '\0');
  uint64_t state = seed * 0x9e3779b97f4a7c15 + 1;
  for (char& c : text) {
    state = state * 6364136223846793005 + 1442695040888963407;
    c = static_cast<char>(state >> 56);
  }
  return text;
}

// A completion whose bytes have been copied out of the buffer.
struct Seen {
  Operation operation;
  bool more;
  int32_t result;
  Token token;
  std::string bytes;
};

class BackendConformance : public testing::TestWithParam<WorldKind> {
 protected:
  struct Socket {
    int fd = -1;
    std::unique_ptr<Peer> peer;
    Token token() const { return {static_cast<uint64_t>(fd)}; }
  };

  void SetUp() override {
    std::string why_not;
    world_ = make_world(GetParam(), &why_not);
    // A machine may lack io_uring; if it has it, and it works differently than we think, that is for us to
    // know.
    if (!world_) {
      ASSERT_EQ(why_not.find("self-test"), std::string::npos) << why_not;
      GTEST_SKIP() << why_not;
    }
    listener_ = world_->listen();
  }

  // Whatever the scenario did, everything must come home.
  void TearDown() override {
    if (!world_) return;
    on_completion_ = nullptr;  // a scenario that gave up has left its variables
    world_->forbid_descriptors(false);
    if (listener_ >= 0) close(listener_, kAccept);
    const std::vector<int> open(open_);
    for (const int fd : open) close(fd);
    EXPECT_TRUE(until([&] {
      return backend().operations_in_flight() == 0 && backend().buffers_lent() == 0 && closes_due_ == 0;
    })) << backend().operations_in_flight()
        << " operations and " << backend().buffers_lent() << " buffers never came back";
  }

  Backend& backend() { return world_->backend(); }

  void submit(const Submission& submission) { submissions_.push_back(submission); }

  void close(int fd, bool reset = false) { close(fd, Token{static_cast<uint64_t>(fd)}, reset); }
  void close(int fd, Token token, bool reset = false) {
    submit(Submission::close(fd, token, reset));
    std::erase(open_, fd);
    if (fd == listener_) listener_ = -1;
    ++closes_due_;
  }

  // One turn; what it brings is appended to seen_ and shorts_.
  TurnTime turn(Instant deadline) {
    completions_.clear();
    const TurnTime time = backend().turn(submissions_, completions_, deadline);
    submissions_.clear();
    now_ = time.now;
    for (const Completion& completion : completions_.short_sends) {
      EXPECT_EQ(completion.operation, Operation::send);
      shorts_.push_back({completion.operation, completion.more, completion.result, completion.token, {}});
    }
    for (const Completion& completion : completions_.others) {
      EXPECT_NE(completion.operation, Operation::send);
      if (completion.operation == Operation::close) --closes_due_;
      if (completion.operation == Operation::recv) {
        EXPECT_EQ(completion.bytes.size(), static_cast<size_t>(std::max(completion.result, 0)));
      }
      seen_.push_back({completion.operation, completion.more, completion.result, completion.token,
                       std::string(as_text(completion.bytes))});
      if (on_completion_) on_completion_(completion);
    }
    return time;
  }
  TurnTime poll() { return turn(Instant::min()); }

  bool until(const std::function<bool()>& done) {
    const auto give_up = std::chrono::steady_clock::now() + kGiveUp;
    while (!done()) {
      if (std::chrono::steady_clock::now() > give_up) return false;
      turn(now_ + milliseconds(20));
    }
    return true;
  }

  // As long as anything comes, and some turns more: for what must not come.
  void settle() {
    for (int quiet = 0; quiet < 5;) {
      const size_t before = seen_.size() + shorts_.size();
      turn(now_ + milliseconds(2));
      quiet = seen_.size() + shorts_.size() == before ? quiet + 1 : 0;
    }
  }

  size_t count(Operation operation, Token token) const {
    return static_cast<size_t>(std::count_if(seen_.begin(), seen_.end(), [&](const Seen& seen) {
      return seen.operation == operation && seen.token == token;
    }));
  }
  const Seen* find(Operation operation, Token token) const {
    for (const Seen& seen : seen_) {
      if (seen.operation == operation && seen.token == token) return &seen;
    }
    return nullptr;
  }
  const Seen* wait_for(Operation operation, Token token) {
    const bool came = until([&] { return find(operation, token) != nullptr; });
    return came ? find(operation, token) : nullptr;
  }
  void forget() {
    seen_.clear();
    shorts_.clear();
  }

  std::string received(Token token) const {
    std::string all;
    for (const Seen& seen : seen_) {
      if (seen.operation == Operation::recv && seen.token == token) all += seen.bytes;
    }
    return all;
  }
  size_t received_bytes(Token token) const {
    size_t all = 0;
    for (const Seen& seen : seen_) {
      if (seen.operation == Operation::recv && seen.token == token) all += seen.bytes.size();
    }
    return all;
  }

  // Connects `size` peers and accepts them. Sockets pair with peers by a byte each sends first.
  std::vector<Socket> connect(size_t size) {
    std::vector<std::unique_ptr<Peer>> peers;
    for (size_t index = 0; index < size; ++index) {
      peers.push_back(world_->connect(listener_));
      const std::string tag = std::to_string(index) + '\n';
      EXPECT_EQ(peers.back()->write(as_bytes(tag)), static_cast<int64_t>(tag.size()));
    }
    if (!accepting_) submit(Submission::accept(listener_, kAccept));
    accepting_ = true;
    std::vector<int> fds;
    size_t looked_at = seen_.size();
    std::map<int, std::string> tags;
    const bool all = until([&] {
      for (; looked_at < seen_.size(); ++looked_at) {
        const Seen& seen = seen_[looked_at];
        if (seen.operation == Operation::accept) {
          EXPECT_GE(seen.result, 0);
          if (!seen.more) submit(Submission::accept(listener_, kAccept));
          if (seen.result < 0) continue;
          fds.push_back(seen.result);
          open_.push_back(seen.result);
          submit(Submission::recv(seen.result, {static_cast<uint64_t>(seen.result)}));
        } else if (seen.operation == Operation::recv && !seen.bytes.empty()) {
          tags[static_cast<int>(seen.token.value)] += seen.bytes;
          if (seen.bytes.back() == '\n') {
            submit(Submission::cancel(static_cast<int>(seen.token.value), {}));
          } else if (!seen.more) {
            submit(Submission::recv(static_cast<int>(seen.token.value), seen.token));
          }
        } else if (seen.operation == Operation::recv && seen.result == -ENOBUFS) {
          submit(Submission::recv(static_cast<int>(seen.token.value), seen.token));
        }
      }
      return tags.size() == size && backend().operations_in_flight() == 1;
    });
    EXPECT_TRUE(all);
    std::vector<Socket> sockets(size);
    for (const int fd : fds) {
      const size_t index = std::stoul(tags[fd]);
      sockets.at(index).fd = fd;
      sockets[index].peer = std::move(peers[index]);
    }
    forget();
    return sockets;
  }
  Socket connect() { return std::move(connect(1).front()); }

  // Reads what the peer can get now.
  static std::string drain(Peer& peer, int64_t* end = nullptr) {
    std::string all;
    std::vector<std::byte> bytes(256 * 1024);
    int64_t count;
    while ((count = peer.read(bytes)) > 0) all += as_text(Bytes(bytes).first(static_cast<size_t>(count)));
    if (end != nullptr) *end = count;
    return all;
  }
  // Until the peer sees an end or has `size` bytes.
  std::string read(Peer& peer, size_t size, int64_t* end = nullptr) {
    std::string all;
    int64_t last = -EAGAIN;
    EXPECT_TRUE(until([&] {
      if (last == -EAGAIN) all += drain(peer, &last);
      return all.size() >= size || last != -EAGAIN;
    }));
    if (end != nullptr) *end = last;
    return all;
  }
  // Waits until the peer sees FIN (0) or an error.
  int64_t end_of(Peer& peer) {
    int64_t end = -EAGAIN;
    EXPECT_TRUE(until([&] {
      drain(peer, &end);
      return end != -EAGAIN;
    }));
    return end;
  }

  // Sends until the socket takes nothing more; returns how many bytes it took.
  size_t fill(const Socket& socket, const std::string& data) {
    size_t sent = 0;
    for (;;) {
      submit(Submission::send(socket.fd, socket.token(), as_bytes(data).subspan(sent)));
      poll();
      if (shorts_.empty()) {
        ADD_FAILURE() << "the socket took all of " << data.size() << " bytes";
        return sent;
      }
      const int32_t took = shorts_.back().result;
      EXPECT_GE(took, 0);
      EXPECT_EQ(shorts_.size(), 1U);
      forget();
      if (took <= 0) return sent;
      sent += static_cast<size_t>(took);
    }
  }

  // The same with poll_writable armed and silent. A kernel may still move bytes from the
  // full send buffer into the peer's receive buffer, and grow that: so it takes a while.
  void fill_and_arm_poll(const Socket& socket) {
    const std::string data = pattern(16 << 20);
    do {
      forget();
      fill(socket, data);
      submit(Submission::poll_writable(socket.fd, socket.token()));
      settle();
    } while (count(Operation::poll_writable, socket.token()) > 0);
  }

  static constexpr Token kAccept{0xACCE97};

  std::unique_ptr<World> world_;
  int listener_ = -1;
  bool accepting_ = false;
  std::vector<int> open_;
  std::vector<Submission> submissions_;
  Completions completions_;
  std::vector<Seen> seen_;
  std::vector<Seen> shorts_;
  std::function<void(const Completion&)> on_completion_;
  Instant now_{};
  int closes_due_ = 0;
};

// ---- accept and connect

TEST_P(BackendConformance, OneAcceptTakesEveryConnection) {
  const Socket first = connect();
  const Socket second = connect();
  EXPECT_NE(first.fd, second.fd);
  EXPECT_EQ(count(Operation::accept, kAccept), 0U);  // both came to the accept armed for the first
}

TEST_P(BackendConformance, ManyConnectAtOnce) {
  const std::vector<Socket> sockets = connect(300);
  for (const Socket& socket : sockets) EXPECT_GE(socket.fd, 0);
}

TEST_P(BackendConformance, AcceptedDescriptorsDoNotBlockAndAreNotInherited) {
  if (!world_->real_time()) GTEST_SKIP() << "no descriptors to ask";
  const Socket socket = connect();
  EXPECT_NE(fcntl(socket.fd, F_GETFL) & O_NONBLOCK, 0);
  EXPECT_NE(fcntl(socket.fd, F_GETFD) & FD_CLOEXEC, 0);
}

TEST_P(BackendConformance, ACancelledAcceptCanBeArmedAgain) {
  submit(Submission::accept(listener_, kAccept));
  poll();
  submit(Submission::cancel_accept(listener_, {}));
  const Seen* cancelled = wait_for(Operation::accept, kAccept);
  ASSERT_NE(cancelled, nullptr);
  EXPECT_EQ(cancelled->result, -ECANCELED);
  EXPECT_FALSE(cancelled->more);
  forget();
  EXPECT_GE(connect().fd, 0);
}

TEST_P(BackendConformance, AcceptWithoutDescriptorsFailsAndRecovers) {
  std::unique_ptr<Peer> peer = world_->connect(listener_);
  world_->forbid_descriptors(true);
  submit(Submission::accept(listener_, kAccept));
  const Seen* failed = wait_for(Operation::accept, kAccept);
  ASSERT_NE(failed, nullptr);
  EXPECT_EQ(failed->result, -EMFILE);
  EXPECT_FALSE(failed->more);
  forget();

  world_->forbid_descriptors(false);
  submit(Submission::accept(listener_, kAccept));
  const Seen* accepted = wait_for(Operation::accept, kAccept);
  ASSERT_NE(accepted, nullptr);
  ASSERT_GE(accepted->result, 0);  // the connection waited
  open_.push_back(accepted->result);
}

TEST_P(BackendConformance, ConnectReachesAListener) {
  const int fd = world_->unconnected();
  open_.push_back(fd);
  sockaddr_storage address;
  const socklen_t bytes = world_->answering().to_sockaddr(address);
  submit(Submission::connect(fd, {7}, reinterpret_cast<const sockaddr*>(&address), bytes));
  const Seen* connected = wait_for(Operation::connect, {7});
  ASSERT_NE(connected, nullptr);
  EXPECT_EQ(connected->result, 0);

  std::unique_ptr<Peer> peer = world_->take_connected();
  ASSERT_NE(peer, nullptr);
  const Token token{static_cast<uint64_t>(fd)};
  submit(Submission::recv(fd, token));
  submit(Submission::send(fd, {9}, as_bytes("ping")));
  EXPECT_EQ(read(*peer, 4), "ping");
  peer->write(as_bytes("pong"));
  EXPECT_TRUE(until([&] { return received(token) == "pong"; }));
}

TEST_P(BackendConformance, ConnectToNobodyIsRefused) {
  const int fd = world_->unconnected();
  open_.push_back(fd);
  sockaddr_storage address;
  const socklen_t bytes = world_->refusing().to_sockaddr(address);
  submit(Submission::connect(fd, {7}, reinterpret_cast<const sockaddr*>(&address), bytes));
  const Seen* refused = wait_for(Operation::connect, {7});
  ASSERT_NE(refused, nullptr);
  EXPECT_EQ(refused->result, -ECONNREFUSED);
}

// ---- recv

TEST_P(BackendConformance, OneRecvBringsEveryPiece) {
  const Socket socket = connect();
  submit(Submission::recv(socket.fd, socket.token()));
  const std::string data = pattern(50);
  for (size_t at = 0; at < data.size(); ++at) {
    socket.peer->write(as_bytes(data).subspan(at, 1));
    ASSERT_TRUE(until([&] { return received(socket.token()).size() == at + 1; }));
  }
  EXPECT_EQ(received(socket.token()), data);
  for (const Seen& seen : seen_) EXPECT_TRUE(seen.more);
}

TEST_P(BackendConformance, DataThatCameBeforeTheRecvIsNotMissed) {
  const Socket socket = connect();
  socket.peer->write(as_bytes("early"));
  settle();
  submit(Submission::recv(socket.fd, socket.token()));
  EXPECT_TRUE(until([&] { return received(socket.token()) == "early"; }));
}

TEST_P(BackendConformance, AFloodArrivesWhole) {
  const Socket socket = connect();
  submit(Submission::recv(socket.fd, socket.token()));
  const std::string data = pattern(8 << 20);
  size_t written = 0;
  size_t looked_at = 0;
  size_t got = 0;
  EXPECT_TRUE(until([&] {
    const int64_t count = socket.peer->write(as_bytes(data).subspan(written));
    if (count > 0) written += static_cast<size_t>(count);
    for (; looked_at < seen_.size(); ++looked_at) {
      got += seen_[looked_at].bytes.size();
      if (seen_[looked_at].result != -ENOBUFS) continue;
      EXPECT_FALSE(seen_[looked_at].more);
      submit(Submission::recv(socket.fd, socket.token()));
    }
    return got >= data.size();
  }));
  EXPECT_TRUE(received(socket.token()) == data);
}

// More than the buffers hold comes at once, from many: who finds none is told so, or
// waits, and loses nothing.
TEST_P(BackendConformance, ExhaustedBuffersRecover) {
  const std::vector<Socket> sockets = connect(40);
  std::map<uint64_t, std::string> data;
  for (const Socket& socket : sockets) {
    std::string bytes = pattern(40'000, static_cast<size_t>(socket.fd));
    const int64_t taken = socket.peer->write(as_bytes(bytes));
    ASSERT_GT(taken, 0);
    bytes.resize(static_cast<size_t>(taken));
    data[socket.token().value] = std::move(bytes);
  }
  for (const Socket& socket : sockets) submit(Submission::recv(socket.fd, socket.token()));
  size_t looked_at = 0;
  EXPECT_TRUE(until([&] {
    for (; looked_at < seen_.size(); ++looked_at) {
      const Seen& seen = seen_[looked_at];
      // For want of a buffer, or of room for its completion.
      if (!seen.more) submit(Submission::recv(static_cast<int>(seen.token.value), seen.token));
    }
    return std::all_of(sockets.begin(), sockets.end(), [&](const Socket& socket) {
      return received_bytes(socket.token()) >= data[socket.token().value].size();
    });
  }));
  for (const Socket& socket : sockets) EXPECT_TRUE(received(socket.token()) == data[socket.token().value]);
}

TEST_P(BackendConformance, FinComesAfterTheDataAndEndsTheRecv) {
  const Socket socket = connect();
  submit(Submission::recv(socket.fd, socket.token()));
  poll();
  socket.peer->write(as_bytes("last words"));
  socket.peer->finish();
  EXPECT_TRUE(until([&] { return !seen_.empty() && seen_.back().result == 0; }));
  settle();
  EXPECT_EQ(received(socket.token()), "last words");
  EXPECT_EQ(seen_.back().result, 0);
  EXPECT_FALSE(seen_.back().more);
  EXPECT_EQ(std::count_if(seen_.begin(), seen_.end(), [](const Seen& seen) { return !seen.more; }), 1);
}

TEST_P(BackendConformance, FinThatCameBeforeTheRecvIsNotMissed) {
  const Socket socket = connect();
  socket.peer->close();
  settle();
  submit(Submission::recv(socket.fd, socket.token()));
  const Seen* end = wait_for(Operation::recv, socket.token());
  ASSERT_NE(end, nullptr);
  EXPECT_EQ(end->result, 0);
}

TEST_P(BackendConformance, ResetEndsTheRecvWithAnError) {
  const Socket socket = connect();
  submit(Submission::recv(socket.fd, socket.token()));
  poll();
  socket.peer->reset();
  const Seen* end = wait_for(Operation::recv, socket.token());
  ASSERT_NE(end, nullptr);
  EXPECT_EQ(end->result, -ECONNRESET);
  EXPECT_FALSE(end->more);
}

TEST_P(BackendConformance, LentBytesStayUntilTheNextTurnReturnsAndMayBeSentFrom) {
  const std::vector<Socket> sockets = connect(8);
  std::map<uint64_t, std::string> expected;
  std::map<uint64_t, std::string> echoed;
  std::map<uint64_t, size_t> written;
  std::vector<std::pair<Submission, Bytes>> lent;
  for (const Socket& socket : sockets) {
    expected[socket.token().value] = pattern(300'000, static_cast<size_t>(socket.fd));
    submit(Submission::recv(socket.fd, socket.token()));
  }
  // Every byte goes back out of the buffer it came in, while more comes in. One send per
  // socket and turn: the pieces of a turn go by iovec.
  std::map<uint64_t, std::vector<iovec>> parts;
  std::map<uint64_t, std::vector<iovec>> sending;
  on_completion_ = [&](const Completion& completion) {
    if (completion.operation != Operation::recv) return;
    if (completion.result == -ENOBUFS) {
      submit(Submission::recv(static_cast<int>(completion.token.value), completion.token));
    } else if (completion.result > 0) {
      parts[completion.token.value].push_back({completion.bytes.data(), completion.bytes.size()});
    }
  };
  EXPECT_TRUE(until([&] {
    sending.swap(parts);
    parts.clear();
    bool done = true;
    for (const Socket& socket : sockets) {
      const uint64_t key = socket.token().value;
      auto& own = sending[key];
      if (!own.empty()) submit(Submission::send(socket.fd, socket.token(), own));
      const int64_t count = socket.peer->write(
          as_bytes(expected[key])
              .subspan(written[key], std::min<size_t>(expected[key].size() - written[key], 9'000)));
      if (count > 0) written[key] += static_cast<size_t>(count);
      echoed[key] += drain(*socket.peer);
      done = done && echoed[key].size() >= expected[key].size();
    }
    EXPECT_TRUE(shorts_.empty());  // the peers read: nothing falls short
    seen_.clear();
    return done;
  }));
  for (const Socket& socket : sockets) {
    EXPECT_TRUE(echoed[socket.token().value] == expected[socket.token().value]);
  }
  on_completion_ = nullptr;
}

// ---- send

TEST_P(BackendConformance, ASendThatTookEverythingIsSilent) {
  const Socket socket = connect();
  submit(Submission::send(socket.fd, socket.token(), as_bytes("hello")));
  poll();
  settle();
  EXPECT_TRUE(seen_.empty());
  EXPECT_TRUE(shorts_.empty());
  EXPECT_EQ(read(*socket.peer, 5), "hello");
}

TEST_P(BackendConformance, BytesMayBeOverwrittenOnceTheTurnHasReturned) {
  const Socket socket = connect();
  std::string data = pattern(30'000);
  const std::string copy = data;
  submit(Submission::send(socket.fd, socket.token(), as_bytes(data)));
  poll();
  std::fill(data.begin(), data.end(), '#');
  EXPECT_TRUE(shorts_.empty());
  EXPECT_TRUE(read(*socket.peer, copy.size()) == copy);
}

TEST_P(BackendConformance, PartsGoOutInTheirOrder) {
  const Socket socket = connect();
  const std::string data = pattern(20'480);
  std::vector<iovec> parts;
  for (size_t at = 0; at < data.size(); at += data.size() / kSendPartsMax) {
    parts.push_back({const_cast<char*>(data.data()) + at, data.size() / kSendPartsMax});
  }
  ASSERT_EQ(parts.size(), kSendPartsMax);
  submit(Submission::send(socket.fd, socket.token(), parts));
  poll();
  EXPECT_TRUE(shorts_.empty());
  EXPECT_TRUE(read(*socket.peer, data.size()) == data);
}

TEST_P(BackendConformance, AShortSendSaysExactlyWhatItTook) {
  const Socket socket = connect();
  world_->set_send_buffer(socket.fd, 32 * 1024);
  const std::string data = pattern(16 << 20);
  submit(Submission::send(socket.fd, socket.token(), as_bytes(data)));
  poll();
  ASSERT_EQ(shorts_.size(), 1U);
  EXPECT_EQ(shorts_.front().token, socket.token());
  const int32_t took = shorts_.front().result;
  ASSERT_GT(took, 0);
  ASSERT_LT(static_cast<size_t>(took), data.size());

  submit(Submission::shutdown(socket.fd, {}));
  int64_t end = -1;
  const std::string got = read(*socket.peer, data.size(), &end);
  EXPECT_EQ(end, 0);
  EXPECT_EQ(got.size(), static_cast<size_t>(took));
  EXPECT_TRUE(got == data.substr(0, static_cast<size_t>(took)));
}

TEST_P(BackendConformance, AShortSendOfPartsSaysExactlyWhatItTook) {
  const Socket socket = connect();
  world_->set_send_buffer(socket.fd, 32 * 1024);
  const std::string data = pattern(16 << 20);
  std::vector<iovec> parts;
  for (size_t at = 0; at < data.size(); at += 65'536) {
    parts.push_back({const_cast<char*>(data.data()) + at, 65'536});
  }
  submit(Submission::send(socket.fd, socket.token(), parts));
  poll();
  ASSERT_EQ(shorts_.size(), 1U);
  const auto took = static_cast<size_t>(shorts_.front().result);
  submit(Submission::shutdown(socket.fd, {}));
  const std::string got = read(*socket.peer, data.size());
  EXPECT_TRUE(got == data.substr(0, took));
}

TEST_P(BackendConformance, AFullSocketTakesNothing) {
  const Socket socket = connect();
  world_->set_send_buffer(socket.fd, 32 * 1024);
  const std::string data = pattern(16 << 20);
  const size_t taken = fill(socket, data);  // returns at the first send that completes with 0
  EXPECT_GT(taken, 0U);
  submit(Submission::shutdown(socket.fd, {}));
  EXPECT_TRUE(read(*socket.peer, data.size()) == data.substr(0, taken));
}

TEST_P(BackendConformance, MegabytesGetThroughBySendingAndPolling) {
  const Socket socket = connect();
  world_->set_send_buffer(socket.fd, 64 * 1024);
  const std::string data = pattern(8 << 20);
  std::string got;
  size_t sent = 0;
  bool waiting = false;
  EXPECT_TRUE(until([&] {
    got += drain(*socket.peer);
    if (waiting && find(Operation::poll_writable, socket.token()) != nullptr) {
      forget();
      waiting = false;
    }
    if (!waiting && sent < data.size()) {
      const Bytes rest = as_bytes(data).subspan(sent);
      submit(Submission::send(socket.fd, socket.token(), rest));
      poll();
      if (shorts_.empty()) {
        sent = data.size();
      } else {
        EXPECT_GE(shorts_.front().result, 0);
        sent += static_cast<size_t>(std::max(shorts_.front().result, 0));
        forget();
        submit(Submission::poll_writable(socket.fd, socket.token()));
        waiting = true;
      }
    }
    return got.size() >= data.size();
  }));
  EXPECT_TRUE(got == data);
}

TEST_P(BackendConformance, SendingToAPeerThatLeftIsAnErrorAndNoSignal) {
  const Socket socket = connect();
  socket.peer->close();
  ASSERT_TRUE(until([&] {
    submit(Submission::send(socket.fd, socket.token(), as_bytes("anybody there?")));
    poll();
    return !shorts_.empty();
  }));
  EXPECT_TRUE(shorts_.front().result == -EPIPE || shorts_.front().result == -ECONNRESET)
      << shorts_.front().result;
}

// The clock hand's case: one turn, more sends than a batch holds, half of the peers not
// reading. Not a byte may be unaccounted for.
TEST_P(BackendConformance, AThousandSendsInOneTurnAreAllAccountedFor) {
  const std::vector<Socket> sockets = connect(1000);
  std::map<uint64_t, size_t> sent;
  const std::string small = pattern(2'000, 1);
  const std::string large = pattern(4 << 20, 2);
  const auto stuck = [](size_t index) { return index % 2 == 1; };
  for (size_t index = 0; index < sockets.size(); ++index) {
    if (stuck(index)) world_->set_send_buffer(sockets[index].fd, 4 * 1024);
    const Bytes bytes = as_bytes(stuck(index) ? large : small);
    submit(Submission::send(sockets[index].fd, {index}, bytes));
    sent[index] = bytes.size();
  }
  poll();
  EXPECT_EQ(shorts_.size(), sockets.size() / 2);
  for (const Seen& seen : shorts_) {
    ASSERT_TRUE(stuck(seen.token.value));
    ASSERT_GE(seen.result, 0);
    sent[seen.token.value] = static_cast<size_t>(seen.result);
  }
  for (const Socket& socket : sockets) submit(Submission::shutdown(socket.fd, {}));
  poll();
  for (size_t index = 0; index < sockets.size(); ++index) {
    const std::string got = read(*sockets[index].peer, large.size() + 1);
    ASSERT_EQ(got.size(), sent[index]) << index;
    ASSERT_TRUE((stuck(index) ? large : small).compare(0, got.size(), got) == 0) << index;
  }
}

// ---- more at once than a completion queue holds

// Between two turns: a thousand peers send something, some of them their last, a third has
// stopped reading and is sent to, and hundreds of others connect. Every event comes once,
// a connection's in their order, and what a send did not take is said.
TEST_P(BackendConformance, ACrowdThatCompletesAtOnceLosesNothing) {
  constexpr size_t kCrowd = 1000;
  constexpr size_t kNewcomers = 600;
  constexpr size_t kRounds = 3;
  const std::vector<Socket> sockets = connect(kCrowd);
  const std::string large = pattern(4 << 20, 2);
  std::map<uint64_t, size_t> index_of;
  for (size_t index = 0; index < kCrowd; ++index) {
    index_of[sockets[index].token().value] = index;
    submit(Submission::recv(sockets[index].fd, sockets[index].token()));
    if (index % 3 == 0) world_->set_send_buffer(sockets[index].fd, 4 * 1024);
  }
  poll();

  // As a shard does: whatever has ended is armed again, unless it ended for good.
  size_t accepted = 0;
  std::vector<std::string> got(kCrowd);
  std::vector<int> fins(kCrowd);
  on_completion_ = [&](const Completion& completion) {
    if (completion.operation == Operation::accept) {
      ASSERT_GE(completion.result, 0);
      open_.push_back(completion.result);
      ++accepted;
      if (!completion.more) submit(Submission::accept(listener_, kAccept));
    } else if (completion.operation == Operation::recv) {
      const size_t index = index_of.at(completion.token.value);
      ASSERT_EQ(fins[index], 0) << "something came after the FIN";
      got[index] += as_text(completion.bytes);
      fins[index] += completion.result == 0;
      ASSERT_TRUE(completion.result >= 0 || completion.result == -ENOBUFS) << completion.result;
      if (!completion.more && completion.result != 0) {
        submit(Submission::recv(sockets[index].fd, completion.token));
      }
    }
  };

  std::vector<std::unique_ptr<Peer>> newcomers;
  std::vector<std::string> said(kCrowd);
  std::vector<size_t> sent(kCrowd);
  for (size_t round = 0; round < kRounds; ++round) {
    for (size_t index = 0; index < kCrowd; ++index) {
      const std::string text = pattern(20 + index % 50, index * kRounds + round);
      ASSERT_EQ(sockets[index].peer->write(as_bytes(text)), static_cast<int64_t>(text.size()));
      said[index] += text;
      if (round + 1 == kRounds && index % 2 == 1) sockets[index].peer->finish();
      if (round == 0 && index % 3 == 0) {
        submit(Submission::send(sockets[index].fd, {index}, as_bytes(large)));
      }
    }
    for (size_t count = 0; count < kNewcomers / kRounds; ++count) {
      newcomers.push_back(world_->connect(listener_));
    }
    poll();
    // Sends are settled in the turn that submits them, however much is in their way.
    if (round == 0) {
      ASSERT_EQ(shorts_.size(), (kCrowd + 2) / 3);
      for (const Seen& seen : shorts_) {
        ASSERT_EQ(sent[seen.token.value], 0U);
        ASSERT_GT(seen.result, 0);
        sent[seen.token.value] = static_cast<size_t>(seen.result);
      }
    }
  }
  EXPECT_TRUE(until([&] {
    for (size_t index = 0; index < kCrowd; ++index) {
      if (got[index].size() < said[index].size() || (index % 2 == 1 && fins[index] == 0)) return false;
    }
    return accepted == kNewcomers;
  }));
  settle();
  EXPECT_EQ(accepted, kNewcomers);
  EXPECT_EQ(shorts_.size(), (kCrowd + 2) / 3);
  for (size_t index = 0; index < kCrowd; ++index) {
    ASSERT_EQ(got[index], said[index]) << index;
    ASSERT_EQ(fins[index], static_cast<int>(index % 2)) << index;
  }
  on_completion_ = nullptr;

  for (const Socket& socket : sockets) submit(Submission::shutdown(socket.fd, {}));
  poll();
  for (size_t index = 0; index < kCrowd; index += 3) {
    const std::string read_back = read(*sockets[index].peer, large.size() + 1);
    ASSERT_EQ(read_back.size(), sent[index]) << index;
    ASSERT_EQ(large.compare(0, read_back.size(), read_back), 0) << index;
  }
  const bool tiny =
      GetParam() == WorldKind::uring_tiny_queue || GetParam() == WorldKind::uring_floor_tiny_queue;
  if (tiny) {
    EXPECT_GT(backend().queue_overflows(), 0U);
  } else {
    EXPECT_EQ(backend().queue_overflows(), 0U);
  }
}

// ---- poll_writable

TEST_P(BackendConformance, AWritableSocketPollsAtOnce) {
  const Socket socket = connect();
  for (int round = 0; round < 3; ++round) {
    submit(Submission::poll_writable(socket.fd, socket.token()));
    const Seen* writable = wait_for(Operation::poll_writable, socket.token());
    ASSERT_NE(writable, nullptr);
    EXPECT_EQ(writable->result, 0);
    EXPECT_FALSE(writable->more);
    forget();
  }
}

TEST_P(BackendConformance, AFullSocketPollsWhenItHasDrained) {
  const Socket socket = connect();
  world_->set_send_buffer(socket.fd, 32 * 1024);
  for (int round = 0; round < 3; ++round) {
    fill_and_arm_poll(socket);
    EXPECT_TRUE(until([&] {
      drain(*socket.peer);
      return count(Operation::poll_writable, socket.token()) == 1;
    }));
    // Everything, so that the next round begins like the first.
    settle();
    drain(*socket.peer);
    forget();
  }
}

TEST_P(BackendConformance, AFullSocketPollsWhenItsPeerIsGone) {
  const Socket socket = connect();
  world_->set_send_buffer(socket.fd, 32 * 1024);
  fill_and_arm_poll(socket);
  poll();
  socket.peer->reset();
  EXPECT_NE(wait_for(Operation::poll_writable, socket.token()), nullptr);
}

// ---- cancel

TEST_P(BackendConformance, ACancelledRecvEndsOnceAndCanBeArmedAgain) {
  const Socket socket = connect();
  for (int round = 0; round < 3; ++round) {
    submit(Submission::recv(socket.fd, socket.token()));
    poll();
    submit(Submission::cancel(socket.fd, {99}));
    ASSERT_NE(wait_for(Operation::recv, socket.token()), nullptr);
    settle();
    ASSERT_EQ(seen_.size(), 1U);  // and the cancel itself is silent
    EXPECT_EQ(seen_.front().result, -ECANCELED);
    EXPECT_FALSE(seen_.front().more);
    forget();
  }
  submit(Submission::recv(socket.fd, socket.token()));
  socket.peer->write(as_bytes("still here"));
  EXPECT_TRUE(until([&] { return received(socket.token()) == "still here"; }));
}

TEST_P(BackendConformance, ACancelledPollEnds) {
  const Socket socket = connect();
  world_->set_send_buffer(socket.fd, 32 * 1024);
  // A kernel that makes room at that very moment may win the race, and then it is run again.
  // Its buffers have an end, so sooner or later the cancel wins.
  int32_t poll_result = 0;
  while (poll_result == 0) {
    fill_and_arm_poll(socket);
    submit(Submission::recv(socket.fd, socket.token()));
    poll();
    submit(Submission::cancel(socket.fd, {}));
    ASSERT_TRUE(until([&] { return backend().operations_in_flight() == 1; }));
    ASSERT_EQ(count(Operation::poll_writable, socket.token()), 1U);
    poll_result = find(Operation::poll_writable, socket.token())->result;
    EXPECT_EQ(find(Operation::recv, socket.token())->result, -ECANCELED);
  }
  EXPECT_EQ(poll_result, -ECANCELED);
}

TEST_P(BackendConformance, ARecvCancelledInTheTurnThatArmsItEnds) {
  const Socket socket = connect();
  submit(Submission::recv(socket.fd, socket.token()));
  submit(Submission::cancel(socket.fd, {}));
  ASSERT_NE(wait_for(Operation::recv, socket.token()), nullptr);
  settle();
  ASSERT_EQ(seen_.size(), 1U);
  EXPECT_FALSE(seen_.front().more);
}

TEST_P(BackendConformance, ACancelOfNothingIsSilent) {
  const Socket socket = connect();
  submit(Submission::cancel(socket.fd, {}));
  settle();
  EXPECT_TRUE(seen_.empty());
}

TEST_P(BackendConformance, ACancelThatRacesDataLosesNone) {
  const Socket socket = connect();
  const std::string data = pattern(64 * 200);
  bool armed = false;
  for (size_t at = 0; at < data.size(); at += 64) {
    if (!armed) submit(Submission::recv(socket.fd, socket.token()));
    armed = true;
    poll();
    ASSERT_EQ(socket.peer->write(as_bytes(data).subspan(at, 64)), 64);
    submit(Submission::cancel(socket.fd, {}));
    ASSERT_TRUE(until([&] { return backend().operations_in_flight() == 1; }));
    armed = false;
  }
  submit(Submission::recv(socket.fd, socket.token()));
  EXPECT_TRUE(until([&] { return received(socket.token()).size() >= data.size(); }));
  EXPECT_TRUE(received(socket.token()) == data);
}

// ---- close and shutdown

TEST_P(BackendConformance, CloseCompletesOnceAndThePeerSeesFin) {
  const Socket socket = connect();
  close(socket.fd);
  ASSERT_NE(wait_for(Operation::close, socket.token()), nullptr);
  EXPECT_EQ(end_of(*socket.peer), 0);
  settle();
  EXPECT_EQ(count(Operation::close, socket.token()), 1U);
}

TEST_P(BackendConformance, CloseCompletesLastOfAllThatWasArmed) {
  const Socket socket = connect();
  world_->set_send_buffer(socket.fd, 32 * 1024);
  fill(socket, pattern(16 << 20));
  submit(Submission::recv(socket.fd, socket.token()));
  submit(Submission::poll_writable(socket.fd, socket.token()));
  poll();
  socket.peer->write(as_bytes("too late, perhaps"));
  close(socket.fd);
  ASSERT_NE(wait_for(Operation::close, socket.token()), nullptr);
  settle();
  EXPECT_EQ(seen_.back().operation, Operation::close);
  EXPECT_EQ(count(Operation::close, socket.token()), 1U);
  EXPECT_EQ(count(Operation::poll_writable, socket.token()), 1U);
  const auto ends = std::count_if(seen_.begin(), seen_.end(), [](const Seen& seen) {
    return seen.operation == Operation::recv && !seen.more;
  });
  EXPECT_EQ(ends, 1);
}

TEST_P(BackendConformance, CloseInTheTurnThatArmsCompletesLast) {
  const Socket socket = connect();
  submit(Submission::recv(socket.fd, socket.token()));
  submit(Submission::poll_writable(socket.fd, socket.token()));
  close(socket.fd);
  ASSERT_NE(wait_for(Operation::close, socket.token()), nullptr);
  settle();
  EXPECT_EQ(seen_.back().operation, Operation::close);
  EXPECT_EQ(count(Operation::recv, socket.token()), 1U);
  EXPECT_EQ(count(Operation::poll_writable, socket.token()), 1U);
}

TEST_P(BackendConformance, WhatWasSentBeforeACloseArrives) {
  const Socket socket = connect();
  submit(Submission::recv(socket.fd, socket.token()));
  poll();
  submit(Submission::send(socket.fd, socket.token(), as_bytes("goodbye")));
  close(socket.fd);
  int64_t end = -1;
  EXPECT_EQ(read(*socket.peer, 100, &end), "goodbye");
  EXPECT_EQ(end, 0);
}

TEST_P(BackendConformance, AResetCloseIsAResetToThePeer) {
  const Socket socket = connect();
  submit(Submission::recv(socket.fd, socket.token()));
  poll();
  close(socket.fd, true);
  EXPECT_EQ(end_of(*socket.peer), -ECONNRESET);
  ASSERT_NE(wait_for(Operation::close, socket.token()), nullptr);
}

TEST_P(BackendConformance, AListenerClosesWithItsAcceptArmed) {
  submit(Submission::accept(listener_, kAccept));
  poll();
  close(listener_, kAccept);
  ASSERT_NE(wait_for(Operation::close, kAccept), nullptr);
  ASSERT_NE(find(Operation::accept, kAccept), nullptr);
  EXPECT_EQ(find(Operation::accept, kAccept)->result, -ECANCELED);
  EXPECT_EQ(seen_.back().operation, Operation::close);
}

TEST_P(BackendConformance, ShutdownFollowsTheSendsAndLeavesReceivingOpen) {
  const Socket socket = connect();
  submit(Submission::recv(socket.fd, socket.token()));
  submit(Submission::send(socket.fd, socket.token(), as_bytes("bye")));
  submit(Submission::shutdown(socket.fd, {}));
  int64_t end = -1;
  EXPECT_EQ(read(*socket.peer, 100, &end), "bye");
  EXPECT_EQ(end, 0);
  EXPECT_EQ(count(Operation::shutdown, socket.token()), 0U);

  socket.peer->write(as_bytes("you too"));
  EXPECT_TRUE(until([&] { return received(socket.token()) == "you too"; }));
  socket.peer->finish();
  EXPECT_TRUE(until([&] { return seen_.back().result == 0 && !seen_.back().more; }));
}

TEST_P(BackendConformance, AThousandCloseInOneTurnWithDataInFlight) {
  const std::vector<Socket> sockets = connect(1000);
  for (const Socket& socket : sockets) submit(Submission::recv(socket.fd, socket.token()));
  poll();
  for (const Socket& socket : sockets) socket.peer->write(as_bytes("flying"));
  for (const Socket& socket : sockets) close(socket.fd, socket.fd % 2 == 0);
  EXPECT_TRUE(until([&] { return closes_due_ == 0; }));
  std::map<uint64_t, int> ends;
  for (const Seen& seen : seen_) {
    ASSERT_EQ(ends[seen.token.value] & 2, 0) << "something came after the close";
    if (seen.operation == Operation::recv && !seen.more) ends[seen.token.value] += 1;
    if (seen.operation == Operation::close) ends[seen.token.value] += 2;
  }
  for (const Socket& socket : sockets) ASSERT_EQ(ends[socket.token().value], 3);
}

TEST_P(BackendConformance, ADescriptorsNextOwnerHearsNothingOfTheLast) {
  Token last{};
  for (uint64_t round = 0; round < 30; ++round) {
    const Socket socket = connect();
    const Token token{1'000'000 + round};
    submit(Submission::recv(socket.fd, token));
    submit(Submission::poll_writable(socket.fd, token));
    socket.peer->write(as_bytes("round " + std::to_string(round)));
    poll();
    for (const Seen& seen : seen_) EXPECT_FALSE(seen.token == last && round > 0);
    close(socket.fd, token);
    ASSERT_TRUE(until([&] { return closes_due_ == 0; }));
    forget();
    last = token;
  }
}

// ---- sleeping

TEST_P(BackendConformance, ADeadlineIsKeptAndNeverEarly) {
  const TurnTime before = poll();
  const Instant deadline = before.now + milliseconds(30);
  const TurnTime after = turn(deadline);
  EXPECT_GE(after.now, deadline);
  EXPECT_TRUE(seen_.empty());
  EXPECT_GE(after.unix_ms, before.unix_ms);
  EXPECT_GT(before.unix_ms, 1'500'000'000'000);
}

TEST_P(BackendConformance, ADeadlineInThePastDoesNotSleep) {
  const TurnTime before = poll();
  for (int turns = 0; turns < 1000; ++turns) turn(before.now);
  EXPECT_LT(poll().now - before.now, seconds(10));
}

TEST_P(BackendConformance, ACompletionEndsTheSleep) {
  const Socket socket = connect();
  submit(Submission::recv(socket.fd, socket.token()));
  poll();
  socket.peer->write(as_bytes("!"));
  const TurnTime before = poll();
  if (seen_.empty()) {
    EXPECT_LT(turn(before.now + seconds(600)).now, before.now + seconds(300));
  }
  EXPECT_EQ(received(socket.token()), "!");
}

TEST_P(BackendConformance, AWakeBeforeTheSleepEndsIt) {
  const TurnTime before = poll();
  for (int wakes = 0; wakes < 3; ++wakes) backend().wake();
  EXPECT_LT(turn(before.now + seconds(600)).now, before.now + seconds(300));
  // Taken: the next sleeps are long again.
  settle();
  const Instant deadline = poll().now + milliseconds(30);
  EXPECT_GE(turn(deadline).now, deadline);
}

TEST_P(BackendConformance, AnotherThreadsWakeEndsTheSleepEveryTime) {
  if (!world_->real_time()) GTEST_SKIP() << "nobody sleeps in simulated time";
  poll();
  std::atomic<int> asked{0};
  std::thread waker([&] {
    for (int wakes = 0; wakes < 200; ++wakes) {
      while (asked.load() <= wakes) std::this_thread::yield();
      backend().wake();
    }
  });
  for (int wakes = 0; wakes < 200; ++wakes) {
    asked.store(wakes + 1);
    // Sleeping already, about to sleep or not yet: whichever it is, a wake is not lost.
    const Instant give_up = now_ + seconds(600);
    EXPECT_LT(turn(give_up).now, give_up);
  }
  waker.join();
}

INSTANTIATE_TEST_SUITE_P(Io, BackendConformance,
                         testing::Values(WorldKind::uring_best, WorldKind::uring_linux_6_1,
                                         WorldKind::uring_floor, WorldKind::uring_tiny_queue,
                                         WorldKind::uring_floor_tiny_queue, WorldKind::uring_refused,
                                         WorldKind::epoll, WorldKind::sim),
                         [](const auto& info) { return std::string(name(info.param)); });

// ---- the choice

TEST(MakeBackend, FallsBackToEpollWhereIoUringIsForbiddenAndSaysHowToAllowIt) {
  for (const int error : {EPERM, ENOSYS}) {
    std::unique_ptr<Backend> backend;
    std::unique_ptr<Backend> none;
    std::string why_not;
    std::string why_none;
    without_io_uring(error, [&] {
      backend = make_backend(BackendKind::automatic, {}, &why_not);
      none = make_backend(BackendKind::io_uring, {}, &why_none);
    });
    ASSERT_NE(backend, nullptr);
    EXPECT_STREQ(backend->name(), "epoll");
    EXPECT_NE(why_not.find("seccomp"), std::string::npos) << why_not;
    EXPECT_EQ(none, nullptr);
    EXPECT_EQ(why_none, why_not);
  }
}

TEST(MakeBackend, UsesOnlyTheFeaturesItMay) {
  std::string why_not;
  for (const UringFeatures allowed :
       {UringFeatures::all(), UringFeatures::linux_6_1(), UringFeatures::floor()}) {
    const auto backend = UringBackend::create({.uring_features = allowed}, &why_not);
    if (!backend) GTEST_SKIP() << why_not;
    EXPECT_LE(backend->features().deferred_task_work, allowed.deferred_task_work);
    EXPECT_LE(backend->features().incremental_buffers, allowed.incremental_buffers);
  }
}

// Made on one thread, driven by another, destroyed on the first: a server's life.
TEST(MakeBackend, MayBeMadeOnAnotherThreadThanItsShards) {
  for (const BackendKind kind : {BackendKind::io_uring, BackendKind::epoll}) {
    std::string why_not;
    const std::unique_ptr<Backend> backend = make_backend(kind, {}, &why_not);
    if (!backend) GTEST_SKIP() << why_not;
    std::atomic<bool> turned{false};
    std::thread shard([&] {
      Completions completions;
      backend->turn({}, completions, Instant::min());
      turned.store(true);
      backend->turn({}, completions, kNever);
    });
    while (!turned.load()) std::this_thread::yield();
    backend->wake();
    shard.join();
  }
}

}  // namespace
}  // namespace ringcast
