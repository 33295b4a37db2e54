// The conversation on a raw WebSocket route, between its connection and the
// embedder's code, which derives from it. Owned by the connection; shard thread only;
// dies with the connection, after closed() was called.
#pragma once

#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>

#include "shard/expiry.h"
#include "shard/handlers.h"
#include "shard/identities.h"
#include "shard/message.h"
#include "shard/routes.h"

namespace ringcast {

class Connection;

// What a socket keeps of its request, in one block. The names of the parameters are the route's.
class RequestTarget {
 public:
  RequestTarget() = default;  // nothing is kept
  RequestTarget(std::string_view path, std::string_view query, std::span<const PathParameter> parameters);
  explicit operator bool() const { return parts_ != nullptr; }

  std::string_view path() const { return part(0); }
  std::string_view query() const { return part(1); }
  std::string_view parameter(size_t index) const { return part(2 + index); }

 private:
  std::string_view part(size_t index) const;

  std::unique_ptr<char[]> parts_;  // each behind its length, seven bits of that in an octet
};

class RawSocket : public ConnectionPhase {
 public:
  RawSocket(const RawSocket&) = delete;
  RawSocket& operator=(const RawSocket&) = delete;

  // --- For the embedder's code ---------------------------------------------------

  // Queues a message to this peer alone, behind what was broadcast to it before.
  // False if the socket is closing. Text must be valid UTF-8.
  bool send(Opcode opcode, Bytes payload);

  // Begins the closing handshake. No effect on a socket that is closing.
  void close(CloseCode code, std::string_view reason);

  // Idempotent per stream. False: a limit (streams per connection, name length).
  bool stream_from(std::string_view stream);
  void stop_stream_from(std::string_view stream);

  PublishStatus broadcast(std::string_view stream, PayloadKind kind, Bytes payload);

  // As sent, without the query.
  std::string_view path() const { return target_ ? target_.path() : std::string_view(route_.name); }
  std::string_view parameter(std::string_view name) const;        // of the path; empty if absent
  std::optional<std::string> query(std::string_view name) const;  // of the query string, decoded
  uint64_t number() const;                                        // "Client N"
  const IpAddress& peer() const;
  Shard& shard() const;
  const Route& route() const { return route_; }

  // Within opened(): what names this connection to other processes, as connection_identifier()
  // makes it; it can be disconnected by that name. And when the credential it came with
  // ceases to be good: it is closed with 1008 then.
  void identify(std::string_view name);
  void expire_at(int64_t unix_ms);

  // --- For the connection ------------------------------------------------------

  void open();
  void message(Opcode opcode, MutableBytes payload);
  void protocol_error(std::string_view problem);
  void ended(CloseCode code, std::string_view reason);

 protected:
  RawSocket(Connection& connection, const Route& route, const Exchange& exchange);

  // What few of them have: they have brought a credential. The embedder's half may add to it.
  struct Extra {
    virtual ~Extra() = default;

    std::unique_ptr<Identities::Member> identity;  // while it is open, if it has a name
    std::unique_ptr<Expiry> expiry;                // if it expires
  };
  Extra& extra() {
    if (!extra_) extra_ = make_extra();
    return *extra_;
  }
  const Extra* known_extra() const { return extra_.get(); }

 private:
  // --- The embedder's code --------------------------------------------------------

  // What is sent now comes right behind the 101, and nothing leaves before every stream
  // subscribed here is live: whoever has seen the 101 misses nothing. failed: 1011.
  virtual CallResult opened() = 0;

  // A whole message; `payload` may be changed in place and is good during the call.
  // failed: the message is dropped, erred() is called.
  virtual CallResult received(Opcode opcode, MutableBytes payload) = 0;

  // The connection is over (nothing can be sent any more): called once for each opened().
  // `code` is what the peer's Close said, 1005 if it had none, 1006 if it never came.
  virtual void closed(CloseCode code, std::string_view reason) = 0;

  // The peer broke the protocol, or received() failed.
  virtual void erred(std::string_view reason) = 0;

  // Not for constructors, in which it would be this one.
  virtual std::unique_ptr<Extra> make_extra() { return std::make_unique<Extra>(); }

  Connection& connection_;
  const Route& route_;
  const RequestTarget target_;  // where it says more than the route
  std::unique_ptr<Extra> extra_;
};

// A hundred thousand sockets pay 100 KB for each byte.
static_assert(sizeof(RawSocket) == 40);

}  // namespace ringcast
