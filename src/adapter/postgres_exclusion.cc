// "SOCKET DIGEST CHANNEL": only the last of them may hold a space. Pure; any thread.
#include "adapter/postgres_exclusion.h"

#include "base/hash.h"

namespace ringcast {
namespace {

std::string digest_of(std::string_view payload) {
  return std::to_string(hash64(payload));
}

}  // namespace

PostgresExclusion PostgresExclusion::of(std::string_view socket, std::string_view channel,
                                        std::string_view payload) {
  return {std::string(socket), std::string(channel), digest_of(payload)};
}

std::optional<PostgresExclusion> PostgresExclusion::parse(std::string_view text) {
  const size_t first = text.find(' ');
  if (first == text.npos) return std::nullopt;
  const size_t second = text.find(' ', first + 1);
  if (second == text.npos) return std::nullopt;
  return PostgresExclusion{std::string(text.substr(0, first)), std::string(text.substr(second + 1)),
                           std::string(text.substr(first + 1, second - first - 1))};
}

std::string PostgresExclusion::to_string() const {
  return socket + " " + digest + " " + channel;
}

bool PostgresExclusion::concerns(std::string_view to, std::string_view payload) const {
  return to == channel && digest_of(payload) == digest;
}

}  // namespace ringcast
