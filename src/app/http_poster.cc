#include "app/http_poster.h"

#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <utility>

namespace ringcast {
namespace {

constexpr timeval kAnswerWithin{30, 0};
constexpr size_t kAnswerBytesMax = size_t{1} << 20;

// The value of a header in an answer's head, whose names are compared without case.
std::string answer_header(const std::string& head, std::string_view name) {
  for (size_t at = head.find("\r\n"); at != head.npos; at = head.find("\r\n", at + 2)) {
    const size_t from = at + 2;
    if (from + name.size() >= head.size() || head[from + name.size()] != ':') continue;
    if (strncasecmp(head.data() + from, name.data(), name.size()) != 0) continue;
    const size_t value = head.find_first_not_of(" \t", from + name.size() + 1);
    return head.substr(value, head.find("\r\n", value) - value);
  }
  return {};
}

}  // namespace

std::optional<HttpPoster> HttpPoster::to(std::string_view url, std::string bearer, std::string* error) {
  constexpr std::string_view kScheme = "http://";
  if (url.starts_with("https://")) {
    *error = "https is not spoken here: publish to the server's plain address, or straight into the engine";
    return std::nullopt;
  }
  if (!url.starts_with(kScheme)) {
    *error = "'" + std::string(url) + "' is no address such as http://127.0.0.1:8080";
    return std::nullopt;
  }
  HttpPoster poster;
  std::string_view authority = url.substr(kScheme.size());
  if (const size_t slash = authority.find('/'); slash != authority.npos) {
    poster.base_ = authority.substr(slash);
    while (poster.base_.ends_with('/')) poster.base_.pop_back();
    authority = authority.substr(0, slash);
  }
  const size_t bracket = authority.rfind(']');
  const size_t colon = authority.find(':', bracket == authority.npos ? 0 : bracket);
  poster.host_ = authority.substr(0, colon);
  poster.port_ = colon == authority.npos ? "80" : authority.substr(colon + 1);
  if (poster.host_.empty() || poster.port_.empty() || authority.find('@') != authority.npos ||
      poster.port_.find_first_not_of("0123456789") != std::string::npos) {
    *error = "'" + std::string(url) + "' is no address such as http://127.0.0.1:8080";
    return std::nullopt;
  }
  poster.bearer_ = std::move(bearer);
  return poster;
}

HttpPoster::HttpPoster(HttpPoster&& other) noexcept
    : host_(std::move(other.host_)),
      port_(std::move(other.port_)),
      base_(std::move(other.base_)),
      bearer_(std::move(other.bearer_)),
      fd_(std::exchange(other.fd_, -1)) {}

HttpPoster::~HttpPoster() {
  disconnect();
}

void HttpPoster::disconnect() {
  if (fd_ >= 0) close(fd_);
  fd_ = -1;
}

// What went wrong, or nothing.
std::string HttpPoster::connect() {
  const std::string name = host_.starts_with('[') ? host_.substr(1, host_.size() - 2) : host_;
  addrinfo hints{};
  hints.ai_socktype = SOCK_STREAM;
  addrinfo* found = nullptr;
  if (const int error = getaddrinfo(name.c_str(), port_.c_str(), &hints, &found); error != 0) {
    return name + ": " + gai_strerror(error);
  }
  std::string why;
  for (const addrinfo* address = found; address != nullptr && fd_ < 0; address = address->ai_next) {
    fd_ = socket(address->ai_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd_ < 0) continue;
    setsockopt(fd_, SOL_SOCKET, SO_SNDTIMEO, &kAnswerWithin, sizeof kAnswerWithin);
    setsockopt(fd_, SOL_SOCKET, SO_RCVTIMEO, &kAnswerWithin, sizeof kAnswerWithin);
    const int on = 1;
    setsockopt(fd_, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    if (::connect(fd_, address->ai_addr, address->ai_addrlen) == 0) break;
    why = std::strerror(errno);
    disconnect();
  }
  freeaddrinfo(found);
  return fd_ >= 0 ? std::string() : host_ + ":" + port_ + ": " + why;
}

HttpPoster::Answer HttpPoster::post(std::string_view path, std::string_view body) {
  std::string request =
      "POST " + base_ + std::string(path) + " HTTP/1.1\r\nHost: " + host_ + ":" + port_ +
      "\r\nContent-Type: application/json\r\nContent-Length: " + std::to_string(body.size()) + "\r\n";
  if (!bearer_.empty()) request += "Authorization: Bearer " + bearer_ + "\r\n";
  request.append("\r\n").append(body);
  // Closed for being idle, as servers do. Once a request has left, nobody knows whether it
  // was taken: asking again could publish twice.
  char byte;
  if (fd_ >= 0 && recv(fd_, &byte, 1, MSG_PEEK | MSG_DONTWAIT) == 0) disconnect();
  std::string problem;
  if (fd_ < 0) problem = connect();
  Answer answer;
  if (problem.empty()) problem = exchange(request, answer);
  if (problem.empty()) return answer;
  disconnect();
  return {0, problem};
}

std::string HttpPoster::exchange(std::string_view request, Answer& answer) {
  while (!request.empty()) {
    const ssize_t sent = send(fd_, request.data(), request.size(), MSG_NOSIGNAL);
    if (sent < 0 && errno == EINTR) continue;
    if (sent <= 0) break;  // it may have answered before it had read everything
    request.remove_prefix(static_cast<size_t>(sent));
  }
  std::string received;
  size_t head = std::string::npos, whole = 0;
  for (;;) {
    if (head == received.npos && (head = received.find("\r\n\r\n")) != received.npos) {
      head += 4;
      answer.status = std::atoi(received.c_str() + std::min<size_t>(received.size(), 9));
      whole =
          head + std::strtoul(answer_header(received.substr(0, head), "content-length").c_str(), nullptr, 10);
      if (whole > kAnswerBytesMax) return "the answer is too long";
    }
    if (head != received.npos && received.size() >= whole) break;
    if (received.size() > kAnswerBytesMax) return "the answer is too long";
    char buffer[4096];
    const ssize_t count = recv(fd_, buffer, sizeof buffer, 0);
    if (count < 0 && errno == EINTR) continue;
    if (count < 0) return "the connection broke: " + std::string(std::strerror(errno));
    if (count == 0) return "the server closed the connection";
    received.append(buffer, static_cast<size_t>(count));
  }
  answer.body = received.substr(head, whole - head);
  if (strcasecmp(answer_header(received.substr(0, head), "connection").c_str(), "close") == 0) disconnect();
  return {};
}

}  // namespace ringcast
