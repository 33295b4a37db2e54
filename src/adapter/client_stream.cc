#include "adapter/client_stream.h"

#include <netinet/in.h>
#include <netinet/tcp.h>

#include <algorithm>
#include <cerrno>
#include <system_error>
#include <utility>

#include "base/assert.h"
#include "io/clock.h"
#include "io/socket.h"

namespace ringcast {
namespace {

std::string error_words(int error) {
  return std::system_category().message(error);
}

}  // namespace

ClientStream::ClientStream(Token first, uint64_t step, std::string host,
                           std::shared_ptr<const ClientTlsContext> tls)
    : step_(step), host_(std::move(host)), tls_context_(std::move(tls)), token_(first) {}

ClientStream::~ClientStream() {
  Descriptor(std::exchange(fd_, -1)).reset();
}

std::string ClientStream::open(const EngineAddress& address, std::vector<Submission>& submissions) {
  RC_ASSERT(stage_ == Stage::closed && fd_ < 0);
  token_.value += step_;
  address_ = address;
  plain_.clear();
  wire_.clear();
  wire_at_ = submitted_ = 0;
  appended_ = moved_ = taken_ = 0;
  waits_writable_ = poll_armed_ = recv_armed_ = cancel_sent_ = paused_ = false;

  fd_ = socket(address.storage.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
  if (fd_ < 0) return "cannot make a socket: " + error_words(errno);
  if (address.storage.ss_family != AF_UNIX) {
    const int on = 1;
    setsockopt(fd_, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
  }
  stage_ = Stage::connecting;
  submissions.push_back(
      Submission::connect(fd_, token_, reinterpret_cast<const sockaddr*>(&address_.storage), address_.bytes));
  return {};
}

void ClientStream::close(std::vector<Submission>& submissions) {
  if (fd_ < 0) return;
  // What was submitted on this descriptor for the turn to come must not follow its close.
  std::erase_if(submissions, [this](const Submission& submission) { return submission.fd == fd_; });
  submissions.push_back(Submission::close(std::exchange(fd_, -1), token_));
  submitted_ = 0;
  stage_ = Stage::closed;
  tls_.reset();
}

// --- Out -----------------------------------------------------------------------------

void ClientStream::append(Bytes bytes) {
  plain_.insert(plain_.end(), bytes.begin(), bytes.end());
  appended_ += bytes.size();
}

void ClientStream::flush(std::vector<Submission>& submissions) {
  if (fd_ < 0 || stage_ == Stage::connecting) return;
  if (paused_ && recv_armed_ && !cancel_sent_) {
    submissions.push_back(Submission::cancel(fd_, token_));
    cancel_sent_ = true;
    // It ends a poll as well, which then only means one more send.
  } else if (!paused_ && !recv_armed_) {
    submissions.push_back(Submission::recv(fd_, token_));
    recv_armed_ = true;
  }
  if (waits_writable_) {
    if (!poll_armed_) submissions.push_back(Submission::poll_writable(fd_, token_));
    poll_armed_ = true;
    return;
  }
  if (wire_at_ == wire_.size()) {
    wire_.clear();
    wire_at_ = 0;
  }
  if (wire_.empty() && !plain_.empty() && stage_ == Stage::open) {
    if (tls_ != nullptr) {
      tls_->encrypt(plain_, wire_);
      plain_.clear();
    } else {
      std::swap(wire_, plain_);
    }
    moved_ = appended_;
  }
  if (wire_.empty()) return;
  submitted_ = std::min(under_way_bytes(), kSendBytesMax);
  submissions.push_back(Submission::send(fd_, token_, Bytes(wire_).subspan(wire_at_, submitted_)));
}

ClientStream::News ClientStream::short_send(const Completion& completion) {
  submitted_ = 0;
  if (completion.result < 0) return {News::Kind::failed, error_words(-completion.result)};
  take(static_cast<size_t>(completion.result));
  waits_writable_ = true;
  return {};
}

void ClientStream::take(size_t bytes) {
  wire_at_ += bytes;
  taken_ += bytes;
  submitted_ = 0;
}

// --- In ------------------------------------------------------------------------------

ClientStream::News ClientStream::completed(const Completion& completion, std::vector<std::byte>& in) {
  using Kind = News::Kind;
  if (fd_ < 0) return {};  // what a close ended
  switch (completion.operation) {
    case Operation::connect:
      if (completion.result != 0) {
        return {Kind::failed, "cannot connect: " + error_words(-completion.result)};
      }
      if (tls_context_ == nullptr) {
        stage_ = Stage::open;
        return {Kind::connected};
      }
      stage_ = Stage::securing;
      tls_ = std::make_unique<ClientTls>(tls_context_, host_);
      return secure({}, in, Kind::connected);
    case Operation::recv:
      if (!completion.more) recv_armed_ = cancel_sent_ = false;
      if (completion.result == -ENOBUFS || completion.result == -ECANCELED) return {};
      if (completion.result < 0) return {Kind::failed, error_words(-completion.result)};
      if (completion.bytes.empty()) return {Kind::ended};
      if (tls_ != nullptr) return secure(completion.bytes, in, Kind::bytes);
      in.insert(in.end(), completion.bytes.begin(), completion.bytes.end());
      return {Kind::bytes};
    case Operation::poll_writable:
      waits_writable_ = poll_armed_ = false;
      return {};
    default:
      return {};
  }
}

ClientStream::News ClientStream::secure(Bytes bytes, std::vector<std::byte>& in, News::Kind well) {
  const bool lives = tls_->receive(bytes, in, wire_);
  if (stage_ == Stage::securing && tls_->handshake_done()) stage_ = Stage::open;
  if (!lives) return {News::Kind::ended, "TLS: " + tls_->failure()};
  return {well};
}

void await_closes(Backend& backend, std::vector<Submission>& submissions, Duration at_most) {
  Completions completions;
  Instant now = monotonic_now();
  const Instant until = now + at_most;
  do {
    completions.clear();
    now = backend.turn(submissions, completions, std::min(until, now + milliseconds(10))).now;
    submissions.clear();
  } while (backend.operations_in_flight() > 0 && now < until);
}

}  // namespace ringcast
