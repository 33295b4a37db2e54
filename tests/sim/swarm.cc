#include "tests/sim/swarm.h"

#include <algorithm>

#include "tests/sim/peers.h"

namespace ringcast::sim {
namespace {

constexpr size_t kFailuresShown = 5;
constexpr size_t kCrowd = 300;                        // more than a shard serves in one turn
constexpr Duration kAcceptPause = milliseconds(200);  // more than a listener pauses for want of descriptors

class Swarm {
 public:
  Swarm(uint64_t seed, Coverage& coverage, Trace& trace);
  SwarmResult run();

 private:
  enum class Shape : uint8_t {
    few,       // some peers that do much
    many,      // and more that do less
    lopsided,  // all of them arrive at one shard
    crowd,     // hundreds listen to one stream
  };

  static Limits draw_limits(Prng& prng, Shape shape);
  WorldOptions options(uint64_t seed, Trace& trace);
  void draw_faults();
  void add_streams();

  void move();
  void connect();
  void publish();
  void publish_several();
  void disturb();
  void congest();
  void come_and_go(ShardIndex home);
  void join_crowd(size_t count);
  void churn_crowd();
  void rest();
  void end_peers();

  Peer* any_peer();
  // That messages may wait for company.
  Duration longest_interval() const;
  size_t draw_streams_count() { return prng_.chance(0.7) ? 1 : 1 + prng_.below(4); }
  bool may(double p) { return prng_.chance(p); }

  Prng prng_;
  Coverage& coverage_;
  SwarmResult result_;
  const Shape shape_;
  const Limits limits_;
  const bool jumps_, bursts_, starves_, drains_;
  World world_;
  Coverage::Watch watch_;
  Oracle oracle_;
  Stage stage_;
  size_t peers_max_;
  bool closed_ = false;  // nobody listens any more
};

Limits Swarm::draw_limits(Prng& prng, Shape shape) {
  Limits limits;
  limits.send_buffer_bytes = limits.notsent_lowat_bytes = 0;  // the descriptors are not the kernel's
  const auto may = [&](double p) { return prng.chance(p); };
  limits.handshake_timeout = seconds(2);
  limits.keep_alive_timeout = seconds(may(0.5) ? 3 : 60);
  limits.close_timeout = seconds(2);
  limits.raw_ping_interval = seconds(may(0.2) ? 0 : 4);
  limits.pong_timeout = seconds(may(0.2) ? 0 : 3);
  limits.write_stall = seconds(may(0.5) ? 3 : 30);
  limits.lap_grace = milliseconds(may(0.3) ? 20 : 250);
  if (may(0.3)) limits.ping_interval = milliseconds(500);
  if (may(0.5)) {
    limits.message_bytes = 2048;
    limits.frame_log_bytes = 16 * 1024;
  }
  limits.stream_policies = {{"oldest*", LapPolicy::drop_oldest}, {"latest*", LapPolicy::latest}};
  if (may(0.4)) {
    // Of all streams, or of some; one interval, or two. A crowd is what no turn serves whole.
    limits.coalescing = {{"latest*", milliseconds(5)}};
    if (shape == Shape::crowd || may(0.5)) {
      limits.coalescing.push_back({"*", milliseconds(may(0.5) ? 20 : 400)});
    }
  }
  if (may(0.3)) limits.outbox_bytes = 8 * 1024;
  if (may(0.3)) limits.backlog_bytes = 128 * 1024;
  if (may(0.2)) limits.queued_bytes = 256 * 1024;
  if (may(0.1)) limits.memory_bytes = 512 * 1024;
  if (may(0.5)) limits.mailbox_items = 64;
  if (may(0.3)) limits.broadcast_inbox_items = 16;
  if (may(0.1)) limits.subscriptions_per_connection = 3;
  if (may(0.3)) limits.error_budget = 3;
  if (may(0.1)) limits.commands_per_second = 50;
  if (may(0.3)) limits.pending_commands = 2;
  if (may(0.4)) {
    limits.deflate = true;
    limits.deflate_client_takeover = may(0.5);
    limits.deflate_bytes = may(0.7) ? 32 : 1024;
  }
  if (may(0.05)) limits.connections = 10;
  if (may(0.05)) limits.connections_per_address = 10;
  if (may(0.05)) limits.connects_per_second = 20;
  return limits;
}

WorldOptions Swarm::options(uint64_t seed, Trace& trace) {
  // A crowd on one shard, since balance would make several small ones of it.
  const uint64_t shards = shape_ == Shape::crowd ? 1 : 1 + prng_.below(Oracle::kShardsMax);
  return {.shards = static_cast<ShardIndex>(shards),
          .limits = limits_,
          .seed = seed,
          .faults = true,
          .fail =
              [this](const std::string& what) {
                if (result_.failures.size() < kFailuresShown) result_.failures.push_back(what);
              },
          .trace = &trace};
}

Swarm::Swarm(uint64_t seed, Coverage& coverage, Trace& trace)
    : prng_(hash64("swarm", seed)),
      coverage_(coverage),
      shape_(may(0.02)   ? Shape::crowd
             : may(0.05) ? Shape::lopsided
             : may(0.5)  ? Shape::many
                         : Shape::few),
      limits_(draw_limits(prng_, shape_)),
      jumps_(may(0.3)),
      bursts_(limits_.mailbox_items == 64 && may(0.5)),
      starves_(bursts_ || may(0.5)),
      drains_(may(0.2)),
      world_(options(seed, trace)),
      watch_(coverage, world_),
      oracle_([this](const std::string& what) { world_.fail(what); }),
      stage_{.world = world_,
             .oracle = oracle_,
             .coverage = coverage,
             .prng = prng_,
             .limits = limits_,
             .payload_bytes_max = limits_.message_bytes - 64,
             .peers = {}},
      peers_max_(shape_ == Shape::few    ? 8
                 : shape_ == Shape::many ? 30
                                         : 50) {
  world_.on_turn = [this](ShardIndex shard) { watch_.after_turn(shard); };
  stage_.bursts = bursts_;
  // Also readers that read at once are then waited for.
  if (may(0.3)) world_.network().set_send_buffer_of_accepted(4 * 1024);
  draw_faults();
  add_streams();
  RawPeer::install(stage_);
  CablePeer::install(stage_);
  HttpPeer::install(stage_);
}

void Swarm::draw_faults() {
  Faults& faults = world_.faults();
  // A weight at each opportunity, and of how many seeds it is part.
  const auto on = [&](Fault fault, double most, double part) {
    if (may(part)) faults[fault] = most * static_cast<double>(1 + prng_.below(100)) / 100;
  };
  on(Fault::short_send, 0.4, 0.5);
  on(Fault::send_enobufs, 0.002, 0.1);
  on(Fault::connection_reset, 0.0005, 0.2);
  on(Fault::broken_pipe, 0.002, 0.1);
  on(Fault::split_recv, 0.5, 0.5);
  on(Fault::recv_ends, 0.2, 0.5);
  on(Fault::recv_enobufs, 0.2, 0.4);
  on(Fault::recv_enomem, 0.1, 0.3);
  on(Fault::cancel_race, 0.8, 0.5);
  on(Fault::late, 0.4, 0.4);
  on(Fault::reorder, 0.5, 0.5);
  on(Fault::queue_pressure, 0.5, 0.3);
  on(Fault::spurious_poll, 0.1, 0.3);
  on(Fault::accept_ends, 0.3, 0.3);
  on(Fault::accept_emfile, 0.2, 0.2);
  on(Fault::accept_enomem, 0.1, 0.2);
  on(Fault::accept_aborted, 0.2, 0.2);
  const bool held_up = faults[Fault::short_send] > 0 || faults[Fault::send_enobufs] > 0;
  stage_.prompt_readers_are_safe = !held_up && !jumps_;
}

void Swarm::add_streams() {
  const size_t count = shape_ == Shape::crowd ? 1 : 1 + prng_.below(6);
  for (size_t i = 0; i < count; ++i) {
    // Anywhere, or all at one home.
    const auto home = static_cast<ShardIndex>(prng_.below(world_.shards()));
    const uint64_t policy = prng_.below(10);
    const char* const prefix = policy == 0 ? "oldest" : policy == 1 ? "latest" : "stream";
    oracle_.add_stream(world_.stream_at(home, prefix + std::to_string(i) + "_"),
                       policy == 0   ? LapPolicy::drop_oldest
                       : policy == 1 ? LapPolicy::latest
                                     : LapPolicy::close);
  }
}

SwarmResult Swarm::run() {
  const size_t moves = shape_ == Shape::crowd ? 300 : 600 + prng_.below(1500);
  if (shape_ == Shape::crowd) {
    join_crowd(kCrowd);
  }
  for (size_t i = 0; i < moves && !world_.failed(); ++i) move();
  if (!world_.failed()) rest();
  if (!world_.failed()) end_peers();
  if (!world_.failed()) world_.finish();
  coverage_.add(world_);
  result_.turns = world_.turns_with_work();
  result_.published = oracle_.published_count();
  result_.delivered = oracle_.delivered_count();
  return std::move(result_);
}

Peer* Swarm::any_peer() {
  if (stage_.peers.empty()) return nullptr;
  // The newest more often than others: the old ones are mostly gone.
  const size_t newest = std::min<size_t>(stage_.peers.size(), peers_max_ * 2);
  const size_t first = may(0.8) ? stage_.peers.size() - newest : 0;
  Peer* const peer = stage_.peers[first + prng_.below(stage_.peers.size() - first)].get();
  return peer->client().open() ? peer : nullptr;
}

void Swarm::move() {
  for (uint64_t steps = prng_.below(may(0.2) ? 40 : 6); steps > 0; --steps) world_.step();
  switch (prng_.below(16)) {
    case 0:
    case 1:
      return connect();
    case 2:
    case 3:
    case 4:
      return publish();
    case 5:
      return disturb();
    case 6:
      if (may(0.1)) {
        world_.advance(milliseconds(prng_.below(may(0.1) ? 4000 : 200)));
      } else {
        world_.settle();
      }
      return;
    default:
      if (Peer* const peer = any_peer()) peer->move();
  }
}

void Swarm::connect() {
  if (closed_) return;
  const auto alive = static_cast<size_t>(std::count_if(stage_.peers.begin(), stage_.peers.end(),
                                                       [](const auto& peer) { return peer->alive(); }));
  if (alive >= peers_max_ || stage_.peers.size() > 600) return;
  const auto shard = static_cast<ShardIndex>(shape_ == Shape::lopsided ? 0 : prng_.below(world_.shards()));
  std::unique_ptr<Peer> peer;
  switch (prng_.below(10)) {
    case 0:
      peer = std::make_unique<EchoPeer>(stage_, shard);
      break;
    case 1:
      peer = std::make_unique<HttpPeer>(stage_, shard);
      break;
    case 2:
      peer = std::make_unique<VandalPeer>(stage_, shard);
      break;
    case 3:
    case 4:
    case 5: {
      std::vector<size_t> streams;
      for (size_t count = draw_streams_count(); count > 0; --count) {
        const size_t stream = stage_.any_stream();
        if (std::find(streams.begin(), streams.end(), stream) == streams.end()) streams.push_back(stream);
      }
      peer = std::make_unique<RawPeer>(stage_, shard, streams, may(0.03));
      break;
    }
    default:
      peer = std::make_unique<CablePeer>(stage_, shard, may(0.03));
  }
  stage_.peers.push_back(std::move(peer));
}

// From threads that are no shard's.
void Swarm::publish() {
  if (may(0.2)) return publish_several();
  const size_t stream = stage_.any_stream();
  for (uint64_t burst = may(0.1) ? prng_.below(60) : 1; burst > 0; --burst) {
    const PayloadKind kind = stage_.any_kind(true);
    const std::string payload = oracle_.payload(stream, kind, stage_.payload_bytes());
    if (world_.publish(oracle_.name(stream), payload, kind)) {
      oracle_.published(stream, Oracle::kOutside, kind, payload);
    } else {
      coverage_.reached(Edge::inbox_full);
    }
  }
}

void Swarm::publish_several() {
  const size_t stream = stage_.any_stream();
  const size_t count = 1 + prng_.below(8);
  Shard& home = world_.shard(world_.home_of(oracle_.name(stream)));
  if (!home.reserve_from_outside(count)) return coverage_.reached(Edge::inbox_full);
  if (may(0.2)) return home.give_back_reserved(count);
  std::vector<MessageRef> messages;
  for (size_t i = 0; i < count; ++i) {
    const std::string& name = oracle_.name(stream);
    const std::string payload = oracle_.payload(stream, PayloadKind::json, stage_.payload_bytes());
    messages.push_back(Message::create(name, hash64(name), PayloadKind::json, as_bytes(payload),
                                       &world_.context().message_bytes));
    oracle_.published(stream, Oracle::kOutside, PayloadKind::json, payload);
  }
  home.publish_reserved(messages);
}

void Swarm::join_crowd(size_t count) {
  for (size_t i = 0; i < count && !closed_; ++i) {
    if (i % 50 == 49) world_.settle();
    stage_.peers.push_back(std::make_unique<RawPeer>(stage_, ShardIndex{0}, std::vector<size_t>{0}));
  }
}

// Many of them go while the hand is on its way round, or messages come; and when all is
// quiet nobody was passed over. (The next message would make up for it: so not with that.)
void Swarm::churn_crowd() {
  const auto some_steps = [&] {
    for (uint64_t steps = prng_.below(5); steps > 0; --steps) world_.step();
  };
  for (int round = 0; round < 3 && !world_.failed(); ++round) {
    if (may(0.5)) join_crowd(prng_.below(20));
    for (uint64_t messages = 1 + prng_.below(2); messages > 0; --messages) {
      publish();
      some_steps();
    }
    const double part = may(0.5) ? 0.6 : 0.05;
    for (const auto& peer : stage_.peers) {
      if (peer->alive() && may(part)) peer->leave();
    }
    some_steps();
    if (may(0.3)) continue;
    // A full log waits for those who stall, one grace after the other.
    world_.advance(4 * limits_.lap_grace + longest_interval() + milliseconds(10));
    for (const auto& peer : stage_.peers) {
      const bool listens = peer->alive() && peer->reads_all() && peer->client().upgraded();
      if (listens && dynamic_cast<RawPeer*>(peer.get()) != nullptr) peer->check_whole();
    }
  }
  const auto alive = static_cast<size_t>(std::count_if(stage_.peers.begin(), stage_.peers.end(),
                                                       [](const auto& peer) { return peer->alive(); }));
  if (alive < kCrowd && stage_.peers.size() < 2000) join_crowd(kCrowd - alive);
}

// One shard hardly moves while others publish to it, more than their lanes hold, and
// subscribers come and go.
void Swarm::congest() {
  const size_t stream = stage_.any_stream();
  const ShardIndex home = world_.home_of(oracle_.name(stream));
  world_.set_pace(home, 0.002);
  coverage_.reached(Edge::shard_starved);
  for (const auto& peer : stage_.peers) {
    if (auto* const raw = dynamic_cast<RawPeer*>(peer.get())) raw->flood(stream);
  }
  for (int i = 0; i < 30; ++i) world_.step();
  for (int i = 0; i < 4; ++i) {
    if (may(0.5)) come_and_go(home);
    if (may(0.5)) {
      // Who says it all and hangs up, while there is no room for it: the end is to be heard afterwards.
      if (auto* const raw = dynamic_cast<RawPeer*>(any_peer())) {
        raw->flood(stream);
        raw->half_close();
      }
    }
    connect();
    for (int steps = 0; steps < 20; ++steps) world_.step();
    // What it takes now makes room for those who go behind those who waited.
    if (may(0.5)) world_.turn(home);
    if (may(0.5)) stage_.peers.back()->leave();
    if (Peer* const peer = any_peer()) peer->leave();
    for (int steps = 0; steps < 5; ++steps) world_.step();
  }
}

// Somebody asks for a stream whose home has no room for the request, and leaves so that
// the end of it is first heard of once there is room: neither may pass the other.
void Swarm::come_and_go(ShardIndex home) {
  const auto shard = static_cast<ShardIndex>(prng_.below(world_.shards()));
  if (closed_ || shard == home) return;
  size_t stream = stage_.any_stream();
  while (world_.home_of(oracle_.name(stream)) != home) stream = stage_.any_stream();
  stage_.peers.push_back(std::make_unique<RawPeer>(stage_, shard, std::vector<size_t>{stream}));
  Peer& peer = *stage_.peers.back();
  for (int steps = 0; steps < 20; ++steps) world_.step();
  world_.set_pace(shard, 0);
  peer.leave();
  for (int steps = 0; steps < 10; ++steps) world_.step();
  world_.turn(home);
  world_.turn(shard);
  world_.set_pace(shard, 1.0);
}

// What befalls a peer, a shard or time itself.
void Swarm::disturb() {
  const auto shard = static_cast<ShardIndex>(prng_.below(world_.shards()));
  Peer* const peer = any_peer();
  if (shape_ == Shape::crowd && may(0.4)) return churn_crowd();
  switch (prng_.below(8)) {
    case 0:
    case 1:
      if (peer != nullptr) peer->read_slowly();
      return;
    case 2:
      if (peer != nullptr) peer->read_on();
      return;
    case 3:
      if (peer != nullptr && may(0.5)) peer->half_close();
      return;
    case 4:
      if (peer != nullptr) peer->leave();
      return;
    case 5:
      if (bursts_ && may(0.3)) return congest();
      if (!starves_) return;
      coverage_.reached(Edge::shard_starved);
      return world_.set_pace(shard, may(0.4) ? 1.0 : may(0.5) ? 0.03 : 0.002);
    case 6:
      if (!jumps_) return;
      coverage_.reached(Edge::time_jumped);
      return world_.jump(milliseconds(prng_.below(may(0.1) ? 3000 : 50)));
    default:
      coverage_.reached(Edge::woken_for_nothing);
      return world_.turn(shard);
  }
}

Duration Swarm::longest_interval() const {
  Duration longest{};
  for (const Coalescing& rule : limits_.coalescing) longest = std::max(longest, rule.interval);
  return longest;
}

// The faults that cut connections end, everybody reads on, and what can arrive arrives.
void Swarm::rest() {
  Faults& faults = world_.faults();
  for (const Fault fault : {Fault::connection_reset, Fault::broken_pipe, Fault::send_enobufs,
                            Fault::accept_emfile, Fault::accept_enomem}) {
    faults[fault] = 0;
  }
  for (ShardIndex i = 0; i < world_.shards(); ++i) world_.set_pace(i, 1.0);
  for (const auto& peer : stage_.peers) peer->read_on();
  world_.settle();
  world_.advance(limits_.lap_grace + longest_interval() + kAcceptPause);
  // Nothing moves any more. What is published now arrives without time passing: who
  // sleeps is woken for it. Only what is coalesced waits for its interval.
  for (size_t stream = 0; stream < oracle_.streams(); ++stream) {
    const std::string payload = oracle_.payload(stream, PayloadKind::json, 20);
    if (world_.publish(oracle_.name(stream), payload, PayloadKind::json)) {
      oracle_.published(stream, Oracle::kOutside, PayloadKind::json, payload);
    }
  }
  world_.settle();
  if (longest_interval() > Duration::zero()) world_.advance(longest_interval());
  for (const auto& peer : stage_.peers) {
    if (peer->alive()) peer->check_whole();
    if (world_.failed()) return;
  }
}

void Swarm::end_peers() {
  if (drains_) {
    coverage_.reached(Edge::drained);
    world_.drain(seconds(1));
    closed_ = true;
    // Whoever publishes meanwhile is served or told; what is numbered is delivered as before.
    for (int i = 0; i < 20 && !world_.failed(); ++i) move();
    world_.advance(seconds(4));
    if (!world_.ended()) world_.fail("the drain did not end");
    return;
  }
  // Who broke the rules is dealt with in time.
  world_.advance(limits_.handshake_timeout + std::min<Duration>(limits_.keep_alive_timeout, seconds(4)) +
                 limits_.close_timeout + limits_.close_timeout);
  for (const auto& peer : stage_.peers) peer->check_over();
  if (may(0.3)) return;  // stopped in the middle of everything
  for (const auto& peer : stage_.peers) {
    peer->leave();
    if (may(0.5)) world_.step();
  }
  world_.advance(milliseconds(100));
  for (const auto& peer : stage_.peers) {
    if (peer->client().open()) peer->client().close();
  }
  world_.settle();
  if (world_.failed()) return;
  if (const uint64_t bytes = world_.context().message_bytes.total(); bytes != 0) {
    world_.fail("everybody has gone, and messages of " + std::to_string(bytes) + " bytes are left");
  }
  for (ShardIndex i = 0; i < world_.shards(); ++i) {
    Shard& shard = world_.shard(i);
    const uint64_t left[] = {shard.counters().connections.value(), shard.counters().subscriptions.value(),
                             shard.counters().streams.value(), shard.hub().home_streams(),
                             shard.hub().chunks().held_bytes()};
    constexpr const char* kNames[] = {"connections", "subscriptions", "streams", "streams at their home",
                                      "bytes in log chunks"};
    for (size_t which = 0; which < std::size(left); ++which) {
      if (left[which] == 0) continue;
      world_.fail("everybody has gone, and shard " + std::to_string(i) + " keeps " +
                  std::to_string(left[which]) + " " + kNames[which]);
    }
  }
}

}  // namespace

SwarmResult run_swarm(uint64_t seed, Coverage& coverage, Trace& trace) {
  auto swarm = std::make_unique<Swarm>(seed, coverage, trace);
  SwarmResult result = swarm->run();
  // A world that failed cannot be taken down in order: what it holds is left behind.
  if (!result.failures.empty()) (void)swarm.release();
  result.trace_hash = trace.hash();
  return result;
}

}  // namespace ringcast::sim
