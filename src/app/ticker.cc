#include "app/ticker.h"

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <random>
#include <string>
#include <vector>

#include "ringcast/server.h"

namespace ringcast {
namespace {

using Clock = std::chrono::steady_clock;

constexpr uint64_t kSeed = 20'240'229;
constexpr const char* kSymbols[] = {"ACME", "BOLT", "CEDR", "DUNE", "FLUX", "GRYN", "HALO", "KITE"};

struct Quote {
  std::string symbol;
  Publisher::Stream stream;
  int64_t opening_cents;
  int64_t cents;
  uint64_t sequence = 0;
  Clock::time_point due{};
};

// Whole cents: a price is text on the wire and must read back as it was meant.
std::string price_text(int64_t cents) {
  char text[32];
  std::snprintf(text, sizeof text, "%lld.%02lld", static_cast<long long>(cents / 100),
                static_cast<long long>(cents % 100));
  return text;
}

std::string change_text(int64_t cents) {
  return (cents < 0 ? "-" : "+") + price_text(cents < 0 ? -cents : cents);
}

int64_t unix_ms() {
  const auto now = std::chrono::system_clock::now().time_since_epoch();
  return std::chrono::duration_cast<std::chrono::milliseconds>(now).count();
}

// Steps of up to 0.4 %, drawn towards the opening price so that none wanders off.
void step(Quote& quote, std::mt19937_64& random) {
  const int64_t span = std::max<int64_t>(2, quote.cents / 250);
  const int64_t pull = (quote.opening_cents - quote.cents) / 100;
  quote.cents += std::uniform_int_distribution<int64_t>(-span, span)(random) + pull;
  quote.cents = std::max<int64_t>(100, quote.cents);
  ++quote.sequence;
}

}  // namespace

Ticker::Ticker(Server& server) : thread_([this, &server] { run(server); }) {}

Ticker::~Ticker() {
  {
    std::lock_guard lock(mutex_);
    stopping_ = true;
  }
  stopped_.notify_all();
  thread_.join();
}

void Ticker::run(Server& server) {
  std::mt19937_64 random(kSeed);
  Publisher publisher = server.publisher();
  std::vector<Quote> quotes;
  for (const char* symbol : kSymbols) {
    const auto opening = std::uniform_int_distribution<int64_t>(2'000, 40'000)(random);
    quotes.push_back({symbol, publisher.stream(std::string("ticks:") + symbol), opening, opening});
  }
  std::unique_lock lock(mutex_);
  while (!stopping_) {
    const auto now = Clock::now();
    for (Quote& quote : quotes) {
      if (quote.due > now) continue;
      step(quote, random);
      quote.due = now + std::chrono::milliseconds(std::uniform_int_distribution(150, 500)(random));
      const BroadcastStatus status =
          publisher.publish(quote.stream, {{"symbol", quote.symbol},
                                           {"price", price_text(quote.cents)},
                                           {"change", change_text(quote.cents - quote.opening_cents)},
                                           {"time", unix_ms()},
                                           {"seq", quote.sequence}});
      // A server that is full has better things to do than old prices: the next tick
      // carries the whole truth again, and `seq` shows the hole.
      if (status == BroadcastStatus::stopped) return;
    }
    const Quote& next = *std::ranges::min_element(quotes, {}, &Quote::due);
    stopped_.wait_until(lock, next.due, [this] { return stopping_; });
  }
}

}  // namespace ringcast
