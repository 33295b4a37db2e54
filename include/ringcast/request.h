// The HTTP request a callback decides about: a POST to a handler, or the GET that
// asks for an upgrade. It lives for the callback it was given to, no longer, and is
// read on that callback's thread.
#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "ringcast/json.h"

namespace ringcast {

class Server;

namespace internal {
struct RequestData;
struct RequestAccess;
}  // namespace internal

class Request {
 public:
  Request(const Request&) = delete;
  Request& operator=(const Request&) = delete;

  // Views into the request as received.
  std::string_view method() const;
  std::string_view path() const;          // without the query, percent-encoded as sent
  std::string_view query_string() const;  // without the '?', as sent
  std::string_view body() const;
  std::string_view header(std::string_view name) const;  // the first line of that name, or empty
  bool has_header(std::string_view name) const;

  // A segment the route's pattern named: "room" of "/websocket/:room", decoded.
  std::string parameter(std::string_view name) const;

  // The value of a name in the query, decoded; empty if it is not there. Where a
  // name comes twice the last one counts.
  std::string query(std::string_view name) const;
  bool has_query(std::string_view name) const;

  // A form field: from a body of type application/x-www-form-urlencoded or
  // multipart/form-data, else from the query, as Rack's `params` has it.
  std::string form(std::string_view name) const;
  bool has_form(std::string_view name) const;

  // The body as JSON; nothing if it is not JSON or not sent as application/json.
  std::optional<Json> json() const;

  // The first cookie of that name, form-decoded as Rack does it. Anybody can write one.
  std::optional<std::string> cookie(std::string_view name) const;

  // What Rails' cookies.signed[name] and cookies.encrypted[name] are, with the secrets of
  // Options. Nothing where there is none, nil, or one that does not verify.
  std::optional<Json> signed_cookie(std::string_view name) const;
  std::optional<Json> encrypted_cookie(std::string_view name) const;

  // The claims of the JSON Web Token the request came with, once it verifies; else null.
  // Looked for in "Authorization: Bearer", X-JID, a subprotocol "anycable-token.…" and the
  // query's jid and token; the first there is decides. A cable connection that was asked
  // for its token ends when that expires.
  const Json& jwt_claims() const;

  // The address the connection came from, without the port: "127.0.0.1", "::1".
  std::string remote_address() const;

  Server& server() const;

 private:
  friend struct internal::RequestAccess;
  explicit Request(const internal::RequestData& data) : data_(&data) {}

  const internal::RequestData* data_;
};

}  // namespace ringcast
