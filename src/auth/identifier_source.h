// Where a connection's identifier comes from, as the operator writes it (NAME=SOURCE),
// and reading it from a request. Parsed once at start; evaluated for each handshake; pure.
//
//   cookies.signed.NAME[/POINTER]     the value in Rails' signed cookie
//   cookies.encrypted.NAME[/POINTER]  … in an encrypted one, such as the session
//   devise.NAME[/SCOPE]               the user whom Devise keeps in the session cookie NAME
//   jwt.CLAIM[/POINTER]               a claim of the verified token; "ext" is looked into
//   header.NAME                       a header that the caller trusts the sender of
//   query.NAME                        a parameter of the URL: proves nothing by itself
//
// Behind one of these, but the last two, "[]" takes a list of such values (jwt.symbols[]): what
// somebody may, and no part of who it is.
//
// or a template of text around {SOURCE}, one or several: "gid://app/User/{jwt.sub}". In a
// GlobalID values are escaped as Rails escapes them. POINTER is a JSON Pointer (RFC 6901),
// and a claim is written as one of its tokens: jwt.https:~1~1example.com~1id.
//
// Two users never get one identifier from a template: a value that contains the text
// behind its place is refused.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "auth/keys.h"
#include "auth/rails_message.h"
#include "ringcast/json.h"

namespace ringcast {

// An identifier goes into log lines, stream names and tables: longer ones are refused.
constexpr size_t kIdentifierValueBytesMax = 512;
// All the values of a list.
constexpr size_t kIdentifierListBytesMax = 16 * 1024;

// One request's credentials, as the caller knows them.
class CredentialSource {
 public:
  virtual ~CredentialSource() = default;

  // Decoded values; nothing where there is none.
  virtual std::optional<std::string> cookie(std::string_view name) const = 0;
  // In any case of letters. Nothing too when the peer is not one whose headers count.
  virtual std::optional<std::string> header(std::string_view name) const = 0;
  virtual std::optional<std::string> query(std::string_view name) const = 0;
  // The claims of a token that was verified; null when there is none.
  virtual const Json* claims() const = 0;
  virtual const KeyRing& keys() const = 0;
  virtual int64_t now_unix_ms() const = 0;
};

struct IdentifierValue {
  enum class Status : uint8_t {
    ok,
    missing,  // nobody says who this is
    refused,  // somebody says it, but not credibly, or not in a form that can be a name
  };
  Status status = Status::missing;
  Json value;          // ok: a string that is not blank, or a number; or a list of them
  std::string reason;  // otherwise: "the cookie user_id is expired"; never the credential itself
  RailsError cookie_error =
      RailsError::none;  // of the cookie that failed; marshal deserves a log line of its own

  explicit operator bool() const { return status == Status::ok; }
};

class IdentifierSource {
 public:
  // "current_user=cookies.signed.user_id". Nothing, and a sentence, when it is not that.
  static std::optional<IdentifierSource> parse(std::string_view text, std::string* error);

  const std::string& name() const { return name_; }
  // As it was written behind '='.
  const std::string& text() const { return text_; }

  // Which secrets it needs, so that a missing one is found at start.
  bool needs_cookie_keys() const;
  bool needs_jwt() const;
  // Whether a request's own headers decide, so trusted proxies must be configured.
  bool needs_trusted_headers() const;
  bool is_global_id() const { return global_id_; }

  IdentifierValue evaluate(const CredentialSource& credentials) const;

 private:
  struct Lookup {
    enum class Kind : uint8_t { signed_cookie, encrypted_cookie, jwt_claim, header, query };
    Kind kind = Kind::query;
    std::string name;
    std::vector<std::string> pointer;  // unescaped reference tokens
    bool list = false;

    static std::optional<Lookup> parse(std::string_view text, std::string* error);
    // What a log calls it: "the signed cookie user_id".
    std::string label() const;
    // A usable value as it is, or why there is none.
    IdentifierValue find(const CredentialSource& credentials) const;
    IdentifierValue check(const Json& value) const;
    IdentifierValue find_cookie(const CredentialSource& credentials) const;
  };
  struct Part {
    std::string text;  // in front of the lookup
    std::optional<Lookup> lookup;
  };

  bool parse_template(std::string_view text, std::string* error);
  bool well_formed_global_id() const;
  IdentifierValue fill_in(const CredentialSource& credentials) const;
  bool needs(Lookup::Kind kind) const;

  std::string name_;
  std::string text_;
  std::vector<Part> parts_;  // not empty; only the last may be without a lookup
  bool bare_ = false;        // one lookup and nothing around it: its value keeps its kind
  bool global_id_ = false;
};

}  // namespace ringcast
