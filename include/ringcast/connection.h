// An Action Cable connection: who is at the other end, for all channels of that
// connection. Lives on its shard from the upgrade to the end of the connection; its
// functions are called from callbacks of that connection only.
//
// Most servers need no class of their own: CableRoute::identified_by and friends say
// it in a line. One that does derives from CableConnection, as a Rails application
// does from ApplicationCable::Connection:
//
//   class AppConnection : public ringcast::CableConnection {
//     void connect(const ringcast::Request& request) override {
//       const auto user = find_user(request.cookie("session"));
//       if (!user) return reject_unauthorized();
//       identify("current_user", user->email);
//       add_tags({"ActionCable", user->email});
//     }
//   };
//   server.cable("/cable").connection<AppConnection>();
#pragma once

#include <cstdint>
#include <initializer_list>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "ringcast/json.h"
#include "ringcast/log.h"

namespace ringcast {

class Request;
class Server;

namespace internal {
class CableSession;
}  // namespace internal

class CableConnection {
 public:
  CableConnection() = default;
  virtual ~CableConnection() = default;
  CableConnection(const CableConnection&) = delete;
  CableConnection& operator=(const CableConnection&) = delete;

  // The value given to identify(), or null.
  const Json& identifier(std::string_view name) const;
  // All of them, in the order they were given: an object.
  const Json& identifiers() const;

  // As WebSocket::number(): the N of "Client N", stable for the connection.
  uint64_t number() const;

  // Names this connection to a producer that wants to leave it out: its client has it as
  // "sid" from the welcome. Empty unless Options::anycable.
  std::string socket_id() const;

  // Ends the connection: {"type":"disconnect","reason":…,"reconnect":…}, then 1000.
  void disconnect(std::string_view reason = "remote", bool reconnect = true);

  // Tags stand on every line this connection logs.
  void add_tags(std::initializer_list<std::string_view> tags);
  const std::vector<std::string>& tags() const;
  void log(LogLevel level, std::string_view event, std::initializer_list<LogField> fields = {});

  Server& server() const;

 protected:
  // Decides about a connection before it is welcomed. The request is gone when this
  // returns: keep what is needed later as an identifier or a member.
  virtual void connect(const Request& request);
  // The connection ended, after the `unsubscribed` of its channels.
  virtual void disconnected();

  // In connect() only. A name given twice keeps the later value.
  void identify(std::string_view name, Json value);
  // In connect() only: {"type":"disconnect","reason":"unauthorized","reconnect":false}
  // and the end, without a welcome.
  void reject_unauthorized();

 private:
  friend class internal::CableSession;

  // Of those of whom anything is known.
  struct Description {
    Json identifiers = Json::object();
    std::vector<std::string> tags;
    bool rejected = false;
  };
  Description& description();
  bool rejected() const { return description_ && description_->rejected; }

  internal::CableSession* session_ = nullptr;
  std::unique_ptr<Description> description_;
};

}  // namespace ringcast
