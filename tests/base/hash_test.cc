// hash64 must not change between builds (it names home shards); StringHash must
// find std::string keys by view.
#include "base/hash.h"

#include <gtest/gtest.h>

#include <set>
#include <string>
#include <unordered_map>

namespace ringcast {
namespace {

// XXH3's published values for empty input; processes of two builds that share
// an engine must agree on them.
TEST(Hash, IsXxh3) {
  EXPECT_EQ(hash64(""), 0x2d06800538d394c2u);
  EXPECT_EQ(hash64("", 0x9e3779b185ebca8d), 0xa8a6b918b2f0364au);
}

TEST(Hash, SeedAndEveryByteMatter) {
  std::set<uint64_t> seen;
  std::string text;
  for (size_t length = 0; length <= 600; ++length) {
    EXPECT_TRUE(seen.insert(hash64(text)).second) << length;
    EXPECT_TRUE(seen.insert(hash64(text, 1)).second) << length;
    for (size_t at = 0; at < text.size(); at += 37) {
      text[at] ^= 1;
      EXPECT_TRUE(seen.insert(hash64(text)).second) << length << ' ' << at;
      text[at] ^= 1;
    }
    text.push_back('x');
  }
}

TEST(Hash, MapsAreSearchedByView) {
  std::unordered_map<std::string, int, StringHash, std::equal_to<>> map;
  map["chat_7"] = 7;
  const std::string_view name = std::string_view("chat_77").substr(0, 6);
  ASSERT_NE(map.find(name), map.end());
  EXPECT_EQ(map.find(name)->second, 7);
  EXPECT_EQ(map.find(std::string_view("chat_")), map.end());
}

TEST(Hash, SeedIsDrawnOnceAndCanBeFixed) {
  EXPECT_NE(string_hash_seed(), 0u);
  EXPECT_EQ(string_hash_seed(), string_hash_seed());
  EXPECT_EQ(StringHash()("a"), hash64("a", string_hash_seed()));
  fix_string_hash_seed(42);
  const size_t fixed = StringHash()("a");
  fix_string_hash_seed(4242);
  EXPECT_NE(StringHash()("a"), fixed);
  fix_string_hash_seed(42);
  EXPECT_EQ(StringHash()("a"), fixed);
}

}  // namespace
}  // namespace ringcast
