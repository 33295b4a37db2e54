// What the options say about who clients are: secrets read from their files, keys derived
// from them once. Constant once made, and shared by all shards; secrets that are read again
// make another.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "auth/crypto.h"
#include "auth/identifier_source.h"
#include "auth/jwt.h"
#include "auth/keys.h"
#include "ringcast/json.h"
#include "ringcast/options.h"

namespace ringcast::internal {

struct Identity {
  KeyRing cookies;
  JwtPolicy jwt;                          // without keys no token verifies
  std::optional<HmacKey> signed_streams;  // $pubsub
  bool turbo_streams = false;
  bool public_streams = false;
  std::vector<IdentifierSource> sources;  // of cables that name no identifiers themselves
};

// An object without members: those of whoever has none.
const Json& no_identifiers();

// Fills `identity`, which takes some milliseconds for each secret. Returns what is wrong
// with the options or their files, in a sentence, or nothing.
std::string load_identity(const Options& options, Identity& identity);

// The same sentence, without deriving anything.
std::string identity_problem(const Options& options);

// The one line that a file holds, without its end. Returns what is wrong, or nothing.
std::string read_secret(std::string_view option, const std::string& path, std::string& secret);

// What the source needs and the options lack, in a sentence, or nothing.
std::string missing_for(const IdentifierSource& source, const Options& options);

}  // namespace ringcast::internal
