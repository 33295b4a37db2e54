// Bytes whose end lies flush against a page nobody may touch: one octet read or written
// too far is a crash, with or without a sanitizer. Owned by the test that makes it.
#pragma once

#include <sys/mman.h>
#include <unistd.h>

#include <cstddef>
#include <cstdlib>
#include <cstring>
#include <span>
#include <string_view>

namespace ringcast {

class GuardedBytes {
 public:
  explicit GuardedBytes(std::string_view content) : size_(content.size()) {
    const auto page = static_cast<size_t>(sysconf(_SC_PAGESIZE));
    room_ = (size_ + page - 1) / page * page;
    mapped_ = room_ + page;
    void* memory = mmap(nullptr, mapped_, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (memory == MAP_FAILED) std::abort();
    memory_ = static_cast<std::byte*>(memory);
    if (mprotect(memory_ + room_, page, PROT_NONE) != 0) std::abort();
    if (size_ > 0) std::memcpy(memory_ + room_ - size_, content.data(), size_);
  }
  ~GuardedBytes() { munmap(memory_, mapped_); }
  GuardedBytes(const GuardedBytes&) = delete;
  GuardedBytes& operator=(const GuardedBytes&) = delete;

  std::span<std::byte> bytes() { return {memory_ + room_ - size_, size_}; }

 private:
  size_t size_;
  size_t room_;
  size_t mapped_;
  std::byte* memory_;
};

}  // namespace ringcast
