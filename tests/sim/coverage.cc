#include "tests/sim/coverage.h"

#include "tests/sim/world.h"

namespace ringcast::sim {

const char* to_string(Edge edge) {
  static constexpr const char* kNames[] = {"begun",
                                           "http_to_open",
                                           "http_to_closing",
                                           "http_to_terminating",
                                           "open_to_closing",
                                           "open_to_terminating",
                                           "closing_to_terminating",
                                           "released",
                                           "slot_used_again",
                                           "paused",
                                           "resumed",
                                           "stalled",
                                           "unstalled",
                                           "ended_paused",
                                           "ended_stalled",
                                           "answer_held",
                                           "answer_released",
                                           "joined_pending",
                                           "pending_to_live",
                                           "ended_pending",
                                           "request_deferred",
                                           "deferred_pushed",
                                           "publish_full",
                                           "publish_all_full",
                                           "inbox_full",
                                           "deliveries_held",
                                           "lapped",
                                           "walk_carried_over",
                                           "walk_waits",
                                           "handed_over",
                                           "accept_paused",
                                           "confirmed",
                                           "confirmed_again",
                                           "rejected",
                                           "subscribed_anew",
                                           "unsubscribed_unconfirmed",
                                           "own_message",
                                           "stream_stopped",
                                           "stream_added",
                                           "pinged",
                                           "deflate_agreed",
                                           "deflate_with_takeover",
                                           "deflate_with_small_window",
                                           "compressed_sent",
                                           "compressed_received",
                                           "half_closed",
                                           "vanished",
                                           "stopped_reading",
                                           "malformed",
                                           "pipelined",
                                           "reading_latency",
                                           "shard_starved",
                                           "time_jumped",
                                           "woken_for_nothing",
                                           "drained",
                                           "close_timed_out"};
  static_assert(std::size(kNames) == kEdges);
  return kNames[static_cast<size_t>(edge)];
}

Coverage::Watch::Watch(Coverage& coverage, World& world)
    : coverage_(coverage), world_(world), seen_(world.shards()), deferring_(world.shards()) {}

void Coverage::Watch::after_turn(ShardIndex shard) {
  for (const Token token : world_.backend(shard).touched()) {
    if (names_connection(token)) look(shard, token);
  }
  Hub& hub = world_.shard(shard).hub();
  const bool deferring = hub.deferring();
  if (deferring && !deferring_[shard]) coverage_.reached(Edge::request_deferred);
  if (!deferring && deferring_[shard]) coverage_.reached(Edge::deferred_pushed);
  deferring_[shard] = deferring;
  const Instant walk_at = hub.walk_at();
  if (walk_at != kNever) {
    coverage_.reached(walk_at == Instant{} ? Edge::walk_carried_over : Edge::walk_waits);
  }
}

void Coverage::Watch::look(ShardIndex shard, Token token) {
  using State = Connection::State;
  const ConnectionId id = connection_of(token);
  if (id.slot >= seen_[shard].size()) seen_[shard].resize(id.slot + 1);
  Seen& seen = seen_[shard][id.slot];
  Connection* const connection = world_.shard(shard).find(id);
  if (connection == nullptr) {
    if (seen.generation != id.generation || seen.released) return;
    coverage_.reached(Edge::released);
    seen.released = true;
    seen.state = State::terminating;
    seen.paused = seen.stalled = seen.holding = seen.pending = false;
    return;
  }
  if (seen.generation != id.generation) {
    coverage_.reached(seen.generation == 0 ? Edge::begun : Edge::slot_used_again);
    seen = {.generation = id.generation};
  }
  const Seen before = seen;
  seen.state = connection->state();
  seen.stalled = connection->stalled();
  seen.holding = connection->holding();
  const bool conversing = seen.state == State::open || seen.state == State::http;
  seen.paused = conversing && connection->awaits_settling();
  seen.pending = false;
  for (const Subscription* subscription = connection->subscriptions(); subscription != nullptr;
       subscription = subscription->next) {
    seen.pending = seen.pending || !subscription->log.stream.live;
  }

  if (seen.state != before.state) {
    const bool ends = seen.state == State::terminating;
    switch (before.state) {
      case State::http:
        coverage_.reached(seen.state == State::open ? Edge::http_to_open
                          : ends                    ? Edge::http_to_terminating
                                                    : Edge::http_to_closing);
        break;
      case State::open:
        coverage_.reached(ends ? Edge::open_to_terminating : Edge::open_to_closing);
        break;
      case State::closing:
        coverage_.reached(Edge::closing_to_terminating);
        break;
      case State::terminating:
        world_.fail("a terminating connection came back");
        break;
    }
  }
  const auto crossed = [&](bool was, bool is, Edge entered, Edge left, Edge ended) {
    if (!was && is) coverage_.reached(entered);
    if (was && !is) coverage_.reached(conversing ? left : ended);
  };
  crossed(before.paused, seen.paused, Edge::paused, Edge::resumed, Edge::ended_paused);
  const bool stalled_now = seen.stalled && seen.state != State::terminating;
  crossed(before.stalled, stalled_now, Edge::stalled, Edge::unstalled, Edge::ended_stalled);
  seen.stalled = stalled_now;
  crossed(before.holding, seen.holding, Edge::answer_held, Edge::answer_released, Edge::answer_released);
  crossed(before.pending, seen.pending, Edge::joined_pending, Edge::pending_to_live, Edge::ended_pending);
}

void Coverage::add(World& world) {
  for (size_t i = 0; i < kFaults; ++i) faults_[i] += world.faults().counts[i];
  for (size_t i = 0; i < kEndReasons; ++i) ends_[i] += world.ended_by(static_cast<EndReason>(i));
  for (size_t i = 0; i < kDropReasons; ++i) drops_[i] += world.dropped_for(static_cast<DropReason>(i));
  reached(Edge::deliveries_held, world.total(&Counters::held_lanes));
  reached(Edge::lapped, world.dropped_for(DropReason::lapped));
  reached(Edge::handed_over, world.total(&Counters::handed_over));
  reached(Edge::accept_paused, world.total(&Counters::accept_pauses));
  reached(Edge::close_timed_out, world.total(&Counters::close_timeouts));
  reached(Edge::deflate_agreed, world.deflated.agreed);
  reached(Edge::deflate_with_takeover, world.deflated.with_takeover);
  reached(Edge::deflate_with_small_window, world.deflated.with_small_window);
  reached(Edge::compressed_sent, world.deflated.sent);
  reached(Edge::compressed_received, world.deflated.received);
}

namespace {

// Four to a line: the name and how often.
struct Columns {
  std::FILE* to;
  int column = 0;
  void operator()(const char* name, uint64_t times) {
    std::fprintf(to, "%s%-24s %10llu", column == 0 ? "\n  " : "  ", name,
                 static_cast<unsigned long long>(times));
    column = (column + 1) % 3;
  }
  void end() { std::fputc('\n', to); }
};

}  // namespace

void Coverage::print(std::FILE* to) const {
  std::fputs("faults fired", to);
  Columns faults{to};
  for (size_t i = 0; i < kFaults; ++i) faults(to_string(static_cast<Fault>(i)), faults_[i]);
  faults.end();
  std::fputs("edges crossed", to);
  Columns edges{to};
  for (size_t i = 0; i < kEdges; ++i) edges(to_string(static_cast<Edge>(i)), edges_[i]);
  edges.end();
  std::fputs("connections ended", to);
  Columns ends{to};
  for (size_t i = 0; i < kEndReasons; ++i) ends(ringcast::to_string(static_cast<EndReason>(i)), ends_[i]);
  ends.end();
  std::fputs("dropped", to);
  Columns drops{to};
  for (size_t i = 0; i < kDropReasons; ++i) drops(ringcast::to_string(static_cast<DropReason>(i)), drops_[i]);
  drops.end();
}

bool Coverage::complete(std::FILE* to) const {
  bool all = true;
  const auto check = [&](const char* what, const char* name, uint64_t times) {
    if (times > 0) return;
    all = false;
    std::fprintf(to, "never: %s %s\n", what, name);
  };
  for (size_t i = 0; i < kFaults; ++i) check("fault", to_string(static_cast<Fault>(i)), faults_[i]);
  for (size_t i = 0; i < kEdges; ++i) check("edge", to_string(static_cast<Edge>(i)), edges_[i]);
  for (size_t i = 0; i < kEndReasons; ++i) {
    const auto reason = static_cast<EndReason>(i);
    // TLS and the PROXY protocol stand in front of all this; the simulated listeners ask for neither.
    if (reason == EndReason::tls_failed || reason == EndReason::proxy_header) continue;
    // Clients here are nobody in particular, and there is no application to ask.
    if (reason == EndReason::remote || reason == EndReason::unanswered) continue;
    check("end", ringcast::to_string(static_cast<EndReason>(i)), ends_[i]);
  }
  for (size_t i = 0; i < kDropReasons; ++i) {
    if (static_cast<DropReason>(i) == DropReason::not_json) continue;  // there are no other processes
    check("drop", ringcast::to_string(static_cast<DropReason>(i)), drops_[i]);
  }
  return all;
}

}  // namespace ringcast::sim
