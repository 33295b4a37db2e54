// ringcast-load: puts a WebSocket server under load and checks every message.
//
//   fanout   one publisher, N subscribers of one stream; each must get every message
//            once and in order. Closed loop (--window messages under way) or open
//            loop (--rate messages a second, latency from the intended time).
//   echo     N connections, each with --depth messages under way.
//   connect  N handshakes, --depth at a time; then all are closed.
//   idle     N connections held open for --seconds.
//
// Speaks raw WebSocket rooms ({"message": …} in, the same back to everybody) and
// Action Cable (--protocol cable, ChatChannel). One thread: pin it to another core
// than the server's, and look at the client's own CPU in the result.
#include <sys/resource.h>
#include <unistd.h>

#include <charconv>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <string>
#include <string_view>
#include <vector>

#include "histogram.h"
#include "peers.h"

namespace {

struct Settings {
  std::string mode;
  std::string url = "ws://127.0.0.1:8080/websocket/load";
  bool cable = false;
  bool json = false;
  uint64_t connections = 1000;
  uint64_t bytes = 128;
  uint64_t window = 1;
  uint64_t rate = 0;
  uint64_t depth = 1;
  uint64_t seconds = 5;
  uint64_t pid = 0;
};

constexpr char kUsage[] =
    "usage: ringcast-load fanout|echo|connect|idle [--url ws://HOST:PORT/PATH] [--connections N] [--bytes "
    "N]\n"
    "                     [--window N | --rate N] [--depth N] [--seconds N] [--protocol raw|cable] [--pid "
    "PID] [--json]\n";

[[noreturn]] void fail(const std::string& why) {
  std::fprintf(stderr, "ringcast-load: %s\n", why.c_str());
  std::exit(2);
}

Settings parse(int argc, char** argv) {
  Settings settings;
  if (argc < 2 || std::string_view(argv[1]) == "--help") {
    std::fputs(kUsage, argc < 2 ? stderr : stdout);
    std::exit(argc < 2 ? 2 : 0);
  }
  settings.mode = argv[1];
  const std::pair<std::string_view, uint64_t*> numbers[] = {{"--connections", &settings.connections},
                                                            {"--bytes", &settings.bytes},
                                                            {"--window", &settings.window},
                                                            {"--rate", &settings.rate},
                                                            {"--depth", &settings.depth},
                                                            {"--seconds", &settings.seconds},
                                                            {"--pid", &settings.pid}};
  for (int i = 2; i < argc; ++i) {
    const std::string_view flag = argv[i];
    if (flag == "--json") {
      settings.json = true;
      continue;
    }
    if (i + 1 == argc) fail("no value for " + std::string(flag));
    const std::string_view value = argv[++i];
    bool known = flag == "--url" || flag == "--protocol";
    if (flag == "--url") settings.url = value;
    if (flag == "--protocol") settings.cable = value == "cable";
    for (const auto& [name, number] : numbers) {
      if (flag != name) continue;
      known = true;
      const auto parsed = std::from_chars(value.data(), value.data() + value.size(), *number);
      if (parsed.ec != std::errc() || parsed.ptr != value.data() + value.size())
        fail("not a number: " + std::string(value));
    }
    if (!known) fail("unknown option " + std::string(flag));
  }
  return settings;
}

// CPU time of a process, nanoseconds: the scheduler's own count, per task.
uint64_t cpu_ns(uint64_t pid) {
  uint64_t total = 0;
  std::error_code error;
  for (const auto& task :
       std::filesystem::directory_iterator("/proc/" + std::to_string(pid) + "/task", error)) {
    std::ifstream file(task.path() / "schedstat");
    uint64_t ns = 0;
    if (file >> ns) total += ns;
  }
  return total;
}

class Load {
 public:
  explicit Load(const Settings& settings)
      : settings_(settings), peers_(target(settings), settings.cable ? "actioncable-v1-json" : "") {}

  int run() {
    if (settings_.mode == "fanout") return fanout();
    if (settings_.mode == "echo") return echo();
    if (settings_.mode == "connect") return connect();
    if (settings_.mode == "idle") return idle();
    std::fputs(kUsage, stderr);
    return 2;
  }

 private:
  static Target target(const Settings& settings) {
    Target target;
    if (!Target::parse(settings.url, target))
      fail("not a ws:// URL with a numeric host and a port: " + settings.url);
    return target;
  }

  void begin() {
    began_ = now_ns();
    end_ = began_ + settings_.seconds * 1'000'000'000;
    server_cpu_ = settings_.pid != 0 ? cpu_ns(settings_.pid) : 0;
    client_cpu_ = cpu_ns(static_cast<uint64_t>(getpid()));
  }

  // Opens every connection, at most 200 handshakes at a time; on cable also subscribes.
  void open_all() {
    const size_t ready_wanted = settings_.connections;
    peers_.on_open = [this](Peer& peer) {
      if (!settings_.cable) {
        ++ready_;
        return;
      }
      peer.send(
          false,
          R"({"command":"subscribe","identifier":"{\"channel\":\"ChatChannel\",\"room_id\":\"load\"}"})");
      peer.flush();
    };
    peers_.on_message = [this](Peer&, std::string_view message) {
      if (settings_.cable && message.find("confirm_subscription") != std::string_view::npos) ++ready_;
    };
    const uint64_t deadline = now_ns() + 60'000'000'000;
    while (ready_ < ready_wanted) {
      while (peers_.size() < ready_wanted && peers_.size() - ready_ < 200) peers_.connect();
      peers_.poll(now_ns() + 100'000'000);
      if (peers_.lost() > 0) fail("a connection was lost while opening");
      if (now_ns() > deadline) fail("not all connections opened within a minute");
    }
  }

  void publish(uint64_t intended) {
    std::string text = std::to_string(next_++) + " " + std::to_string(intended) + " ";
    if (text.size() < settings_.bytes) text.append(settings_.bytes - text.size(), 'x');
    if (settings_.cable) {
      peers_.at(0).send(
          false,
          R"({"command":"message","identifier":"{\"channel\":\"ChatChannel\",\"room_id\":\"load\"}","data":"{\"message\":\")" +
              text + R"(\",\"action\":\"receive\"}"})");
    } else {
      peers_.at(0).send(false, R"({"message":")" + text + "\"}");
    }
  }

  // One delivery: its number must be the next this peer expects.
  void delivered(Peer& peer, std::string_view message) {
    constexpr std::string_view kKey = R"("message":")";
    const size_t at = message.find(kKey);
    if (at == std::string_view::npos) return;  // a ping, or a room's welcome
    const char* from = message.data() + at + kKey.size();
    const char* const to = message.data() + message.size();
    uint64_t number = 0, intended = 0;
    const auto first = std::from_chars(from, to, number);
    if (first.ec != std::errc() || first.ptr == to) return;
    std::from_chars(first.ptr + 1, to, intended);
    if (number != peer.expected) ++wrong_;
    peer.expected = number + 1;
    ++deliveries_;
    latencies_.add(now_ns() - intended);
    if (++arrived_[number % arrived_.size()] == settings_.connections) {
      arrived_[number % arrived_.size()] = 0;
      ++complete_;
    }
  }

  int fanout() {
    open_all();
    arrived_.assign(1 << 16, 0);
    peers_.on_message = [this](Peer& peer, std::string_view message) { delivered(peer, message); };
    begin();
    uint64_t due = began_;
    const uint64_t step = settings_.rate > 0 ? 1'000'000'000 / settings_.rate : 0;
    const uint64_t most = settings_.rate > 0 ? arrived_.size() - 1 : settings_.window;
    bool stopping = false;
    while (!stopping || complete_ < next_) {
      const uint64_t now = now_ns();
      if (now >= end_) stopping = true;
      if (now >= end_ + 30'000'000'000 || peers_.lost() > 0) break;
      bool queued = false;
      while (!stopping && next_ - complete_ < most && (step == 0 || due <= now)) {
        publish(step == 0 ? now : due);
        due += step;
        queued = true;
      }
      if (queued) peers_.at(0).flush();
      peers_.poll(step != 0 && !stopping ? due : now + 50'000'000);
    }
    const bool whole = complete_ == next_ && wrong_ == 0;
    report("deliveries", deliveries_, whole);
    return whole ? 0 : 1;
  }

  int echo() {
    open_all();
    const std::string payload(settings_.bytes, 'x');
    const auto send = [&](Peer& peer) {
      peer.sent_at = now_ns();
      peer.send(true, payload);
    };
    peers_.on_message = [&](Peer& peer, std::string_view message) {
      if (message.size() != payload.size()) ++wrong_;
      ++deliveries_;
      if (settings_.depth == 1) latencies_.add(now_ns() - peer.sent_at);
      if (now_ns() >= end_) return;
      if (++peer.expected < settings_.depth) return;  // a whole flight goes at once
      peer.expected = 0;
      for (uint64_t i = 0; i < settings_.depth; ++i) send(peer);
      peer.flush();
    };
    begin();
    for (size_t i = 0; i < peers_.size(); ++i) {
      for (uint64_t depth = 0; depth < settings_.depth; ++depth) send(peers_.at(i));
      peers_.at(i).flush();
    }
    while (now_ns() < end_ && peers_.lost() == 0) peers_.poll(now_ns() + 50'000'000);
    const bool whole = wrong_ == 0 && peers_.lost() == 0;
    report("echoes", deliveries_, whole);
    return whole ? 0 : 1;
  }

  int connect() {
    begin();
    peers_.on_open = [this](Peer& peer) {
      ++deliveries_;
      peers_.close(peer);
    };
    while (deliveries_ < settings_.connections && peers_.lost() == 0) {
      while (peers_.size() < settings_.connections && peers_.size() - deliveries_ < settings_.depth)
        peers_.connect();
      peers_.poll(now_ns() + 50'000'000);
    }
    report("handshakes", deliveries_, peers_.lost() == 0);
    return peers_.lost() == 0 ? 0 : 1;
  }

  int idle() {
    begin();
    open_all();
    while (now_ns() < end_ && peers_.lost() == 0) peers_.poll(now_ns() + 50'000'000);
    report("connections", peers_.open(), peers_.lost() == 0);
    return peers_.lost() == 0 ? 0 : 1;
  }

  void report(const char* what, uint64_t count, bool whole) {
    const double seconds = static_cast<double>(now_ns() - began_) / 1e9;
    const double client = static_cast<double>(cpu_ns(static_cast<uint64_t>(getpid())) - client_cpu_);
    const double server = settings_.pid != 0 ? static_cast<double>(cpu_ns(settings_.pid) - server_cpu_) : 0;
    const double per_second = static_cast<double>(count) / seconds;
    const double per_item = count > 0 ? server / static_cast<double>(count) : 0;
    const auto us = [&](double fraction) {
      return static_cast<double>(latencies_.percentile(fraction)) / 1e3;
    };
    if (settings_.json) {
      std::printf(
          R"({"mode":"%s","%s":%llu,"seconds":%.3f,"per_second":%.0f,"whole":%s,"wrong":%llu,"lost":%zu,)"
          R"("p50_us":%.1f,"p90_us":%.1f,"p99_us":%.1f,"p999_us":%.1f,"max_us":%.1f,)"
          R"("client_cpu_percent":%.1f,"server_cpu_percent":%.1f,"server_cpu_ns_each":%.0f})"
          "\n",
          settings_.mode.c_str(), what, static_cast<unsigned long long>(count), seconds, per_second,
          whole ? "true" : "false", static_cast<unsigned long long>(wrong_), peers_.lost(), us(0.5), us(0.9),
          us(0.99), us(0.999), static_cast<double>(latencies_.max()) / 1e3, client / seconds / 1e7,
          server / seconds / 1e7, per_item);
      return;
    }
    std::printf("%llu %s in %.2f s: %.0f/s%s\n", static_cast<unsigned long long>(count), what, seconds,
                per_second, whole ? "" : "  NOT WHOLE");
    if (!whole) {
      std::printf("  out of order or damaged: %llu, connections lost: %zu, messages incomplete: %llu\n",
                  static_cast<unsigned long long>(wrong_), peers_.lost(),
                  static_cast<unsigned long long>(next_ - complete_));
    }
    if (latencies_.count() > 0) {
      std::printf("  latency us: p50 %.1f  p90 %.1f  p99 %.1f  p99.9 %.1f  max %.1f\n", us(0.5), us(0.9),
                  us(0.99), us(0.999), static_cast<double>(latencies_.max()) / 1e3);
    }
    std::printf("  client CPU %.0f %%", client / seconds / 1e7);
    if (settings_.pid != 0)
      std::printf(", server CPU %.0f %%, %.0f ns each", server / seconds / 1e7, per_item);
    std::printf("\n");
  }

  const Settings settings_;
  Peers peers_;
  Histogram latencies_;
  std::vector<uint32_t> arrived_;  // by message number: how many have it
  size_t ready_ = 0;
  uint64_t next_ = 0, complete_ = 0, deliveries_ = 0, wrong_ = 0;
  uint64_t began_ = 0, end_ = 0, server_cpu_ = 0, client_cpu_ = 0;
};

}  // namespace

int main(int argc, char** argv) {
  rlimit descriptors{};
  getrlimit(RLIMIT_NOFILE, &descriptors);
  descriptors.rlim_cur = descriptors.rlim_max;
  setrlimit(RLIMIT_NOFILE, &descriptors);
  return Load(parse(argc, argv)).run();
}
