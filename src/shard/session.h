// The Action Cable conversation on a connection: welcome, commands strictly in
// order, one channel object per identifier, confirmations only once live. Owned
// by the connection; shard thread only.
#pragma once

#include <deque>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "base/hash.h"
#include "base/timer_wheel.h"
#include "protocol/cable.h"
#include "ringcast/broadcast.h"
#include "shard/handlers.h"
#include "shard/message.h"
#include "shard/routes.h"

namespace ringcast {

class Connection;
class Session;
struct Subscription;

// One (session, identifier): what the client calls a subscription and Rails a
// channel instance. Its streams are the hub's subscriptions.
class SessionChannel {
 public:
  enum class State : uint8_t {
    subscribing,  // subscribed() runs, or its streams are not all live yet
    confirmed,
    rejected,
    ended,
  };

  SessionChannel(Session& session, uint32_t index, std::string identifier, Json params);

  // --- For the handler ---------------------------------------------------------

  // Idempotent per stream. False: a limit. Within subscribed() the confirmation
  // waits until the stream is live.
  bool stream_from(std::string_view stream);
  void stop_stream_from(std::string_view stream);
  void stop_all_streams();

  // To this subscription alone, behind what was broadcast to it before.
  void transmit(const Json& message);

  // Only within subscribed(): the client gets reject_subscription.
  void reject();

  // handler->timer(index) every `interval` while the subscription lives.
  void periodically(Duration interval, uint32_t index);

  const Json& params() const { return params_; }
  const std::string& identifier() const { return identifier_; }
  Session& session() const { return session_; }

 private:
  friend class Session;

  struct Periodic {
    Timer timer;
    Duration interval;
    uint32_t index;
  };

  Session& session_;
  const uint32_t index_;  // of this channel in its session: what a Subscription's owner names
  const std::string identifier_;
  const Json params_;
  State state_ = State::subscribing;
  bool reject_asked_ = false;
  uint32_t streams_pending_ = 0;  // subscribed but not live yet
  std::unique_ptr<ChannelHandler> handler_;
  std::deque<Command> waiting_;  // commands that came while subscribing, in order
  std::vector<std::unique_ptr<Periodic>> periodics_;
};

class Session {
 public:
  Session(Connection& connection, const Route& route);
  Session(const Session&) = delete;
  Session& operator=(const Session&) = delete;
  ~Session();

  // --- For the handler ---------------------------------------------------------

  // Within connect(): refuses the connection, with disconnect "unauthorized".
  void reject_unauthorized() { unauthorized_ = true; }

  // Within connect(): `value` of the identifier `name` (identified_by).
  void identify(std::string name, std::string value);
  std::optional<std::string_view> identified(std::string_view name) const;
  // What names this connection to other processes (action_cable.md section 4).
  std::string connection_identifier() const;

  void add_tags(std::vector<std::string> tags);
  std::string_view tags() const { return tags_; }  // "[ActionCable] [17]"

  // Tells the client why and closes with 1000, as a remote disconnect does.
  void disconnect(std::string_view reason, bool reconnect);

  BroadcastStatus broadcast(std::string_view stream, PayloadKind kind, Bytes payload);

  uint64_t number() const;
  const IpAddress& peer() const;
  Shard& shard() const;

  std::unique_ptr<Attachment> attachment;

  // --- For the connection and the hub -------------------------------------------

  void open(const Exchange& exchange);
  void message(Opcode opcode, MutableBytes payload);
  void ended();

  // The hub says that a subscription asked for by channel `owner` is live.
  void subscription_live(uint32_t owner);

  // Whether commands queued behind unconfirmed subscriptions ask for a pause of reading.
  bool congested() const { return waiting_commands_ > 0 && waiting_commands_ >= pending_commands_max_; }

  Connection& connection() const { return connection_; }

 private:
  friend class SessionChannel;

  void execute(Command& command);
  void subscribe(Command& command);
  void perform(SessionChannel& channel, const Command& command);
  void unsubscribe(SessionChannel& channel);
  void settle(SessionChannel& channel);  // confirm or reject once nothing is pending
  void run_waiting(SessionChannel& channel);
  void end_channel(SessionChannel& channel);
  void ignore(std::string_view problem, std::string_view detail);
  void send_text(std::string_view text);

  Connection& connection_;
  const Route& route_;
  std::unordered_map<std::string_view, std::unique_ptr<SessionChannel>, StringHash, std::equal_to<>>
      channels_;
  std::unordered_map<uint32_t, SessionChannel*> by_index_;
  std::vector<std::pair<std::string, std::string>> identifiers_;
  std::string tags_;
  Command command_;  // reused, so that decoding allocates nothing in steady state
  uint32_t next_index_ = 1;
  uint32_t errors_ = 0;
  size_t waiting_commands_ = 0;
  size_t pending_commands_max_;
  bool unauthorized_ = false;
  bool welcomed_ = false;
};

}  // namespace ringcast
