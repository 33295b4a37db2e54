// One server for all tests of a file, started by the first that needs it. Its end is a
// test, too: SIGTERM must end it cleanly after everything that was done to it.
#pragma once

#include <gtest/gtest.h>

#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "blackbox/server_process.h"

namespace ringcast::blackbox {

class SharedServer : public ::testing::Environment {
 public:
  enum class Ports { plain, plain_and_tls };

  // GoogleTest owns it from here on. At namespace scope.
  static SharedServer& add(std::vector<std::string> arguments, Ports ports = Ports::plain) {
    auto* const server = new SharedServer(std::move(arguments), ports);
    ::testing::AddGlobalTestEnvironment(server);
    return *server;
  }

  // Null, with a test failure said, if it cannot be started. Tried once.
  ServerProcess* get() {
    if (!server_ && !std::exchange(tried_, true)) {
      if (ports_ == Ports::plain_and_tls) certificate_.emplace();
      server_ =
          ServerProcess::start({.arguments = arguments_,
                                .tls = certificate_ ? std::optional(certificate_->files()) : std::nullopt},
                               why_not_);
    }
    if (!server_) ADD_FAILURE() << why_not_;
    return server_.get();
  }

  void TearDown() override {
    if (!server_) return;
    EXPECT_TRUE(server_->running()) << "it ended by itself";
    EXPECT_EQ(server_->stop(), (ServerProcess::Exit{.code = 0, .signal = 0})) << server_->standard_error();
    server_.reset();
  }

 private:
  SharedServer(std::vector<std::string> arguments, Ports ports)
      : arguments_(std::move(arguments)), ports_(ports) {}

  const std::vector<std::string> arguments_;
  const Ports ports_;
  bool tried_ = false;
  std::optional<CertificateFolder> certificate_;
  std::unique_ptr<ServerProcess> server_;
  std::string why_not_;
};

}  // namespace ringcast::blackbox
