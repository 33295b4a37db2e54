#include "auth/origin.h"

#include <algorithm>
#include <optional>

#include "base/ascii.h"

namespace ringcast {
namespace {

struct Authority {
  std::string_view host;  // brackets of an IPv6 address included
  std::string_view port;  // digits, or empty
};

// host[:port]. Nothing when anything else is there: a path, userinfo, a second origin.
std::optional<Authority> parse_authority(std::string_view text) {
  Authority authority;
  if (text.starts_with('[')) {
    authority.host = text.substr(0, std::min(text.find(']'), text.size() - 1) + 1);
    const auto is_inside = [](char c) {
      return is_digit(c) || (lower(c) >= 'a' && lower(c) <= 'f') || c == ':' || c == '.';
    };
    if (authority.host.size() < 4 || !authority.host.ends_with(']') ||
        !std::ranges::all_of(authority.host.substr(1, authority.host.size() - 2), is_inside)) {
      return std::nullopt;
    }
  } else {
    authority.host = text.substr(0, text.find(':'));
    const auto is_inside = [](char c) {
      return is_letter(c) || is_digit(c) || c == '-' || c == '.' || c == '_' || c == '~';
    };
    if (authority.host.empty() || !std::ranges::all_of(authority.host, is_inside)) return std::nullopt;
  }
  text.remove_prefix(authority.host.size());
  if (text.empty()) return authority;
  authority.port = text.substr(1);
  if (text.front() != ':' || authority.port.empty() || authority.port.size() > 5 ||
      !std::ranges::all_of(authority.port, is_digit)) {
    return std::nullopt;
  }
  return authority;
}

struct Origin {
  std::string_view scheme;
  Authority authority;
};

// RFC 6454 6.2, the form a browser sends unless it sends "null".
std::optional<Origin> parse_origin(std::string_view text) {
  const size_t colon = text.find("://");
  if (colon == std::string_view::npos) return std::nullopt;
  const std::string_view scheme = text.substr(0, colon);
  const auto is_inside = [](char c) {
    return is_letter(c) || is_digit(c) || c == '+' || c == '-' || c == '.';
  };
  if (scheme.empty() || !is_letter(scheme.front()) || !std::ranges::all_of(scheme, is_inside))
    return std::nullopt;
  const std::string_view rest = text.substr(colon + 3);
  const bool web = equals_ignoring_case(scheme, "http") || equals_ignoring_case(scheme, "https");
  if (rest.empty() && !web) return Origin{scheme, {}};  // "file://", from some embedded browsers
  const auto authority = parse_authority(rest);
  if (!authority) return std::nullopt;
  return Origin{scheme, *authority};
}

// Ports compare as text; leading zeros are nobody's spelling.
std::string_view effective_port(std::string_view scheme, std::string_view port) {
  if (!port.empty()) return port;
  if (equals_ignoring_case(scheme, "http")) return "80";
  if (equals_ignoring_case(scheme, "https")) return "443";
  return {};
}

bool same_scheme_and_port(const Origin& a, std::string_view scheme, std::string_view port) {
  return equals_ignoring_case(a.scheme, scheme) &&
         effective_port(a.scheme, a.authority.port) == effective_port(scheme, port);
}

constexpr std::string_view kBelow = "://*.";

// "https://*.example.com" as an origin whose host is ".example.com"; nothing when the
// entry is no wildcard.
std::optional<Origin> parse_wildcard(std::string_view entry) {
  const size_t at = entry.find(kBelow);
  if (at == std::string_view::npos) return std::nullopt;
  const auto authority = parse_authority(entry.substr(at + kBelow.size() - 1));
  // "*." alone, or "*..com", names no domain.
  if (!authority || authority->host.size() < 2 || authority->host[1] == '.') return std::nullopt;
  const std::string_view scheme = entry.substr(0, at);
  if (!equals_ignoring_case(scheme, "http") && !equals_ignoring_case(scheme, "https")) return std::nullopt;
  return Origin{scheme, *authority};
}

bool entry_matches(std::string_view entry, const Origin& origin) {
  if (const auto wildcard = parse_wildcard(entry)) {
    const std::string_view host = origin.authority.host;
    const std::string_view suffix = wildcard->authority.host;
    return same_scheme_and_port(origin, wildcard->scheme, wildcard->authority.port) &&
           host.size() > suffix.size() &&
           equals_ignoring_case(host.substr(host.size() - suffix.size()), suffix);
  }
  const auto exact = parse_origin(entry);
  return exact && same_scheme_and_port(origin, exact->scheme, exact->authority.port) &&
         equals_ignoring_case(origin.authority.host, exact->authority.host);
}

}  // namespace

bool origin_allowed(std::string_view origin, std::string_view host, bool tls,
                    std::span<const std::string> allowed) {
  if (origin.empty()) return false;
  if (std::ranges::find(allowed, "*") != allowed.end()) return true;
  // A sandboxed page is of no origin, so of no entry but one that says so.
  if (origin == "null") return std::ranges::find(allowed, "null") != allowed.end();
  const auto parsed = parse_origin(origin);
  if (!parsed) return false;

  const auto own = parse_authority(host);
  if (own && same_scheme_and_port(*parsed, tls ? "https" : "http", own->port) &&
      equals_ignoring_case(parsed->authority.host, own->host)) {
    return true;
  }
  return std::ranges::any_of(allowed, [&](std::string_view entry) { return entry_matches(entry, *parsed); });
}

bool valid_origin_entry(std::string_view entry) {
  return entry == "*" || entry == "null" || parse_wildcard(entry) || parse_origin(entry);
}

}  // namespace ringcast
