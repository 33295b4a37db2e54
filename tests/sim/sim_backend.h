// The simulated end of the seam at io/backend.h: sockets in memory, time that moves
// only when somebody sleeps. A Network is one simulated machine; each shard under test
// has a SimBackend on it, and the test holds the peers' ends. One thread for all of it
// (wake() aside), so a run repeats exactly.
//
// It is also the strict reading of the contract: what a shard may not submit, it
// asserts; and bytes it lent are freed the moment they expire.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <functional>
#include <memory>
#include <span>
#include <vector>

#include "io/backend.h"
#include "tests/sim/faults.h"
#include "tests/sim/trace.h"

namespace ringcast::sim {

// Streams of bytes between descriptors, with TCP's ends: FIN, RST, a full buffer.
// Results are as the system calls': counts, descriptors, 0 for FIN, or -errno.
class Network {
 public:
  static constexpr size_t kSendBufferBytes = 64 * 1024;

  Instant now() const { return now_; }
  void advance_to(Instant instant);

  // A port is a listener's name; 0 chooses one.
  int listen(uint16_t port = 0);
  uint16_t port(int listener) const;
  int make_socket();
  int connect(int fd, uint16_t port);
  int connect(uint16_t port);  // both in one
  int accept(int listener);

  int64_t send(int fd, Bytes bytes);
  int64_t recv(int fd, MutableBytes into);
  void shutdown(int fd);
  // The path breaks: both ends meet RST. `told`: this end as if it had been told already.
  void break_connection(int fd, bool told);
  // As a kernel does: bytes nobody has read turn the FIN into RST.
  void close(int fd, bool reset);

  bool acceptable(int fd) const;
  bool readable(int fd) const;
  bool writable(int fd) const;
  size_t unread(int fd) const { return at(fd).inbox.size(); }

  void set_send_buffer(int fd, size_t bytes);
  // Of sockets accepted from now on.
  void set_send_buffer_of_accepted(size_t bytes) { accepted_send_buffer_ = bytes; }
  // Sets `*news` whenever the socket may have become readable, writable or acceptable.
  void watch(int fd, bool* news) { at(fd).news = news; }
  // Descriptors from `limit` on are refused with -EMFILE.
  void set_descriptor_limit(int limit) { descriptor_limit_ = limit; }
  int descriptor_limit() const { return descriptor_limit_; }
  int lowest_free_descriptor() const;
  size_t open_descriptors() const { return open_; }

 private:
  // What one end has sent and the other has not read.
  class Pipe {
   public:
    size_t size() const { return bytes_.size() - read_; }
    bool empty() const { return size() == 0; }
    void push(Bytes bytes) { bytes_.insert(bytes_.end(), bytes.begin(), bytes.end()); }
    void pop(MutableBytes into);
    void clear();

   private:
    std::vector<std::byte> bytes_;
    size_t read_ = 0;
  };
  struct Socket {
    uint16_t port = 0;                            // of a listener
    std::deque<std::unique_ptr<Socket>> backlog;  // connected, not accepted
    Socket* other = nullptr;                      // nullptr once it is closed
    Pipe inbox;
    size_t send_buffer = kSendBufferBytes;
    bool finished = false;   // the other end sent FIN
    bool reset = false;      // the other end sent RST, not reported yet
    bool was_reset = false;  // and reported
    bool sent_finish = false;
    bool* news = nullptr;
    void tell() {
      if (news != nullptr) *news = true;
    }
  };

  Socket& at(int fd);
  const Socket& at(int fd) const;
  int place(std::unique_ptr<Socket> socket);
  void remove(int fd);
  static void end(Socket& socket, bool reset);

  std::vector<std::unique_ptr<Socket>> sockets_;  // by descriptor; null: free
  size_t open_ = 0;
  Instant now_{seconds(1)};
  int descriptor_limit_ = 1 << 20;
  size_t accepted_send_buffer_ = kSendBufferBytes;
};

class SimBackend final : public Backend {
 public:
  // What turn() does when there is nothing to hand over before its deadline.
  enum class Sleep : uint8_t {
    advance,  // time jumps to the deadline: for one backend alone
    yield,    // it asks set_sleeper()'s function to sleep; whoever schedules the shards moves the time
  };

  explicit SimBackend(Network& network, Sleep sleep = Sleep::advance) : network_(network), sleep_(sleep) {}

  TurnTime turn(std::span<const Submission> submissions, Completions& completions, Instant deadline) override;
  void wake() noexcept override { woken_.store(true); }
  const char* name() const noexcept override { return "sim"; }
  size_t operations_in_flight() const noexcept override;
  size_t buffers_lent() const noexcept override { return lent_.size(); }

  // Called where a kernel would sleep, with what it would sleep until; whatever is ready
  // when it returns is told in the same turn. Without one, the turn just ends.
  void set_sleeper(std::function<void(Instant)> sleeper) { sleeper_ = std::move(sleeper); }

  // None unless set. Shared by all backends of a world; outlives them.
  void set_faults(Faults* faults) { faults_ = faults; }

  // None unless set; outlives the backend. `shard` is what it says there who it is.
  void set_trace(Trace* trace, unsigned shard) {
    trace_ = trace;
    shard_ = shard;
  }

  // What the last turn was about: the token of every submission and completion. And
  // whether it had any: a turn that had none is not worth counting.
  std::span<const Token> touched() const { return touched_; }
  uint64_t turns_with_work() const { return turns_with_work_; }
  // Closes of descriptors that never became connections: their tokens name none.
  uint64_t plain_closes() const { return plain_closes_; }

  // Whether a turn now would have something to hand over, and until when the last one
  // would have slept: what a scheduler of several shards needs to know.
  bool ready();
  Instant sleeping_until() const { return sleeping_until_; }

 private:
  enum : uint8_t { kRecv, kAccept, kPoll, kKinds };
  struct Armed {
    Token token[kKinds];
    bool armed[kKinds] = {};
    bool any() const { return armed[kRecv] || armed[kAccept] || armed[kPoll]; }
  };

  void submit(const Submission& submission);
  void send(const Submission& submission);
  void connect(const Submission& submission);
  void arm(const Submission& submission, uint8_t kind);
  void cancel(int fd, uint8_t kind);
  void collect();
  void deliver();
  void deliver_recv(int fd, Armed& armed);
  void deliver_accept(int fd, Armed& armed);
  void finish_closes();
  bool happens(Fault fault) { return faults_ != nullptr && faults_->happens(fault); }
  bool full() const { return completions_->others.size() >= others_max_; }
  void poison(const Submission& submission);
  void complete(Operation operation, Token token, int32_t result, bool more = false, MutableBytes bytes = {});

  Network& network_;
  const Sleep sleep_;
  bool news_ = true;            // something may be ready
  std::vector<Armed> armed_;    // by descriptor
  std::vector<uint64_t> sent_;  // by descriptor: the turn that last sent
  uint64_t turns_ = 0;
  struct Closing {
    int fd;
    Token token;
    bool reset;
  };
  std::vector<Closing> closing_;  // submitted, and late
  Faults* faults_ = nullptr;
  std::function<void(Instant)> sleeper_;
  // One heap block a piece, so that a sanitizer sees whoever reads past its end or its life.
  struct Piece {
    std::unique_ptr<std::byte[]> bytes;
    size_t size;
  };
  std::vector<Piece> lent_;
  size_t others_max_ = SIZE_MAX;
  Trace* trace_ = nullptr;
  unsigned shard_ = 0;
  std::vector<Token> touched_;
  uint64_t plain_closes_ = 0;
  uint64_t turns_with_work_ = 0;
  Completions* completions_ = nullptr;
  std::atomic<bool> woken_ = false;
  Instant sleeping_until_ = kNever;
};

}  // namespace ringcast::sim
