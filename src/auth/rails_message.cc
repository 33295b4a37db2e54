// Signature, base64, envelope, value: in this order, so that nothing unauthenticated is
// ever parsed.
#include "auth/rails_message.h"

#include <algorithm>

#include "base/ascii.h"
#include "base/base64.h"

namespace ringcast {
namespace {

constexpr std::string_view kMarshalVersion = "\x04\x08";

// Takes `count` digits off the front.
std::optional<int> take_number(std::string_view& text, size_t count) {
  if (text.size() < count) return std::nullopt;
  int number = 0;
  for (const char c : text.substr(0, count)) {
    if (!is_digit(c)) return std::nullopt;
    number = number * 10 + (c - '0');
  }
  text.remove_prefix(count);
  return number;
}

bool take(std::string_view& text, char c) {
  if (!text.starts_with(c)) return false;
  text.remove_prefix(1);
  return true;
}

// Minutes east of Greenwich; takes all of `text`.
std::optional<int> parse_zone(std::string_view text) {
  if (text == "Z" || text == "z") return 0;
  const bool west = text.starts_with('-');
  if (!take(text, '+') && !take(text, '-')) return std::nullopt;
  const auto hours = take_number(text, 2);
  if (!hours || !take(text, ':')) return std::nullopt;
  const auto minutes = take_number(text, 2);
  if (!minutes || !text.empty() || *hours > 23 || *minutes > 59) return std::nullopt;
  return (west ? -1 : 1) * (*hours * 60 + *minutes);
}

// Milliseconds of ".5", rounded up, so that a message lives until its very last moment.
std::optional<int> take_fraction(std::string_view& text) {
  if (!take(text, '.')) return 0;
  const size_t digits = std::min(text.find_first_not_of("0123456789"), text.size());
  if (digits == 0) return std::nullopt;
  int ms = 0;
  for (size_t i = 0; i < 3; ++i) ms = ms * 10 + (i < digits ? text[i] - '0' : 0);
  const std::string_view all = text.substr(0, digits);
  if (digits > 3 && all.substr(3).find_first_not_of('0') != std::string_view::npos) ++ms;
  text.remove_prefix(digits);
  return ms;
}

// The proleptic Gregorian day number from 1970, by counting years from March, so that
// the leap day is a year's last.
int64_t days_from_1970(int year, int month, int day) {
  const int64_t shifted = month <= 2 ? year - 1 : year;
  const int64_t day_of_year = (153 * (month + (month > 2 ? -3 : 9)) + 2) / 5 + day - 1;
  return shifted * 365 + shifted / 4 - shifted / 100 + shifted / 400 + day_of_year - 719468;
}

int days_in_month(int year, int month) {
  if (month == 2) return (year % 4 == 0 && year % 100 != 0) || year % 400 == 0 ? 29 : 28;
  return month == 4 || month == 6 || month == 9 || month == 11 ? 30 : 31;
}

RailsMessage read_value(std::string_view text) {
  if (text.starts_with(kMarshalVersion)) return RailsMessage::failed(RailsError::marshal);
  auto value = Json::parse(text);
  if (!value) return RailsMessage::failed(RailsError::malformed);
  return {RailsError::none, std::move(*value), std::nullopt};
}

}  // namespace

std::string_view describe(RailsError error) {
  switch (error) {
    case RailsError::none:
      return "is valid";
    case RailsError::missing:
      return "is missing";
    case RailsError::malformed:
      return "is malformed";
    case RailsError::bad_signature:
      return "was not made with our secret";
    case RailsError::expired:
      return "is expired";
    case RailsError::wrong_purpose:
      return "was made for another purpose";
    case RailsError::marshal:
      return "holds a Ruby Marshal value (set cookies_serializer = :json in Rails)";
    case RailsError::too_large:
      return "is too large";
  }
  return "is invalid";
}

SignedText verify_rails_signature(std::string_view message, const HmacKey& key) {
  if (message.empty()) return {RailsError::missing, {}};
  if (message.size() > kRailsMessageBytesMax) return {RailsError::too_large, {}};
  const size_t mac_bytes = 2 * digest_bytes(key.digest());
  if (message.size() <= mac_bytes + kRailsSeparator.size()) return {RailsError::malformed, {}};
  const std::string_view text = message.substr(0, message.size() - mac_bytes - kRailsSeparator.size());
  if (message.substr(text.size(), kRailsSeparator.size()) != kRailsSeparator)
    return {RailsError::malformed, {}};
  if (!key.verify_hex(text, message.substr(message.size() - mac_bytes)))
    return {RailsError::bad_signature, {}};
  return {RailsError::none, text};
}

std::optional<std::vector<std::byte>> decode_rails_base64(std::string_view text) {
  std::string standard(text);
  std::ranges::replace(standard, '-', '+');
  std::ranges::replace(standard, '_', '/');
  // Ruby pads only what has no padding: "QQ=" stays wrong.
  if (!standard.ends_with('=')) standard.append((4 - standard.size() % 4) % 4, '=');
  return base64_decode(standard);
}

RailsMessage read_rails_payload(Bytes payload, RailsEnvelope envelope, std::string_view purpose,
                                RailsPurpose need, int64_t now_unix_ms) {
  RailsMessage bare = read_value(as_text(payload));
  if (!bare) return bare;
  const bool purpose_missing_is_wrong = !purpose.empty() && need == RailsPurpose::required;

  const Json& metadata = bare.value["_rails"];
  const Json* message_text = metadata.find("message");
  const Json* data = envelope == RailsEnvelope::verifier ? metadata.find("data") : nullptr;
  if (message_text == nullptr && data == nullptr) {
    return purpose_missing_is_wrong ? RailsMessage::failed(RailsError::wrong_purpose) : std::move(bare);
  }

  const Json& made_for = metadata["pur"];
  if (!made_for.is_null() && !made_for.is_string()) return RailsMessage::failed(RailsError::malformed);
  if (made_for.text().empty() ? purpose_missing_is_wrong : made_for.text() != purpose) {
    return RailsMessage::failed(RailsError::wrong_purpose);
  }

  std::optional<int64_t> expires_unix_ms;
  if (const Json& expiry = metadata["exp"]; !expiry.is_null()) {
    expires_unix_ms = parse_iso8601_unix_ms(expiry.as_string().value_or(""));
    if (!expires_unix_ms) return RailsMessage::failed(RailsError::malformed);
    if (now_unix_ms >= *expires_unix_ms) return RailsMessage::failed(RailsError::expired);
  }

  RailsMessage message;
  if (message_text != nullptr) {
    if (!message_text->is_string()) return RailsMessage::failed(RailsError::malformed);
    const auto serialized = decode_rails_base64(message_text->text());
    if (!serialized) return RailsMessage::failed(RailsError::malformed);
    message = read_value(as_text(*serialized));
  } else {
    message = {RailsError::none, *data, std::nullopt};
  }
  if (message) message.expires_unix_ms = expires_unix_ms;
  return message;
}

std::optional<int64_t> parse_iso8601_unix_ms(std::string_view text) {
  const auto year = take_number(text, 4);
  if (!year || !take(text, '-')) return std::nullopt;
  const auto month = take_number(text, 2);
  if (!month || !take(text, '-')) return std::nullopt;
  const auto day = take_number(text, 2);
  if (!day || !(take(text, 'T') || take(text, 't'))) return std::nullopt;
  const auto hour = take_number(text, 2);
  if (!hour || !take(text, ':')) return std::nullopt;
  const auto minute = take_number(text, 2);
  if (!minute || !take(text, ':')) return std::nullopt;
  const auto second = take_number(text, 2);
  if (!second) return std::nullopt;
  const auto ms = take_fraction(text);
  const auto zone = parse_zone(text);
  if (!ms || !zone) return std::nullopt;
  // 60 is a leap second.
  if (*month < 1 || *month > 12 || *day < 1 || *day > days_in_month(*year, *month)) return std::nullopt;
  if (*hour > 23 || *minute > 59 || *second > 60) return std::nullopt;
  const int64_t minutes = (days_from_1970(*year, *month, *day) * 24 + *hour) * 60 + *minute - *zone;
  return (minutes * 60 + *second) * 1000 + *ms;
}

}  // namespace ringcast
