// What a raw socket keeps of its request comes out as it went in.
#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "shard/raw_socket.h"

namespace ringcast {
namespace {

TEST(RequestTarget, KeepsPartsOfAnyLength) {
  for (const size_t bytes : {0, 1, 127, 128, 129, 16383, 16384, 70000}) {
    const std::string path(bytes, 'p'), query(bytes / 2, 'q');
    const std::vector<PathParameter> parameters = {
        {"first", std::string(bytes + 1, 'a')}, {"second", "b"}, {"third", std::string(300, 'c')}};
    const RequestTarget target(path, query, parameters);
    EXPECT_EQ(target.path(), path);
    EXPECT_EQ(target.query(), query);
    for (size_t i = 0; i < parameters.size(); ++i) EXPECT_EQ(target.parameter(i), parameters[i].value);
  }
}

}  // namespace
}  // namespace ringcast
