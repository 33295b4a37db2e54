// Patterns in which `*` stands for any run of characters, as stream names are chosen
// by. A pure function; any thread.
#pragma once

#include <cstddef>
#include <string_view>

namespace ringcast {

// Whether all of `text` matches. At most pattern × text steps, whatever the pattern.
constexpr bool glob_match(std::string_view pattern, std::string_view text) {
  size_t p = 0, t = 0;
  // Where to go on when what follows the last star turns out not to match here.
  size_t star = std::string_view::npos, resume = 0;
  while (t < text.size()) {
    if (p < pattern.size() && pattern[p] == '*') {
      star = p++;
      resume = t;
    } else if (p < pattern.size() && pattern[p] == text[t]) {
      ++p;
      ++t;
    } else if (star != std::string_view::npos) {
      p = star + 1;
      t = ++resume;
    } else {
      return false;
    }
  }
  while (p < pattern.size() && pattern[p] == '*') ++p;
  return p == pattern.size();
}

}  // namespace ringcast
