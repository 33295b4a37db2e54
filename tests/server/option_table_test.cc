// The table of options: three sources and their order, what is refused and how that is
// said, and that what it prints can be read back.
#include "ringcast/option_table.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include <cstdio>
#include <fstream>
#include <string>
#include <vector>

namespace ringcast {
namespace {

struct Program {
  Options options;
  std::string word = "initial";
  bool loud = false;
  OptionTable table;

  Program() {
    table.add_server(options);
    table.section("Own");
    table.text("word", "TEXT", word, "a word");
    table.toggle("loud", loud, "loudly");
  }

  OptionTable::Reading read(std::vector<const char*> arguments, std::vector<const char*> environment = {}) {
    arguments.insert(arguments.begin(), "program");
    environment.push_back(nullptr);
    return table.read(static_cast<int>(arguments.size()), arguments.data(), environment.data());
  }
};

// A file that goes away with its test.
class TemporaryFile {
 public:
  explicit TemporaryFile(const std::string& content) {
    char path[] = "/tmp/ringcast-options-XXXXXX";
    close(mkstemp(path));
    path_ = path;
    std::ofstream(path_) << content;
  }
  ~TemporaryFile() { std::remove(path_.c_str()); }
  const char* path() const { return path_.c_str(); }

 private:
  std::string path_;
};

TEST(OptionTable, AFlagTakesItsValueFromTheNextWordOrBehindAnEqualsSign) {
  Program program;
  EXPECT_EQ(program.read({"--shards", "3", "--word=a=b"}).problem, "");
  EXPECT_EQ(program.options.shards, 3u);
  EXPECT_EQ(program.word, "a=b");
}

TEST(OptionTable, AToggleAloneIsOnAndTakesAWordThatSaysSo) {
  Program program;
  EXPECT_EQ(program.read({"--loud"}).problem, "");
  EXPECT_TRUE(program.loud);
  EXPECT_EQ(program.read({"--loud", "off", "--shards", "2"}).problem, "");
  EXPECT_FALSE(program.loud);
  EXPECT_EQ(program.options.shards, 2u);
  EXPECT_EQ(program.read({"--loud", "--shards", "4"}).problem, "");
  EXPECT_TRUE(program.loud);
  EXPECT_EQ(program.options.shards, 4u);
}

TEST(OptionTable, FlagsBeatTheEnvironmentWhichBeatsTheFile) {
  const TemporaryFile file("shards = 1\nword = \"file\"\nmax-connections = 7\n");
  Program program;
  const auto read = program.read({"--config", file.path(), "--shards", "3"},
                                 {"RINGCAST_SHARDS=2", "RINGCAST_WORD=environment", "OTHER=1"});
  EXPECT_EQ(read.problem, "");
  EXPECT_EQ(program.options.shards, 3u);
  EXPECT_EQ(program.word, "environment");
  EXPECT_EQ(program.options.max_connections, 7u);
}

TEST(OptionTable, TheFileMayBeNamedByTheEnvironment) {
  const TemporaryFile file("shards = 5\n");
  Program program;
  const std::string variable = std::string("RINGCAST_CONFIG=") + file.path();
  EXPECT_EQ(program.read({}, {variable.c_str()}).problem, "");
  EXPECT_EQ(program.options.shards, 5u);
}

TEST(OptionTable, AListGrowsWithinASourceAndIsReplacedByAStrongerOne) {
  const TemporaryFile file("listen = [\"127.0.0.1:1\", \"127.0.0.1:2\"]\n");
  Program program;
  EXPECT_EQ(program.read({"--config", file.path()}).problem, "");
  EXPECT_EQ(program.options.listen, (std::vector<std::string>{"127.0.0.1:1", "127.0.0.1:2"}));
  EXPECT_EQ(
      program.read({"--config", file.path(), "--listen", "[::1]:3", "--listen", "[::1]:4,[::1]:5"}).problem,
      "");
  EXPECT_EQ(program.options.listen, (std::vector<std::string>{"[::1]:3", "[::1]:4", "[::1]:5"}));
}

TEST(OptionTable, BytesTakeBinarySuffixesAndNothingElseDoes) {
  Program program;
  EXPECT_EQ(program.read({"--outbox-bytes", "64KiB", "--frame-log-bytes=8MiB"}).problem, "");
  EXPECT_EQ(program.options.outbox_bytes, 65536u);
  EXPECT_EQ(program.options.frame_log_bytes, 8u << 20);
  for (const char* bad : {"64KB", "1.5MiB", "MiB", "", "-1", "+1", " 1", "0x10", "99999999999999999999",
                          "18446744073709551615GiB"}) {
    EXPECT_NE(program.read({"--outbox-bytes", bad}).problem, "") << bad;
  }
  EXPECT_NE(program.read({"--shards", "1KiB"}).problem, "");
}

TEST(OptionTable, WhatIsRefusedIsNamedInOneSentence) {
  Program program;
  EXPECT_EQ(program.read({"--nope"}).problem, "unknown option --nope; see --help");
  EXPECT_EQ(program.read({"serve"}).problem, "'serve' is not an option; see --help");
  EXPECT_EQ(program.read({"--shards"}).problem, "--shards needs a value");
  EXPECT_EQ(program.read({"--shards", "many"}).problem, "--shards: 'many' is not a whole number");
  EXPECT_EQ(program.read({"--shards", "513"}).problem, "--shards: '513' is more than 512");
  EXPECT_EQ(program.read({"--backend", "kqueue"}).problem,
            "--backend: 'kqueue' is none of auto, io_uring, epoll");
  EXPECT_EQ(program.read({"--loud=maybe"}).problem, "--loud: 'maybe' is neither on nor off");
  EXPECT_EQ(program.read({"--help=all"}).problem, "--help takes no value");
  EXPECT_EQ(program.read({}, {"RINGCAST_LOG_LEVEL=chatty"}).problem,
            "RINGCAST_LOG_LEVEL: 'chatty' is none of debug, info, warn, error");
}

TEST(OptionTable, UnknownVariablesAreNotOurs) {
  Program program;
  EXPECT_EQ(program.read({}, {"RINGCAST_UNKNOWN=1", "RINGCAST_", "RINGCAST"}).problem, "");
}

TEST(OptionTable, AFileIsHeldToTheSameRules) {
  const auto problem_of = [](const std::string& content) {
    const TemporaryFile file(content);
    Program program;
    std::string problem = program.read({"--config", file.path()}).problem;
    const size_t at = problem.find(file.path());
    return at == 0 ? problem.substr(std::string(file.path()).size()) : problem;
  };
  EXPECT_EQ(problem_of(""), "");
  EXPECT_EQ(problem_of("# nothing\n"), "");
  EXPECT_EQ(problem_of("\nnope = 1\n"), ":2: nope is not an option");
  EXPECT_EQ(problem_of("shards = \"x\"\n"), ":1: shards: 'x' is not a whole number");
  EXPECT_EQ(problem_of("shards = [1]\n"), ":1: shards: expected a single value");
  EXPECT_EQ(problem_of("shards = 1.5\n"), ":1: shards: expected a single value");
  EXPECT_EQ(problem_of("listen = [1]\n"), ":1: listen: expected an array of strings");
  EXPECT_EQ(problem_of("[server]\nshards = 1\n"), ":1: server is not an option");
  EXPECT_NE(problem_of("shards = = 1\n"), "");
  // Where toml++ 3.3 would end the process.
  EXPECT_TRUE(problem_of("\n[:x]\n").starts_with(":2: "));
  EXPECT_TRUE(problem_of("[\x06<\n").starts_with(":1: "));
  EXPECT_EQ(problem_of("# \xC5\xA4\nword = '\xC5\xA4' # \xC5\xA4\n"), "");
  EXPECT_EQ(problem_of("word = \"\"\"\n\\\"\xC5\xA4\"\"\"\n"), "");
  EXPECT_EQ(problem_of("\xEF\xBB\xBFshards = 1\n"), "");
  EXPECT_EQ(problem_of("word = '#'\n\xC5\xA4 = 1\n"), ":2: a letter beyond ASCII has to stand in quotes");
  Program program;
  EXPECT_EQ(program.read({"--config", "/nonexistent/file"}).problem,
            "the configuration file '/nonexistent/file' cannot be read");
}

TEST(OptionTable, WhatIsReservedIsTheProgramsToRead) {
  const std::string text = "shards = 3\n[[own]]\nname = 'x'\n";
  const TemporaryFile file(text);
  Program program;
  program.table.reserve("own");
  const auto read = program.read({"--config", file.path()});
  EXPECT_EQ(read.problem, "");
  EXPECT_EQ(read.config_text, text);
  EXPECT_EQ(program.options.shards, 3u);
}

TEST(OptionTable, WhatIsPrintedCanBeReadBack) {
  Program first;
  ASSERT_EQ(first
                .read({"--shards", "3", "--listen", "[::1]:0", "--allowed-origins", "https://a.example,*",
                       "--word", "a \"quoted\"\\\n word", "--loud", "--backend", "epoll"})
                .problem,
            "");
  const TemporaryFile file(first.table.toml());
  Program second;
  ASSERT_EQ(second.read({"--config", file.path()}).problem, "");
  EXPECT_EQ(second.table.toml(), first.table.toml());
  EXPECT_EQ(second.word, first.word);
  EXPECT_EQ(second.options.allowed_origins, first.options.allowed_origins);
  EXPECT_EQ(second.options.backend, BackendChoice::epoll);
}

TEST(OptionTable, EveryOptionIsInTheHelpAndInTheTable) {
  Program program;
  for (const char* option : {"--listen ADDR:PORT", "--shards N", "--max-message-bytes BYTES", "--loud on|off",
                             "--config FILE", "--word TEXT"}) {
    EXPECT_NE(program.table.help("program", "").find(option), std::string::npos) << option;
  }
  EXPECT_NE(program.table.help("program", "").find("(1 MiB)"), std::string::npos);
  EXPECT_NE(program.table.help_markdown().find("| `--loud on\\|off` | off | loudly |  |  |"),
            std::string::npos);
  EXPECT_NE(program.table.help_markdown().find("ringcast_ended_total{reason=\"too_big\"}"),
            std::string::npos);
}

TEST(Options, TheDefaultsAreGood) {
  EXPECT_EQ(Options().problem(), "");
}

TEST(Options, ALogMustHoldFourOfTheLargestMessages) {
  Options options;
  options.max_message_bytes = 1 << 20;
  options.frame_log_bytes = (4 << 20) - 1;
  EXPECT_NE(options.problem(), "");
  options.frame_log_bytes += 1;
  EXPECT_EQ(options.problem(), "");
}

TEST(Options, AddressesAndOriginsAreCheckedBeforeTheStart) {
  Options options;
  options.listen = {"127.0.0.1"};
  EXPECT_NE(options.problem(), "");
  options.listen = {};
  EXPECT_EQ(options.problem(), "");
  options.listen = {"[::1]:0"};
  EXPECT_EQ(options.problem(), "");
  options.allowed_origins = {"example.com/"};
  EXPECT_NE(options.problem(), "");
}

TEST(Options, AMistakeOnTheCommandLineKeepsTheServerFromStarting) {
  const char* arguments[] = {"program", "--nope"};
  const Options options = Options::from_command_line(2, arguments);
  EXPECT_EQ(options.notice, "unknown option --nope; see --help");
  EXPECT_EQ(options.exit_code, 2);
}

}  // namespace
}  // namespace ringcast
