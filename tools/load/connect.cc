// The mode connect: what an upgrade costs. Rounds of --connections handshakes, --depth at
// a time, until --seconds are over; only the handshakes are measured, not the closing
// between the rounds.
#include <memory>

#include "connections.h"
#include "dialect.h"
#include "modes.h"
#include "process.h"
#include "report.h"

namespace load {
namespace {

class Connect : private Listener {
 public:
  explicit Connect(const Settings& settings)
      : settings_(settings), progress_(settings), connections_(*this, settings.spin) {
    if (!parse_target(settings.url, target_)) fail("not ws[s]://ADDRESS:PORT/PATH: " + settings.url);
    raise_descriptor_limit();
    for (uint64_t i = 0; i < settings.connections; ++i) connections_.add();
  }

  int run() {
    const uint64_t end = now_ns() + static_cast<uint64_t>(settings_.seconds * 1e9);
    round(nullptr);  // warm-up
    latencies_ = {};
    Reading sum;
    do {
      round(&sum);
    } while (now_ns() < end && errors_.cut == 0);

    Report report;
    report.text("mode", "connect");
    sum.completed = sum.deliveries;
    report_rates(report, settings_, Reading{}, sum, "handshakes");
    report.latencies("latency", latencies_, "connect to upgraded");
    report.errors(errors_);
    report.print(settings_.json, errors_.all() == 0);
    return errors_.all() == 0 ? 0 : 1;
  }

 private:
  void round(Reading* sum) {
    const Reading from = reading();
    const uint64_t at_once = settings_.depth_given ? settings_.depth : 64;
    const uint64_t deadline = now_ns() + 60'000'000'000;
    uint64_t begun = 0;
    done_ = 0;
    while (done_ < settings_.connections) {
      for (; begun < settings_.connections && begun - done_ < at_once; ++begun)
        connections_.connect(connections_[begun], target_,
                             settings_.protocol == Protocol::cable ? kCableSubprotocol : std::string_view{});
      connections_.poll(now_ns() + 50'000'000);
      progress_.show(format("%llu handshakes", static_cast<unsigned long long>(latencies_.count())));
      if (now_ns() > deadline) fail("a round of handshakes took more than a minute");
    }
    if (sum != nullptr) {
      const Reading to = reading();
      sum->at += to.at - from.at;
      sum->server_cpu += to.server_cpu - from.server_cpu;
      sum->own_cpu += to.own_cpu - from.own_cpu;
      sum->idle += to.idle - from.idle;
      sum->deliveries += settings_.connections;
    }
    for (size_t i = 0; i < connections_.size(); ++i) connections_.close(connections_[i]);
    // The server's part of closing belongs to no round.
    const uint64_t quiet = now_ns() + 300'000'000;
    while (now_ns() < quiet) connections_.poll(quiet);
  }

  Reading reading() { return Reading::take(settings_, connections_.idle_ns(), 0, 0); }

  void opened(Connection& connection) override {
    ++done_;
    latencies_.add(now_ns() - connection.since);
  }
  size_t received(Connection&, std::string_view bytes, uint64_t) override { return bytes.size(); }
  void lost(Connection&, std::string_view why) override {
    if (errors_.cut++ == 0)
      std::fprintf(stderr, "ringcast-load: a connection was lost: %s\n", std::string(why).c_str());
    ++done_;
  }

  const Settings& settings_;
  Progress progress_;
  Target target_;
  Connections connections_;
  uint64_t done_ = 0;
  Histogram latencies_;
  Errors errors_;
};

}  // namespace

int run_connect(const Settings& settings) {
  return std::make_unique<Connect>(settings)->run();
}

}  // namespace load
