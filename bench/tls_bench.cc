// What does TLS cost: memory of an idle connection, processor time of a handshake, of a
// record? Server side alone; the client's share is not measured. The numbers that would
// change a decision: 4 KiB per idle connection less than now by some option of OpenSSL's,
// 1 µs for a small record (then several frames must share one), 200 µs for a full
// handshake (then admission must pace them). Of 13 KiB idle, 7.4 are OpenSSL 3.0's SSL
// struct and 2.2 its two AES-GCM contexts: only a record layer of our own would do better.
#include <benchmark/benchmark.h>
#include <malloc.h>
#include <openssl/ssl.h>
#include <time.h>

#include <chrono>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "protocol/tls_engine.h"
#include "support/certificates.h"
#include "support/tls_client.h"

namespace ringcast {
namespace {

using Buffer = std::vector<std::byte>;

// The thread's processor time: a busy machine does not change it.
struct Clock {
  using duration = std::chrono::nanoseconds;
  static duration now() {
    timespec time{};
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &time);
    return std::chrono::seconds(time.tv_sec) + duration(time.tv_nsec);
  }
};

std::shared_ptr<const TlsContext> make_context(TestKey kind) {
  const TestCertificate certificate = make_test_certificate({.key = kind});
  const auto now = std::chrono::system_clock::now().time_since_epoch();
  return TlsContext::make(certificate.certificate_pem, certificate.key_pem,
                          TlsTicketKeys::generate(Instant{}),
                          std::chrono::duration_cast<std::chrono::milliseconds>(now).count())
      .context;
}

std::shared_ptr<const TlsContext> context_of(TestKey kind) {
  static const auto p256 = make_context(TestKey::p256);
  static const auto rsa = make_context(TestKey::rsa2048);
  return kind == TestKey::p256 ? p256 : rsa;
}

// Until both are silent. The time the server took, making the engine not included.
Clock::duration handshake(TlsEngine& server, TlsClient& client) {
  Clock::duration spent{};
  Buffer plain;
  Buffer out;
  client.start();
  for (;;) {
    const std::string from_client = client.take_output();
    if (from_client.empty()) return spent;
    const auto begin = Clock::now();
    server.receive(as_bytes(from_client), plain, out);
    spent += Clock::now() - begin;
    client.receive(as_text(std::exchange(out, {})));
  }
}

size_t heap_bytes() {
  const struct mallinfo2 info = mallinfo2();
  return info.uordblks + info.hblkhd;
}

// Bytes of heap that 2,000 open engines hold, divided. `used`: each has carried data, too.
void BM_IdleMemory(benchmark::State& state) {
  const auto version = static_cast<int>(state.range(0));
  const bool used = state.range(1) != 0;
  constexpr size_t kCount = 2000;
  const auto context = context_of(TestKey::p256);
  double bytes = 0;
  for (auto _ : state) {
    std::vector<std::unique_ptr<TlsEngine>> engines(kCount);
    const size_t before = heap_bytes();
    for (auto& engine : engines) {
      engine = std::make_unique<TlsEngine>(context);
      TlsClient client({.version = version, .alpn = "\x08http/1.1"});
      handshake(*engine, client);
      if (!used) continue;
      Buffer buffer;
      client.write(std::string(20000, 'x'));
      engine->receive(as_bytes(client.take_output()), buffer, buffer);
      engine->encrypt(as_bytes(std::string(20000, 'x')), buffer);
    }
    bytes = static_cast<double>(heap_bytes() - before) / kCount;
  }
  state.counters["bytes_per_connection"] = bytes;
}

void BM_FullHandshake(benchmark::State& state) {
  const auto context = context_of(static_cast<TestKey>(state.range(0)));
  const auto version = static_cast<int>(state.range(1));
  for (auto _ : state) {
    const auto begin = Clock::now();
    TlsEngine server(context);
    const auto made = Clock::now() - begin;
    TlsClient client({.version = version});
    const auto spent = made + handshake(server, client);
    if (!server.handshake_done()) state.SkipWithError("no handshake");
    state.SetIterationTime(std::chrono::duration<double>(spent).count());
  }
  state.SetItemsProcessed(static_cast<int64_t>(state.iterations()));
}

void BM_ResumedHandshake(benchmark::State& state) {
  const auto context = context_of(static_cast<TestKey>(state.range(0)));
  const auto version = static_cast<int>(state.range(1));
  TlsEngine first(context);
  TlsClient first_client({.version = version});
  handshake(first, first_client);
  TlsClientSession session = first_client.session();
  for (auto _ : state) {
    const auto begin = Clock::now();
    TlsEngine server(context);
    const auto made = Clock::now() - begin;
    TlsClient client({.version = version, .resume = session});
    const auto spent = made + handshake(server, client);
    if (!server.session_reused()) state.SkipWithError("not resumed");
    session = client.session();
    state.SetIterationTime(std::chrono::duration<double>(spent).count());
  }
  state.SetItemsProcessed(static_cast<int64_t>(state.iterations()));
}

void BM_Encrypt(benchmark::State& state) {
  TlsEngine server(context_of(TestKey::p256));
  TlsClient client({.version = static_cast<int>(state.range(1))});
  handshake(server, client);
  const std::string plain(static_cast<size_t>(state.range(0)), 'x');
  Buffer out;
  for (auto _ : state) {
    out.clear();
    server.encrypt(as_bytes(plain), out);
    benchmark::DoNotOptimize(out.data());
  }
  state.SetBytesProcessed(static_cast<int64_t>(state.iterations() * plain.size()));
}

// Eight small parts: one record for all, or one each.
void BM_EncryptParts(benchmark::State& state) {
  const bool together = state.range(0) != 0;
  TlsEngine server(context_of(TestKey::p256));
  TlsClient client;
  handshake(server, client);
  const std::string plain(128, 'x');
  const std::vector<Bytes> parts(8, as_bytes(plain));
  Buffer out;
  for (auto _ : state) {
    out.clear();
    if (together) {
      server.encrypt(parts, out);
    } else {
      for (const Bytes part : parts) server.encrypt(part, out);
    }
    benchmark::DoNotOptimize(out.data());
  }
}

// One record an input. Records are made in batches, outside of what is measured.
void BM_Decrypt(benchmark::State& state) {
  TlsEngine server(context_of(TestKey::p256));
  TlsClient client({.version = static_cast<int>(state.range(1))});
  handshake(server, client);
  const std::string plain(static_cast<size_t>(state.range(0)), 'x');
  constexpr size_t kBatch = 64;
  Buffer received;
  Buffer out;
  while (state.KeepRunningBatch(kBatch)) {
    std::vector<std::string> records(kBatch);
    for (std::string& record : records) {
      client.write(plain);
      record = client.take_output();
    }
    const auto begin = Clock::now();
    for (const std::string& record : records) {
      received.clear();
      server.receive(as_bytes(record), received, out);
    }
    state.SetIterationTime(std::chrono::duration<double>(Clock::now() - begin).count());
  }
  state.SetBytesProcessed(static_cast<int64_t>(state.iterations() * plain.size()));
}

constexpr int kP256 = static_cast<int>(TestKey::p256);
constexpr int kRsa = static_cast<int>(TestKey::rsa2048);

BENCHMARK(BM_IdleMemory)
    ->ArgNames({"version", "used"})
    ->Args({TLS1_2_VERSION, 0})
    ->Args({TLS1_3_VERSION, 0})
    ->Args({TLS1_2_VERSION, 1})
    ->Args({TLS1_3_VERSION, 1})
    ->Iterations(1)
    ->Unit(benchmark::kMillisecond);
BENCHMARK(BM_FullHandshake)
    ->ArgNames({"key", "version"})
    ->ArgsProduct({{kP256, kRsa}, {TLS1_2_VERSION, TLS1_3_VERSION}})
    ->UseManualTime()
    ->Unit(benchmark::kMicrosecond);
BENCHMARK(BM_ResumedHandshake)
    ->ArgNames({"key", "version"})
    ->ArgsProduct({{kP256, kRsa}, {TLS1_2_VERSION, TLS1_3_VERSION}})
    ->UseManualTime()
    ->Unit(benchmark::kMicrosecond);
BENCHMARK(BM_Encrypt)
    ->ArgNames({"bytes", "version"})
    ->ArgsProduct({{128, 1024, 16384}, {TLS1_2_VERSION, TLS1_3_VERSION}});
BENCHMARK(BM_EncryptParts)->ArgName("together")->Arg(0)->Arg(1);
BENCHMARK(BM_Decrypt)
    ->ArgNames({"bytes", "version"})
    ->ArgsProduct({{128, 1024, 16384}, {TLS1_2_VERSION, TLS1_3_VERSION}})
    ->UseManualTime();

}  // namespace
}  // namespace ringcast
