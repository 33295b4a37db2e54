// Latencies as a histogram with a bounded relative error: 64 buckets to each power of
// two of nanoseconds, so every percentile is within 1.6 %, and the maximum is exact.
#pragma once

#include <array>
#include <bit>
#include <cstdint>

class Histogram {
 public:
  void add(uint64_t ns) {
    ++buckets_[bucket_of(ns)];
    ++count_;
    if (ns > max_) max_ = ns;
  }

  uint64_t count() const { return count_; }
  uint64_t max() const { return max_; }

  // The latency that `fraction` of all did not exceed; 0 if there were none.
  uint64_t percentile(double fraction) const {
    const auto wanted = static_cast<uint64_t>(fraction * static_cast<double>(count_));
    uint64_t seen = 0;
    for (uint32_t i = 0; i < buckets_.size(); ++i) {
      seen += buckets_[i];
      if (seen > wanted) return upper_end(i) < max_ ? upper_end(i) : max_;
    }
    return max_;
  }

 private:
  static constexpr uint32_t kBits = 6;

  static uint32_t bucket_of(uint64_t ns) {
    const auto width = static_cast<uint32_t>(std::bit_width(ns));
    if (width <= kBits) return static_cast<uint32_t>(ns);
    const uint32_t shift = width - kBits - 1;
    return ((shift + 1) << kBits) + static_cast<uint32_t>(ns >> shift) - (1u << kBits);
  }
  static uint64_t upper_end(uint32_t bucket) {
    if (bucket < (1u << kBits)) return bucket;
    const uint32_t shift = (bucket >> kBits) - 1;
    return ((uint64_t{bucket & ((1u << kBits) - 1)} + (1u << kBits) + 1) << shift) - 1;
  }

  std::array<uint64_t, (64 - kBits + 1) << kBits> buckets_{};
  uint64_t count_ = 0;
  uint64_t max_ = 0;
};
