// The walk over a JSON document. simdjson finds the structure (its stage 1 also
// checks UTF-8 and refuses raw control characters in strings); the walk is ours,
// because On-Demand checks only what its user looks at: every literal, every
// number's grammar and every escape is checked here, and no number is converted.
//
// One walk serves three readers through a sink: checking alone, picking the
// strings of a command (json.cc), building a tree (json_builder.cc). Each thread
// owns one parser and one padded copy of its last document.
#pragma once

#include <simdjson.h>

#include <algorithm>
#include <bit>
#include <cstring>
#include <memory>
#include <new>
#include <string_view>

#include "protocol/json.h"
#include "protocol/json_token.h"

namespace ringcast {

namespace ondemand = simdjson::ondemand;

static_assert(simdjson::SIMDJSON_PADDING >= kTokenPaddingBytes);

// Reasons of refusal that the walk itself finds.
inline constexpr std::string_view kNotJson = "not JSON";
inline constexpr std::string_view kTooDeep = "nested deeper than 100 levels";
inline constexpr std::string_view kTooLarge = "too large";
inline constexpr std::string_view kBadEscape = "a bad escape in a string";
inline constexpr std::string_view kBadNumber = "a number that JSON does not know";
inline constexpr std::string_view kTrailing = "something follows the JSON value";
inline constexpr std::string_view kNotAnObject = "not a JSON object";
static_assert(Json::kDepthMax == 100, "kTooDeep names the limit");

std::string_view json_problem_of(simdjson::error_code error);

// simdjson reads past the end of its input and keeps four bytes of index for
// each byte of it. Both are kept from one document to the next.
struct JsonScratch {
  // Documents up to this size find their memory ready, at a cost of about 7
  // bytes per byte once a thread has seen one as large; what larger ones needed
  // is given back after use.
  static constexpr size_t kKeptBytes = 1024 * 1024;
  static constexpr size_t kLeastBytes = 4 * 1024;

  ondemand::parser parser;
  std::unique_ptr<char[]> text;
  size_t capacity = 0;

  bool grow(size_t bytes) {
    const size_t wanted = bytes <= kKeptBytes ? std::bit_ceil(std::max(bytes, kLeastBytes)) : bytes;
    capacity = 0;
    text.reset(new (std::nothrow) char[wanted + simdjson::SIMDJSON_PADDING]);
    if (text == nullptr || parser.allocate(wanted) != simdjson::SUCCESS) return false;
    capacity = wanted;
    return true;
  }

  void trim() {
    if (capacity > kKeptBytes) *this = JsonScratch();
  }
};

// This thread's.
JsonScratch& json_scratch();

// One document in this thread's scratch, from its bytes to its end.
class JsonDocument {
 public:
  JsonDocument() = default;
  JsonDocument(const JsonDocument&) = delete;
  JsonDocument& operator=(const JsonDocument&) = delete;
  ~JsonDocument() { scratch_.trim(); }

  // Walks the whole document and tells `sink` what it holds. Returns the reason
  // of a refusal; the sink may then have seen a part.
  template <class Sink>
  std::string_view read(std::string_view text, Sink& sink) {
    if (text.size() > simdjson::SIMDJSON_MAXSIZE_BYTES) return kTooLarge;
    const bool fits = scratch_.capacity > 0 && text.size() <= scratch_.capacity;
    if (!fits && !scratch_.grow(text.size())) return kTooLarge;

    // Zeros behind it: what follows the last token must never look like JSON,
    // least of all like the end of the document before.
    if (!text.empty()) std::memcpy(scratch_.text.get(), text.data(), text.size());
    std::memset(scratch_.text.get() + text.size(), 0, simdjson::SIMDJSON_PADDING);
    text = {scratch_.text.get(), text.size()};

    // RFC 8259, section 8.1 lets a reader ignore a byte order mark; browsers and
    // Rails refuse it, and so do we, whatever the library does.
    if (text.starts_with("\ufeff")) return kNotJson;

    ondemand::document document;
    const simdjson::error_code error =
        scratch_.parser.iterate(text.data(), text.size(), text.size() + simdjson::SIMDJSON_PADDING)
            .get(document);
    if (error != simdjson::SUCCESS) return json_problem_of(error);
    if (!good_json_escapes(text)) return kBadEscape;

    if (!root(document, text, sink)) return problem_;
    return {};
  }

 private:
  bool fail(std::string_view problem) {
    problem_ = problem;
    return false;
  }
  bool fail(simdjson::error_code error) { return fail(json_problem_of(error)); }

  template <class Sink>
  bool root(ondemand::document& document, std::string_view text, Sink& sink) {
    ondemand::json_type type;
    if (document.type().get(type) != simdjson::SUCCESS) return fail(kNotJson);
    switch (type) {
      case ondemand::json_type::array: {
        ondemand::array array;
        if (const auto error = document.get_array().get(array)) return fail(error);
        if (!elements(array, 1, sink)) return false;
        break;
      }
      case ondemand::json_type::object: {
        ondemand::object object;
        if (const auto error = document.get_object().get(object)) return fail(error);
        if (!members(object, 1, sink)) return false;
        break;
      }
      case ondemand::json_type::string: {
        ondemand::raw_json_string string;
        if (const auto error = document.get_raw_json_string().get(string)) return fail(error);
        sink.string(string.raw());
        break;
      }
      default: {
        // The one token must be the document: it ends where the text does.
        std::string_view token;
        if (const auto error = document.raw_json_token().get(token)) return fail(error);
        if (token.data() + token.size() != text.data() + text.size()) return fail(kTrailing);
        return literal_or_number(type, token, sink);
      }
    }
    // On-Demand stops behind the value and does not look further by itself.
    const char* rest;
    if (document.current_location().get(rest) != simdjson::OUT_OF_BOUNDS) return fail(kTrailing);
    return true;
  }

  template <class Sink>
  bool value(ondemand::value value, size_t depth, Sink& sink) {
    ondemand::json_type type;
    if (value.type().get(type) != simdjson::SUCCESS) return fail(kNotJson);
    switch (type) {
      case ondemand::json_type::array: {
        ondemand::array array;
        if (const auto error = value.get_array().get(array)) return fail(error);
        return elements(array, depth + 1, sink);
      }
      case ondemand::json_type::object: {
        ondemand::object object;
        if (const auto error = value.get_object().get(object)) return fail(error);
        return members(object, depth + 1, sink);
      }
      case ondemand::json_type::string: {
        ondemand::raw_json_string string;
        if (const auto error = value.get_raw_json_string().get(string)) return fail(error);
        sink.string(string.raw());
        return true;
      }
      default:
        return literal_or_number(type, value.raw_json_token(), sink);
    }
  }

  template <class Sink>
  bool literal_or_number(ondemand::json_type type, std::string_view token, Sink& sink) {
    token = trimmed_token(token);
    switch (type) {
      case ondemand::json_type::number:
        if (!is_json_number(token)) return fail(kBadNumber);
        sink.number(token);
        return true;
      case ondemand::json_type::boolean:
        if (token != "true" && token != "false") return fail(kNotJson);
        sink.boolean(token == "true");
        return true;
      case ondemand::json_type::null:
        if (token != "null") return fail(kNotJson);
        sink.null();
        return true;
      default:
        return fail(kNotJson);
    }
  }

  template <class Sink>
  bool elements(ondemand::array array, size_t depth, Sink& sink) {
    if (depth > Json::kDepthMax) return fail(kTooDeep);
    sink.begin_array();
    for (auto element : array) {
      ondemand::value element_value;
      if (const auto error = element.get(element_value)) return fail(error);
      if (!value(element_value, depth, sink)) return false;
    }
    sink.end_array();
    return true;
  }

  template <class Sink>
  bool members(ondemand::object object, size_t depth, Sink& sink) {
    if (depth > Json::kDepthMax) return fail(kTooDeep);
    sink.begin_object();
    for (auto member : object) {
      ondemand::field field;
      if (const auto error = std::move(member).get(field)) return fail(error);
      sink.key(field.key().raw());
      if (!value(field.value(), depth, sink)) return false;
    }
    sink.end_object();
    return true;
  }

  JsonScratch& scratch_ = json_scratch();
  std::string_view problem_;
};

}  // namespace ringcast
