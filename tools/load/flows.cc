#include "flows.h"

#include <algorithm>
#include <cstdio>
#include <cstring>

namespace load {
namespace {

constexpr uint64_t kComplaintsMax = 5;
constexpr size_t kLogSlackBytes = 1 << 20;

// What one step adds to a digest of an order: multiplication by an odd number loses
// nothing, and the shift brings its high bits down.
uint64_t mixed(uint64_t digest, Note note) {
  digest = (digest ^ (uint64_t{note.flow} << 40 ^ note.number)) * 0x9e3779b97f4a7c15;
  return digest ^ digest >> 29;
}

}  // namespace

uint64_t Flows::published(uint32_t flow_index, uint64_t intended) {
  Flow& flow = flows_[flow_index];
  const uint64_t number = flow.base + flow.sent.size();
  flow.sent.push_back({.intended = intended, .missing = flow.members});
  ++under_way_;
  ++burst_missing_[intended];
  return number;
}

void Flows::arrived(Sent& sent, uint64_t now) {
  ++deliveries_;
  if (sent.intended >= measure_from_) latencies_.add(now > sent.intended ? now - sent.intended : 0);
  if (sent.missing == 0 || --sent.missing > 0) return;
  ++completed_;
  --under_way_;
  const uint64_t took = now > sent.intended ? now - sent.intended : 0;
  const bool measured = sent.intended >= measure_from_;
  if (measured) completions_.add(took);
  const auto burst = burst_missing_.find(sent.intended);
  if (burst != burst_missing_.end() && --burst->second == 0) {
    burst_missing_.erase(burst);
    if (measured) bursts_.add(took);
  }
}

void Flows::retire(Flow& flow) {
  uint64_t end = 0;
  while (!flow.sent.empty() && flow.sent.front().missing == 0) {
    end = std::max(end, flow.sent.front().end);
    flow.sent.pop_front();
    ++flow.base;
  }
  // Copying the rest to the front costs little when the rest is less than what goes.
  if (end > flow.log_base + std::max(kLogSlackBytes, flow.log.size() / 2)) {
    flow.log.erase(0, end - flow.log_base);
    flow.log_base = end;
  }
}

size_t Flows::match(Subscription& subscription, std::string_view bytes, uint64_t now) {
  Flow& flow = flows_[subscription.flow];
  const uint64_t end = flow.log_base + flow.log.size();
  if (subscription.cursor < flow.log_base || subscription.cursor >= end || subscription.next < flow.base)
    return 0;
  const char* const log = flow.log.data() + (subscription.cursor - flow.log_base);
  const size_t common = std::min<size_t>(bytes.size(), end - subscription.cursor);
  const bool all = std::memcmp(log, bytes.data(), common) == 0;
  size_t matched = 0;
  bool retires = false;
  while (subscription.next < flow.logged && subscription.next - flow.base < flow.sent.size()) {
    Sent& sent = flow.sent[subscription.next - flow.base];
    const size_t frame_end = sent.end - subscription.cursor + matched;
    if (frame_end > common) break;
    if (!all && std::memcmp(log + matched, bytes.data() + matched, frame_end - matched) != 0) break;
    matched = frame_end;
    subscription.cursor = sent.end;
    ++subscription.next;
    arrived(sent, now);
    retires |= sent.missing == 0;
  }
  if (retires) retire(flow);
  return matched;
}

void Flows::refuse(const Connection& connection, std::string_view payload) {
  ++errors_.corrupt;
  complain(connection, "got what nobody sent: " + std::string(payload.substr(0, 80)));
}

void Flows::deliver(Connection& connection, const Delivery& delivery, std::string_view frame, uint64_t now) {
  const Note note = delivery.note;
  if (!delivery.whole || note.flow >= flows_.size()) return refuse(connection, frame);
  auto& subscriptions = connection.subscriptions;
  const auto found = std::lower_bound(subscriptions.begin(), subscriptions.end(), note.flow,
                                      [](const Subscription& s, uint32_t flow) { return s.flow < flow; });
  if (found == subscriptions.end() || found->flow != note.flow) {
    ++errors_.corrupt;
    return complain(connection, "got a message of a stream it has not subscribed to");
  }
  Flow& flow = flows_[note.flow];
  if (note.number >= flow.base + flow.sent.size()) {
    ++errors_.corrupt;
    return complain(connection, "got number " + std::to_string(note.number) + ", which was never sent");
  }
  const uint64_t key = uint64_t{connection.index()} << 32 | note.flow;
  const auto numbers = [&] {
    return std::to_string(note.number) + " where " + std::to_string(found->next) + " was due";
  };
  if (note.number < found->next) {
    auto& skipped = skipped_[key];
    const auto late = std::find(skipped.begin(), skipped.end(), note.number);
    if (late == skipped.end()) {
      ++errors_.duplicated;
      return complain(connection, "got a message twice: " + numbers());
    }
    skipped.erase(late);
    --errors_.lost;
    ++errors_.reordered;
    ++deliveries_;
    return complain(connection, "got a message late: " + numbers());
  }
  if (note.number > found->next) {
    complain(connection, "missed a message: " + numbers());
    for (; found->next < note.number; ++found->next) {
      ++errors_.lost;
      skipped_[key].push_back(found->next);
      if (found->next < flow.base) continue;
      arrived(flow.sent[found->next - flow.base], now);
      --deliveries_;
    }
  }
  Sent& sent = flow.sent[note.number - flow.base];
  if (sent.end == 0 && flow.logged <= note.number && subscriptions.size() == 1) {
    flow.log.append(frame);
    sent.end = flow.log_base + flow.log.size();
    flow.logged = note.number + 1;
  }
  found->cursor = sent.end;
  found->next = note.number + 1;
  connection.heard = mixed(connection.heard, note);
  arrived(sent, now);
  retire(flow);
}

void Flows::overhear(Connection& connection, const Delivery& delivery) {
  if (!delivery.whole || delivery.note.flow >= flows_.size())
    return refuse(connection, "a text that is not whole");
  auto& subscriptions = connection.subscriptions;
  auto found = std::find_if(subscriptions.begin(), subscriptions.end(),
                            [&](const Subscription& s) { return s.flow == delivery.note.flow; });
  const uint64_t number = delivery.note.number;
  if (found == subscriptions.end()) {
    subscriptions.push_back({.flow = delivery.note.flow, .next = number + 1});
    return;
  }
  if (number < found->next) ++errors_.duplicated;
  if (number > found->next) errors_.lost += number - found->next;
  if (number != found->next)
    complain(connection, "in passing, got " + std::to_string(number) + " where " +
                             std::to_string(found->next) + " was due");
  found->next = number + 1;
}

void Flows::leave(const Connection& connection, uint64_t now) {
  for (const Subscription& subscription : connection.subscriptions) {
    Flow& flow = flows_[subscription.flow];
    --flow.members;
    for (uint64_t number = std::max(subscription.next, flow.base); number < flow.base + flow.sent.size();
         ++number) {
      arrived(flow.sent[number - flow.base], now);
      --deliveries_;
    }
    retire(flow);
  }
}

void Flows::give_up() {
  for (Flow& flow : flows_) {
    for (const Sent& sent : flow.sent) errors_.lost += sent.missing;
  }
}

void Flows::measure_from(uint64_t since) {
  measure_from_ = since;
  latencies_ = {};
  completions_ = {};
  bursts_ = {};
  deliveries_ = 0;
  completed_ = 0;
}

void Flows::complain(const Connection& connection, const std::string& what) {
  if (errors_.all() > kComplaintsMax) return;
  std::fprintf(stderr, "ringcast-load: connection %u %s\n", connection.index(), what.c_str());
}

}  // namespace load
