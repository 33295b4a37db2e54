#include "app/config.h"

#include <fstream>
#include <sstream>

#include "app/declared_reader.h"
#include "ringcast/option_table.h"

namespace ringcast {
namespace {

constexpr std::string_view kSynopsis =
    "Serves Action Cable on /cable, raw WebSockets on /websocket and a demo of both on /.\n"
    "ringcast publish --help and ringcast generate --help speak of its other commands.";

void add_own_rows(OptionTable& table, Config& config) {
  table.section("What is served");
  table.choice("demo", config.demo,
               {{"auto", DemoMode::automatic}, {"on", DemoMode::on}, {"off", DemoMode::off}},
               "the page, its channels and rooms, on loopback addresses only; auto is on unless the "
               "configuration file declares channels or routes, or there is an rpc-url");
  table.toggle("demo-anywhere", config.demo_anywhere,
               "the demo on other addresses, too: whoever reaches it publishes there without a key");
  table.toggle("echo", config.echo, "serve /echo, which sends every message back");
  table.number("echo-max-message-bytes", "BYTES", config.echo_max_message_bytes, {128, 1 << 30},
               "a message to /echo", {"1009", "ringcast_ended_total{reason=\"too_big\"}"});
  table.text("room-prefix", "TEXT", config.room_prefix, "stands before a room's name in its stream's");
  table.text("welcome", "TEXT", config.welcome, "what a newcomer to the raw chat is greeted with");
  table.text("broadcast-key-file", "FILE", config.broadcast_key_file,
             "POST /_broadcast asks for the bearer key in this file; without it only the demo may publish");
  table.text("global-id-app", "NAME", config.global_id_app,
             "the Rails application whose models {gid:User:…} in declared channels names");
}

// One line: what a shell's `openssl rand -hex 32 > key` leaves behind, line end included.
std::string read_key(const std::string& path, std::string& key) {
  std::ifstream file(path, std::ios::binary);
  std::ostringstream content;
  content << file.rdbuf();
  if (!file.is_open() || file.bad()) return "broadcast-key-file: '" + path + "' cannot be read";
  key = content.str();
  while (!key.empty() && (key.back() == '\n' || key.back() == '\r')) key.pop_back();
  if (key.empty()) return "broadcast-key-file: '" + path + "' is empty";
  for (const char c : key) {
    if (c <= ' ' || c == 0x7f) return "broadcast-key-file: '" + path + "' holds more than one word";
  }
  return {};
}

std::string check(Config& config) {
  if (std::string problem = config.server.problem(); !problem.empty()) return problem;
  if (!config.broadcast_key_file.empty()) {
    if (std::string problem = read_key(config.broadcast_key_file, config.broadcast_key); !problem.empty()) {
      return problem;
    }
  }
  if (!config.demo_on() || config.demo_anywhere) return {};
  // Anybody may publish in the demo, so nobody but this machine may reach it.
  for (const auto* listen : {&config.server.listen, &config.server.tls_listen}) {
    for (const std::string& address : *listen) {
      if (is_loopback(address)) continue;
      return "the demo lets whoever reaches it publish, so it is for loopback addresses only, and " +
             address + " is none: add --demo off, or --demo-anywhere if that is what you want";
    }
  }
  return {};
}

std::string read_declared(const OptionTable::Reading& read, Config& config) {
  if (read.config_file.empty()) return {};
  DeclarationContext context{.global_id_app = config.global_id_app, .identifiers = {}};
  for (const std::string& source : config.server.identified_by) {
    context.identifiers.push_back(source.substr(0, source.find('=')));
  }
  return read_declarations(read.config_text, read.config_file, context, config.declared);
}

// They stay where they are written; who asks is told that there are some.
std::string declared_names(const OptionTable::Reading& read, const Declarations& declared) {
  if (declared.empty()) return {};
  std::string out = "\n# " + read.config_file + " declares besides:\n";
  for (const ChannelRules& channel : declared.channels) out += "# [[channel]] " + channel.name + "\n";
  for (const RouteRules& route : declared.routes) out += "# [[route]] " + route.path + "\n";
  return out;
}

}  // namespace

bool is_loopback(std::string_view address) {
  if (address.starts_with("[::1]:")) return true;
  const std::string_view host = address.substr(0, address.rfind(':'));
  return host.starts_with("127.") && host.find_first_not_of("0123456789.") == host.npos;
}

CommandLine read_command_line(int argc, const char* const* argv, const char* const* environment) {
  CommandLine line;
  Config& config = line.config;
  config.server.log_sink = stderr_log_sink();
  OptionTable table;
  add_own_rows(table, config);
  table.add_server(config.server);
  for (const std::string_view name : kDeclaredTables) table.reserve(name);

  const OptionTable::Reading read = table.read(argc, argv, environment);
  if (!read.problem.empty()) {
    line.error = read.problem;
  } else if (read.help) {
    line.output = table.help("ringcast", kSynopsis);
  } else if (read.help_markdown) {
    line.output = table.help_markdown();
  } else if (read.version) {
    line.output = "ringcast " + std::string(version()) + "\n";
  } else {
    line.error = read_declared(read, config);
    if (line.error.empty()) line.error = check(config);
    if (line.error.empty() && read.check_config) line.output = "The configuration is good.\n";
    if (line.error.empty() && read.print_config) {
      line.output = table.toml() + declared_names(read, config.declared);
    }
  }
  if (!line.error.empty()) {
    line.exit_status = 2;
  } else if (!line.output.empty()) {
    line.exit_status = 0;
  }
  return line;
}

}  // namespace ringcast
