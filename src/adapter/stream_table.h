// Which streams this process wants from the engine, and how far the engine is with each.
// At most one request for a stream is under way: what changes meanwhile is looked at
// when the answer comes, so a stream left and joined at once costs nothing, and every
// answer belongs to what is wanted now. Owned by an adapter; its thread only.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "base/hash.h"

namespace ringcast {

class StreamTable {
 public:
  struct Stream {
    enum class Engine : uint8_t { absent, subscribing, present, unsubscribing, refused };
    std::string name;  // the application's
    std::string wire;  // the engine's
    Engine engine = Engine::absent;
    bool wanted = true;
  };
  using ToWire = std::function<std::string(std::string_view)>;

  // `to_wire` gives different streams different names.
  explicit StreamTable(ToWire to_wire) : to_wire_(std::move(to_wire)) {}

  // True: the engine has acknowledged it before, it is live already.
  bool want(std::string_view name);
  void drop(std::string_view name);

  // Up to `count_max` streams whose subscribing or unsubscribing is now to be sent; they
  // count as under way from here on. False: there is nothing more to send.
  bool take_changes(size_t count_max, std::vector<Stream*>& subscribe, std::vector<Stream*>& unsubscribe);

  // The engine's answers. Subscribed: the stream to announce, nullptr if nobody wants it any more.
  const Stream* subscribed(std::string_view wire);
  void unsubscribed(std::string_view wire);
  void refused(std::string_view wire);

  // The engine has forgotten everything: all that is wanted is to be sent again.
  void engine_lost();

  // Somebody here wants it; else nullptr.
  const Stream* find_wire(std::string_view wire) const;
  const Stream* find_name(std::string_view name) const { return find_wire(to_wire_(name)); }

  size_t size() const { return streams_.size(); }

 private:
  using Streams = std::unordered_map<std::string, std::unique_ptr<Stream>, StringHash, std::equal_to<>>;

  Stream* find(std::string_view wire);

  const ToWire to_wire_;
  Streams streams_;                   // by wire name
  std::vector<std::string> changed_;  // wire names to look at, in the order they were asked for
  size_t changed_at_ = 0;             // looked at up to here
};

}  // namespace ringcast
