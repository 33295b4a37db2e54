#include "protocol/url.h"

#include <algorithm>
#include <utility>

#include "base/assert.h"
#include "protocol/http_syntax.h"

namespace ringcast {
namespace {

// unreserved (RFC 3986 2.3). Of what a registered name may hold besides, a Host needs
// nothing, and an attacker's ends up in a redirect or a log.
bool is_host_char(char c) {
  return is_letter(c) || is_digit(c) || c == '-' || c == '.' || c == '_' || c == '~';
}

bool is_port(std::string_view port) {
  unsigned number = 0;
  for (const char c : port) {
    if (!is_digit(c)) return false;
    number = number * 10 + static_cast<unsigned>(c - '0');
    if (number > 65535) return false;
  }
  return true;
}

}  // namespace

std::optional<std::string> percent_decode(std::string_view text) {
  std::string decoded;
  decoded.reserve(text.size());
  for (size_t at = 0; at < text.size(); ++at) {
    if (text[at] != '%') {
      decoded += text[at];
      continue;
    }
    if (text.size() - at < 3) return std::nullopt;
    const int high = hex_value(text[at + 1]);
    const int low = hex_value(text[at + 2]);
    if (high < 0 || low < 0) return std::nullopt;
    decoded += static_cast<char>(high << 4 | low);
    at += 2;
  }
  return decoded;
}

std::optional<UrlPath> UrlPath::parse(std::string_view raw_path) {
  if (!raw_path.starts_with('/')) return std::nullopt;
  raw_path.remove_prefix(1);
  UrlPath path;
  for (bool last = false; !last;) {
    const size_t slash = raw_path.find('/');
    last = slash == std::string_view::npos;
    auto segment = percent_decode(raw_path.substr(0, slash));
    if (!segment || segment->find('\0') != std::string::npos) return std::nullopt;
    if (!last) raw_path.remove_prefix(slash + 1);
    // RFC 3986 5.2.4, on decoded segments: a "%2e%2e" left standing would be climbed
    // by whoever decodes next.
    if (*segment == "..") {
      if (!path.segments_.empty()) path.segments_.pop_back();
    } else if (*segment != "." && !(last && segment->empty())) {
      path.segments_.push_back(std::move(*segment));
    }
  }
  return path;
}

bool PathPattern::valid(std::string_view pattern) {
  if (!pattern.starts_with('/')) return false;
  pattern.remove_prefix(1);
  if (pattern.empty()) return true;
  for (;;) {
    const size_t slash = pattern.find('/');
    const std::string_view segment = pattern.substr(0, slash);
    if (slash == std::string_view::npos && segment == "*") return true;
    if (segment.empty() || segment == ":" || segment == "." || segment == ".." ||
        segment.find('*') != std::string_view::npos) {
      return false;
    }
    if (slash == std::string_view::npos) return true;
    pattern.remove_prefix(slash + 1);
  }
}

PathPattern::PathPattern(std::string_view pattern) {
  RC_ASSERT(valid(pattern));
  pattern.remove_prefix(1);
  while (!pattern.empty()) {
    const size_t slash = pattern.find('/');
    const std::string_view segment = pattern.substr(0, slash);
    pattern.remove_prefix(slash == std::string_view::npos ? pattern.size() : slash + 1);
    if (segment == "*") {
      any_tail_ = true;
    } else if (segment.front() == ':') {
      segments_.push_back({std::string(segment.substr(1)), true});
    } else {
      segments_.push_back({std::string(segment), false});
    }
  }
}

std::optional<std::vector<PathParameter>> PathPattern::match(const UrlPath& path) const {
  const std::span<const std::string> given = path.segments();
  if (given.size() < segments_.size() || (given.size() > segments_.size() && !any_tail_)) return std::nullopt;
  std::vector<PathParameter> parameters;
  for (size_t i = 0; i < segments_.size(); ++i) {
    const Segment& wanted = segments_[i];
    if (!wanted.parameter) {
      if (given[i] != wanted.text) return std::nullopt;
    } else {
      if (given[i].empty() || given[i].find('/') != std::string::npos) return std::nullopt;
      parameters.push_back({wanted.text, given[i]});
    }
  }
  return parameters;
}

std::optional<size_t> PathPattern::parameter_index(std::string_view name) const {
  size_t index = 0;
  for (const Segment& segment : segments_) {
    if (!segment.parameter) continue;
    if (segment.text == name) return index;
    ++index;
  }
  return {};
}

std::optional<HostPort> parse_host(std::string_view text) {
  HostPort parts;
  if (text.starts_with('[')) {
    const size_t bracket = text.find(']');
    if (bracket == std::string_view::npos) return std::nullopt;
    parts.host = text.substr(0, bracket + 1);
    const std::string_view address = parts.host.substr(1, bracket - 1);
    const auto is_address_char = [](char c) { return hex_value(c) >= 0 || c == ':' || c == '.'; };
    // "::" is the shortest; whether it is a well-formed address only a resolver would care.
    if (address.find(':') == std::string_view::npos || !std::ranges::all_of(address, is_address_char)) {
      return std::nullopt;
    }
    text.remove_prefix(bracket + 1);
  } else {
    parts.host = text.substr(0, text.find(':'));
    if (parts.host.empty() || !std::ranges::all_of(parts.host, is_host_char)) return std::nullopt;
    text.remove_prefix(parts.host.size());
  }
  if (text.empty()) return parts;
  parts.port = text.substr(1);
  if (text.front() != ':' || !is_port(parts.port)) return std::nullopt;
  return parts;
}

bool host_allowed(std::string_view host, std::span<const std::string> allowed) {
  if (allowed.empty()) return true;
  const auto given = parse_host(host);
  if (!given) return false;
  return std::ranges::any_of(allowed, [&](std::string_view entry) {
    const bool below = entry.starts_with("*.");
    if (below) entry.remove_prefix(1);  // ".example.com"
    const auto wanted = parse_host(entry);
    if (!wanted || (!wanted->port.empty() && wanted->port != given->port)) return false;
    if (!below) return equals_ignoring_case(given->host, wanted->host);
    return given->host.size() > wanted->host.size() &&
           equals_ignoring_case(given->host.substr(given->host.size() - wanted->host.size()), wanted->host);
  });
}

}  // namespace ringcast
