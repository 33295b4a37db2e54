// Rails' config/cable.yml as Rails means it: YAML with anchors and merges, and of ERB the
// few forms that such files hold:
//
//   <%= ENV.fetch("NAME") { "default" } %>   <%= ENV.fetch("NAME", "default") %>
//   <%= ENV.fetch("NAME") %>   <%= ENV["NAME"] %>   <%= ENV["NAME"] || "default" %>
//
// Any other Ruby is refused by its text: it cannot be carried out here, and guessing would
// connect to the wrong engine. Pure functions; any thread.
#pragma once

#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace ringcast {

struct CableYml {
  enum class Engine { async, test, redis, postgresql };
  Engine engine = Engine::async;
  // Of Redis: `url`, or one made of host, port, path, username, password, db and ssl. Of
  // PostgreSQL empty, unless the file says one: Rails takes it from config/database.yml.
  std::string url;
  std::string channel_prefix;
  std::string client_name;           // Redis' `id`
  bool tls_verify = true;            // ssl_params: verify_mode: none
  std::string tls_ca_file;           // ssl_params: ca_file
  std::string tls_cert_file;         // ssl_params: cert
  std::string tls_key_file;          // ssl_params: key
  std::vector<std::string> ignored;  // keys that mean nothing here, such as reconnect_attempts
};

// The value of an environment variable, if it is set.
using EnvironmentLookup = std::function<std::optional<std::string>(const std::string& name)>;

// What `environment` ("production") of the file's text says. On failure `*error` is one
// sentence that names the line or the key, and the way out.
std::optional<CableYml> read_cable_yml(std::string_view text, std::string_view environment,
                                       const EnvironmentLookup& variable, std::string* error);

// The text with its ERB carried out. Also for tests and fuzzing.
std::optional<std::string> expand_erb(std::string_view text, const EnvironmentLookup& variable,
                                      std::string* error);

}  // namespace ringcast
