// Latencies as a histogram with a bounded relative error: 64 buckets to each power of
// two of nanoseconds, so every percentile is within 1.6 %, and the maximum is exact.
// 30 KiB whatever it holds; adding costs one increment. One thread.
#pragma once

#include <array>
#include <bit>
#include <cstdint>

namespace load {

class Histogram {
 public:
  void add(uint64_t ns, uint64_t times = 1) {
    buckets_[bucket_of(ns)] += times;
    count_ += times;
    sum_ += ns * times;
    if (ns > max_) max_ = ns;
  }

  void add(const Histogram& other) {
    for (uint32_t i = 0; i < buckets_.size(); ++i) buckets_[i] += other.buckets_[i];
    count_ += other.count_;
    sum_ += other.sum_;
    if (other.max_ > max_) max_ = other.max_;
  }

  uint64_t count() const { return count_; }
  uint64_t max() const { return max_; }
  double mean() const { return count_ == 0 ? 0 : static_cast<double>(sum_) / static_cast<double>(count_); }

  // The least value that at least this share of all do not exceed; 0 if there were none.
  uint64_t percentile(double percent) const {
    const double wanted = percent / 100 * static_cast<double>(count_);
    uint64_t seen = 0;
    for (uint32_t i = 0; i < buckets_.size(); ++i) {
      seen += buckets_[i];
      if (seen > 0 && static_cast<double>(seen) >= wanted) return upper_end(i) < max_ ? upper_end(i) : max_;
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
  uint64_t sum_ = 0;
  uint64_t max_ = 0;
};

}  // namespace load
