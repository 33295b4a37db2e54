#include "crowd.h"

#include <algorithm>
#include <cassert>
#include <cmath>
#include <cstdio>

#include "dialect.h"
#include "process.h"
#include "wire.h"

namespace load {
namespace {

constexpr uint64_t kHandshakesAtOnce = 200;
constexpr uint64_t kOpenSecondsMax = 60;
// Streams that one publisher's connection carries: below the 1,000 subscriptions that
// servers allow.
constexpr uint32_t kStreamsPerPublisher = 500;
constexpr uint64_t kVisitNs = 1'000'000'000;
// Action Cable pings every 3 s, and its clients give up at twice that.
constexpr uint64_t kPingLateNs = 4'000'000'000;

}  // namespace

Crowd::Crowd(const Settings& settings)
    : settings_(settings),
      prng_(settings.seed),
      flows_per_stream_(settings.publishers + (settings.pipe.empty() ? 0 : 1)),
      flows_(settings.streams * flows_per_stream_, settings.bytes),
      connections_(*this, settings.spin) {
  for (std::string_view rest = settings.url;;) {
    const std::string_view url = rest.substr(0, rest.find(','));
    if (!parse_target(url, targets_.emplace_back()))
      fail("not ws[s]://ADDRESS:PORT/PATH with a numeric address: " + std::string(url));
    if (url.size() == rest.size()) break;
    rest.remove_prefix(url.size() + 1);
  }
  if (!settings.pipe.empty()) pipe_.emplace(settings.pipe);
  double sum = 0;
  for (uint64_t rank = 1; settings.zipf > 0 && rank <= settings.streams; ++rank) {
    sum += std::pow(static_cast<double>(rank), -settings.zipf);
    popularity_.push_back(sum);
  }
  assign_streams();
  const uint64_t wanted = streams_of_.size() + settings.churn * 2 + 64;
  if (const uint64_t allowed = raise_descriptor_limit(); allowed < wanted)
    fail(format("%llu descriptors are needed and %llu allowed: raise ulimit -n",
                static_cast<unsigned long long>(wanted), static_cast<unsigned long long>(allowed)));
}

uint32_t Crowd::draw_stream() {
  if (popularity_.empty()) return static_cast<uint32_t>(prng_.below(settings_.streams));
  const double at = static_cast<double>(prng_.next() >> 11) * 0x1p-53 * popularity_.back();
  return static_cast<uint32_t>(std::upper_bound(popularity_.begin(), popularity_.end(), at) -
                               popularity_.begin());
}

// Members first, then publishers of their own where members cannot publish everything,
// then those who never read. A connection of a room is in one room and hears itself, so
// there the first members publish.
void Crowd::assign_streams() {
  const auto streams = static_cast<uint32_t>(settings_.streams);
  assert(streams > 0);  // settings are checked when they are read
  const bool own_publishers =
      settings_.protocol == Protocol::cable && (settings_.subs_per_conn > 1 || settings_.zipf > 0);
  publishers_of_.resize(streams);
  publisher_turn_.resize(streams);
  const auto add = [&](std::vector<uint32_t> list, Connection::Role role) {
    Connection& connection = connections_.add();
    connection.role = role;
    std::sort(list.begin(), list.end());
    streams_of_.push_back(std::move(list));
    return connection.index();
  };
  for (uint64_t i = 0; i < settings_.connections; ++i) {
    std::vector<uint32_t> list;
    if (settings_.subs_per_conn == 1 && (settings_.zipf == 0 || i < streams)) {
      list.push_back(static_cast<uint32_t>(i % streams));
    } else {
      while (list.size() < settings_.subs_per_conn) {
        const uint32_t stream = draw_stream();
        if (std::find(list.begin(), list.end(), stream) == list.end()) list.push_back(stream);
      }
    }
    const uint32_t index = add(list, Connection::Role::member);
    for (const uint32_t stream : list) {
      if (!own_publishers && publishers_of_[stream].size() < settings_.publishers)
        publishers_of_[stream].push_back(index);
    }
  }
  for (uint64_t p = 0; own_publishers && p < settings_.publishers; ++p) {
    for (uint32_t first = 0; first < streams; first += kStreamsPerPublisher) {
      std::vector<uint32_t> list;
      for (uint32_t s = first; s < std::min(streams, first + kStreamsPerPublisher); ++s) list.push_back(s);
      const uint32_t index = add(list, Connection::Role::member);
      for (const uint32_t stream : list) publishers_of_[stream].push_back(index);
    }
  }
  member_count_ = streams_of_.size();
  for (uint64_t i = 0; i < settings_.stuck; ++i)
    add({static_cast<uint32_t>(i % streams)}, Connection::Role::stuck);

  std::vector<uint32_t> members(streams);
  for (size_t i = 0; i < member_count_; ++i) {
    for (const uint32_t stream : streams_of_[i]) ++members[stream];
  }
  for (uint32_t stream = 0; stream < streams; ++stream) {
    if (publishers_of_[stream].empty()) continue;
    publishable_.push_back(stream);
    for (size_t p = 0; p < flows_per_stream_; ++p) flows_.set_members(flow_of(stream, p), members[stream]);
  }
}

void Crowd::begin_subscriptions(Connection& connection) {
  connection.subscriptions.clear();
  connection.heard = 0;
  if (connection.role != Connection::Role::member) return;
  for (const uint32_t stream : streams_of_[connection.index()]) {
    for (size_t p = 0; p < flows_per_stream_; ++p) {
      const uint32_t flow = flow_of(stream, p);
      connection.subscriptions.push_back(
          {.flow = flow, .next = flows_.next_number(flow), .cursor = ~uint64_t{0}});
    }
  }
}

void Crowd::connect(Connection& connection) {
  const uint32_t stream = streams_of_[connection.index()].front();
  // Of each stream some are everywhere.
  Target target = targets_[connection.index() / settings_.streams % targets_.size()];
  if (is_cable(stream)) {
    if (settings_.protocol == Protocol::mixed) target.path = "/cable";
  } else {
    target.path = stream_name(target.path, stream, settings_.streams);
  }
  begin_subscriptions(connection);
  connection.counter = connection.last_ping = 0;
  connections_.connect(connection, target, is_cable(stream) ? kCableSubprotocol : std::string_view{});
}

void Crowd::open(Progress& progress) {
  open_members(member_count_, progress);
  for (size_t i = member_count_; i < member_count_ + settings_.stuck; ++i) connect(connections_[i]);
  await(member_count_ + settings_.stuck, progress, "those who never read");
  // A subscription may be confirmed a moment before it is in effect.
  const uint64_t until = now_ns() + 300'000'000;
  while (now_ns() < until) poll(until);
}

void Crowd::open_members(size_t count, Progress& progress) {
  const uint64_t at_once = settings_.depth_given ? settings_.depth : kHandshakesAtOnce;
  const uint64_t deadline = now_ns() + kOpenSecondsMax * 1'000'000'000;
  opening_ = true;
  for (size_t next = ready_; ready_ < count;) {
    while (next < count && next - ready_ < at_once) connect(connections_[next++]);
    poll(now_ns() + 100'000'000);
    progress.show(format("%zu of %zu connections open", ready_, count));
    if (now_ns() > deadline) fail("not all connections opened within a minute");
  }
  opening_ = false;
}

void Crowd::await(size_t ready, Progress& progress, const char* what) {
  const uint64_t deadline = now_ns() + kOpenSecondsMax * 1'000'000'000;
  opening_ = true;
  while (ready_ < ready) {
    poll(now_ns() + 100'000'000);
    progress.show(format("%zu of %zu: %s", ready_, ready, what));
    if (now_ns() > deadline) fail("not all connections opened within a minute");
  }
  opening_ = false;
}

std::string Crowd::identifier(const Connection& connection, uint32_t stream) const {
  const std::string& path = targets_.front().path;
  const std::string_view room = std::string_view(path).substr(path.rfind('/') + 1);
  // On "/cable" the path names no room.
  const std::string name = stream_name(room == "cable" ? "load" : room, stream, settings_.streams);
  return cable_identifier(
      name, settings_.distinct_identifiers ? std::optional<uint64_t>(connection.index()) : std::nullopt);
}

void Crowd::opened(Connection& connection) {
  // A cable is ready when its subscriptions are confirmed; they are asked for on its welcome.
  if (!is_cable(streams_of_[connection.index()].front())) confirmed(connection);
}

void Crowd::subscribe(Connection& connection) {
  for (const uint32_t stream : streams_of_[connection.index()])
    append_frame(connection.out(), kText, cable_subscribe(identifier(connection, stream)));
  connection.flush();
}

void Crowd::confirmed(Connection& connection) {
  const uint64_t took = now_ns() - connection.since;
  if (connection.role == Connection::Role::passer_by) {
    joins_.add(took);
    return;
  }
  ++ready_;
  joins_.add(took);
  if (returns_ != nullptr) returns_->add(now_ns() - opening_at_);
  if (connection.role == Connection::Role::stuck) connections_.stop_reading(connection);
}

size_t Crowd::received(Connection& connection, std::string_view bytes, uint64_t now) {
  size_t at = 0;
  const bool alone = connection.role == Connection::Role::member && connection.subscriptions.size() == 1;
  while (at < bytes.size()) {
    if (alone) {
      at += flows_.match(connection.subscriptions.front(), bytes.substr(at), now);
      if (at == bytes.size()) break;
    }
    const Frame frame = first_frame(bytes.substr(at));
    if (frame.bytes == 0) break;
    message(connection, frame, bytes.substr(at, frame.bytes), now);
    at += frame.bytes;
    if (connection.state() != Connection::State::open) break;
  }
  return at;
}

void Crowd::message(Connection& connection, const Frame& frame, std::string_view whole, uint64_t now) {
  if (!frame.valid) {
    ++flows_.errors().corrupt;
    return flows_.complain(connection, "got a frame with reserved bits, a mask, or in fragments");
  }
  if (frame.opcode == kPing) {
    append_frame(connection.out(), kPong, frame.payload);
    return connection.flush();
  }
  if (frame.opcode != kText && frame.opcode != kBinary) return;  // after a Close comes the end itself
  const std::string_view payload = frame.payload;
  if (const std::optional<Delivery> delivery = flows_.read(payload)) {
    if (connection.role == Connection::Role::member) flows_.deliver(connection, *delivery, whole, now);
    if (connection.role == Connection::Role::passer_by) flows_.overhear(connection, *delivery);
    return;
  }
  const auto says = [&](std::string_view text) { return payload.find(text) != payload.npos; };
  if (!is_cable(streams_of_[connection.index()].front())) {
    if (says("\"error\"") || says("xxxx")) flows_.refuse(connection, payload);
    return;  // a room's welcome
  }
  if (says(R"("type":"welcome")")) return subscribe(connection);
  if (says(R"("type":"ping")")) {
    if (connection.last_ping != 0 && now - connection.last_ping > kPingLateNs) ++late_pings_;
    connection.last_ping = now;
  } else if (says(R"("type":"confirm_subscription")")) {
    if (++connection.confirmed == streams_of_[connection.index()].size()) confirmed(connection);
  } else if (says(R"("type":"reject_subscription")")) {
    fail("a subscription was rejected: " + std::string(payload));
  } else if (says("xxxx")) {
    flows_.refuse(connection, payload);  // a message, but not as it was sent
  }
}

void Crowd::lost(Connection& connection, std::string_view why) {
  switch (connection.role) {
    case Connection::Role::stuck:
      if (opening_) fail("a connection was lost while opening: " + std::string(why));
      ++stuck_cut_;
      return;
    case Connection::Role::passer_by:
      if (connection.counter != 0) return;  // it had said goodbye
      break;
    case Connection::Role::member:
      if (returns_ != nullptr) {
        ++refused_;
        retry_.push_back(connection.index());
        return;
      }
      if (opening_) fail("a connection was lost while opening: " + std::string(why));
      flows_.leave(connection, now_ns());
      break;
  }
  ++flows_.errors().cut;
  flows_.complain(connection, "was lost: " + std::string(why));
}

bool Crowd::publish(uint64_t intended) {
  uint32_t stream = 0;
  if (popularity_.empty()) {
    stream = publishable_[stream_turn_++ % publishable_.size()];
  } else {
    do {
      stream = draw_stream();
    } while (publishers_of_[stream].empty());
  }
  const size_t members = publishers_of_[stream].size();
  const size_t p = publisher_turn_[stream]++ % (members + (pipe_ ? 1 : 0));
  const uint32_t flow = flow_of(stream, p);
  if (p == members) {
    std::string text;
    append_text(text, {flow, flows_.published(flow, intended)}, settings_.bytes);
    pipe_->write(raw_message(text) + '\n');
    return true;
  }
  Connection& publisher = connections_[publishers_of_[stream][p]];
  if (publisher.state() != Connection::State::open) return false;
  std::string text;
  append_text(text, {flow, flows_.published(flow, intended)}, settings_.bytes);
  append_frame(publisher.out(), kText,
               is_cable(stream) ? cable_message(identifier(publisher, stream), text) : raw_message(text));
  if (to_flush_.empty() || to_flush_.back() != publisher.index()) to_flush_.push_back(publisher.index());
  return true;
}

void Crowd::flush_publishers() {
  for (const uint32_t index : to_flush_) connections_[index].flush();
  to_flush_.clear();
  if (!pipe_ || pipe_->flush()) return;
  ++flows_.errors().cut;
  std::fputs("ringcast-load: the command of --pipe takes no more\n", stderr);
  pipe_.reset();
}

void Crowd::churn(uint64_t now) {
  if (settings_.churn == 0) return;
  if (churned_at_ != 0)
    visits_due_ += static_cast<double>(now - churned_at_) / 1e9 * static_cast<double>(settings_.churn);
  churned_at_ = now;
  for (; visits_due_ >= 1; visits_due_ -= 1) {
    if (absent_.empty()) {
      absent_.push_back(connections_.add().index());
      streams_of_.emplace_back();
    }
    Connection& connection = connections_[absent_.back()];
    absent_.pop_back();
    connection.role = Connection::Role::passer_by;
    streams_of_[connection.index()] = {draw_stream()};
    connect(connection);
    present_.push_back({connection.index(), now + kVisitNs / 2 + prng_.below(kVisitNs)});
    ++visits_;
  }
  // In the order they came: who was to leave earlier than somebody before leaves a little late.
  while (!present_.empty() && present_.front().leave_at <= now) {
    Connection& connection = connections_[present_.front().connection];
    present_.pop_front();
    if (connection.counter == 0 && connection.state() == Connection::State::open && prng_.chance(0.5)) {
      // Politely: a Close, and a moment for its answer. The rest vanish.
      append_frame(connection.out(), kClose, std::string_view("\x03\xe8", 2));
      connection.counter = 1;
      connection.flush();
      present_.push_back({connection.index(), now + kVisitNs});
      continue;
    }
    connections_.close(connection);
    absent_.push_back(connection.index());
  }
}

void Crowd::cut_members() {
  for (size_t i = 0; i < member_count_; ++i) connections_.close(connections_[i]);
  ready_ = 0;
}

void Crowd::return_members(Histogram& returns, Progress& progress) {
  const uint64_t at_once = settings_.depth_given ? settings_.depth : member_count_;
  opening_at_ = now_ns();
  const uint64_t deadline = opening_at_ + kOpenSecondsMax * 1'000'000'000;
  returns_ = &returns;
  size_t next = 0;
  while (ready_ < member_count_) {
    while (next < member_count_ && next - ready_ - retry_.size() < at_once) {
      connect(connections_[next++]);
      if (next % 256 == 0) poll(0);  // those under way go on while others begin
    }
    // Whoever was turned away asks again; a server's own back-off advice is not for a test.
    for (size_t turned_away = retry_.size(); turned_away > 0; --turned_away) {
      connect(connections_[retry_.front()]);
      retry_.pop_front();
    }
    poll(now_ns() + 20'000'000);
    progress.show(format("%zu of %zu are back", ready_, member_count_));
    if (now_ns() > deadline) fail("not all connections came back within a minute");
  }
  returns_ = nullptr;
}

void Crowd::drain() {
  const auto patience = static_cast<uint64_t>(settings_.patience * 1e9);
  uint64_t seen = flows_.deliveries();
  uint64_t deadline = now_ns() + patience;
  while (flows_.under_way() > 0 && now_ns() < deadline) {
    poll(now_ns() + 50'000'000);
    churn(now_ns());
    if (flows_.deliveries() == seen) continue;  // what still comes is slow, not lost
    seen = flows_.deliveries();
    deadline = now_ns() + patience;
  }
  flows_.give_up();
  if (pipe_ && !pipe_->close()) {
    ++flows_.errors().cut;
    std::fputs("ringcast-load: the command of --pipe failed\n", stderr);
  }
  compare_orders();
}

// One publisher's messages are checked as they come; this is about how those of several
// lie among each other. Who is on several streams may hear them in any order.
void Crowd::compare_orders() {
  if (flows_per_stream_ == 1 || flows_.errors().all() > 0) return;
  std::vector<const Connection*> first_of(settings_.streams);
  for (size_t i = 0; i < member_count_; ++i) {
    if (streams_of_[i].size() > 1) continue;
    const Connection& connection = connections_[i];
    const Connection*& first = first_of[streams_of_[i].front()];
    if (first == nullptr) first = &connection;
    if (connection.heard == first->heard) continue;
    ++flows_.errors().disagreed;
    flows_.complain(connection,
                    "heard its stream in another order than connection " + std::to_string(first->index()));
  }
}

}  // namespace load
