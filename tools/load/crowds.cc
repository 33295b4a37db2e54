// The modes idle and storm: what connections cost that say nothing, and what happens when
// all of them come back at once.
#include "crowd.h"
#include "modes.h"
#include "process.h"

namespace load {
namespace {

void wait(Crowd& crowd, double seconds) {
  const uint64_t until = now_ns() + static_cast<uint64_t>(seconds * 1e9);
  while (now_ns() < until) crowd.poll(until);
}

struct Size {
  uint64_t connections, resident, slab;
};

}  // namespace

// Between two sizes, because a server's start-up cost is nobody's connection.
int run_idle(const Settings& settings) {
  Progress progress(settings);
  Crowd crowd(settings);
  const auto size = [&](uint64_t connections) {
    if (connections > 0) crowd.open_members(connections, progress);
    wait(crowd, settings.settle);
    return Size{connections, resident_bytes(settings.pids), kernel_slab_bytes()};
  };
  const Size none = size(0);
  const Size some = size(settings.from);
  const Size all = size(crowd.members());

  const auto each = [](uint64_t from, uint64_t to, uint64_t count) {
    return (static_cast<double>(to) - static_cast<double>(from)) / static_cast<double>(count);
  };
  const uint64_t added = all.connections - some.connections;
  Report report;
  report.text("mode", "idle");
  report.number("connections", static_cast<double>(all.connections), "connections");
  report.number("from", static_cast<double>(some.connections), "marginal from");
  report.number("resident_start_bytes", static_cast<double>(none.resident), "resident at start", "bytes");
  report.number("resident_bytes", static_cast<double>(all.resident), "resident at last", "bytes");
  report.number("user_bytes_each", each(some.resident, all.resident, added), "marginal, each", "bytes");
  report.number("total_bytes_each", each(0, all.resident, all.connections), "whole process, each", "bytes");
  report.number("slab_bytes_each", each(some.slab, all.slab, added), "kernel slab, both ends", "bytes");
  report.errors(crowd.flows().errors());
  const bool well = crowd.flows().errors().all() == 0;
  report.print(settings.json, well);
  return well ? 0 : 1;
}

int run_storm(const Settings& settings) {
  Progress progress(settings);
  Crowd crowd(settings);
  crowd.open(progress);
  Histogram returns, rounds;
  Reading sum;
  for (uint64_t i = 0; i < settings.rounds; ++i) {
    const Reading from = Reading::take(settings, crowd.idle_ns(), 0, 0);
    crowd.cut_members();
    crowd.return_members(returns, progress);
    const Reading to = Reading::take(settings, crowd.idle_ns(), 0, 0);
    rounds.add(to.at - from.at);
    sum.at += to.at - from.at;
    sum.server_cpu += to.server_cpu - from.server_cpu;
    sum.own_cpu += to.own_cpu - from.own_cpu;
    sum.idle += to.idle - from.idle;
    sum.deliveries += crowd.members();
    // That they are really back: everybody hears what is said now.
    wait(crowd, 0.3);
    for (size_t stream = 0; crowd.publishable() && stream < crowd.streams(); ++stream)
      crowd.publish(now_ns());
    crowd.flush_publishers();
    crowd.drain();
  }
  sum.completed = sum.deliveries;
  Report report;
  report.text("mode", "storm");
  report.number("connections", static_cast<double>(crowd.members()), "connections");
  report_rates(report, settings, Reading{}, sum, "returns");
  report.latencies("round", rounds, "until all were back");
  report.latencies("return", returns, "until one was back");
  report.number("refused", static_cast<double>(crowd.refused()), "turned away, came again");
  report.errors(crowd.flows().errors());
  const bool well = crowd.flows().errors().all() == 0;
  report.print(settings.json, well);
  return well ? 0 : 1;
}

}  // namespace load
