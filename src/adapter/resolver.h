// Turns an engine's name into addresses on a thread of its own: getaddrinfo may wait for
// half a minute when a name server does not answer. Owned by an adapter; its thread only.
//
// A look-up under way cannot be ended. Its thread owns what it needs and outlives the
// resolver if it must; nobody waits for it.
#pragma once

#include <sys/socket.h>

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "base/time.h"

namespace ringcast {

struct EngineAddress {
  sockaddr_storage storage = {};
  socklen_t bytes = 0;

  std::string ip() const;  // "127.0.0.1", "::1"; empty for a path
};

class Resolver {
 public:
  struct Answer {
    std::vector<EngineAddress> addresses;  // in the order they should be tried
    std::string error;                     // when there are none
  };

  // Called on a thread of its own; it may wait.
  using LookUp = std::function<Answer(const std::string& host, uint16_t port)>;

  // `wake` is called on another thread when an answer is there, never after the resolver is
  // gone. Without `look_up` the system is asked.
  explicit Resolver(std::function<void()> wake, LookUp look_up = {});
  Resolver(const Resolver&) = delete;
  Resolver& operator=(const Resolver&) = delete;
  ~Resolver();

  // At once for addresses and paths; a name starts a look-up, unless one is under way, whose
  // answer should be there by `answer_by`.
  void ask(const std::string& host, uint16_t port, Instant answer_by = kNever);
  void ask_path(const std::string& path);

  bool busy() const { return busy_; }
  // True once for a look-up that should have its answer by now; it still counts when it comes.
  bool late(Instant now);
  // When late() may be true; kNever once it has been.
  Instant deadline() const { return answer_by_; }
  // True: `answer` is there, and the next may be asked for.
  bool take(Answer& answer);

 private:
  struct Shared;

  const std::shared_ptr<Shared> shared_;
  const LookUp look_up_;
  bool busy_ = false;
  Instant answer_by_ = kNever;  // of the one under way
};

}  // namespace ringcast
