// What is left of an outbox after a send that ended anywhere.
#include "shard/outbox.h"

#include <gtest/gtest.h>

#include <string>

namespace ringcast {
namespace {

void append(Outbox::Lane& lane, Opcode opcode, size_t bytes) {
  append_frame(lane.bytes, opcode, as_bytes(std::string(bytes, 'x')));
}

TEST(Outbox, AFrameBegunMovesToTheUrgentLaneWhereverItWasCut) {
  Outbox whole;
  for (const size_t bytes : {0, 3, 125, 126, 300, 70'000, 1}) append(whole.data, Opcode::text, bytes);
  const std::string all(as_text(whole.data.unsent()));
  for (size_t taken = 0; taken <= all.size(); taken += taken < 700 ? 1 : 101) {
    Outbox outbox;
    outbox.data = whole.data;
    outbox.data_taken(taken);
    // Nothing is lost or said twice, and the data lane begins at a frame.
    const std::string left =
        std::string(as_text(outbox.urgent.unsent())) + std::string(as_text(outbox.data.unsent()));
    ASSERT_EQ(left, all.substr(taken)) << taken;
    if (!outbox.data.empty()) {
      ASSERT_EQ(static_cast<uint8_t>(outbox.data.unsent()[0]), 0x81) << taken;
    }
    ASSERT_EQ(outbox.size(), all.size() - taken);
    ASSERT_EQ(outbox.empty(), taken == all.size());
  }
}

TEST(Outbox, SeveralShortSendsInARow) {
  Outbox outbox;
  for (int i = 0; i < 50; ++i) append(outbox.data, Opcode::binary, static_cast<size_t>(i));
  const std::string all(as_text(outbox.data.unsent()));
  std::string sent;
  for (size_t step = 1; !outbox.empty(); step = step % 7 + 1) {
    const size_t urgent = std::min(step, outbox.urgent.unsent().size());
    sent += as_text(outbox.urgent.unsent().first(urgent));
    outbox.urgent.sent += urgent;
    if (!outbox.urgent.empty()) continue;
    outbox.urgent.clear();
    const size_t data = std::min(step - urgent, outbox.data.unsent().size());
    sent += as_text(outbox.data.unsent().first(data));
    if (data > 0) outbox.data_taken(data);
  }
  EXPECT_EQ(sent, all);
}

TEST(OutboxPool, GivesOutEmptyOnes) {
  OutboxPool pool;
  auto outbox = pool.acquire();
  append(outbox->urgent, Opcode::ping, 0);
  append(outbox->data, Opcode::text, 10);
  outbox->urgent.sent = 1;
  outbox->ping_queued = true;
  const Outbox* const before = outbox.get();
  pool.release(std::move(outbox));
  outbox = pool.acquire();
  EXPECT_EQ(outbox.get(), before);
  EXPECT_TRUE(outbox->empty());
  EXPECT_FALSE(outbox->ping_queued);
  EXPECT_EQ(outbox->urgent.sent, 0u);
}

TEST(OutboxPool, LetsGoOfLargeOnes) {
  OutboxPool pool;
  auto outbox = pool.acquire();
  append(outbox->data, Opcode::text, 1'000'000);
  pool.release(std::move(outbox));
  EXPECT_LT(pool.acquire()->data.bytes.capacity(), 1'000'000u);
}

}  // namespace
}  // namespace ringcast
