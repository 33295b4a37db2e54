// JSON as the protocol layer needs it: is this text JSON, which strings does
// that object hold, how is a string written. Nothing here builds a tree; the
// tree is ringcast::Json (include/ringcast/json.h), implemented in
// json_value.cc and read by json_builder.cc. Any thread: each keeps one parser and one
// padded copy of its last document, bounded (json_document.h).
#pragma once

#include <span>
#include <string>
#include <string_view>

#include "base/bytes.h"
#include "ringcast/json.h"

namespace ringcast {

// Whether `text` is one JSON text by the grammar of RFC 8259, in UTF-8, nested
// at most Json::kDepthMax deep. No number is converted, so every number the
// grammar allows passes; so does a \uXXXX that is half a surrogate pair. Does
// not allocate once this thread has seen a document as large.
bool valid_json(Bytes text);

// The same, with the reason as a constant sentence; empty when valid.
std::string_view json_problem(Bytes text);

// Whether `token`, all of it, is a number by the grammar (RFC 8259 section 6).
bool is_json_number(std::string_view token);

// One member that a caller of read_string_members() asks for.
struct StringMember {
  enum class Found : uint8_t { absent, null, string, other };

  std::string_view key;
  std::string* value;  // where a string's content goes; cleared when there is none
  Found found = Found::absent;
  bool lone_surrogate = false;  // half a surrogate pair was read as U+FFFD
};

// Reads a JSON text that must be an object and fills in the `wanted` members,
// which are few. The whole text is checked as valid_json() does. A key named
// twice counts as its last. Allocates only where a `value` must grow. Returns
// the reason of a refusal as a constant sentence, empty when all is well.
std::string_view read_string_members(std::string_view text, std::span<StringMember> wanted);

// Appends `text` as a JSON string with its quotes. Ill-formed UTF-8 becomes
// U+FFFD, so that what is appended may go into a text frame.
void append_json_string(std::string& out, std::string_view text, JsonEscape escape = JsonEscape::minimal);

}  // namespace ringcast
