// What a handler writes into its answer. Values; shard thread.
#include "ringcast/response.h"

#include <algorithm>

#include "http_access.h"
#include "protocol/http_response.h"

namespace ringcast {

Response& Response::status(int code) {
  status_ = code >= 200 && code <= 599 ? code : 500;
  return *this;
}

Response& Response::body(std::string_view content_type, std::string_view body) {
  content_type_ = content_type;
  body_ = body;
  return *this;
}

Response& Response::json(const Json& value) {
  content_type_ = "application/json";
  body_.clear();
  value.dump_to(body_);
  return *this;
}

Response& Response::text(std::string_view text) {
  return body("text/plain; charset=utf-8", text);
}
Response& Response::html(std::string_view text) {
  return body("text/html; charset=utf-8", text);
}

bool Response::header(std::string_view name, std::string_view value) {
  if (!sendable_header({name, value})) return false;
  headers_.emplace_back(name, value);
  return true;
}

Response& Response::redirect(std::string_view location) {
  status(302).text({});
  if (!header("Location", location)) status(500);
  return *this;
}

void internal::ResponseAccess::move_into(Response& response, HttpAnswer& answer) {
  answer.status = response.status_;
  answer.content_type = std::move(response.content_type_);
  answer.body = std::move(response.body_);
  for (auto& [name, value] : response.headers_) answer.headers.push_back({std::move(name), std::move(value)});
}

}  // namespace ringcast
