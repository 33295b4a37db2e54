// A number that is the whole of a text. Values only; any thread.
#pragma once

#include <charconv>
#include <optional>
#include <string_view>
#include <system_error>

namespace ringcast {

// Digits of `base`, with a '-' in front where T has a sign. Nothing when the text is
// empty, anything else stands in it, or T does not hold the number.
template <class T>
std::optional<T> parse_number(std::string_view text, int base = 10) {
  T number{};
  const char* const end = text.data() + text.size();
  const auto [at, error] = std::from_chars(text.data(), end, number, base);
  if (error != std::errc() || at != end) return std::nullopt;
  return number;
}

}  // namespace ringcast
