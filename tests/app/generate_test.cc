// What a channel is called, and what is written for it; that it compiles and runs is shown
// by tests/install.
#include "app/generate.h"

#include <gtest/gtest.h>

namespace ringcast {
namespace {

using Files = std::map<std::string, std::string>;

struct Named {
  const char* asked_for;
  const char* registered;
  const char* path;
  const char* stream;
};

TEST(Generate, NamesAreThoseOfRails) {
  for (const Named& named :
       {Named{"chat", "ChatChannel", "chat_channel", "chat"},
        Named{"ChatChannel", "ChatChannel", "chat_channel", "chat"},
        Named{"chat_channel", "ChatChannel", "chat_channel", "chat"},
        Named{"chat_room", "ChatRoomChannel", "chat_room_channel", "chat_room"},
        Named{"ChatRoom", "ChatRoomChannel", "chat_room_channel", "chat_room"},
        Named{"admin/news", "Admin::NewsChannel", "admin/news_channel", "admin:news"},
        Named{"Admin::NewsChannel", "Admin::NewsChannel", "admin/news_channel", "admin:news"}}) {
    ChannelNames names;
    std::string problem;
    ASSERT_TRUE(read_channel_name(named.asked_for, names, problem)) << problem;
    EXPECT_EQ(names.registered, named.registered);
    EXPECT_EQ(names.path, named.path);
    EXPECT_EQ(names.stream, named.stream);
  }
  for (const char* bad : {"", "/", "chat/", "/chat", "9lives", "a b", "chat;", "../chat", "a//b", "::"}) {
    ChannelNames names;
    std::string problem;
    EXPECT_FALSE(read_channel_name(bad, names, problem)) << bad;
    EXPECT_FALSE(problem.empty());
  }
}

Files files_of(const char* name, const std::vector<std::string>& actions, const Files& existing,
               std::string& problem) {
  ChannelNames names;
  EXPECT_TRUE(read_channel_name(name, names, problem)) << problem;
  return generate_channel(names, actions, existing, problem);
}

TEST(Generate, ASecondChannelJoinsTheFirst) {
  std::string problem;
  Files first = files_of("chat", {"speak"}, {}, problem);
  EXPECT_EQ(problem, "");
  EXPECT_EQ(first.size(), 7u);
  Files shared;
  for (const char* path : {"channels/register_channels.h", "channels/register_channels.cc",
                           "javascript/channels/consumer.js", "javascript/channels/index.js"}) {
    shared[path] = first.at(path);
  }
  shared["javascript/channels/consumer.js"] = "// somebody's own\n";
  const Files second = files_of("admin/news", {}, shared, problem);
  EXPECT_EQ(problem, "");
  const std::string& source = second.at("channels/register_channels.cc");
  for (const char* line :
       {"#include \"chat_channel.h\"\n", "#include \"admin/news_channel.h\"\n",
        "  cable.channel<ChatChannel>(\"ChatChannel\", {{\"speak\", &ChatChannel::speak}});\n",
        "  cable.channel<Admin::NewsChannel>(\"Admin::NewsChannel\");\n"}) {
    EXPECT_NE(source.find(line), source.npos) << line;
  }
  EXPECT_EQ(second.at("javascript/channels/consumer.js"), "// somebody's own\n");

  shared["channels/register_channels.cc"] = "void register_channels(ringcast::CableRoute&) {}\n";
  EXPECT_EQ(files_of("news", {}, shared, problem).size(), 0u);
  EXPECT_NE(problem.find("#include \"news_channel.h\""), problem.npos) << problem;
}

TEST(Generate, ActionsAreFunctions) {
  for (const char* bad : {"", "9", "a-b", "subscribed", "broadcast", "a b"}) {
    std::string problem;
    files_of("chat", {bad}, {}, problem);
    EXPECT_FALSE(problem.empty()) << bad;
  }
  std::string problem;
  files_of("chat", {"a", "b", "a"}, {}, problem);
  EXPECT_FALSE(problem.empty());
  Files files = files_of("chat", {"delete", "receive"}, {}, problem);
  const std::string& header = files["channels/chat_channel.h"];
  EXPECT_NE(header.find("void delete_("), header.npos) << header;
  EXPECT_NE(header.find("void receive(const ringcast::Json& data) override;"), header.npos) << header;
}

}  // namespace
}  // namespace ringcast
