// TLS from outside: handshakes of both versions with somebody else's client, sessions
// resumed, certificates exchanged under open connections, and ports that do not serve it.
#include <gtest/gtest.h>
#include <openssl/ssl.h>
#include <openssl/x509.h>

#include <algorithm>
#include <chrono>
#include <csignal>
#include <cstdio>
#include <filesystem>
#include <fstream>
#include <functional>
#include <memory>
#include <set>
#include <sstream>
#include <string>
#include <string_view>
#include <thread>
#include <vector>

#include "blackbox/cable.h"
#include "blackbox/client.h"
#include "blackbox/probes.h"
#include "blackbox/server_process.h"
#include "support/certificates.h"

namespace ringcast::blackbox {
namespace {

using Clock = std::chrono::steady_clock;

bool wait_until(const std::function<bool()>& done) {
  for (const auto deadline = Clock::now() + kPatience; Clock::now() < deadline;) {
    if (done()) return true;
    std::this_thread::sleep_for(std::chrono::milliseconds(10));
  }
  return false;
}

// The name in the certificate the server showed; empty without a handshake.
std::string shown_name(TcpClient& tcp) {
  if (tcp.tls() == nullptr || !tcp.tls()->done()) return {};
  X509* const certificate = SSL_get1_peer_certificate(tcp.tls()->ssl());
  char name[64] = {};
  X509_NAME_get_text_by_NID(X509_get_subject_name(certificate), NID_commonName, name, sizeof name);
  X509_free(certificate);
  return name;
}

class Tls : public ::testing::Test {
 protected:
  void SetUp() override {
    std::string why_not;
    server_ = ServerProcess::start({.arguments = {"--echo", "--drain-seconds", "1"}, .tls = folder_.files()},
                                   why_not);
    ASSERT_NE(server_, nullptr) << why_not;
  }
  void TearDown() override {
    if (!server_) return;
    EXPECT_TRUE(server_->running()) << "it ended by itself";
    EXPECT_EQ(server_->stop(), (ServerProcess::Exit{.code = 0, .signal = 0})) << server_->standard_error();
  }

  TcpClient connect(const TlsClientOptions& options = {}) {
    return TcpClient::connect_tls(server_->tls_port(), options);
  }
  bool says(std::string_view words) {
    return wait_until([&] { return server_->standard_error().find(words) != std::string::npos; });
  }
  static void expect_echo(WebSocketClient& client, std::string_view word) {
    client.send(encode({.payload = word}));
    const auto frame = client.next();
    ASSERT_TRUE(frame) << word;
    EXPECT_EQ(frame->payload, word);
  }

  CertificateFolder folder_;
  std::unique_ptr<ServerProcess> server_;
};

TEST_F(Tls, BothVersionsServeHttpAndChooseHttpByAlpn) {
  for (const int version : {TLS1_2_VERSION, TLS1_3_VERSION}) {
    TcpClient tcp = connect({.version = version,
                             .alpn = "\x02h2\x08http/1.1",
                             .trusted_pem = folder_.certificate().certificate_pem});
    ASSERT_TRUE(tcp.tls()->done()) << tcp.tls()->failure();
    EXPECT_EQ(SSL_version(tcp.tls()->ssl()), version);
    EXPECT_EQ(tcp.tls()->alpn(), "http/1.1");
    tcp.send("GET /health HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n");
    EXPECT_EQ(read_http_answer(tcp).status, 200);
    EXPECT_EQ(tcp.received(1), "");
    EXPECT_EQ(tcp.end(), TcpClient::End::closed);
  }
}

TEST_F(Tls, OlderVersionsAndForeignProtocolsAreRefusedWithAnAlert) {
  TcpClient old = connect({.version = TLS1_1_VERSION, .ciphers = "ALL:@SECLEVEL=0"});
  EXPECT_FALSE(old.tls()->done());
  TcpClient foreign = connect({.alpn = "\x02h2"});
  EXPECT_FALSE(foreign.tls()->done());
  EXPECT_NE(foreign.tls()->failure().find("application protocol"), std::string::npos)
      << foreign.tls()->failure();
  EXPECT_TRUE(wait_for_metric(server_->port(), "ringcast_tls_failures_total", 2));
}

// OpenSSL's own program, which the client above is not.
TEST_F(Tls, OpensslsClientShakesHands) {
  for (const std::string version : {"1_2", "1_3"}) {
    const std::string command = "openssl s_client -connect 127.0.0.1:" + std::to_string(server_->tls_port()) +
                                " -alpn http/1.1 -tls" + version + " </dev/null 2>&1";
    FILE* const pipe = popen(command.c_str(), "r");
    ASSERT_NE(pipe, nullptr);
    std::string output;
    for (int c = fgetc(pipe); c != EOF; c = fgetc(pipe)) output += static_cast<char>(c);
    const int status = pclose(pipe);
    if (output.find("not found") != std::string::npos) GTEST_SKIP() << output;
    EXPECT_EQ(status, 0) << output;
    EXPECT_NE(output.find("ALPN protocol: http/1.1"), std::string::npos) << output;
    EXPECT_NE(output.find(version == "1_2" ? "New, TLSv1.2" : "New, TLSv1.3"), std::string::npos) << output;
    EXPECT_NE(output.find("localhost"), std::string::npos) << output;
  }
}

TEST_F(Tls, SessionsAreResumedOnWhateverShardAndCounted) {
  for (const int version : {TLS1_2_VERSION, TLS1_3_VERSION}) {
    const uint64_t before = Metrics::read(server_->port()).sum("ringcast_tls_resumptions_total");
    // Each with the ticket of the one before, which OpenSSL's client uses once.
    TlsClientSession ticket;
    for (int i = 0; i < 7; ++i) {
      TcpClient tcp = connect({.version = version, .resume = ticket});
      ASSERT_TRUE(tcp.tls()->done()) << tcp.tls()->failure();
      EXPECT_EQ(tcp.tls()->reused(), i > 0) << i;
      // Tickets of TLS 1.3 come with the first answer at the latest.
      tcp.send("GET /health HTTP/1.1\r\nHost: localhost\r\n\r\n");
      EXPECT_EQ(read_http_answer(tcp).status, 200);
      ticket = tcp.tls()->session();
    }
    EXPECT_TRUE(wait_for_metric(server_->port(), "ringcast_tls_resumptions_total", before + 6));
  }
}

TEST_F(Tls, ANewCertificateIsForNewConnectionsAndABadOneForNone) {
  const auto name_shown = [&] {
    TcpClient tcp = connect();
    return shown_name(tcp);
  };
  WebSocketClient old = WebSocketClient::ask(connect(), "/echo");
  ASSERT_TRUE(old.open());
  ASSERT_EQ(shown_name(old.tcp()), "localhost");
  TcpClient handshaking = TcpClient::connect(server_->tls_port());  // and has not said a word

  folder_.write(make_test_certificate({.common_name = "second"}));
  server_->signal(SIGHUP);
  EXPECT_TRUE(wait_until([&] { return name_shown() == "second"; }));
  expect_echo(old, "before it");

  // Neither half a certificate, nor a key of another one, nor none at all.
  const TestCertificate other = make_test_certificate({.common_name = "other"});
  const std::string good = folder_.certificate().certificate_pem;
  const std::vector<TestCertificate> bad = {
      {good.substr(0, good.size() / 2), folder_.certificate().key_pem}, {good, other.key_pem}, {"", ""}};
  for (const TestCertificate& one : bad) {
    const size_t said_before = server_->standard_error().size();
    write_test_certificate(one,
                           folder_.files().certificate.substr(0, folder_.files().certificate.rfind('/')));
    server_->signal(SIGHUP);
    EXPECT_TRUE(wait_until([&] {
      return server_->standard_error().find("certificate_not_loaded", said_before) != std::string::npos;
    })) << server_->standard_error();
    EXPECT_EQ(name_shown(), "second");
  }
  expect_echo(old, "nor these");

  folder_.write(other);
  server_->signal(SIGHUP);
  EXPECT_TRUE(wait_until([&] { return name_shown() == "other"; }));
  expect_echo(old, "after all");
  old.send(encode_close(1000));
  const auto close = old.next();
  ASSERT_TRUE(close);
  EXPECT_EQ(close->close_code(), 1000u);
  EXPECT_FALSE(old.next());
  EXPECT_EQ(old.tcp().end(), TcpClient::End::closed);
}

// ── Flags ────────────────────────────────────────────────────────────────────

TEST(TlsFlags, WhatIsMissingOrBrokenEndsItWithASentence) {
  CertificateFolder folder;
  const auto& [certificate, key] = folder.files();
  const std::vector<std::vector<std::string>> wrong = {
      {"--tls-listen", "127.0.0.1:0"},
      {"--tls-listen", "127.0.0.1:0", "--tls-cert", certificate},
      {"--tls-listen", "127.0.0.1:0", "--tls-key", key},
      {"--tls-listen", "127.0.0.1:0", "--tls-cert", certificate, "--tls-key", "/nonexistent/key.pem"},
      {"--tls-listen", "127.0.0.1:0", "--tls-cert", "/nonexistent/cert.pem", "--tls-key", key},
      {"--tls-listen", "127.0.0.1:0", "--tls-cert", key, "--tls-key", certificate},
      {"--tls-listen", "nowhere", "--tls-cert", certificate, "--tls-key", key},
  };
  for (const auto& arguments : wrong) {
    const ProgramResult result = run_binary(arguments);
    SCOPED_TRACE(::testing::PrintToString(arguments));
    EXPECT_EQ(result.exit_code, 2);
    EXPECT_EQ(result.output, "");
    EXPECT_TRUE(result.error.starts_with("ringcast: ")) << result.error;
    EXPECT_EQ(std::ranges::count(result.error, '\n'), 1) << result.error;
  }
}

// The ports of 127.0.0.1, and of any address, that a process listens on.
std::vector<uint16_t> listening_ports(pid_t pid) {
  std::set<std::string> inodes;
  for (const auto& entry : std::filesystem::directory_iterator("/proc/" + std::to_string(pid) + "/fd")) {
    std::error_code gone;
    const std::string target = std::filesystem::read_symlink(entry.path(), gone).string();
    if (target.starts_with("socket:[")) inodes.insert(target.substr(8, target.size() - 9));
  }
  std::vector<uint16_t> ports;
  for (const char* table : {"/proc/net/tcp", "/proc/net/tcp6"}) {
    std::ifstream lines(table);
    for (std::string line; std::getline(lines, line);) {
      std::istringstream words(line);
      std::string number, local, remote, state, queues, timer, retransmits, uid, timeout, inode;
      words >> number >> local >> remote >> state >> queues >> timer >> retransmits >> uid >> timeout >>
          inode;
      if (state != "0A" || !inodes.contains(inode)) continue;
      ports.push_back(static_cast<uint16_t>(std::stoul(local.substr(local.rfind(':') + 1), nullptr, 16)));
    }
  }
  return ports;
}

TEST(TlsFlags, AloneItOpensNoPlainPort) {
  CertificateFolder folder;
  std::string why_not;
  const auto server = ServerProcess::start(
      {.arguments = {"--drain-seconds", "1"}, .tls = folder.files(), .plain = false}, why_not);
  ASSERT_NE(server, nullptr) << why_not;
  const std::vector<uint16_t> ports = listening_ports(server->pid());
  EXPECT_FALSE(ports.empty());
  for (const uint16_t port : ports) EXPECT_EQ(port, server->tls_port());
  EXPECT_EQ(server->stop(), (ServerProcess::Exit{.code = 0, .signal = 0}));
}

}  // namespace
}  // namespace ringcast::blackbox
