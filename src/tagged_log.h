// A line of an embedder's own: its event and fields, and which connection it is about.
#pragma once

#include <algorithm>
#include <array>
#include <initializer_list>
#include <string_view>
#include <utility>

#include "base/log.h"

namespace ringcast::internal {

// Fields past this many are left out; a line would hardly hold more.
inline constexpr size_t kTaggedFieldsMax = 14;

template <size_t... Index>
void log_fields(Logger& logger, LogLevel level, std::string_view event, const LogField* fields,
                std::index_sequence<Index...>) {
  logger.log(level, event, {fields[Index]...});
}

inline void log_tagged(Logger& logger, LogLevel level, std::string_view event, std::string_view tags,
                       uint64_t connection, std::initializer_list<LogField> fields) {
  if (!logger.enabled(level)) return;
  std::array<LogField, kTaggedFieldsMax + 2> all;
  size_t count = 0;
  if (!tags.empty()) all[count++] = {"tags", tags};
  all[count++] = {"connection", connection};
  const size_t own = std::min(fields.size(), kTaggedFieldsMax);
  std::copy_n(fields.begin(), own, all.begin() + count);
  count += own;
  // An initializer list has its length at compile time: one call for each there may be.
  [&]<size_t... Length>(std::index_sequence<Length...>) {
    ((Length == count ? log_fields(logger, level, event, all.data(), std::make_index_sequence<Length>())
                      : void()),
     ...);
  }
  (std::make_index_sequence<kTaggedFieldsMax + 3>());
}

}  // namespace ringcast::internal
