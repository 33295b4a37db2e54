// The frame log against a model that keeps every frame: any mix of appends, cursors
// that come, go and advance by any number of bytes, and trims.
#include "shard/frame_log.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <string>
#include <vector>

#include "base/prng.h"

namespace ringcast {
namespace {

std::string gathered(const FrameLog& log, FrameLog::Cursor cursor) {
  std::vector<iovec> parts;
  log.gather(cursor, parts);
  std::string bytes;
  for (const iovec& part : parts) bytes.append(static_cast<const char*>(part.iov_base), part.iov_len);
  return bytes;
}

std::string framed(std::string_view payload) {
  std::vector<std::byte> bytes;
  append_frame(bytes, Opcode::text, as_bytes(payload));
  return std::string(as_text(bytes));
}

TEST(FrameLog, EncodesAFrameFromItsThreeParts) {
  ChunkPool pool(1024);
  FrameLog log(pool);
  const FrameLog::Cursor cursor = log.join();
  log.append(Opcode::text, as_bytes("{\"message\":"), as_bytes("1.10"), as_bytes("}"));
  EXPECT_EQ(gathered(log, cursor), framed("{\"message\":1.10}"));
  log.leave(cursor);
}

TEST(FrameLog, AdvanceFromEveryByteStopsOnTheNextBoundary) {
  ChunkPool pool(1 << 20);
  FrameLog log(pool);
  const FrameLog::Cursor start = log.join();
  // Header sizes 2, 4 and 10, an empty frame, and chunks of all sizes.
  std::vector<FrameLog::Cursor> boundaries{start};
  for (const size_t bytes : {0, 1, 125, 126, 3000, 70'000, 0, 5, 200'000}) {
    log.append(Opcode::text, {}, as_bytes(std::string(bytes, 'x')), {});
    boundaries.push_back(log.head());
  }
  const std::string all = gathered(log, start);
  ASSERT_EQ(all.size(), log.head());
  for (size_t sent = 0; sent <= all.size(); sent += sent < 4000 ? 1 : 97) {
    const FrameLog::Advance reached = log.advance(start, sent);
    const auto boundary = std::lower_bound(boundaries.begin(), boundaries.end(), sent);
    ASSERT_EQ(reached.cursor, *boundary) << sent;
    ASSERT_EQ(reached.frames, static_cast<size_t>(boundary - boundaries.begin())) << sent;
    ASSERT_EQ(as_text(reached.rest), std::string_view(all).substr(sent, reached.cursor - sent)) << sent;
  }
  log.leave(start);
}

TEST(FrameLog, KeepsNothingForNobody) {
  ChunkPool pool(1 << 20);
  FrameLog log(pool);
  FrameLog::Cursor cursor = log.join();
  log.append(Opcode::text, {}, as_bytes("seen"), {});
  log.leave(cursor);
  log.append(Opcode::text, {}, as_bytes("unseen"), {});
  EXPECT_EQ(log.held_bytes(), 0u);

  // Whoever comes now stands behind both, and positions still tell chunks apart.
  cursor = log.join();
  log.append(Opcode::text, {}, as_bytes("next"), {});
  EXPECT_EQ(gathered(log, cursor), framed("next"));
  log.leave(cursor);
  log.trim();
  EXPECT_EQ(pool.held_bytes(), 0u);
}

TEST(FrameLog, TailNeededFreesEnoughAndNoChunkMore) {
  ChunkPool pool(64 * 1024);
  FrameLog log(pool);
  const FrameLog::Cursor cursor = log.join();
  while (log.has_room(1004)) log.append(Opcode::text, {}, as_bytes(std::string(1000, 'x')), {});
  EXPECT_EQ(log.tail_needed(log.bytes_max() - log.held_bytes()), log.tail());
  const FrameLog::Cursor needed = log.tail_needed(1004);
  ASSERT_GT(needed, log.tail());
  EXPECT_EQ(log.advance(cursor, static_cast<size_t>(needed - cursor)).cursor, needed) << "not a boundary";
  log.move(cursor, needed);
  log.trim();
  EXPECT_EQ(log.tail(), needed);
  EXPECT_TRUE(log.has_room(1004));
  EXPECT_EQ(log.tail_needed(log.bytes_max()), log.head());
  log.leave(needed);
}

TEST(ChunkPool, ReusesAndCountsWhatItGivesOut) {
  ChunkPool pool(1 << 20);
  const ChunkPool::Chunk small = pool.acquire(100, 0);
  const ChunkPool::Chunk large = pool.acquire(100, 1 << 20);
  const ChunkPool::Chunk huge = pool.acquire(5'000'000, 0);
  EXPECT_LT(small.capacity, large.capacity);
  EXPECT_GE(huge.capacity, 5'000'000u);
  EXPECT_EQ(pool.held_bytes(), small.capacity + large.capacity + huge.capacity);
  pool.release(huge);
  pool.release(large);
  pool.release(small);
  EXPECT_EQ(pool.held_bytes(), 0u);
  const ChunkPool::Chunk again = pool.acquire(100, 0);
  EXPECT_EQ(again.bytes, small.bytes);
  pool.release(again);
}

// The model: every byte ever appended and every boundary.
class FrameLogModel {
 public:
  explicit FrameLogModel(uint64_t seed) : prng_(seed) {}

  void run(size_t steps) {
    for (size_t step = 0; step < steps && !testing::Test::HasFatalFailure(); ++step) {
      switch (prng_.below(8)) {
        case 0:
          cursors_.push_back(log_.join());
          ASSERT_EQ(cursors_.back(), log_.head());
          break;
        case 1:
          if (cursors_.empty()) break;
          leave(prng_.below(cursors_.size()));
          break;
        case 2:
          log_.trim();
          ASSERT_TRUE(!all_caught_up() || pool_.held_bytes() == 0);
          break;
        case 3:
          if (!cursors_.empty()) jump(cursors_[prng_.below(cursors_.size())]);
          break;
        case 4:
        case 5:
          if (cursors_.empty()) break;
          ASSERT_NO_FATAL_FAILURE(send(cursors_[prng_.below(cursors_.size())]));
          break;
        default:
          append();
      }
      ASSERT_NO_FATAL_FAILURE(check());
    }
    while (!cursors_.empty()) leave(0);
    log_.trim();
    EXPECT_EQ(pool_.held_bytes(), 0u);
    EXPECT_EQ(log_.held_bytes(), 0u);
  }

 private:
  void append() {
    static constexpr size_t kSizes[] = {0, 1, 60, 125, 126, 4000, 65'536, 70'000};
    const size_t bytes = prng_.below(kSizes[prng_.below(std::size(kSizes))] + 1);
    const std::string payload(bytes, static_cast<char>('a' + prng_.below(26)));
    const std::string frame = framed(payload);
    if (!log_.has_room(frame.size())) {
      log_.trim();
      if (!log_.has_room(frame.size())) {
        // Make the room by lapping.
        const FrameLog::Cursor needed = log_.tail_needed(frame.size());
        for (FrameLog::Cursor& cursor : cursors_) {
          if (cursor < needed) jump(cursor);
        }
        log_.trim();
        ASSERT_TRUE(log_.has_room(frame.size()));
      }
    }
    const size_t first = prng_.below(bytes + 1), second = first + prng_.below(bytes - first + 1);
    const Bytes all = as_bytes(payload);
    log_.append(Opcode::text, all.first(first), all.subspan(first, second - first), all.subspan(second));
    all_ += frame;
    boundaries_.push_back(all_.size());
  }
  void leave(size_t which) {
    log_.leave(cursors_[which]);
    cursors_.erase(cursors_.begin() + static_cast<ptrdiff_t>(which));
  }
  void jump(FrameLog::Cursor& cursor) {
    log_.move(cursor, log_.head());
    cursor = log_.head();
  }
  // As the send batch does it: to the head, then back to where the send ended.
  void send(FrameLog::Cursor& cursor) {
    const FrameLog::Cursor from = cursor;
    const std::string_view unsent = std::string_view(all_).substr(from);
    ASSERT_EQ(gathered(log_, from), unsent);
    jump(cursor);
    const size_t sent = prng_.chance(0.3) ? unsent.size() : prng_.below(unsent.size() + 1);
    const FrameLog::Advance reached = log_.advance(from, sent);
    const auto boundary = std::lower_bound(boundaries_.begin(), boundaries_.end(), from + sent);
    ASSERT_EQ(reached.cursor, *boundary);
    ASSERT_EQ(as_text(reached.rest), std::string_view(all_).substr(from + sent, *boundary - from - sent));
    log_.move(cursor, reached.cursor);
    cursor = reached.cursor;
  }
  void check() {
    ASSERT_EQ(log_.head(), all_.size());
    ASSERT_LE(log_.held_bytes(), log_.bytes_max());
    ASSERT_GE(pool_.held_bytes(), log_.held_bytes());
    for (const FrameLog::Cursor cursor : cursors_) ASSERT_GE(cursor, log_.tail());
    if (!cursors_.empty()) {
      const FrameLog::Cursor cursor = cursors_[prng_.below(cursors_.size())];
      const auto after = std::upper_bound(boundaries_.begin(), boundaries_.end(), cursor);
      ASSERT_EQ(log_.frames_between(cursor, log_.head()), static_cast<size_t>(boundaries_.end() - after));
    }
  }

  bool all_caught_up() const {
    return std::ranges::all_of(cursors_, [&](FrameLog::Cursor cursor) { return cursor == log_.head(); });
  }

  Prng prng_;
  ChunkPool pool_{300'000};
  FrameLog log_{pool_};
  std::string all_;
  std::vector<FrameLog::Cursor> boundaries_{0};
  std::vector<FrameLog::Cursor> cursors_;
};

TEST(FrameLog, AgreesWithAModel) {
  for (uint64_t seed = 0; seed < 40; ++seed) {
    SCOPED_TRACE(seed);
    FrameLogModel(seed).run(400);
    if (HasFailure()) return;
  }
}

}  // namespace
}  // namespace ringcast
