// What has to be true of somebody who wants to subscribe, join, act or publish, as tables of
// the configuration file say it:
//
//   allow = [{ value = "{identifiers.plan}", in = ["pro", "desk"] },
//            { value = "{params.symbol}", in-list = "{identifiers.symbols}" }]
//
// All of a list have to hold. A value that is missing, or is not single, fulfils nothing but
// `present = false` and `optional = true`: what is not known lets nobody in. Immutable values
// once read; any thread.
#pragma once

#include <bitset>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "app/template.h"

namespace ringcast {

// "a-z0-9_-": which bytes there may be. A '-' that is first or last is itself.
class CharacterSet {
 public:
  static std::optional<CharacterSet> parse(std::string_view text, std::string& error);
  static CharacterSet all();

  bool has(char c) const { return bytes_[static_cast<unsigned char>(c)]; }
  bool holds_all_of(std::string_view text) const;
  const std::bitset<256>& bytes() const { return bytes_; }

 private:
  std::bitset<256> bytes_;
};

// One table. Everything in it has to hold.
struct Condition {
  TextTemplate value;
  std::optional<bool> present;
  bool optional = false;  // it may be missing
  std::optional<TextTemplate> equals;
  std::vector<TextTemplate> in;
  std::optional<Placeholder> in_list;  // an array, such as a claim of a token
  std::vector<std::string> matches;    // one of these, in which * stands for any run of characters
  std::optional<CharacterSet> characters;
  std::optional<uint64_t> max_bytes;
  std::vector<std::vector<Condition>> any;  // or, without a value: all of one of these lists

  bool holds(const TemplateValues& values) const;
  // As a log names it.
  std::string said() const;
};

using Conditions = std::vector<Condition>;

// Null if all hold, else the first that does not.
const Condition* first_unmet(const Conditions& conditions, const TemplateValues& values);

}  // namespace ringcast
