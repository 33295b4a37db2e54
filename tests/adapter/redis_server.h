// A redis-server of a test's own, and a client to look at it and to disturb it. One thread.
#pragma once

#include <hiredis/hiredis.h>
#include <signal.h>

#include <memory>
#include <string>
#include <vector>

#include "adapter/engine_process.h"

namespace ringcast {

class RedisServer {
 public:
  // `settings`: lines of redis.conf beyond port and folder.
  explicit RedisServer(std::string settings = {}, std::string password = {})
      : port_(free_tcp_port()), password_(std::move(password)) {
    write_file(folder_.path() + "/redis.conf",
               "bind 127.0.0.1\nport " + std::to_string(port_) + "\nunixsocket " + socket_path() + "\ndir " +
                   folder_.path() + "\nsave \"\"\nappendonly no\n" + settings +
                   (password_.empty() ? "" : "requirepass " + password_ + "\n"));
    start();
  }

  void start() {
    process_.start({"redis-server", folder_.path() + "/redis.conf"}, folder_.path() + "/log");
    await_engine("redis-server to start: " + folder_.path(), [this] {
      client_ = connect();
      return client_ != nullptr && text({"PING"}) == "PONG";
    });
  }
  void kill() { process_.end(SIGKILL); }
  void hang() { process_.signal(SIGSTOP); }
  void wake() { process_.signal(SIGCONT); }

  uint16_t port() const { return port_; }
  const std::string& folder() const { return folder_.path(); }
  std::string socket_path() const { return folder_.path() + "/redis.sock"; }

  // The answer as text: of a string, a status, an error or a number; of an array its
  // elements, one a line.
  std::string text(const std::vector<std::string>& words) {
    std::vector<const char*> texts;
    std::vector<size_t> bytes;
    for (const std::string& word : words) {
      texts.push_back(word.data());
      bytes.push_back(word.size());
    }
    auto* reply = static_cast<redisReply*>(
        redisCommandArgv(client_.get(), static_cast<int>(words.size()), texts.data(), bytes.data()));
    if (reply == nullptr) return "no answer";
    const std::string answer = text(*reply);
    freeReplyObject(reply);
    return answer;
  }

 private:
  struct Free {
    void operator()(redisContext* context) const { redisFree(context); }
  };
  using Client = std::unique_ptr<redisContext, Free>;

  static std::string text(const redisReply& reply) {
    switch (reply.type) {
      case REDIS_REPLY_INTEGER:
        return std::to_string(reply.integer);
      case REDIS_REPLY_ARRAY: {
        std::string lines;
        for (size_t i = 0; i < reply.elements; ++i) lines += text(*reply.element[i]) + "\n";
        return lines;
      }
      default:
        return reply.str == nullptr ? "" : std::string(reply.str, reply.len);
    }
  }

  Client connect() {
    Client client(redisConnectUnix(socket_path().c_str()));
    if (client == nullptr || client->err != 0) return nullptr;
    if (!password_.empty()) freeReplyObject(redisCommand(client.get(), "AUTH %s", password_.c_str()));
    return client;
  }

  TemporaryFolder folder_;
  const uint16_t port_;
  const std::string password_;
  EngineProcess process_;
  Client client_;
};

}  // namespace ringcast
