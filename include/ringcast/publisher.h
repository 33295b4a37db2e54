// The fast way in for a thread that publishes much: a feed handler, a matching engine.
//
//   ringcast::Publisher publisher = server.publisher();
//   const ringcast::Publisher::Stream acme = publisher.stream("ticks:ACME");
//   while (const auto tick = feed.next()) {
//     if (publisher.publish(acme, tick->text) == ringcast::BroadcastStatus::full) …
//   }
//
// Each publisher has rings of its own into the server, one to each shard that is home to
// one of its streams, and the thread that owns it is alone at their other end. A publish
// copies the message into a ring; it takes no lock, and once a stream has been published
// to (or resolved) it allocates nothing for payloads of up to a quarter of
// PublisherOptions::ring_bytes. It makes a system call, one write to an eventfd, only when
// the stream's shard sleeps; while that shard is busy, or spins (Options::spin_us), none.
// It never blocks.
//
// Order: messages of one publisher to one stream keep their order, and all subscribers of
// a stream see one order, whoever publishes. Between two publishers, or a publisher and
// Server::broadcast, no order is promised, not even within one thread.
//
// Threads: a publisher belongs to the thread that first publishes with it; to use it on
// another is a mistake that ends the process. Moving it, before or between, hands it over:
// the new object belongs to whoever publishes with it first. It may outlive its server.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>

#include "ringcast/broadcast.h"
#include "ringcast/json.h"

namespace ringcast {

namespace internal {
class PublisherCore;
class ServerCore;
}  // namespace internal

struct PublisherOptions {
  // Of each ring, rounded up to a power of two, from 4 KiB to 1 GiB. A message takes its
  // payload, its stream's name and some 32 bytes: the default holds six thousand of 128
  // bytes. Memory is touched, and so used, as messages pass through it.
  size_t ring_bytes = size_t{1} << 20;
};

class Publisher {
 public:
  // A stream whose name was hashed once. A value; good for any publisher of any server.
  class Stream {
   public:
    const std::string& name() const { return name_; }

   private:
    friend class Publisher;
    Stream(std::string_view name, uint64_t hash) : name_(name), hash_(hash) {}

    std::string name_;
    uint64_t hash_;
  };

  Publisher();  // publishes nowhere: `stopped`
  // What was published goes its way without it.
  ~Publisher();
  Publisher(Publisher&&) noexcept;
  Publisher& operator=(Publisher&&) noexcept;

  // Resolves a name, and makes the ring to its home if the server runs. The publisher's
  // thread, as everything here.
  Stream stream(std::string_view name);

  // `ok`: the message has its place behind this publisher's earlier ones.
  // `full`: the ring has no room, because the shard cannot keep up, or the engine cannot
  //   (Options::adapter); nothing was published. Try again later or drop, but knowingly.
  //   Counted here and in ringcast_dropped_total{reason="mailbox_full"}.
  // `too_large`, `invalid`: as Server::broadcast; to try again would not help.
  // `stopped`: the server does not run, or ends: what is published while it ends may go out
  //   or not.
  [[nodiscard]] BroadcastStatus publish(const Stream& stream, Text text);
  [[nodiscard]] BroadcastStatus publish(const Stream& stream, Binary binary);
  [[nodiscard]] BroadcastStatus publish(const Stream& stream, const Json& json);
  template <StringLike T>
  [[nodiscard]] BroadcastStatus publish(const Stream& stream, const T& text) {
    return publish(stream, Text(text));
  }
  // The same with the name hashed here: some nanoseconds.
  [[nodiscard]] BroadcastStatus publish(std::string_view stream, Text text);
  [[nodiscard]] BroadcastStatus publish(std::string_view stream, Binary binary);
  [[nodiscard]] BroadcastStatus publish(std::string_view stream, const Json& json);
  template <StringLike T>
  [[nodiscard]] BroadcastStatus publish(std::string_view stream, const T& text) {
    return publish(stream, Text(text));
  }

  // What became of this publisher's calls; they only grow.
  struct Counts {
    uint64_t published = 0;  // `ok`
    uint64_t full = 0;       // `full`
    uint64_t wakes = 0;      // system calls: the home slept
  };
  Counts counts() const;

 private:
  friend class internal::ServerCore;
  explicit Publisher(std::unique_ptr<internal::PublisherCore> core);

  std::unique_ptr<internal::PublisherCore> core_;
};

}  // namespace ringcast
