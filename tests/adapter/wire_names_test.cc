// A stream's name as PostgreSQL's channel: what Rails 6.1 was recorded to make of it.
#include "adapter/wire_names.h"

#include <gtest/gtest.h>

#include "support/vectors.h"

namespace ringcast {
namespace {

size_t characters(std::string_view text) {
  size_t count = 0;
  for (const char c : text) count += (static_cast<unsigned char>(c) & 0xc0) != 0x80;
  return count;
}

TEST(PostgresChannel, IsWhatRails61MakesOfAName) {
  const Json file = test::read_vectors("pg_channel_names_rails61.json");
  size_t differing = 0;
  for (const Json& vector : file["vectors"].elements()) {
    const std::string wire = vector.string("with_prefix");
    const std::string ours = postgres_channel(wire);
    if (wire.size() > 63 && characters(wire) <= 63) {
      // What Rails leaves whole PostgreSQL cuts off, so that no process knows it again.
      EXPECT_EQ(ours.size(), 40u) << wire;
      ++differing;
      continue;
    }
    EXPECT_EQ(ours, vector.string("pg_channel")) << wire;
  }
  EXPECT_EQ(file["vectors"].size(), 22u);
  EXPECT_GT(differing, 0u);
}

}  // namespace
}  // namespace ringcast
