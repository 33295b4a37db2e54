#include "app/generate.h"

#include <algorithm>
#include <cstdio>
#include <filesystem>
#include <fstream>
#include <sstream>
#include <utility>

#include "ringcast/broadcast.h"

namespace ringcast {
namespace {

namespace fs = std::filesystem;

constexpr std::string_view kGenerateHelp = R"(Usage: ringcast generate channel NAME [ACTION...] [--into DIR]
Writes, below DIR (here, unless it is given):
  channels/NAME_channel.h, .cc          the class, with a function for each ACTION
  channels/register_channels.h, .cc     what makes all channels known to a server
  javascript/channels/NAME_channel.js   its subscription, for @rails/actioncable
  javascript/channels/consumer.js, index.js
NAME is chat, ChatChannel, admin/news or Admin::News. Nothing is overwritten: a channel that is
there already is left alone, and of the files that channels share, only what is missing is
written and lines are added.
)";

constexpr const char* kHeader = "channels/register_channels.h";
constexpr const char* kSource = "channels/register_channels.cc";
constexpr const char* kConsumer = "javascript/channels/consumer.js";
constexpr const char* kIndex = "javascript/channels/index.js";

// Lines are added above these.
constexpr std::string_view kIncludesEnd = "// includes: `ringcast generate channel` adds above this line\n";
constexpr std::string_view kChannelsEnd = "  // channels: `ringcast generate channel` adds above this line\n";

// What a member function cannot be called, or what would hide a function of Channel.
constexpr std::string_view kTaken[] = {
    "subscribed", "unsubscribed",    "params",           "identifier",       "connection",
    "server",     "channel_name",    "stream_from",      "stop_stream_from", "stop_all_streams",
    "stream_for", "stop_stream_for", "broadcasting_for", "broadcast",        "broadcast_to",
    "transmit",   "reject",          "periodically"};
constexpr std::string_view kKeywords[] = {
    "and",      "and_eq",   "asm",      "auto",    "bitand",    "bitor",   "bool",      "break",
    "case",     "catch",    "char",     "class",   "compl",     "concept", "const",     "continue",
    "decltype", "default",  "delete",   "do",      "double",    "else",    "enum",      "explicit",
    "export",   "extern",   "false",    "float",   "for",       "friend",  "goto",      "if",
    "inline",   "int",      "long",     "mutable", "namespace", "new",     "noexcept",  "not",
    "not_eq",   "nullptr",  "operator", "or",      "or_eq",     "private", "protected", "public",
    "register", "requires", "return",   "short",   "signed",    "sizeof",  "static",    "struct",
    "switch",   "template", "this",     "throw",   "true",      "try",     "typedef",   "typeid",
    "typename", "union",    "unsigned", "using",   "virtual",   "void",    "volatile",  "while",
    "xor",      "xor_eq"};

bool is_letter(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}
bool is_digit(char c) {
  return c >= '0' && c <= '9';
}

// "chat_room" and "chat-room" are "ChatRoom"; "ChatRoom" stays.
std::string camel_case(std::string_view word) {
  std::string out;
  bool start = true;
  for (const char c : word) {
    if (c == '_' || c == '-') {
      start = true;
      continue;
    }
    out += start && c >= 'a' && c <= 'z' ? static_cast<char>(c - 32) : c;
    start = false;
  }
  return out;
}

std::string function_name(const std::string& action) {
  return std::ranges::find(kKeywords, action) == std::end(kKeywords) ? action : action + "_";
}

std::string actions_problem(const std::vector<std::string>& actions) {
  for (size_t i = 0; i < actions.size(); ++i) {
    const std::string& action = actions[i];
    const auto fits = [](char c) { return is_letter(c) || is_digit(c) || c == '_'; };
    if (action.empty() || !is_letter(action[0]) || !std::ranges::all_of(action, fits)) {
      return "'" + action + "' is no name of an action: letters, digits and _ make one";
    }
    if (std::ranges::find(kTaken, action) != std::end(kTaken)) {
      return "'" + action + "' cannot be an action: channels have a function of that name";
    }
    if (std::find(actions.begin(), actions.begin() + static_cast<ptrdiff_t>(i), action) !=
        actions.begin() + static_cast<ptrdiff_t>(i)) {
      return "the action '" + action + "' is given twice";
    }
  }
  return {};
}

std::string open_modules(const ChannelNames& names) {
  std::string out;
  for (const std::string& module : names.modules) out += "namespace " + module + " {\n";
  return out.empty() ? out : out + "\n";
}
std::string close_modules(const ChannelNames& names) {
  std::string out;
  for (auto module = names.modules.rbegin(); module != names.modules.rend(); ++module) {
    out += "}  // namespace " + *module + "\n";
  }
  return out.empty() ? out : "\n" + out;
}

std::string class_header(const ChannelNames& names, const std::vector<std::string>& actions) {
  std::string out = "#pragma once\n\n#include <ringcast/ringcast.h>\n\n" + open_modules(names);
  out += "class " + names.class_name + " : public ringcast::Channel {\n public:\n";
  out += "  void subscribed() override;\n  void unsubscribed() override;\n";
  for (const std::string& action : actions) {
    out += "  void " + function_name(action) + "(const ringcast::Json& data)";
    out += action == "receive" ? " override;\n" : ";\n";
  }
  return out + "};\n" + close_modules(names);
}

std::string class_source(const ChannelNames& names, const std::vector<std::string>& actions) {
  const std::string file = names.path.substr(names.path.rfind('/') + 1);
  const std::string stream = "\"" + names.stream + "\"";
  std::string out = "#include \"" + file + ".h\"\n\n" + open_modules(names);
  out += "// The client subscribed; params() is what it subscribed with. Call reject() to turn it away.\n";
  out += "void " + names.class_name + "::subscribed() {\n  stream_from(" + stream + ");\n}\n\n";
  out += "// The subscription is over.\nvoid " + names.class_name + "::unsubscribed() {}\n";
  for (const std::string& action : actions) {
    out += "\nvoid " + names.class_name + "::" + function_name(action) +
           "(const ringcast::Json& data) {\n  broadcast(" + stream + ", data);\n}\n";
  }
  return out + close_modules(names);
}

std::string javascript(const ChannelNames& names, const std::vector<std::string>& actions) {
  std::string up = names.modules.empty() ? "./" : "";
  for (size_t i = 0; i < names.modules.size(); ++i) up += "../";
  std::string out = "import consumer from \"" + up + "consumer.js\";\n\n";
  out += "export default consumer.subscriptions.create(\"" + names.registered + "\", {\n";
  out +=
      "  connected() {\n    // The server has confirmed: nothing published from now on is missed.\n  },\n\n";
  out +=
      "  disconnected() {\n    // The connection is gone. The consumer looks for another one by itself.\n  "
      "},\n\n";
  out += "  received(data) {\n    // Something was broadcast to this channel's stream.\n  },\n";
  for (const std::string& action : actions) {
    out += "\n  " + action + "(data) {\n    return this.perform(\"" + action + "\", data);\n  },\n";
  }
  return out + "});\n";
}

// The file as it is or begins, with `line` above `mark`.
bool add_line(std::map<std::string, std::string>& files, const char* path, std::string_view mark,
              const std::string& line, std::string& problem) {
  std::string& text = files[path];
  const size_t at = text.find(mark);
  if (at == text.npos) {
    const std::string_view comment = mark.substr(mark.find('/'), mark.size() - 1 - mark.find('/'));
    problem.assign(path).append(" has no line '").append(comment);
    problem.append("': put it back, or add by hand: ").append(line, 0, line.size() - 1);
    return false;
  }
  text.insert(at, line);
  return true;
}

}  // namespace

bool read_channel_name(std::string_view name, ChannelNames& names, std::string& problem) {
  std::string text(name);
  for (size_t at; (at = text.find("::")) != text.npos;) text.replace(at, 2, "/");
  std::istringstream parts(text);
  std::vector<std::string> words;
  for (std::string part; std::getline(parts, part, '/');) words.push_back(camel_case(part));
  const auto fits = [](const std::string& word) {
    return !word.empty() && is_letter(word[0]) &&
           std::ranges::all_of(word, [](char c) { return is_letter(c) || is_digit(c); });
  };
  if (words.empty() || text.ends_with('/') || !std::ranges::all_of(words, fits)) {
    problem = "'" + std::string(name) + "' is no name of a channel, such as chat, ChatChannel or admin/news";
    return false;
  }
  if (words.back() != "Channel" && words.back().ends_with("Channel")) {
    words.back().resize(words.back().size() - std::string_view("Channel").size());
  }
  names = {};
  names.class_name = words.back() + "Channel";
  words.pop_back();
  for (const std::string& module : words) names.registered += module + "::";
  names.modules = std::move(words);
  names.registered += names.class_name;
  // Named as Rails names it, but for the key behind it.
  names.stream = broadcasting_for(names.registered, "");
  names.stream.pop_back();
  names.path = names.stream + "_channel";
  std::ranges::replace(names.path, ':', '/');
  return true;
}

std::map<std::string, std::string> generate_channel(const ChannelNames& names,
                                                    const std::vector<std::string>& actions,
                                                    const std::map<std::string, std::string>& existing,
                                                    std::string& problem) {
  if (problem = actions_problem(actions); !problem.empty()) return {};
  std::map<std::string, std::string> files = existing;
  files.try_emplace(
      kHeader,
      "// Makes every channel known: register_channels(server.cable(\"/cable\"));\n#pragma once\n\n"
      "#include <ringcast/ringcast.h>\n\nvoid register_channels(ringcast::CableRoute& cable);\n");
  files.try_emplace(kSource, "#include \"register_channels.h\"\n\n" + std::string(kIncludesEnd) +
                                 "\nvoid register_channels(ringcast::CableRoute& cable) {\n" +
                                 std::string(kChannelsEnd) + "}\n");
  files.try_emplace(kConsumer,
                    "// One connection for all channels of a page.\nimport { createConsumer } from "
                    "\"@rails/actioncable\";\n\nexport default createConsumer();\n");
  files.try_emplace(kIndex, "// Every channel: `ringcast generate channel` adds lines.\n");

  std::string registration = "  cable.channel<" + names.registered + ">(\"" + names.registered + "\"";
  std::string listed;
  for (const std::string& action : actions) {
    if (action == "receive") continue;  // known without being named
    listed += (listed.empty() ? "{\"" : ", {\"") + action + "\", &" + names.registered +
              "::" + function_name(action) + "}";
  }
  registration += listed.empty() ? ");\n" : ", {" + listed + "});\n";
  const std::string include = "#include \"" + names.path + ".h\"\n";
  if (!add_line(files, kSource, kIncludesEnd, include, problem)) return {};
  if (!add_line(files, kSource, kChannelsEnd, registration, problem)) return {};
  files[kIndex] += "import \"./" + names.path + ".js\";\n";

  files["channels/" + names.path + ".h"] = class_header(names, actions);
  files["channels/" + names.path + ".cc"] = class_source(names, actions);
  files["javascript/channels/" + names.path + ".js"] = javascript(names, actions);
  return files;
}

namespace {

int stop_with(const std::string& problem, int status) {
  std::fprintf(stderr, "ringcast generate: %s\n", problem.c_str());
  return status;
}

}  // namespace

int generate_command(int argc, const char* const* argv) {
  std::vector<std::string> words;
  fs::path into = ".";
  for (int i = 1; i < argc; ++i) {
    const std::string word = argv[i];
    if (word == "--help") {
      std::fwrite(kGenerateHelp.data(), 1, kGenerateHelp.size(), stdout);
      return 0;
    }
    if (word.starts_with("--into=")) {
      into = word.substr(7);
    } else if (word == "--into" && i + 1 < argc) {
      into = argv[++i];
    } else if (word.starts_with("-")) {
      return stop_with("'" + word + "' is not an option; see --help", 2);
    } else {
      words.push_back(word);
    }
  }
  if (words.size() < 2 || words[0] != "channel") {
    return stop_with("what is wanted? ringcast generate channel NAME [ACTION...]; see --help", 2);
  }
  ChannelNames names;
  std::string problem;
  if (!read_channel_name(words[1], names, problem)) return stop_with(problem, 2);
  if (problem = actions_problem({words.begin() + 2, words.end()}); !problem.empty())
    return stop_with(problem, 2);

  std::map<std::string, std::string> existing;
  for (const char* shared : {kHeader, kSource, kConsumer, kIndex}) {
    std::ifstream file(into / shared, std::ios::binary);
    if (!file.is_open()) continue;
    std::ostringstream text;
    text << file.rdbuf();
    existing.emplace(shared, text.str());
  }
  const std::map<std::string, std::string> files =
      generate_channel(names, {words.begin() + 2, words.end()}, existing, problem);
  if (!problem.empty()) return stop_with(problem, 1);

  std::error_code error;
  // All is looked at before anything is written.
  for (const auto& [path, text] : files) {
    if (!existing.contains(path) && fs::exists(fs::symlink_status(into / path, error))) {
      return stop_with((into / path).string() + " is there already, and is not overwritten", 1);
    }
  }
  for (const auto& [path, text] : files) {
    const auto before = existing.find(path);
    if (before != existing.end() && before->second == text) continue;
    fs::create_directories((into / path).parent_path(), error);
    std::ofstream file(into / path, std::ios::binary | std::ios::trunc);
    file << text << std::flush;
    if (!file) return stop_with((into / path).string() + " cannot be written", 1);
    std::printf("%s %s\n", before == existing.end() ? "create" : "extend", (into / path).c_str());
  }
  return 0;
}

}  // namespace ringcast
