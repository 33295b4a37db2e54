// A raw WebSocket, for protocols of one's own. The object lives from `open` to the
// return of `close`, at one address, on its connection's shard: callbacks of one
// socket never run at the same time, and its functions are called from them only.
// To reach a socket from elsewhere, publish to a stream it reads.
#pragma once

#include <cstdint>
#include <functional>
#include <initializer_list>
#include <memory>
#include <optional>
#include <stdexcept>
#include <string>
#include <string_view>
#include <typeinfo>
#include <utility>

#include "ringcast/broadcast.h"
#include "ringcast/json.h"
#include "ringcast/log.h"
#include "ringcast/slow_consumer.h"

namespace ringcast {

class Request;
class Response;
class Server;

namespace internal {
class RawSession;
}  // namespace internal

class WebSocket {
 public:
  WebSocket(const WebSocket&) = delete;
  WebSocket& operator=(const WebSocket&) = delete;

  // Sends to this peer, behind what was sent to it before. Nothing happens once the
  // socket closes: a message for somebody who left is not an error. A peer that does
  // not read makes its own messages wait, so answering each message with a bounded
  // number of sends is bounded memory.
  void send(Text text);
  void send(Binary binary);
  void send(const Json& json);
  template <StringLike T>
  void send(const T& text) {
    send(Text(text));
  }

  // Starts the closing handshake. A reason is cut to 123 bytes at a character; a code
  // that must not be sent (1004..1006, 1015, below 1000, 1016..2999, above 4999) is 1000.
  void close(uint16_t code = 1000, std::string_view reason = {});

  // Messages of that stream are sent to this peer as they are; nothing published after
  // the peer saw its handshake answered is missed if `open` asked for it. Twice is
  // once. False: a limit on names or their number, or the socket is closing.
  bool stream_from(std::string_view stream);
  void stop_stream_from(std::string_view stream);

  // Publishes; everybody on the stream gets it, this socket too if it reads the
  // stream. A server that cannot keep up makes this socket's messages wait, so what
  // is not `ok` is the message's own fault.
  BroadcastStatus broadcast(std::string_view stream, Text text);
  BroadcastStatus broadcast(std::string_view stream, Binary binary);
  BroadcastStatus broadcast(std::string_view stream, const Json& json);
  template <StringLike T>
  BroadcastStatus broadcast(std::string_view stream, const T& text) {
    return broadcast(stream, Text(text));
  }

  // What the route's pattern named, and the query of the request, decoded; empty if
  // it is not there. As with Request, but kept for the socket's life.
  std::string parameter(std::string_view name) const;
  std::string query(std::string_view name) const;
  std::string_view path() const;
  std::string remote_address() const;

  // Who is at the other end, if the route asks (WebSocketRoute::identified): the value of
  // that identifier, or null; and all of them, an object.
  const Json& identifier(std::string_view name) const;
  const Json& identifiers() const;

  // The N of "Client N": the same for the socket's life, and no other connection of
  // the server's, raw or Action Cable, has it.
  uint64_t number() const;

  // State of the embedder's, made when first asked for and destroyed with the
  // socket. One type per socket: another one throws std::logic_error.
  template <class T>
  T& data() {
    std::unique_ptr<Data>& data = held_data();
    if (!data) data = std::make_unique<DataOf<T>>();
    if (data->type != typeid(T)) throw std::logic_error("WebSocket::data is asked for as two types");
    return static_cast<DataOf<T>&>(*data).value;
  }

  // Tags stand on every line this socket logs.
  void add_tags(std::initializer_list<std::string_view> tags);
  void log(LogLevel level, std::string_view event, std::initializer_list<LogField> fields = {});

  Server& server() const;

 private:
  friend class internal::RawSession;
  WebSocket() = default;
  ~WebSocket() = default;

  struct Data {
    explicit Data(const std::type_info& type) : type(type) {}
    virtual ~Data() = default;
    const std::type_info& type;
  };
  template <class T>
  struct DataOf final : Data {
    DataOf() : Data(typeid(T)) {}
    T value{};
  };

  // What it is a part of.
  internal::RawSession& session();
  const internal::RawSession& session() const;
  std::unique_ptr<Data>& held_data();
};

// What a route does. Everything may be left out: a text or binary message nobody
// takes closes the socket with 1003. What a callback throws is logged and counted,
// and costs that one message; thrown from `open` it closes the socket with 1011.
struct WebSocketRoute {
  std::function<void(WebSocket&)> open = {};
  std::function<void(WebSocket&, Text)> message = {};
  std::function<void(WebSocket&, Binary)> binary = {};
  // The peer's code and reason; 1005 if it gave none, 1006 if the connection broke.
  // Called once for each socket that was opened, last of all.
  std::function<void(WebSocket&, uint16_t code, std::string_view reason)> close = {};
  // The peer broke the protocol, or a limit; `close` follows.
  std::function<void(WebSocket&, std::string_view reason)> error = {};

  // Whether whoever comes has to have all identifiers of Options::identified_by, as on a
  // cable; else it is 401. The socket is closed (1008) when its token expires, and when
  // somebody disconnects who it is (Server::disconnect).
  bool identified = false;
  // Before the upgrade: false is 401 and no socket.
  std::function<bool(const Request&)> authorize = {};
  // The same once it is known who it is (`identifiers` is empty if nobody was asked): false is
  // 403.
  std::function<bool(const Request&, const Json& identifiers)> allow = {};
  // A GET that asks for no upgrade; without it the answer is 426.
  std::function<void(const Request&, Response&)> page = {};

  // Largest message accepted (1009 past it); 0 is Options::max_message_bytes.
  uint64_t message_bytes_max = 0;
  // Whether a browser's Origin has to be allowed (403).
  bool check_origin = true;
  // Where no Options::stream_policy names the stream; empty: Options::slow_consumer.
  std::optional<SlowConsumer> slow_consumer = {};
};

}  // namespace ringcast
