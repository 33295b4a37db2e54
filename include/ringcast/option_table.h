// Options from the command line, the environment and a file, by one table. A row
// binds a name to a variable: it is the flag --name, the environment variable
// RINGCAST_NAME and the key `name` of the TOML file that --config names; flags beat
// the environment, the environment beats the file. The table also writes --help, the
// effective configuration and README's table, so none of them can go stale.
//
// A program of one's own adds its rows to the server's:
//
//   ringcast::Options options;
//   std::string motd = "Welcome";
//   ringcast::OptionTable table;
//   table.add_server(options);
//   table.text("motd", "TEXT", motd, "what a newcomer is greeted with");
//   const auto read = table.read(argc, argv);
//
// Nothing here prints or exits. Used by one thread, before the server starts.
#pragma once

#include <cstdint>
#include <functional>
#include <initializer_list>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "ringcast/options.h"

namespace ringcast {

class OptionTable {
 public:
  // What somebody meets who goes past a limit, and the metric that counts it.
  struct Limit {
    std::string answer;
    std::string metric;
  };
  struct Range {
    uint64_t least = 0;
    uint64_t most = UINT64_MAX;
  };

  // Opens a paragraph of --help. Rows are shown in the order they are added.
  void section(std::string_view title);

  // The rows. What the variable holds now is the default. All of them outlive the
  // table. `value` is what stands for the value in --help; a row of BYTES takes
  // "64KiB", "1MiB", "2GiB" as well.
  void number(std::string_view name, std::string_view value, uint64_t& variable, Range range,
              std::string_view help, Limit limit = {});
  void toggle(std::string_view name, bool& variable, std::string_view help);  // on|off; alone it is on
  void text(std::string_view name, std::string_view value, std::string& variable, std::string_view help);
  // Repeatable, or with commas. A stronger source replaces the whole list.
  void list(std::string_view name, std::string_view value, std::vector<std::string>& variable,
            std::string_view help);
  template <class Enum>
  void choice(std::string_view name, Enum& variable,
              std::initializer_list<std::pair<std::string_view, Enum>> choices, std::string_view help) {
    std::vector<std::string> names;
    std::vector<Enum> values;
    for (const auto& [choice_name, choice_value] : choices) {
      names.emplace_back(choice_name);
      values.push_back(choice_value);
    }
    add_choice(
        name, names, [&variable, values](size_t index) { variable = values[index]; },
        [&variable, values] {
          size_t index = 0;
          while (values[index] != variable) ++index;
          return index;
        },
        help);
  }

  // The server's own rows, bound to `options`.
  void add_server(Options& options);

  // A table or key of the file that is the program's own to read, from Reading::config_text.
  void reserve(std::string_view name);

  // What was asked for besides values.
  struct Reading {
    std::string problem;  // one sentence; empty if everything was understood
    bool help = false;
    bool help_markdown = false;
    bool version = false;
    bool check_config = false;
    bool print_config = false;
    std::string config_file;  // that was read, or empty
    std::string config_text;  // what is in it: TOML, if there is no problem
  };

  // Sets the variables. `environment` is as in environ(7), null-terminated; null reads
  // the process's.
  Reading read(int argc, const char* const* argv, const char* const* environment = nullptr);

  std::string help(std::string_view program, std::string_view synopsis) const;
  std::string help_markdown() const;
  std::string toml() const;  // the variables as they are now, as a file for --config

 private:
  enum class Kind : uint8_t { number, toggle, text, list, choice };

  struct Row {
    Kind kind;
    std::string name;
    std::string value;  // "N", "BYTES", "on|off"
    std::string help;
    Limit limit;
    std::string initial;  // the default, as --help shows it
    // Takes one value; returns what is wrong with it, or nothing.
    std::function<std::string(std::string_view)> set;
    std::function<void()> clear;           // list only
    std::function<std::string()> as_toml;  // the variable as a TOML value
    size_t section = 0;
  };

  // A value from a source, and how that source is called in a complaint.
  struct Assignment {
    Row* row;
    std::string value;
    std::string where;
  };

  void add_choice(std::string_view name, std::vector<std::string> names, std::function<void(size_t)> set,
                  std::function<size_t()> get, std::string_view help);
  void add(Row row);
  Row* find(std::string_view name);
  std::string read_arguments(int argc, const char* const* argv, std::vector<Assignment>& found,
                             Reading& reading);
  void read_environment(const char* const* environment, std::vector<Assignment>& found, Reading& reading);
  std::string read_file(std::vector<Assignment>& found, Reading& reading);
  static std::string apply(const std::vector<Assignment>& found);

  std::vector<std::string> sections_;
  std::vector<std::string> reserved_;
  std::vector<Row> rows_;
};

// The library's version, as RINGCAST's --version prints it: "0.1.0".
std::string_view version();

}  // namespace ringcast
