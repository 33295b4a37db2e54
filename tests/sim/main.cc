// The simulator as a program: many seeds, or one of them told event by event.
//   sim [--seeds N] [--first SEED] [--seconds S]   so many seeds, or as many as S seconds take
//   sim --seed N [--trace]                         one
//   --complete   fails if a fault never fired or a state edge was never crossed
//   --quiet      only what failed, and one line
//   --hang-seconds N   a seed that takes longer goes round in circles (120)
// Exit status 1: a seed failed, and the command that replays it was printed.
#include <unistd.h>

#include <chrono>
#include <csignal>
#include <cstdlib>
#include <cstring>
#include <string>

#include "base/assert.h"
#include "base/hash.h"
#include "tests/sim/swarm.h"

namespace ringcast::sim {
namespace {

std::string program;
uint64_t seed_now = 0;
uint64_t seeds_done = 0;

void say_replay(uint64_t seed) {
  std::printf("seed %llu failed after %llu others; replay it with\n  %s --seed %llu --trace\n",
              static_cast<unsigned long long>(seed), static_cast<unsigned long long>(seeds_done),
              program.c_str(), static_cast<unsigned long long>(seed));
  std::fflush(stdout);
}

void asserted(const char* file, int line, const char* expression) {
  std::printf("assertion failed: %s at %s:%d\n", expression, file, line);
}

// Nothing can be saved any more, so that stdio may be used: the worst is a crash in a crash.
void crashed(int signal) {
  std::printf("%s\n", signal == SIGALRM ? "it hangs" : strsignal(signal));
  say_replay(seed_now);
  std::_Exit(1);
}

struct Arguments {
  uint64_t first = 0;
  uint64_t seeds = 300;
  unsigned seconds = 0;
  unsigned hang_seconds = 120;  // a seed takes milliseconds: one that takes so long goes round in circles
  bool trace = false;
  bool complete = false;
  bool quiet = false;
};

bool parse(int count, char** values, Arguments& arguments) {
  for (int i = 1; i < count; ++i) {
    const std::string_view name = values[i];
    const auto number = [&] { return ++i < count ? std::strtoull(values[i], nullptr, 10) : 0; };
    if (name == "--seeds") {
      arguments.seeds = number();
    } else if (name == "--first") {
      arguments.first = number();
    } else if (name == "--seconds") {
      arguments.seconds = static_cast<unsigned>(number());
      arguments.seeds = UINT64_MAX;
    } else if (name == "--hang-seconds") {
      arguments.hang_seconds = static_cast<unsigned>(number());
    } else if (name == "--seed") {
      arguments.first = number();
      arguments.seeds = 1;
    } else if (name == "--trace") {
      arguments.trace = true;
    } else if (name == "--complete") {
      arguments.complete = true;
    } else if (name == "--quiet") {
      arguments.quiet = true;
    } else {
      return false;
    }
  }
  return true;
}

int run(const Arguments& arguments) {
  using Clock = std::chrono::steady_clock;
  const auto begin = Clock::now();
  const auto elapsed = [&] { return std::chrono::duration<double>(Clock::now() - begin).count(); };
  Coverage coverage;
  uint64_t turns = 0, published = 0, delivered = 0, hash = 0;
  for (; seeds_done < arguments.seeds; ++seeds_done) {
    if (arguments.seconds > 0 && elapsed() > arguments.seconds) break;
    seed_now = arguments.first + seeds_done;
    alarm(arguments.hang_seconds);
    Trace trace;
    if (arguments.trace) trace.print_to(stdout);
    const SwarmResult result = run_swarm(seed_now, coverage, trace);
    turns += result.turns;
    published += result.published;
    delivered += result.delivered;
    hash = result.trace_hash;
    if (result.failures.empty()) continue;
    for (const std::string& failure : result.failures) std::printf("%s\n", failure.c_str());
    say_replay(seed_now);
    return 1;
  }
  alarm(0);
  if (!arguments.quiet) coverage.print(stdout);
  std::printf("%llu seeds, %llu turns with work in %.1f s (%.0f a ms); %llu published, %llu delivered",
              static_cast<unsigned long long>(seeds_done), static_cast<unsigned long long>(turns), elapsed(),
              static_cast<double>(turns) / elapsed() / 1000, static_cast<unsigned long long>(published),
              static_cast<unsigned long long>(delivered));
  if (seeds_done == 1) std::printf("; trace %016llx", static_cast<unsigned long long>(hash));
  std::printf("\n");
  return arguments.complete && !coverage.complete(stdout) ? 1 : 0;
}

}  // namespace
}  // namespace ringcast::sim

int main(int count, char** values) {
  using namespace ringcast;
  sim::program = values[0];
  sim::Arguments arguments;
  if (!sim::parse(count, values, arguments)) {
    std::fprintf(stderr,
                 "usage: %s [--seeds N] [--first SEED] [--seconds S] [--seed N] [--trace] [--complete] "
                 "[--quiet] [--hang-seconds N]\n",
                 values[0]);
    return 2;
  }
  fix_string_hash_seed(1);  // maps are walked in one order, in every process
  set_assertion_hook(sim::asserted);
  for (const int signal : {SIGABRT, SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGALRM})
    std::signal(signal, sim::crashed);
  return sim::run(arguments);
}
