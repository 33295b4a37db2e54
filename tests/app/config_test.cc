// What the binary accepts and refuses before it serves anything.
#include "app/config.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include <cstdio>
#include <fstream>
#include <vector>

namespace ringcast {
namespace {

CommandLine read(std::vector<const char*> arguments) {
  arguments.insert(arguments.begin(), "ringcast");
  const char* nothing[] = {nullptr};
  return read_command_line(static_cast<int>(arguments.size()), arguments.data(), nothing);
}

TEST(Config, TheDemoIsForLoopbackAddressesOnly) {
  EXPECT_FALSE(read({}).exit_status);
  EXPECT_FALSE(read({"--listen", "127.1.2.3:0", "--listen", "[::1]:0"}).exit_status);
  for (const char* address : {"0.0.0.0:80", "[::]:80", "10.0.0.1:80"}) {
    EXPECT_EQ(read({"--listen", address}).exit_status, 2) << address;
    EXPECT_EQ(read({"--listen", address, "--demo", "on"}).exit_status, 2) << address;
    EXPECT_FALSE(read({"--listen", address, "--demo", "off"}).exit_status) << address;
    EXPECT_FALSE(read({"--listen", address, "--demo-anywhere"}).exit_status) << address;
  }
  // One such address among loopback ones is enough, and the sentence names it and both ways out.
  const std::string error = read({"--listen", "127.0.0.1:0", "--listen", "10.0.0.1:80"}).error;
  for (const char* word : {"10.0.0.1:80", "loopback", "--demo off", "--demo-anywhere"}) {
    EXPECT_NE(error.find(word), std::string::npos) << error;
  }
  EXPECT_FALSE(is_loopback("127.example.com:80"));
  EXPECT_FALSE(is_loopback("[::1].example:80"));
}

TEST(Config, AQuestionIsAnsweredOnStdoutAndEndsWell) {
  EXPECT_EQ(read({"--version"}).exit_status, 0);
  EXPECT_TRUE(read({"--version"}).output.starts_with("ringcast "));
  EXPECT_NE(read({"--help"}).output.find("--room-prefix TEXT"), std::string::npos);
  EXPECT_NE(read({"--help-markdown"}).output.find("`--max-message-bytes BYTES`"), std::string::npos);
  EXPECT_NE(read({"--print-config", "--shards", "3"}).output.find("\nshards = 3\n"), std::string::npos);
  EXPECT_EQ(read({"--check-config"}).exit_status, 0);
}

TEST(Config, AMistakeIsOneSentenceAndEndsWithTwo) {
  for (const char* bad : {"--tls-listen", "--adapter", "--deflate", "--check-config=1", "x"}) {
    const CommandLine line = read({bad, "y"});
    EXPECT_EQ(line.exit_status, 2) << bad;
    EXPECT_FALSE(line.error.empty()) << bad;
    EXPECT_EQ(line.output, "") << bad;
  }
  const CommandLine small = read({"--check-config", "--frame-log-bytes", "1MiB"});
  EXPECT_EQ(small.exit_status, 2);
  EXPECT_NE(small.error.find("4 times max-message-bytes"), std::string::npos) << small.error;
}

TEST(Config, TheBroadcastKeyIsTheOneWordOfItsFile) {
  char path[] = "/tmp/ringcast-key-XXXXXX";
  close(mkstemp(path));
  const auto key_of = [&](const char* content) {
    std::ofstream(path) << content;
    return read({"--broadcast-key-file", path});
  };
  EXPECT_EQ(key_of("secret\n").config.broadcast_key, "secret");
  EXPECT_EQ(key_of("two words\n").exit_status, 2);
  EXPECT_EQ(key_of("\n").exit_status, 2);
  std::remove(path);
  EXPECT_EQ(read({"--broadcast-key-file", path}).exit_status, 2);
}

}  // namespace
}  // namespace ringcast
