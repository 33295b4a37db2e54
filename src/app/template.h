// Text with placeholders, compiled once from the configuration file and filled in for each
// subscription and message: "chat_{params.room_id}". Two uses with two rules. As a *name* (a
// stream, an operand of a condition) every placeholder has to be a single value that is
// there, or there is no name at all. As a *payload*, JSON with placeholders in its strings, a
// string that is one placeholder and nothing else becomes the value as it is, numbers digit
// by digit; within longer text it is spelled out; whatever clients send, JSON comes out.
//
//   {ROOT} {ROOT.key.key}   data params identifiers path query text sender number
//   {…|text}                that text where there is no value, or null
//   {gid:identifiers.user}  the param of a GlobalID, as stream_for(user) has it in Rails
//   {gid:User:params.id}    … of the model User with that id
//   {{ }}                   braces
//
// Immutable values once parsed; any thread.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <initializer_list>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "ringcast/json.h"

namespace ringcast {

enum class TemplateRoot : uint8_t { data, params, identifiers, path, query, text, sender, number };
inline constexpr size_t kTemplateRoots = 8;

std::string_view to_string(TemplateRoot root);

// What placeholders are looked up in. Borrowed for the call; a root that is not set has no
// values.
class TemplateValues {
 public:
  TemplateValues& set(TemplateRoot root, const Json& value) {
    roots_[static_cast<size_t>(root)] = &value;
    return *this;
  }
  const Json* root(TemplateRoot root) const { return roots_[static_cast<size_t>(root)]; }

 private:
  std::array<const Json*, kTemplateRoots> roots_{};
};

// Where a template stands: which roots it may name, and the application that GlobalIDs of
// models belong to (empty: none is known).
struct TemplateContext {
  std::vector<TemplateRoot> roots;
  std::string global_id_app;

  bool allows(TemplateRoot root) const;
};

// One {…}.
class Placeholder {
 public:
  // What stands between the braces. Nothing, and a sentence, if it is no placeholder here.
  static std::optional<Placeholder> parse(std::string_view text, const TemplateContext& context,
                                          std::string& error);

  // The value, or null. What has to be made first, as a GlobalID's param, is put into `made`.
  const Json& find(const TemplateValues& values, Json& made) const;

  TemplateRoot root() const { return root_; }
  std::span<const std::string> steps() const { return steps_; }
  bool has_default() const { return !otherwise_.is_null(); }
  bool is_global_id() const { return global_id_ != GlobalId::none; }
  const std::string& text() const { return text_; }  // as it was written, without braces

 private:
  enum class GlobalId : uint8_t { none, of_itself, of_model };

  const Json& find_plain(const TemplateValues& values) const;

  TemplateRoot root_ = TemplateRoot::data;
  GlobalId global_id_ = GlobalId::none;
  std::string app_;
  std::string model_;
  std::vector<std::string> steps_;
  Json otherwise_;  // null: none
  std::string text_;
};

// "text{placeholder}text".
class TextTemplate {
 public:
  static std::optional<TextTemplate> parse(std::string_view text, const TemplateContext& context,
                                           std::string& error);
  // For names of streams: what nobody could tell apart again is refused, as is a placeholder
  // that is never a single value.
  static std::optional<TextTemplate> parse_name(std::string_view text, const TemplateContext& context,
                                                std::string& error);

  // The name; nothing, and why, if a placeholder has no single value, an empty one, one with
  // control characters, or one that holds the text behind its place, with which two
  // different sets of values would spell one name.
  std::optional<std::string> name(const TemplateValues& values, std::string* why = nullptr) const;
  // The same for a condition, which may look at control characters too.
  std::optional<std::string> operand(const TemplateValues& values) const;

  // As the string of a payload, in JSON.
  void append_json(const TemplateValues& values, std::string& out) const;

  // Exactly one placeholder and nothing around it; else null.
  const Placeholder* bare() const;
  bool constant() const { return parts_.size() == 1 && !parts_.front().placeholder; }
  const std::string& text() const { return text_; }  // as it was written

  struct Part {
    std::string text;  // in front of the placeholder
    std::string json;  // the same as the inside of a JSON string
    std::optional<Placeholder> placeholder;
  };
  // Never empty; only the last may be without a placeholder.
  std::span<const Part> parts() const { return parts_; }

 private:
  std::optional<std::string> spell(const TemplateValues& values, bool controls, std::string* why) const;

  std::string text_;
  std::vector<Part> parts_;
};

// JSON whose strings are templates.
class PayloadTemplate {
 public:
  static std::optional<PayloadTemplate> parse(const Json& shape, const TemplateContext& context,
                                              std::string& error);

  enum class Rendering : uint8_t { ok, too_large, too_deep };
  // Replaces `out`, and stops when it is past `bytes_max`.
  Rendering render(const TemplateValues& values, size_t bytes_max, std::string& out) const;

  // All placeholders.
  std::vector<const Placeholder*> placeholders() const;

 private:
  // Text of JSON, then a value, then the next.
  struct Piece {
    std::string json;
    std::optional<TextTemplate> value;
    size_t nesting = 0;  // of the value within the payload
  };
  bool add(const Json& shape, size_t nesting, const TemplateContext& context, std::string& error);

  std::vector<Piece> pieces_;  // the last may be without a value
};

}  // namespace ringcast
