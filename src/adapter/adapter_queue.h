// What other threads ask of an adapter: publishes, bounded by number and by bytes, and
// changes of what is subscribed, which the server bounds. Any thread puts in; the
// adapter's thread takes all of it at once.
#pragma once

#include <atomic>
#include <cstdint>
#include <deque>
#include <functional>
#include <mutex>
#include <string>
#include <string_view>
#include <vector>

#include "shard/message.h"

namespace ringcast {

struct AdapterLimits {
  size_t messages_max = 65536;          // published here and not sent yet
  size_t bytes_max = size_t{64} << 20;  // their payloads and stream names
};

class AdapterQueue {
 public:
  struct Request {
    std::string stream;
    bool wanted;
  };

  // `wake` ends the adapter's sleep, or its next one. Called on any thread.
  AdapterQueue(const AdapterLimits& limits, std::function<void()> wake)
      : limits_(limits), wake_(std::move(wake)) {}

  // --- Any thread ---------------------------------------------------------------------
  PublishStatus publish(MessageRef message);
  void request(std::string_view stream, bool wanted);
  void stop();

  uint64_t messages() const { return messages_.load(std::memory_order_relaxed); }
  uint64_t bytes() const { return bytes_.load(std::memory_order_relaxed); }

  // --- The adapter's thread -----------------------------------------------------------
  // Appends all that came since the last time. False once stop() was called.
  bool take(std::deque<MessageRef>& publishes, std::vector<Request>& requests);

  // A message taken has been sent; or was not, after all, and waits again.
  void sent(const Message& message);
  void unsent(const Message& message);

  static size_t weight(const Message& message) { return message.stream().size() + message.payload().size(); }

 private:
  void touch(std::unique_lock<std::mutex>& lock);

  const AdapterLimits limits_;
  const std::function<void()> wake_;

  // What waits, here and with the adapter. Added to under mutex_, so that the bounds hold;
  // the adapter's thread takes off as it sends.
  std::atomic<uint64_t> messages_{0};
  std::atomic<uint64_t> bytes_{0};

  std::mutex mutex_;  // guards what follows
  std::vector<MessageRef> publishes_;
  std::vector<Request> requests_;
  bool stopping_ = false;
  bool touched_ = false;  // since the last take(): only the first to touch needs to wake
};

}  // namespace ringcast
