#include "tests/sim/oracle.h"

#include <algorithm>
#include <charconv>
#include <utility>

#include "base/assert.h"
#include "base/hash.h"

namespace ringcast::sim {
namespace {

// A payload is 17:3:aaaa…, in quotes where it is JSON: number, stream, filling.
struct Named {
  uint32_t number = 0;
  uint32_t stream = 0;
};

std::optional<Named> decode(std::string_view payload) {
  if (payload.starts_with('"')) payload.remove_prefix(1);
  Named named;
  const char* const end = payload.data() + payload.size();
  const auto number = std::from_chars(payload.data(), end, named.number);
  if (number.ec != std::errc() || number.ptr == end || *number.ptr != ':') return {};
  const auto stream = std::from_chars(number.ptr + 1, end, named.stream);
  if (stream.ec != std::errc() || stream.ptr == end || *stream.ptr != ':') return {};
  return named;
}

std::string shown(std::string_view payload) {
  return std::string(payload.substr(0, 40));
}

}  // namespace

// --- Publishing ---------------------------------------------------------------------------

size_t Oracle::add_stream(std::string name, LapPolicy policy) {
  streams_.push_back({.name = std::move(name), .policy = policy});
  return streams_.size() - 1;
}

std::optional<size_t> Oracle::find(std::string_view name) const {
  for (size_t i = 0; i < streams_.size(); ++i) {
    if (streams_[i].name == name) return i;
  }
  return {};
}

std::string Oracle::payload(size_t stream, PayloadKind kind, size_t bytes) {
  const auto number = static_cast<uint32_t>(messages_.size());
  messages_.push_back({.stream = static_cast<uint32_t>(stream), .kind = kind});
  std::string payload = kind == PayloadKind::json ? "\"" : "";
  payload += std::to_string(number) + ":" + std::to_string(stream) + ":";
  if (payload.size() < bytes) payload.resize(bytes, static_cast<char>('a' + number % 26));
  if (kind == PayloadKind::json) payload += '"';
  return payload;
}

size_t Oracle::stream_of(std::string_view payload) {
  const auto named = decode(payload);
  return named ? named->stream : SIZE_MAX;
}

void Oracle::published(size_t stream, size_t source, PayloadKind kind, std::string_view payload) {
  const auto named = decode(payload);
  RC_ASSERT(named && named->stream == stream && named->number < messages_.size());
  Message& message = messages_[named->number];
  RC_ASSERT(!message.accepted && source < kSources);
  message.accepted = true;
  message.source = static_cast<uint8_t>(source);
  message.kind = kind;
  message.accepted_at = tick();
  message.hash[kRaw] = hash64(payload);
  // To a cable, a text that is no JSON is a JSON string; ours need no escaping.
  const bool quoted = payload.starts_with('"');
  message.hash[kCable] = quoted ? message.hash[kRaw] : hash64("\"" + std::string(payload) + "\"");
  auto& count = streams_[stream].count;
  message.index[kRaw] = count[kRaw][source]++;
  if (kind != PayloadKind::binary) message.index[kCable] = count[kCable][source]++;
  ++published_;
}

uint32_t Oracle::chain_of(uint32_t message, size_t view) {
  uint32_t root = message;
  while (messages_[root].chain[view] != 0) root = messages_[root].chain[view];
  while (message != root) message = std::exchange(messages_[message].chain[view], root);
  return root;
}

// --- A run --------------------------------------------------------------------------------

Oracle::Run& Oracle::begin(size_t stream, size_t shard, bool cable, bool confirm_first) {
  runs_.push_back(std::unique_ptr<Run>(new Run(*this, stream, shard, cable)));
  runs_.back()->confirm_first_ = confirm_first;
  runs_.back()->must_from_.fill(UINT32_MAX);
  return *runs_.back();
}

void Oracle::Run::fail(const std::string& what) const {
  oracle_.fail_("stream " + oracle_.name(stream_) + ", a " + (cable_ ? "cable" : "raw") +
                " subscriber on shard " + std::to_string(shard_) + " behind " + std::to_string(count_) +
                " deliveries: " + what);
}

void Oracle::Run::received() {
  received_at_ = oracle_.tick();
}

void Oracle::Run::unsubscribed() {
  if (unsubscribed_at_ == UINT64_MAX) unsubscribed_at_ = oracle_.tick();
}

void Oracle::Run::transmitted(uint64_t mark) {
  marks_.emplace_back(mark, oracle_.tick());
}

void Oracle::Run::confirmed() {
  if (confirmed_) return;  // said twice, to one who asked twice
  confirmed_ = true;
  must_from_ = oracle_.streams_[stream_].count[cable_];
}

void Oracle::Run::saw_mark(uint64_t mark) {
  if (marks_.empty() || marks_.front().first != mark) return fail("a message of its own out of order");
  mark_bound_ = marks_.front().second;
  marks_.erase(marks_.begin());
}

void Oracle::Run::delivered(std::string_view payload) {
  const size_t view = cable_;
  const auto named = decode(payload);
  if (!named || named->number == 0 || named->number >= oracle_.messages_.size()) {
    return fail("what nobody published: " + shown(payload));
  }
  Message& message = oracle_.messages_[named->number];
  if (!message.accepted) return fail("what was refused: " + shown(payload));
  if (message.stream != stream_) return fail("another stream's: " + shown(payload));
  if (cable_ && message.kind == PayloadKind::binary) return fail("binary on a cable: " + shown(payload));
  if (hash64(payload) != message.hash[view]) return fail("other bytes than published: " + shown(payload));

  if (confirm_first_ && !confirmed_) fail("ahead of the confirmation: " + shown(payload));
  if (message.accepted_at > unsubscribed_at_) fail("published behind the unsubscribe: " + shown(payload));
  uint64_t& shown_at = message.shown_at[shard_];
  if (shown_at != 0 && shown_at < received_at_) {
    fail("shown here before the subscribe was received: " + shown(payload));
  }
  if (shown_at != 0 && shown_at < mark_bound_) {
    fail("shown here before the message of its own that it follows: " + shown(payload));
  }
  if (shown_at == 0) shown_at = oracle_.tick();

  const bool holes = oracle_.streams_[stream_].policy != LapPolicy::close;
  const uint32_t index = message.index[view];
  uint32_t& next = next_[message.source];
  if (next == 0) {
    if (index > must_from_[message.source] && !holes) {
      fail("began behind what was published after its confirmation: " + shown(payload));
    }
  } else if (index + 1 == next) {
    fail("twice: " + shown(payload));
  } else if (holes ? index < next : index != next) {
    fail("expected number " + std::to_string(next) + " of its publisher, not " + std::to_string(index) +
         ": " + shown(payload));
  }
  next = index + 1;

  if (last_ != 0 && !holes) {
    uint32_t& before = message.follows[view];
    uint32_t& behind = oracle_.messages_[last_].followed_by[view];
    if (before == 0 && behind == 0) {
      // New to everybody; it must not close a circle.
      const uint32_t chain = oracle_.chain_of(named->number, view);
      const uint32_t chain_of_last = oracle_.chain_of(last_, view);
      if (chain == chain_of_last) fail("two subscribers, two orders: in a circle to " + shown(payload));
      if (chain != chain_of_last) oracle_.messages_[chain].chain[view] = chain_of_last;
    } else if (before != last_ || behind != named->number) {
      fail("two subscribers, two orders: " + std::to_string(last_) + " and then " + shown(payload) +
           ", elsewhere " + std::to_string(before) + " before it, or " + std::to_string(behind) +
           " behind the other");
    }
    before = last_;
    behind = named->number;
  }
  last_ = named->number;
  ++count_;
  ++oracle_.delivered_;
}

void Oracle::Run::whole() {
  if (!confirmed_) return fail("never confirmed");
  if (!marks_.empty()) return fail("never got its own message " + std::to_string(marks_.front().first));
  const auto& count = oracle_.streams_[stream_].count[cable_];
  bool has_an_end = false;
  size_t missing = kSources;
  for (size_t source = 0; source < kSources; ++source) {
    const uint32_t had = next_[source] != 0 ? next_[source] : must_from_[source];
    has_an_end = has_an_end || (next_[source] != 0 && had == count[source]);
    if (had != count[source]) missing = source;
  }
  // What may lose messages keeps at least the newest, which was some publisher's last.
  const bool holes = oracle_.streams_[stream_].policy != LapPolicy::close;
  if (missing == kSources || (holes && has_an_end)) return;
  fail("of publisher " + std::to_string(missing) + " the end is missing, behind " +
       std::to_string(next_[missing]) + " of " + std::to_string(count[missing]));
}

}  // namespace ringcast::sim
