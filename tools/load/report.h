// What a run found: one list of figures, printed as a table for people or as one JSON
// object for programs; and the meter that takes CPU and wall time between two points.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "flows.h"
#include "histogram.h"
#include "settings.h"

namespace load {

class Report {
 public:
  // `label` empty: in the JSON only.
  void number(std::string_view key, double value, std::string_view label = {}, std::string_view unit = {});
  void text(std::string_view key, std::string_view value, std::string_view label = {});
  // Percentiles up to the maximum, in microseconds: keys PREFIX_p50_us and so on.
  void latencies(std::string_view prefix, const Histogram& histogram, std::string_view label);
  void errors(const Errors& errors);

  // `well`: nothing was wrong with what the server did.
  void print(bool json, bool well) const;

 private:
  struct Line {
    std::string key, json, label, human;
  };
  std::vector<Line> lines_;
};

// A point in time; two of them make a measurement.
struct Reading {
  uint64_t at = 0, server_cpu = 0, own_cpu = 0, idle = 0, deliveries = 0, completed = 0, resident = 0;

  static Reading take(const Settings& settings, uint64_t idle_ns, uint64_t deliveries, uint64_t completed);
};

// Rates and CPU between two readings: `things` deliveries of `name`.
void report_rates(Report& report, const Settings& settings, const Reading& from, const Reading& to,
                  std::string_view name);

// One line that is written over on a terminal; nothing elsewhere, or with --quiet.
class Progress {
 public:
  explicit Progress(const Settings& settings);
  ~Progress();
  void show(const std::string& line);  // at most some ten times a second

 private:
  bool on_;
  bool shown_ = false;
  uint64_t next_ = 0;
};

std::string format(const char* pattern, ...) __attribute__((format(printf, 1, 2)));

}  // namespace load
