// What happened in a run, in order: a hash of it, and the lines themselves on demand.
// Two runs of one seed must have one hash; where they part, the lines say. Values and
// names only, never an address. One thread.
#pragma once

#include <cstdint>
#include <cstdio>
#include <string_view>

#include "base/bytes.h"
#include "base/hash.h"
#include "base/time.h"

namespace ringcast::sim {

class Trace {
 public:
  uint64_t hash() const { return hash_; }
  uint64_t events() const { return events_; }

  // From now on every event is a line there.
  void print_to(std::FILE* file) { file_ = file; }
  bool printing() const { return file_ != nullptr; }

  // `who` is a token of that shard's.
  void note(Instant now, unsigned shard, std::string_view what, uint64_t who, int64_t result,
            Bytes bytes = {}) {
    ++events_;
    mix(shard);
    mix(static_cast<uint64_t>(now.time_since_epoch().count()));
    mix(hash64(what));
    mix(who);
    mix(static_cast<uint64_t>(result));
    if (!bytes.empty()) mix(hash64(as_text(bytes)));
    if (file_ == nullptr) return;
    const double ms = static_cast<double>(now.time_since_epoch().count()) / 1e6;
    std::fprintf(file_, "%11.3f  shard %u  %-8.*s %10llx  %lld", ms, shard, static_cast<int>(what.size()),
                 what.data(), static_cast<unsigned long long>(who), static_cast<long long>(result));
    if (!bytes.empty()) {
      std::fputs("  ", file_);
      for (const std::byte byte : bytes.first(bytes.size() < kShownBytes ? bytes.size() : kShownBytes)) {
        const auto c = static_cast<unsigned char>(byte);
        std::fputc(c >= 0x20 && c < 0x7f ? c : '.', file_);
      }
    }
    std::fputc('\n', file_);
  }

 private:
  static constexpr size_t kShownBytes = 100;

  void mix(uint64_t value) {
    hash_ = (hash_ ^ value) * 0x9e3779b97f4a7c15;
    hash_ ^= hash_ >> 32;
  }

  uint64_t hash_ = 0;
  uint64_t events_ = 0;
  std::FILE* file_ = nullptr;
};

}  // namespace ringcast::sim
