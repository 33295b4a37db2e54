// What a request says of who sent it: found where clients put it, verified with the
// server's keys. Reads one request; shard thread.
#include <algorithm>
#include <utility>

#include "auth/jwt.h"
#include "auth/rails_cookie.h"
#include "http_access.h"
#include "protocol/http_syntax.h"
#include "shard/shard.h"

namespace ringcast {
namespace internal {
namespace {

using http::trimmed;

// RFC 6750 2.1. Nothing when the header speaks of something else, such as a proxy's Basic.
std::optional<std::string> bearer(std::string_view authorization) {
  constexpr std::string_view kScheme = "bearer ";
  if (authorization.size() <= kScheme.size() ||
      !equals_ignoring_case(authorization.substr(0, kScheme.size()), kScheme)) {
    return std::nullopt;
  }
  authorization.remove_prefix(kScheme.size());
  authorization.remove_prefix(std::min(authorization.find_first_not_of(' '), authorization.size()));
  return std::string(authorization);
}

// A browser's WebSocket can send no header of its own, so clients offer the token as a
// subprotocol that nobody ever selects.
std::optional<std::string> offered_token(const HttpRequest& request) {
  constexpr std::string_view kPrefix = "anycable-token.";
  for (const HttpHeader& line : request.headers()) {
    if (!equals_ignoring_case(line.name, "sec-websocket-protocol")) continue;
    std::string_view rest = line.value;
    while (!rest.empty()) {
      const size_t end = std::min(rest.find(','), rest.size());
      const std::string_view offer = trimmed(rest.substr(0, end));
      rest.remove_prefix(std::min(end + 1, rest.size()));
      if (offer.starts_with(kPrefix)) return std::string(offer.substr(kPrefix.size()));
    }
  }
  return std::nullopt;
}

}  // namespace

std::optional<std::string> RequestData::cookie(std::string_view name) const {
  for (const HttpHeader& line : exchange.request.headers()) {
    if (!equals_ignoring_case(line.name, "cookie")) continue;
    if (auto value = find_cookie(line.value, name)) return value;
  }
  return std::nullopt;
}

std::optional<std::string> RequestData::token() const {
  const HttpRequest& request = exchange.request;
  if (auto token = bearer(request.header("authorization"))) return token;
  if (request.count("x-jid") > 0) return std::string(request.header("x-jid"));
  if (auto token = offered_token(request)) return token;
  for (const std::string_view name : {"jid", "token"}) {
    if (const std::string* token = query().find(name)) return *token;
  }
  return std::nullopt;
}

const Jwt& RequestData::jwt() const {
  if (!jwt_) jwt_ = verify_jwt(identity.jwt, token().value_or(""), exchange.shard.unix_ms());
  return *jwt_;
}

// Sent twice it could be the proxy's and the client's own, and nothing tells which is which.
std::optional<std::string> RequestCredentials::header(std::string_view name) const {
  const HttpRequest& request = data_.exchange.request;
  if (!data_.exchange.through_proxy || request.count(name) != 1) return std::nullopt;
  return std::string(request.header(name));
}

std::optional<std::string> RequestCredentials::query(std::string_view name) const {
  const std::string* const value = data_.query().find(name);
  return value == nullptr ? std::nullopt : std::optional(*value);
}

const Json* RequestCredentials::claims() const {
  const Jwt& jwt = data_.jwt();
  return jwt ? &jwt.claims : nullptr;
}

int64_t RequestCredentials::now_unix_ms() const {
  return data_.exchange.shard.unix_ms();
}

void note_cookie(const Exchange& exchange, std::string_view name, RailsError error) {
  if (error != RailsError::marshal) return;
  exchange.shard.log().log(
      exchange.shard.now(), LogLevel::warn, "cookie_not_json",
      {{"cookie", name},
       {"why", "it is in Ruby's Marshal format, which is never loaded; cookies_serializer has to be :json"}});
}

}  // namespace internal

namespace {

std::optional<Json> value_of(const internal::RequestData& data, std::string_view name, RailsMessage message) {
  if (!message) {
    internal::note_cookie(data.exchange, name, message.error);
    return std::nullopt;
  }
  if (message.value.is_null()) return std::nullopt;
  return std::move(message.value);
}

}  // namespace

std::optional<std::string> Request::cookie(std::string_view name) const {
  return data_->cookie(name);
}

std::optional<Json> Request::signed_cookie(std::string_view name) const {
  const auto text = cookie(name);
  if (!text) return std::nullopt;
  return value_of(
      *data_, name,
      verify_signed_cookie(data_->identity.cookies, name, *text, data_->exchange.shard.unix_ms()));
}

std::optional<Json> Request::encrypted_cookie(std::string_view name) const {
  const auto text = cookie(name);
  if (!text) return std::nullopt;
  return value_of(*data_, name,
                  decrypt_cookie(data_->identity.cookies, name, *text, data_->exchange.shard.unix_ms()));
}

const Json& Request::jwt_claims() const {
  return data_->jwt().claims;
}

}  // namespace ringcast
