// The adapter for tests of applications: within this process, and it remembers what was
// broadcast to which stream, as Rails' test adapter does. Delivers to this process's
// subscribers as an engine would. Any thread may look at what it remembers.
#pragma once

#include <condition_variable>
#include <cstdint>
#include <deque>
#include <map>
#include <mutex>
#include <set>
#include <string>
#include <string_view>
#include <thread>
#include <vector>

#include "adapter/adapter.h"

namespace ringcast {

class TestAdapter final : public Adapter {
 public:
  TestAdapter() = default;
  ~TestAdapter() override;

  void start(AdapterSink& sink) override;
  PublishStatus publish(MessageRef message) override;
  void subscribe(std::string_view stream) override;
  void unsubscribe(std::string_view stream) override;
  AdapterState state() const override;

  // The payloads published to a stream, oldest first, whether or not anybody listened. What
  // publish() has returned from is there.
  std::vector<std::string> broadcasts(std::string_view stream) const;
  // The streams that were published to.
  std::vector<std::string> streams() const;
  void clear(std::string_view stream);
  void clear_all();

 private:
  // What the thread is to do; in one queue, so that a publish after a subscribe finds it there.
  struct Task {
    enum class Kind : uint8_t { publish, subscribe, unsubscribe } kind;
    MessageRef message = {};
    std::string stream = {};
  };

  void push(Task task);
  void run(AdapterSink& sink);
  bool carry_out(const Task& task, AdapterSink& sink);

  mutable std::mutex mutex_;  // guards what follows
  std::condition_variable changed_;
  std::deque<Task> tasks_;
  std::map<std::string, std::vector<std::string>, std::less<>> broadcasts_;
  AdapterState state_;
  bool stopping_ = false;

  std::set<std::string, std::less<>> subscribed_;  // the thread's
  std::thread thread_;
};

}  // namespace ringcast
