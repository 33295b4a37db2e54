#include "adapter/test_adapter.h"

#include <gtest/gtest.h>

#include "adapter/recording_sink.h"

namespace ringcast {
namespace {

using Texts = std::vector<std::string>;

TEST(TestAdapter, RemembersWhatWasBroadcastToEachStream) {
  RecordingSink sink;  // outlives the adapter
  TestAdapter adapter;
  adapter.start(sink);
  ASSERT_EQ(adapter.publish(make_message("a", "1")), PublishStatus::ok);
  ASSERT_EQ(adapter.publish(make_message("b", "2")), PublishStatus::ok);
  ASSERT_EQ(adapter.publish(make_message("a", "3")), PublishStatus::ok);
  EXPECT_EQ(adapter.broadcasts("a"), (Texts{"1", "3"}));
  EXPECT_EQ(adapter.broadcasts("c"), Texts());
  EXPECT_EQ(adapter.streams(), (Texts{"a", "b"}));
  adapter.clear("a");
  EXPECT_EQ(adapter.broadcasts("a"), Texts());
  EXPECT_EQ(adapter.broadcasts("b"), Texts{"2"});
  adapter.clear_all();
  EXPECT_EQ(adapter.streams(), Texts());
}

TEST(TestAdapter, DeliversToThoseWhoSubscribed) {
  RecordingSink sink;  // outlives the adapter
  TestAdapter adapter;
  adapter.start(sink);
  ASSERT_EQ(adapter.publish(make_message("s", "before")), PublishStatus::ok);
  adapter.subscribe("s");
  ASSERT_EQ(adapter.publish(make_message("s", "1")), PublishStatus::ok);
  ASSERT_TRUE(sink.await_received(1) && sink.await_subscribed("s"));
  sink.set_full(true);
  ASSERT_EQ(adapter.publish(make_message("s", "2")), PublishStatus::ok);
  ASSERT_TRUE(sink.await_refused(3));
  sink.set_full(false);
  ASSERT_TRUE(sink.await_received(2));
  adapter.unsubscribe("s");
  ASSERT_EQ(adapter.publish(make_message("s", "after")), PublishStatus::ok);
  adapter.subscribe("t");
  ASSERT_TRUE(sink.await_subscribed("t"));
  EXPECT_EQ(sink.payloads(), (Texts{"1", "2"}));
}

}  // namespace
}  // namespace ringcast
