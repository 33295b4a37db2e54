// The small language of identifier sources, and what a value must be like to be a name.
#include "auth/identifier_source.h"

#include <algorithm>

#include "auth/global_id.h"
#include "auth/rails_cookie.h"
#include "base/ascii.h"
#include "base/number.h"
#include "base/utf8.h"

namespace ringcast {
namespace {

using Status = IdentifierValue::Status;

constexpr std::string_view kGlobalIdScheme = "gid://";
constexpr size_t kSourceTextBytesMax = 1024;

bool is_control(char c) {
  return static_cast<unsigned char>(c) < 0x20 || c == 0x7f;
}

bool valid_name(std::string_view name) {
  return !name.empty() && !is_digit(name.front()) &&
         std::ranges::all_of(name, [](char c) { return is_letter(c) || is_digit(c) || c == '_'; });
}

// RFC 9110 5.6.2, the names of headers and (RFC 6265 4.1.1) of cookies.
bool is_token(std::string_view text) {
  return !text.empty() && std::ranges::all_of(text, [](char c) {
    return is_letter(c) || is_digit(c) ||
           std::string_view("!#$%&'*+-.^_`|~").find(c) != std::string_view::npos;
  });
}

bool take_prefix(std::string_view& text, std::string_view prefix) {
  if (!text.starts_with(prefix)) return false;
  text.remove_prefix(prefix.size());
  return true;
}

// RFC 6901 4: ~1 is '/', ~0 is '~', nothing else is anything.
std::optional<std::string> unescape_token(std::string_view token) {
  std::string text;
  for (size_t i = 0; i < token.size(); ++i) {
    if (token[i] != '~') {
      text += token[i];
      continue;
    }
    ++i;
    if (i == token.size() || (token[i] != '0' && token[i] != '1')) return std::nullopt;
    text += token[i] == '0' ? '~' : '/';
  }
  return text;
}

// `text` is empty or begins with '/'.
std::optional<std::vector<std::string>> parse_pointer(std::string_view text) {
  std::vector<std::string> pointer;
  while (!text.empty()) {
    text.remove_prefix(1);
    const size_t end = std::min(text.find('/'), text.size());
    auto token = unescape_token(text.substr(0, end));
    if (!token) return std::nullopt;
    pointer.push_back(std::move(*token));
    text.remove_prefix(end);
  }
  return pointer;
}

const Json& follow(const Json& root, const std::vector<std::string>& pointer) {
  static const Json kNothing;
  const Json* at = &root;
  for (const std::string& token : pointer) {
    if (at->is_array()) {
      const std::optional<size_t> index = parse_number<size_t>(token);
      const bool leading_zero = token.size() > 1 && token.front() == '0';
      if (!index || leading_zero) return kNothing;
      at = &(*at)[*index];
    } else {
      at = &(*at)[token];
    }
  }
  return *at;
}

bool is_blank(std::string_view text) {
  return text.find_first_not_of(" \t\r\n\v\f") == std::string_view::npos;
}

bool is_integer(std::string_view token) {
  if (token.starts_with('-')) token.remove_prefix(1);
  return !token.empty() && std::ranges::all_of(token, is_digit);
}

IdentifierValue missing(std::string reason) {
  IdentifierValue value;
  value.reason = std::move(reason);
  return value;
}

IdentifierValue refused(std::string reason) {
  IdentifierValue value;
  value.status = Status::refused;
  value.reason = std::move(reason);
  return value;
}

// Ruby's falsehoods and blanks are nobody, as `if user = …` has it; what cannot stand in a
// name is refused; the rest passes. `what` is the value's label.
IdentifierValue checked(const Json& value, const std::string& what) {
  if (value.is_null() || value.as_bool() == false) return missing(what + " has no value");
  if (!value.is_string() && !value.is_number()) {
    return refused(what +
                   " is neither a string nor a number; a pointer behind its name chooses a part of it");
  }
  const std::string_view text = value.text();
  if (is_blank(text)) return missing(what + " is blank");
  if (text.size() > kIdentifierValueBytesMax) return refused(what + " is too long");
  if (!valid_utf8(as_bytes(text)) || std::ranges::any_of(text, is_control)) {
    return refused(what + " holds control characters or is not UTF-8");
  }
  IdentifierValue found;
  found.status = Status::ok;
  found.value = value;
  return found;
}

// What somebody may, as a list: each of its elements a name.
IdentifierValue checked_list(const Json& value, const std::string& what) {
  if (value.is_null()) return missing(what + " has no value");
  if (!value.is_array()) return refused(what + " is no list");
  size_t bytes = 0;
  for (const Json& element : value.elements()) {
    if (!checked(element, what)) return refused(what + " holds what is neither a string nor a number");
    bytes += element.text().size();
  }
  if (bytes > kIdentifierListBytesMax) return refused(what + " is too long");
  IdentifierValue found;
  found.status = Status::ok;
  found.value = value;
  return found;
}

}  // namespace

std::optional<IdentifierSource::Lookup> IdentifierSource::Lookup::parse(std::string_view text,
                                                                        std::string* error) {
  const std::string quoted = "\"" + std::string(text) + "\"";
  const auto refuse = [&](std::string_view why) {
    *error = quoted + std::string(why);
    return std::nullopt;
  };

  Lookup lookup;
  const bool devise = take_prefix(text, "devise.");
  if (devise || take_prefix(text, "cookies.encrypted.")) {
    lookup.kind = Kind::encrypted_cookie;
  } else if (take_prefix(text, "cookies.signed.")) {
    lookup.kind = Kind::signed_cookie;
  } else if (take_prefix(text, "jwt.")) {
    lookup.kind = Kind::jwt_claim;
  } else if (take_prefix(text, "header.")) {
    lookup.kind = Kind::header;
  } else if (take_prefix(text, "query.")) {
    lookup.kind = Kind::query;
  } else if (text == "devise") {
    return refuse(": name the session cookie too, as in devise._my_app_session");
  } else if (text.starts_with("cookies.")) {
    return refuse(": anybody can write a plain cookie; use cookies.signed.NAME or cookies.encrypted.NAME");
  } else {
    return refuse(
        " is no source: write cookies.signed.NAME, cookies.encrypted.NAME, devise.COOKIE, jwt.CLAIM, "
        "header.NAME or query.NAME");
  }

  // A query's parameter may have any name and holds no JSON.
  const size_t slash = lookup.kind == Kind::query ? text.size() : std::min(text.find('/'), text.size());
  lookup.name = std::string(text.substr(0, slash));
  if (lookup.name.empty()) return refuse(" lacks a name");

  if (devise) {
    const std::string_view scope = slash < text.size() ? text.substr(slash + 1) : "user";
    if (!valid_name(scope))
      return refuse(": behind the cookie's name Devise's scope is expected, as in \"user\"");
    // Warden keeps [[id], salt]: the salt lets Rails notice a changed password, which
    // takes the users table.
    lookup.pointer = {"warden.user." + std::string(scope) + ".key", "0", "0"};
  } else {
    auto pointer = parse_pointer(text.substr(slash));
    if (!pointer) return refuse(": in a pointer '~' is written ~0 and '/' is written ~1");
    lookup.pointer = std::move(*pointer);
  }

  if (lookup.kind == Kind::jwt_claim) {
    auto claim = unescape_token(lookup.name);
    if (!claim) return refuse(": in a claim's name '~' is written ~0 and '/' is written ~1");
    lookup.name = std::move(*claim);
  } else if (lookup.kind != Kind::query && !is_token(lookup.name)) {
    return refuse(lookup.kind == Kind::header ? ": no header has such a name"
                                              : ": no cookie has such a name");
  }
  if (lookup.kind == Kind::header && !lookup.pointer.empty()) return refuse(": a header is text, not JSON");
  return lookup;
}

std::string IdentifierSource::Lookup::label() const {
  switch (kind) {
    case Kind::signed_cookie:
      return "the signed cookie " + name;
    case Kind::encrypted_cookie:
      return "the encrypted cookie " + name;
    case Kind::jwt_claim:
      return "the token's claim " + name;
    case Kind::header:
      return "the header " + name;
    case Kind::query:
      return "the parameter " + name;
  }
  return name;
}

IdentifierValue IdentifierSource::Lookup::check(const Json& value) const {
  return list ? checked_list(value, label()) : checked(value, label());
}

IdentifierValue IdentifierSource::Lookup::find_cookie(const CredentialSource& credentials) const {
  const auto text = credentials.cookie(name);
  if (!text || text->empty()) return missing(label() + " is missing");
  const RailsMessage message =
      kind == Kind::signed_cookie
          ? verify_signed_cookie(credentials.keys(), name, *text, credentials.now_unix_ms())
          : decrypt_cookie(credentials.keys(), name, *text, credentials.now_unix_ms());
  if (!message) {
    IdentifierValue value = refused(label() + " " + std::string(describe(message.error)));
    value.cookie_error = message.error;
    return value;
  }
  return check(follow(message.value, pointer));
}

IdentifierValue IdentifierSource::Lookup::find(const CredentialSource& credentials) const {
  if (kind == Kind::signed_cookie || kind == Kind::encrypted_cookie) return find_cookie(credentials);
  if (kind == Kind::jwt_claim) {
    const Json* const claims = credentials.claims();
    if (claims == nullptr) return missing("there is no valid token");
    const Json* claim = claims->find(name);
    if (claim == nullptr) return missing(label() + " is missing");
    // AnyCable's identifiers are JSON inside a string.
    if (name == "ext" && !pointer.empty() && claim->is_string()) {
      const auto inside = Json::parse(claim->text());
      if (!inside) return refused(label() + " is not JSON");
      return check(follow(*inside, pointer));
    }
    return check(follow(*claim, pointer));
  }
  auto text = kind == Kind::header ? credentials.header(name) : credentials.query(name);
  if (!text) return missing(label() + " is missing");
  return checked(Json(std::move(*text)), label());
}

std::optional<IdentifierSource> IdentifierSource::parse(std::string_view text, std::string* error) {
  const auto refuse = [&](std::string why) {
    *error = std::move(why);
    return std::nullopt;
  };
  const size_t equals = text.find('=');
  if (equals == std::string_view::npos) {
    return refuse("\"" + std::string(text) +
                  "\": write NAME=SOURCE, as in current_user=cookies.signed.user_id");
  }
  if (text.size() > kSourceTextBytesMax) return refuse("an identifier's source is longer than 1024 bytes");
  IdentifierSource source;
  source.name_ = std::string(text.substr(0, equals));
  source.text_ = std::string(text.substr(equals + 1));
  if (!valid_name(source.name_)) {
    return refuse("\"" + source.name_ +
                  "\" is no identifier's name: letters, digits and '_', not a digit first");
  }
  if (source.text_.empty()) return refuse(source.name_ + ": a source is expected behind '='");
  if (!valid_utf8(as_bytes(source.text_)) || std::ranges::any_of(source.text_, is_control)) {
    return refuse(source.name_ + ": the source holds control characters or is not UTF-8");
  }

  if (source.text_.find_first_of("{}") != std::string::npos) {
    if (!source.parse_template(source.text_, error)) {
      *error = source.name_ + ": " + *error;
      return std::nullopt;
    }
    return source;
  }
  if (source.text_.starts_with(kGlobalIdScheme)) {
    return refuse(source.name_ + ": everybody would be \"" + source.text_ +
                  "\"; put a source in braces, as in gid://app/User/{cookies.signed.user_id}");
  }
  std::string_view bare = source.text_;
  const bool list = bare.ends_with("[]");
  if (list) bare.remove_suffix(2);
  auto lookup = Lookup::parse(bare, error);
  if (!lookup) {
    *error = source.name_ + ": " + *error;
    return std::nullopt;
  }
  if (list && (lookup->kind == Lookup::Kind::header || lookup->kind == Lookup::Kind::query)) {
    return refuse(source.name_ + ": a header and a parameter are text, no list");
  }
  lookup->list = list;
  source.bare_ = true;
  source.parts_.push_back({{}, std::move(lookup)});
  return source;
}

bool IdentifierSource::parse_template(std::string_view text, std::string* error) {
  const auto refuse = [&](std::string_view why) {
    *error = why;
    return false;
  };
  while (!text.empty()) {
    const size_t brace = std::min(text.find_first_of("{}"), text.size());
    Part part{std::string(text.substr(0, brace)), std::nullopt};
    text.remove_prefix(brace);
    if (text.empty()) {
      parts_.push_back(std::move(part));
      break;
    }
    const size_t end = text.find('}');
    if (text.front() == '}' || end == std::string_view::npos) return refuse("a brace has no partner");
    part.lookup = Lookup::parse(text.substr(1, end - 1), error);
    if (!part.lookup) return false;
    if (part.text.empty() && !parts_.empty()) {
      return refuse("between two sources must be text, or nobody could tell where one ends");
    }
    parts_.push_back(std::move(part));
    text.remove_prefix(end + 1);
  }

  global_id_ = parts_.front().text.starts_with(kGlobalIdScheme);
  if (global_id_ && !well_formed_global_id()) {
    return refuse(
        "write a GlobalID as gid://app/Model/{SOURCE}, with the names of app and model as they are");
  }
  return true;
}

bool IdentifierSource::well_formed_global_id() const {
  std::string example;
  for (const Part& part : parts_) example += part.text + (part.lookup ? "1" : "");
  // App and model belong to the first text: a credential must not choose the class.
  const std::string_view first = parts_.front().text;
  return valid_global_id(example) && std::ranges::count(first.substr(kGlobalIdScheme.size()), '/') >= 2;
}

bool IdentifierSource::needs(Lookup::Kind kind) const {
  return std::ranges::any_of(parts_,
                             [&](const Part& part) { return part.lookup && part.lookup->kind == kind; });
}

bool IdentifierSource::needs_cookie_keys() const {
  return needs(Lookup::Kind::signed_cookie) || needs(Lookup::Kind::encrypted_cookie);
}

bool IdentifierSource::needs_jwt() const {
  return needs(Lookup::Kind::jwt_claim);
}

bool IdentifierSource::needs_trusted_headers() const {
  return needs(Lookup::Kind::header);
}

IdentifierValue IdentifierSource::evaluate(const CredentialSource& credentials) const {
  return bare_ ? parts_.front().lookup->find(credentials) : fill_in(credentials);
}

IdentifierValue IdentifierSource::fill_in(const CredentialSource& credentials) const {
  std::string text;
  for (size_t i = 0; i < parts_.size(); ++i) {
    const Part& part = parts_[i];
    text += part.text;
    if (!part.lookup) break;
    IdentifierValue found = part.lookup->find(credentials);
    if (!found) return found;
    std::string value(found.value.text());
    if (global_id_) {
      // Rails has "1" where JSON could also say 1.0 or 1e0.
      if (found.value.is_number() && !is_integer(value))
        return refused(part.lookup->label() + " is no model's id");
      value = escape_global_id(value);
    }
    if (i + 1 < parts_.size() && parts_[i + 1].lookup) {
      // Also where only its end would join the delimiter to a longer one.
      const std::string& delimiter = parts_[i + 1].text;
      if ((value + delimiter).find(delimiter) != value.size()) {
        return refused(part.lookup->label() + " contains the text that ends it in the template");
      }
    }
    text += value;
  }
  return checked(Json(std::move(text)), "the identifier " + name_);
}

}  // namespace ringcast
