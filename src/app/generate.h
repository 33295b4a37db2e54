// ringcast generate channel NAME [ACTION...]: writes a channel's C++ class, its
// registration and its JavaScript, as `rails generate channel` does. Main thread.
#pragma once

#include <map>
#include <string>
#include <string_view>
#include <vector>

namespace ringcast {

// `argv[0]` is the word "generate". The process's exit status: 0 when all was written, 1
// when something stood in the way, 2 for a mistake in the arguments.
int generate_command(int argc, const char* const* argv);

// A channel's names, made of the one it was asked for under: "chat", "ChatChannel",
// "admin/news", "Admin::News".
struct ChannelNames {
  std::vector<std::string> modules;  // "Admin"
  std::string class_name;            // "NewsChannel"
  std::string registered;            // "Admin::NewsChannel", as clients say
  std::string path;                  // "admin/news_channel", without an extension
  std::string stream;                // "admin:news"
};
// Nothing, and why, if no class can have that name.
bool read_channel_name(std::string_view name, ChannelNames& names, std::string& problem);

// The files of a channel, by path. Those of `existing`, by path too, are what is there
// already of the files that all channels share, which are added to. An error names a file
// that cannot be.
std::map<std::string, std::string> generate_channel(const ChannelNames& names,
                                                    const std::vector<std::string>& actions,
                                                    const std::map<std::string, std::string>& existing,
                                                    std::string& problem);

}  // namespace ringcast
