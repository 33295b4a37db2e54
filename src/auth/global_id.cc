// GlobalIDs as text.
#include "auth/global_id.h"

#include <algorithm>

#include "base/base64.h"

namespace ringcast {
namespace {

constexpr std::string_view kScheme = "gid://";
constexpr size_t kIdPartsMax = 20;  // of a composite primary key, as GlobalID limits it

bool is_alphanumeric(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
}

bool is_unreserved(char c) {
  return is_alphanumeric(c) || c == '_' || c == '.' || c == '-' || c == '~';
}

bool is_upper_hex(char c) {
  return (c >= '0' && c <= '9') || (c >= 'A' && c <= 'F');
}

bool valid_app(std::string_view app) {
  return !app.empty() && std::ranges::all_of(app, [](char c) { return is_unreserved(c) && c != '~'; });
}

// "User", "Admin::User".
bool valid_model(std::string_view model) {
  for (;;) {
    const size_t end = std::min(model.find("::"), model.size());
    const std::string_view name = model.substr(0, end);
    if (name.empty() || name.front() < 'A' || name.front() > 'Z') return false;
    if (!std::ranges::all_of(name, [](char c) { return is_alphanumeric(c) || c == '_'; })) return false;
    if (end == model.size()) return true;
    model.remove_prefix(end + 2);
  }
}

bool valid_id(std::string_view id) {
  if (id.empty()) return false;
  for (size_t i = 0; i < id.size(); ++i) {
    if (is_unreserved(id[i]) || id[i] == '+') continue;
    if (id[i] != '%' || id.size() - i < 3 || !is_upper_hex(id[i + 1]) || !is_upper_hex(id[i + 2]))
      return false;
    i += 2;
  }
  return true;
}

}  // namespace

std::string escape_global_id(std::string_view id) {
  static constexpr char kHex[] = "0123456789ABCDEF";
  std::string escaped;
  for (const char c : id) {
    if (is_unreserved(c)) {
      escaped += c;
    } else if (c == ' ') {
      escaped += '+';
    } else {
      escaped += '%';
      escaped += kHex[static_cast<unsigned char>(c) >> 4];
      escaped += kHex[static_cast<unsigned char>(c) & 15];
    }
  }
  return escaped;
}

bool valid_global_id(std::string_view text) {
  if (!text.starts_with(kScheme)) return false;
  text.remove_prefix(kScheme.size());
  const size_t app = text.find('/');
  if (app == std::string_view::npos || !valid_app(text.substr(0, app))) return false;
  text.remove_prefix(app + 1);
  const size_t model = text.find('/');
  if (model == std::string_view::npos || !valid_model(text.substr(0, model))) return false;
  text.remove_prefix(model + 1);
  for (size_t parts = 1; parts <= kIdPartsMax; ++parts) {
    const size_t end = std::min(text.find('/'), text.size());
    if (!valid_id(text.substr(0, end))) return false;
    if (end == text.size()) return true;
    text.remove_prefix(end + 1);
  }
  return false;
}

std::string global_id_param(std::string_view global_id) {
  return valid_global_id(global_id) ? base64url_encode(as_bytes(global_id)) : std::string();
}

std::string identifier_param(const Json& value) {
  if (!value.is_string()) return value.dump();
  std::string param = global_id_param(value.text());
  return param.empty() ? std::string(value.text()) : param;
}

}  // namespace ringcast
