// Requests and responses from the inside: what Request reads from and how a Response
// becomes an answer. A RequestData lives on the stack of one callback; shard thread.
#pragma once

#include <optional>
#include <string_view>

#include "protocol/form.h"
#include "ringcast/request.h"
#include "ringcast/response.h"
#include "shard/handlers.h"

namespace ringcast {
class Server;
}

namespace ringcast::internal {

struct RequestData {
  RequestData(const Exchange& exchange, Server& server) : exchange(exchange), server(server) {}

  const Exchange& exchange;
  Server& server;

  // Parsed when first asked for: most requests are never asked.
  const FormFields& query() const;
  const FormFields& body_fields() const;  // empty unless the body is a form

 private:
  mutable std::optional<FormFields> query_;
  mutable std::optional<FormFields> body_;
};

struct RequestAccess {
  static Request make(const RequestData& data) { return Request(data); }
};

struct ResponseAccess {
  static void move_into(Response& response, HttpAnswer& answer);
};

}  // namespace ringcast::internal
