// A stream's name, which the hub of each shard that listens and that of its home refer to:
// most streams have one listener, and would else keep it twice. Immutable and atomically
// counted; the last holder on whatever thread frees it.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <new>
#include <string_view>
#include <utility>

namespace ringcast {

class StreamName {
 public:
  StreamName() = default;
  explicit StreamName(std::string_view text)
      : shared_(new (::operator new(sizeof(Shared) + text.size()))
                    Shared{.bytes = static_cast<uint32_t>(text.size())}) {
    if (!text.empty()) std::memcpy(static_cast<void*>(shared_ + 1), text.data(), text.size());
  }
  StreamName(const StreamName& other) : shared_(other.shared_) {
    if (shared_ != nullptr) shared_->references.fetch_add(1, std::memory_order_relaxed);
  }
  StreamName(StreamName&& other) noexcept : shared_(std::exchange(other.shared_, nullptr)) {}
  StreamName& operator=(StreamName other) noexcept {
    std::swap(shared_, other.shared_);
    return *this;
  }
  ~StreamName() {
    // acq_rel: the last holder must see every other holder's reads finished.
    if (shared_ != nullptr && shared_->references.fetch_sub(1, std::memory_order_acq_rel) == 1) {
      ::operator delete(shared_);
    }
  }

  // Not of one that was made of nothing.
  std::string_view text() const { return {reinterpret_cast<const char*>(shared_ + 1), shared_->bytes}; }

  friend bool operator==(const StreamName& name, std::string_view text) { return name.text() == text; }

 private:
  struct Shared {
    std::atomic<uint32_t> references{1};
    uint32_t bytes;  // of the text behind it
  };

  Shared* shared_ = nullptr;
};

}  // namespace ringcast
