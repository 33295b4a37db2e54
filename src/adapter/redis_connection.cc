// RESP over a socket of the adapter's backend. Owned by the Redis adapter; its thread only.
#include "adapter/redis_connection.h"

#include <hiredis/hiredis.h>
#include <netinet/in.h>
#include <netinet/tcp.h>

#include <algorithm>
#include <cerrno>
#include <climits>
#include <system_error>
#include <utility>

#include "base/assert.h"
#include "io/socket.h"

namespace ringcast {
namespace {

// hiredis moves what is left of its buffer to the front after each reply, so it is fed
// little at a time: the moving then costs less than the parsing.
constexpr size_t kFeedBytes = 16 * 1024;

// A reply that never ends would be memory without bound. Redis itself draws the line at 512 MiB.
constexpr size_t kReplyBytesMax = size_t{64} << 20;

std::string words_of(int error) {
  return std::system_category().message(error);
}

}  // namespace

void RedisReplyFree::operator()(redisReply* reply) const {
  freeReplyObject(reply);
}

void RedisConnection::FreeReader::operator()(redisReader* reader) const {
  redisReaderFree(reader);
}

std::string_view reply_text(const redisReply& reply) {
  switch (reply.type) {
    case REDIS_REPLY_STRING:
    case REDIS_REPLY_STATUS:
    case REDIS_REPLY_ERROR:
      return {reply.str, reply.len};
    default:
      return {};
  }
}

RedisConnection::RedisConnection(const RedisUrl& url, std::string client_name,
                                 std::shared_ptr<const ClientTlsContext> tls, uint64_t lane)
    : url_(url), client_name_(std::move(client_name)), tls_context_(std::move(tls)), token_{lane & 1} {}

RedisConnection::~RedisConnection() {
  Descriptor(std::exchange(fd_, -1)).reset();
}

void RedisConnection::open(const EngineAddress& address, Instant deadline,
                           std::vector<Submission>& submissions) {
  RC_ASSERT(stage_ == Stage::closed && fd_ < 0);
  failure_.clear();
  was_ready_ = false;
  token_.value += 2;
  address_ = address;
  plain_.clear();
  wire_.clear();
  wire_at_ = submitted_ = 0;
  appended_ = moved_ = 0;
  waits_writable_ = poll_armed_ = recv_armed_ = cancel_sent_ = paused_ = false;
  greetings_.clear();
  greeted_ = 0;
  inbound_.clear();
  inbound_at_ = 0;
  reader_.reset(redisReaderCreate());
  RC_ASSERT(reader_ != nullptr);

  fd_ = socket(address.storage.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
  if (fd_ < 0) {
    failure_ = "cannot make a socket: " + words_of(errno);
    return;
  }
  if (address.storage.ss_family != AF_UNIX) {
    const int on = 1;
    setsockopt(fd_, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
  }
  stage_ = Stage::connecting;
  deadline_ = deadline;
  submissions.push_back(
      Submission::connect(fd_, token_, reinterpret_cast<const sockaddr*>(&address_.storage), address_.bytes));
}

void RedisConnection::close(std::string why, std::vector<Submission>& submissions) {
  if (fd_ < 0) return;
  failure_ = why.empty() ? "closed" : std::move(why);
  // What was submitted on this descriptor for the turn to come must not follow its close.
  std::erase_if(submissions, [this](const Submission& submission) { return submission.fd == fd_; });
  submissions.push_back(Submission::close(std::exchange(fd_, -1), token_));
  submitted_ = 0;
  was_ready_ = stage_ == Stage::ready;
  stage_ = Stage::closed;
  deadline_ = kNever;
  tls_.reset();
}

bool RedisConnection::fail(std::string why, std::vector<Submission>& submissions) {
  close(std::move(why), submissions);
  return false;
}

// --- Out -----------------------------------------------------------------------------

uint64_t RedisConnection::command(std::span<const std::string_view> words) {
  std::vector<const char*> texts;
  std::vector<size_t> bytes;
  texts.reserve(words.size());
  bytes.reserve(words.size());
  for (const std::string_view word : words) {
    texts.push_back(word.empty() ? "" : word.data());
    bytes.push_back(word.size());
  }
  char* formatted = nullptr;
  const int size =
      redisFormatCommandArgv(&formatted, static_cast<int>(words.size()), texts.data(), bytes.data());
  RC_ASSERT(size > 0);
  const auto* from = reinterpret_cast<const std::byte*>(formatted);
  plain_.insert(plain_.end(), from, from + size);
  redisFreeCommand(formatted);
  appended_ += static_cast<uint64_t>(size);
  return appended_;
}

uint64_t RedisConnection::maybe_seen() const {
  // Of an encrypted batch one cannot say how much of it was readable already: all of it.
  if (tls_context_ != nullptr) return moved_;
  return moved_ - (wire_.size() - wire_at_);
}

void RedisConnection::flush(std::vector<Submission>& submissions) {
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
  if (wire_.empty() && !plain_.empty() && stage_ != Stage::securing) {
    if (tls_ != nullptr) {
      tls_->encrypt(plain_, wire_);
      plain_.clear();
    } else {
      std::swap(wire_, plain_);
    }
    moved_ = appended_;
  }
  if (wire_.empty()) return;
  submitted_ = std::min(wire_.size() - wire_at_, kSendBytesMax);
  submissions.push_back(Submission::send(fd_, token_, Bytes(wire_).subspan(wire_at_, submitted_)));
}

void RedisConnection::short_send(const Completion& completion, std::vector<Submission>& submissions) {
  submitted_ = 0;
  if (completion.result < 0) {
    fail(words_of(-completion.result), submissions);
    return;
  }
  wire_at_ += static_cast<size_t>(completion.result);
  waits_writable_ = true;
}

void RedisConnection::settle_send() {
  wire_at_ += std::exchange(submitted_, 0);
}

// --- In ------------------------------------------------------------------------------

bool RedisConnection::completed(const Completion& completion, std::vector<Submission>& submissions) {
  if (fd_ < 0) return true;  // what a close ended
  switch (completion.operation) {
    case Operation::connect:
      if (completion.result != 0) return fail("cannot connect: " + words_of(-completion.result), submissions);
      return connected(submissions);
    case Operation::recv:
      if (!completion.more) {
        recv_armed_ = false;
        cancel_sent_ = false;
      }
      if (completion.result == -ENOBUFS || completion.result == -ECANCELED) return true;
      if (completion.result < 0) return fail(words_of(-completion.result), submissions);
      if (completion.bytes.empty()) {
        return fail(stage_ == Stage::ready ? "closed by Redis" : "closed by Redis while logging in",
                    submissions);
      }
      return take_bytes(completion.bytes, submissions);
    case Operation::poll_writable:
      waits_writable_ = poll_armed_ = false;
      return true;
    default:
      return true;
  }
}

bool RedisConnection::connected(std::vector<Submission>& submissions) {
  greet();
  if (tls_context_ == nullptr) {
    stage_ = Stage::greeting;
    return true;
  }
  stage_ = Stage::securing;
  tls_ = std::make_unique<ClientTls>(tls_context_, url_.host);
  return take_bytes({}, submissions);
}

bool RedisConnection::take_bytes(Bytes bytes, std::vector<Submission>& submissions) {
  if (inbound_at_ == inbound_.size()) {
    inbound_.clear();
    inbound_at_ = 0;
  }
  if (tls_ == nullptr) {
    inbound_.insert(inbound_.end(), bytes.begin(), bytes.end());
    return true;
  }
  if (!tls_->receive(bytes, inbound_, wire_)) return fail("TLS: " + tls_->failure(), submissions);
  if (stage_ == Stage::securing && tls_->handshake_done()) stage_ = Stage::greeting;
  return true;
}

void RedisConnection::greet() {
  const auto say = [this](Greeting greeting, std::initializer_list<std::string_view> words) {
    command(std::span(words.begin(), words.size()));
    greetings_.push_back(greeting);
  };
  if (!url_.user.empty()) {
    say(Greeting::auth, {"AUTH", url_.user, url_.password});
  } else if (!url_.password.empty()) {
    say(Greeting::auth, {"AUTH", url_.password});
  }
  const std::string database = std::to_string(url_.database);
  if (url_.database != 0) say(Greeting::select, {"SELECT", database});
  if (!client_name_.empty()) say(Greeting::name, {"CLIENT", "SETNAME", client_name_});
  say(Greeting::ping, {"PING"});
}

bool RedisConnection::take_greeting(const redisReply& reply, std::vector<Submission>& submissions) {
  const Greeting greeting = greetings_[greeted_++];
  if (reply.type == REDIS_REPLY_ERROR) {
    const std::string text(reply_text(reply));
    switch (greeting) {
      case Greeting::auth:
        return fail("Redis refuses AUTH: " + text, submissions);
      case Greeting::select:
        return fail("Redis refuses SELECT " + std::to_string(url_.database) + ": " + text, submissions);
      case Greeting::name:
        break;  // some providers forbid CLIENT; it is only a name
      case Greeting::ping:
        // Without permission for PING one may still publish; anything else is a Redis not ready yet.
        if (!text.starts_with("NOPERM")) return fail("Redis says: " + text, submissions);
        break;
    }
  }
  if (greeted_ == greetings_.size()) {
    stage_ = Stage::ready;
    deadline_ = kNever;
  }
  return true;
}

RedisReply RedisConnection::read_reply(std::vector<Submission>& submissions) {
  for (;;) {
    void* reply = nullptr;
    if (redisReaderGetReply(reader_.get(), &reply) != REDIS_OK) {
      fail(std::string("not the Redis protocol: ") + reader_->errstr, submissions);
      return nullptr;
    }
    if (reply != nullptr) return RedisReply(static_cast<redisReply*>(reply));
    const Bytes rest = Bytes(inbound_).subspan(inbound_at_);
    if (rest.empty()) return nullptr;
    if (reader_->len - reader_->pos > kReplyBytesMax) {
      fail("a message of more than 64 MiB", submissions);
      return nullptr;
    }
    const Bytes chunk = rest.first(std::min(rest.size(), kFeedBytes));
    redisReaderFeed(reader_.get(), reinterpret_cast<const char*>(chunk.data()), chunk.size());
    inbound_at_ += chunk.size();
  }
}

RedisReply RedisConnection::next_reply(std::vector<Submission>& submissions) {
  while (fd_ >= 0 || was_ready_) {
    RedisReply reply = read_reply(submissions);
    if (reply == nullptr || stage_ != Stage::greeting) return reply;
    if (!take_greeting(*reply, submissions)) return nullptr;
  }
  return nullptr;
}

}  // namespace ringcast
