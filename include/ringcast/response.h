// The answer an HTTP handler fills in. Status 200 and an empty body unless it says
// otherwise; the connection sends it when the handler returns.
#pragma once

#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "ringcast/json.h"

namespace ringcast {

namespace internal {
struct ResponseAccess;
}  // namespace internal

class Response {
 public:
  Response() = default;

  Response& status(int code);  // 200..599

  // A body and its Content-Type: application/json, text/plain or text/html, UTF-8.
  Response& json(const Json& value);
  Response& text(std::string_view body);
  Response& html(std::string_view body);
  Response& body(std::string_view content_type, std::string_view body);

  // An extra header line. A name that is not a token, a value with a control
  // character and the names the server writes itself (Content-Length, Connection, …)
  // are refused: false, and nothing is added.
  bool header(std::string_view name, std::string_view value);

  // 302 with Location; the target must be free of control characters, else 500.
  Response& redirect(std::string_view location);

  int status() const { return status_; }

 private:
  friend struct internal::ResponseAccess;

  int status_ = 200;
  std::string content_type_ = "text/plain; charset=utf-8";
  std::string body_;
  std::vector<std::pair<std::string, std::string>> headers_;
};

}  // namespace ringcast
