// The tests' own client: a TCP connection, with TLS on it where asked, HTTP answers, and
// WebSocket frames, for saying right and wrong things octet by octet and hearing exactly
// what is answered. Shares no code with src/. Its calls block, each up to a generous
// deadline that only a broken server meets. One thread at a time for each object.
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "support/tls_client.h"

namespace ringcast::blackbox {

constexpr size_t kKiB = 1024;
constexpr size_t kMiB = 1024 * kKiB;

inline constexpr std::chrono::seconds kPatience{60};

class TcpClient {
 public:
  // How a connection stands for the reader. `truncated`: a FIN, but TLS was not closed
  // before it, or has failed.
  enum class End { none, closed, reset, timed_out, truncated };

  TcpClient();
  ~TcpClient();
  TcpClient(TcpClient&& other) noexcept;
  TcpClient& operator=(TcpClient&& other) noexcept;

  // To 127.0.0.1, with a receive buffer of its own size where given. Not open if nobody
  // listens.
  static TcpClient connect(uint16_t port, int receive_buffer_bytes = 0);
  // With TLS. What went wrong with the handshake is in tls()->failure() and end().
  static TcpClient connect_tls(uint16_t port, const TlsClientOptions& options = {},
                               int receive_buffer_bytes = 0);

  bool open() const { return fd_ >= 0; }
  int fd() const { return fd_; }
  TlsClient* tls() { return tls_.get(); }  // null without

  // Sends everything, at once or in chops of so many octets. Reads (and keeps) what
  // comes meanwhile: a server that waits for its reader must not wait for ever, and
  // an answer must not be lost to the reset that follows it. Without octets it only does
  // that. False if the peer took no
  // more: it has closed, or time ran out.
  bool send(std::string_view bytes, size_t chop_bytes = 0);

  // Sends without reading, until everything is with the kernel or nothing moves for so
  // long. What is left goes ahead of what is sent next.
  bool send_until_stalled(std::string_view bytes, std::chrono::milliseconds stalled);

  // Beside TLS, as they are.
  bool send_on_the_wire(std::string_view bytes);

  // What has come, after waiting until at least `bytes_min` have; less when the connection
  // ended before.
  std::string_view received(size_t bytes_min);
  void consume(size_t bytes);

  // Meaningful once received() gave less than it was asked for.
  End end() const { return end_; }

  void shutdown_write();  // FIN; with TLS its close_notify before it
  void reset();           // RST
  void close();

 private:
  explicit TcpClient(int fd) : fd_(fd) {}

  bool read_some();  // false at the end; never waits
  void queue(std::string_view bytes);
  bool flush();
  bool shake_hands();

  int fd_ = -1;
  End end_ = End::none;
  std::unique_ptr<TlsClient> tls_;
  std::string unsent_;    // for the wire
  std::string received_;  // [consumed_, size()) is not yet consumed
  size_t consumed_ = 0;
};

struct HttpAnswer {
  int status = 0;  // 0: none that could be read
  std::string status_line;
  std::vector<std::pair<std::string, std::string>> headers;  // as sent, in order
  std::string body;

  // The value of the first header of that name (any case), or empty.
  std::string header(std::string_view name) const;
  size_t count(std::string_view name) const;
};

// Reads a status line, headers and the body that Content-Length or the end of the
// connection delimits; none after 101.
HttpAnswer read_http_answer(TcpClient& client);

// GET on a connection of its own.
HttpAnswer http_get(TcpClient client, std::string_view path);
HttpAnswer http_get(uint16_t port, std::string_view path);

// A frame as the server sent it.
struct ServerFrame {
  bool fin = false;
  unsigned rsv = 0;
  unsigned opcode = 0;
  bool masked = false;
  bool minimal = true;  // the length took the shortest form
  std::string payload;

  // Close frames: the code, 0 for an empty body; and the reason.
  unsigned close_code() const;
  std::string close_reason() const;
};

class WebSocketClient {
 public:
  // The sample key of RFC 6455 section 1.3, whose answer everybody knows.
  static constexpr std::string_view kKey = "dGhlIHNhbXBsZSBub25jZQ==";
  static constexpr std::string_view kAccept = "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=";

  // The opening handshake's request, with more header lines ("Name: value\r\n") as given.
  static std::string request(std::string_view path, std::string_view more_headers = {});

  // Connects, asks and reads the answer. open() if it was 101.
  static WebSocketClient connect(uint16_t port, std::string_view path, std::string_view more_headers = {});

  // The same on a connection that has been made, in whatever way.
  static WebSocketClient ask(TcpClient tcp, std::string_view path, std::string_view more_headers = {});

  // On a connection whose request has been sent, in whatever way.
  static WebSocketClient on(TcpClient tcp);

  bool open() const { return answer_.status == 101; }
  const HttpAnswer& answer() const { return answer_; }
  TcpClient& tcp() { return tcp_; }

  bool send(std::string_view wire, size_t chop_bytes = 0) { return tcp_.send(wire, chop_bytes); }

  // The next frame; none when the connection ended first (see tcp().end()), also in
  // the middle of a frame.
  std::optional<ServerFrame> next();

 private:
  TcpClient tcp_;
  HttpAnswer answer_;
};

}  // namespace ringcast::blackbox
