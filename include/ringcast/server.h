// The server: routes, a life from start() to stop(), and publishing from any thread.
//
//   ringcast::Server server({.listen = {"127.0.0.1:8080"}});
//   server.cable("/cable").channel<ChatChannel>("ChatChannel");
//   server.websocket("/websocket/:room", {.open = …, .message = …});
//   server.post("/send/:room", [](const ringcast::Request&, ringcast::Response&) { … });
//   if (const auto started = server.start(); !started) die(started.error);
//
// It is a guest in its process: it starts one thread per shard and one for the log,
// blocks every signal on them, and touches no signal disposition, limit, stdout or
// locale, and never exits. run() is for programs that hand their main over.
//
// Threads: routes are added by one thread before start(). broadcast(), publisher(),
// stats(), metrics_text(), ready(), log() and stop() may be called from any thread at
// any time. Callbacks run on shard threads: what they share with one another or with
// the rest of the program is theirs to guard, and a callback that blocks stops its
// shard.
//
// A pattern is a path: "/cable", "/websocket/:room" (a segment, by name), "/files/*"
// (all the rest). The first route added that matches is taken.
#pragma once

#include <chrono>
#include <concepts>
#include <cstddef>
#include <functional>
#include <initializer_list>
#include <memory>
#include <new>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "ringcast/broadcast.h"
#include "ringcast/channel.h"
#include "ringcast/connection.h"
#include "ringcast/json.h"
#include "ringcast/log.h"
#include "ringcast/options.h"
#include "ringcast/publisher.h"
#include "ringcast/request.h"
#include "ringcast/response.h"
#include "ringcast/stats.h"
#include "ringcast/websocket.h"

namespace ringcast {

namespace internal {
struct CableDefinition;
struct ChannelDefinition;
}  // namespace internal

// What is served at an Action Cable address; returned by Server::cable. Each function
// returns the route itself.
class CableRoute {
 public:
  CableRoute(const CableRoute&) = delete;
  CableRoute& operator=(const CableRoute&) = delete;

  // The value of an identifier, from the request. Nothing: the connection is refused
  // as unauthorized. Asked in the order given, all before any authorize().
  CableRoute& identified_by(std::string_view name, std::function<std::optional<Json>(const Request&)> value);

  // The same from a source as --identified-by takes it:
  //   cookies.signed.NAME[/POINTER], cookies.encrypted.NAME[/POINTER], devise.COOKIE[/SCOPE],
  //   jwt.CLAIM[/POINTER], any of these with [] behind it (a list: what somebody may), header.NAME (of
  //   trusted proxies alone), query.NAME (which proves nothing), or a template around them:
  //   "gid://app/User/{cookies.signed.user_id}"
  // start() says so when it is none of them, or lacks its secret in Options.
  CableRoute& identified_by(std::string_view name, std::string_view source);

  // False: the connection is refused as unauthorized.
  CableRoute& authorize(std::function<bool(const Request&)> allowed);

  // Tags for every line the connection logs, once its identifiers are known.
  CableRoute& tags(std::function<std::vector<std::string>(const Request&, const CableConnection&)> tags);

  // The class of connections; connect() is asked after what stands above.
  template <std::derived_from<CableConnection> T>
  CableRoute& connection() {
    return set_connection([] { return std::unique_ptr<CableConnection>(std::make_unique<T>()); });
  }

  // A channel under the name clients use, and the actions they may call besides
  // `receive`. The server's own names (subscribed, unsubscribed, what begins with _ or
  // $) cannot be actions (valid_action()): start() says so.
  template <std::derived_from<Channel> T>
  CableRoute& channel(std::string_view name, std::initializer_list<ChannelAction<T>> actions = {}) {
    std::vector<NamedAction> named;
    for (const ChannelAction<T>& action : actions) named.push_back({action.name(), action.call()});
    if constexpr (alignof(T) <= alignof(std::max_align_t)) {
      return add_channel(name, ChannelClass::of<T>(), std::move(named));
    } else {
      return add_channel(
          name, [] { return std::unique_ptr<Channel>(std::make_unique<T>()); }, std::move(named));
    }
  }

  // The same with a factory, for channels that need something to be made with.
  template <std::derived_from<Channel> T>
  CableRoute& channel(std::string_view name, std::function<std::unique_ptr<T>()> make,
                      std::initializer_list<ChannelAction<T>> actions = {}) {
    std::vector<NamedAction> named;
    for (const ChannelAction<T>& action : actions) named.push_back({action.name(), action.call()});
    return add_channel(
        name, [make = std::move(make)] { return std::unique_ptr<Channel>(make()); }, std::move(named));
  }

  // Whether clients can call an action of that name.
  static bool valid_action(std::string_view name);

  // Channels that are found by name when somebody subscribes; their actions reach
  // Channel::perform(). Asked before what stands above is looked up, on all shards at once;
  // null: none of that name. Several are asked in the order given.
  CableRoute& channels(std::function<std::unique_ptr<Channel>(std::string_view name)> find);

  // Whether a browser's Origin has to be allowed; true unless said otherwise.
  CableRoute& check_origin(bool check);

  // With Options::rpc_url: whether the application is asked about connections that nothing
  // above identifies, and about channels that this route does not have. True unless said otherwise.
  CableRoute& ask_application(bool ask);

  // For subscribers of this route, where no Options::stream_policy names the stream;
  // Options::slow_consumer unless said otherwise.
  CableRoute& slow_consumer(SlowConsumer policy);

 private:
  friend struct internal::CableDefinition;
  friend struct internal::ChannelDefinition;
  explicit CableRoute(internal::CableDefinition& definition) : definition_(&definition) {}

  struct NamedAction {
    std::string name;
    std::function<void(Channel&, const Json&)> call;
  };
  // Makes a channel where it is told to.
  struct ChannelClass {
    template <class T>
    static ChannelClass of() {
      return {sizeof(T), alignof(T), [](void* at) -> Channel* { return ::new (at) T(); }};
    }

    size_t bytes;
    size_t alignment;
    Channel* (*make)(void* at);
  };
  CableRoute& add_channel(std::string_view name, ChannelClass made, std::vector<NamedAction> actions);
  CableRoute& add_channel(std::string_view name, std::function<std::unique_ptr<Channel>()> make,
                          std::vector<NamedAction> actions);
  CableRoute& add_channel(std::string_view name, internal::ChannelDefinition channel,
                          std::vector<NamedAction> actions);
  CableRoute& set_connection(std::function<std::unique_ptr<CableConnection>()> make);

  internal::CableDefinition* definition_;
};

// Whether a server started, and if not, why: one sentence.
struct [[nodiscard]] StartResult {
  std::string error;
  explicit operator bool() const { return error.empty(); }
};

class Server {
 public:
  explicit Server(Options options = {});
  // Stops at once, without a drain.
  ~Server();
  Server(const Server&) = delete;
  Server& operator=(const Server&) = delete;

  // --- Routes, before start() ---------------------------------------------------

  // Whether it is one; start() refuses others.
  static bool valid_pattern(std::string_view pattern);

  CableRoute& cable(std::string_view pattern);
  void websocket(std::string_view pattern, WebSocketRoute route);

  using HttpHandler = std::function<void(const Request&, Response&)>;
  void get(std::string_view pattern, HttpHandler handler);  // answers HEAD too
  void post(std::string_view pattern, HttpHandler handler);
  void route(std::string_view method, std::string_view pattern, HttpHandler handler);

  // --- Life -----------------------------------------------------------------------

  // Opens the addresses and starts the shards; serves when it returns. Once in a
  // server's life. A bad route, a bad option and a taken port are told here.
  StartResult start();

  // start(), if nobody called it, and then waits until stop() or, if the options let
  // it handle signals, SIGTERM or SIGINT: the first drains, the next one ends at once.
  // Returns the process's exit status; errors are written to stderr.
  int run();

  // Ends: no more connections; every client is told to come back elsewhere, over half
  // of `drain`; what is left when it has passed is cut. Returns when all is over; from
  // a callback, at once. A call without a drain ends one that is under way.
  void stop(std::chrono::milliseconds drain = std::chrono::milliseconds(0));

  // Between a successful start() and the beginning of the end.
  bool ready() const;

  // "127.0.0.1:8080", …: with the port that was picked where 0 was asked for; those of
  // Options::listen first, then those of Options::tls_listen.
  std::vector<std::string> addresses() const;
  // The same as "http://127.0.0.1:8080", "https://127.0.0.1:8443".
  std::vector<std::string> urls() const;

  const Options& options() const;

  // What can be changed while it runs; takes effect for requests from now on.
  void set_allowed_origins(std::vector<std::string> allowed);
  // PEM files as Options::tls_cert and tls_key; connections there are keep the certificate
  // they have. Returns what is wrong, in a sentence, with everything as it was; or nothing.
  [[nodiscard]] std::string replace_certificate(const std::string& chain_file, const std::string& key_file);
  // Reads the files of secrets and keys again that Options names. Whoever is connected stays;
  // what verifies from now on is verified with these. Returns what is wrong, in a sentence, with
  // everything as it was; or nothing.
  [[nodiscard]] std::string reload_secrets();
  void set_log_level(LogLevel level);

  // --- From any thread --------------------------------------------------------------

  // Publishes to everybody on a stream. Never blocks. Calls of one thread keep their
  // order on a stream. `full`: the server cannot keep up, and nothing was published.
  [[nodiscard]] BroadcastStatus broadcast(std::string_view stream, Text text);
  [[nodiscard]] BroadcastStatus broadcast(std::string_view stream, Binary binary);
  [[nodiscard]] BroadcastStatus broadcast(std::string_view stream, const Json& json);
  template <StringLike T>
  [[nodiscard]] BroadcastStatus broadcast(std::string_view stream, const T& text) {
    return broadcast(stream, Text(text));
  }

  // Publishes all of them, in order, or none.
  struct Broadcast {
    std::string stream;
    std::string text;
    std::string exclude_socket = {};  // CableConnection::socket_id() of who does not get it
  };
  [[nodiscard]] BroadcastStatus broadcast(const std::vector<Broadcast>& batch);

  // Ends every Action Cable connection, on all servers that share the engine, that has just
  // these identifiers: {{"current_user", "gid://app/User/7"}}. As Rails'
  // remote_connections.where(…).disconnect, which reaches connections here, too. All
  // identifiers of a connection have to be given; `invalid`: there are none. The clients are
  // told "remote", and whether they may come back.
  [[nodiscard]] BroadcastStatus disconnect(const Json& identifiers, bool reconnect = true);
  // The same as an element of a batch.
  static Broadcast disconnection(const Json& identifiers, bool reconnect = true);

  // As above for a subscriber of `stream_for(key)` in channels of that class.
  [[nodiscard]] BroadcastStatus broadcast_to(std::string_view channel_class, const StreamKey& key,
                                             const Json& json) {
    return broadcast(broadcasting_for(channel_class, key), json);
  }

  // For a thread that publishes much: a way in of its own, without locks (publisher.h).
  Publisher publisher(PublisherOptions options = {});
  // For many messages to one stream, from any thread. Before start() it publishes nowhere yet.
  StreamPublisher publisher(std::string_view stream);

  // With AdapterChoice::test: what was broadcast to a stream, oldest first, as Rails' test
  // adapter remembers it, JSON as text; whether or not anybody listened. What broadcast()
  // of this class has returned from is there; what a channel broadcast, at the latest when
  // a subscriber has it. Empty with other adapters.
  std::vector<std::string> broadcasts(std::string_view stream) const;
  void clear_broadcasts(std::string_view stream);
  void clear_broadcasts();  // of all streams

  Stats stats() const;
  std::string metrics_text() const;  // Prometheus text format 0.0.4

  void log(LogLevel level, std::string_view event, std::initializer_list<LogField> fields = {});

 private:
  std::shared_ptr<internal::ServerCore> core_;
};

}  // namespace ringcast
