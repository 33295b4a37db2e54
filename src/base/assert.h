// RC_ASSERT: what only our own bug can make false. It stays on in release
// builds; a peer must never be able to reach one. Any thread.
#pragma once

namespace ringcast {

// Called with file, line and expression before the process aborts; an embedder
// may install its own to log or to dump. It must not return into the caller's
// expectations: abort() follows in any case.
using AssertionHook = void (*)(const char* file, int line, const char* expression);

void set_assertion_hook(AssertionHook hook);

[[noreturn]] void assertion_failed(const char* file, int line, const char* expression);

}  // namespace ringcast

#define RC_ASSERT(expression)                         \
  (__builtin_expect(static_cast<bool>(expression), 1) \
       ? void()                                       \
       : ::ringcast::assertion_failed(__FILE__, __LINE__, #expression))
