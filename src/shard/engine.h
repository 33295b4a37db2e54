// What carries messages between processes, as a stream's home sees it. With one, a
// publish goes out to it and comes back, so that every process delivers what it
// delivers in one order; without one, the home numbers it at once. Implemented above
// the shards; every function may be called on any shard's thread and never waits.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string_view>

#include "shard/message.h"

namespace ringcast {

class Engine {
 public:
  virtual ~Engine() = default;

  // Whether it takes publishes at present. False for as long as it is away and its queue is full.
  virtual bool accepting() const = 0;
  // The longest payload it can carry.
  virtual size_t payload_bytes_max() const = 0;
  // False: it has no room now.
  virtual bool publish(const MessageRef& message) = 0;

  // Once while a stream has listeners in this process. Answered with Hub::carried() on
  // the home's shard, under the same ticket, when everything published from then on comes
  // here. A ticket is used once.
  virtual void subscribe(std::string_view stream, uint64_t ticket) = 0;
  virtual void unsubscribe(std::string_view stream) = 0;

  // Likewise for an internal channel, to which no connection subscribes: what is published
  // there comes to its home, too. Nobody is told when it does.
  virtual void listen(std::string_view channel) = 0;
  virtual void stop_listening(std::string_view channel) = 0;
};

}  // namespace ringcast
