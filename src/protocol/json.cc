// Reading JSON. simdjson finds the structure (its stage 1 also checks UTF-8 and
// refuses raw control characters in strings); the walk over it is here, because
// On-Demand checks only what its user looks at: every literal, every number's
// grammar and every escape is checked by this file, and no number is converted.
//
// One walk serves three readers through a sink: checking alone, picking the
// strings of a command, building a tree. Each thread owns one parser and one
// padded copy of its last document.
#include "protocol/json.h"

#include <simdjson.h>

#include <algorithm>
#include <array>
#include <bit>
#include <cstring>
#include <memory>
#include <numeric>
#include <utility>
#include <vector>

#include "base/assert.h"

namespace ringcast {

namespace {

namespace ondemand = simdjson::ondemand;

constexpr std::string_view kNotJson = "not JSON";
constexpr std::string_view kTooDeep = "nested deeper than 100 levels";
constexpr std::string_view kTooLarge = "too large";
constexpr std::string_view kBadEscape = "a bad escape in a string";
constexpr std::string_view kBadNumber = "a number that JSON does not know";
constexpr std::string_view kTrailing = "something follows the JSON value";
constexpr std::string_view kNotAnObject = "not a JSON object";
static_assert(Json::kDepthMax == 100, "kTooDeep names the limit");

std::string_view problem_of(simdjson::error_code error) {
  switch (error) {
    case simdjson::SUCCESS:
      return {};
    case simdjson::EMPTY:
      return "empty";
    case simdjson::UTF8_ERROR:
      return "not valid UTF-8";
    case simdjson::UNESCAPED_CHARS:
      return "a control character in a string";
    case simdjson::UNCLOSED_STRING:
      return "a string that does not end";
    case simdjson::INCOMPLETE_ARRAY_OR_OBJECT:
      return "an array or object that does not end";
    case simdjson::CAPACITY:
    case simdjson::MEMALLOC:
      return kTooLarge;
    default:
      return kNotJson;
  }
}

// --- The document ------------------------------------------------------------

// simdjson reads past the end of its input and keeps four bytes of index for
// each byte of it. Both are kept from one document to the next.
struct Scratch {
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
    if (capacity > kKeptBytes) *this = Scratch();
  }
};

thread_local Scratch scratch;

// The bytes JSON calls white space (RFC 8259, section 2), and no others.
bool is_space(char c) {
  return c == ' ' || c == '\n' || c == '\r' || c == '\t';
}

// A token runs to the next one and so ends in the white space between them.
std::string_view trimmed(std::string_view token) {
  while (!token.empty() && is_space(token.back())) token.remove_suffix(1);
  return token;
}

int hex_digit(char c) {
  if (c >= '0' && c <= '9') return c - '0';
  const char lower = static_cast<char>(c | 0x20);
  return lower >= 'a' && lower <= 'f' ? lower - 'a' + 10 : -1;
}

// -1 unless four hexadecimal digits stand there. `at` has padding behind it.
int hex_quad(const char* at) {
  int value = 0;
  for (int i = 0; i < 4; ++i) {
    const int digit = hex_digit(at[i]);
    if (digit < 0) return -1;
    value = value << 4 | digit;
  }
  return value;
}

// What a one-letter escape stands for (RFC 8259, section 7); 0 for no escape.
char escaped_character(char letter) {
  switch (letter) {
    case '"':
    case '\\':
    case '/':
      return letter;
    case 'b':
      return '\b';
    case 'f':
      return '\f';
    case 'n':
      return '\n';
    case 'r':
      return '\r';
    case 't':
      return '\t';
    default:
      return 0;
  }
}

// Whether every backslash of the document begins an escape. Strings need not be
// told from the rest: outside of them a backslash is part of a token that the
// walk refuses anyway. `text` has zeros behind it, so an escape cut off by the
// end is a bad one.
bool good_escapes(std::string_view text) {
  const char* at = text.data();
  const char* const end = at + text.size();
  while ((at = static_cast<const char*>(std::memchr(at, '\\', static_cast<size_t>(end - at)))) != nullptr) {
    // Escapes come in crowds (a command's data is JSON within JSON): go on
    // from one to a near one without another call.
    do {
      if (at[1] == 'u') {
        if (hex_quad(at + 2) < 0) return false;
        at += 6;
      } else {
        if (escaped_character(at[1]) == 0) return false;
        at += 2;
      }
    } while (*at == '\\');
  }
  return true;
}

// Where the string whose content begins at `at` goes on specially: its next
// quote or backslash. There is one, stage 1 has seen to it.
const char* next_special(const char* at) {
  constexpr uint64_t kOnes = 0x0101010101010101;
  constexpr uint64_t kHighs = 0x8080808080808080;
  for (;; at += 8) {
    uint64_t word;
    std::memcpy(&word, at, sizeof word);  // at most 7 bytes into the padding
    const uint64_t quote = word ^ (kOnes * '"');
    const uint64_t backslash = word ^ (kOnes * '\\');
    // Marks each zero byte; a false mark can only stand behind a true one.
    const uint64_t marks = (((quote - kOnes) & ~quote) | ((backslash - kOnes) & ~backslash)) & kHighs;
    if (marks != 0) return at + std::countr_zero(marks) / 8;
  }
}
static_assert(std::endian::native == std::endian::little, "next_special counts from the low end");
static_assert(simdjson::SIMDJSON_PADDING >= 8);

void append_code_point(std::string& out, uint32_t code_point) {
  const auto put = [&](uint32_t octet) { out += static_cast<char>(octet); };
  if (code_point < 0x80) {
    put(code_point);
  } else if (code_point < 0x800) {
    put(0xc0 | code_point >> 6);
    put(0x80 | (code_point & 0x3f));
  } else if (code_point < 0x10000) {
    put(0xe0 | code_point >> 12);
    put(0x80 | (code_point >> 6 & 0x3f));
    put(0x80 | (code_point & 0x3f));
  } else {
    put(0xf0 | code_point >> 18);
    put(0x80 | (code_point >> 12 & 0x3f));
    put(0x80 | (code_point >> 6 & 0x3f));
    put(0x80 | (code_point & 0x3f));
  }
}

// Appends the content of the string that begins at `at`, escapes resolved; they
// have been checked. Returns whether half a surrogate pair was met, for which
// it appends U+FFFD.
bool append_string(std::string& out, const char* at) {
  bool lone_surrogate = false;
  for (;;) {
    const char* const special = next_special(at);
    out.append(at, static_cast<size_t>(special - at));
    if (*special == '"') return lone_surrogate;

    if (special[1] != 'u') {
      out += escaped_character(special[1]);
      at = special + 2;
      continue;
    }
    auto code_point = static_cast<uint32_t>(hex_quad(special + 2));
    at = special + 6;
    if (code_point >= 0xd800 && code_point < 0xdc00 && at[0] == '\\' && at[1] == 'u') {
      const auto low = static_cast<uint32_t>(hex_quad(at + 2));
      if (low >= 0xdc00 && low < 0xe000) {
        code_point = 0x10000 + ((code_point - 0xd800) << 10) + (low - 0xdc00);
        at += 6;
      }
    }
    if (code_point >= 0xd800 && code_point < 0xe000) {
      lone_surrogate = true;
      code_point = 0xfffd;
    }
    append_code_point(out, code_point);
  }
}

// One document in this thread's scratch, from its bytes to its end.
class Document {
 public:
  Document() = default;
  Document(const Document&) = delete;
  Document& operator=(const Document&) = delete;
  ~Document() { scratch.trim(); }

  // Walks the whole document and tells `sink` what it holds. Returns the reason
  // of a refusal; the sink may then have seen a part.
  template <class Sink>
  std::string_view read(std::string_view text, Sink& sink) {
    if (text.size() > simdjson::SIMDJSON_MAXSIZE_BYTES) return kTooLarge;
    if (text.size() > scratch.capacity && !scratch.grow(text.size())) return kTooLarge;

    // Zeros behind it: what follows the last token must never look like JSON,
    // least of all like the end of the document before.
    if (!text.empty()) std::memcpy(scratch.text.get(), text.data(), text.size());
    std::memset(scratch.text.get() + text.size(), 0, simdjson::SIMDJSON_PADDING);
    text = {scratch.text.get(), text.size()};

    // RFC 8259, section 8.1 lets a reader ignore a byte order mark; browsers and
    // Rails refuse it, and so do we, whatever the library does.
    if (text.starts_with("\ufeff")) return kNotJson;

    ondemand::document document;
    const simdjson::error_code error =
        scratch.parser.iterate(text.data(), text.size(), text.size() + simdjson::SIMDJSON_PADDING)
            .get(document);
    if (error != simdjson::SUCCESS) return problem_of(error);
    if (!good_escapes(text)) return kBadEscape;

    if (!root(document, text, sink)) return problem_;
    return {};
  }

 private:
  bool fail(std::string_view problem) {
    problem_ = problem;
    return false;
  }
  bool fail(simdjson::error_code error) { return fail(problem_of(error)); }

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
    token = trimmed(token);
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

  std::string_view problem_;
};

// --- The sinks ---------------------------------------------------------------

struct Checker {
  void null() {}
  void boolean(bool) {}
  void number(std::string_view) {}
  void string(const char*) {}
  void key(const char*) {}
  void begin_array() {}
  void end_array() {}
  void begin_object() {}
  void end_object() {}
};

// Picks the wanted members of the outermost object.
class MemberPicker {
 public:
  explicit MemberPicker(std::span<StringMember> wanted) : wanted_(wanted) {}

  bool saw_object() const { return saw_object_; }

  void null() { other(StringMember::Found::null); }
  void boolean(bool) { other(StringMember::Found::other); }
  void number(std::string_view) { other(StringMember::Found::other); }
  void string(const char* content) {
    if (StringMember* const member = take()) {
      member->value->clear();
      member->found = StringMember::Found::string;
      member->lone_surrogate = append_string(*member->value, content);
    }
  }
  void key(const char* content) {
    if (depth_ == 1) current_ = named(content);
  }
  void begin_array() { begin(); }
  void begin_object() {
    if (depth_ == 0) saw_object_ = true;
    begin();
  }
  void end_array() { --depth_; }
  void end_object() { --depth_; }

 private:
  void begin() {
    other(StringMember::Found::other);
    ++depth_;
  }

  // The wanted member whose value comes now, if that is one.
  StringMember* take() { return depth_ == 1 ? std::exchange(current_, nullptr) : nullptr; }

  void other(StringMember::Found found) {
    if (StringMember* const member = take()) {
      member->value->clear();
      member->found = found;
      member->lone_surrogate = false;
    }
  }

  StringMember* named(const char* content) {
    const char* const special = next_special(content);
    std::string_view key(content, static_cast<size_t>(special - content));
    if (*special == '\\') {
      // "\u0064ata" is "data" too, though nobody writes it.
      escaped_key_.clear();
      append_string(escaped_key_, content);
      key = escaped_key_;
    }
    for (StringMember& member : wanted_) {
      if (member.key == key) return &member;
    }
    return nullptr;
  }

  std::span<StringMember> wanted_;
  StringMember* current_ = nullptr;
  std::string escaped_key_;
  size_t depth_ = 0;
  bool saw_object_ = false;
};

}  // namespace

// Builds the tree. Open containers are a stack of pointers: an element never
// moves while it is being filled, since its siblings come only after it.
class JsonBuilder {
 public:
  Json take() { return std::move(root_); }

  void null() { add(Json()); }
  void boolean(bool value) { add(Json(value)); }
  void number(std::string_view token) {
    Json json;
    json.value_ = Json::Number{std::string(token)};
    add(std::move(json));
  }
  void string(const char* content) { add(Json(read(content))); }
  void key(const char* content) { open_members().push_back({read(content), Json()}); }
  void begin_array() { open(Json::array()); }
  void end_array() { --depth_; }
  void begin_object() { open(Json::object()); }
  void end_object() {
    drop_duplicates(open_members());
    --depth_;
  }

 private:
  static std::string read(const char* content) {
    std::string out;
    append_string(out, content);
    return out;
  }

  std::vector<Json::Member>& open_members() {
    return std::get<std::vector<Json::Member>>(open_[depth_ - 1]->value_);
  }

  Json& add(Json&& value) {
    if (depth_ == 0) return root_ = std::move(value);
    Json& parent = *open_[depth_ - 1];
    if (auto* const elements = std::get_if<std::vector<Json>>(&parent.value_)) {
      return elements->emplace_back(std::move(value));
    }
    return open_members().back().value = std::move(value);
  }

  void open(Json&& container) {
    RC_ASSERT(depth_ < open_.size());
    Json& placed = add(std::move(container));
    open_[depth_++] = &placed;
  }

  // Each key keeps its first place and its last value.
  static void drop_duplicates(std::vector<Json::Member>& members) {
    constexpr size_t kFew = 16;
    if (members.size() <= kFew) {
      for (size_t at = 1; at < members.size();) {
        const auto end = members.begin() + static_cast<std::ptrdiff_t>(at);
        const auto first = std::find_if(
            members.begin(), end, [&](const Json::Member& member) { return member.key == members[at].key; });
        if (first == end) {
          ++at;
        } else {
          first->value = std::move(members[at].value);
          members.erase(end);
        }
      }
      return;
    }

    // Sorting rather than hashing or comparing all pairs: keys are the peer's
    // choice, and a megabyte of them must not cost quadratic time.
    std::vector<uint32_t> order(members.size());
    std::iota(order.begin(), order.end(), 0);
    std::sort(order.begin(), order.end(), [&](uint32_t left, uint32_t right) {
      const int compared = members[left].key.compare(members[right].key);
      return compared != 0 ? compared < 0 : left < right;
    });
    std::vector<bool> dropped(members.size());
    size_t first = 0;  // in `order`, of a run of equal keys
    for (size_t at = 1; at < order.size(); ++at) {
      if (members[order[at]].key != members[order[first]].key) {
        first = at;
      } else {
        members[order[first]].value = std::move(members[order[at]].value);
        dropped[order[at]] = true;
      }
    }
    size_t kept = 0;
    for (size_t at = 0; at < members.size(); ++at) {
      if (dropped[at]) continue;
      if (kept != at) members[kept] = std::move(members[at]);
      ++kept;
    }
    members.resize(kept);
  }

  Json root_;
  std::array<Json*, Json::kDepthMax> open_{};
  size_t depth_ = 0;
};

std::string_view json_problem(Bytes text) {
  Document document;
  Checker checker;
  return document.read(as_text(text), checker);
}

bool valid_json(Bytes text) {
  return json_problem(text).empty();
}

std::string_view read_string_members(std::string_view text, std::span<StringMember> wanted) {
  for (StringMember& member : wanted) {
    member.value->clear();
    member.found = StringMember::Found::absent;
    member.lone_surrogate = false;
  }
  Document document;
  MemberPicker picker(wanted);
  const std::string_view problem = document.read(text, picker);
  if (!problem.empty()) return problem;
  return picker.saw_object() ? std::string_view() : kNotAnObject;
}

std::optional<Json> Json::parse(std::string_view text, std::string_view* problem) {
  Document document;
  JsonBuilder builder;
  const std::string_view refusal = document.read(text, builder);
  if (problem != nullptr) *problem = refusal;
  if (!refusal.empty()) return std::nullopt;
  return builder.take();
}

bool is_json_number(std::string_view token) {
  const char* at = token.data();
  const char* const end = at + token.size();
  const auto digits = [&] {
    const char* const begin = at;
    while (at != end && *at >= '0' && *at <= '9') ++at;
    return at != begin;
  };

  if (at != end && *at == '-') ++at;
  if (at != end && *at == '0') {
    ++at;
  } else if (!digits()) {
    return false;
  }
  if (at != end && *at == '.') {
    ++at;
    if (!digits()) return false;
  }
  if (at != end && (*at == 'e' || *at == 'E')) {
    ++at;
    if (at != end && (*at == '+' || *at == '-')) ++at;
    if (!digits()) return false;
  }
  return at == end;
}

}  // namespace ringcast
