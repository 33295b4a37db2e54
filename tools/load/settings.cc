#include "settings.h"

#include <charconv>
#include <cstdio>
#include <cstdlib>
#include <string_view>
#include <type_traits>
#include <variant>

namespace load {
namespace {

constexpr char kUsage[] = R"(usage: ringcast-load MODE [OPTION]…
Puts a WebSocket server under load and checks every message on every connection:
each once, whole and in order. Exit status 1: one was not.

  fanout   publishers and subscribers of streams; latency counts from the intended time
  echo     every connection has --depth messages under way, and each must come back
  connect  rounds of --connections handshakes, --depth (64) at a time, for --seconds
  idle     memory of --pid per connection, between --from and --connections of them
  storm    all connections are cut and come back at once, --rounds times
  soak     fanout at --rate with --churn, a line every --interval, and memory's slope

The server:
  --url ws[s]://ADDRESS:PORT/PATH  a room; of several streams each adds -N to the path
                                   (ws://127.0.0.1:8080/websocket/load)
                                   several, with commas in between, take members in turn:
                                   nodes that share an engine, whose members must all hear
                                   a stream in one order
  --protocol raw|cable|mixed       {"message":…} to a room, Action Cable's ChatChannel, or
                                   half and half with /cable for the channels (raw)
  --pid PID[,PID]                  measure this server's CPU and memory

The crowd:
  --connections N (1000)           --streams S (1)        --subs-per-conn K (1; cable)
  --zipf E                         popularity of streams: subscriptions and messages ~ 1/rank^E
  --publishers P (1)               of each stream, and one more that writes lines into
  --pipe COMMAND                   this command: fanout and soak, of a single room
  --distinct-identifiers           every subscriber names the same stream differently (cable)
  --stuck M                        further subscribers, which never read
  --churn C                        connections a second that come, subscribe, listen and go

The load:
  --window W (1)                   closed loop: so many messages under way in all
  --rate R                         open loop: so many a second, whatever comes back
  --burst N --every MS (100)       so many at once, every so often
  --trace market-open              a fifth of --rate, then ten times it, decaying to it
  --depth D (1)                    echo: messages under way of each connection
  --bytes B (128)                  of a message's text
  --messages N                     stop after so many
  --seconds S (5)  --warmup S (1)  --patience S (15)  --interval S (5)  --settle S (1)
  --rounds N (3)   --from N (connections / 3)         --seed N (1)

The result:
  --spin                           poll without sleeping: no wake-up of ours in the latencies
  --json                           one object on standard output instead of the table
  --quiet                          no progress on standard error
)";

using Value = std::variant<bool*, uint64_t*, double*, std::string*>;

template <class T>
T number(std::string_view flag, std::string_view text) {
  T value{};
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc() || end != text.data() + text.size() || value < T{}) {
    fail(std::string(flag) + " takes a number, not '" + std::string(text) + "'");
  }
  return value;
}

void check(const Settings& settings) {
  const bool cable = settings.protocol != Protocol::raw;
  if (settings.connections == 0) fail("--connections must be at least 1");
  if (settings.streams == 0) fail("--streams must be at least 1");
  if (settings.publishers == 0) fail("--publishers must be at least 1");
  if (settings.window == 0 || settings.depth == 0) fail("--window and --depth must be at least 1");
  if (settings.bytes < 24 && settings.mode != "echo") fail("--bytes must hold a number: at least 24");
  if (settings.bytes < 8) fail("--bytes must hold a number: at least 8");
  if (settings.subs_per_conn == 0 || settings.subs_per_conn > settings.streams)
    fail("--subs-per-conn must be from 1 to --streams");
  if (settings.subs_per_conn > 1 && settings.protocol != Protocol::cable)
    fail("--subs-per-conn above 1 needs --protocol cable: a raw connection is in one room");
  if (settings.distinct_identifiers && !cable) fail("--distinct-identifiers needs --protocol cable");
  if (settings.market_open && settings.rate <= 0) fail("--trace needs --rate");
  if (settings.burst > 0 && settings.rate > 0) fail("--burst and --rate exclude each other");
  if (settings.burst > 0 && settings.every_ms == 0) fail("--every must be at least 1");
  if (!settings.pipe.empty() && settings.mode != "fanout" && settings.mode != "soak")
    fail("--pipe goes with fanout and soak");
  if (!settings.pipe.empty() && (settings.streams > 1 || cable))
    fail("--pipe publishes to one room: it goes with one stream and --protocol raw");
  if (settings.mode == "idle" && settings.pids.empty()) fail("idle needs --pid");
  if (settings.mode == "idle" && settings.from >= settings.connections)
    fail("--from must be below --connections");
}

}  // namespace

void fail(const std::string& why) {
  std::fprintf(stderr, "ringcast-load: %s\n", why.c_str());
  std::exit(2);
}

Settings parse_settings(int argc, char** argv) {
  if (argc < 2 || std::string_view(argv[1]) == "--help") {
    std::fputs(kUsage, argc < 2 ? stderr : stdout);
    std::exit(argc < 2 ? 2 : 0);
  }
  Settings settings;
  settings.mode = argv[1];
  if (settings.mode == "soak") {
    settings.rate = 100;
    settings.churn = 20;
    settings.seconds = 60;
  }
  std::string protocol, trace, pids, depth;
  const std::pair<std::string_view, Value> options[] = {
      {"--url", &settings.url},
      {"--pipe", &settings.pipe},
      {"--protocol", &protocol},
      {"--trace", &trace},
      {"--pid", &pids},
      {"--json", &settings.json},
      {"--quiet", &settings.quiet},
      {"--spin", &settings.spin},
      {"--distinct-identifiers", &settings.distinct_identifiers},
      {"--connections", &settings.connections},
      {"--from", &settings.from},
      {"--streams", &settings.streams},
      {"--subs-per-conn", &settings.subs_per_conn},
      {"--publishers", &settings.publishers},
      {"--zipf", &settings.zipf},
      {"--stuck", &settings.stuck},
      {"--churn", &settings.churn},
      {"--bytes", &settings.bytes},
      {"--window", &settings.window},
      {"--depth", &depth},
      {"--rate", &settings.rate},
      {"--burst", &settings.burst},
      {"--every", &settings.every_ms},
      {"--messages", &settings.messages},
      {"--seconds", &settings.seconds},
      {"--warmup", &settings.warmup},
      {"--patience", &settings.patience},
      {"--interval", &settings.interval},
      {"--settle", &settings.settle},
      {"--rounds", &settings.rounds},
      {"--seed", &settings.seed},
  };
  for (int i = 2; i < argc; ++i) {
    const std::string_view flag = argv[i];
    const Value* value = nullptr;
    for (const auto& [name, place] : options) {
      if (name == flag) value = &place;
    }
    if (value == nullptr) fail("unknown option " + std::string(flag) + "; see ringcast-load --help");
    if (bool* const* set = std::get_if<bool*>(value)) {
      **set = true;
      continue;
    }
    if (i + 1 == argc) fail("no value for " + std::string(flag));
    const std::string_view text = argv[++i];
    std::visit(
        [&](auto* place) {
          using T = std::remove_reference_t<decltype(*place)>;
          if constexpr (std::is_same_v<T, std::string>) {
            *place = text;
          } else if constexpr (!std::is_same_v<T, bool>) {
            *place = number<T>(flag, text);
          }
        },
        *value);
  }
  if (protocol == "cable") settings.protocol = Protocol::cable;
  if (protocol == "mixed") {
    settings.protocol = Protocol::mixed;
    if (settings.streams == 1) settings.streams = 2;
  }
  if (!protocol.empty() && protocol != "raw" && settings.protocol == Protocol::raw)
    fail("--protocol is raw, cable or mixed");
  settings.market_open = trace == "market-open";
  if (!trace.empty() && !settings.market_open) fail("there is one --trace: market-open");
  if (!depth.empty()) settings.depth = number<uint64_t>("--depth", depth);
  settings.depth_given = !depth.empty();
  for (std::string_view rest = pids; !rest.empty();) {
    const size_t comma = std::min(rest.find(','), rest.size());
    settings.pids.push_back(number<uint64_t>("--pid", rest.substr(0, comma)));
    rest.remove_prefix(std::min(comma + 1, rest.size()));
  }
  if (settings.from == 0) settings.from = settings.connections / 3;
  check(settings);
  return settings;
}

}  // namespace load
