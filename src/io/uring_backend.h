// The backend on io_uring: one ring, one ring of receive buffers, one trip into the
// kernel per turn. Owned by one shard; its thread calls everything but wake(). It may
// be made on another thread: the ring binds to the thread of the first turn.
//
// Four rules hold it together:
//  1. A send never waits and is silent on success (MSG_DONTWAIT | MSG_WAITALL with
//     IOSQE_CQE_SKIP_SUCCESS), so when a submit returns, every send of it has
//     finished or has posted what it took. Hence a lost completion would be lost
//     data, and each batch is cut so that all it can post has room.
//  2. What the last turn lent returns to the kernel after this turn's sends.
//  3. A descriptor is closed after the last completion of what was armed on it, so a
//     completion can never meet the descriptor's next owner.
//  4. The completion queue may overflow all the same: what is armed from earlier turns
//     completes when it likes. The kernel keeps what finds no room (IORING_FEAT_NODROP)
//     and ends a multishot operation whose completion is among it; all is fetched, in
//     order, before a batch counts as done.
#pragma once

#include <liburing.h>

#include <array>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "io/backend.h"
#include "io/make_backend.h"
#include "io/recv_buffers.h"
#include "io/socket.h"

namespace ringcast {

class UringBackend final : public Backend {
 public:
  // Makes a ring with the best of `options.uring_features` that the kernel has, after
  // each operation has been tried out on sockets of its own. nullptr if io_uring is
  // missing, forbidden or broken; `*why_not` is then one sentence on what to do.
  static std::unique_ptr<UringBackend> create(const BackendOptions& options, std::string* why_not);
  ~UringBackend() override;

  UringBackend(const UringBackend&) = delete;
  UringBackend& operator=(const UringBackend&) = delete;

  TurnTime turn(std::span<const Submission> submissions, Completions& completions, Instant deadline) override;
  void wake() noexcept override;
  const char* name() const noexcept override { return "io_uring"; }
  size_t operations_in_flight() const noexcept override { return in_flight_; }
  size_t buffers_lent() const noexcept override { return buffers_->lent(); }
  uint64_t queue_overflows() const noexcept override { return queue_overflows_; }

  UringFeatures features() const { return features_; }

  static constexpr unsigned kBatchMax = 256;  // submissions per trip; more gain nothing

 private:
  enum class Kind : uint8_t;

  // What is armed on one descriptor, and for whom.
  struct Socket {
    Token token() const { return {token_bits}; }

    uint64_t token_bits : kTokenBits = 0;  // of what is armed, or of the close
    uint64_t armed : 5 = 0;                // bits of Kind in the kernel's hands
    bool recv_waiting : 1 = false;         // to be armed at the end of this turn
    bool closing : 1 = false;
    bool reset : 1 = false;
  };
  // A hundred thousand connections pay 100 KB for each byte.
  static_assert(sizeof(Socket) == 8);

  UringBackend() = default;
  // Makes the ring with exactly `features`; 0 or -errno.
  int open(const BackendOptions& options, UringFeatures features);

  Socket& socket(int fd);
  Socket& socket_for(const Submission& submission);
  io_uring_sqe* next_entry(unsigned completions_max);
  void submit(const Submission& submission, size_t index);
  void submit_send(const Submission& submission, size_t index);
  void submit_recvs();
  void submit_wake_read();
  void cancel(int fd, Kind kind);
  void cancel_recv(int fd, Socket& socket);
  void close(int fd, Socket& socket);
  void arm(Socket& socket, Kind kind);
  void submit_batch();
  void finish_batch();
  void sleep(Instant deadline);
  void enter(bool wait, Duration at_most);
  void collect();
  void take(const io_uring_cqe& cqe);
  void finish_close(int fd, Socket& socket);
  void complete(Operation operation, Token token, int32_t result, bool more = false, MutableBytes bytes = {});

  io_uring ring_{};
  bool ring_open_ = false;
  unsigned queue_entries_ = 0;  // of completions
  uint64_t queue_overflows_ = 0;
  bool enabled_ = false;  // by the first turn, whose thread becomes the only submitter
  UringFeatures features_;
  std::unique_ptr<RecvRing> buffers_;

  Descriptor wake_;
  uint64_t wake_count_ = 0;  // the kernel writes here
  bool wake_armed_ = false;

  std::vector<Socket> sockets_;  // by descriptor
  size_t in_flight_ = 0;

  // Of the turn under way.
  std::span<const Submission> submissions_;
  Completions* completions_ = nullptr;
  bool woken_ = false;
  bool sends_lent_bytes_ = false;
  std::vector<int> recvs_;  // to be armed once the buffers are back

  // Of the batch under way.
  unsigned batched_ = 0;
  unsigned completions_due_ = 0;  // the most the batch can post before it is collected
  std::array<msghdr, kBatchMax> messages_;
  std::vector<Submission> after_batch_;  // shutdowns and closes: they must follow the batch's sends
};

}  // namespace ringcast
