// An engine that is only a queue and a memory. The thread hands over; any thread puts in.
#include "adapter/test_adapter.h"

#include <chrono>
#include <utility>

#include "base/assert.h"
#include "base/signals_blocked.h"

namespace ringcast {

TestAdapter::~TestAdapter() {
  {
    std::lock_guard lock(mutex_);
    stopping_ = true;
    changed_.notify_all();
  }
  if (thread_.joinable()) thread_.join();
}

void TestAdapter::start(AdapterSink& sink) {
  RC_ASSERT(!thread_.joinable());
  const SignalsBlocked blocked;
  thread_ = std::thread([this, &sink] { run(sink); });
}

void TestAdapter::push(Task task) {
  tasks_.push_back(std::move(task));
  changed_.notify_all();
}

PublishStatus TestAdapter::publish(MessageRef message) {
  std::lock_guard lock(mutex_);
  broadcasts_[std::string(message->stream())].emplace_back(as_text(message->payload()));
  ++state_.published;
  push({.kind = Task::Kind::publish, .message = std::move(message)});
  return PublishStatus::ok;
}

void TestAdapter::subscribe(std::string_view stream) {
  std::lock_guard lock(mutex_);
  push({.kind = Task::Kind::subscribe, .stream = std::string(stream)});
}

void TestAdapter::unsubscribe(std::string_view stream) {
  std::lock_guard lock(mutex_);
  push({.kind = Task::Kind::unsubscribe, .stream = std::string(stream)});
}

AdapterState TestAdapter::state() const {
  std::lock_guard lock(mutex_);
  return state_;
}

std::vector<std::string> TestAdapter::broadcasts(std::string_view stream) const {
  std::lock_guard lock(mutex_);
  const auto found = broadcasts_.find(stream);
  return found == broadcasts_.end() ? std::vector<std::string>() : found->second;
}

std::vector<std::string> TestAdapter::streams() const {
  std::lock_guard lock(mutex_);
  std::vector<std::string> names;
  for (const auto& [name, payloads] : broadcasts_) names.push_back(name);
  return names;
}

void TestAdapter::clear(std::string_view stream) {
  std::lock_guard lock(mutex_);
  if (const auto found = broadcasts_.find(stream); found != broadcasts_.end()) broadcasts_.erase(found);
}

void TestAdapter::clear_all() {
  std::lock_guard lock(mutex_);
  broadcasts_.clear();
}

void TestAdapter::run(AdapterSink& sink) {
  sink.state_changed(true, milliseconds(0));
  std::unique_lock lock(mutex_);
  state_.up = true;
  for (;;) {
    changed_.wait(lock, [this] { return stopping_ || !tasks_.empty(); });
    if (stopping_) return;
    const Task task = std::move(tasks_.front());
    tasks_.pop_front();
    lock.unlock();
    while (!carry_out(task, sink)) {
      std::unique_lock waiting(mutex_);
      if (changed_.wait_for(waiting, milliseconds(1), [this] { return stopping_; })) return;
    }
    lock.lock();
    state_.streams = subscribed_.size();
  }
}

// False: the sink has no room.
bool TestAdapter::carry_out(const Task& task, AdapterSink& sink) {
  switch (task.kind) {
    case Task::Kind::subscribe:
      subscribed_.insert(task.stream);
      sink.subscribed(task.stream);
      return true;
    case Task::Kind::unsubscribe:
      subscribed_.erase(task.stream);
      return true;
    case Task::Kind::publish:
      if (!subscribed_.contains(task.message->stream())) return true;
      if (!sink.received(task.message->stream(), task.message->payload(), {})) return false;
      std::lock_guard lock(mutex_);
      ++state_.received;
      return true;
  }
  return true;
}

}  // namespace ringcast
