// The names that Rails makes of its models, so that ours are equal: GlobalIDs
// (gid://app/User/7) and their form in stream names and identifiers of connections. Pure;
// any thread.
#pragma once

#include <string>
#include <string_view>

#include "ringcast/json.h"

namespace ringcast {

// A model's id as GlobalID writes it: letters, digits and _ . - ~ stay, a space becomes
// '+', other bytes %XX in upper case.
std::string escape_global_id(std::string_view id);

// Whether the text is "gid://APP/MODEL/ID[/ID…]" with an app of letters, digits, '-', '_'
// and '.', a constant's name, and ids as escape_global_id writes them.
bool valid_global_id(std::string_view text);

// to_gid_param: base64url without padding, as in "notifications:Z2lkOi8v…". Empty if the text
// is no GlobalID.
std::string global_id_param(std::string_view global_id);

// Whether an identifier's value is part of who it is. What is null is not set, as in Rails,
// and a list says what somebody may.
inline bool names_somebody(const Json& value) {
  return !value.is_null() && !value.is_array();
}

// What the value of an identifier contributes to the name of its connection: a GlobalID
// its param, as the model that it stands for would; any other text itself, all else its JSON.
std::string identifier_param(const Json& value);

}  // namespace ringcast
