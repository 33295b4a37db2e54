// Names of models, as globalid and Action Cable write them.
#include "auth/global_id.h"

#include <gtest/gtest.h>

#include "support/vectors.h"

namespace ringcast {
namespace {

TEST(GlobalId, AgreesWithTheRecordedOnes) {
  const Json file = test::read_vectors("stream_names_rails61.json");
  EXPECT_TRUE(valid_global_id(file["global_id"]["uri"].text()));
  EXPECT_EQ(global_id_param(file["global_id"]["uri"].text()), file["global_id"]["param"].text());
}

TEST(GlobalId, EscapesAsCgiDoes) {
  EXPECT_EQ(escape_global_id("42"), "42");
  EXPECT_EQ(escape_global_id("a-b_c.d~e"), "a-b_c.d~e");
  EXPECT_EQ(escape_global_id("a b/c?d#e%f+g*h"), "a+b%2Fc%3Fd%23e%25f%2Bg%2Ah");
  EXPECT_EQ(escape_global_id("\xc3\xbc"), "%C3%BC");
  EXPECT_EQ(escape_global_id(std::string_view("\0\x7f", 2)), "%00%7F");
  EXPECT_EQ(escape_global_id(""), "");
}

TEST(GlobalId, EveryEscapedIdIsValid) {
  for (int byte = 0; byte < 256; ++byte) {
    EXPECT_TRUE(
        valid_global_id("gid://app/User/" + escape_global_id(std::string(1, static_cast<char>(byte)))));
  }
}

TEST(GlobalId, HasOneForm) {
  for (const std::string_view text : {"gid://app/User/1", "gid://ref-chat/Admin::User/abc-1",
                                      "gid://a.b_c/U1_x/%2F", "gid://app/Order/1/2", "gid://App/User/-1"}) {
    EXPECT_TRUE(valid_global_id(text)) << text;
  }
  for (const std::string_view text : {"",
                                      "gid://",
                                      "gid://app",
                                      "gid://app/",
                                      "gid://app/User",
                                      "gid://app/User/",
                                      "gid:///User/1",
                                      "gid://app//1",
                                      "GID://app/User/1",
                                      "gid://a p/User/1",
                                      "gid://app/user/1",
                                      "gid://app/Admin:User/1",
                                      "gid://app/::User/1",
                                      "gid://app/User::/1",
                                      "gid://app/User/1/",
                                      "gid://app/User/1//2",
                                      "gid://app/User/%2f",
                                      "gid://app/User/%2",
                                      "gid://app/User/%",
                                      "gid://app/User/a b",
                                      "gid://app/User/1?x=1",
                                      "gid://app/User/1#x",
                                      "gid://app/User/1/2/3/4/5/6/7/8/9/10/11/12/13/14/15/16/17/18/19/20/21",
                                      "http://app/User/1"}) {
    EXPECT_FALSE(valid_global_id(text)) << text;
  }
}

TEST(GlobalId, AModelContributesItsParamAndAllElseItself) {
  EXPECT_EQ(identifier_param("gid://ref-chat/User/1"), "Z2lkOi8vcmVmLWNoYXQvVXNlci8x");
  EXPECT_EQ(identifier_param("gid://ref-chat"), "gid://ref-chat");
  EXPECT_EQ(identifier_param("bob"), "bob");
  EXPECT_EQ(identifier_param(42), "42");
  EXPECT_EQ(identifier_param(Json{{"id", 7}}), R"({"id":7})");
}

}  // namespace
}  // namespace ringcast
