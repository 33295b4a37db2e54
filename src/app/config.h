// What the binary is told: the server's options and its own, read from the command
// line, the environment and the file. Main thread, before and at a reload.
#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "app/declared.h"
#include "ringcast/options.h"

namespace ringcast {

enum class DemoMode : uint8_t { automatic, on, off };

struct Config {
  Options server;
  DemoMode demo = DemoMode::automatic;
  bool demo_anywhere = false;  // also where others reach it, who then may publish as they like
  bool echo = false;
  uint64_t echo_max_message_bytes = 16 << 20;
  std::string room_prefix = "room_";
  std::string welcome = "Welcome to the Ringcast chat!";
  std::string broadcast_key_file;
  std::string broadcast_key;  // what the file holds; empty: none is asked for
  std::string global_id_app;
  Declarations declared;  // channels and routes of the configuration file

  // Whoever declares what is served, or has an application that is asked, needs no demo.
  bool demo_on() const {
    return demo == DemoMode::on ||
           (demo == DemoMode::automatic && declared.empty() && server.rpc_url.empty());
  }
};

// Either a configuration to serve with, or what to print and how to end.
struct CommandLine {
  Config config;
  std::string output;  // for stdout
  std::string error;   // for stderr: one sentence
  std::optional<int> exit_status;
};

// `environment` as in environ(7); null reads the process's.
CommandLine read_command_line(int argc, const char* const* argv, const char* const* environment = nullptr);

// "127.0.0.1:8080", "[::1]:80": whether nobody but this machine can connect.
bool is_loopback(std::string_view address);

}  // namespace ringcast
