// How a message says on PostgreSQL who must not get it, when its own notification has to be
// the payload alone, as Rails reads it: by another notification in front, in the same
// transaction, on a channel that Ringcast's servers listen to and Rails' do not. Pure; any
// thread.
#pragma once

#include <optional>
#include <string>
#include <string_view>

namespace ringcast {

// Without a prefix: rooms are shared by applications that have different ones.
inline constexpr std::string_view kPostgresExclusionChannel = "_ringcast_exclude";

struct PostgresExclusion {
  std::string socket;   // as its client knows it
  std::string channel;  // the message's
  // The message's own. Who begins to listen to the channel between two transactions hears
  // the first one's exclusion and the second one's message.
  std::string digest;

  static PostgresExclusion of(std::string_view socket, std::string_view channel, std::string_view payload);
  static std::optional<PostgresExclusion> parse(std::string_view text);
  std::string to_string() const;

  bool concerns(std::string_view channel, std::string_view payload) const;
};

}  // namespace ringcast
