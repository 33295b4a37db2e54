// Any bytes to a TLS server, before, within and after a real handshake: it never crashes,
// never gives plaintext that no peer sealed, keeps what it answers in proportion, and
// says the same however the input is cut. The first input byte chooses the version, how
// much of a real client's conversation precedes, and the cut; the rest is the wire.
//
//   stage 0   nothing precedes: the input is all the server ever sees
//   stage 1   a prefix of a real hello, then the input; its length is the second byte's
//   stage 2   a real hello with the input written over it
//   stage 3   a finished handshake; records as the input says, their content sealed by
//             the client if it is data, in clear otherwise
#include <openssl/err.h>
#include <openssl/ssl.h>

#include <algorithm>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/prng.h"
#include "protocol/tls_engine.h"
#include "support/certificates.h"
#include "support/tls_client.h"

namespace {

using ringcast::as_bytes;
using ringcast::as_text;
using ringcast::Instant;
using ringcast::Prng;
using ringcast::TlsClient;
using ringcast::TlsContext;
using ringcast::TlsEngine;
using ringcast::TlsTicketKeys;
using Status = TlsEngine::Status;
using Buffer = std::vector<std::byte>;

void expect(bool condition) {
  if (!condition) std::abort();
}

const std::shared_ptr<const TlsContext>& context() {
  static const auto made = [] {
    const auto certificate = ringcast::make_test_certificate();
    return TlsContext::make(certificate.certificate_pem, certificate.key_pem,
                            TlsTicketKeys::generate(Instant{}), 0)
        .context;
  }();
  return made;
}

// A hello differs from the next in its random parts only; one for each version serves.
const std::string& hello_of(int version) {
  static const auto record = [](int of) {
    TlsClient client({.version = of, .alpn = "\x02h2\x08http/1.1"});
    client.start();
    return client.take_output();
  };
  static const std::string hellos[] = {record(TLS1_2_VERSION), record(TLS1_3_VERSION)};
  return hellos[version == TLS1_3_VERSION ? 1 : 0];
}

struct Outcome {
  Status status;
  std::string plaintext;
  std::string failure;
  size_t answer_bytes;
};

// `prng` null: in one piece.
void feed(TlsEngine& server, std::string_view wire, Prng* prng, Buffer& plaintext, Buffer& answer) {
  while (!wire.empty()) {
    const size_t bytes = prng == nullptr
                             ? wire.size()
                             : std::min<size_t>(wire.size(), 1 + prng->below(prng->chance(0.5) ? 3 : 64));
    const std::string piece(wire.substr(0, bytes));  // gone after it
    const Status before = server.status();
    const Status after = server.receive(as_bytes(piece), plaintext, answer);
    expect(after == server.status() && ERR_peek_error() == 0);
    // Only forwards; what has ended stays ended.
    expect(after >= before && (before < Status::closed || after == before));
    expect((after == Status::failed) == !server.failure().empty());
    wire.remove_prefix(bytes);
  }
}

Outcome outcome_of(TlsEngine& server, std::string_view wire, Prng* prng) {
  Buffer plaintext;
  Buffer answer;
  feed(server, wire, prng, plaintext, answer);
  // In a handshake: a flight or two with a certificate. After: KeyUpdates, alerts.
  expect(answer.size() <= 4096);
  expect(plaintext.empty() || server.handshake_done());
  const size_t answer_bytes = answer.size();
  server.close(answer);
  const bool sent = server.encrypt(as_bytes("after close"), answer);
  expect(!sent);
  return {server.status(), std::string(as_text(plaintext)), std::string(server.failure()), answer_bytes};
}

void before_the_handshake_ends(std::string_view wire, Prng& prng) {
  TlsEngine whole(context());
  TlsEngine cut(context());
  const Outcome one = outcome_of(whole, wire, nullptr);
  const Outcome two = outcome_of(cut, wire, &prng);
  // Signatures in an answer differ by an octet or three.
  expect(one.status == two.status && one.plaintext == two.plaintext && one.failure == two.failure);
  expect((one.answer_bytes == 0) == (two.answer_bytes == 0));
}

// The input as a script: kind, length, content.
void after_the_handshake(int version, std::string_view script, Prng& prng) {
  TlsEngine server(context());
  TlsClient client({.version = version});
  Buffer plaintext;
  Buffer answer;
  client.start();
  while (!client.done()) {
    feed(server, client.take_output(), nullptr, plaintext, answer);
    client.receive(as_text(std::exchange(answer, {})));
    expect(!client.failed());
  }
  client.take_received();
  std::string wire = client.take_output();
  std::string sealed;
  bool honest = true;
  while (script.size() >= 2) {
    const auto kind = static_cast<uint8_t>(script[0]);
    const size_t size = std::min<size_t>(static_cast<uint8_t>(script[1]), script.size() - 2);
    const std::string_view content = script.substr(2, size);
    script.remove_prefix(2 + size);
    switch (kind % 6) {
      case 0:
      case 1:
        if (content.empty()) break;
        client.write(content);
        sealed += content;
        break;
      case 2:
        if (version == TLS1_3_VERSION) client.update_key(kind % 4 == 2);
        break;
      case 3: {  // a record of any type in clear, its length true
        wire += client.take_output();
        wire += static_cast<char>(20 + kind / 6 % 5);
        wire += std::string_view("\x03\x03\x00", 3);
        wire += static_cast<char>(size);
        wire += content;
        honest = false;
        break;
      }
      case 4:
        wire += client.take_output();
        wire += content;
        honest = honest && content.empty();
        break;
      default:  // damage to the record just made
        std::string record = client.take_output();
        if (!record.empty() && !content.empty()) {
          record[static_cast<uint8_t>(content[0]) % record.size()] ^= 1;
          honest = false;
        }
        wire += record;
    }
    wire += client.take_output();
  }
  feed(server, wire, &prng, plaintext, answer);
  // What arrived is what the client sealed up to some point, all of it if nobody interfered.
  const std::string_view received = as_text(plaintext);
  expect(std::string_view(sealed).starts_with(received));
  if (honest && server.status() == Status::open) expect(received == sealed);
  if (server.status() == Status::open && server.encrypt(as_bytes("still open"), answer)) {
    client.receive(as_text(answer));
    expect(client.take_received() == "still open");
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  if (size < 2) return 0;
  const int version = (data[0] & 1) != 0 ? TLS1_3_VERSION : TLS1_2_VERSION;
  Prng prng(data[0] >> 3);
  const std::string_view input(reinterpret_cast<const char*>(data) + 1, size - 1);
  const std::string& hello = hello_of(version);
  switch (data[0] >> 1 & 3) {
    case 0:
      before_the_handshake_ends(input, prng);
      break;
    case 1: {
      const size_t prefix_bytes = static_cast<uint8_t>(input[0]) * hello.size() / 255;
      before_the_handshake_ends(hello.substr(0, prefix_bytes).append(input.substr(1)), prng);
      break;
    }
    case 2: {
      std::string over = hello;
      const size_t at = static_cast<uint8_t>(input[0]) * over.size() / 255;
      over.replace(at, std::min(input.size() - 1, over.size() - at), input.substr(1));
      before_the_handshake_ends(over, prng);
      break;
    }
    default:
      after_the_handshake(version, input, prng);
  }
  return 0;
}
