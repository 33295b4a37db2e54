// A server binary under test as a child process: started on a free port, awaited until it
// is ready, ended by its pid, its output kept for the failure message. Knows the binary
// by its command line alone. Owned by one test suite; for the thread that started it.
//
//   RINGCAST_BIN      the binary; default build/ringcast
//   RINGCAST_BACKEND  given as --backend where set
//   RINGCAST_SHARDS   given as --shards where set
#pragma once

#include <sys/types.h>

#include <chrono>
#include <cstdint>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "support/certificates.h"

namespace ringcast::blackbox {

class ServerProcess {
 public:
  struct Options {
    // Beyond --listen, --backend and --shards; a flag given here comes later and wins.
    std::vector<std::string> arguments = {};
    // Where given, it listens with TLS too, on a port of its own.
    std::optional<TestCertificateFiles> tls = std::nullopt;
    // Without it, there is no --listen.
    bool plain = true;
    // For the child only. RINGCAST_* variables of the test's own are not handed on.
    std::vector<std::pair<std::string, std::string>> environment = {};
    // Loaded machines and sanitizers are slow; only a broken server waits this long.
    std::chrono::seconds ready_within{60};
    // In the child, right before exec, for what a process inherits: limits, filters.
    // Async-signal-safe calls only.
    void (*before_exec)() = nullptr;
  };

  // How it ended: by exit(code) or by a signal.
  struct Exit {
    int code = -1;   // -1: ended by a signal
    int signal = 0;  // 0: ended by exit
    friend bool operator==(const Exit&, const Exit&) = default;
  };

  // Starts the server and waits until GET /ready is answered with 200. Null with a reason,
  // which holds the server's own words, if that does not happen. The child dies with
  // the calling thread, so that no crashed test leaves a server behind.
  static std::unique_ptr<ServerProcess> start(const Options& options, std::string& why_not);

  // Ends it the hard way if it is still running.
  ~ServerProcess();
  ServerProcess(const ServerProcess&) = delete;
  ServerProcess& operator=(const ServerProcess&) = delete;

  uint16_t port() const { return port_; }          // 0 without a plain one
  uint16_t tls_port() const { return tls_port_; }  // 0 without TLS
  pid_t pid() const { return pid_; }

  bool running();
  void signal(int number);

  // Waits until it has ended; nullopt if it has not by then.
  std::optional<Exit> wait(std::chrono::seconds within);

  // SIGTERM and wait; SIGKILL if that did not end it, and then nullopt.
  std::optional<Exit> stop(std::chrono::seconds within = std::chrono::seconds(60));

  // What it has written so far. All of it once it has ended.
  std::string standard_output() const;
  std::string standard_error() const;

 private:
  ServerProcess(pid_t pid, uint16_t port, uint16_t tls_port, int output_pipe, int error_pipe);

  void collect(int pipe, std::string& text);

  const pid_t pid_;
  const uint16_t port_;
  const uint16_t tls_port_;
  std::optional<Exit> exit_;  // set once reaped: pid_ may be somebody else's from then on

  mutable std::mutex text_mutex_;  // the two texts: written by the collectors
  std::string output_;
  std::string error_;
  std::thread output_collector_;
  std::thread error_collector_;
};

// A folder of a test's own with a certificate and its key in it; gone with this.
class CertificateFolder {
 public:
  CertificateFolder();
  ~CertificateFolder();
  CertificateFolder(const CertificateFolder&) = delete;
  CertificateFolder& operator=(const CertificateFolder&) = delete;

  void write(const TestCertificate& certificate);
  const TestCertificate& certificate() const { return certificate_; }
  const TestCertificateFiles& files() const { return files_; }

 private:
  std::string folder_ = "/tmp/ringcast-test-XXXXXX";
  TestCertificate certificate_;
  TestCertificateFiles files_;
};

// A TCP port of 127.0.0.1 nobody listens on now; somebody may before it is used.
uint16_t free_port();

}  // namespace ringcast::blackbox
