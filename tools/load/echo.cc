// The mode echo: each connection keeps --depth messages under way and checks that each
// comes back once, whole and in order. Answers that came together are replaced together.
#include <algorithm>
#include <cstdio>
#include <cstring>
#include <memory>

#include "connections.h"
#include "modes.h"
#include "process.h"
#include "report.h"
#include "wire.h"

namespace load {
namespace {

class Echo : private Listener {
 public:
  explicit Echo(const Settings& settings)
      : settings_(settings),
        progress_(settings),
        connections_(*this, settings.spin),
        expected_(settings.bytes, 'x') {
    if (!parse_target(settings.url, target_)) fail("not ws[s]://ADDRESS:PORT/PATH: " + settings.url);
    raise_descriptor_limit();
    append_frame(template_, kBinary, expected_);
    number_at_ = header_bytes(settings.bytes);
  }

  int run() {
    const uint64_t deadline = now_ns() + 60'000'000'000;
    for (size_t begun = 0; connections_.open() < settings_.connections;) {
      for (; begun < settings_.connections && begun - connections_.open() < 200; ++begun)
        connections_.connect(connections_.add(), target_, {});
      connections_.poll(now_ns() + 100'000'000);
      if (now_ns() > deadline) fail("not all connections opened within a minute");
    }
    const uint64_t measure_at = now_ns() + static_cast<uint64_t>(settings_.warmup * 1e9);
    end_ = measure_at + static_cast<uint64_t>(settings_.seconds * 1e9);
    for (size_t i = 0; i < connections_.size(); ++i) {
      connections_[i].sent_at.assign(settings_.depth, 0);
      send(connections_[i], settings_.depth);
    }
    Reading from;
    while (now_ns() < end_ && errors_.cut < settings_.connections) {
      if (from.at == 0 && now_ns() >= measure_at) {
        latencies_ = {};
        from = Reading::take(settings_, connections_.idle_ns(), echoes_, echoes_);
      }
      connections_.poll(now_ns() + 50'000'000);
      progress_.show(format("%llu echoes", static_cast<unsigned long long>(echoes_)));
    }
    const Reading to = Reading::take(settings_, connections_.idle_ns(), echoes_, echoes_);
    const uint64_t last = now_ns() + static_cast<uint64_t>(settings_.patience * 1e9);
    while (under_way_ > 0 && now_ns() < last && errors_.cut == 0) connections_.poll(now_ns() + 50'000'000);
    errors_.lost += under_way_;

    Report report;
    report.text("mode", "echo");
    report.number("connections", static_cast<double>(settings_.connections));
    report_rates(report, settings_, from, to, "echoes");
    report.latencies("latency", latencies_, "round trip");
    report.errors(errors_);
    report.print(settings_.json, errors_.all() == 0);
    return errors_.all() == 0 ? 0 : 1;
  }

 private:
  void send(Connection& connection, uint64_t count) {
    const uint64_t now = now_ns();
    std::string& out = connection.out();
    for (uint64_t i = 0; i < count; ++i) {
      const size_t at = out.size() + number_at_;
      out.append(template_);
      const uint64_t number = connection.counter++;
      char octets[sizeof number];
      std::memcpy(octets, &number, sizeof number);
      for (size_t k = 0; k < sizeof number; ++k) out[at + k] = masked(octets[k], k);
      connection.sent_at[number % settings_.depth] = now;
    }
    under_way_ += count;
    connection.flush();
  }

  void opened(Connection&) override {}

  size_t received(Connection& connection, std::string_view bytes, uint64_t now) override {
    size_t at = 0;
    uint64_t came = 0;
    for (;;) {
      const Frame frame = first_frame(bytes.substr(at));
      if (frame.bytes == 0) break;
      at += frame.bytes;
      if (frame.opcode == kPing) {
        append_frame(connection.out(), kPong, frame.payload);
        connection.flush();
      }
      if (frame.opcode >= kClose) continue;
      if (connection.sent_at.empty()) continue;  // a greeting
      check(connection, frame, now);
      ++came;
    }
    under_way_ -= std::min(came, under_way_);
    echoes_ += came;
    if (came > 0 && now < end_ && connection.state() == Connection::State::open) send(connection, came);
    return at;
  }

  void check(Connection& connection, const Frame& frame, uint64_t now) {
    uint64_t number = 0;
    const std::string_view payload = frame.payload;
    if (!frame.valid || payload.size() != expected_.size() ||
        std::memcmp(payload.data() + sizeof number, expected_.data() + sizeof number,
                    payload.size() - sizeof number) != 0) {
      ++errors_.corrupt;
      return complain(connection, "got back something else than it sent");
    }
    std::memcpy(&number, payload.data(), sizeof number);
    if (number < connection.answered) ++errors_.duplicated;
    if (number > connection.answered) errors_.lost += number - connection.answered;
    if (number != connection.answered) complain(connection, "got back another message than was due");
    if (number >= connection.counter) return;
    connection.answered = number + 1;
    latencies_.add(now - connection.sent_at[number % settings_.depth]);
  }

  void lost(Connection& connection, std::string_view why) override {
    if (end_ == 0) fail("a connection was lost while opening: " + std::string(why));
    ++errors_.cut;
    complain(connection, "was lost: " + std::string(why));
  }

  void complain(const Connection& connection, const std::string& what) {
    if (++complaints_ <= 5)
      std::fprintf(stderr, "ringcast-load: connection %u %s\n", connection.index(), what.c_str());
  }

  const Settings& settings_;
  Progress progress_;
  Target target_;
  Connections connections_;
  const std::string expected_;
  std::string template_;
  size_t number_at_ = 0;
  uint64_t end_ = 0, under_way_ = 0, echoes_ = 0, complaints_ = 0;
  Histogram latencies_;
  Errors errors_;
};

}  // namespace

int run_echo(const Settings& settings) {
  return std::make_unique<Echo>(settings)->run();
}

}  // namespace load
