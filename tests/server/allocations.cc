#include "allocations.h"

#include <cstdlib>
#include <new>

namespace {

thread_local uint64_t count = 0;

}  // namespace

uint64_t ringcast::test::allocations() {
  return count;
}

// The other forms call these. Not inlined: beside its inlined other half GCC takes free() for a mismatch.
[[gnu::noinline]] void* operator new(size_t size) {
  ++count;
  if (void* const memory = std::malloc(size == 0 ? 1 : size)) return memory;
  throw std::bad_alloc();
}
// AddressSanitizer has one of its own, which would not match what deletes.
[[gnu::noinline]] void* operator new(size_t size, const std::nothrow_t&) noexcept {
  ++count;
  return std::malloc(size == 0 ? 1 : size);
}
[[gnu::noinline]] void operator delete(void* memory) noexcept {
  std::free(memory);
}
[[gnu::noinline]] void operator delete(void* memory, size_t) noexcept {
  std::free(memory);
}
