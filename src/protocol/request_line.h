// The first line of a request cut into its parts and judged (RFC 9112 3). Internal
// to the request parser. Values only; any thread.
#pragma once

#include <string_view>

namespace ringcast::http {

struct RequestLine {
  std::string_view method;
  std::string_view target;
  std::string_view path;       // never empty; escapes well-formed, none of them %00
  std::string_view query;      // without its '?'
  std::string_view authority;  // of an absolute-form target, else empty
  bool https = false;          // the scheme of an absolute-form target
  int version_minor = 0;

  // Of a line that is refused; status 0 if it is not.
  int status = 0;
  std::string_view reason;
};

// `line` is without its CRLF. The views point into it.
RequestLine parse_request_line(std::string_view line);

}  // namespace ringcast::http
