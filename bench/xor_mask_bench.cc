// Question: what does unmasking cost per kernel, for a chat line (64 B), a
// message (1 KiB) and a large frame (64 KiB), aligned and not? If the widest
// kernel loses to a narrower one at 64 B, the choice at start must depend on
// length; if scalar comes near, the kernels are not worth their code.
#include <benchmark/benchmark.h>

#include <string>
#include <vector>

#include "base/xor_mask.h"

namespace ringcast {
namespace {

void unmask(benchmark::State& state, void (*run)(MutableBytes, MaskKey, size_t)) {
  const auto count = static_cast<size_t>(state.range(0));
  // A frame header of 6 bytes before it makes a payload start at such places.
  const auto misalignment = static_cast<size_t>(state.range(1));
  std::vector<std::byte> area(count + 64);
  const MutableBytes payload = MutableBytes(area).subspan(misalignment, count);
  const MaskKey key = {std::byte{1}, std::byte{2}, std::byte{3}, std::byte{4}};
  for (auto _ : state) {
    run(payload, key, 0);
    benchmark::ClobberMemory();
  }
  state.SetBytesProcessed(static_cast<int64_t>(state.iterations()) * state.range(0));
}

const bool registered = [] {
  const auto add = [](std::string_view name, auto run) {
    benchmark::RegisterBenchmark(("xor_mask/" + std::string(name)).c_str(), unmask, run)
        ->ArgsProduct({{16, 64, 128, 1024, 65536}, {0, 6}});
  };
  for (const XorMaskKernel& kernel : xor_mask_kernels()) add(kernel.name, kernel.run);
  add("chosen", xor_mask);  // what the indirection adds
  return true;
}();

}  // namespace
}  // namespace ringcast

BENCHMARK_MAIN();
