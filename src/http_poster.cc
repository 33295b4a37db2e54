#include "ringcast/http_poster.h"

#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <utility>
#include <vector>

#include "adapter/client_tls.h"
#include "base/bytes.h"
#include "protocol/http_response_parser.h"
#include "protocol/http_url.h"

namespace ringcast {
namespace {

constexpr timeval kAnswerWithin{30, 0};
constexpr size_t kAnswerBytesMax = size_t{1} << 20;
constexpr size_t kRecordsBytesMax = 16 * 1024;  // encrypted at a time

std::string broken() {
  const bool late = errno == EAGAIN || errno == EWOULDBLOCK;
  return late ? "no answer came in time" : "the connection broke: " + std::string(std::strerror(errno));
}

// A blocking socket, with TLS over it where the address says https.
class Line {
 public:
  Line() = default;
  Line(const Line&) = delete;
  Line& operator=(const Line&) = delete;
  ~Line() { close(); }

  bool open() const { return fd_ >= 0; }
  void close() {
    if (fd_ >= 0) ::close(fd_);
    fd_ = -1;
    tls_.reset();
    received_.clear();
  }

  // These return what went wrong, or nothing.
  std::string connect(const std::string& host, const std::string& port,
                      const std::shared_ptr<const ClientTlsContext>& tls);
  std::string send(std::string_view text);
  // What came next, a byte at least.
  std::string receive(std::vector<std::byte>& bytes);

  // The other side has closed it, as servers do with connections that are idle.
  bool ended();

 private:
  std::string send_bytes(Bytes bytes);
  std::string shake_hands();
  // Bytes of the socket, decrypted into received_; 0 at its end, and below 0 as recv().
  ssize_t take(int flags);

  int fd_ = -1;
  std::unique_ptr<ClientTls> tls_;
  std::vector<std::byte> received_;  // and not yet asked for
};

std::string Line::connect(const std::string& host, const std::string& port,
                          const std::shared_ptr<const ClientTlsContext>& tls) {
  addrinfo hints{};
  hints.ai_socktype = SOCK_STREAM;
  addrinfo* found = nullptr;
  if (const int error = getaddrinfo(host.c_str(), port.c_str(), &hints, &found); error != 0) {
    return host + ": " + gai_strerror(error);
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
    close();
  }
  freeaddrinfo(found);
  if (fd_ < 0) return host + ":" + port + ": " + why;
  if (tls == nullptr) return {};
  tls_ = std::make_unique<ClientTls>(tls, host);
  std::string problem = shake_hands();
  return problem.empty() ? problem : host + ":" + port + ": " + problem;
}

std::string Line::shake_hands() {
  std::vector<std::byte> out;
  if (!tls_->receive({}, received_, out)) return tls_->failure();
  if (std::string problem = send_bytes(out); !problem.empty()) return problem;
  while (!tls_->handshake_done()) {
    const ssize_t bytes = take(0);
    if (!tls_->failure().empty()) return tls_->failure();
    if (bytes == 0) return "it ends the connection instead of speaking TLS";
    if (bytes < 0) return broken();
  }
  return {};
}

std::string Line::send_bytes(Bytes bytes) {
  while (!bytes.empty()) {
    const ssize_t sent = ::send(fd_, bytes.data(), bytes.size(), MSG_NOSIGNAL);
    if (sent < 0 && errno == EINTR) continue;
    if (sent <= 0) return broken();
    bytes = bytes.subspan(static_cast<size_t>(sent));
  }
  return {};
}

std::string Line::send(std::string_view text) {
  if (tls_ == nullptr) return send_bytes(as_bytes(text));
  std::vector<std::byte> out;
  for (; !text.empty(); text.remove_prefix(std::min(text.size(), kRecordsBytesMax))) {
    out.clear();
    if (!tls_->encrypt(as_bytes(text.substr(0, kRecordsBytesMax)), out)) return tls_->failure();
    if (std::string problem = send_bytes(out); !problem.empty()) return problem;
  }
  return {};
}

ssize_t Line::take(int flags) {
  std::array<std::byte, 16384> buffer;
  ssize_t bytes;
  do {
    bytes = recv(fd_, buffer.data(), buffer.size(), flags);
  } while (bytes < 0 && errno == EINTR);
  if (bytes <= 0) return bytes;
  const Bytes taken(buffer.data(), static_cast<size_t>(bytes));
  if (tls_ == nullptr) {
    received_.insert(received_.end(), taken.begin(), taken.end());
    return bytes;
  }
  std::vector<std::byte> out;
  const bool well = tls_->receive(taken, received_, out);
  // Also when it is over: the other side learns why.
  const std::string problem = send_bytes(out);
  return well && problem.empty() ? bytes : 0;
}

std::string Line::receive(std::vector<std::byte>& bytes) {
  while (received_.empty()) {
    const ssize_t got = take(0);
    if (got < 0) return broken();
    if (got == 0 && received_.empty()) return "the server closed the connection";
  }
  bytes.clear();
  std::swap(bytes, received_);
  return {};
}

bool Line::ended() {
  ssize_t bytes;
  do {
    bytes = take(MSG_DONTWAIT);  // with TLS there may be tickets
  } while (bytes > 0 && received_.empty());
  // What nobody asked for answers nothing.
  return bytes == 0 || !received_.empty();
}

}  // namespace

struct HttpPoster::Core {
  std::string post_whole(const std::string& request, Answer& answer);
  std::string exchange(const std::string& request, Answer& answer);

  HttpUrl url;
  std::string bearer;
  std::shared_ptr<const ClientTlsContext> tls;  // null: plain
  Line line;
};

std::optional<HttpPoster> HttpPoster::to(std::string_view url, const HttpPosterOptions& options,
                                         std::string* error) {
  std::string problem;
  std::optional<HttpUrl> parsed = HttpUrl::parse(url, &problem);
  if (!parsed) {
    *error = "'" + std::string(url) + "' is no address such as http://127.0.0.1:8080: " + problem;
    return std::nullopt;
  }
  auto core = std::make_unique<Core>();
  core->url = std::move(*parsed);
  if (core->url.tls) {
    core->tls =
        ClientTlsContext::create({.verify = options.tls_verify, .ca_file = options.tls_ca_file}, error);
    if (core->tls == nullptr) return std::nullopt;
  }
  core->bearer = options.bearer;
  return HttpPoster(std::move(core));
}

HttpPoster::HttpPoster(std::unique_ptr<Core> core) : core_(std::move(core)) {}
HttpPoster::HttpPoster(HttpPoster&&) noexcept = default;
HttpPoster::~HttpPoster() = default;

HttpPoster::Answer HttpPoster::post(std::string_view path, std::string_view body) {
  Core& core = *core_;
  std::string request =
      "POST " + core.url.path + std::string(path) + " HTTP/1.1\r\nHost: " + core.url.authority +
      "\r\nContent-Type: application/json\r\nContent-Length: " + std::to_string(body.size()) + "\r\n";
  if (!core.bearer.empty()) request += "Authorization: Bearer " + core.bearer + "\r\n";
  request.append("\r\n").append(body);
  Answer answer;
  std::string problem = core.post_whole(request, answer);
  if (problem.empty()) return answer;
  core.line.close();
  return {0, problem};
}

// What went wrong, or nothing.
std::string HttpPoster::Core::post_whole(const std::string& request, Answer& answer) {
  // Once a request has left, nobody knows whether it was taken: asking again could publish
  // twice. So that the connection is gone is to be found out before.
  if (line.open() && line.ended()) line.close();
  if (!line.open()) {
    if (std::string problem = line.connect(url.host, std::to_string(url.port), tls); !problem.empty()) {
      return problem;
    }
  }
  return exchange(request, answer);
}

std::string HttpPoster::Core::exchange(const std::string& request, Answer& answer) {
  using Kind = HttpResponseParser::Event::Kind;
  // It may have answered before it had read everything.
  const std::string unsent = line.send(request);
  HttpResponseParser parser({.body_bytes_max = kAnswerBytesMax});
  std::vector<std::byte> received;
  Bytes input;
  for (;;) {
    const HttpResponseParser::Event event = parser.next(input);
    switch (event.kind) {
      case Kind::need_more:
        if (std::string problem = line.receive(received); !problem.empty()) {
          return unsent.empty() ? problem : unsent;
        }
        input = received;
        break;
      case Kind::head:
        break;
      case Kind::body:
        answer.body += as_text(event.body);
        break;
      case Kind::complete:
        answer.status = parser.status();
        if (!parser.keep_alive() || !input.empty()) line.close();
        return {};
      case Kind::error:
        return std::string(event.reason);
    }
  }
}

}  // namespace ringcast
