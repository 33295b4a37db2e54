// One connection to Redis: commands out, replies in. hiredis formats the commands and
// reads the replies; sockets, waiting and TLS are ours. Logs in by itself (AUTH, SELECT,
// CLIENT SETNAME) and is ready once Redis has answered all of that. Owned by the Redis
// adapter; its thread only.
//
// Commands are numbered by the bytes they end at, so that after a break one knows which
// of them Redis can have seen.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "adapter/client_stream.h"
#include "adapter/redis_url.h"
#include "base/bytes.h"
#include "base/time.h"
#include "io/backend.h"

struct redisReader;
struct redisReply;

namespace ringcast {

struct RedisReplyFree {
  void operator()(redisReply* reply) const;
};
using RedisReply = std::unique_ptr<redisReply, RedisReplyFree>;

// A string of a reply, or of an array's element; empty for what has no text.
std::string_view reply_text(const redisReply& reply);

class RedisConnection {
 public:
  enum class Stage : uint8_t { closed, connecting, securing, greeting, ready };

  // `lane` sets its tokens apart from those of other connections on the same backend.
  RedisConnection(const RedisUrl& url, std::string client_name, std::shared_ptr<const ClientTlsContext> tls,
                  uint64_t lane);
  RedisConnection(const RedisConnection&) = delete;
  RedisConnection& operator=(const RedisConnection&) = delete;

  Stage stage() const;
  bool ready() const { return stage() == Stage::ready; }
  // Why it closed; empty as long as it has not.
  const std::string& failure() const { return failure_; }

  // REQUIRES: closed. It must be ready by `deadline`.
  void open(const EngineAddress& address, Instant deadline, std::vector<Submission>& submissions);
  // Closes; maybe_seen() stays readable until the next open().
  void close(std::string why, std::vector<Submission>& submissions);
  Instant deadline() const { return deadline_; }  // kNever once ready

  // --- Commands ------------------------------------------------------------------------
  // Appends one; it goes with the next flush. Returns the byte that it ends before.
  uint64_t command(std::span<const std::string_view> words);
  size_t unsent_bytes() const { return stream_.unsent_bytes(); }
  // Redis may have seen the commands that end at or before this byte, and no others.
  uint64_t maybe_seen() const;

  // --- A turn --------------------------------------------------------------------------
  void flush(std::vector<Submission>& submissions) { stream_.flush(submissions); }
  bool owns(Token token) const { return stream_.owns(token); }
  void short_send(const Completion& completion, std::vector<Submission>& submissions);
  // After the short sends, before all else: what was submitted and is not short is gone.
  void settle_send() { stream_.settle_send(); }
  // False: closed, see failure().
  bool completed(const Completion& completion, std::vector<Submission>& submissions);
  // The next reply that belongs to a command of ours or that Redis pushed; empty when more
  // bytes are needed, or when the connection failed. What came before it closed is still to be had.
  RedisReply next_reply(std::vector<Submission>& submissions);

  // A paused connection asks the kernel for nothing more.
  void pause(bool paused) { stream_.pause(paused); }

 private:
  bool fail(std::string why, std::vector<Submission>& submissions);
  bool take_news(ClientStream::News news, std::vector<Submission>& submissions);
  void greet();
  bool take_greeting(const redisReply& reply, std::vector<Submission>& submissions);
  RedisReply read_reply(std::vector<Submission>& submissions);

  enum class Greeting : uint8_t { auth, select, name, ping };

  const RedisUrl url_;
  const std::string client_name_;

  ClientStream stream_;
  std::string failure_;
  bool greeted_all_ = false;  // Redis has answered all of it
  bool was_ready_ = false;    // when it closed
  Instant deadline_ = kNever;

  std::vector<Greeting> greetings_;  // the answers awaited
  size_t greeted_ = 0;
  struct FreeReader {
    void operator()(redisReader* reader) const;
  };
  std::unique_ptr<redisReader, FreeReader> reader_;
  std::vector<std::byte> inbound_;
  size_t inbound_at_ = 0;
};

}  // namespace ringcast
