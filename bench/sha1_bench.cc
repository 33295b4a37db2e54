// Question: what does the digest of a WebSocket handshake (60 bytes: the key and
// the GUID) cost, and does each kernel keep its pace on long input? A SHA-NI
// handshake near the portable one's time means that dirty upper halves of vector
// registers are back (see src/base/sha1_sha_ni.cc): the second group makes them
// dirty on purpose.
#include <benchmark/benchmark.h>

#include <string>
#include <vector>

#include "base/sha1.h"

#if defined(__x86_64__)
#include <immintrin.h>
#endif

namespace ringcast {
namespace {

void digest(benchmark::State& state, const Sha1Kernel& kernel) {
  const std::vector<std::byte> message(static_cast<size_t>(state.range(0)), std::byte{0x5a});
  for (auto _ : state) benchmark::DoNotOptimize(sha1_with(kernel, message));
  state.SetBytesProcessed(static_cast<int64_t>(state.iterations()) * state.range(0));
}

#if defined(__x86_64__)
// What a caller leaves behind that used wide registers and did not clear them.
__attribute__((target("avx"))) void dirty_upper_halves() {
  asm volatile("vpcmpeqd %%xmm0, %%xmm0, %%xmm0; vinsertf128 $1, %%xmm0, %%ymm0, %%ymm0" ::: "xmm0");
}

void digest_after_avx(benchmark::State& state, const Sha1Kernel& kernel) {
  const std::vector<std::byte> message(static_cast<size_t>(state.range(0)), std::byte{0x5a});
  for (auto _ : state) {
    dirty_upper_halves();
    benchmark::DoNotOptimize(sha1_with(kernel, message));
  }
}
#endif

const bool registered = [] {
  for (const Sha1Kernel& kernel : sha1_kernels()) {
    const std::string name(kernel.name);
    benchmark::RegisterBenchmark(("sha1/" + name).c_str(), digest, kernel)->Arg(60)->Arg(16384);
#if defined(__x86_64__)
    if (__builtin_cpu_supports("avx")) {
      benchmark::RegisterBenchmark(("sha1_after_avx/" + name).c_str(), digest_after_avx, kernel)->Arg(60);
    }
#endif
  }
  return true;
}();

}  // namespace
}  // namespace ringcast

BENCHMARK_MAIN();
