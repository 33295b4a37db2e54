// The modes fanout and soak: publishes as the settings say, and measures what comes.
#include <algorithm>
#include <cmath>
#include <cstdio>
#include <vector>

#include "crowd.h"
#include "modes.h"
#include "process.h"

namespace load {
namespace {

// When the next messages are due. Open loops only: their times stand whatever the server does.
class Schedule {
 public:
  Schedule(const Settings& settings, uint64_t begin, uint64_t measure_from, uint64_t end)
      : settings_(settings),
        prng_(settings.seed ^ 0x5eed),
        due_(begin),
        measure_from_(measure_from),
        end_(end) {}

  uint64_t due() const { return due_; }
  uint64_t messages() const { return settings_.burst > 0 ? settings_.burst : 1; }

  void advance() {
    if (settings_.burst > 0) {
      due_ += settings_.every_ms * 1'000'000;
    } else if (!settings_.market_open) {
      exact_ += 1e9 / settings_.rate;
      due_ += static_cast<uint64_t>(exact_);
      exact_ -= std::floor(exact_);
    } else {
      // Poisson arrivals at the rate of the moment.
      const double uniform = static_cast<double>((prng_.next() >> 11) + 1) * 0x1p-53;
      due_ += static_cast<uint64_t>(-std::log(uniform) / rate_at(due_) * 1e9);
    }
  }

 private:
  // A fifth of the rate; at a quarter of the time the market opens: ten times it,
  // decaying to the rate itself with a time constant of a tenth of the run.
  double rate_at(uint64_t when) const {
    const double whole = static_cast<double>(end_ - measure_from_);
    const double share = when < measure_from_ ? 0 : static_cast<double>(when - measure_from_) / whole;
    if (share < 0.25) return settings_.rate / 5;
    return settings_.rate * (1 + 9 * std::exp(-(share - 0.25) / 0.1));
  }

  const Settings& settings_;
  ringcast::Prng prng_;
  uint64_t due_;
  double exact_ = 0;
  const uint64_t measure_from_, end_;
};

// The line of least squares through (seconds, bytes): bytes an hour.
double slope_per_hour(const std::vector<std::pair<double, double>>& points) {
  if (points.size() < 3) return 0;
  double x = 0, y = 0, xx = 0, xy = 0;
  for (const auto& [seconds, bytes] : points) {
    x += seconds;
    y += bytes;
    xx += seconds * seconds;
    xy += seconds * bytes;
  }
  const auto n = static_cast<double>(points.size());
  return (n * xy - x * y) / (n * xx - x * x) * 3600;
}

class Fanout {
 public:
  explicit Fanout(const Settings& settings)
      : settings_(settings), soak_(settings.mode == "soak"), progress_(settings), crowd_(settings) {}

  int run() {
    resident_before_ = resident_bytes(settings_.pids);
    crowd_.open(progress_);
    const uint64_t begin = now_ns();
    const uint64_t measure_at = begin + static_cast<uint64_t>(settings_.warmup * 1e9);
    const uint64_t end = measure_at + static_cast<uint64_t>(settings_.seconds * 1e9);
    const bool closed = settings_.rate == 0 && settings_.burst == 0;
    Schedule schedule(settings_, begin, measure_at, end);
    Reading from;
    uint64_t published = 0;
    const uint64_t most = settings_.messages == 0 ? ~uint64_t{0} : settings_.messages;
    for (uint64_t now = begin; now < end && published < most; now = now_ns()) {
      if (from.at == 0 && now >= measure_at) {
        crowd_.flows().measure_from(now);
        from = reading();
        next_line_ = now + static_cast<uint64_t>(settings_.interval * 1e9);
      }
      bool served = true;
      const auto publish = [&](uint64_t intended) {
        served = crowd_.publish(intended);
        ++published;
        return served && published < most;
      };
      if (closed) {
        while (crowd_.flows().under_way() < settings_.window && publish(now)) {
        }
      } else {
        for (; served && schedule.due() <= now && published < most; schedule.advance()) {
          for (uint64_t left = schedule.messages(); left > 0 && publish(schedule.due()); --left) {
          }
        }
      }
      if (!served) break;  // counted as cut
      crowd_.flush_publishers();
      crowd_.churn(now);
      crowd_.poll(closed ? now + 10'000'000 : std::min(schedule.due(), now + 10'000'000));
      watch(now, from);
    }
    if (from.at == 0) {
      if (crowd_.flows().errors().all() == 0) fail("--messages were all sent during the warm-up");
      from = reading();
    }
    const Reading to = reading();
    crowd_.drain();
    return report(from, to);
  }

 private:
  Reading reading() {
    return Reading::take(settings_, crowd_.idle_ns(), crowd_.flows().deliveries(),
                         crowd_.flows().completed());
  }

  // Once a second: memory's peak; and soak's lines.
  void watch(uint64_t now, const Reading& from) {
    if (now < next_watch_ || from.at == 0) return;
    next_watch_ = now + 1'000'000'000;
    const uint64_t resident = resident_bytes(settings_.pids);
    resident_max_ = std::max(resident_max_, resident);
    resident_at_.emplace_back(static_cast<double>(now - from.at) / 1e9, static_cast<double>(resident));
    const uint64_t deliveries = all_.count() + crowd_.flows().latencies().count();
    progress_.show(format("%.0f of %.0f s, %llu deliveries, p99 %.2f ms, %.1f MB",
                          static_cast<double>(now - from.at) / 1e9, settings_.seconds,
                          static_cast<unsigned long long>(deliveries),
                          static_cast<double>(crowd_.flows().latencies().percentile(99)) / 1e6,
                          static_cast<double>(resident) / 1e6));
    if (!soak_ || now < next_line_) return;
    next_line_ = now + static_cast<uint64_t>(settings_.interval * 1e9);
    Histogram& latencies = crowd_.flows().latencies();
    if (!settings_.json) {
      std::printf(
          "%7.0f s  %9.1f MB  p50 %8.2f  p99 %8.2f  p99.9 %8.2f ms  %llu late pings  %llu visits  %llu "
          "errors\n",
          static_cast<double>(now - from.at) / 1e9, static_cast<double>(resident) / 1e6,
          static_cast<double>(latencies.percentile(50)) / 1e6,
          static_cast<double>(latencies.percentile(99)) / 1e6,
          static_cast<double>(latencies.percentile(99.9)) / 1e6,
          static_cast<unsigned long long>(crowd_.late_pings()),
          static_cast<unsigned long long>(crowd_.visits()),
          static_cast<unsigned long long>(crowd_.flows().errors().all()));
      std::fflush(stdout);
    }
    all_.add(latencies);
    latencies = {};
  }

  int report(const Reading& from, const Reading& to) {
    all_.add(crowd_.flows().latencies());
    Report report;
    report.text("mode", settings_.mode);
    report.number("connections", static_cast<double>(settings_.connections));
    report.number("streams", static_cast<double>(settings_.streams));
    report_rates(report, settings_, from, to, "deliveries");
    report.latencies("latency", all_, "latency");
    report.latencies("complete", crowd_.flows().completions(), "until the last has it");
    if (settings_.burst > 0) report.latencies("burst", crowd_.flows().bursts(), "until a burst is out");
    if (settings_.churn > 0) {
      report.number("visits", static_cast<double>(crowd_.visits()), "came and went");
      report.latencies("join", crowd_.joins(), "connect to subscribed");
    }
    if (settings_.protocol != Protocol::raw)
      report.number("late_pings", static_cast<double>(crowd_.late_pings()), "late pings");
    if (settings_.stuck > 0) {
      report.number("stuck", static_cast<double>(settings_.stuck), "never read");
      report.number("stuck_cut", static_cast<double>(crowd_.stuck_cut()), "of those, cut off");
    }
    if (!settings_.pids.empty()) {
      const auto mb = [](uint64_t bytes) { return static_cast<double>(bytes) / 1e6; };
      report.number("resident_before_mb", mb(resident_before_), "memory before", "MB");
      report.number("resident_begin_mb", mb(from.resident), "memory with everybody", "MB");
      report.number("resident_max_mb", mb(std::max(resident_max_, to.resident)), "memory at most", "MB");
      report.number("resident_end_mb", mb(to.resident), "memory at the end", "MB");
    }
    if (soak_) {
      // The first half is warm-up: pools and histograms of the server fill.
      const auto half = static_cast<std::ptrdiff_t>(resident_at_.size() / 2);
      const double slope = slope_per_hour({resident_at_.begin() + half, resident_at_.end()});
      report.number("slope_mb_per_hour", slope / 1e6, "memory's slope, 2nd half", "MB an hour");
    }
    report.errors(crowd_.flows().errors());
    const bool well = crowd_.flows().errors().all() == 0;
    report.print(settings_.json, well);
    return well ? 0 : 1;
  }

  const Settings& settings_;
  const bool soak_;
  Progress progress_;
  Crowd crowd_;
  Histogram all_;
  uint64_t next_watch_ = 0, next_line_ = 0;
  uint64_t resident_before_ = 0, resident_max_ = 0;
  std::vector<std::pair<double, double>> resident_at_;
};

}  // namespace

int run_fanout(const Settings& settings) {
  return Fanout(settings).run();
}

}  // namespace load
