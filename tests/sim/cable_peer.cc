// The Action Cable client of the swarm, and the channel that answers it.
#include <algorithm>
#include <charconv>

#include "support/client_frames.h"
#include "tests/sim/peers.h"

namespace ringcast::sim {
namespace {

// A timer of the wheel fires up to one resolution late, and beats follow one another.
constexpr Duration kTimerSlack = milliseconds(10);

struct PeerOfSession final : Attachment {
  explicit PeerOfSession(CablePeer& peer) : peer(peer) {}
  CablePeer& peer;
};

uint64_t number_behind(std::string_view text, std::string_view what) {
  uint64_t number = UINT64_MAX;
  const size_t at = text.find(what);
  if (at == std::string_view::npos) return number;
  std::from_chars(text.data() + at + what.size(), text.data() + text.size(), number);
  return number;
}

}  // namespace

CablePeer::CablePeer(Stage& stage, ShardIndex shard, bool refused) : Peer(stage, shard), refused_(refused) {
  offer_deflate();
  client_.upgrade(own_target(refused ? "/cable?refuse=1" : "/cable"),
                  "Sec-WebSocket-Protocol: actioncable-v1-json, actioncable-unsupported\r\n");
  client_.on_frame = [this](const Client::Frame& frame) { read(frame); };
  for (uint64_t streams = 1 + stage.prng.below(3); streams > 0 && !refused; --streams) subscribe_new();
}

// --- The server's side --------------------------------------------------------------------

void CablePeer::install(Stage& stage) {
  Scripts& scripts = stage.world.scripts();
  scripts.connect = [&stage](Session& session, const Exchange& exchange) {
    const std::string_view query = exchange.request.query();
    auto& peer = static_cast<CablePeer&>(*stage.peers[number_behind(query, "peer=")]);
    ScriptedSession::of(session).attachment = std::make_unique<PeerOfSession>(peer);
    if (query.find("refuse") != std::string_view::npos) session.reject_unauthorized();
    return CallResult::ok;
  };
  scripts.channels["Swarm"] = {
      .subscribed = [](SessionChannel& channel) { return of(channel).subscribed(channel); },
      .unsubscribed = [](SessionChannel& channel) { of(channel).unsubscribed(channel); },
      .perform = [](SessionChannel& channel, std::string_view action, const Json& data,
                    CallResult& result) { return of(channel).perform(channel, action, data, result); },
      .timer =
          [](SessionChannel& channel, uint32_t) {
            of(channel).transmit_mark(channel);
            return CallResult::ok;
          }};
}

CablePeer& CablePeer::of(SessionChannel& channel) {
  return static_cast<PeerOfSession&>(*ScriptedSession::of(channel.session()).attachment).peer;
}

CablePeer::Subscription* CablePeer::find(std::string_view identifier) {
  for (Subscription& subscription : subscriptions_) {
    if (subscription.identifier == identifier) return &subscription;
  }
  return nullptr;
}

CallResult CablePeer::subscribed(SessionChannel& channel) {
  Subscription* const subscription = find(channel.identifier());
  RC_ASSERT(subscription != nullptr);
  Instance& instance = subscription->instances.emplace_back();
  if (subscription->refuses) {
    channel.reject();
    return CallResult::ok;
  }
  const size_t shard = channel.session().shard().index();
  const bool only_one = subscription->streams.size() == 1;
  for (const size_t stream : subscription->streams) {
    if (!channel.stream_from(stage_.oracle.name(stream))) return CallResult::failed;
    // With several, one may be live and heard while another is not yet.
    Oracle::Run& run = stage_.oracle.begin(stream, shard, true, only_one);
    run.received();
    instance.runs[stream] = &run;
  }
  if (channel.params().has("tick")) channel.periodically(milliseconds(200), 0);
  return CallResult::ok;
}

void CablePeer::unsubscribed(SessionChannel& channel) {
  Subscription* const subscription = find(channel.identifier());
  Instance& instance = subscription->instances.back();
  instance.ended = true;
  for (const auto& [stream, run] : instance.runs) run->unsubscribed();
}

void CablePeer::transmit_mark(SessionChannel& channel) {
  const uint64_t mark = ++stage_.marks;
  for (const auto& [stream, run] : find(channel.identifier())->instances.back().runs) run->transmitted(mark);
  channel.transmit(Json{{"mark", mark}});
  stage_.coverage.reached(Edge::own_message);
}

bool CablePeer::perform(SessionChannel& channel, std::string_view action, const Json& data,
                        CallResult& result) {
  const size_t shard = channel.session().shard().index();
  if (action == "say") {
    const std::string payload = data.string("payload");
    const PayloadKind kind = payload.starts_with('"') ? PayloadKind::json : PayloadKind::text;
    (void)stage_.broadcast(channel.session(), shard, payload, kind);
  } else if (action == "mark") {
    transmit_mark(channel);
  } else if (action == "burst") {
    const size_t stream = stage_.any_stream();
    for (uint64_t i = number_behind(data.string("count"), ""); i > 0; --i) {
      const std::string payload = stage_.oracle.payload(stream, PayloadKind::json, 30);
      (void)stage_.broadcast(channel.session(), shard, payload, PayloadKind::json);
    }
  } else if (action == "stop") {
    Instance& instance = find(channel.identifier())->instances.back();
    for (const auto& [stream, run] : instance.runs) run->unsubscribed();
    find(channel.identifier())->instances.back().ended = true;
    channel.stop_all_streams();
    stage_.coverage.reached(Edge::stream_stopped);
  } else if (action == "kick") {
    channel.session().disconnect("as asked", false);
  } else if (action == "fail") {
    result = CallResult::failed;
  } else {
    return false;
  }
  return true;
}

// --- The client's side --------------------------------------------------------------------

CablePeer::Instance* CablePeer::Subscription::current() {
  // Asked for anew only with one stream, of which nothing is read before its confirmation;
  // otherwise there is one instance whatever is confirmed how often.
  const size_t index = anew && confirms > 0 ? confirms - 1 : 0;
  return index < instances.size() ? &instances[index] : nullptr;
}

void CablePeer::subscribe_new() {
  if (subscriptions_.size() >= 12) return;
  Prng& prng = stage_.prng;
  Subscription& subscription = subscriptions_.emplace_back();
  for (uint64_t streams = prng.chance(0.3) ? 2 + prng.below(3) : 1; streams > 0; --streams) {
    const size_t stream = stage_.any_stream();
    auto& all = subscription.streams;
    if (std::find(all.begin(), all.end(), stream) == all.end()) all.push_back(stream);
  }
  std::string names;
  for (const size_t stream : subscription.streams) names += std::to_string(stream) + ",";
  subscription.refuses = prng.chance(0.05);
  // Few different numbers, so that peers share identifiers, and the bytes they are sent.
  Json identifier = {{"channel", prng.chance(0.03) ? "Nobody" : "Swarm"},
                     {"streams", names},
                     {"n", static_cast<int>(prng.below(3))}};
  if (subscription.refuses) identifier.set("refuses", true);
  if (prng.chance(0.1)) identifier.set("tick", true);
  subscription.identifier = identifier.dump();
  if (std::count_if(subscriptions_.begin(), subscriptions_.end(), [&](const Subscription& other) {
        return other.identifier == subscription.identifier;
      }) > 1) {
    subscriptions_.pop_back();
    return;
  }
  subscription.refuses = subscription.refuses || identifier.string("channel") == "Nobody";
  subscription.confirmation = sim::confirmation(subscription.identifier);
  subscription.rejection = sim::rejection(subscription.identifier);
  subscription.prefix = cable_message(subscription.identifier, "");
  subscription.prefix.pop_back();
  subscription.anew = subscription.streams.size() == 1 && prng.chance(0.6);
  subscription.repeated = !subscription.anew && prng.chance(0.3);
  subscription.asked = true;
  for (int i = subscription.repeated ? 2 : 1; i > 0; --i) client_.subscribe(subscription.identifier);
  subscription.times_asked = 1;
  if (prng.chance(0.05)) {
    client_.unsubscribe(subscription.identifier);
    subscription.asked = false;
    stage_.coverage.reached(Edge::unsubscribed_unconfirmed);
  }
}

void CablePeer::move() {
  if (!welcomed_ || left_) return;
  Prng& prng = stage_.prng;
  if (subscriptions_.empty() || prng.chance(0.05)) return subscribe_new();
  Subscription& subscription = subscriptions_[prng.below(subscriptions_.size())];
  const auto perform = [&](Json data) { client_.perform(subscription.identifier, data.dump()); };
  switch (prng.below(16)) {
    case 0:
      if (subscription.asked && prng.chance(0.6)) {
        subscription.asked = false;
        client_.unsubscribe(subscription.identifier);
        // At once again, without waiting for anything.
        if (!subscription.anew || !prng.chance(0.3)) return;
      }
      [[fallthrough]];
    case 1:
      if (subscription.anew && !subscription.asked && !subscription.rejected) {
        subscription.asked = true;
        ++subscription.times_asked;
        client_.subscribe(subscription.identifier);
        stage_.coverage.reached(Edge::subscribed_anew);
      }
      return;
    case 2:
      return perform({{"action", "mark"}});
    case 3:
      if (prng.chance(stage_.bursts ? 0.8 : 0.1))
        perform({{"action", "burst"}, {"count", 1 + static_cast<int>(prng.below(90))}});
      return;
    case 4:
      if (prng.chance(0.1)) perform({{"action", "stop"}});
      return;
    case 5:
      if (prng.chance(0.02)) perform({{"action", "kick"}});
      return;
    case 6:
      if (prng.chance(0.2)) perform({{"action", "fail"}});
      return;
    case 7:
      if (prng.chance(0.1)) client_.send_frame(Opcode::text, R"({"command":"nonsense"})");
      if (prng.chance(0.1)) client_.send_frame(Opcode::binary, "no text");
      return;
    default: {
      const PayloadKind kind = stage_.any_kind(false);
      const size_t stream = stage_.any_stream();
      const std::string payload = stage_.oracle.payload(stream, kind, stage_.payload_bytes() / 2);
      return perform({{"action", "say"}, {"payload", payload}});
    }
  }
}

void CablePeer::read_ping() {
  const Instant now = stage_.world.now();
  const Duration interval = stage_.limits.ping_interval;
  const Duration allowed =
      (pings_ == 0 ? interval * 3 / 2 : interval) + kTimerSlack + (stage_.world.jumped() - jumped_before_);
  if (prompt_ && now - last_ping_ > allowed) {
    fail("a ping came " + std::to_string((now - last_ping_ - allowed).count() / 1'000'000) + " ms late");
  }
  last_ping_ = now;
  jumped_before_ = stage_.world.jumped();
  ++pings_;
  stage_.coverage.reached(Edge::pinged);
}

void CablePeer::read(const Client::Frame& frame) {
  if (frame.opcode == Opcode::close) check_close_code();
  if (frame.opcode != Opcode::text) return;
  const std::string_view text = frame.payload;
  if (text.starts_with("{\"type\":\"ping\"")) return read_ping();
  if (text == "{\"type\":\"welcome\"}") {
    if (welcomed_ || refused_) fail("an unexpected welcome");
    welcomed_ = true;
    last_ping_ = stage_.world.now();
    jumped_before_ = stage_.world.jumped();
    return;
  }
  if (text.starts_with("{\"type\":\"disconnect\"")) {
    left_ = true;
    return;
  }
  for (Subscription& subscription : subscriptions_) {
    if (text == subscription.confirmation) {
      stage_.coverage.reached(subscription.confirms == 0 ? Edge::confirmed : Edge::confirmed_again);
      ++subscription.confirms;
      if (subscription.confirms > subscription.times_asked + (subscription.repeated ? 1 : 0)) {
        return fail("confirmed more often than asked for");
      }
      Instance* const instance = subscription.current();
      if (instance == nullptr) return fail("confirmed what the handler never saw");
      for (const auto& [stream, run] : instance->runs) run->confirmed();
      return;
    }
    if (text == subscription.rejection) {
      stage_.coverage.reached(Edge::rejected);
      const bool limited = stage_.limits.subscriptions_per_connection < 100;
      if (!subscription.refuses && !limited) fail("rejected without a reason");
      subscription.rejected = true;
      return;
    }
    if (!text.starts_with(subscription.prefix)) continue;
    const std::string_view payload =
        text.substr(subscription.prefix.size(), text.size() - subscription.prefix.size() - 1);
    Instance* const instance = subscription.current();
    if (instance == nullptr) return fail("a delivery for what the handler never saw");
    if (payload.starts_with("{\"mark\":")) {
      for (const auto& [stream, run] : instance->runs) run->saw_mark(number_behind(payload, ":"));
      return;
    }
    const auto run = instance->runs.find(Oracle::stream_of(payload));
    if (run == instance->runs.end())
      return fail("a stream it is not on: " + std::string(payload.substr(0, 40)));
    return run->second->delivered(payload);
  }
  fail("what it never asked for: " + std::string(text.substr(0, 80)));
}

void CablePeer::check_whole() {
  if (!client_.upgraded()) return fail("asked for a WebSocket and never got one: " + client_.raw());
  if (!welcomed_) return fail("never welcomed");
  const Duration since = stage_.world.now() - last_ping_;
  const Duration allowed = stage_.limits.ping_interval * (pings_ == 0 ? 3 : 2) / 2 + kTimerSlack +
                           (stage_.world.jumped() - jumped_before_);
  if (prompt_ && since > allowed) fail("no ping for " + std::to_string(since.count() / 1'000'000) + " ms");
  for (Subscription& subscription : subscriptions_) {
    if (subscription.rejected || !subscription.asked) continue;
    if (subscription.refuses) return fail("not rejected: " + subscription.identifier);
    if (subscription.confirms < 1) return fail("neither confirmed nor rejected: " + subscription.identifier);
    if (subscription.anew && subscription.confirms != subscription.times_asked) {
      return fail("asked for " + std::to_string(subscription.times_asked) + " times and confirmed " +
                  std::to_string(subscription.confirms) + ": " + subscription.identifier);
    }
    Instance* const instance = subscription.current();
    if (instance == nullptr || instance->ended) continue;
    for (const auto& [stream, run] : instance->runs) run->whole();
  }
}

}  // namespace ringcast::sim
