// A sink that remembers what an adapter tells it, and lets a test wait for that. Any thread.
#pragma once

#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <functional>
#include <map>
#include <mutex>
#include <string>
#include <string_view>
#include <thread>
#include <vector>

#include "adapter/adapter.h"

namespace ringcast {

class RecordingSink final : public AdapterSink {
 public:
  struct Received {
    std::string stream, payload, excluded_socket;
    friend bool operator==(const Received&, const Received&) = default;
  };
  struct Change {
    bool up;
    milliseconds outage;
  };

  void subscribed(std::string_view stream) override {
    std::lock_guard lock(mutex_);
    ++acknowledged_[std::string(stream)];
    changed_.notify_all();
  }
  bool received(std::string_view stream, Bytes payload, std::string_view excluded_socket) override {
    std::lock_guard lock(mutex_);
    if (full_) {
      ++refused_;
      changed_.notify_all();
      return false;
    }
    received_.push_back({std::string(stream), std::string(as_text(payload)), std::string(excluded_socket)});
    changed_.notify_all();
    return true;
  }
  void state_changed(bool up, milliseconds outage) override {
    std::lock_guard lock(mutex_);
    changes_.push_back({up, outage});
    changed_.notify_all();
  }

  std::string socket_name(const SocketId& socket) const override {
    return "socket-" + std::to_string(socket.secret);
  }

  void set_full(bool full) {
    std::lock_guard lock(mutex_);
    full_ = full;
  }

  // False: it did not happen, however long one waits.
  bool await(const std::function<bool()>& happened) {
    std::unique_lock lock(mutex_);
    return changed_.wait_for(lock, std::chrono::seconds(60), happened);
  }
  bool await_subscribed(const std::string& stream, int times = 1) {
    return await([&] { return acknowledged_[stream] >= times; });
  }
  bool await_subscribed_streams(size_t count, int times = 1) {
    return await([&] {
      size_t streams = 0;
      for (const auto& [stream, acknowledged] : acknowledged_) streams += acknowledged >= times;
      return streams >= count;
    });
  }
  bool await_received(size_t count) {
    return await([&] { return received_.size() >= count; });
  }
  bool await_last(const std::string& payload) {
    return await([&] { return !received_.empty() && received_.back().payload == payload; });
  }
  bool await_refused(uint64_t count) {
    return await([&] { return refused_ >= count; });
  }
  bool await_changes(size_t count) {
    return await([&] { return changes_.size() >= count; });
  }
  // Until so many ups have come.
  bool await_up(size_t times = 1) {
    return await([&] {
      size_t ups = 0;
      for (const Change& change : changes_) ups += change.up;
      return ups >= times;
    });
  }

  std::vector<Received> all_received() {
    std::lock_guard lock(mutex_);
    return received_;
  }
  std::vector<std::string> payloads() {
    std::lock_guard lock(mutex_);
    std::vector<std::string> texts;
    for (const Received& message : received_) texts.push_back(message.payload);
    return texts;
  }
  std::vector<Change> changes() {
    std::lock_guard lock(mutex_);
    return changes_;
  }
  void forget_received() {
    std::lock_guard lock(mutex_);
    received_.clear();
  }

 private:
  std::mutex mutex_;
  std::condition_variable changed_;
  std::map<std::string, int> acknowledged_;
  std::vector<Received> received_;
  std::vector<Change> changes_;
  bool full_ = false;
  uint64_t refused_ = 0;
};

// For what counters tell and no sink does: looks again until it is so.
inline bool await_state(const Adapter& adapter, const std::function<bool(const AdapterState&)>& is_so) {
  const auto give_up_at = std::chrono::steady_clock::now() + std::chrono::seconds(60);
  while (!is_so(adapter.state())) {
    if (std::chrono::steady_clock::now() > give_up_at) return false;
    std::this_thread::sleep_for(std::chrono::milliseconds(2));
  }
  return true;
}

inline MessageRef make_message(std::string_view stream, std::string_view payload) {
  return Message::create(stream, 0, PayloadKind::json, as_bytes(payload));
}

}  // namespace ringcast
