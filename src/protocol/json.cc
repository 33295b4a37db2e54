// The readers that build nothing: checking a text, and picking the strings of a
// command out of one. Both are on the publish path and do not allocate once
// warm. Any thread; the parser is the calling thread's own.
#include "protocol/json.h"

#include <utility>

#include "protocol/json_document.h"

namespace ringcast {

std::string_view json_problem_of(simdjson::error_code error) {
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
      return "an array or object that does not end where the text does";
    case simdjson::CAPACITY:
    case simdjson::MEMALLOC:
      return kTooLarge;
    default:
      return kNotJson;
  }
}

JsonScratch& json_scratch() {
  thread_local JsonScratch scratch;
  return scratch;
}

namespace {

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
      member->lone_surrogate = append_unescaped(*member->value, content);
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
      append_unescaped(escaped_key_, content);
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

std::string_view json_problem(Bytes text) {
  JsonDocument document;
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
  JsonDocument document;
  MemberPicker picker(wanted);
  const std::string_view problem = document.read(text, picker);
  if (!problem.empty()) return problem;
  return picker.saw_object() ? std::string_view() : kNotAnObject;
}

}  // namespace ringcast
