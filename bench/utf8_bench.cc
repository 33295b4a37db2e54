// Question: what does validating a text message cost per kernel, for ASCII (the
// usual JSON), Cyrillic (two octets a letter) and emoji (four)? Below the cost
// of unmasking (bench/xor_mask_bench) it needs no further thought; where the
// vector kernel loses to scalar on short input its threshold is too low.
#include <benchmark/benchmark.h>

#include <string>

#include "base/utf8.h"

namespace ringcast {
namespace {

std::string text_of(std::string_view unit, size_t count) {
  std::string text;
  while (text.size() + unit.size() <= count) text += unit;
  text.append(count - text.size(), 'x');
  return text;
}

void validate_with(benchmark::State& state, const Utf8Kernel& kernel, std::string_view unit) {
  const std::string text = text_of(unit, static_cast<size_t>(state.range(0)));
  for (auto _ : state) benchmark::DoNotOptimize(kernel.valid_prefix(as_bytes(text).data(), text.size()));
  state.SetBytesProcessed(static_cast<int64_t>(state.iterations()) * state.range(0));
}

void validate(benchmark::State& state, std::string_view unit) {
  const std::string text = text_of(unit, static_cast<size_t>(state.range(0)));
  for (auto _ : state) benchmark::DoNotOptimize(valid_utf8(as_bytes(text)));
  state.SetBytesProcessed(static_cast<int64_t>(state.iterations()) * state.range(0));
}

const bool registered = [] {
  constexpr std::pair<std::string_view, std::string_view> kTexts[] = {
      {"ascii", "{\"message\":\"hello\"} "},
      {"cyrillic", "\xd0\xbf\xd1\x80\xd0\xb8\xd0\xb2\xd0\xb5\xd1\x82 "},
      {"emoji", "\xf0\x9f\x98\x80"},
  };
  for (const auto& [language, unit] : kTexts) {
    for (const Utf8Kernel& kernel : utf8_kernels()) {
      const std::string name = "utf8/" + std::string(kernel.name) + "/" + std::string(language);
      benchmark::RegisterBenchmark(name.c_str(), validate_with, kernel, unit)
          ->Arg(20)
          ->Arg(48)
          ->Arg(128)
          ->Arg(65536);
    }
    const std::string name = "utf8/validator/" + std::string(language);
    benchmark::RegisterBenchmark(name.c_str(), validate, unit)->Arg(20)->Arg(48)->Arg(128)->Arg(65536);
  }
  return true;
}();

}  // namespace
}  // namespace ringcast

BENCHMARK_MAIN();
