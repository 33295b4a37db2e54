// cable.yml: libyaml makes a tree of nodes of it, anchors resolved; here merges are carried
// out and Rails' keys are understood. Pure functions; any thread.
#include "adapter/cable_yml.h"

#include <yaml.h>

#include <algorithm>
#include <map>

namespace ringcast {
namespace {

// A mapping's scalar values by key, merges carried out; nested mappings as "outer.inner".
using Settings = std::map<std::string, std::string, std::less<>>;

// Anchors can make a tree of 2^n leaves, or one that holds itself, of n lines.
constexpr int kDepthMax = 8;
constexpr size_t kMappingsMax = 1000;
constexpr size_t kSettingsMax = 1000;

class Document {
 public:
  Document() = default;
  Document(const Document&) = delete;
  Document& operator=(const Document&) = delete;
  ~Document() {
    if (loaded_) yaml_document_delete(&tree_);
  }

  // Once. On failure `*error` is one sentence.
  bool load(const std::string& text, std::string* error) {
    yaml_parser_t parser;
    if (yaml_parser_initialize(&parser) == 0) {
      *error = "cable.yml: out of memory";
      return false;
    }
    yaml_parser_set_input_string(&parser, reinterpret_cast<const unsigned char*>(text.data()), text.size());
    loaded_ = yaml_parser_load(&parser, &tree_) != 0;  // else libyaml has freed it
    if (!loaded_) {
      const size_t line = std::max(parser.problem_mark.line, parser.context_mark.line) + 1;
      *error = "cable.yml, line " + std::to_string(line) + ": " +
               (parser.problem != nullptr ? parser.problem : "malformed YAML");
    }
    yaml_parser_delete(&parser);
    return loaded_;
  }

  yaml_node_t* root() { return yaml_document_get_root_node(&tree_); }
  yaml_node_t* node(int id) { return yaml_document_get_node(&tree_, id); }

  // The last of equal keys wins, as in Ruby's YAML. A key not there: nullptr.
  yaml_node_t* find(yaml_node_t* mapping, std::string_view key) {
    yaml_node_t* found = nullptr;
    for (auto* pair = mapping->data.mapping.pairs.start; pair < mapping->data.mapping.pairs.top; ++pair) {
      if (text(node(pair->key)) == key) found = node(pair->value);
    }
    return found;
  }

  static std::string_view text(const yaml_node_t* node) {
    if (node == nullptr || node->type != YAML_SCALAR_NODE) return {};
    return {reinterpret_cast<const char*>(node->data.scalar.value), node->data.scalar.length};
  }

  // False: nested too deep, too large, or a merge of what is no mapping.
  bool collect(yaml_node_t* mapping, const std::string& path, Settings& settings, int depth = 0) {
    if (mapping->type != YAML_MAPPING_NODE || depth > kDepthMax || ++collected_ > kMappingsMax) return false;
    // Later ones win, a merge among them, as Ruby reads it: what stands above `<<` gives way
    // to what is merged, unlike in YAML's own rule. Of several merged the first wins.
    for (auto* pair = mapping->data.mapping.pairs.start; pair < mapping->data.mapping.pairs.top; ++pair) {
      const std::string_view key = text(node(pair->key));
      yaml_node_t* value = node(pair->value);
      if (key == "<<") {
        if (!merge(value, path, settings, depth)) return false;
        continue;
      }
      const std::string name = path + std::string(key);
      // A value replaces all of an inherited mapping.
      settings.erase(name);
      std::erase_if(settings, [&](const auto& entry) { return entry.first.starts_with(name + "."); });
      if (value->type == YAML_MAPPING_NODE) {
        if (!collect(value, name + ".", settings, depth + 1)) return false;
      } else if (value->type == YAML_SEQUENCE_NODE) {
        settings[name + "."] = "a list";
      } else if (!is_null(value)) {
        settings[name] = text(value);
      }
      if (settings.size() > kSettingsMax) return false;
    }
    return true;
  }

 private:
  static bool is_null(const yaml_node_t* node) {
    const std::string_view value = text(node);
    return node->data.scalar.style == YAML_PLAIN_SCALAR_STYLE &&
           (value.empty() || value == "~" || value == "null" || value == "Null" || value == "NULL");
  }

  bool merge(yaml_node_t* value, const std::string& path, Settings& settings, int depth) {
    if (value->type == YAML_MAPPING_NODE) return collect(value, path, settings, depth + 1);
    if (value->type != YAML_SEQUENCE_NODE) return false;
    for (auto* item = value->data.sequence.items.top; item-- > value->data.sequence.items.start;) {
      if (!collect(node(*item), path, settings, depth + 1)) return false;
    }
    return true;
  }

  yaml_document_t tree_ = {};
  bool loaded_ = false;
  size_t collected_ = 0;  // mappings, each as often as it is merged
};

std::string percent_encoded(std::string_view text) {
  std::string encoded;
  for (const char c : text) {
    const auto byte = static_cast<unsigned char>(c);
    const bool plain = (c >= '0' && c <= '9') || (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') ||
                       c == '-' || c == '_' || c == '.' || c == '~';
    if (plain) {
      encoded += c;
    } else {
      encoded += '%';
      encoded += "0123456789ABCDEF"[byte >> 4];
      encoded += "0123456789ABCDEF"[byte & 15];
    }
  }
  return encoded;
}

bool is_true(std::string_view text) {
  return text == "true" || text == "True" || text == "TRUE" || text == "yes" || text == "on";
}

// Takes settings out as it understands them; what is left was not understood.
class Reader {
 public:
  explicit Reader(Settings settings) : settings_(std::move(settings)) {}

  std::string take(std::string_view key) {
    // Ruby's symbols, ":url", are keys as well.
    for (const std::string& spelling : {std::string(key), ":" + std::string(key)}) {
      if (const auto found = settings_.find(spelling); found != settings_.end()) {
        std::string value = std::move(found->second);
        settings_.erase(found);
        return value;
      }
    }
    return {};
  }
  bool has(std::string_view prefix) const {
    return std::any_of(settings_.begin(), settings_.end(),
                       [&](const auto& entry) { return entry.first.starts_with(prefix); });
  }
  std::vector<std::string> rest() const {
    std::vector<std::string> keys;
    for (const auto& [key, value] : settings_) keys.push_back(key);
    return keys;
  }

 private:
  Settings settings_;
};

// redis-rb takes the URL's parts as keys too; they win over the URL's own.
std::string redis_url_of(Reader& reader) {
  std::string url = reader.take("url");
  const std::string host = reader.take("host"), port = reader.take("port"), path = reader.take("path"),
                    database = reader.take("db"), password = reader.take("password"),
                    user = reader.take("username"), ssl = reader.take("ssl");
  if (!url.empty()) return url;
  std::string login;
  if (!user.empty() || !password.empty())
    login = percent_encoded(user) + ":" + percent_encoded(password) + "@";
  if (!path.empty()) return "unix://" + login + path + (database.empty() ? "" : "?db=" + database);
  const bool v6 = host.find(':') != std::string::npos;
  url = (is_true(ssl) ? "rediss://" : "redis://") + login;
  url += host.empty() ? "localhost" : v6 ? "[" + host + "]" : host;
  if (!port.empty()) url += ":" + port;
  return url + (database.empty() ? "" : "/" + database);
}

bool read_redis(Reader& reader, CableYml& cable, std::string* error) {
  if (reader.has("sentinels") || reader.has(":sentinels")) {
    *error =
        "cable.yml names Redis Sentinels, which Ringcast does not ask: give the master's url, by a name "
        "that follows it";
    return false;
  }
  cable.url = redis_url_of(reader);
  cable.client_name = reader.take("id");
  const std::string verify = reader.take("ssl_params.verify_mode");
  cable.tls_verify =
      verify != "0" && verify != "none" && verify != "VERIFY_NONE" && verify != "OpenSSL::SSL::VERIFY_NONE";
  cable.tls_ca_file = reader.take("ssl_params.ca_file");
  cable.tls_cert_file = reader.take("ssl_params.cert");
  cable.tls_key_file = reader.take("ssl_params.key");
  return true;
}

}  // namespace

std::optional<CableYml> read_cable_yml(std::string_view text, std::string_view environment,
                                       const EnvironmentLookup& variable, std::string* error) {
  const std::optional<std::string> expanded = expand_erb(text, variable, error);
  if (!expanded) return std::nullopt;
  Document document;
  if (!document.load(*expanded, error)) return std::nullopt;
  yaml_node_t* root = document.root();
  yaml_node_t* section =
      root == nullptr || root->type != YAML_MAPPING_NODE ? nullptr : document.find(root, environment);
  if (section == nullptr) {
    *error = "cable.yml has no environment \"" + std::string(environment) + "\"";
    return std::nullopt;
  }
  Settings settings;
  if (!document.collect(section, "", settings)) {
    *error = "cable.yml: \"" + std::string(environment) + "\" is no mapping of keys, or merges what is none";
    return std::nullopt;
  }

  Reader reader(std::move(settings));
  CableYml cable;
  const std::string adapter = reader.take("adapter");
  cable.channel_prefix = reader.take("channel_prefix");
  if (adapter == "redis") {
    cable.engine = CableYml::Engine::redis;
    if (!read_redis(reader, cable, error)) return std::nullopt;
  } else if (adapter == "postgresql") {
    cable.engine = CableYml::Engine::postgresql;
    cable.url = reader.take("url");
  } else if (adapter == "async" || adapter == "inline") {
    cable.engine = CableYml::Engine::async;
  } else if (adapter == "test") {
    cable.engine = CableYml::Engine::test;
  } else if (adapter == "solid_cable") {
    *error =
        "cable.yml says adapter: solid_cable, which keeps messages in a table that Ringcast does not read: "
        "set adapter: redis, or adapter: postgresql, in Rails and here";
    return std::nullopt;
  } else if (adapter.empty()) {
    *error = "cable.yml: \"" + std::string(environment) + "\" says no adapter";
    return std::nullopt;
  } else {
    *error = "cable.yml says adapter: " + adapter + ", and Ringcast knows async, test, redis and postgresql";
    return std::nullopt;
  }
  cable.ignored = reader.rest();
  return cable;
}

}  // namespace ringcast
