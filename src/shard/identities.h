// Who is connected to this process, under the name by which other processes know them:
// what Rails' remote_connections.where(…).disconnect finds. Shared by all shards of a
// server, under locks that are taken once or twice in a connection's life. The engine, if
// there is one, is asked for each name's internal channel as long as anybody bears it.
#pragma once

#include <array>
#include <cstddef>
#include <mutex>
#include <string>
#include <string_view>
#include <unordered_map>

#include "base/bytes.h"
#include "base/hash.h"
#include "base/slab.h"
#include "ringcast/json.h"

namespace ringcast {

class Shard;
struct ServerContext;

// What names connections with just these identifiers, an object of them all, to other
// processes; empty if there are none that name somebody.
std::string connection_identifier(const Json& identifiers);
// Their internal channel; likewise.
std::string internal_channel_of(const Json& identifiers);

class Identities {
 public:
  // A connection's place in the list of those of one name. Its session's; only touched here,
  // under the name's lock.
  struct Member {
    Shard* shard = nullptr;  // null: in no list
    SlotId connection = {};
    Member* previous = nullptr;
    Member* next = nullptr;
    const std::string* name = nullptr;  // the list's
  };

  explicit Identities(ServerContext& context) : context_(context) {}

  // The member's shard. `name` as connection_identifier() makes it; may be told to
  // disconnect before this returns.
  void add(Member& member, Shard& shard, SlotId connection, std::string_view name);
  void remove(Member& member);

  // Any thread: something was published to an internal channel. What says "disconnect" is
  // passed on to the shards of those who are meant; all else is somebody else's.
  // Returns whether it did.
  bool published(std::string_view channel, Bytes payload);

  // How many names there are.
  size_t size() const;

 private:
  // Names apart from each other hardly ever wait for one another.
  struct Stripe {
    mutable std::mutex mutex;  // guards the lists, too
    std::unordered_map<std::string, Member*, StringHash, std::equal_to<>> first;
  };
  Stripe& stripe_of(std::string_view name) { return stripes_[hash64(name) % stripes_.size()]; }

  ServerContext& context_;
  std::array<Stripe, 16> stripes_;
};

}  // namespace ringcast
