// Compressing and inflating payloads, each against zlib used straight.
#include "protocol/deflate.h"

#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "base/prng.h"
#include "protocol/frame.h"
#include "tests/support/deflate_peer.h"

namespace ringcast {
namespace {

using Outcome = Inflater::Outcome;

std::string prose(size_t bytes) {
  static constexpr std::string_view kWords[] = {"shard ", "frame ", "cursor ", "stream ", "log ", "turn "};
  Prng random(bytes);
  std::string text;
  while (text.size() < bytes) text += kWords[random.below(std::size(kWords))];
  text.resize(bytes);
  return text;
}

std::string noise(size_t bytes) {
  Prng random(bytes);
  std::string text(bytes, '\0');
  for (char& octet : text) octet = static_cast<char>(random.below(256));
  return text;
}

std::optional<std::string> compressed(Deflater& deflater, std::string_view message) {
  const Bytes parts[] = {as_bytes(message)};
  std::vector<std::byte> out;
  if (!deflater.compress(parts, out)) return std::nullopt;
  return std::string(as_text(out));
}

// Everything `payload` and the tail inflate to, `room_bytes` at a time.
std::optional<std::string> read(Inflater& inflater, std::string_view payload, size_t room_bytes = 100) {
  std::string out;
  std::vector<std::byte> memory(room_bytes);
  const auto push = [&](Bytes input) {
    MutableBytes room;
    do {
      room = memory;
      if (inflater.inflate(input, room) != Outcome::progress) return false;
      out.append(as_text(memory).substr(0, memory.size() - room.size()));
    } while (room.empty());
    EXPECT_TRUE(input.empty());
    return true;
  };
  if (!payload.empty() && !push(as_bytes(payload))) return std::nullopt;
  if (!inflater.at_end() && !push(Inflater::kTail)) return std::nullopt;
  if (!inflater.at_end()) return std::nullopt;
  return out;
}

// ── Deflater ─────────────────────────────────────────────────────────────────

TEST(Deflater, WhatItMakesAnyClientInflates) {
  for (const uint8_t bits : {9, 15}) {
    Deflater deflater(bits);
    for (const size_t bytes : {30u, 126u, 1000u, 65'536u, 1'000'000u}) {
      const std::string message = prose(bytes);
      const auto payload = compressed(deflater, message);
      ASSERT_TRUE(payload) << bytes;
      EXPECT_LT(payload->size(), message.size());
      EXPECT_EQ(inflated(*payload, bits), message) << bytes << " with a window of " << int(bits);
    }
  }
}

TEST(Deflater, StaysWithinTheSmallestWindow) {
  // 2 KiB of noise twice: worth compressing only for who looks back further than 512.
  const std::string message = noise(2048) + noise(2048);
  Deflater wide(15);
  Deflater narrow(9);
  EXPECT_TRUE(compressed(wide, message));
  EXPECT_FALSE(compressed(narrow, message));
}

TEST(Deflater, EachMessageStandsByItself) {
  Deflater deflater(15);
  const std::string message = prose(500);
  const auto first = compressed(deflater, message);
  EXPECT_EQ(compressed(deflater, "another one, another one, another one"),
            compressed(deflater, "another one, another one, another one"));
  EXPECT_EQ(compressed(deflater, message), first);
  EXPECT_FALSE(compressed(deflater, noise(5000)));  // given up half-way
  EXPECT_EQ(compressed(deflater, message), first);
}

TEST(Deflater, PartsAreOneMessage) {
  Deflater deflater(15);
  const std::string message = prose(3000);
  const auto whole = compressed(deflater, message);
  const Bytes bytes = as_bytes(message);
  for (const size_t cut : {0u, 1u, 1500u, 2999u, 3000u}) {
    const Bytes parts[] = {{}, bytes.first(cut), {}, bytes.subspan(cut), {}};
    std::vector<std::byte> out;
    ASSERT_TRUE(deflater.compress(parts, out));
    EXPECT_EQ(inflated(as_text(out)), message);
    EXPECT_EQ(out.size(), whole->size());
  }
}

TEST(Deflater, AppendsOrLeavesBe) {
  Deflater deflater(15);
  std::vector<std::byte> out(3, std::byte{7});
  const std::string good = prose(100);
  const std::string bad = noise(100);
  const Bytes good_parts[] = {as_bytes(good)};
  const Bytes bad_parts[] = {as_bytes(bad)};
  EXPECT_FALSE(deflater.compress(bad_parts, out));
  EXPECT_EQ(out, std::vector<std::byte>(3, std::byte{7}));
  EXPECT_TRUE(deflater.compress(good_parts, out));
  EXPECT_EQ(inflated(as_text(out).substr(3)), good);
}

TEST(Deflater, NeverMakesAMessageLonger) {
  Deflater deflater(15);
  for (size_t bytes = 0; bytes <= 300; ++bytes) {
    for (const std::string& message : {noise(bytes), std::string(bytes, 'x'), prose(bytes)}) {
      const auto payload = compressed(deflater, message);
      if (!payload) continue;
      ASSERT_LT(payload->size(), bytes);
      ASSERT_EQ(inflated(*payload), message);
    }
  }
}

TEST(Deflater, KeepsToItsEffort) {
  const std::string message = prose(20'000);
  for (const int memory_level : {1, 5, 9}) {
    size_t before = SIZE_MAX;
    for (const int level : {1, 6, 9}) {
      Deflater deflater(15, {.level = level, .memory_level = memory_level});
      const auto payload = compressed(deflater, message);
      ASSERT_EQ(inflated(payload.value()), message);
      EXPECT_LE(payload->size(), before);
      before = payload->size();
    }
  }
}

TEST(CompressedFrame, HasItsHeaderMarked) {
  for (const uint64_t bytes : {0u, 125u, 126u, 65'535u, 65'536u}) {
    std::byte plain[kServerHeaderBytesMax]{};
    std::byte marked[kServerHeaderBytesMax]{};
    const size_t size = encode_frame_header(plain, Opcode::text, bytes);
    ASSERT_EQ(encode_frame_header(marked, Opcode::text, bytes, true), size);
    EXPECT_EQ(plain[0], std::byte{0x81});
    EXPECT_EQ(marked[0], std::byte{0xc1});
    EXPECT_TRUE(std::equal(plain + 1, plain + size, marked + 1));
    EXPECT_EQ(frame_bytes({marked, size}), size + bytes);
  }
}

// ── Inflater ─────────────────────────────────────────────────────────────────

TEST(Inflater, ReadsEveryWindow) {
  for (int bits = 9; bits <= 15; ++bits) {
    for (const bool takeover : {false, true}) {
      DeflatingPeer peer(bits, takeover);
      Inflater inflater(static_cast<uint8_t>(bits));
      size_t room_bytes = 1;
      for (const size_t bytes : {0u, 1u, 1000u, 100'000u, 5u, 0u, 0u}) {
        if (!takeover) inflater.reset();
        const std::string message = prose(bytes);
        EXPECT_EQ(read(inflater, peer.compress(message), room_bytes), message) << bits << ' ' << bytes;
        room_bytes = room_bytes * 7 % 1000;
      }
    }
  }
}

// RFC 7692 section 7.2.3, octet by octet.
TEST(Inflater, ReadsTheExamplesOfTheRfc) {
  const std::string_view kFixed("\xf2\x48\xcd\xc9\xc9\x07\x00", 7);
  const std::string_view kShared("\xf2\x00\x11\x00\x00", 5);
  const std::string_view kStored("\x00\x05\x00\xfa\xff\x48\x65\x6c\x6c\x6f\x00", 11);
  const std::string_view kFinal("\xf3\x48\xcd\xc9\xc9\x07\x00\x00", 8);
  const std::string_view kTwoBlocks("\xf2\x48\x05\x00\x00\x00\xff\xff\xca\xc9\xc9\x07\x00", 13);
  for (const std::string_view payload : {kFixed, kStored, kFinal, kTwoBlocks}) {
    Inflater inflater;
    EXPECT_EQ(read(inflater, payload), "Hello");
    EXPECT_EQ(read(inflater, payload), "Hello") << "also with takeover";
  }
  Inflater inflater;
  EXPECT_EQ(read(inflater, kFixed), "Hello");
  EXPECT_EQ(read(inflater, kShared), "Hello");
  inflater.reset();
  EXPECT_EQ(read(inflater, kShared), std::nullopt) << "there is nothing to refer to";
  inflater.reset();
  EXPECT_EQ(read(inflater, std::string_view("\0", 1)), "");
}

TEST(Inflater, FinalBlocksDoNotEndAMessage) {
  DeflatingPeer peer;
  std::string payload = peer.compress_finally("one, ");
  payload.pop_back();
  payload += peer.compress_finally("two, ");
  payload.pop_back();
  payload += peer.compress("three");
  Inflater inflater;
  EXPECT_EQ(read(inflater, payload), "one, two, three");
  inflater.reset();
  EXPECT_EQ(read(inflater, payload, 1), "one, two, three");
}

// Each is a sender's slip that leaves no doubt of what is meant.
TEST(Inflater, TakesMessagesThatEndWithoutTheTailBeingDue) {
  DeflatingPeer peer;
  Inflater inflater;
  EXPECT_EQ(read(inflater, ""), "") << "no octets, and none before";
  EXPECT_EQ(read(inflater, peer.flush("tail not cut", Z_SYNC_FLUSH)), "tail not cut");
  EXPECT_EQ(read(inflater, ""), "") << "no octets behind a message";
  inflater.reset();
  std::string finished = DeflatingPeer().compress_finally("no empty block");
  finished.pop_back();
  EXPECT_EQ(read(inflater, finished), "no empty block");
}

TEST(Inflater, RefusesWhatIsCutOff) {
  const std::string payload = DeflatingPeer().compress(prose(500));
  Inflater inflater;
  for (size_t bytes = 1; bytes < payload.size(); ++bytes) {
    inflater.reset();
    EXPECT_EQ(read(inflater, payload.substr(0, bytes)), std::nullopt) << bytes;
  }
  inflater.reset();
  EXPECT_EQ(read(inflater, payload), prose(500));
}

TEST(Inflater, RefusesWhatIsNoDeflate) {
  Inflater inflater;
  for (const std::string_view payload :
       {std::string_view("\x06"), std::string_view("\x07\x00", 2), std::string_view("\xff\xff\xff"),
        std::string_view("\x00\x05\x00\x00\x00", 5), std::string_view("\x02\x01\x00", 3)}) {
    inflater.reset();
    EXPECT_EQ(read(inflater, payload), std::nullopt);
  }
}

// ── InflaterPool ─────────────────────────────────────────────────────────────

TEST(InflaterPool, LendsSoManyAndNoMore) {
  InflaterPool pool(2);
  auto one = pool.borrow();
  auto two = pool.borrow();
  ASSERT_TRUE(one && two);
  EXPECT_NE(one.get(), two.get());
  EXPECT_FALSE(pool.borrow());
  EXPECT_EQ(pool.lent(), 2u);
  EXPECT_NE(&pool.momentary(), one.get());
  one.reset();
  EXPECT_TRUE(pool.borrow());
  EXPECT_EQ(pool.lent(), 1u);
}

TEST(InflaterPool, HandsOutNothingOfTheLastMessage) {
  InflaterPool pool(1);
  const std::string payload = DeflatingPeer().compress(prose(500));
  for (int i = 0; i < 3; ++i) {
    const auto lease = pool.borrow();
    EXPECT_EQ(read(*lease, payload), prose(500));
    EXPECT_EQ(read(pool.momentary(), payload), prose(500));
    Bytes half = as_bytes(payload).first(100);
    std::byte memory[1000];
    MutableBytes room(memory);
    EXPECT_EQ(lease->inflate(half, room), Outcome::progress);
    half = as_bytes(payload).first(100);
    EXPECT_EQ(pool.momentary().inflate(half, room), Outcome::progress);
  }
}

}  // namespace
}  // namespace ringcast
