// One connection's conversation with the application that is asked about it: what it said of
// the connection, what it keeps here between calls, and the one call that is under way. On its
// shard's thread; outlives the session while an answer is awaited, so that the application
// hears of the end after all else.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "base/slab.h"
#include "rpc/rpc_messages.h"
#include "rpc/rpc_pool.h"
#include "rpc_service.h"
#include "shard/session.h"

namespace ringcast::internal {

class RpcChannel;

class RpcSession : public std::enable_shared_from_this<RpcSession> {
 public:
  RpcSession(RpcService& service, Session& session, const Exchange& exchange);

  // Within connect(): the application decides, and the session is on hold until it has. Whom
  // it recognizes is told to `recognized`, before the welcome.
  void connect(std::function<void(std::string_view identifiers)> recognized);
  // Within connect(): who it is, is known without asking.
  void known_as(std::string identifiers);
  const std::string& identifiers() const { return identifiers_; }

  std::unique_ptr<SessionChannel> make_channel(Session& session, ChannelIdentifierRef identifier);

  // The session is over, its channels are gone: the application hears of it, unless it never
  // heard of the connection. More often does no harm.
  void ended();

 private:
  friend class RpcChannel;

  // The command under way; none: a connect.
  struct Current {
    std::string command;
    std::string identifier;
    RpcState state;                 // of its channel, when the channel is gone
    RpcChannel* channel = nullptr;  // null once it is gone
  };

  void subscribe(RpcChannel& channel);
  void perform(RpcChannel& channel, std::string_view data);
  void unsubscribe(std::string identifier, RpcState state);
  void leave(RpcChannel& channel);  // with the connection

  void command(Current current, std::string_view data);
  void ask(RpcMethod method, std::string body);
  void answered(Shard& shard, RpcReply& reply);
  void answered_too_late(const RpcReply& reply);
  void connected(Session& session, RpcReply& reply);
  void commanded(Session& session, RpcReply& reply);
  void apply(Session& session, RpcReply& reply);
  void finish_subscribe(RpcReply& reply, bool streaming);
  void part(Session& session, RpcAnswer& answer);
  void send_away(Session& session);
  void say_farewell();
  bool waiting_for_connect() const { return calling_ && current_.command.empty(); }

  RpcService& service_;
  Shard& shard_;
  const SlotId connection_;
  const std::string socket_id_;
  const std::string origin_;

  std::function<void(std::string_view)> recognized_;  // until the application has decided
  std::string identifiers_;
  RpcState state_;
  bool heard_of_ = false;  // the application knows the connection
  bool calling_ = false;
  bool over_ = false;
  bool said_farewell_ = false;
  Current current_;                    // meaningful while calling_
  std::vector<RpcSubscription> left_;  // channels at the end of the connection
};

}  // namespace ringcast::internal
