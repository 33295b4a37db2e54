// What the binary accepts and refuses before it serves anything.
#include "app/config.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include <cstdio>
#include <fstream>
#include <vector>

#include "support/secret_file.h"

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

TEST(Config, WhoIsConnectedIsCheckedBeforeAnythingIsServed) {
  const test::SecretFile secret("secret\n");
  const auto error = [](std::vector<const char*> arguments) {
    const CommandLine line = read(std::move(arguments));
    EXPECT_EQ(line.exit_status, line.error.empty() ? std::nullopt : std::optional(2)) << line.error;
    return line.error;
  };
  const char* const path = secret.path().c_str();
  EXPECT_EQ(
      error({"--identified-by", "current_user=cookies.signed.user_id", "--identified-by",
             "tenant=cookies.encrypted._app_session/tenant", "--secret-key-base-file", path,
             "--old-secret-key-base-file", path, "--signed-cookie-digest", "sha256", "--turbo-streams"}),
      "");
  EXPECT_EQ(
      error({"--identified-by", "u=jwt.sub", "--jwt-secret-file", path, "--jwt-audience", "a",
             "--jwt-algorithms", "HS256,HS512", "--streams-secret-file", path, "--public-streams", "on"}),
      "");

  EXPECT_EQ(error({"--identified-by", "u=cookies.signed.user_id"}),
            "identified-by: u=cookies.signed.user_id needs secret-key-base-file");
  EXPECT_EQ(error({"--identified-by", "u=query.a", "--identified-by", "u=query.b"}),
            "identified-by: u is given twice");
  EXPECT_NE(error({"--identified-by", "user_id"}).find("write NAME=SOURCE"), std::string::npos);
  EXPECT_EQ(error({"--turbo-streams"}), "turbo-streams needs secret-key-base-file");
  EXPECT_EQ(error({"--old-secret-key-base-file", path}),
            "old-secret-key-base-file needs secret-key-base-file");
  EXPECT_EQ(error({"--jwt-audience", "a"}), "jwt-audience needs jwt-secret-file or jwt-public-key-file");
  EXPECT_EQ(error({"--jwt-secret-file", path, "--jwt-algorithms", "none"}),
            "jwt-algorithms: 'none' is no algorithm such as HS256, RS256 or ES256");
  EXPECT_EQ(error({"--jwt-secret-file", path, "--jwt-algorithms", "RS256"}),
            "jwt-algorithms: there is no key for RS256");
  EXPECT_NE(error({"--jwt-public-key-file", path}).find("jwt-public-key-file: "), std::string::npos);
  EXPECT_NE(error({"--signed-cookie-digest", "md5"}).find("'md5' is none of sha1, sha256"),
            std::string::npos);
}

TEST(Config, AFileThatDeclaresWhatIsServedNeedsNoDemo) {
  test::SecretFile file("shards = 3\n[[channel]]\nname = 'A'\nstream = 'a'\n");
  const char* const path = file.path().c_str();
  const CommandLine line = read({"--config", path, "--listen", "0.0.0.0:80"});
  EXPECT_EQ(line.error, "");
  EXPECT_FALSE(line.config.demo_on());
  EXPECT_NE(line.config.declared.channel("A"), nullptr);
  EXPECT_EQ(line.config.server.shards, 3u);
  EXPECT_EQ(read({"--config", path, "--listen", "0.0.0.0:80", "--demo", "on"}).exit_status, 2);
  EXPECT_NE(read({"--config", path, "--print-config"}).output.find("declares besides:\n# [[channel]] A\n"),
            std::string::npos);
  file.write("[[channel]]\nname = 'A'\nstream = '{identifiers.user}'\n");
  EXPECT_EQ(read({"--config", path, "--identified-by", "user=query.name"}).error, "");
  EXPECT_EQ(read({"--config", path, "--check-config"}).error,
            file.path() + ":3: channel A: stream: {identifiers.user}: no identified-by is called user");
  file.write("[[chanel]]\nname = 'A'\n");
  EXPECT_EQ(read({"--config", path}).error, file.path() + ":1: chanel is not an option");
}

TEST(Config, ASecretIsTheOneLineOfItsFile) {
  for (const char* option : {"--secret-key-base-file", "--jwt-secret-file", "--streams-secret-file"}) {
    test::SecretFile secret("two words\r\n");
    const char* const path = secret.path().c_str();
    EXPECT_EQ(read({option, path}).error, "") << option;
    secret.write("a\nb\n");
    EXPECT_NE(read({option, path}).error.find("holds more than one line"), std::string::npos) << option;
    secret.write(" \n");
    EXPECT_NE(read({option, path}).error.find("is empty"), std::string::npos) << option;
    EXPECT_NE(read({option, "/nonexistent/x"}).error.find("cannot be read"), std::string::npos) << option;
  }
  const test::SecretFile pem("-----BEGIN PUBLIC KEY-----\nx\n-----END PUBLIC KEY-----\n");
  EXPECT_NE(read({"--jwt-secret-file", pem.path().c_str()}).error.find("PEM"), std::string::npos);
}

}  // namespace
}  // namespace ringcast
