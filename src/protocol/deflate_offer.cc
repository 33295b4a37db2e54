#include "protocol/deflate_offer.h"

#include <string_view>
#include <utility>

#include "protocol/http_syntax.h"

namespace ringcast {

namespace {

constexpr std::string_view kName = "permessage-deflate";
constexpr std::string_view kServerNoTakeover = "server_no_context_takeover";
constexpr std::string_view kClientNoTakeover = "client_no_context_takeover";
constexpr std::string_view kServerWindowBits = "server_max_window_bits";
constexpr std::string_view kClientWindowBits = "client_max_window_bits";

// Reads what a list of extensions is made of, white space between its parts left out.
// The grammar is RFC 2616's, where that may stand anywhere between two of them.
class ListReader {
 public:
  explicit ListReader(std::string_view list) : rest_(http::trimmed(list)) {}

  bool done() const { return rest_.empty(); }

  bool take(char separator) {
    if (!rest_.starts_with(separator)) return false;
    skip(1);
    return true;
  }

  // Empty when none stands here.
  std::string_view take_token() {
    size_t bytes = 0;
    while (bytes < rest_.size() && http::is_token_char(rest_[bytes])) ++bytes;
    const std::string_view token = rest_.substr(0, bytes);
    skip(bytes);
    return token;
  }

  // A token or a quoted string, which must unquote to a token (RFC 6455 section 9.1).
  std::optional<std::string> take_value() {
    std::string value;
    if (!rest_.starts_with('"')) {
      value = take_token();
    } else {
      size_t at = 1;
      for (; at < rest_.size() && rest_[at] != '"'; ++at) {
        if (rest_[at] == '\\' && ++at == rest_.size()) return std::nullopt;
        value += rest_[at];
      }
      if (at == rest_.size()) return std::nullopt;
      skip(at + 1);
    }
    if (!http::is_token(value)) return std::nullopt;
    return value;
  }

 private:
  void skip(size_t bytes) { rest_ = http::trimmed(rest_.substr(bytes)); }

  std::string_view rest_;
};

// One member of the list: found acceptable until a parameter says otherwise.
class Offer {
 public:
  explicit Offer(std::string_view name) : acceptable_(name == kName) {}

  void add(std::string_view name, const std::optional<std::string>& value) {
    if (acceptable_) acceptable_ = accept(name, value);
  }

  std::optional<DeflateParameters> accepted(const DeflatePolicy& policy) const {
    if (!acceptable_) return std::nullopt;
    DeflateParameters parameters = asked_;
    if (!policy.client_takeover) parameters.client_no_context_takeover = true;
    return parameters;
  }

 private:
  bool accept(std::string_view name, const std::optional<std::string>& value) {
    if (name == kServerNoTakeover) return first(server_no_takeover_seen_) && !value;
    if (name == kClientNoTakeover) return first(asked_.client_no_context_takeover) && !value;
    if (name == kServerWindowBits) {
      if (!first(server_bits_seen_) || !value) return false;
      asked_.server_window_bits_cap = window_bits(*value);
      // 8 is legal to ask for and more than zlib can do.
      return asked_.server_window_bits_cap >= kWindowBitsMin;
    }
    if (name == kClientWindowBits) {
      if (!first(client_bits_seen_)) return false;
      if (!value) return true;  // "choose one", and we do not
      asked_.client_window_bits = window_bits(*value);
      return asked_.client_window_bits != 0;
    }
    return false;
  }

  static bool first(bool& seen) { return !std::exchange(seen, true); }

  // Decimal without leading zeros, 8..15; anything else is 0.
  static uint8_t window_bits(std::string_view value) {
    if (value == "8" || value == "9") return static_cast<uint8_t>(value[0] - '0');
    if (value.size() == 2 && value[0] == '1' && value[1] >= '0' && value[1] <= '5') {
      return static_cast<uint8_t>(10 + (value[1] - '0'));
    }
    return 0;
  }

  DeflateParameters asked_{.client_no_context_takeover = false};
  bool server_no_takeover_seen_ = false;
  bool server_bits_seen_ = false;
  bool client_bits_seen_ = false;
  bool acceptable_;
};

// Puts the first acceptable offer of `list` where none was found before. False if it is
// no list: extension *( "," extension ), extension = token *( ";" token [ "=" value ] ).
// Empty members are passed over, as RFC 9110 section 5.6.1 has it.
bool read_offers(std::string_view list, const DeflatePolicy& policy,
                 std::optional<DeflateParameters>& accepted) {
  ListReader reader(list);
  while (!reader.done()) {
    if (reader.take(',')) continue;
    const std::string_view name = reader.take_token();
    if (name.empty()) return false;
    Offer offer(name);
    while (reader.take(';')) {
      const std::string_view parameter = reader.take_token();
      if (parameter.empty()) return false;
      std::optional<std::string> value;
      if (reader.take('=')) {
        value = reader.take_value();
        if (!value) return false;
      }
      offer.add(parameter, value);
    }
    if (!reader.done() && !reader.take(',')) return false;
    if (!accepted) accepted = offer.accepted(policy);
  }
  return true;
}

}  // namespace

std::optional<DeflateParameters> negotiate_deflate(const HttpRequest& request, const DeflatePolicy& policy) {
  std::optional<DeflateParameters> accepted;
  for (const HttpHeader& header : request.headers()) {
    if (!equals_ignoring_case(header.name, "sec-websocket-extensions")) continue;
    if (!read_offers(header.value, policy, accepted)) return std::nullopt;
  }
  return accepted;
}

std::string deflate_response(const DeflateParameters& parameters) {
  std::string value(kName);
  value.append("; ").append(kServerNoTakeover);
  if (parameters.client_no_context_takeover) value.append("; ").append(kClientNoTakeover);
  // Never unasked: clients take an answer to what they did not offer for a broken one.
  if (parameters.server_window_bits_cap != 0) {
    value.append("; ").append(kServerWindowBits).append("=");
    value.append(std::to_string(parameters.sender_window_bits()));
  }
  if (parameters.client_window_bits != 0) {
    value.append("; ").append(kClientWindowBits).append("=");
    value.append(std::to_string(parameters.client_window_bits));
  }
  return value;
}

}  // namespace ringcast
