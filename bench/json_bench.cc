// What does JSON cost on the way of a publish? Every payload is checked once and
// every client's command decoded once, before the fan-out. A delivery costs
// 2.5 to 4 us of CPU, so for one subscriber a check of a small payload should
// stay below 5 % of that, 150 ns; if it did not, checking would move off the
// publish path. The tree (parse) is only for channels that look at their data.
#include <benchmark/benchmark.h>

#include <string>

#include "protocol/cable.h"
#include "protocol/json.h"

namespace ringcast {
namespace {

// A payload of about `size` bytes in the manner of a chat or a feed; with
// `escapes`, a quarter of its text must be unescaped.
std::string payload(size_t size, bool escapes) {
  std::string text = R"({"message":")";
  while (text.size() + 60 < size)
    text += escapes ? R"(he said \"so\"\n and \u00e9 )" : "the quick brown fox sends ";
  return text + R"(","sender":"alice@example.com","at":1795375217.25})";
}

std::string numbers(size_t size) {
  std::string text = "[0";
  for (int i = 1; text.size() < size; ++i)
    text += "," + std::to_string(i * 7919 % 100000) + "." + std::to_string(i % 100);
  return text + "]";
}

std::string command(size_t size) {
  std::string text = R"({"command":"message","identifier":)";
  append_json_string(text, R"({"channel":"ChatChannel","room_id":7})");
  text += R"(,"data":)";
  append_json_string(text, payload(size, false));
  return text + "}";
}

void report(benchmark::State& state, size_t bytes) {
  state.SetBytesProcessed(static_cast<int64_t>(state.iterations() * bytes));
}

void BM_valid_json_text(benchmark::State& state) {
  const std::string text = payload(static_cast<size_t>(state.range(0)), false);
  for (auto _ : state) benchmark::DoNotOptimize(valid_json(as_bytes(text)));
  report(state, text.size());
}
BENCHMARK(BM_valid_json_text)->Arg(128)->Arg(1024)->Arg(65536)->Arg(1 << 20);

void BM_valid_json_escapes(benchmark::State& state) {
  const std::string text = payload(static_cast<size_t>(state.range(0)), true);
  for (auto _ : state) benchmark::DoNotOptimize(valid_json(as_bytes(text)));
  report(state, text.size());
}
BENCHMARK(BM_valid_json_escapes)->Arg(128)->Arg(1024)->Arg(65536);

void BM_valid_json_numbers(benchmark::State& state) {
  const std::string text = numbers(static_cast<size_t>(state.range(0)));
  for (auto _ : state) benchmark::DoNotOptimize(valid_json(as_bytes(text)));
  report(state, text.size());
}
BENCHMARK(BM_valid_json_numbers)->Arg(1024)->Arg(65536);

void BM_parse_and_dump(benchmark::State& state) {
  const std::string text = payload(static_cast<size_t>(state.range(0)), false);
  for (auto _ : state) benchmark::DoNotOptimize(Json::parse(text)->dump());
  report(state, text.size());
}
BENCHMARK(BM_parse_and_dump)->Arg(128)->Arg(1024)->Arg(65536);

// As a session does it, keeping its Command.
void BM_decode_command(benchmark::State& state) {
  const std::string text = command(static_cast<size_t>(state.range(0)));
  Command into;
  for (auto _ : state) {
    decode_command(text, into);
    benchmark::DoNotOptimize(into.data.data());
  }
  report(state, text.size());
}
BENCHMARK(BM_decode_command)->Arg(60)->Arg(1024)->Arg(65536);

void BM_decode_action(benchmark::State& state) {
  const std::string text = R"({"message":"hello, everybody","action":"receive"})";
  for (auto _ : state) benchmark::DoNotOptimize(decode_action(text));
  report(state, text.size());
}
BENCHMARK(BM_decode_action);

void BM_append_message(benchmark::State& state) {
  const BroadcastEnvelope envelope(R"({"channel":"ChatChannel","room_id":7})");
  const std::string identifier = encode_identifier(R"({"channel":"ChatChannel","room_id":7})");
  const std::string text = payload(128, false);
  std::string out;
  for (auto _ : state) {
    out.clear();
    append_message(out, identifier, text);
    benchmark::DoNotOptimize(out.data());
  }
  report(state, out.size());
}
BENCHMARK(BM_append_message);

}  // namespace
}  // namespace ringcast
