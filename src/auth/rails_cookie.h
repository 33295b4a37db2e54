// Rails' cookies: found in a Cookie header as Rack finds them, verified or decrypted as
// Rails 5.2 to 8.x write them, JSON only. Pure; any thread.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "auth/keys.h"
#include "auth/rails_message.h"

namespace ringcast {

// The decoded value of the first cookie of that name; nothing when there is none. As in
// Rack: pairs end at ';' and spaces behind it, a name is taken as it stands, a value is
// form-decoded ('+' is a space) and stays as it is where an escape is malformed.
std::optional<std::string> find_cookie(std::string_view header, std::string_view name);

// What cookies.signed[name] and cookies.encrypted[name] read, from a value as find_cookie
// gives it. All keys are tried, current first. A cookie made for another name is
// wrong_purpose; one without a name in it (before Rails 6.0) passes.
RailsMessage verify_signed_cookie(const KeyRing& keys, std::string_view name, std::string_view value,
                                  int64_t now_unix_ms);
RailsMessage decrypt_cookie(const KeyRing& keys, std::string_view name, std::string_view value,
                            int64_t now_unix_ms);

}  // namespace ringcast
