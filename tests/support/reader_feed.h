// Feeds a WebSocketReader and keeps what it said, for the tests of its plain and its
// compressed messages.
#pragma once

#include <gtest/gtest.h>

#include <algorithm>
#include <cstring>
#include <memory>
#include <ostream>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/bytes.h"
#include "protocol/websocket.h"

namespace ringcast {

struct Seen {
  WebSocketReader::Event::Kind kind = WebSocketReader::Event::Kind::need_more;
  std::string payload = {};
  CloseCode code = CloseCode::none;
  friend bool operator==(const Seen&, const Seen&) = default;
};

inline void PrintTo(const Seen& seen, std::ostream* out) {
  *out << "{kind " << int(seen.kind) << ", code " << int(seen.code) << ", " << seen.payload.size()
       << " bytes: " << ::testing::PrintToString(seen.payload.substr(0, 40)) << "}";
}

// Feeds chunks, each in memory of its own that is gone with the next.
class Feeder {
 public:
  // As the reader's own constructors.
  template <class... Arguments>
  explicit Feeder(Arguments&&... arguments) : reader_(std::forward<Arguments>(arguments)...) {}

  void feed(std::string_view chunk) {
    const auto memory = std::make_unique<std::byte[]>(chunk.size());
    if (!chunk.empty()) std::memcpy(memory.get(), chunk.data(), chunk.size());
    feed_in_place({memory.get(), chunk.size()});
  }

  void feed_in_place(MutableBytes input) {
    using Kind = WebSocketReader::Event::Kind;
    for (;;) {
      const WebSocketReader::Event event = reader_.next(input);
      held_peak_ = std::max(held_peak_, reader_.held_bytes());
      if (event.kind == Kind::need_more) break;
      if (event.kind == Kind::error) {
        EXPECT_FALSE(event.problem.empty());
        EXPECT_LE(event.problem.size(), kCloseReasonBytesMax);
        EXPECT_EQ(reader_.held_bytes(), 0u) << "nothing is needed of a failed conversation";
      }
      seen_.push_back({event.kind, std::string(as_text(event.payload)), event.code});
      // The caller may write to what it was given: an echo puts a header there.
      std::fill(event.payload.begin(), event.payload.end(), std::byte{0xa5});
    }
    EXPECT_TRUE(input.empty()) << "need_more means everything was consumed";
  }

  // 0: all at once.
  void feed_chopped(std::string_view wire, size_t chop_bytes) {
    if (chop_bytes == 0) chop_bytes = wire.size();
    for (; !wire.empty(); wire.remove_prefix(std::min(chop_bytes, wire.size()))) {
      feed(wire.substr(0, chop_bytes));
    }
  }

  const std::vector<Seen>& seen() const { return seen_; }
  size_t held_bytes() const { return reader_.held_bytes(); }
  size_t held_peak() const { return held_peak_; }
  CloseCode error() const {
    return seen_.empty() || seen_.back().kind != WebSocketReader::Event::Kind::error ? CloseCode::none
                                                                                     : seen_.back().code;
  }

 private:
  WebSocketReader reader_;
  std::vector<Seen> seen_;
  size_t held_peak_ = 0;
};

}  // namespace ringcast
