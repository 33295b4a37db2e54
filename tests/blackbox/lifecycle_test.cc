// How the binary starts, changes and ends: its drain, its reload, what it does without
// descriptors or without io_uring, and the one sentence it says when it cannot start.
#include <gtest/gtest.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <netinet/in.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <csignal>
#include <cstddef>
#include <cstdlib>
#include <fstream>
#include <functional>
#include <iterator>
#include <memory>
#include <string>
#include <string_view>
#include <thread>
#include <utility>
#include <vector>

#include "blackbox/cable.h"
#include "blackbox/client.h"
#include "blackbox/probes.h"
#include "blackbox/server_process.h"
#include "blackbox/swarm.h"

namespace ringcast::blackbox {
namespace {

using Clock = std::chrono::steady_clock;

constexpr ServerProcess::Exit kCleanExit{.code = 0, .signal = 0};
constexpr std::string_view kServerRestart =
    R"({"type":"disconnect","reason":"server_restart","reconnect":true})";

bool wait_until(const std::function<bool()>& done) {
  for (const auto deadline = Clock::now() + kPatience; Clock::now() < deadline;) {
    if (done()) return true;
    std::this_thread::sleep_for(std::chrono::milliseconds(20));
  }
  return false;
}

class Lifecycle : public ::testing::Test {
 protected:
  void start(ServerProcess::Options options) {
    std::string why_not;
    server_ = ServerProcess::start(options, why_not);
    ASSERT_NE(server_, nullptr) << why_not;
  }

  uint16_t port() const { return server_->port(); }
  bool says(std::string_view words) {
    return wait_until([&] { return server_->standard_error().find(words) != std::string::npos; });
  }

  std::unique_ptr<ServerProcess> server_;
};

// ── The end ──────────────────────────────────────────────────────────────────

TEST_F(Lifecycle, ADrainTellsEverybodyAndEndsWithZero) {
  // Nobody here needs the ten minutes: it ends when the last client has gone.
  ASSERT_NO_FATAL_FAILURE(start({.arguments = {"--drain-seconds", "600"}}));
  constexpr size_t kClients = 400;  // more than are told in one step
  Swarm swarm;
  std::vector<std::vector<std::string>> heard(kClients);
  size_t confirmed = 0;
  swarm.on_frame = [&](size_t member, const Swarm::Frame& frame) {
    if (frame.payload.find("confirm_subscription") != std::string_view::npos) {
      ++confirmed;
    } else if (frame.opcode == 1 && frame.payload != kCableWelcome && !is_cable_ping(frame.payload)) {
      heard[member].emplace_back(frame.payload);
    }
  };
  for (size_t i = 0; i < kClients; ++i) {
    if (i % 2 == 0) {
      swarm.add(port(), "/cable", kCableProtocol, cable_subscribe(chat_identifier("drained")));
    } else {
      swarm.add(port(), "/websocket/drained");
    }
  }
  // A request that has begun before the signal is answered after it. The interim answer
  // shows that it has begun.
  TcpClient asking = TcpClient::connect(port());
  asking.send("GET /ready HTTP/1.1\r\nHost: localhost\r\nExpect: 100-continue\r\nContent-Length: 1\r\n\r\n");
  constexpr std::string_view kGoOn = "HTTP/1.1 100 Continue\r\n\r\n";
  ASSERT_EQ(asking.received(kGoOn.size()), kGoOn);
  asking.consume(kGoOn.size());
  ASSERT_TRUE(swarm.run_until([&] { return swarm.open_count() == kClients && confirmed == kClients / 2; }));

  server_->signal(SIGTERM);
  ASSERT_TRUE(swarm.run_until([&] {
    return std::ranges::any_of(heard, [](const auto& words) { return !words.empty(); }) ||
           swarm.over_count() > 0;
  }));
  asking.send("x");
  const HttpAnswer ready = read_http_answer(asking);
  EXPECT_EQ(ready.status, 503);
  EXPECT_EQ(asking.received(1), "");
  EXPECT_EQ(asking.end(), TcpClient::End::closed);
  asking.close();
  // Each shard closes its listener by itself; who came in between is reset.
  EXPECT_TRUE(wait_until([&] { return !TcpClient::connect(port()).open(); })) << "it still takes connections";

  EXPECT_TRUE(swarm.run_until([&] { return swarm.over_count() == kClients; }));
  for (size_t i = 0; i < kClients; ++i) {
    ASSERT_EQ(swarm.end(i), Swarm::End::closed) << i;
    ASSERT_EQ(swarm.close_code(i), i % 2 == 0 ? 1000u : 1001u) << i;
    const std::vector<std::string> expected =
        i % 2 == 0 ? std::vector<std::string>{std::string(kServerRestart)} : std::vector<std::string>{};
    ASSERT_EQ(heard[i], expected) << i;
  }
  EXPECT_EQ(server_->wait(kPatience), kCleanExit) << server_->standard_error();
}

TEST_F(Lifecycle, ADrainDoesNotWaitForEverForThoseWhoNeverAnswer) {
  ASSERT_NO_FATAL_FAILURE(start({.arguments = {"--drain-seconds", "1", "--close-timeout-s", "600"}}));
  WebSocketClient silent = WebSocketClient::connect(port(), "/websocket/r");
  TcpClient idle = TcpClient::connect(port());
  ASSERT_TRUE(silent.open());
  EXPECT_EQ(server_->stop(), kCleanExit) << server_->standard_error();
  const auto close = silent.next();
  ASSERT_TRUE(close);
  EXPECT_EQ(close->close_code(), 1001u);
}

TEST_F(Lifecycle, ASecondSignalEndsItAtOnce) {
  for (const int signal : {SIGTERM, SIGINT}) {
    ASSERT_NO_FATAL_FAILURE(start({.arguments = {"--drain-seconds", "600", "--close-timeout-s", "600"}}));
    WebSocketClient silent = WebSocketClient::connect(port(), "/websocket/r");
    ASSERT_TRUE(silent.open());
    server_->signal(SIGTERM);
    const auto close = silent.next();
    ASSERT_TRUE(close);
    EXPECT_EQ(close->close_code(), 1001u);
    EXPECT_TRUE(server_->running()) << "it waits for the answer to its Close";
    server_->signal(signal);
    EXPECT_EQ(server_->wait(kPatience), kCleanExit) << server_->standard_error();
  }
}

// ── Reload ───────────────────────────────────────────────────────────────────

class ConfigFile {
 public:
  ConfigFile() {
    const int fd = mkstemp(path_.data());
    EXPECT_GE(fd, 0);
    if (fd >= 0) close(fd);
  }
  ~ConfigFile() { unlink(path_.c_str()); }
  ConfigFile(const ConfigFile&) = delete;
  ConfigFile& operator=(const ConfigFile&) = delete;

  void write(std::string_view text) { std::ofstream(path_, std::ios::trunc) << text; }
  const std::string& path() const { return path_; }

 private:
  std::string path_ = "/tmp/ringcast-test-XXXXXX";
};

TEST_F(Lifecycle, AHangUpReadsTheAllowedOriginsAgain) {
  ConfigFile file;
  file.write("allowed-origins = [\"https://one.example\"]\n");
  ASSERT_NO_FATAL_FAILURE(start({.arguments = {"--config", file.path(), "--drain-seconds", "1"}}));
  const auto status = [&](std::string_view origin) {
    return WebSocketClient::connect(port(), "/websocket", "Origin: " + std::string(origin) + "\r\n")
        .answer()
        .status;
  };
  WebSocketClient before =
      WebSocketClient::connect(port(), "/websocket/r", "Origin: https://one.example\r\n");
  ASSERT_TRUE(before.open());
  EXPECT_EQ(status("https://two.example"), 403);

  file.write("allowed-origins = [\"https://two.example\"]\n");
  server_->signal(SIGHUP);
  EXPECT_TRUE(wait_until([&] { return status("https://two.example") == 101; }));
  // Each shard takes the news by itself.
  EXPECT_TRUE(wait_until([&] { return status("https://one.example") == 403; }));
  // Who is inside stays.
  before.send(encode({.payload = R"({"message":"still here"})"}));
  const auto echoed = before.next();
  ASSERT_TRUE(echoed);
  EXPECT_NE(echoed->payload.find("still here"), std::string::npos);

  // A file that is broken changes nothing.
  file.write("allowed-origins = [\"https://three.exam");
  server_->signal(SIGHUP);
  EXPECT_TRUE(says("not_reloaded"));
  EXPECT_EQ(status("https://two.example"), 101);
  EXPECT_EQ(server_->stop(), kCleanExit);
}

// ── Without descriptors ──────────────────────────────────────────────────────

void sixty_four_descriptors() {
  const rlimit limit{64, 64};
  setrlimit(RLIMIT_NOFILE, &limit);
}

TEST_F(Lifecycle, WithoutDescriptorsAcceptingPausesAndGoesOn) {
  ASSERT_NO_FATAL_FAILURE(start(
      {.arguments = {"--drain-seconds", "1", "--handshake-timeout-s", "600", "--keep-alive-timeout-s", "600"},
       .before_exec = sixty_four_descriptors}));
  TcpClient watcher = TcpClient::connect(port());
  ASSERT_TRUE(Metrics::read(watcher).has("ringcast_accept_pauses_total"));

  // All of them ask; those that get in stay there.
  constexpr size_t kClients = 120;
  Swarm swarm;
  for (size_t i = 0; i < kClients; ++i) swarm.add(port(), "/websocket/crowded");
  ASSERT_TRUE(
      swarm.run_until([&] { return Metrics::read(watcher).sum("ringcast_accept_pauses_total") > 1; }));
  EXPECT_LT(swarm.open_count(), 64u);

  // It waits instead of trying again and again. Turns are counted, not only seconds: on a
  // loaded machine a spinning thread gets few of those.
  const uint64_t turns = Metrics::read(watcher).sum("ringcast_turns_total");
  const double cpu = cpu_seconds(server_->pid());
  const auto since = Clock::now();
  swarm.run_until([] { return false; }, std::chrono::seconds(2));
  const double waited = std::chrono::duration<double>(Clock::now() - since).count();
  EXPECT_LT(cpu_seconds(server_->pid()) - cpu, waited / 2);
  EXPECT_LT(static_cast<double>(Metrics::read(watcher).sum("ringcast_turns_total") - turns), waited * 1000);

  // As they leave, the others get in, until everybody has been there.
  size_t opened = 0;
  EXPECT_TRUE(swarm.run_until([&] {
    for (size_t i = 0; i < kClients; ++i) {
      if (!swarm.open(i)) continue;
      ++opened;
      swarm.close(i);
    }
    return opened == kClients;
  })) << opened;
  EXPECT_TRUE(says("accept_paused"));
  EXPECT_EQ(server_->stop(), kCleanExit) << server_->standard_error();
}

// ── Without io_uring ─────────────────────────────────────────────────────────

// What a container's seccomp profile does.
void forbid_io_uring() {
  sock_filter program[] = {
      BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(seccomp_data, nr)),
      BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, __NR_io_uring_setup, 0, 1),
      BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | EPERM),
      BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
  };
  const sock_fprog filter{.len = std::size(program), .filter = program};
  if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0 ||
      prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &filter) != 0) {
    _exit(126);
  }
}

TEST_F(Lifecycle, WithoutIoUringItStartsOnEpollAndSaysWhy) {
  ASSERT_NO_FATAL_FAILURE(
      start({.arguments = {"--backend", "auto", "--drain-seconds", "1"}, .before_exec = forbid_io_uring}));
  EXPECT_EQ(Metrics::read(port()).sum("ringcast_info", R"(backend="epoll")"), 1u);
  EXPECT_TRUE(says("io_uring_refused"));
  EXPECT_TRUE(says("seccomp"));
  WebSocketClient client = WebSocketClient::connect(port(), "/websocket/r");
  client.send(encode({.payload = R"({"message":"served all the same"})"}));
  const auto frame = client.next();
  ASSERT_TRUE(frame);
  EXPECT_NE(frame->payload.find("served all the same"), std::string::npos);
  EXPECT_EQ(server_->stop(), kCleanExit);
}

TEST_F(Lifecycle, IoUringOrNothingIsNothingWithoutIt) {
  std::string why_not;
  server_ =
      ServerProcess::start({.arguments = {"--backend", "io_uring"}, .before_exec = forbid_io_uring}, why_not);
  EXPECT_EQ(server_, nullptr);
  EXPECT_NE(why_not.find("ended with exit code 2"), std::string::npos) << why_not;
  EXPECT_NE(why_not.find("ringcast: io_uring"), std::string::npos) << why_not;
}

// ── The command line ─────────────────────────────────────────────────────────

void expect_one_sentence(const ProgramResult& result) {
  EXPECT_EQ(result.exit_code, 2);
  EXPECT_EQ(result.output, "");
  EXPECT_TRUE(result.error.starts_with("ringcast: ")) << result.error;
  EXPECT_EQ(std::ranges::count(result.error, '\n'), 1) << result.error;
  EXPECT_TRUE(result.error.ends_with('\n')) << result.error;
}

TEST(CommandLine, WhatItDoesNotUnderstandEndsItWithASentence) {
  const std::vector<std::vector<std::string>> wrong = {
      {"--no-such-option"},
      {"--no-such-option", "value"},
      {"stray"},
      {"--shards"},
      {"--shards", "many"},
      {"--shards", "-1"},
      {"--max-message-bytes", "99999999999999999999"},
      {"--handshake-timeout-s", "0"},
      {"--backend", "kqueue"},
      {"--echo", "perhaps"},
      {"--listen", "nowhere"},
      {"--listen", "127.0.0.1:99999"},
      {"--listen", "192.0.2.1:8080"},  // not a loopback address, and the demo is on
      {"--allowed-origins", "example.com/path"},
      {"--frame-log-bytes", "4096", "--max-message-bytes", "4096"},
      {"--stream-policy", "ticks:*=newest"},
      {"--coalesce", "ticks:*"},
      {"--coalesce", "=20"},
      {"--coalesce", "ticks:*=0"},
      {"--coalesce", "ticks:*=10001"},
      {"--coalesce", "ticks:*=20ms"},
      {"--config", "/nonexistent/ringcast.toml"},
      {"--broadcast-key-file", "/nonexistent/key"},
  };
  for (const auto& arguments : wrong) {
    SCOPED_TRACE(::testing::PrintToString(arguments));
    expect_one_sentence(run_binary(arguments));
  }
  expect_one_sentence(run_binary({}, {{"RINGCAST_SHARDS", "many"}}));
  ConfigFile file;
  for (const std::string_view text :
       {"no-such-option = 1\n", "shards = \"many\"\n", "shards = \n", "shards = [1]\n"}) {
    SCOPED_TRACE(text);
    file.write(text);
    expect_one_sentence(run_binary({"--config", file.path()}));
  }
}

TEST(CommandLine, ATakenPortEndsItWithASentence) {
  const int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  socklen_t bytes = sizeof address;
  ASSERT_EQ(bind(fd, reinterpret_cast<sockaddr*>(&address), bytes), 0);
  ASSERT_EQ(listen(fd, 1), 0);
  ASSERT_EQ(getsockname(fd, reinterpret_cast<sockaddr*>(&address), &bytes), 0);
  const std::string taken = "127.0.0.1:" + std::to_string(ntohs(address.sin_port));
  const ProgramResult result = run_binary({"--listen", taken});
  close(fd);
  expect_one_sentence(result);
  EXPECT_NE(result.error.find(taken), std::string::npos) << result.error;
}

// Not even another server of ours shares its port by accident.
TEST_F(Lifecycle, TwoServersDoNotShareAPort) {
  ASSERT_NO_FATAL_FAILURE(start({.arguments = {"--drain-seconds", "1"}}));
  expect_one_sentence(run_binary({"--listen", "127.0.0.1:" + std::to_string(port())}));
  EXPECT_EQ(server_->stop(), kCleanExit);
}

TEST(CommandLine, WhatIsAskedForInWordsIsAnsweredOnStdout) {
  for (const std::string_view flag : {"--help", "--version", "--check-config", "--print-config"}) {
    const ProgramResult result = run_binary({std::string(flag)});
    EXPECT_EQ(result.exit_code, 0) << flag;
    EXPECT_EQ(result.error, "") << flag;
    EXPECT_TRUE(result.output.ends_with('\n')) << flag;
  }
}

TEST(CommandLine, FlagsBeatTheEnvironmentWhichBeatsTheFile) {
  ConfigFile file;
  file.write("shards = 2\nmailbox-size = 32\nlog-format = \"json\"\n");
  const ProgramResult result = run_binary(
      {"--config", file.path(), "--shards", "4", "--print-config"},
      {{"RINGCAST_SHARDS", "3"}, {"RINGCAST_MAILBOX_SIZE", "64"}, {"RINGCAST_NO_SUCH_OPTION", "1"}});
  EXPECT_EQ(result.exit_code, 0) << result.error;
  EXPECT_NE(result.output.find("\nshards = 4\n"), std::string::npos) << result.output;
  EXPECT_NE(result.output.find("\nmailbox-size = 64\n"), std::string::npos) << result.output;
  EXPECT_NE(result.output.find("\nlog-format = \"json\"\n"), std::string::npos) << result.output;
}

}  // namespace
}  // namespace ringcast::blackbox
