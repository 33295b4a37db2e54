// What is asked, in order, and what the answers do.
#include "rpc_session.h"

#include <algorithm>
#include <utility>

#include "base/assert.h"
#include "protocol/cable.h"
#include "shard/connection.h"
#include "shard/shard.h"

namespace ringcast::internal {
namespace {

bool any_of_type(const std::vector<std::string>& transmissions, std::string_view type) {
  return std::ranges::any_of(transmissions,
                             [&](const std::string& text) { return transmission_type(text) == type; });
}

}  // namespace

// A channel that the application knows and we do not.
class RpcChannel final : public SessionChannel {
 public:
  RpcChannel(std::shared_ptr<RpcSession> conversation, Session& session, ChannelIdentifierRef identifier)
      : SessionChannel(session, std::move(identifier)), conversation_(std::move(conversation)) {}
  ~RpcChannel() override {
    // Its answer, if one is awaited, finds nobody.
    if (conversation_->current_.channel == this) conversation_->current_.channel = nullptr;
  }

  RpcState state;
  bool accepted = false;  // by the application

 private:
  CallResult subscribed() override {
    conversation_->subscribe(*this);
    return CallResult::ok;
  }
  void unsubscribed() override {
    if (conversation_->current_.channel == this) {
      conversation_->current_.state = state;
      conversation_->current_.channel = nullptr;
    }
    if (!accepted) return;
    if (session().over()) {
      conversation_->leave(*this);
    } else {
      conversation_->unsubscribe(std::string(identifier()), std::move(state));
    }
  }
  bool pass_on(std::string_view data) override {
    conversation_->perform(*this, data);
    return true;
  }
  bool perform(std::string_view, const Json&, CallResult&) override { return false; }
  CallResult timer(uint32_t) override { return CallResult::ok; }

  const std::shared_ptr<RpcSession> conversation_;
};

RpcSession::RpcSession(RpcService& service, Session& session, const Exchange& exchange)
    : service_(service),
      shard_(session.shard()),
      connection_(session.connection().id()),
      socket_id_(session.socket_id()),
      origin_(service.describe(exchange, exchange.host)) {}

// --- Asking ----------------------------------------------------------------------------

void RpcSession::connect(std::function<void(std::string_view)> recognized) {
  recognized_ = std::move(recognized);
  shard_.find(connection_)->session()->hold();
  std::string body;
  append_rpc_connect(body, origin_);
  current_ = {};
  ask(RpcMethod::connect, std::move(body));
}

void RpcSession::known_as(std::string identifiers) {
  identifiers_ = std::move(identifiers);
}

std::unique_ptr<SessionChannel> RpcSession::make_channel(Session& session, ChannelIdentifierRef identifier) {
  return std::make_unique<RpcChannel>(shared_from_this(), session, std::move(identifier));
}

void RpcSession::subscribe(RpcChannel& channel) {
  channel.ask();
  command({.command = "subscribe",
           .identifier = std::string(channel.identifier()),
           .state = {},
           .channel = &channel},
          {});
}

void RpcSession::perform(RpcChannel& channel, std::string_view data) {
  command({.command = "message",
           .identifier = std::string(channel.identifier()),
           .state = {},
           .channel = &channel},
          data);
}

void RpcSession::unsubscribe(std::string identifier, RpcState state) {
  command({.command = "unsubscribe",
           .identifier = std::move(identifier),
           .state = std::move(state),
           .channel = nullptr},
          {});
}

void RpcSession::command(Current current, std::string_view data) {
  Session* const session = shard_.find(connection_)->session();
  if (session != nullptr && !session->held()) session->hold();
  current_ = std::move(current);
  std::string body;
  append_rpc_command(body,
                     {.command = current_.command,
                      .identifier = current_.identifier,
                      .connection_identifiers = identifiers_,
                      .data = data},
                     origin_, state_, current_.channel != nullptr ? current_.channel->state : current_.state);
  ask(RpcMethod::command, std::move(body));
}

void RpcSession::ask(RpcMethod method, std::string body) {
  RC_ASSERT(!calling_);
  calling_ = true;
  if (method == RpcMethod::command) heard_of_ = true;
  const auto self = shared_from_this();
  service_.pool().call(
      {.method = method, .body = std::move(body), .socket_id = socket_id_, .done = [self](RpcReply&& reply) {
         self->shard_.post(
             [self, reply = std::move(reply)](Shard& here) mutable { self->answered(here, reply); });
       }});
}

// --- Answers ---------------------------------------------------------------------------

void RpcSession::answered(Shard& shard, RpcReply& reply) {
  const bool connecting = waiting_for_connect();
  calling_ = false;
  Connection* const connection = shard.find(connection_);
  Session* const session = connection == nullptr || over_ ? nullptr : connection->session();
  if (session == nullptr || !session->held()) return answered_too_late(reply);
  if (connecting) {
    connected(*session, reply);
  } else {
    commanded(*session, reply);
  }
}

// The connection has gone meanwhile, or is about to. What the application did it did, and
// hears of the end all the same.
void RpcSession::answered_too_late(const RpcReply& reply) {
  service_.count_stale();
  if (reply.result == RpcResult::success) {
    heard_of_ = true;
    merge_rpc_state(state_, reply.answer.connection_state);
    if (current_.command.empty()) identifiers_ = reply.answer.identifiers;
    if (current_.command == "subscribe") {
      RpcSubscription& left = left_.emplace_back();
      left.identifier = current_.identifier;
      merge_rpc_state(left.state, reply.answer.channel_state);
    }
  }
  if (over_) say_farewell();
}

void RpcSession::connected(Session& session, RpcReply& reply) {
  const auto recognized = std::exchange(recognized_, nullptr);
  RpcAnswer& answer = reply.answer;
  switch (reply.result) {
    case RpcResult::success: {
      heard_of_ = true;
      identifiers_ = std::move(answer.identifiers);
      merge_rpc_state(state_, answer.connection_state);
      recognized(identifiers_);
      if (!any_of_type(answer.transmissions, "welcome")) {
        append_welcome(answer.transmissions.emplace_back(), socket_id_);
        std::rotate(answer.transmissions.begin(), answer.transmissions.end() - 1, answer.transmissions.end());
      }
      session.welcome(answer.transmissions);
      return session.release();
    }
    case RpcResult::failure:
      return session.turn_away(answer.transmissions);
    case RpcResult::error:
    case RpcResult::nonsense:
      return session.close(CloseCode::internal_error, "the application failed", EndReason::internal_error);
    default:
      return send_away(session);
  }
}

void RpcSession::commanded(Session& session, RpcReply& reply) {
  if (reply.unanswered()) return send_away(session);
  if (reply.result == RpcResult::error || reply.result == RpcResult::nonsense) {
    // As an exception in a channel's callback: it costs the command.
    shard_.counters().callback_exceptions.add();
    if (current_.command == "subscribe" && current_.channel != nullptr) {
      current_.channel->refuse({});
    }
  } else {
    apply(session, reply);
  }
  // An answer may have caused the next call.
  if (!calling_ && session.held() && shard_.find(connection_)->session() != nullptr) session.release();
}

// AnyCable's order: streams, states, transmissions, and the end.
void RpcSession::apply(Session& session, RpcReply& reply) {
  RpcAnswer& answer = reply.answer;
  merge_rpc_state(state_, answer.connection_state);
  RpcChannel* const channel = current_.channel;
  bool streaming = true;
  if (channel != nullptr) {
    if (answer.stop_streams) channel->stop_all_streams();
    for (const std::string& stream : answer.stopped_streams) channel->stop_stream_from(stream);
    for (const std::string& stream : answer.streams) {
      if (channel->stream_from(stream)) continue;
      streaming = false;
      shard_.log().log(
          shard_.now(), LogLevel::warn, "stream_refused",
          {{"connection", session.number()}, {"tags", session.tags()}, {"bytes", uint64_t{stream.size()}}});
    }
    merge_rpc_state(channel->state, answer.channel_state);
  }
  if (current_.command == "subscribe" && channel != nullptr) {
    channel->accepted = reply.result == RpcResult::success;
    if (!answer.disconnect) return finish_subscribe(reply, streaming);
  }
  for (const std::string& text : answer.transmissions) {
    if (channel != nullptr) {
      session.send_behind(*channel, text);
    } else {
      session.send_reply(text);
    }
  }
  if (answer.disconnect) part(session, answer);
}

void RpcSession::finish_subscribe(RpcReply& reply, bool streaming) {
  std::vector<std::string>& transmissions = reply.answer.transmissions;
  SessionChannel& subscription = *current_.channel;
  if (reply.result == RpcResult::failure) {
    if (!any_of_type(transmissions, "reject_subscription")) {
      append_reject(transmissions.emplace_back(), subscription.identifier());
    }
    return subscription.refuse(transmissions);
  }
  // Confirmed means live, and this will not be: the application hears that it ends.
  if (!streaming) return subscription.refuse({});
  if (!any_of_type(transmissions, "confirm_subscription")) {
    append_confirm(transmissions.emplace_back(), subscription.identifier());
  }
  subscription.accept(std::move(transmissions));
}

// The application ends the connection; its own farewell is mostly among the transmissions.
void RpcSession::part(Session& session, RpcAnswer& answer) {
  if (any_of_type(answer.transmissions, "disconnect")) {
    session.close(CloseCode::normal, {}, EndReason::closed_by_handler);
  } else {
    session.disconnect("remote", true);
  }
}

// Nobody knows what the application did, or it was not asked: a conversation that begins anew
// is right in either case.
void RpcSession::send_away(Session& session) {
  std::string text;
  append_disconnect(text, "unavailable", true);
  session.send_reply(text);
  session.close(CloseCode::try_again_later, "the application does not answer", EndReason::unanswered);
}

// --- The end ---------------------------------------------------------------------------

void RpcSession::leave(RpcChannel& channel) {
  left_.push_back({std::string(channel.identifier()), std::move(channel.state)});
}

void RpcSession::ended() {
  if (std::exchange(over_, true)) return;
  recognized_ = nullptr;
  if (!calling_) say_farewell();  // else once the answer has come
}

void RpcSession::say_farewell() {
  if (!heard_of_ || std::exchange(said_farewell_, true)) return;
  std::string body;
  append_rpc_disconnect(body, identifiers_, left_, origin_, state_);
  service_.pool().call({.method = RpcMethod::disconnect,
                        .body = std::move(body),
                        .socket_id = socket_id_,
                        .done = [](RpcReply&&) {}});
}

}  // namespace ringcast::internal
