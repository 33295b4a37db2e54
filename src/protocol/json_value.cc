// ringcast::Json, the value: building, reading, changing and writing it. What
// reads text into one is json.cc. No state of its own; any thread.
#include <algorithm>
#include <array>
#include <charconv>
#include <cmath>
#include <utility>

#include "protocol/json.h"
#include "ringcast/json.h"

namespace ringcast {

static_assert(sizeof(Json) <= 40, "ringcast/json.h says what a value costs");

namespace {

// What operator[] answers where there is nothing. Never destroyed, so that it
// also holds for values read while the process ends.
const Json& null_json() {
  static const Json* const null = new Json;
  return *null;
}

// A number's text taken apart: its value is 0.d1d2d3… * 10^exponent with d1
// not zero, or zero if there are no digits. The exponent saturates far beyond
// what any type holds: "1e99999999999" is legal JSON.
struct Decimal {
  bool negative = false;
  std::string digits;  // without leading and trailing zeros
  int64_t exponent = 0;
};

Decimal take_apart(std::string_view token) {
  constexpr int64_t kExponentMax = int64_t{1} << 40;

  Decimal decimal;
  size_t at = 0;
  if (token.starts_with('-')) {
    decimal.negative = true;
    at = 1;
  }
  bool in_fraction = false;
  for (; at < token.size() && token[at] != 'e' && token[at] != 'E'; ++at) {
    if (token[at] == '.') {
      in_fraction = true;
    } else if (decimal.digits.empty() && token[at] == '0') {
      if (in_fraction) --decimal.exponent;
    } else {
      decimal.digits += token[at];
      if (!in_fraction) ++decimal.exponent;
    }
  }
  while (decimal.digits.ends_with('0')) decimal.digits.pop_back();

  if (at < token.size()) {
    std::string_view power = token.substr(at + 1);
    if (power.starts_with('+')) power.remove_prefix(1);
    int64_t value = 0;
    const auto [end, error] = std::from_chars(power.data(), power.data() + power.size(), value);
    if (error != std::errc()) value = power.starts_with('-') ? -kExponentMax : kExponentMax;
    decimal.exponent += std::clamp(value, -kExponentMax, kExponentMax);
  }
  return decimal;
}

template <class Number>
std::string to_token(Number value) {
  std::array<char, 24> text;
  const auto [end, error] = std::to_chars(text.data(), text.data() + text.size(), value);
  return std::string(text.data(), end);
}

std::string double_token(double value) {
  // Plain digits where a reader expects them, as JavaScript does; to_chars left
  // to itself would write 100000 as 1e+05. The longest is -1.234…e-06 in fixed form.
  std::array<char, 64> text;
  const double magnitude = std::fabs(value);
  const bool plain = magnitude == 0 || (magnitude >= 1e-6 && magnitude < 1e21);
  const auto format = plain ? std::chars_format::fixed : std::chars_format::scientific;
  const auto [end, error] = std::to_chars(text.data(), text.data() + text.size(), value, format);
  return std::string(text.data(), end);
}

}  // namespace

Json::Json() noexcept = default;
Json::Json(std::nullptr_t) noexcept {}
Json::Json(const Json&) = default;
Json::~Json() = default;

// The variant alone would leave a moved-from value of the old kind, of whatever
// content; null is something to rely on.
Json::Json(Json&& other) noexcept : value_(std::exchange(other.value_, std::monostate())) {}

// Both take the new value out first: `other` may be an element of this very value.
Json& Json::operator=(const Json& other) {
  Value copied = other.value_;
  value_ = std::move(copied);
  return *this;
}

Json& Json::operator=(Json&& other) noexcept {
  Value taken = std::exchange(other.value_, std::monostate());
  value_ = std::move(taken);
  return *this;
}

Json::Json(std::string value) noexcept : value_(std::move(value)) {}
Json::Json(std::string_view value) : value_(std::string(value)) {}

Json::Json(const char* value) {
  if (value != nullptr) value_ = std::string(value);
}

Json::Json(std::initializer_list<Member> members) : value_(std::vector<Member>()) {
  for (const Member& member : members) set(member.key, member.value);
}

Json Json::object() {
  Json json;
  json.value_ = std::vector<Member>();
  return json;
}

Json Json::array(std::initializer_list<Json> elements) {
  Json json;
  json.value_ = std::vector<Json>(elements);
  return json;
}

Json Json::number(std::string token) {
  Json json;
  if (is_json_number(token)) json.value_ = Number{std::move(token)};
  return json;
}

void Json::assign_integer(int64_t value) {
  value_ = Number{to_token(value)};
}

void Json::assign_integer(uint64_t value) {
  value_ = Number{to_token(value)};
}

void Json::assign_double(double value) {
  if (std::isfinite(value)) value_ = Number{double_token(value)};
}

std::optional<bool> Json::as_bool() const noexcept {
  const bool* value = std::get_if<bool>(&value_);
  return value ? std::optional(*value) : std::nullopt;
}

std::optional<std::string_view> Json::as_string() const noexcept {
  const std::string* value = std::get_if<std::string>(&value_);
  return value ? std::optional<std::string_view>(*value) : std::nullopt;
}

std::string_view Json::text() const noexcept {
  switch (kind()) {
    case Kind::string:
      return std::get<std::string>(value_);
    case Kind::number:
      return std::get<Number>(value_).token;
    case Kind::boolean:
      return std::get<bool>(value_) ? "true" : "false";
    case Kind::null:
    case Kind::array:
    case Kind::object:
      break;
  }
  return {};
}

std::optional<int64_t> Json::as_int64() const {
  const Number* number = std::get_if<Number>(&value_);
  if (number == nullptr) return std::nullopt;

  const std::string& token = number->token;
  int64_t value = 0;
  const auto [end, error] = std::from_chars(token.data(), token.data() + token.size(), value);
  if (end == token.data() + token.size()) {
    return error == std::errc() ? std::optional(value) : std::nullopt;
  }

  // A fraction or an exponent: still an integer if no digit is left behind the point.
  constexpr int64_t kDigitsMax = 19;  // of 2^63
  Decimal decimal = take_apart(token);
  if (decimal.digits.empty()) return 0;
  if (decimal.exponent < static_cast<int64_t>(decimal.digits.size()) || decimal.exponent > kDigitsMax) {
    return std::nullopt;
  }
  decimal.digits.append(static_cast<size_t>(decimal.exponent) - decimal.digits.size(), '0');
  if (decimal.negative) decimal.digits.insert(0, 1, '-');
  const char* last = decimal.digits.data() + decimal.digits.size();
  if (std::from_chars(decimal.digits.data(), last, value).ec != std::errc()) return std::nullopt;
  return value;
}

std::optional<double> Json::as_double() const {
  const Number* number = std::get_if<Number>(&value_);
  if (number == nullptr) return std::nullopt;

  const std::string& token = number->token;
  double value = 0;
  const auto [end, error] = std::from_chars(token.data(), token.data() + token.size(), value);
  if (error == std::errc::result_out_of_range) {
    // from_chars says the same of what is too large and of what is too small to
    // be told from zero.
    const Decimal decimal = take_apart(token);
    if (decimal.exponent > 0) return std::nullopt;
    return decimal.negative ? -0.0 : 0.0;
  }
  return std::isfinite(value) ? std::optional(value) : std::nullopt;
}

const Json* Json::find(std::string_view key) const noexcept {
  for (const Member& member : members()) {
    if (member.key == key) return &member.value;
  }
  return nullptr;
}

const Json& Json::operator[](std::string_view key) const noexcept {
  const Json* value = find(key);
  return value ? *value : null_json();
}

const Json& Json::operator[](size_t index) const noexcept {
  const std::span<const Json> all = elements();
  return index < all.size() ? all[index] : null_json();
}

size_t Json::size() const noexcept {
  return elements().size() + members().size();  // one of them is empty
}

std::span<const Json> Json::elements() const noexcept {
  const auto* elements = std::get_if<std::vector<Json>>(&value_);
  return elements ? std::span<const Json>(*elements) : std::span<const Json>();
}

std::span<const Json::Member> Json::members() const noexcept {
  const auto* members = std::get_if<std::vector<Member>>(&value_);
  return members ? std::span<const Member>(*members) : std::span<const Member>();
}

Json& Json::set(std::string_view key, Json value) {
  auto* members = std::get_if<std::vector<Member>>(&value_);
  if (members == nullptr) {
    // `key` may view the very text that is about to go.
    std::string own_key(key);
    members = &value_.emplace<std::vector<Member>>();
    members->push_back({std::move(own_key), std::move(value)});
    return *this;
  }
  for (Member& member : *members) {
    if (member.key == key) {
      member.value = std::move(value);
      return *this;
    }
  }
  members->push_back({std::string(key), std::move(value)});
  return *this;
}

bool Json::erase(std::string_view key) {
  auto* members = std::get_if<std::vector<Member>>(&value_);
  if (members == nullptr) return false;
  const auto at =
      std::find_if(members->begin(), members->end(), [&](const Member& member) { return member.key == key; });
  if (at == members->end()) return false;
  members->erase(at);
  return true;
}

Json& Json::push_back(Json element) {
  auto* elements = std::get_if<std::vector<Json>>(&value_);
  if (elements == nullptr) elements = &value_.emplace<std::vector<Json>>();
  elements->push_back(std::move(element));
  return *this;
}

std::string Json::dump() const {
  std::string out;
  dump_to(out, JsonEscape::minimal);
  return out;
}

std::string Json::dump_rails() const {
  std::string out;
  dump_to(out, JsonEscape::rails);
  return out;
}

void Json::dump_to(std::string& out, JsonEscape escape) const {
  switch (kind()) {
    case Kind::null:
      out += "null";
      return;
    case Kind::boolean:
    case Kind::number:
      out += text();
      return;
    case Kind::string:
      append_json_string(out, text(), escape);
      return;
    case Kind::array: {
      out += '[';
      for (const char* separator = ""; const Json& element : elements()) {
        out += std::exchange(separator, ",");
        element.dump_to(out, escape);
      }
      out += ']';
      return;
    }
    case Kind::object: {
      out += '{';
      for (const char* separator = ""; const Member& member : members()) {
        out += std::exchange(separator, ",");
        append_json_string(out, member.key, escape);
        out += ':';
        member.value.dump_to(out, escape);
      }
      out += '}';
      return;
    }
  }
}

bool operator==(const Json& left, const Json& right) noexcept {
  if (left.kind() != right.kind() || left.size() != right.size()) return false;
  switch (left.kind()) {
    case Json::Kind::null:
      return true;
    case Json::Kind::boolean:
    case Json::Kind::number:
    case Json::Kind::string:
      return left.text() == right.text();
    case Json::Kind::array:
      return std::ranges::equal(left.elements(), right.elements());
    case Json::Kind::object:
      // Keys are unique, so as many members that are all found are the same members.
      return std::ranges::all_of(left.members(), [&](const Json::Member& member) {
        const Json* other = right.find(member.key);
        return other != nullptr && *other == member.value;
      });
  }
  return false;
}

}  // namespace ringcast
