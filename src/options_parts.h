// Options whose text has parts of its own. Values; any thread.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "ringcast/slow_consumer.h"

namespace ringcast {

struct StreamRule {
  std::string pattern;
  SlowConsumer policy;
};

// "ticks:*=latest". Nothing if it is no such rule.
std::optional<StreamRule> parse_stream_policy(std::string_view text);

inline constexpr uint64_t kCoalesceMax_ms = 10'000;

struct CoalescingRule {
  std::string pattern;
  uint64_t interval_ms;
};

// "ticks:*=20". Nothing if it is no such rule.
std::optional<CoalescingRule> parse_coalescing(std::string_view text);

}  // namespace ringcast
