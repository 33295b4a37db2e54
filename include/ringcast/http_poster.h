// Posts bodies to one address, one after the other on one connection, and waits for each
// answer: what `ringcast publish --url` speaks with a server's POST /_broadcast. Order is
// what a producer wants, and a body holds many messages. Blocking; one thread.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <string_view>

namespace ringcast {

struct HttpPosterOptions {
  std::string bearer = {};  // Authorization: Bearer; empty: none
  // https://: whose certificates are good, as PEM; empty: those the machine trusts.
  std::string tls_ca_file = {};
  bool tls_verify = true;  // false: whoever answers is believed, for tests
};

class HttpPoster {
 public:
  // "http[s]://host[:port][/path]"; nothing, and why, if it is no such address.
  static std::optional<HttpPoster> to(std::string_view url, const HttpPosterOptions& options,
                                      std::string* error);
  HttpPoster(HttpPoster&&) noexcept;
  HttpPoster& operator=(HttpPoster&&) = delete;
  ~HttpPoster();

  struct Answer {
    int status = 0;  // 0: none came, and `body` says why
    std::string body;
  };
  // JSON to PATH below the address. Connects when it has to.
  Answer post(std::string_view path, std::string_view body);

 private:
  struct Core;
  explicit HttpPoster(std::unique_ptr<Core> core);

  std::unique_ptr<Core> core_;
};

}  // namespace ringcast
