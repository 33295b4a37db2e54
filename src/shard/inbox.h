// Where other threads leave work for a shard: messages to publish (bounded) and
// tasks (drain, stop, reload). Off the hot path, so a mutex is good enough; any
// thread may write, the shard alone takes.
#pragma once

#include <atomic>
#include <cstddef>
#include <functional>
#include <mutex>
#include <utility>
#include <vector>

#include "shard/mailbox.h"
#include "shard/message.h"

namespace ringcast {

class Shard;

class Inbox {
 public:
  using Task = std::function<void(Shard&)>;

  explicit Inbox(size_t messages_max) : messages_max_(messages_max) {}

  // Any thread. False if the inbox is full, or closed.
  bool publish(MessageRef message) {
    std::lock_guard lock(mutex_);
    if (closed_ || messages_.size() + reserved_ >= messages_max_) return false;
    messages_.push_back(std::move(message));
    waiting_.store(true, std::memory_order_release);  // pairs with waiting()
    return true;
  }

  // For several messages that are published together or not at all, here and in other
  // inboxes: room is reserved everywhere first, then used or given back.
  bool reserve(size_t count) {
    std::lock_guard lock(mutex_);
    if (closed_ || messages_.size() + reserved_ + count > messages_max_) return false;
    reserved_ += count;
    return true;
  }
  void give_back(size_t count) {
    std::lock_guard lock(mutex_);
    reserved_ -= count;
  }
  void publish_reserved(std::vector<MessageRef>& messages) {
    std::lock_guard lock(mutex_);
    reserved_ -= messages.size();
    if (closed_) return;
    for (MessageRef& message : messages) messages_.push_back(std::move(message));
    waiting_.store(true, std::memory_order_release);  // pairs with waiting()
  }

  void post(Task task) {
    std::lock_guard lock(mutex_);
    tasks_.push_back(std::move(task));
    waiting_.store(true, std::memory_order_release);  // pairs with waiting()
  }
  // For a task that would be of no use to a shard that has ended.
  bool post_unless_closed(Task task) {
    std::lock_guard lock(mutex_);
    if (closed_) return false;
    tasks_.push_back(std::move(task));
    waiting_.store(true, std::memory_order_release);  // pairs with waiting()
    return true;
  }

  // No publish is taken any more: its shard has ended.
  void close() {
    std::lock_guard lock(mutex_);
    closed_ = true;
  }

  // The shard. Everything that waits; messages only if they are asked for.
  bool waiting() const { return waiting_.load(std::memory_order_acquire); }
  void take(std::vector<MessageRef>* messages, std::vector<Task>& tasks) {
    std::lock_guard lock(mutex_);
    std::swap(tasks, tasks_);
    if (messages != nullptr) std::swap(*messages, messages_);
    waiting_.store(!messages_.empty(), std::memory_order_relaxed);
  }

 private:
  const size_t messages_max_;
  mutable std::mutex mutex_;
  std::vector<MessageRef> messages_;
  size_t reserved_ = 0;
  std::vector<Task> tasks_;
  bool closed_ = false;
  std::atomic<bool> waiting_{false};
};

}  // namespace ringcast
