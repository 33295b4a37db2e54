// The table of options at work: rows, their three sources, and what is written from
// them. Values; one thread.
#include "ringcast/option_table.h"
#include "base/number.h"

#include <unistd.h>

#include <algorithm>
#include <fstream>
#include <map>
#include <optional>
#include <sstream>

// Its errors are values here: no exception of the library's reaches us, and none of its
// assertions, which stand in front of errors that say the same.
#define TOML_EXCEPTIONS 0
#define TOML_ENABLE_FORMATTERS 0
#define TOML_ASSERT(expression) static_cast<void>(0)
#include <toml++/toml.h>

namespace ringcast {
namespace {

constexpr std::string_view kEnvironmentPrefix = "RINGCAST_";

std::string quoted(std::string_view text) {
  return "'" + std::string(text) + "'";
}

std::string environment_name(std::string_view option) {
  std::string name(kEnvironmentPrefix);
  for (const char c : option) name += c == '-' ? '_' : static_cast<char>(c >= 'a' && c <= 'z' ? c - 32 : c);
  return name;
}

// Digits, and for bytes one of the binary suffixes. Nothing on overflow.
std::optional<uint64_t> parse_amount(std::string_view text, bool bytes) {
  uint64_t factor = 1;
  if (bytes) {
    constexpr std::pair<std::string_view, uint64_t> kSuffixes[] = {
        {"KiB", 1 << 10}, {"MiB", 1 << 20}, {"GiB", 1 << 30}};
    for (const auto& [suffix, times] : kSuffixes) {
      if (!text.ends_with(suffix)) continue;
      factor = times;
      text.remove_suffix(suffix.size());
      break;
    }
  }
  const std::optional<uint64_t> number = parse_number<uint64_t>(text);
  if (!number || *number > UINT64_MAX / factor) return std::nullopt;
  return *number * factor;
}

std::optional<bool> parse_toggle(std::string_view text) {
  for (const std::string_view yes : {"on", "true", "yes", "1"}) {
    if (text == yes) return true;
  }
  for (const std::string_view no : {"off", "false", "no", "0"}) {
    if (text == no) return false;
  }
  return std::nullopt;
}

// 1048576 -> "1 MiB": for eyes only.
std::string with_unit(uint64_t number) {
  for (const auto& [factor, unit] :
       std::initializer_list<std::pair<uint64_t, const char*>>{{1 << 20, " MiB"}, {1 << 10, " KiB"}}) {
    if (number >= factor && number % factor == 0) return std::to_string(number / factor) + unit;
  }
  return std::to_string(number);
}

std::string toml_string(std::string_view text) {
  std::string out = "\"";
  for (const char c : text) {
    constexpr char kHex[] = "0123456789ABCDEF";
    const auto byte = static_cast<unsigned char>(c);
    if (c == '"' || c == '\\') {
      out += '\\';
      out += c;
    } else if (byte < 0x20 || byte == 0x7f) {
      out.append("\\u00").append(1, kHex[byte >> 4]).append(1, kHex[byte & 15]);
    } else {
      out += c;
    }
  }
  return out += '"';
}

std::vector<std::string> split(std::string_view text) {
  std::vector<std::string> parts;
  while (!text.empty()) {
    const size_t comma = std::min(text.find(','), text.size());
    if (comma > 0) parts.emplace_back(text.substr(0, comma));
    text.remove_prefix(std::min(comma + 1, text.size()));
  }
  return parts;
}

std::string joined(const std::vector<std::string>& parts, std::string_view separator) {
  std::string out;
  for (const std::string& part : parts) {
    if (!out.empty()) out += separator;
    out += part;
  }
  return out;
}

// What stands beside an option in the left column of --help.
std::string usage(std::string_view name, std::string_view value) {
  return "--" + std::string(name) + (value.empty() ? "" : " " + std::string(value));
}

// Breaks `text` at spaces into lines of `width`, each after the first behind `indent` spaces.
std::string wrapped(std::string_view text, size_t width, size_t indent) {
  std::string out;
  size_t column = 0;
  while (!text.empty()) {
    const size_t word = std::min(text.find(' '), text.size());
    if (column > 0 && column + 1 + word > width) {
      out.append("\n").append(indent, ' ');
      column = 0;
    } else if (column > 0) {
      out += ' ';
      ++column;
    }
    out += text.substr(0, word);
    column += word;
    text.remove_prefix(std::min(word + 1, text.size()));
  }
  return out;
}

// The line of the first letter beyond ASCII that stands neither in a string nor in a comment,
// or 0. TOML has none there, and toml++ 3.3 takes some for impossible.
size_t stray_letter_line(std::string_view text) {
  if (text.starts_with("\xEF\xBB\xBF")) text.remove_prefix(3);
  size_t line = 1;
  bool comment = false;
  std::string_view quote;  // that ends the string we are in
  for (size_t i = 0; i < text.size(); ++i) {
    const char c = text[i];
    if (c == '\n') {
      ++line;
      comment = false;
      if (quote.size() == 1) quote = {};
    } else if (comment) {
      continue;
    } else if (!quote.empty()) {
      if (c == '\\' && quote.front() == '"' && i + 1 < text.size() && text[i + 1] != '\n') {
        ++i;
      } else if (text.substr(i).starts_with(quote)) {
        i += quote.size() - 1;
        quote = {};
      }
    } else if (c == '#') {
      comment = true;
    } else if (c == '"' || c == '\'') {
      quote = text.substr(i, text.substr(i, 3) == std::string(3, c) ? 3 : 1);
      i += quote.size() - 1;
    } else if (static_cast<unsigned char>(c) >= 0x80) {
      return line;
    }
  }
  return 0;
}

struct Flag {
  std::string_view name;
  bool OptionTable::Reading::*member;
  std::string_view help;  // empty: not shown
};

constexpr Flag kFlags[] = {
    {"help", &OptionTable::Reading::help, "print this and end"},
    {"version", &OptionTable::Reading::version, "print the version and end"},
    {"check-config", &OptionTable::Reading::check_config, "say whether the options are good and end"},
    {"print-config", &OptionTable::Reading::print_config, "print the options in effect as TOML and end"},
    {"help-markdown", &OptionTable::Reading::help_markdown, ""},
};
constexpr std::string_view kConfigHelp = "read options from this TOML file";

}  // namespace

std::string_view version() {
  return RINGCAST_VERSION;
}

// --- Rows ------------------------------------------------------------------------

void OptionTable::section(std::string_view title) {
  sections_.emplace_back(title);
}

void OptionTable::add(Row row) {
  if (sections_.empty()) sections_.emplace_back("Options");
  row.section = sections_.size() - 1;
  rows_.push_back(std::move(row));
}

void OptionTable::number(std::string_view name, std::string_view value, uint64_t& variable, Range range,
                         std::string_view help, Limit limit) {
  const bool bytes = value == "BYTES";
  add({.kind = Kind::number,
       .name = std::string(name),
       .value = std::string(value),
       .help = std::string(help),
       .limit = std::move(limit),
       .initial = bytes ? with_unit(variable) : std::to_string(variable),
       .set = [&variable, range, bytes](std::string_view text) -> std::string {
         const auto parsed = parse_amount(text, bytes);
         if (!parsed) return quoted(text) + " is not a whole number" + (bytes ? " of bytes" : "");
         if (*parsed < range.least) return quoted(text) + " is less than " + std::to_string(range.least);
         if (*parsed > range.most) return quoted(text) + " is more than " + std::to_string(range.most);
         variable = *parsed;
         return {};
       },
       .clear = {},
       .as_toml = [&variable] { return std::to_string(variable); }});
}

void OptionTable::toggle(std::string_view name, bool& variable, std::string_view help) {
  add({.kind = Kind::toggle,
       .name = std::string(name),
       .value = "on|off",
       .help = std::string(help),
       .limit = {},
       .initial = variable ? "on" : "off",
       .set = [&variable](std::string_view text) -> std::string {
         const auto parsed = parse_toggle(text);
         if (!parsed) return quoted(text) + " is neither on nor off";
         variable = *parsed;
         return {};
       },
       .clear = {},
       .as_toml = [&variable] { return std::string(variable ? "true" : "false"); }});
}

void OptionTable::text(std::string_view name, std::string_view value, std::string& variable,
                       std::string_view help) {
  add({.kind = Kind::text,
       .name = std::string(name),
       .value = std::string(value),
       .help = std::string(help),
       .limit = {},
       .initial = variable,
       .set = [&variable](std::string_view text) -> std::string {
         variable = text;
         return {};
       },
       .clear = {},
       .as_toml = [&variable] { return toml_string(variable); }});
}

void OptionTable::list(std::string_view name, std::string_view value, std::vector<std::string>& variable,
                       std::string_view help) {
  add({.kind = Kind::list,
       .name = std::string(name),
       .value = std::string(value),
       .help = std::string(help),
       .limit = {},
       .initial = joined(variable, ","),
       .set = [&variable](std::string_view text) -> std::string {
         for (std::string& part : split(text)) variable.push_back(std::move(part));
         return {};
       },
       .clear = [&variable] { variable.clear(); },
       .as_toml =
           [&variable] {
             std::string out = "[";
             for (const std::string& part : variable) out += (out.size() > 1 ? ", " : "") + toml_string(part);
             return out += "]";
           }});
}

void OptionTable::add_choice(std::string_view name, std::vector<std::string> names,
                             std::function<void(size_t)> set, std::function<size_t()> get,
                             std::string_view help) {
  add({.kind = Kind::choice,
       .name = std::string(name),
       .value = joined(names, "|"),
       .help = std::string(help),
       .limit = {},
       .initial = names[get()],
       .set = [names, set = std::move(set)](std::string_view text) -> std::string {
         const auto found = std::ranges::find(names, text);
         if (found == names.end()) return quoted(text) + " is none of " + joined(names, ", ");
         set(static_cast<size_t>(found - names.begin()));
         return {};
       },
       .clear = {},
       .as_toml = [names, get] { return toml_string(names[get()]); }});
}

void OptionTable::reserve(std::string_view name) {
  reserved_.emplace_back(name);
}

OptionTable::Row* OptionTable::find(std::string_view name) {
  const auto found = std::ranges::find(rows_, name, &Row::name);
  return found == rows_.end() ? nullptr : &*found;
}

// --- Reading ---------------------------------------------------------------------

OptionTable::Reading OptionTable::read(int argc, const char* const* argv, const char* const* environment) {
  Reading reading;
  // Weakest first. The file's name comes from the stronger two, so they are read first
  // and applied last.
  std::vector<Assignment> from_file;
  std::vector<Assignment> from_environment;
  std::vector<Assignment> from_arguments;
  read_environment(environment != nullptr ? environment : environ, from_environment, reading);
  reading.problem = read_arguments(argc, argv, from_arguments, reading);
  if (reading.problem.empty() && !reading.config_file.empty()) {
    reading.problem = read_file(from_file, reading);
  }
  for (const auto* source : {&from_file, &from_environment, &from_arguments}) {
    if (reading.problem.empty()) reading.problem = apply(*source);
  }
  return reading;
}

std::string OptionTable::apply(const std::vector<Assignment>& found) {
  std::vector<const Row*> cleared;
  for (const Assignment& assignment : found) {
    Row& row = *assignment.row;
    if (row.clear && std::ranges::find(cleared, &row) == cleared.end()) {
      row.clear();
      cleared.push_back(&row);
    }
    if (std::string wrong = row.set(assignment.value); !wrong.empty()) return assignment.where + ": " + wrong;
  }
  return {};
}

std::string OptionTable::read_arguments(int argc, const char* const* argv, std::vector<Assignment>& found,
                                        Reading& reading) {
  for (int i = 1; i < argc; ++i) {
    const std::string_view argument = argv[i];
    if (!argument.starts_with("--") || argument.size() == 2) {
      return quoted(argument) + " is not an option; see --help";
    }
    const size_t equals = argument.find('=');
    const std::string name(argument.substr(2, equals == argument.npos ? argument.npos : equals - 2));
    std::optional<std::string_view> value;
    if (equals != argument.npos) value = argument.substr(equals + 1);

    const auto flag = std::ranges::find(kFlags, name, &Flag::name);
    if (flag != std::end(kFlags)) {
      if (value) return "--" + name + " takes no value";
      reading.*flag->member = true;
      continue;
    }
    const bool config = name == "config";
    Row* row = config ? nullptr : find(name);
    if (!config && row == nullptr) return "unknown option --" + name + "; see --help";
    if (!value && row != nullptr && row->kind == Kind::toggle) {
      // "--echo" alone means on; "--demo off" takes the word that follows.
      const bool word_follows = i + 1 < argc && parse_toggle(argv[i + 1]).has_value();
      value = word_follows ? std::string_view(argv[++i]) : std::string_view("on");
    }
    if (!value) {
      if (i + 1 >= argc) return "--" + name + " needs a value";
      value = argv[++i];
    }
    if (config) {
      reading.config_file = *value;
    } else {
      found.push_back({row, std::string(*value), "--" + name});
    }
  }
  return {};
}

void OptionTable::read_environment(const char* const* environment, std::vector<Assignment>& found,
                                   Reading& reading) {
  // Unknown RINGCAST_ variables are not ours to judge: others may share the prefix.
  for (; environment != nullptr && *environment != nullptr; ++environment) {
    const std::string_view entry = *environment;
    const size_t equals = entry.find('=');
    if (!entry.starts_with(kEnvironmentPrefix) || equals == entry.npos) continue;
    const std::string name(entry.substr(0, equals));
    const std::string value(entry.substr(equals + 1));
    if (name == environment_name("config")) reading.config_file = value;
    for (Row& row : rows_) {
      if (environment_name(row.name) == name) found.push_back({&row, value, name});
    }
  }
}

std::string OptionTable::read_file(std::vector<Assignment>& found, Reading& reading) {
  const std::string& path = reading.config_file;
  std::ifstream file(path, std::ios::binary);
  std::ostringstream content;
  if (!file || !(content << file.rdbuf())) {
    // An empty file sets failbit on the insertion; it is a good configuration all the same.
    if (!file.is_open()) return "the configuration file " + quoted(path) + " cannot be read";
  }
  reading.config_text = content.str();
  if (const size_t line = stray_letter_line(reading.config_text)) {
    return path + ":" + std::to_string(line) + ": a letter beyond ASCII has to stand in quotes";
  }
  const toml::parse_result parsed = toml::parse(reading.config_text, path);
  if (!parsed) {
    return path + ":" + std::to_string(parsed.error().source().begin.line) + ": " +
           std::string(parsed.error().description());
  }
  for (const auto& [key, node] : parsed.table()) {
    if (std::ranges::find(reserved_, key.str()) != reserved_.end()) continue;
    const std::string where =
        path + ":" + std::to_string(node.source().begin.line) + ": " + std::string(key.str());
    Row* row = find(key.str());
    if (row == nullptr) return where + " is not an option";

    const auto scalar = [](const toml::node& value) -> std::optional<std::string> {
      if (const auto* text = value.as_string()) return text->get();
      if (const auto* number = value.as_integer()) return std::to_string(number->get());
      if (const auto* boolean = value.as_boolean()) return std::string(boolean->get() ? "on" : "off");
      return std::nullopt;
    };
    if (const toml::array* array = node.as_array(); array != nullptr && row->kind == Kind::list) {
      if (array->empty()) found.push_back({row, "", where});
      for (const toml::node& element : *array) {
        if (!element.is_string()) return where + ": expected an array of strings";
        found.push_back({row, element.as_string()->get(), where});
      }
    } else if (const auto value = scalar(node)) {
      found.push_back({row, *value, where});
    } else {
      return where + ": expected " + (row->kind == Kind::list ? "an array of strings" : "a single value");
    }
  }
  return {};
}

// --- Writing ---------------------------------------------------------------------

std::string OptionTable::help(std::string_view program, std::string_view synopsis) const {
  constexpr size_t kLeft = 36;
  constexpr size_t kRight = 64;
  std::string out = "Usage: " + std::string(program) + " [OPTION]…\n" + std::string(synopsis) + "\n";
  const auto line = [&out](const std::string& left, const std::string& right) {
    out += "  " + left;
    if (left.size() + 2 > kLeft) {
      out.append("\n").append(kLeft + 2, ' ');
    } else {
      out.append(kLeft - left.size(), ' ');
    }
    out += wrapped(right, kRight, kLeft + 2) + "\n";
  };
  for (size_t section = 0; section < sections_.size(); ++section) {
    out += "\n" + sections_[section] + ":\n";
    for (const Row& row : rows_) {
      if (row.section != section) continue;
      std::string right = row.help;
      if (!row.limit.answer.empty()) right += "; past it: " + row.limit.answer;
      if (!row.initial.empty()) right += " (" + row.initial + ")";
      line(usage(row.name, row.value), right);
    }
  }
  out += "\nThe rest:\n";
  line(usage("config", "FILE"), std::string(kConfigHelp));
  for (const Flag& flag : kFlags) {
    if (!flag.help.empty()) line(usage(flag.name, ""), std::string(flag.help));
  }
  out +=
      "\nEvery option is an environment variable too (--max-connections: RINGCAST_MAX_CONNECTIONS) and a "
      "key\n"
      "of the file (max-connections = 1000). Flags beat the environment, which beats the file.\n";
  return out;
}

std::string OptionTable::help_markdown() const {
  const auto cell = [](std::string_view text) {
    std::string out;
    for (const char c : text) out += c == '|' ? std::string("\\|") : std::string(1, c);
    return out;
  };
  std::string out = "| option | default | what | past it | metric |\n|---|---|---|---|---|\n";
  for (const Row& row : rows_) {
    out += "| `" + cell(usage(row.name, row.value)) + "` | " + cell(row.initial) + " | " + cell(row.help) +
           " | " + cell(row.limit.answer) + " | " +
           (row.limit.metric.empty() ? "" : "`" + cell(row.limit.metric) + "`") + " |\n";
  }
  out += "| `--config FILE` |  | " + std::string(kConfigHelp) + " |  |  |\n";
  return out;
}

std::string OptionTable::toml() const {
  std::string out;
  for (size_t section = 0; section < sections_.size(); ++section) {
    out += (out.empty() ? "# " : "\n# ") + sections_[section] + "\n";
    for (const Row& row : rows_) {
      if (row.section == section) out += row.name + " = " + row.as_toml() + "\n";
    }
  }
  return out;
}

}  // namespace ringcast
