// The adapter's inbox. A mutex is good enough: an engine's round trip is a thousand times
// as long as it is ever held. Any thread.
#include "adapter/adapter_queue.h"

#include <iterator>
#include <utility>

namespace ringcast {

PublishStatus AdapterQueue::publish(MessageRef message) {
  const size_t bytes = weight(*message);
  std::unique_lock lock(mutex_);
  // A queue without a message takes one of any size: else a large one could never go.
  const uint64_t waiting = messages();
  if (stopping_ || waiting >= limits_.messages_max ||
      (waiting > 0 && this->bytes() + bytes > limits_.bytes_max)) {
    return PublishStatus::full;
  }
  messages_.fetch_add(1, std::memory_order_relaxed);
  bytes_.fetch_add(bytes, std::memory_order_relaxed);
  publishes_.push_back(std::move(message));
  touch(lock);
  return PublishStatus::ok;
}

void AdapterQueue::request(std::string_view stream, bool wanted) {
  std::unique_lock lock(mutex_);
  requests_.push_back({std::string(stream), wanted});
  touch(lock);
}

void AdapterQueue::stop() {
  std::unique_lock lock(mutex_);
  stopping_ = true;
  touch(lock);
}

void AdapterQueue::touch(std::unique_lock<std::mutex>& lock) {
  if (std::exchange(touched_, true)) return;
  lock.unlock();
  wake_();
}

bool AdapterQueue::take(std::deque<MessageRef>& publishes, std::vector<Request>& requests) {
  std::lock_guard lock(mutex_);
  touched_ = false;
  std::move(publishes_.begin(), publishes_.end(), std::back_inserter(publishes));
  publishes_.clear();
  std::move(requests_.begin(), requests_.end(), std::back_inserter(requests));
  requests_.clear();
  return !stopping_;
}

void AdapterQueue::sent(const Message& message) {
  messages_.fetch_sub(1, std::memory_order_relaxed);
  bytes_.fetch_sub(weight(message), std::memory_order_relaxed);
}

void AdapterQueue::unsent(const Message& message) {
  messages_.fetch_add(1, std::memory_order_relaxed);
  bytes_.fetch_add(weight(message), std::memory_order_relaxed);
}

}  // namespace ringcast
