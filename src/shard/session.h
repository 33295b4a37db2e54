// The Action Cable conversation on a connection: welcome, commands strictly in
// order, one channel object per identifier, confirmations only once live. Owned
// by the connection; shard thread only. The embedder's code derives from both classes.
#pragma once

#include <deque>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/assert.h"
#include "protocol/cable.h"
#include "shard/channel_identifier.h"
#include "shard/counters.h"
#include "shard/deadline.h"
#include "shard/expiry.h"
#include "shard/handlers.h"
#include "shard/identities.h"
#include "shard/limits.h"
#include "shard/message.h"
#include "shard/routes.h"

namespace ringcast {

class Connection;
class Session;
struct Subscription;

// One (session, identifier): what the client calls a subscription and Rails a
// channel instance. Its streams are the hub's subscriptions. Owned by its session.
class SessionChannel {
 public:
  enum class State : uint8_t {
    subscribing,  // subscribed() runs, or its streams are not all live yet
    confirmed,
    ended,  // rejected, unsubscribed, or the session is over
  };

  SessionChannel(const SessionChannel&) = delete;
  SessionChannel& operator=(const SessionChannel&) = delete;
  virtual ~SessionChannel();

  // --- For the embedder's code ---------------------------------------------------

  // Idempotent per stream. False: a limit. Within subscribed() the confirmation
  // waits until the stream is live.
  bool stream_from(std::string_view stream);
  void stop_stream_from(std::string_view stream);
  void stop_all_streams();

  // To this subscription alone, behind what was broadcast to it before.
  void transmit(const Json& message);

  // Only within subscribed(): the client gets reject_subscription.
  void reject();

  // Only within subscribed(): somebody else is asked. Holds the session; accept() or refuse()
  // follows on another turn, streams being asked for before it, and then Session::release().
  void ask();
  // Confirms once all its streams are live: with `messages` if there are any, in place of our own.
  void accept(std::vector<std::string> messages);
  // Ends it, with `messages` in place of our own reject_subscription.
  void refuse(std::span<const std::string> messages);

  // timer(index) every `interval` while the subscription lives.
  void periodically(Duration interval, uint32_t index);

  // Good until the turn ends: for the callback that asks, and no longer.
  const Json& params() const { return identifier_->params(); }
  std::string_view channel_name() const { return identifier_->channel(); }
  std::string_view identifier() const { return identifier_->text(); }
  Session& session() const { return session_; }

 protected:
  SessionChannel(Session& session, ChannelIdentifierRef identifier);

  struct Periodic {
    Periodic(SessionChannel& channel, Duration interval, uint32_t index);
    void due();

    SessionChannel& channel;
    const Duration interval;
    const uint32_t index;
    Deadline deadline;
  };
  // What few of them have. The embedder's half may add to it.
  struct Extra {
    virtual ~Extra() = default;

    std::vector<std::string> confirmation;  // what is sent in place of ours
    std::vector<Command> waiting;           // commands that came while subscribing, in order
    std::vector<std::unique_ptr<Periodic>> periodics;
  };
  Extra& extra() {
    if (!extra_) extra_ = make_extra();
    return *extra_;
  }

 private:
  friend class Session;
  friend class ChannelList;

  // --- The embedder's code --------------------------------------------------------

  // failed: the subscription is rejected. May leave the decision to others: ask().
  virtual CallResult subscribed() = 0;
  // After every subscribed(), once; also when it rejected.
  virtual void unsubscribed() = 0;
  // False: no such action. failed costs this command only.
  virtual bool perform(std::string_view action, const Json& data, CallResult& result) = 0;
  // Asked before perform(), with the data as the client wrote it: true if that was all.
  virtual bool pass_on(std::string_view /*data*/) { return false; }
  // A timer set with periodically() came due.
  virtual CallResult timer(uint32_t index) = 0;

  // Not for constructors, in which it would be this one.
  virtual std::unique_ptr<Extra> make_extra() { return std::make_unique<Extra>(); }

  bool has_waiting() const { return extra_ && !extra_->waiting.empty(); }

  Session& session_;
  const ChannelIdentifierRef identifier_;
  std::unique_ptr<Extra> extra_;
  const uint32_t index_;               // of this channel in its session: what a Subscription's owner names
  uint32_t streams_pending_ : 24 = 0;  // asked for, not live yet
  static_assert(Limits::kSubscriptionsMax < 1 << 24);
  State state_ : 2 = State::subscribing;
  bool reject_asked_ : 1 = false;
  bool in_subscribed_ : 1 = false;
  bool undecided_ : 1 = false;  // between ask() and its answer
};

// A hundred thousand subscriptions pay 100 KB for each byte.
static_assert(sizeof(SessionChannel) == 40);

// The channels of a session: one or a handful, as a rule, and no more than Limits allows. A
// pass over the hashes is shorter than a map, of which every session would pay for the
// buckets; one alone takes no table.
class ChannelList {
 public:
  ChannelList() = default;
  ChannelList(const ChannelList&) = delete;
  ChannelList& operator=(const ChannelList&) = delete;
  ~ChannelList() { RC_ASSERT(empty()); }

  bool empty() const { return held_ == 0; }
  size_t size() const { return table() != nullptr ? table()->size() : empty() ? 0 : 1; }
  // Null: there is none.
  SessionChannel* find(std::string_view identifier) const;
  SessionChannel* at_index(uint32_t index) const;
  SessionChannel& last() const { return table() != nullptr ? *table()->back().channel : *alone(); }

  void add(std::unique_ptr<SessionChannel> channel);
  void remove(SessionChannel& channel);

 private:
  struct Listed {
    explicit Listed(std::unique_ptr<SessionChannel> channel);

    uint32_t hash;  // of the identifier
    std::unique_ptr<SessionChannel> channel;
  };
  using Table = std::vector<Listed>;
  static constexpr uintptr_t kIsTable = 1;

  bool has_table() const { return (held_ & kIsTable) != 0; }
  SessionChannel* alone() const { return has_table() ? nullptr : reinterpret_cast<SessionChannel*>(held_); }
  Table* table() const { return has_table() ? reinterpret_cast<Table*>(held_ & ~kIsTable) : nullptr; }
  void hold(std::unique_ptr<SessionChannel> channel) {
    held_ = reinterpret_cast<uintptr_t>(channel.release());
  }

  uintptr_t held_ = 0;  // owned: the only channel, or with that bit a table of more than one
};

class Session : public ConnectionPhase {
 public:
  Session(const Session&) = delete;
  Session& operator=(const Session&) = delete;
  ~Session() override;

  // --- For the embedder's code ---------------------------------------------------

  // Within connect(): refuses the connection, with disconnect and that reason (a literal).
  void reject_unauthorized(std::string_view reason = "unauthorized") { extra().refusal = reason; }

  // Within connect(): `value` of the identifier `name` (identified_by), and what it
  // contributes to the connection's own identifier.
  void identify(std::string name, std::string value, std::string param);
  std::optional<std::string_view> identified(std::string_view name) const;
  // What names this connection to other processes.
  std::string connection_identifier() const;

  void add_tags(std::vector<std::string> tags);
  // "[ActionCable] [17]"
  std::string_view tags() const { return extra_ ? extra_->tags : std::string_view(); }

  // Within connect(): when the credential the client came with ceases to be good. It is
  // told ("token_expired") and disconnected then, and may come back with a new one.
  void expire_at(int64_t unix_ms);

  // From within a callback: no command is executed until release(); those that come wait, in
  // their order, among the pending ones. Within connect(), the welcome waits, too, for
  // welcome() or turn_away(), and no longer than a handshake may take.
  void hold();
  bool held() const { return extra_ && extra_->hold != nullptr; }
  // On another turn: executes what came meanwhile, as far as no callback holds again.
  void release();

  // Of a connect() that holds: messages in place of our own, if there are any, and release()
  // follows; or, in place of the refusal, and the end.
  void welcome(std::span<const std::string> messages = {});
  void turn_away(std::span<const std::string> messages = {});
  bool welcomed() const { return welcomed_; }
  // The connection is over, and its channels are told.
  bool over() const { return over_; }

  // Whole messages for the client: in answer to a command, ahead of every stream; or behind
  // what was broadcast to `channel` before.
  void send_reply(std::string_view message);
  void send_behind(const SessionChannel& channel, std::string_view message);
  // Closes with this.
  void close(CloseCode code, std::string_view reason, EndReason why);

  // Tells the client why and closes with 1000.
  void disconnect(std::string_view reason, bool reconnect, EndReason why = EndReason::closed_by_handler);

  PublishStatus broadcast(std::string_view stream, PayloadKind kind, Bytes payload);

  // By which producers can leave it out; empty if the server gives none.
  std::string socket_id() const;
  // Whether that is who is meant.
  bool is(const SocketId& socket) const {
    return extra_ && extra_->socket_secret != 0 && extra_->socket_secret == socket.secret;
  }

  uint64_t number() const;
  const IpAddress& peer() const;
  Shard& shard() const;

  // --- For the connection and the hub -------------------------------------------

  void open(const Exchange& exchange);
  void message(Opcode opcode, MutableBytes payload);
  void ended();

  // The hub says that a subscription asked for by channel `owner` is live.
  void subscription_live(uint32_t owner);

  // Whether commands queued behind unconfirmed subscriptions ask for a pause of reading.
  bool congested() const;

  Connection& connection() const { return connection_; }
  const Route& route() const { return route_; }

  Instant beat_due = kNever;  // Action Cable's next ping

 protected:
  Session(Connection& connection, const Route& route);

  struct Identified {
    std::string name;
    std::string value;
    std::string param;
  };
  // While somebody outside is asked.
  struct Hold {
    std::deque<Command> waiting;         // those that came meanwhile
    std::unique_ptr<Deadline> deadline;  // of a welcome
  };
  // What has been found out about the client, if anything, and what limits it. The embedder's
  // half may add to it.
  struct Extra {
    virtual ~Extra() = default;

    std::vector<Identified> identifiers;
    std::unique_ptr<Identities::Member> identity;  // while it is welcome, if it has identifiers
    std::string tags;
    std::unique_ptr<Expiry> expiry;  // if its credential expires
    std::string_view refusal;        // empty: the connection is welcome
    uint64_t socket_secret = 0;      // 0: it has no id
    Instant second_began{};
    uint32_t commands_this_second = 0;
    std::unique_ptr<Hold> hold;  // of the few who wait
    size_t waiting_bytes = 0;    // of commands, here and with the channels
    uint32_t waiting_commands = 0;
    uint32_t errors = 0;
  };
  Extra& extra() {
    if (!extra_) extra_ = make_extra();
    return *extra_;
  }
  const Extra* known_extra() const { return extra_.get(); }

 private:
  friend class SessionChannel;

  // --- The embedder's code --------------------------------------------------------

  // May set identifiers and tags; calls reject_unauthorized() to refuse, or hold() to
  // decide later. failed: as if it had refused.
  virtual CallResult connect(const Exchange& exchange) = 0;

  // A client that connected with a token brings another, and goes on until that one
  // expires. False: it is not a token of the same identity, and nothing has changed.
  virtual bool renew(std::string_view /*token*/) { return false; }

  // After the last channel's unsubscribed(): once for each connect() that was welcomed.
  virtual void disconnected() = 0;

  // Null: there is no such channel, and the peer gets reject_subscription.
  virtual std::unique_ptr<SessionChannel> make_channel(ChannelIdentifierRef identifier) = 0;

  // Not for constructors, in which it would be this one.
  virtual std::unique_ptr<Extra> make_extra() { return std::make_unique<Extra>(); }

  // ---------------------------------------------------------------------------------

  void execute(Command& command);
  void wait_for_release(const Command& command);
  bool is_asked_already(std::string_view identifier);
  void count_waiting(const Command& command);
  void count_no_longer(const Command& command);
  void forget_hold();
  void subscribe(Command& command);
  void refresh(std::string_view token);
  void reject(std::string_view identifier);
  void confirm(SessionChannel& channel);
  void perform(SessionChannel& channel, const Command& command);
  void end_channel(SessionChannel& channel);
  void run_waiting(SessionChannel& channel);
  void ignore(std::string_view problem);
  bool within_rate();
  void forget_identity();

  Connection& connection_;
  const Route& route_;
  ChannelList channels_;
  std::unique_ptr<Extra> extra_;
  uint32_t next_index_ = 1;
  bool welcomed_ = false;
  bool over_ = false;
};

// A hundred thousand sessions pay 100 KB for each byte.
static_assert(sizeof(Session) == 56);

}  // namespace ringcast
