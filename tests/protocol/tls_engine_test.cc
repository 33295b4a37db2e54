// The engine against OpenSSL's client, in memory: handshakes of both versions however
// they are cut, data both ways, endings, resumption, and what hostile peers try.
#include "protocol/tls_engine.h"

#include <gtest/gtest.h>
#include <openssl/err.h>
#include <openssl/ssl.h>

#include <chrono>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "base/prng.h"
#include "support/certificates.h"
#include "support/tls_client.h"

namespace ringcast {
namespace tls_engine_test {

using Status = TlsEngine::Status;
using Buffer = std::vector<std::byte>;

constexpr int kVersions[] = {TLS1_2_VERSION, TLS1_3_VERSION};

int64_t unix_ms_now() {
  return std::chrono::duration_cast<std::chrono::milliseconds>(
             std::chrono::system_clock::now().time_since_epoch())
      .count();
}

const TestCertificate& certificate() {
  static const TestCertificate made = make_test_certificate();
  return made;
}

std::shared_ptr<const TlsContext> make_context(const TestCertificate& from, const TlsTicketKeys& keys) {
  auto made = TlsContext::make(from.certificate_pem, from.key_pem, keys, unix_ms_now());
  EXPECT_TRUE(made.context) << made.error;
  return made.context;
}

std::shared_ptr<const TlsContext> context() {
  static const auto made = make_context(certificate(), TlsTicketKeys::generate(Instant{}));
  return made;
}

// An engine and its client. What either sends reaches the other in `piece_bytes` at most.
struct Pair {
  explicit Pair(const TlsClientOptions& options = {}, std::shared_ptr<const TlsContext> of = context(),
                size_t piece_bytes = SIZE_MAX, uint32_t records_per_key_max = kTlsRecordsPerKeyMax)
      : server(std::move(of), records_per_key_max), client(options), piece_bytes(piece_bytes) {}

  // Until both are silent.
  void exchange() {
    client.start();
    for (;;) {
      const std::string from_client = client.take_output();
      to_server(from_client);
      const std::string from_server = take_output();
      for (size_t at = 0; at < from_server.size(); at += piece_bytes) {
        client.receive(std::string_view(from_server).substr(at, piece_bytes));
      }
      if (from_client.empty() && from_server.empty()) return;
    }
  }

  void to_server(std::string_view bytes) {
    for (size_t at = 0; at < bytes.size(); at += std::min(piece_bytes, bytes.size() - at)) {
      // Exactly as large as the piece and gone after it.
      const std::string piece(bytes.substr(at, piece_bytes));
      const Status status = server.receive(as_bytes(piece), received, output);
      EXPECT_EQ(status, server.status());
      EXPECT_EQ(ERR_peek_error(), 0u) << "errors stay behind";
    }
  }

  std::string take_output() { return std::string(as_text(std::exchange(output, {}))); }
  std::string take_received() { return std::string(as_text(std::exchange(received, {}))); }

  bool send(std::string_view text) { return server.encrypt(as_bytes(text), output); }

  TlsEngine server;
  TlsClient client;
  size_t piece_bytes;
  Buffer output;
  Buffer received;
};

std::string random_text(Prng& prng, size_t size) {
  std::string text(size, '\0');
  for (char& octet : text) octet = static_cast<char>(prng.next());
  return text;
}

// How many records `ciphertext` is, all whole.
size_t record_count(std::string_view ciphertext) {
  size_t count = 0;
  for (; !ciphertext.empty(); ++count) {
    const size_t size = 5 + load_be16(as_bytes(ciphertext).data() + 3);
    if (size > ciphertext.size()) return SIZE_MAX;
    ciphertext.remove_prefix(size);
  }
  return count;
}

TEST(TlsEngine, ShakesHandsAndCarriesBytesBothWays) {
  for (const int version : kVersions) {
    Pair pair({.version = version, .trusted_pem = certificate().certificate_pem});
    EXPECT_EQ(pair.server.status(), Status::handshaking);
    EXPECT_FALSE(pair.send("too early"));
    EXPECT_TRUE(pair.output.empty());
    pair.exchange();
    ASSERT_TRUE(pair.client.done()) << pair.client.failure();
    EXPECT_EQ(pair.server.status(), Status::open);
    EXPECT_TRUE(pair.server.handshake_done());
    EXPECT_FALSE(pair.server.session_reused());
    EXPECT_EQ(pair.server.version(), version == TLS1_2_VERSION ? "TLSv1.2" : "TLSv1.3");
    EXPECT_EQ(pair.server.cipher(),
              version == TLS1_2_VERSION ? "ECDHE-ECDSA-AES128-GCM-SHA256" : "TLS_AES_128_GCM_SHA256");

    ASSERT_TRUE(pair.client.write("from the client"));
    ASSERT_TRUE(pair.send("from the server"));
    pair.exchange();
    EXPECT_EQ(pair.take_received(), "from the client");
    EXPECT_EQ(pair.client.take_received(), "from the server");
  }
}

// A client that does not wait sends its first request with the end of its handshake.
TEST(TlsEngine, TakesDataRightBehindTheHandshake) {
  for (const int version : kVersions) {
    Pair pair({.version = version});
    pair.client.start();
    std::string last;
    while (!pair.client.done()) {
      last = pair.client.take_output();
      pair.to_server(last);
      pair.client.receive(pair.take_output());
    }
    pair.client.write("GET / HTTP/1.1\r\n\r\n");
    pair.to_server(pair.client.take_output());
    EXPECT_EQ(pair.take_received(), "GET / HTTP/1.1\r\n\r\n");
    EXPECT_EQ(pair.server.status(), Status::open);
  }
}

// Any cut of a conversation gives the same plaintext; at one octet a piece, and at each
// single place.
TEST(TlsEngine, DoesNotMindHowInputIsCut) {
  for (const int version : kVersions) {
    for (const size_t piece_bytes : {1, 2, 3, 5, 7, 100}) {
      Pair pair({.version = version, .alpn = "\x08http/1.1"}, context(), piece_bytes);
      pair.exchange();
      ASSERT_TRUE(pair.client.done()) << pair.client.failure();
      pair.client.write("one");
      pair.client.write("two");
      pair.client.close();
      pair.send("three");
      pair.exchange();
      EXPECT_EQ(pair.take_received(), "onetwo");
      EXPECT_EQ(pair.client.take_received(), "three");
      EXPECT_EQ(pair.server.status(), Status::closed);
    }
    for (size_t cut = 1;; ++cut) {
      Pair pair({.version = version});
      size_t sent = 0;
      const auto deliver = [&](const std::string& bytes) {
        const size_t first = cut > sent && cut < sent + bytes.size() ? cut - sent : bytes.size();
        pair.to_server(std::string_view(bytes).substr(0, first));
        pair.to_server(std::string_view(bytes).substr(first));
        sent += bytes.size();
      };
      pair.client.start();
      while (!pair.client.done()) {
        deliver(pair.client.take_output());
        pair.client.receive(pair.take_output());
      }
      pair.client.write("some");
      pair.client.write("data");
      pair.client.close();
      deliver(pair.client.take_output());
      ASSERT_EQ(pair.take_received(), "somedata") << cut;
      ASSERT_EQ(pair.server.status(), Status::closed) << cut;
      if (cut >= sent) break;
    }
  }
}

TEST(TlsEngine, ChoosesTheApplicationProtocol) {
  for (const int version : kVersions) {
    for (const char* offered : {"\x08http/1.1", "\x02h2\x08http/1.1", "\x08http/1.1\x02h2"}) {
      Pair pair({.version = version, .alpn = offered});
      pair.exchange();
      EXPECT_TRUE(pair.client.done()) << pair.client.failure();
      EXPECT_EQ(pair.client.alpn(), "http/1.1");
    }
    for (const char* offered : {"\x02h2", "\x08http/1.0", "\x09http/1.10", "\x02h2\x08HTTP/1.1"}) {
      Pair pair({.version = version, .alpn = offered});
      pair.exchange();
      EXPECT_EQ(pair.client.failure(), "tlsv1 alert no application protocol");
      EXPECT_EQ(pair.server.status(), Status::failed);
      EXPECT_EQ(pair.server.failure(), "no application protocol");
    }
    Pair without({.version = version, .server_name = ""});
    without.exchange();
    EXPECT_TRUE(without.client.done());
    EXPECT_EQ(without.client.alpn(), "");
    Pair unknown_name({.version = version, .server_name = "elsewhere.example"});
    unknown_name.exchange();
    EXPECT_TRUE(unknown_name.client.done());
  }
}

TEST(TlsEngine, OffersNothingOld) {
  for (const int version : {TLS1_VERSION, TLS1_1_VERSION}) {
    Pair pair({.version = version, .ciphers = "ALL"});
    pair.exchange();
    EXPECT_EQ(pair.server.status(), Status::failed);
    EXPECT_EQ(pair.server.failure(), "unsupported protocol");
    EXPECT_EQ(pair.client.failure(), "tlsv1 alert protocol version");
  }
  for (const char* ciphers :
       {"ECDHE-ECDSA-AES128-SHA256", "ECDHE-ECDSA-AES128-SHA", "DHE-RSA-AES128-GCM-SHA256",
        "AES128-GCM-SHA256", "ECDHE-ECDSA-AES128-CCM", "AECDH-AES128-SHA"}) {
    Pair pair({.version = TLS1_2_VERSION, .ciphers = ciphers});
    pair.exchange();
    EXPECT_EQ(pair.server.failure(), "no shared cipher") << ciphers;
    EXPECT_EQ(pair.client.failure(), "sslv3 alert handshake failure");
  }
  // Who prefers ChaCha20 has no AES in hardware.
  Pair mobile(
      {.version = TLS1_2_VERSION, .ciphers = "ECDHE-ECDSA-CHACHA20-POLY1305:ECDHE-ECDSA-AES128-GCM-SHA256"});
  mobile.exchange();
  EXPECT_EQ(mobile.server.cipher(), "ECDHE-ECDSA-CHACHA20-POLY1305");
}

// Sizes around a record's, both ways, whatever the cut.
TEST(TlsEngine, CarriesBigTransfersOfOddSizes) {
  Prng prng(7);
  for (const int version : kVersions) {
    for (const size_t piece_bytes : {size_t{1000}, size_t{16384}, SIZE_MAX}) {
      Pair pair({.version = version}, context(), piece_bytes);
      pair.exchange();
      pair.take_output();
      for (const size_t size : {1, 16383, 16384, 16385, 32768, 40000, 100003, 1 << 20}) {
        const std::string down = random_text(prng, size);
        const std::string up = random_text(prng, size);
        ASSERT_TRUE(pair.send(down));
        ASSERT_EQ(record_count(as_text(pair.output)), (size + 16383) / 16384);
        ASSERT_LE(pair.output.size(), size + (size + 16383) / 16384 * kTlsRecordOverheadMax);
        ASSERT_TRUE(pair.client.write(up));
        pair.exchange();
        ASSERT_TRUE(pair.take_received() == up) << size;
        ASSERT_TRUE(pair.client.take_received() == down) << size;
      }
    }
  }
}

TEST(TlsEngine, PutsSmallPartsIntoOneRecord) {
  Prng prng(8);
  for (const int version : kVersions) {
    Pair pair({.version = version});
    pair.exchange();
    const Bytes small[] = {as_bytes("header"), {}, as_bytes("payload"), as_bytes("!")};
    ASSERT_TRUE(pair.server.encrypt(small, pair.output));
    EXPECT_EQ(record_count(as_text(pair.output)), 1u);
    pair.exchange();
    EXPECT_EQ(pair.client.take_received(), "headerpayload!");

    ASSERT_TRUE(pair.server.encrypt(std::span<const Bytes>{}, pair.output));
    const Bytes nothing[] = {{}, {}};
    ASSERT_TRUE(pair.server.encrypt(nothing, pair.output));
    ASSERT_TRUE(pair.send(""));
    EXPECT_TRUE(pair.output.empty());

    for (int round = 0; round < 60; ++round) {
      std::vector<std::string> texts(1 + prng.below(6));
      std::vector<Bytes> parts;
      std::string whole;
      for (std::string& text : texts) {
        const size_t sizes[] = {prng.below(10), 16383 + prng.below(3), prng.below(50000)};
        text = random_text(prng, sizes[prng.below(3)]);
        parts.push_back(as_bytes(text));
        whole += text;
      }
      ASSERT_TRUE(pair.server.encrypt(parts, pair.output));
      ASSERT_EQ(record_count(as_text(pair.output)), (whole.size() + 16383) / 16384);
      pair.exchange();
      ASSERT_TRUE(pair.client.take_received() == whole);
    }
  }
}

TEST(TlsEngine, EndsByCloseNotifyOfTheClient) {
  for (const int version : kVersions) {
    Pair pair({.version = version});
    pair.exchange();
    pair.client.write("last words");
    pair.client.close();
    pair.to_server(pair.client.take_output());
    EXPECT_EQ(pair.take_received(), "last words");
    EXPECT_EQ(pair.server.status(), Status::closed);
    EXPECT_TRUE(pair.output.empty());

    // The other direction is still open, and closes by itself.
    EXPECT_TRUE(pair.send("farewell"));
    pair.server.close(pair.output);
    pair.exchange();
    EXPECT_EQ(pair.client.take_received(), "farewell");
    EXPECT_TRUE(pair.client.closed());
    EXPECT_FALSE(pair.send("more"));

    pair.to_server("nobody reads this");
    EXPECT_EQ(pair.server.status(), Status::closed);
    EXPECT_TRUE(pair.output.empty());
  }
}

TEST(TlsEngine, EndsByCloseNotifyOfItsOwn) {
  for (const int version : kVersions) {
    Pair pair({.version = version});
    pair.server.close(pair.output);
    EXPECT_TRUE(pair.output.empty()) << "nothing to close yet";
    pair.exchange();
    pair.send("last words");
    pair.server.close(pair.output);
    const size_t size = pair.output.size();
    pair.server.close(pair.output);
    EXPECT_EQ(pair.output.size(), size) << "once";
    EXPECT_FALSE(pair.send("more"));
    EXPECT_EQ(pair.output.size(), size);

    // What was under way still arrives.
    pair.client.write("crossing");
    pair.to_server(pair.client.take_output());
    EXPECT_EQ(pair.take_received(), "crossing");
    EXPECT_EQ(pair.server.status(), Status::open);

    pair.client.receive(pair.take_output());
    EXPECT_EQ(pair.client.take_received(), "last words");
    EXPECT_TRUE(pair.client.closed());
    pair.client.close();
    pair.exchange();
    EXPECT_EQ(pair.server.status(), Status::closed);
  }
}

// ── Resumption ───────────────────────────────────────────────────────────────

TlsClientSession session_of(int version, std::shared_ptr<const TlsContext> of) {
  Pair pair({.version = version}, std::move(of));
  pair.exchange();
  EXPECT_TRUE(pair.client.done()) << pair.client.failure();
  return pair.client.session();
}

// Whether a client that holds `session` needs no full handshake; `session` becomes the newest.
bool resumes(int version, TlsClientSession& session, std::shared_ptr<const TlsContext> with) {
  Pair pair({.version = version, .resume = session}, std::move(with));
  pair.exchange();
  EXPECT_TRUE(pair.client.done()) << pair.client.failure();
  EXPECT_EQ(pair.client.reused(), pair.server.session_reused());
  pair.client.write("resumed");
  pair.exchange();
  EXPECT_EQ(pair.take_received(), "resumed");
  session = pair.client.session();
  return pair.server.session_reused();
}

TEST(TlsEngine, ResumesBySessionTicket) {
  const TestCertificate renewed = make_test_certificate();
  for (const int version : kVersions) {
    const TlsTicketKeys keys = TlsTicketKeys::generate(Instant{});
    const auto first = make_context(certificate(), keys);
    TlsClientSession session = session_of(version, first);
    EXPECT_TRUE(resumes(version, session, first));
    EXPECT_TRUE(resumes(version, session, make_context(certificate(), keys))) << "another shard's";
    EXPECT_TRUE(resumes(version, session, make_context(renewed, keys))) << "a new certificate";
    EXPECT_FALSE(resumes(version, session, make_context(certificate(), TlsTicketKeys::generate(Instant{}))));
  }
}

TEST(TlsEngine, ResumesAfterOneRotationOfTicketKeys) {
  for (const int version : kVersions) {
    const TlsTicketKeys keys = TlsTicketKeys::generate(Instant{});
    const auto first = make_context(certificate(), keys);
    const auto second = first->with_ticket_keys(keys.rotated(Instant{} + kTlsTicketLifetime));
    const auto third =
        second->with_ticket_keys(second->ticket_keys().rotated(Instant{} + 2 * kTlsTicketLifetime));
    const TlsClientSession session = session_of(version, first);

    TlsClientSession used = session;
    EXPECT_TRUE(resumes(version, used, second));
    EXPECT_TRUE(resumes(version, used, third)) << "an old ticket was exchanged for a newer";
    used = session;
    EXPECT_FALSE(resumes(version, used, third)) << "its key is gone";
  }
}

TEST(TlsEngine, KeepsItsContextAlive) {
  auto last = make_context(certificate(), TlsTicketKeys::generate(Instant{}));
  Pair pair({}, last);
  const std::weak_ptr<const TlsContext> watched = last;
  last.reset();
  EXPECT_FALSE(watched.expired());
  pair.exchange();
  pair.send("still here");
  pair.exchange();
  EXPECT_EQ(pair.client.take_received(), "still here");
}

// What shards do: engines of one context made, used and freed on many threads.
TEST(TlsEngine, SharesItsContextBetweenThreads) {
  const auto shared = make_context(certificate(), TlsTicketKeys::generate(Instant{}));
  std::vector<std::thread> threads;
  for (int i = 0; i < 4; ++i) {
    threads.emplace_back([shared, version = kVersions[i % 2]] {
      for (int round = 0; round < 10; ++round) {
        TlsClientSession session = session_of(version, shared);
        EXPECT_TRUE(resumes(version, session, shared));
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
}

// ── Hostile and broken peers ─────────────────────────────────────────────────

TEST(TlsEngine, NamesWhatIsNotTls) {
  const std::pair<std::string_view, std::string_view> inputs[] = {
      {"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n", "http request"},
      {"POST /_broadcast HTTP/1.1\r\n\r\n", "http request"},
      {"CONNECT localhost:443 HTTP/1.1\r\n\r\n", "https proxy request"},
      {"SSH-2.0-OpenSSH_9.2\r\n", "wrong version number"},
      {std::string_view("\0\0\0\0\0\0\0\0\0\0\0\0", 12), "wrong version number"},
      {std::string_view("\x16\x03\x01\xff\xff\x01\x00\x00\x00\x00\x00\x00", 12), "packet length too long"},
  };
  for (const auto& [bytes, why] : inputs) {
    for (const size_t piece_bytes : {size_t{1}, SIZE_MAX}) {
      Pair pair({}, context(), piece_bytes);
      pair.to_server(bytes);
      EXPECT_EQ(pair.server.status(), Status::failed) << why;
      EXPECT_EQ(pair.server.failure(), why);
      EXPECT_FALSE(pair.send("x"));
      pair.output.clear();
      pair.server.close(pair.output);
      pair.to_server(bytes);
      EXPECT_TRUE(pair.output.empty());
      EXPECT_TRUE(pair.received.empty());
    }
  }
}

TEST(TlsEngine, WaitsInATruncatedHandshake) {
  for (const int version : kVersions) {
    TlsClient client({.version = version});
    client.start();
    const std::string hello = client.take_output();
    for (size_t size = 0; size < hello.size(); ++size) {
      Pair pair;
      pair.to_server(std::string_view(hello).substr(0, size));
      ASSERT_EQ(pair.server.status(), Status::handshaking) << size;
      ASSERT_TRUE(pair.output.empty());
    }
  }
}

// One octet changed here or there: the engine waits, or fails and says why, or carries on
// where it does not matter; plaintext never comes of it.
TEST(TlsEngine, SurvivesDamageAnywhere) {
  Prng prng(9);
  for (const int version : kVersions) {
    for (size_t at = 0;; at += 1 + prng.below(5)) {
      Pair pair({.version = version});
      size_t sent = 0;
      const auto damaged = [&](std::string bytes) {
        if (at >= sent && at < sent + bytes.size())
          bytes[at - sent] ^= static_cast<char>(1 + prng.below(255));
        sent += bytes.size();
        return bytes;
      };
      pair.client.start();
      for (int round = 0; round < 4 && !pair.client.done() && !pair.client.failed(); ++round) {
        pair.to_server(damaged(pair.client.take_output()));
        pair.client.receive(pair.take_output());
      }
      if (pair.client.done() && pair.client.write("data")) pair.to_server(damaged(pair.client.take_output()));
      if (pair.server.status() == Status::failed) {
        EXPECT_NE(pair.server.failure(), "unknown") << at;
        EXPECT_NE(pair.server.failure(), "") << at;
      }
      if (at >= sent) {
        EXPECT_EQ(pair.take_received(), "data");
        break;
      }
      const std::string received = pair.take_received();
      EXPECT_TRUE(received.empty() || received == "data") << at;
    }
  }
}

TEST(TlsEngine, AnswersDamagedDataWithAnAlert) {
  for (const int version : kVersions) {
    Pair pair({.version = version});
    pair.exchange();
    pair.client.write("good");
    std::string bytes = pair.client.take_output();
    pair.client.write("bad");
    bytes += pair.client.take_output();
    bytes.back() ^= 1;
    pair.to_server(bytes);
    EXPECT_EQ(pair.take_received(), "good") << "what came before is delivered";
    EXPECT_EQ(pair.server.status(), Status::failed);
    EXPECT_EQ(pair.server.failure(), "decryption failed or bad record mac");
    pair.client.receive(pair.take_output());
    EXPECT_EQ(pair.client.failure(), "sslv3 alert bad record mac");
  }
}

TEST(TlsEngine, ReportsTheAlertOfAClient) {
  for (const int version : kVersions) {
    Pair pair({.version = version, .trusted_pem = make_test_certificate().certificate_pem});
    pair.exchange();
    EXPECT_EQ(pair.client.failure(), "certificate verify failed");
    EXPECT_EQ(pair.server.status(), Status::failed);
    EXPECT_EQ(pair.server.failure(), "tlsv1 alert unknown ca");
    EXPECT_EQ(ERR_peek_error(), 0u);
  }
}

TEST(TlsEngine, RefusesToRenegotiate) {
  Pair pair({.version = TLS1_2_VERSION});
  pair.exchange();
  ASSERT_EQ(SSL_renegotiate(pair.client.ssl()), 1);
  SSL_do_handshake(pair.client.ssl());
  pair.to_server(pair.client.take_output());
  EXPECT_EQ(pair.server.status(), Status::failed);
  EXPECT_EQ(pair.server.failure(), "renegotiation refused");
  EXPECT_FALSE(pair.output.empty());
  EXPECT_FALSE(pair.send("x"));
}

TEST(TlsEngine, FollowsKeyUpdates) {
  Pair pair({.version = TLS1_3_VERSION});
  pair.exchange();
  // More in all than may be owed at once: data pays for them.
  for (int i = 0; i < 200; ++i) {
    if (i % 2 == 0) pair.client.update_key(i % 4 == 0);
    for (int j = 0; j < 5; ++j) pair.client.write("after");
    for (int j = 0; j < 5; ++j) pair.send("before");
    pair.exchange();
    ASSERT_EQ(pair.server.status(), Status::open) << pair.server.failure();
    ASSERT_EQ(pair.take_received(), "afterafterafterafterafter");
    ASSERT_EQ(pair.client.take_received(), "beforebeforebeforebeforebefore");
  }
}

TEST(TlsEngine, EndsAFloodOfKeyUpdates) {
  for (const bool ask : {false, true}) {
    Pair pair({.version = TLS1_3_VERSION});
    pair.exchange();
    for (int i = 0; i < 2000; ++i) pair.client.update_key(ask);
    pair.to_server(pair.client.take_output());
    EXPECT_EQ(pair.server.status(), Status::failed);
    EXPECT_EQ(pair.server.failure(), "too many key updates");
    EXPECT_LT(pair.output.size(), 4096u) << "answers stop with it";
    EXPECT_FALSE(pair.output.empty()) << "an alert at least";
  }
}

// An octet a record is slow but honest; so are thousands in one input.
TEST(TlsEngine, TakesAFloodOfTinyRecords) {
  for (const int version : kVersions) {
    Pair pair({.version = version});
    pair.exchange();
    std::string sent;
    for (int i = 0; i < 5000; ++i) {
      sent += static_cast<char>(i);
      pair.client.write(std::string_view(sent).substr(sent.size() - 1));
    }
    pair.to_server(pair.client.take_output());
    EXPECT_EQ(pair.server.status(), Status::open);
    EXPECT_TRUE(pair.take_received() == sent);
    EXPECT_TRUE(pair.output.empty());
  }
}

// Records of nothing at all, before any key exists.
TEST(TlsEngine, EndsAFloodOfEmptyRecords) {
  Pair pair;
  std::string flood;
  for (int i = 0; i < 1000; ++i) flood += std::string_view("\x16\x03\x01\x00\x00", 5);
  pair.to_server(flood);
  EXPECT_EQ(pair.server.status(), Status::failed);
  EXPECT_LT(pair.output.size(), 100u);
}

TEST(TlsEngine, EndsAFloodOfWarnings) {
  Pair pair;
  TlsClient client({.version = TLS1_2_VERSION});
  client.start();
  pair.to_server(client.take_output());
  pair.output.clear();
  std::string flood;
  for (int i = 0; i < 1000; ++i)
    flood += std::string_view("\x15\x03\x03\x00\x02\x01\x5a", 7);  // user_canceled
  pair.to_server(flood);
  EXPECT_EQ(pair.server.status(), Status::failed);
  EXPECT_LT(pair.output.size(), 100u);
}

// A hello of 100 KiB, a few octets a record: within OpenSSL's limit, beyond ours.
TEST(TlsEngine, EndsAnEndlessHandshake) {
  Pair pair;
  const std::string_view first("\x16\x03\x01\x00\x08\x01\x01\x90\x00\x03\x03\x00\x00", 13);
  const std::string_view more("\x16\x03\x01\x00\x04\x00\x00\x00\x00", 9);
  pair.to_server(first);
  for (size_t sent = 0; sent < 3 * kTlsHandshakeBytesMax && pair.server.status() == Status::handshaking;
       sent += more.size()) {
    pair.to_server(more);
  }
  EXPECT_EQ(pair.server.status(), Status::failed);
  EXPECT_EQ(pair.server.failure(), "handshake too long");
  EXPECT_EQ(record_count(as_text(pair.output)), 1u) << "an alert";
}

// Two engines on one thread, one failing between each step of the other.
TEST(TlsEngine, KeepsItsErrorsToItself) {
  for (const int version : kVersions) {
    Pair good({.version = version});
    const auto fail_one = [] {
      Pair bad;
      bad.to_server("GET / HTTP/1.1\r\n\r\n");
      EXPECT_EQ(bad.server.status(), Status::failed);
      // And a stranger on this thread leaves something behind.
      ERR_raise(ERR_LIB_USER, ERR_R_INTERNAL_ERROR);
    };
    good.client.start();
    for (int round = 0; round < 4; ++round) {
      const std::string bytes = good.client.take_output();
      for (const char& octet : bytes) {
        if ((&octet - bytes.data()) % 50 == 0) fail_one();
        good.to_server(std::string_view(&octet, 1));
      }
      good.client.receive(good.take_output());
    }
    ASSERT_EQ(good.server.status(), Status::open) << good.server.failure();
    fail_one();
    EXPECT_TRUE(good.send("x"));
    fail_one();
    good.server.close(good.output);
    good.exchange();
    EXPECT_EQ(good.client.take_received(), "x");
    EXPECT_TRUE(good.client.closed());
  }
}

// ── Long lives ───────────────────────────────────────────────────────────────

TEST(TlsEngine, ChangesItsKeyBeforeItWearsOut) {
  for (const int version : kVersions) {
    Pair pair({.version = version}, context(), SIZE_MAX, 10);
    pair.exchange();
    std::string sent;
    for (int i = 0; i < 35; ++i) {
      sent += std::to_string(i);
      ASSERT_TRUE(pair.send(std::to_string(i)));
    }
    // 1.2 has no way to; its nonces do not repeat within 2^64 records.
    EXPECT_EQ(record_count(as_text(pair.output)), version == TLS1_3_VERSION ? 38u : 35u);
    pair.exchange();
    EXPECT_EQ(pair.client.take_received(), sent);
    EXPECT_FALSE(pair.client.failed());
  }
}

}  // namespace tls_engine_test
}  // namespace ringcast
