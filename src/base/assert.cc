#include "base/assert.h"

#include <atomic>
#include <cstdio>
#include <cstdlib>

namespace ringcast {
namespace {
std::atomic<AssertionHook> assertion_hook{nullptr};
}  // namespace

void set_assertion_hook(AssertionHook hook) {
  assertion_hook.store(hook, std::memory_order_release);
}

void assertion_failed(const char* file, int line, const char* expression) {
  if (AssertionHook hook = assertion_hook.load(std::memory_order_acquire)) {
    hook(file, line, expression);
  } else {
    std::fprintf(stderr, "ringcast: assertion failed: %s at %s:%d\n", expression, file, line);
  }
  std::abort();
}

}  // namespace ringcast
