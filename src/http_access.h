// Requests and responses from the inside: what Request reads from, the credentials in
// it included, and how a Response becomes an answer. A RequestData lives on the stack of one callback; shard
// thread.
#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "auth/identifier_source.h"
#include "auth/jwt.h"
#include "identity.h"
#include "protocol/form.h"
#include "ringcast/request.h"
#include "ringcast/response.h"
#include "shard/handlers.h"

namespace ringcast {
class Server;
}

namespace ringcast::internal {

struct RequestData {
  RequestData(const Exchange& exchange, Server& server, const Identity& identity)
      : exchange(exchange), server(server), identity(identity) {}

  const Exchange& exchange;
  Server& server;
  const Identity& identity;

  // Parsed when first asked for: most requests are never asked.
  const FormFields& query() const;
  const FormFields& body_fields() const;  // empty unless the body is a form

  std::optional<std::string> cookie(std::string_view name) const;
  // The token the request came with, verified when first asked for.
  const Jwt& jwt() const;
  // What it said if it was asked; null if nobody did.
  const Jwt* jwt_asked() const { return jwt_ ? &*jwt_ : nullptr; }

 private:
  std::optional<std::string> token() const;

  mutable std::optional<FormFields> query_;
  mutable std::optional<FormFields> body_;
  mutable std::optional<Jwt> jwt_;
};

// A request's credentials, for identifier sources.
class RequestCredentials final : public CredentialSource {
 public:
  explicit RequestCredentials(const RequestData& data) : data_(data) {}

  std::optional<std::string> cookie(std::string_view name) const override { return data_.cookie(name); }
  std::optional<std::string> header(std::string_view name) const override;
  std::optional<std::string> query(std::string_view name) const override;
  const Json* claims() const override;
  const KeyRing& keys() const override { return data_.identity.cookies; }
  int64_t now_unix_ms() const override;

 private:
  const RequestData& data_;
};

// Of a cookie that did not verify: a line in the log if it is one only its application can help.
void note_cookie(const Exchange& exchange, std::string_view name, RailsError error);

struct RequestAccess {
  static Request make(const RequestData& data) { return Request(data); }
};

struct ResponseAccess {
  static void move_into(Response& response, HttpAnswer& answer);
};

}  // namespace ringcast::internal
