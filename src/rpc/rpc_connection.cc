// HTTP/1.1 over a socket of the pool's backend.
#include "rpc/rpc_connection.h"

#include <netinet/in.h>
#include <netinet/tcp.h>

#include <algorithm>
#include <cerrno>
#include <system_error>
#include <utility>

#include "base/assert.h"
#include "io/socket.h"
#include "protocol/http_syntax.h"

namespace ringcast {
namespace {

std::string error_text(int error) {
  return std::system_category().message(error);
}

}  // namespace

RpcConnection::RpcConnection(uint16_t lane, std::string host, std::shared_ptr<const ClientTlsContext> tls,
                             const HttpResponseLimits& limits)
    : host_(std::move(host)), tls_context_(std::move(tls)), token_{lane}, parser_(limits) {}

RpcConnection::~RpcConnection() {
  Descriptor(std::exchange(fd_, -1)).reset();
}

void RpcConnection::open(const EngineAddress& address, std::vector<Submission>& submissions) {
  RC_ASSERT(stage_ == Stage::closed && fd_ < 0);
  failure_.clear();
  token_.value += uint64_t{1} << 16;
  address_ = address;
  plain_.clear();
  wire_.clear();
  wire_at_ = submitted_ = 0;
  wire_holds_request_ = waits_writable_ = poll_armed_ = recv_armed_ = false;
  asked_ = seen_ = answer_begun_ = answered_ = false;
  parser_.abandon();
  body_.clear();

  fd_ = socket(address.storage.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
  if (fd_ < 0) {
    failure_ = "cannot make a socket: " + error_text(errno);
    return;
  }
  const int on = 1;
  setsockopt(fd_, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
  stage_ = Stage::connecting;
  submissions.push_back(
      Submission::connect(fd_, token_, reinterpret_cast<const sockaddr*>(&address_.storage), address_.bytes));
}

void RpcConnection::close(std::string why, std::vector<Submission>& submissions) {
  if (fd_ < 0) return;
  failure_ = std::move(why);
  // What was submitted on this descriptor for the turn to come must not follow its close.
  std::erase_if(submissions, [this](const Submission& submission) { return submission.fd == fd_; });
  submissions.push_back(Submission::close(std::exchange(fd_, -1), token_));
  submitted_ = 0;
  stage_ = Stage::closed;
  tls_.reset();
}

// --- Out -----------------------------------------------------------------------------

void RpcConnection::request(std::string_view head, std::string_view body) {
  RC_ASSERT(!asked_);
  asked_ = true;
  seen_ = answer_begun_ = answered_ = false;
  for (const std::string_view part : {head, body}) {
    const Bytes bytes = as_bytes(part);
    plain_.insert(plain_.end(), bytes.begin(), bytes.end());
  }
}

void RpcConnection::flush(std::vector<Submission>& submissions) {
  if (fd_ < 0 || stage_ == Stage::connecting) return;
  if (!recv_armed_) {
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
    wire_holds_request_ = true;
  }
  if (wire_.empty()) return;
  submitted_ = std::min(wire_.size() - wire_at_, kSendBytesMax);
  submissions.push_back(Submission::send(fd_, token_, Bytes(wire_).subspan(wire_at_, submitted_)));
}

void RpcConnection::short_send(const Completion& completion, std::vector<Submission>& submissions) {
  submitted_ = 0;
  if (completion.result < 0) {
    // An answer may lie in front of the reset that this is: but what failed to leave was not seen.
    close(error_text(-completion.result), submissions);
    return;
  }
  wire_at_ += static_cast<size_t>(completion.result);
  if (completion.result > 0 && wire_holds_request_) seen_ = true;
  waits_writable_ = true;
}

void RpcConnection::settle_send() {
  if (submitted_ == 0) return;
  wire_at_ += std::exchange(submitted_, 0);
  if (wire_holds_request_) seen_ = true;
}

// --- In ------------------------------------------------------------------------------

void RpcConnection::completed(const Completion& completion, std::vector<Submission>& submissions) {
  if (fd_ < 0) return;  // what a close ended
  switch (completion.operation) {
    case Operation::connect:
      if (completion.result != 0) {
        close("cannot connect: " + error_text(-completion.result), submissions);
      } else {
        connected(submissions);
      }
      return;
    case Operation::recv:
      if (!completion.more) recv_armed_ = false;
      if (completion.result == -ENOBUFS || completion.result == -ECANCELED) return;
      if (completion.result < 0) return close(error_text(-completion.result), submissions);
      if (completion.bytes.empty()) return peer_closed({}, submissions);
      return take_bytes(completion.bytes, submissions);
    case Operation::poll_writable:
      waits_writable_ = poll_armed_ = false;
      return;
    default:
      return;
  }
}

void RpcConnection::connected(std::vector<Submission>& submissions) {
  if (tls_context_ == nullptr) {
    stage_ = Stage::open;
    return;
  }
  stage_ = Stage::securing;
  tls_ = std::make_unique<ClientTls>(tls_context_, host_);
  take_bytes({}, submissions);
}

void RpcConnection::take_bytes(Bytes bytes, std::vector<Submission>& submissions) {
  if (tls_ == nullptr) return take_plaintext(bytes, submissions);
  decrypted_.clear();
  const bool lives = tls_->receive(bytes, decrypted_, wire_);
  if (stage_ == Stage::securing && tls_->handshake_done()) stage_ = Stage::open;
  const std::string failure = lives ? std::string() : "TLS: " + tls_->failure();
  if (!decrypted_.empty()) take_plaintext(decrypted_, submissions);
  if (!lives) peer_closed(failure, submissions);
}

void RpcConnection::take_plaintext(Bytes bytes, std::vector<Submission>& submissions) {
  if (!asked_ || answered_) return close("the application spoke without being asked", submissions);
  answer_begun_ = true;
  for (;;) {
    using Kind = HttpResponseParser::Event::Kind;
    const HttpResponseParser::Event event = parser_.next(bytes);
    switch (event.kind) {
      case Kind::need_more:
        return;
      case Kind::head:
        break;
      case Kind::body:
        body_ += as_text(event.body);
        break;
      case Kind::complete:
        answered_ = true;
        // What follows answers nothing, so who knows what the next would be.
        if (!bytes.empty()) close("the application answered twice", submissions);
        return;
      case Kind::error:
        return close("not HTTP: " + std::string(event.reason), submissions);
    }
  }
}

void RpcConnection::peer_closed(std::string why, std::vector<Submission>& submissions) {
  if (why.empty()) why = "closed by the application";
  if (asked_ && !answered_ && answer_begun_) {
    const HttpResponseParser::Event event = parser_.closed();
    answered_ = event.kind == HttpResponseParser::Event::Kind::complete;
    if (!answered_) why = event.reason;
  }
  close(std::move(why), submissions);
}

Duration RpcConnection::keep_alive_for(Duration at_most) const {
  if (stage_ != Stage::open || !answered_ || !parser_.keep_alive() || !plain_.empty() ||
      wire_at_ != wire_.size()) {
    return {};
  }
  Duration trusted = at_most;
  // "Keep-Alive: timeout=5, max=100": a second less, for what is on its way.
  (void)http::any_list_member(parser_.header("keep-alive"), [&](std::string_view member) {
    if (!member.starts_with("timeout=")) return false;
    const auto told = http::parse_length(member.substr(8));
    if (told && *told < 3600) trusted = std::min<Duration>(trusted, seconds(static_cast<int64_t>(*told) - 1));
    return true;
  });
  return std::max(trusted, Duration{});
}

void RpcConnection::forget_answer() {
  RC_ASSERT(answered_);
  asked_ = answered_ = answer_begun_ = seen_ = wire_holds_request_ = false;
  parser_.reset();
  body_.clear();
}

}  // namespace ringcast
