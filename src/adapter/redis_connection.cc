// RESP over a socket of the adapter's backend. Owned by the Redis adapter; its thread only.
#include "adapter/redis_connection.h"

#include <hiredis/hiredis.h>

#include <algorithm>
#include <utility>

#include "base/assert.h"

namespace ringcast {
namespace {

// hiredis moves what is left of its buffer to the front after each reply, so it is fed
// little at a time: the moving then costs less than the parsing.
constexpr size_t kFeedBytes = 16 * 1024;

// A reply that never ends would be memory without bound. Redis itself draws the line at 512 MiB.
constexpr size_t kReplyBytesMax = size_t{64} << 20;

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
    : url_(url),
      client_name_(std::move(client_name)),
      // The lowest bit tells connections apart.
      stream_(Token{lane & 1}, 2, url.host, std::move(tls)) {}

RedisConnection::Stage RedisConnection::stage() const {
  switch (stream_.stage()) {
    case ClientStream::Stage::closed:
      return Stage::closed;
    case ClientStream::Stage::connecting:
      return Stage::connecting;
    case ClientStream::Stage::securing:
      return Stage::securing;
    case ClientStream::Stage::open:
      break;
  }
  return greeted_all_ ? Stage::ready : Stage::greeting;
}

void RedisConnection::open(const EngineAddress& address, Instant deadline,
                           std::vector<Submission>& submissions) {
  was_ready_ = greeted_all_ = false;
  greetings_.clear();
  greeted_ = 0;
  inbound_.clear();
  inbound_at_ = 0;
  reader_.reset(redisReaderCreate());
  RC_ASSERT(reader_ != nullptr);
  failure_ = stream_.open(address, submissions);
  if (failure_.empty()) deadline_ = deadline;
}

void RedisConnection::close(std::string why, std::vector<Submission>& submissions) {
  if (!stream_.is_open()) return;
  failure_ = why.empty() ? "closed" : std::move(why);
  was_ready_ = ready();
  deadline_ = kNever;
  stream_.close(submissions);
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
  stream_.append(Bytes(reinterpret_cast<const std::byte*>(formatted), static_cast<size_t>(size)));
  redisFreeCommand(formatted);
  return stream_.appended();
}

uint64_t RedisConnection::maybe_seen() const {
  // Of an encrypted batch one cannot say how much of it was readable already: all of it.
  if (stream_.secured()) return stream_.moved();
  return stream_.moved() - stream_.under_way_bytes();
}

// --- A turn --------------------------------------------------------------------------

void RedisConnection::short_send(const Completion& completion, std::vector<Submission>& submissions) {
  take_news(stream_.short_send(completion), submissions);
}

bool RedisConnection::completed(const Completion& completion, std::vector<Submission>& submissions) {
  if (inbound_at_ == inbound_.size()) {
    inbound_.clear();
    inbound_at_ = 0;
  }
  return take_news(stream_.completed(completion, inbound_), submissions);
}

bool RedisConnection::take_news(ClientStream::News news, std::vector<Submission>& submissions) {
  using Kind = ClientStream::News::Kind;
  switch (news.kind) {
    case Kind::none:
    case Kind::bytes:
      return true;
    case Kind::connected:
      greet();
      return true;
    case Kind::ended:
      if (news.why.empty()) news.why = ready() ? "closed by Redis" : "closed by Redis while logging in";
      [[fallthrough]];
    case Kind::failed:
      return fail(std::move(news.why), submissions);
  }
  RC_ASSERT(false);
  return false;
}

// --- Logging in ----------------------------------------------------------------------

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
    greeted_all_ = true;
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
  while (stream_.is_open() || was_ready_) {
    RedisReply reply = read_reply(submissions);
    if (reply == nullptr || stage() != Stage::greeting) return reply;
    if (!take_greeting(*reply, submissions)) return nullptr;
  }
  return nullptr;
}

}  // namespace ringcast
