// Requests as anycable-rails reads them, answers as it writes them, and answers that are none.
#include "rpc/rpc_messages.h"

#include <gtest/gtest.h>

namespace ringcast {
namespace {

const std::string kOrigin =
    R"("url":"http://h/cable?x=1","headers":{"cookie":"a=\"b\"","REMOTE_ADDR":"127.0.0.1"})";

TEST(RpcMessages, EncodesTheRequestThatOpenedTheConnection) {
  const std::pair<std::string, std::string> headers[] = {{"cookie", "a=\"b\""}, {"REMOTE_ADDR", "127.0.0.1"}};
  EXPECT_EQ(encode_rpc_origin("http://h/cable?x=1", headers), kOrigin);
  EXPECT_EQ(encode_rpc_origin("http://h/", {}), R"("url":"http://h/","headers":{})");
}

TEST(RpcMessages, EncodesConnect) {
  std::string out;
  append_rpc_connect(out, kOrigin);
  EXPECT_EQ(out, R"({"env":{)" + kOrigin + "}}");
}

TEST(RpcMessages, EncodesCommandsAndLeavesOutWhatIsEmpty) {
  std::string out;
  append_rpc_command(out, {"subscribe", R"({"channel":"C"})", R"({"user":"1"})", ""}, kOrigin, {}, {});
  EXPECT_EQ(out, R"({"command":"subscribe","identifier":"{\"channel\":\"C\"}",)"
                 R"("connection_identifiers":"{\"user\":\"1\"}","env":{)" +
                     kOrigin + "}}");
  out.clear();
  append_rpc_command(out, {"message", "i", "", R"({"action":"speak"})"}, kOrigin, {{"a", "1"}, {"b", "2"}},
                     {{"c", "\n"}});
  EXPECT_EQ(out, R"({"command":"message","identifier":"i","data":"{\"action\":\"speak\"}","env":{)" +
                     kOrigin + R"(,"cstate":{"a":"1","b":"2"},"istate":{"c":"\n"}}})");
}

TEST(RpcMessages, EncodesDisconnectWithEachChannelsStateAsText) {
  std::string out;
  const RpcSubscription subscriptions[] = {{"first", {}}, {"second", {{"n", "7"}}}};
  append_rpc_disconnect(out, "who", subscriptions, kOrigin, {{"a", "1"}});
  EXPECT_EQ(out, R"({"identifiers":"who","subscriptions":["first","second"],"env":{)" + kOrigin +
                     R"(,"cstate":{"a":"1"},"istate":{"second":"{\"n\":\"7\"}"}}})");
  out.clear();
  append_rpc_disconnect(out, "", {}, kOrigin, {});
  EXPECT_EQ(out, R"({"env":{)" + kOrigin + "}}");
}

TEST(RpcMessages, DecodesAnAnswer) {
  std::string_view problem;
  const auto answer = decode_rpc_answer(
      R"({"status":1,"error_msg":"","identifiers":"{\"user\":\"1\"}","disconnect":true,"stop_streams":true,
          "streams":["a","b"],"stopped_streams":["c"],"transmissions":["{\"type\":\"welcome\"}","x"],
          "presence":{"type":"join"},"env":{"cstate":{"k":"v"},"istate":{"i":""}}})",
      &problem);
  ASSERT_TRUE(answer) << problem;
  EXPECT_EQ(answer->status, RpcAnswer::Status::success);
  EXPECT_EQ(answer->identifiers, R"({"user":"1"})");
  EXPECT_TRUE(answer->disconnect && answer->stop_streams);
  EXPECT_EQ(answer->streams, (std::vector<std::string>{"a", "b"}));
  EXPECT_EQ(answer->stopped_streams, (std::vector<std::string>{"c"}));
  EXPECT_EQ(answer->transmissions, (std::vector<std::string>{R"({"type":"welcome"})", "x"}));
  EXPECT_EQ(answer->connection_state, (RpcState{{"k", "v"}}));
  EXPECT_EQ(answer->channel_state, (RpcState{{"i", ""}}));
}

TEST(RpcMessages, WhatIsLeftOutOrNullIsEmptyAndNoStatusIsAnError) {
  std::string_view problem;
  const auto answer = decode_rpc_answer(R"({"streams":null,"env":null})", &problem);
  ASSERT_TRUE(answer) << problem;
  EXPECT_EQ(answer->status, RpcAnswer::Status::error);
  EXPECT_TRUE(answer->streams.empty());
  EXPECT_EQ(decode_rpc_answer(R"({"status":2})", &problem)->status, RpcAnswer::Status::failure);
}

TEST(RpcMessages, NonsenseIsAValueWithAReason) {
  for (const char* body :
       {"", "<html></html>", "[]", "1", "null", R"({"status":)", R"({"status":3})", R"({"status":-1})",
        R"({"status":"SUCCESS"})", R"({"status":1.5})", R"({"status":1,"streams":"a"})",
        R"({"status":1,"streams":[1]})", R"({"status":1,"transmissions":{}})",
        R"({"status":1,"disconnect":1})", R"({"status":1,"identifiers":{"user":1}})",
        R"({"status":1,"env":[]})", R"({"status":1,"env":{"cstate":{"k":1}}})",
        R"({"status":1,"env":{"istate":"x"}})"}) {
    std::string_view problem;
    EXPECT_FALSE(decode_rpc_answer(body, &problem)) << body;
    EXPECT_FALSE(problem.empty()) << body;
  }
}

TEST(RpcMessages, StateIsMergedAndAnEmptyValueTakesItsKeyAway) {
  RpcState state{{"a", "1"}, {"b", "2"}};
  merge_rpc_state(state, {{"b", ""}, {"c", "3"}, {"none", ""}});
  EXPECT_EQ(state, (RpcState{{"a", "1"}, {"c", "3"}}));
}

TEST(RpcMessages, KnowsTheTypesOfTransmissions) {
  EXPECT_EQ(transmission_type(R"({"identifier":"x","type":"confirm_subscription"})"), "confirm_subscription");
  EXPECT_EQ(transmission_type(R"({"identifier":"x","message":{"type":"welcome"}})"), "");
  EXPECT_EQ(transmission_type("confirm_subscription"), "");
}

}  // namespace
}  // namespace ringcast
