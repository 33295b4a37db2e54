#include "report.h"

#include <unistd.h>

#include <cmath>
#include <cstdarg>
#include <cstdio>

#include "process.h"

namespace load {
namespace {

// Enough digits, no more: 12345, 123.4, 1.23.
std::string human(double value) {
  const double size = std::fabs(value);
  return format(size >= 1000 || value == std::floor(value) ? "%.0f" : size >= 100 ? "%.1f" : "%.2f", value);
}

}  // namespace

std::string format(const char* pattern, ...) {
  va_list arguments;
  va_start(arguments, pattern);
  char text[512];
  std::vsnprintf(text, sizeof text, pattern, arguments);
  va_end(arguments);
  return text;
}

void Report::number(std::string_view key, double value, std::string_view label, std::string_view unit) {
  const std::string shown = human(value) + (unit.empty() ? "" : " " + std::string(unit));
  lines_.push_back({std::string(key), format("%.17g", value), std::string(label), shown});
}

void Report::text(std::string_view key, std::string_view value, std::string_view label) {
  std::string json = "\"";
  for (const char c : value) {
    if (c == '"' || c == '\\') json += '\\';
    if (static_cast<unsigned char>(c) >= 0x20) json += c;
  }
  lines_.push_back({std::string(key), json + "\"", std::string(label), std::string(value)});
}

void Report::latencies(std::string_view prefix, const Histogram& histogram, std::string_view label) {
  if (histogram.count() == 0) return;
  constexpr std::pair<const char*, double> kPercentiles[] = {
      {"p50", 50}, {"p90", 90}, {"p99", 99}, {"p99_9", 99.9}, {"p99_99", 99.99}};
  std::string table;
  for (const auto& [name, percent] : kPercentiles) {
    const double us = static_cast<double>(histogram.percentile(percent)) / 1000;
    number(std::string(prefix) + "_" + name + "_us", us);
    table += format("p%g %s  ", percent, human(us).c_str());
  }
  const double max = static_cast<double>(histogram.max()) / 1000;
  number(std::string(prefix) + "_max_us", max);
  number(std::string(prefix) + "_mean_us", histogram.mean() / 1000);
  number(std::string(prefix) + "_count", static_cast<double>(histogram.count()));
  lines_.push_back({"", "", std::string(label), table + "max " + human(max) + " us"});
}

void Report::errors(const Errors& errors) {
  number("lost", static_cast<double>(errors.lost));
  number("duplicated", static_cast<double>(errors.duplicated));
  number("reordered", static_cast<double>(errors.reordered));
  number("corrupt", static_cast<double>(errors.corrupt));
  number("cut", static_cast<double>(errors.cut));
  number("disagreed", static_cast<double>(errors.disagreed));
  if (errors.all() == 0) return;
  lines_.push_back(
      {"", "", "ERRORS",
       format(
           "%llu lost, %llu duplicated, %llu reordered, %llu corrupt, %llu connections cut, %llu in "
           "another order",
           static_cast<unsigned long long>(errors.lost), static_cast<unsigned long long>(errors.duplicated),
           static_cast<unsigned long long>(errors.reordered), static_cast<unsigned long long>(errors.corrupt),
           static_cast<unsigned long long>(errors.cut), static_cast<unsigned long long>(errors.disagreed))});
}

void Report::print(bool json, bool well) const {
  if (json) {
    std::string object = format("{\"ok\":%s", well ? "true" : "false");
    for (const Line& line : lines_) {
      if (!line.key.empty()) object += ",\"" + line.key + "\":" + line.json;
    }
    std::puts((object + "}").c_str());
    return;
  }
  for (const Line& line : lines_) {
    if (!line.label.empty()) std::printf("  %-26s %s\n", line.label.c_str(), line.human.c_str());
  }
  std::puts(well ? "  every message came once, whole and in order" : "  FAILED");
}

Reading Reading::take(const Settings& settings, uint64_t idle_ns, uint64_t deliveries, uint64_t completed) {
  return {.at = now_ns(),
          .server_cpu = cpu_ns(settings.pids),
          .own_cpu = own_cpu_ns(),
          .idle = idle_ns,
          .deliveries = deliveries,
          .completed = completed,
          .resident = resident_bytes(settings.pids)};
}

void report_rates(Report& report, const Settings& settings, const Reading& from, const Reading& to,
                  std::string_view name) {
  const auto wall = static_cast<double>(to.at - from.at);
  const auto count = static_cast<double>(to.deliveries - from.deliveries);
  report.number("seconds", wall / 1e9, "measured", "s");
  report.number(name, count, name);
  report.number("per_second", count / wall * 1e9, "a second");
  report.number("messages", static_cast<double>(to.completed - from.completed), "messages whole");
  if (!settings.pids.empty()) {
    const auto cpu = static_cast<double>(to.server_cpu - from.server_cpu);
    report.number("server_cpu_percent", cpu / wall * 100, "server's CPU", "% of a core");
    report.number("server_cpu_ns", count > 0 ? cpu / count : 0, "server's CPU each", "ns");
  }
  // Near 100 % the figures above are the client's limit, not the server's.
  report.number("client_busy_percent", 100 - static_cast<double>(to.idle - from.idle) / wall * 100,
                "client busy", "% of the time");
  report.number("client_cpu_percent", static_cast<double>(to.own_cpu - from.own_cpu) / wall * 100);
}

Progress::Progress(const Settings& settings) : on_(!settings.quiet && isatty(STDERR_FILENO) == 1) {}

Progress::~Progress() {
  if (shown_) std::fputs("\r\033[K", stderr);
}

void Progress::show(const std::string& line) {
  if (!on_ || now_ns() < next_) return;
  next_ = now_ns() + 100'000'000;
  shown_ = true;
  std::fprintf(stderr, "\r\033[K  %s", line.c_str());
}

}  // namespace load
