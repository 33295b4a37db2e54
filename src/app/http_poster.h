// Posts bodies to one address, one after the other on one connection, and waits for each
// answer: order is what a producer wants, and a body holds many messages. Blocking; one
// thread.
#pragma once

#include <optional>
#include <string>
#include <string_view>

namespace ringcast {

class HttpPoster {
 public:
  // "http://host:port[/path]"; nothing, and why, if it is no such address.
  static std::optional<HttpPoster> to(std::string_view url, std::string bearer, std::string* error);
  HttpPoster(HttpPoster&& other) noexcept;
  HttpPoster& operator=(HttpPoster&&) = delete;
  ~HttpPoster();

  struct Answer {
    int status = 0;  // 0: none came, and `body` says why
    std::string body;
  };
  // JSON to PATH below the address. Connects when it has to.
  Answer post(std::string_view path, std::string_view body);

 private:
  HttpPoster() = default;
  std::string connect();
  std::string exchange(std::string_view request, Answer& answer);
  void disconnect();

  std::string host_, port_, base_, bearer_;
  int fd_ = -1;
};

}  // namespace ringcast
