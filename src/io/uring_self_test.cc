// One short life of a connection, checked step by step. The thread that calls it.
#include "io/uring_self_test.h"

#include <fcntl.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <optional>

#include "io/clock.h"
#include "io/socket.h"

namespace ringcast {
namespace {

// Far beyond what any step takes; a step that never completes costs this once.
constexpr Duration kStepMax = seconds(5);

class SelfTest {
 public:
  explicit SelfTest(Backend& backend) : backend_(backend) {}

  // nullptr, or the step that failed.
  const char* run() {
    if (!connect()) return "local sockets";
    if (!accept()) return "multishot accept";
    if (!receive("first") || !receive("second")) return "multishot receive";
    if (!send()) return "silent send";
    if (!fall_short()) return "short send";
    if (!drain()) return "poll for writing";
    if (!cancel()) return "cancel";
    if (!close()) return "close";
    return nullptr;
  }

 private:
  static constexpr Token kListener{1};
  static constexpr Token kSocket{2};

  bool connect() {
    // An address the kernel chooses, in no file system and on no network.
    listener_.reset(::socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
    peer_.reset(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    auto* generic = reinterpret_cast<sockaddr*>(&address);
    socklen_t bytes = sizeof address;
    return listener_ && peer_ && bind(listener_.fd(), generic, sizeof address.sun_family) == 0 &&
           listen(listener_.fd(), 1) == 0 && getsockname(listener_.fd(), generic, &bytes) == 0 &&
           ::connect(peer_.fd(), generic, bytes) == 0 && fcntl(peer_.fd(), F_SETFL, O_NONBLOCK) == 0;
  }

  bool accept() {
    const auto accepted = next(Submission::accept(listener_.fd(), kListener), Operation::accept);
    if (!accepted || accepted->result < 0) return false;
    fd_.reset(accepted->result);
    return accepted->more && accepted->token == kListener;
  }

  bool receive(std::string_view text) {
    const bool first = !receiving_;
    receiving_ = true;
    if (::write(peer_.fd(), text.data(), text.size()) != static_cast<ssize_t>(text.size())) return false;
    const auto received = first ? next(Submission::recv(fd_.fd(), kSocket), Operation::recv)
                                : next(std::nullopt, Operation::recv);
    return received && received->more && received->token == kSocket && as_text(received->bytes) == text;
  }

  bool send() {
    const std::string_view text = "answer";
    turn(Submission::send(fd_.fd(), kSocket, as_bytes(text)), Instant::min());
    char answer[16];
    return completions_.short_sends.empty() && completions_.others.empty() &&
           ::read(peer_.fd(), answer, sizeof answer) == static_cast<ssize_t>(text.size()) &&
           std::equal(text.begin(), text.end(), answer);
  }

  bool fall_short() {
    set_send_buffer(fd_.fd(), 16 * 1024);
    const std::vector<std::byte> much(size_t{1} << 20, std::byte{7});
    turn(Submission::send(fd_.fd(), kSocket, much), Instant::min());
    if (completions_.short_sends.size() != 1) return false;
    const Completion& sent = completions_.short_sends.front();
    taken_ = sent.result;
    if (sent.token != kSocket || taken_ <= 0 || static_cast<size_t>(taken_) >= much.size()) return false;
    turn(Submission::send(fd_.fd(), kSocket, much), Instant::min());
    return completions_.short_sends.size() == 1 && completions_.short_sends.front().result == 0;
  }

  bool drain() {
    turn(Submission::poll_writable(fd_.fd(), kSocket), Instant::min());
    if (!completions_.others.empty()) return false;  // it is full
    std::vector<char> bytes(size_t{1} << 20);
    int64_t got = 0;
    for (ssize_t count; (count = ::read(peer_.fd(), bytes.data(), bytes.size())) > 0;) got += count;
    const auto writable = next(std::nullopt, Operation::poll_writable);
    return got == taken_ && writable && writable->result == 0 && !writable->more;
  }

  bool cancel() {
    const auto cancelled = next(Submission::cancel(fd_.fd(), kSocket), Operation::recv);
    return cancelled && cancelled->result == -ECANCELED && !cancelled->more;
  }

  bool close() {
    const auto closed = next(Submission::close(fd_.release(), kSocket), Operation::close);
    char byte;
    if (!closed || closed->token != kSocket || ::read(peer_.fd(), &byte, 1) != 0) return false;
    // The accept is still armed: its end must come before the close.
    turn(Submission::close(listener_.release(), kListener), Instant::min());
    bool ended = false;
    for (const Instant give_up = monotonic_now() + kStepMax; monotonic_now() < give_up; turn({}, give_up)) {
      for (const Completion& completion : completions_.others) {
        if (completion.operation == Operation::accept) ended = completion.result == -ECANCELED;
        if (completion.operation == Operation::close) return ended && backend_.operations_in_flight() == 0;
      }
    }
    return false;
  }

  void turn(std::optional<Submission> submission, Instant deadline) {
    completions_.clear();
    backend_.turn(submission ? std::span(&*submission, 1) : std::span<const Submission>(), completions_,
                  deadline);
  }

  // The first completion after `submission`, which must be of `operation`.
  std::optional<Completion> next(std::optional<Submission> submission, Operation operation) {
    const Instant give_up = monotonic_now() + kStepMax;
    turn(submission, give_up);
    while (completions_.others.empty() && monotonic_now() < give_up) turn({}, give_up);
    if (completions_.others.empty() || !completions_.short_sends.empty()) return std::nullopt;
    const Completion completion = completions_.others.front();
    return completion.operation == operation ? std::optional(completion) : std::nullopt;
  }

  Backend& backend_;
  Completions completions_;
  Descriptor listener_;
  Descriptor peer_;
  Descriptor fd_;
  bool receiving_ = false;
  int32_t taken_ = 0;
};

}  // namespace

bool passes_self_test(Backend& backend, std::string* failed) {
  const char* step = SelfTest(backend).run();
  if (step != nullptr) *failed = step;
  return step == nullptr;
}

}  // namespace ringcast
