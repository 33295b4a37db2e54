#include "app/declared_rules.h"

#include <algorithm>
#include <utility>

namespace ringcast {
namespace {

constexpr std::array<std::string_view, kRefusals> kRefusalNames = {"rule", "stream",  "rate",
                                                                   "size", "payload", "message"};
constexpr uint32_t kLinesPerSecond = 5;

}  // namespace

std::string_view to_string(Refusal why) {
  return kRefusalNames[static_cast<size_t>(why)];
}

DeclaredRules::DeclaredRules(Declarations declarations)
    : declarations_(std::make_shared<const Declarations>(std::move(declarations))) {
  for (const RouteRules& route : declarations_->routes) started_.push_back({route.path, route.anonymous});
}

DeclaredRules::Held DeclaredRules::hold() const {
  const std::lock_guard lock(mutex_);
  Held held;
  held.declarations_ = declarations_;
  held.generation_ = generation_.load(std::memory_order_relaxed);
  return held;
}

std::vector<std::string> DeclaredRules::replace(Declarations declarations) {
  std::vector<std::string> changed;
  for (const RouteRules& route : declarations.routes) {
    const auto found = std::ranges::find(started_, route.path, &Started::path);
    if (found == started_.end() || found->anonymous != route.anonymous) changed.push_back(route.path);
  }
  for (const Started& route : started_) {
    if (declarations.route(route.path) == nullptr) changed.push_back(route.path);
  }
  auto fresh = std::make_shared<const Declarations>(std::move(declarations));
  const std::lock_guard lock(mutex_);
  declarations_.swap(fresh);
  generation_.fetch_add(1, std::memory_order_release);
  return changed;
}

bool DeclaredRules::refused(Refusal why, uint64_t& unsaid) const {
  Budget& budget = refusals_[static_cast<size_t>(why)];
  budget.count.fetch_add(1, std::memory_order_relaxed);
  const int64_t second =
      std::chrono::duration_cast<std::chrono::seconds>(std::chrono::steady_clock::now().time_since_epoch())
          .count();
  int64_t counted = budget.second.load(std::memory_order_relaxed);
  if (counted != second &&
      budget.second.compare_exchange_strong(counted, second, std::memory_order_relaxed)) {
    budget.lines.store(0, std::memory_order_relaxed);
  }
  if (budget.lines.fetch_add(1, std::memory_order_relaxed) >= kLinesPerSecond) {
    budget.unsaid.fetch_add(1, std::memory_order_relaxed);
    return false;
  }
  unsaid = budget.unsaid.exchange(0, std::memory_order_relaxed);
  return true;
}

std::string DeclaredRules::metrics_text() const {
  std::string out =
      "# HELP ringcast_declared_refused_total What the rules of the configuration file refused.\n"
      "# TYPE ringcast_declared_refused_total counter\n";
  for (size_t i = 0; i < kRefusals; ++i) {
    out.append("ringcast_declared_refused_total{reason=\"").append(kRefusalNames[i]).append("\"} ");
    out.append(std::to_string(refusals_[i].count.load(std::memory_order_relaxed))).append("\n");
  }
  return out;
}

bool RateGate::pass(const RateLimit& limit, std::chrono::steady_clock::time_point now) {
  if (limit.count == 0) return true;
  const auto most = static_cast<double>(limit.count);
  if (since_ == std::chrono::steady_clock::time_point()) {
    there_ = most;
  } else {
    const std::chrono::duration<double> passed = now - since_;
    const std::chrono::duration<double> period = limit.period;
    there_ = std::min(most, there_ + most * passed.count() / period.count());
  }
  since_ = now;
  if (there_ < 1) return false;
  there_ -= 1;
  return true;
}

}  // namespace ringcast
