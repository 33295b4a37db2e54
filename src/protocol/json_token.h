// JSON's tokens as they lie in a document that simdjson has indexed: where a
// string ends, what it says, whether escapes are good. Pure functions on a
// document that has kTokenPaddingBytes readable bytes behind it, zeros at first;
// any thread. For the readers in protocol/json*.cc only.
#pragma once

#include <string>
#include <string_view>

#include "protocol/json.h"

namespace ringcast {

inline constexpr size_t kTokenPaddingBytes = 8;

// Whether every backslash of the document begins an escape. Strings need not be
// told from the rest: outside of them a backslash is part of a token that the
// walk refuses anyway. `text` has zeros behind it, so an escape cut off by the
// end is a bad one.
bool good_json_escapes(std::string_view text);

// A token runs to the next one and so ends in the white space between them. That
// is what RFC 8259, section 2 calls white space, and nothing else.
std::string_view trimmed_token(std::string_view token);

// Where the string whose content begins at `at` goes on specially: its next
// quote or backslash. There must be one.
const char* next_special(const char* at);

// Appends the content of the string that begins at `at`, escapes resolved; they
// have been checked. Returns whether half a surrogate pair was met, for which
// it appends U+FFFD.
bool append_unescaped(std::string& out, const char* at);

}  // namespace ringcast
