// Prefixes and PostgreSQL's short names. Pure functions; any thread.
#include "adapter/wire_names.h"

#include <algorithm>

#include "base/glob.h"
#include "base/sha1.h"

namespace ringcast {
namespace {

constexpr size_t kPostgresNameBytesMax = 63;  // NAMEDATALEN - 1

}  // namespace

std::string WireNames::to_wire(std::string_view stream) const {
  const auto matches = [&](const std::string& pattern) { return glob_match(pattern, stream); };
  if (prefix.empty() || std::any_of(unprefixed.begin(), unprefixed.end(), matches))
    return std::string(stream);
  return prefix + ":" + std::string(stream);
}

std::string WireNames::problem() const {
  if (prefix.empty()) return {};
  const std::string head = prefix + ":";
  for (const std::string& pattern : unprefixed) {
    if (pattern == "*") return {};  // nothing is prefixed at all
  }
  for (const std::string& pattern : unprefixed) {
    const size_t star = pattern.find('*');
    const std::string_view literal = std::string_view(pattern).substr(0, star);
    if (literal.starts_with(head) || (star != std::string::npos && head.starts_with(literal))) {
      return "streams like \"" + pattern + "\" go without a prefix, but such a name can begin with \"" +
             head + "\", the prefix of all others: choose another channel prefix";
    }
  }
  return {};
}

std::string postgres_channel(std::string_view wire) {
  if (wire.size() <= kPostgresNameBytesMax) return std::string(wire);
  std::string hex;
  for (const std::byte byte : sha1(as_bytes(wire))) {
    hex += "0123456789abcdef"[std::to_integer<unsigned>(byte) >> 4];
    hex += "0123456789abcdef"[std::to_integer<unsigned>(byte) & 15];
  }
  return hex;
}

}  // namespace ringcast
