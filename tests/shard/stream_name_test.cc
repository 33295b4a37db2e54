// A name and its count of holders; across threads for ThreadSanitizer.
#include "shard/stream_name.h"

#include <gtest/gtest.h>

#include <cstdlib>
#include <string>
#include <thread>
#include <vector>

namespace ringcast {
namespace {

TEST(StreamName, IsOneTextForAllWhoHoldIt) {
  StreamName name(std::string_view("chat_7"));
  const StreamName same = name;
  EXPECT_EQ(same.text().data(), name.text().data());
  StreamName other("");
  EXPECT_TRUE(other.text().empty());
  other = name;
  name = StreamName();
  EXPECT_EQ(other, "chat_7");
  EXPECT_EQ(same, "chat_7");
}

TEST(StreamName, LastHolderFreesOnAnyThread) {
  std::vector<StreamName> names;
  for (int i = 0; i < 2000; ++i) names.emplace_back(std::to_string(i));
  std::vector<std::thread> threads;
  for (int t = 0; t < 3; ++t) {
    threads.emplace_back([held = names]() mutable {
      for (size_t i = 0; i < held.size(); ++i) {
        if (held[i] != std::to_string(i)) std::abort();
        held[i] = StreamName();
      }
    });
  }
  names.clear();
  for (std::thread& thread : threads) thread.join();
}

}  // namespace
}  // namespace ringcast
