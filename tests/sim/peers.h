// The clients of a simulated server, and the embedder's code that answers them. Each
// peer does one random thing at a time, remembers what it may expect, and tells the
// oracle what it read. One world's; its thread.
#pragma once

#include <deque>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "tests/sim/coverage.h"
#include "tests/sim/oracle.h"
#include "tests/sim/world.h"

namespace ringcast::sim {

class Peer;

// What all peers of a run share.
struct Stage {
  World& world;
  Oracle& oracle;
  Coverage& coverage;
  Prng& prng;
  const Limits& limits;
  size_t payload_bytes_max;
  // Nobody whose kernel takes everything at once may ever be called too slow here: no
  // fault holds up what it is sent, and time stands still until it has read.
  bool prompt_readers_are_safe = false;
  // One command often publishes more than a lane holds.
  bool bursts = false;
  std::vector<std::unique_ptr<Peer>> peers;
  uint64_t marks = 0;

  size_t any_stream() { return prng.below(oracle.streams()); }
  size_t payload_bytes();
  PayloadKind any_kind(bool binary_too);

  // Publishes as whoever runs on that shard does. Whether it was accepted.
  template <class Broadcaster>
  bool broadcast(Broadcaster& broadcaster, size_t shard, std::string_view payload, PayloadKind kind) {
    const size_t stream = Oracle::stream_of(payload);
    const PublishStatus status = broadcaster.broadcast(oracle.name(stream), kind, as_bytes(payload));
    if (status == PublishStatus::ok) oracle.published(stream, shard, kind, payload);
    if (status == PublishStatus::full) coverage.reached(Edge::publish_full);
    return status == PublishStatus::ok;
  }
};

class Peer {
 public:
  Peer(Stage& stage, ShardIndex shard)
      : stage_(stage), index_(stage.peers.size()), client_(stage.world.connect(shard)) {
    client_.keeps_frames = false;
  }
  virtual ~Peer() = default;

  // One thing that such a client does.
  virtual void move() = 0;
  // Everything has come to rest and it is still connected: has it got all it must?
  virtual void check_whole() {}
  // All deadlines have passed: has it been dealt with?
  virtual void check_over() {}

  Client& client() { return client_; }
  size_t index() const { return index_; }
  bool alive() const { return client_.open() && !client_.ended() && !client_.close_code() && !left_; }
  bool reads_all() const {
    return client_.reading && client_.read_bytes == SIZE_MAX && client_.latency_max == Duration::zero();
  }
  bool prompt() const { return prompt_ && stage_.prompt_readers_are_safe; }

  // --- What any peer does now and then -----------------------------------------------
  void read_slowly();
  void read_on();
  void half_close();
  void leave();  // as a process that ends, with or without a word

 protected:
  void fail(const std::string& what) const;
  std::string own_target(std::string_view path) const {
    std::string target(path);
    target += path.find('?') == std::string_view::npos ? '?' : '&';
    return target.append("peer=").append(std::to_string(index_));
  }
  void check_close_code();
  void offer_deflate();  // some do; before the upgrade

  Stage& stage_;
  const size_t index_;
  Client& client_;
  bool left_ = false;   // said good-bye, half-closed, or broke the rules
  bool prompt_ = true;  // has read whatever came, at once
};

// A raw socket on some streams.
class RawPeer final : public Peer {
 public:
  RawPeer(Stage& stage, ShardIndex shard, std::vector<size_t> streams, bool fails = false);
  void move() override;
  void check_whole() override;
  // Has more published at once than a lane holds.
  void flood(size_t stream);

  static void install(Stage& stage);

 private:
  CallResult opened(RawSocket& socket);
  CallResult heard(RawSocket& socket, Opcode opcode, std::string_view text);
  void read(const Client::Frame& frame);

  std::vector<size_t> streams_;
  std::map<size_t, Oracle::Run*> runs_;   // by stream, once the server has opened it
  std::map<size_t, Oracle::Run*> ended_;  // stopped by request
  std::map<size_t, Oracle::Run*> added_;  // later than the 101
  bool fails_;
};

// An Action Cable client with some subscriptions.
class CablePeer final : public Peer {
 public:
  CablePeer(Stage& stage, ShardIndex shard, bool refused = false);
  void move() override;
  void check_whole() override;

  static void install(Stage& stage);

 private:
  struct Instance {
    std::map<size_t, Oracle::Run*> runs;  // by stream
    bool ended = false;                   // at the server
  };
  struct Subscription {
    std::string identifier;
    std::string confirmation, rejection, prefix;  // what is read
    std::vector<size_t> streams;
    bool refuses = false;   // the handler will
    bool repeated = false;  // asked for twice: never asked for anew
    bool anew = false;      // may be asked for again after it ended
    bool asked = false;     // the last word was a subscribe
    size_t times_asked = 0;
    size_t confirms = 0;
    bool rejected = false;
    std::deque<Instance> instances;  // as the server began them

    Instance* current();
  };

  void subscribe_new();
  void read(const Client::Frame& frame);
  void read_ping();
  Subscription* find(std::string_view identifier);

  CallResult subscribed(SessionChannel& channel);
  void unsubscribed(SessionChannel& channel);
  bool perform(SessionChannel& channel, std::string_view action, const Json& data, CallResult& result);
  void transmit_mark(SessionChannel& channel);
  static CablePeer& of(SessionChannel& channel);

  std::deque<Subscription> subscriptions_;
  bool welcomed_ = false;
  bool refused_;
  Instant last_ping_{};  // or when it was welcomed
  Duration jumped_before_{};
  uint64_t pings_ = 0;
};

// It gets back what it sends.
class EchoPeer final : public Peer {
 public:
  EchoPeer(Stage& stage, ShardIndex shard);
  void move() override;
  void check_whole() override;

 private:
  std::deque<std::string> sent_;
};

// Requests on a kept connection, pipelined; what they publish is all or nothing.
class HttpPeer final : public Peer {
 public:
  HttpPeer(Stage& stage, ShardIndex shard) : Peer(stage, shard) {}
  void move() override;
  void check_whole() override;

  static void install(Stage& stage);

 private:
  void read_answers();

  uint64_t asked_ = 0;
  uint64_t answered_ = 0;
  bool last_asked_ = false;  // with Connection: close
  std::string unread_;
};

// It breaks every rule it knows, and must be dealt with.
class VandalPeer final : public Peer {
 public:
  VandalPeer(Stage& stage, ShardIndex shard);
  void move() override;
  void check_over() override;

 private:
  bool upgraded_first_ = false;
  bool harmful_ = false;  // what it sent must end it
};

}  // namespace ringcast::sim
