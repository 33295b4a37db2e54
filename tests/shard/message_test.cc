// A message's shape and its count of holders; across threads for ThreadSanitizer.
#include "shard/message.h"

#include <gtest/gtest.h>

#include <string>
#include <thread>
#include <vector>

#include "shard/mailbox.h"

namespace ringcast {
namespace {

TEST(Message, HoldsItsStreamAndPayload) {
  const std::string payload(100'000, 'p');
  MessageRef message = Message::create("chat_7", 42, PayloadKind::json, as_bytes(payload));
  EXPECT_EQ(message->stream(), "chat_7");
  EXPECT_EQ(message->stream_hash(), 42u);
  EXPECT_EQ(as_text(message->payload()), payload);
  EXPECT_EQ(message->kind(), PayloadKind::json);
  EXPECT_EQ(message->offset(), 0u);
  message->number(7);
  EXPECT_EQ(message->offset(), 7u);
}

TEST(Message, MayBeEmpty) {
  const MessageRef message = Message::create("", 0, PayloadKind::text, {});
  EXPECT_TRUE(message->stream().empty());
  EXPECT_TRUE(message->payload().empty());
}

TEST(MessageRef, CopiesMovesAndAssigns) {
  MessageRef none;
  EXPECT_FALSE(none);
  MessageRef first = Message::create("s", 1, PayloadKind::text, as_bytes("x"));
  MessageRef second = first;
  MessageRef third = std::move(first);
  EXPECT_FALSE(first);  // NOLINT: what a moved-from reference is, is what is asked
  MessageRef& same = second;
  second = same;
  EXPECT_EQ(as_text(second->payload()), "x");
  third = MessageRef();
  EXPECT_EQ(as_text(second->payload()), "x");
  second = none;
  EXPECT_FALSE(second);
}

// The last holder on whatever thread frees; a sanitizer sees a free that is too early,
// twice, or unordered with another holder's reads.
TEST(MessageRef, LastHolderFreesOnAnyThread) {
  constexpr int kMessages = 2000, kThreads = 3;
  std::vector<MessageRef> messages;
  for (int i = 0; i < kMessages; ++i) {
    messages.push_back(Message::create("stream", 1, PayloadKind::text, as_bytes(std::to_string(i))));
  }
  std::vector<std::thread> threads;
  for (int t = 0; t < kThreads; ++t) {
    threads.emplace_back([held = messages]() mutable {
      for (int i = 0; i < kMessages; ++i) {
        const MessageRef again = held[static_cast<size_t>(i)];
        EXPECT_EQ(as_text(again->payload()), std::to_string(i));
        held[static_cast<size_t>(i)] = {};
      }
    });
  }
  messages.clear();
  for (std::thread& thread : threads) thread.join();
}

// What the home wrote before the push (the offset) is what the reader sees.
TEST(MessageRef, CrossesALaneWithItsNumber) {
  constexpr uint64_t kMessages = 20'000;
  SpscRing<Delivery> lane(64);
  std::thread reader([&] {
    for (uint64_t expected = 1; expected <= kMessages;) {
      Delivery* const delivery = lane.front();
      if (delivery == nullptr) {
        std::this_thread::yield();
        continue;
      }
      ASSERT_EQ(delivery->message->offset(), expected++);
      lane.pop();
    }
  });
  for (uint64_t offset = 1; offset <= kMessages; ++offset) {
    MessageRef message = Message::create("stream", 1, PayloadKind::text, as_bytes("payload"));
    message->number(offset);
    const MessageRef kept = message;
    while (!lane.try_push(Delivery{.stream = {}, .message = message})) std::this_thread::yield();
    EXPECT_EQ(kept->offset(), offset);
  }
  reader.join();
}

}  // namespace
}  // namespace ringcast
