#include "app/condition.h"

#include <algorithm>

#include "ringcast/options.h"

namespace ringcast {

std::optional<CharacterSet> CharacterSet::parse(std::string_view text, std::string& error) {
  CharacterSet set;
  for (size_t i = 0; i < text.size(); ++i) {
    const auto first = static_cast<unsigned char>(text[i]);
    auto last = first;
    if (i + 2 < text.size() && text[i + 1] == '-') {
      last = static_cast<unsigned char>(text[i + 2]);
      i += 2;
    }
    if (first >= 0x80 || last >= 0x80) {
      error = "only ASCII can be listed";
      return std::nullopt;
    }
    if (first > last) {
      error = "the range ";
      error.append(1, static_cast<char>(first)).append("-").append(1, static_cast<char>(last));
      error += " is empty";
      return std::nullopt;
    }
    for (size_t byte = first; byte <= last; ++byte) set.bytes_.set(byte);
  }
  if (set.bytes_.none()) {
    error = "it lists no characters";
    return std::nullopt;
  }
  return set;
}

CharacterSet CharacterSet::all() {
  CharacterSet set;
  set.bytes_.set();
  return set;
}

bool CharacterSet::holds_all_of(std::string_view text) const {
  return std::ranges::all_of(text, [this](char c) { return has(c); });
}

bool Condition::holds(const TemplateValues& values) const {
  if (!any.empty()) {
    return std::ranges::any_of(any,
                               [&](const Conditions& all) { return first_unmet(all, values) == nullptr; });
  }
  if (present || optional) {
    // An object or an array is there, and nothing that can be compared.
    Json made;
    const Placeholder* const one = value.bare();
    const bool there = one == nullptr || !one->find(values, made).is_null();
    if (present && *present != there) return false;
    if (!there) return true;
  }
  const bool compares = equals || !in.empty() || in_list || !matches.empty() || characters || max_bytes;
  if (!compares && present) return true;
  const std::optional<std::string> found = value.operand(values);
  if (!found) return false;
  if (equals && equals->operand(values) != found) return false;
  if (!in.empty() &&
      std::ranges::none_of(in, [&](const TextTemplate& one) { return one.operand(values) == found; })) {
    return false;
  }
  if (in_list) {
    Json made;
    const Json& list = in_list->find(values, made);
    if (std::ranges::none_of(list.elements(), [&](const Json& one) {
          return !one.is_null() && !one.is_array() && !one.is_object() && one.text() == *found;
        })) {
      return false;
    }
  }
  if (!matches.empty() && std::ranges::none_of(matches, [&](const std::string& pattern) {
        return matches_pattern(pattern, *found);
      })) {
    return false;
  }
  if (characters && !characters->holds_all_of(*found)) return false;
  return !max_bytes || found->size() <= *max_bytes;
}

std::string Condition::said() const {
  return any.empty() ? value.text() : "none of several";
}

const Condition* first_unmet(const Conditions& conditions, const TemplateValues& values) {
  for (const Condition& condition : conditions) {
    if (!condition.holds(values)) return &condition;
  }
  return nullptr;
}

}  // namespace ringcast
