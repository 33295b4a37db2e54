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
#include <map>
#include <memory>
#include <set>
#include <span>
#include <vector>

#include "base/prng.h"
#include "io/backend.h"

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
  // As a kernel does: bytes nobody has read turn the FIN into RST.
  void close(int fd, bool reset);

  bool acceptable(int fd) const;
  bool readable(int fd) const;
  bool writable(int fd) const;

  void set_send_buffer(int fd, size_t bytes);
  // Descriptors from `limit` on are refused with -EMFILE.
  void set_descriptor_limit(int limit) { descriptor_limit_ = limit; }
  int descriptor_limit() const { return descriptor_limit_; }
  int lowest_free_descriptor() const;
  size_t open_descriptors() const { return sockets_.size(); }

 private:
  struct Socket {
    uint16_t port = 0;                            // of a listener
    std::deque<std::unique_ptr<Socket>> backlog;  // connected, not accepted
    Socket* other = nullptr;                      // nullptr once it is closed
    std::vector<std::byte> inbox;
    size_t send_buffer = kSendBufferBytes;
    bool finished = false;   // the other end sent FIN
    bool reset = false;      // the other end sent RST, not reported yet
    bool was_reset = false;  // and reported
    bool sent_finish = false;
  };

  Socket& at(int fd);
  const Socket& at(int fd) const;
  int place(std::unique_ptr<Socket> socket);
  static void end(Socket& socket, bool reset);

  std::map<int, std::unique_ptr<Socket>> sockets_;  // ordered: a run must repeat
  Instant now_{seconds(1)};
  int descriptor_limit_ = 1 << 20;
};

// What a kernel may do at any time and seldom does. One seed feeds all of it, so that a
// run repeats; a weight is the chance at each opportunity.
struct Faults {
  explicit Faults(uint64_t seed) : prng(seed) {}

  Prng prng;
  double short_send = 0;    // a send takes a random part of what it could have taken
  double split_recv = 0;    // a receive brings a random part of what is there
  double early_end = 0;     // a multishot receive ends with its data, or with -ENOBUFS
  double cancel_race = 0;   // what is cancelled completes first
  double late = 0;          // what is ready is told a turn later; so are closes
  double reorder = 0;       // completions of different descriptors change places
  double send_refused = 0;  // -ENOBUFS

  // How often each came about: a run in which none did has shown nothing.
  struct Count {
    uint64_t short_sends = 0, split_recvs = 0, early_ends = 0, cancel_races = 0, late = 0, reorders = 0,
             sends_refused = 0;
  } count;
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

  // Whether a turn now would have something to hand over, and until when the last one
  // would have slept: what a scheduler of several shards needs to know.
  bool ready() const;
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
  bool happens(double Faults::*weight, uint64_t Faults::Count::*count);
  void complete(Operation operation, Token token, int32_t result, bool more = false, MutableBytes bytes = {});

  Network& network_;
  const Sleep sleep_;
  std::map<int, Armed> armed_;
  std::set<int> sent_;  // by this turn, one each
  struct Closing {
    int fd;
    Token token;
    bool reset;
  };
  std::vector<Closing> closing_;  // submitted, and late
  Faults* faults_ = nullptr;
  std::function<void(Instant)> sleeper_;
  // One heap block a piece, so that a sanitizer sees whoever reads past its end or its life.
  std::vector<std::unique_ptr<std::byte[]>> lent_;
  Completions* completions_ = nullptr;
  std::atomic<bool> woken_ = false;
  Instant sleeping_until_ = kNever;
};

}  // namespace ringcast::sim
