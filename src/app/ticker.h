// The demo's market: a handful of symbols, each on a random walk from a fixed seed,
// published from one thread of its own as any feed handler would.
#pragma once

#include <condition_variable>
#include <mutex>
#include <thread>

namespace ringcast {

class Server;

class Ticker {
 public:
  // Publishes until destroyed; `server` has started and is stopped no sooner.
  explicit Ticker(Server& server);
  ~Ticker();
  Ticker(const Ticker&) = delete;
  Ticker& operator=(const Ticker&) = delete;

 private:
  void run(Server& server);

  std::mutex mutex_;
  std::condition_variable stopped_;
  bool stopping_ = false;  // guarded by mutex_
  std::thread thread_;     // last: it uses all of the above
};

}  // namespace ringcast
