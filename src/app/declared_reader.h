// From the tables [[channel]] and [[route]] of the configuration file to Declarations, with a
// complaint in the words of whoever wrote the file: "ringcast.toml:12: channel ChatChannel:
// stream: {parms.room}: here there are params, identifiers". The first mistake of the file is
// the one that is told. Pure; one thread.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "app/declared.h"

namespace ringcast {

// The tables' names, for OptionTable::reserve.
inline constexpr std::string_view kDeclaredTables[] = {"channel", "route"};

struct DeclarationContext {
  std::string global_id_app;
  // What --identified-by names. Whatever the file asks of others is a mistake.
  std::vector<std::string> identifiers;
};

// Returns what is wrong, or nothing. `text` is what OptionTable took for TOML (`config_text`),
// `file` what it is called in complaints.
std::string read_declarations(std::string_view text, const std::string& file,
                              const DeclarationContext& context, Declarations& declarations);

}  // namespace ringcast
