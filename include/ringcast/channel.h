// An Action Cable channel: what happens on one subscription. One object per
// subscription, living on its connection's shard; callbacks of one connection never
// run at the same time and run in the order the client sent its commands.
//
// A class is registered under the name clients use, with the actions they may call:
//
//   class ChatChannel : public ringcast::Channel {
//    public:
//     void subscribed() override { stream_from("chat_" + params().string("room_id")); }
//     void speak(const ringcast::Json& data) { … }
//   };
//   server.cable("/cable").channel<ChatChannel>("ChatChannel", {{"speak", &ChatChannel::speak}});
//
// Nothing else is callable: there is no lookup by name beyond that list, unless a class
// looks names up itself (perform()).
#pragma once

#include <chrono>
#include <concepts>
#include <functional>
#include <string>
#include <string_view>

#include "ringcast/broadcast.h"
#include "ringcast/connection.h"
#include "ringcast/json.h"

namespace ringcast {

namespace internal {
class CableSession;
class CableChannel;
}  // namespace internal

class Channel {
 public:
  Channel() = default;
  virtual ~Channel() = default;
  Channel(const Channel&) = delete;
  Channel& operator=(const Channel&) = delete;

  // A client subscribed. The subscription is confirmed when this has returned without
  // reject() and every stream it asked for is live: nothing published after the
  // confirmation is missed.
  virtual void subscribed();
  // It ended: by the client's command, by reject(), or with its connection.
  virtual void unsubscribed();
  // The action of a message that names none, or names "receive". `data` is what the
  // client performed, its "action" included.
  virtual void receive(const Json& data);
  // An action that was not registered. False: there is none of that name, which counts as a
  // meaningless command. This one knows "receive".
  virtual bool perform(std::string_view action, const Json& data);

 protected:
  // The decoded identifier, "channel" included. Not yet there in a constructor. The reference,
  // and whatever is read through it, is good until the callback that asked returns: copy what
  // is needed later, or ask again.
  const Json& params() const;
  // The identifier as the client sent it.
  std::string_view identifier() const;
  CableConnection& connection() const;
  Server& server() const;
  // The name the class was registered under.
  std::string_view channel_name() const;

  // Everything published to the stream goes to this subscription. Twice is once.
  // False: a limit on names or their number; within subscribed() that rejects.
  bool stream_from(std::string_view stream);
  void stop_stream_from(std::string_view stream);
  void stop_all_streams();

  // The same for the stream broadcasting_for(channel_name(), key): stream_for(7),
  // stream_for({"posts", 7}).
  bool stream_for(const StreamKey& key) { return stream_from(broadcasting_for(key)); }
  void stop_stream_for(const StreamKey& key) { stop_stream_from(broadcasting_for(key)); }
  std::string broadcasting_for(const StreamKey& key) const {
    return ringcast::broadcasting_for(channel_name(), key);
  }

  // Publishes to a stream; everybody on it gets it, this subscription too if it reads
  // it. A server that cannot keep up makes this connection's commands wait, so what
  // is not `ok` is the message's own fault.
  BroadcastStatus broadcast(std::string_view stream, Text text);
  BroadcastStatus broadcast(std::string_view stream, Binary binary);
  BroadcastStatus broadcast(std::string_view stream, const Json& json);
  template <StringLike T>
  BroadcastStatus broadcast(std::string_view stream, const T& text) {
    return broadcast(stream, Text(text));
  }
  BroadcastStatus broadcast_to(const StreamKey& key, const Json& json) {
    return broadcast(broadcasting_for(key), json);
  }

  // Sends to this subscription alone, behind what was published to it before.
  void transmit(const Json& json);

  // In subscribed() only: the subscription is refused and ended.
  void reject();

  // Calls back every `interval` (10 ms at least) while the subscription lives, the
  // first time one interval from now.
  void periodically(std::chrono::milliseconds interval, std::function<void()> callback);

 private:
  friend class internal::CableChannel;

  internal::CableChannel* subscription_ = nullptr;
};

// An action and its name in a list of them: a member function taking the data, or
// nothing, as Ruby's arity decides it.
template <std::derived_from<Channel> T>
class ChannelAction {
 public:
  ChannelAction(std::string_view name, void (T::*function)(const Json&))
      : name_(name), call_([function](Channel& channel, const Json& data) {
          (static_cast<T&>(channel).*function)(data);
        }) {}
  ChannelAction(std::string_view name, void (T::*function)())
      : name_(name),
        call_([function](Channel& channel, const Json&) { (static_cast<T&>(channel).*function)(); }) {}

  const std::string& name() const { return name_; }
  const std::function<void(Channel&, const Json&)>& call() const { return call_; }

 private:
  std::string name_;
  std::function<void(Channel&, const Json&)> call_;
};

}  // namespace ringcast
