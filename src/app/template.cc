#include "app/template.h"

#include <algorithm>
#include <utility>

#include "ringcast/broadcast.h"

namespace ringcast {
namespace {

constexpr std::array<std::string_view, kTemplateRoots> kRootNames = {
    "data", "params", "identifiers", "path", "query", "text", "sender", "number"};

// An object, whose members have to be named to be single values.
bool is_container(TemplateRoot root) {
  return root != TemplateRoot::text && root != TemplateRoot::sender && root != TemplateRoot::number;
}

const Json& null_json() {
  static const Json null;
  return null;
}

std::string in_braces(std::string_view text) {
  return "{" + std::string(text) + "}";
}

// Of "0", "17": an element's place. Nothing for what cannot be one.
std::optional<size_t> element_index(std::string_view step) {
  constexpr size_t kDigitsMax = 6;
  if (step.empty() || step.size() > kDigitsMax) return std::nullopt;
  size_t index = 0;
  for (const char c : step) {
    if (c < '0' || c > '9') return std::nullopt;
    index = index * 10 + static_cast<size_t>(c - '0');
  }
  return index;
}

bool is_model_name(std::string_view model) {
  return !model.empty() && model.front() >= 'A' && model.front() <= 'Z' &&
         std::ranges::all_of(model, [](char c) {
           return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_' ||
                  c == ':';
         });
}

bool has_control_character(std::string_view text) {
  return std::ranges::any_of(text, [](unsigned char c) { return c < 0x20 || c == 0x7f; });
}

// Whether it nests no deeper than `most`; a scalar is at depth 0.
bool fits_depth(const Json& json, size_t most) {
  if (!json.is_array() && !json.is_object()) return true;
  if (most == 0) return false;
  for (const Json& element : json.elements()) {
    if (!fits_depth(element, most - 1)) return false;
  }
  for (const auto& [key, value] : json.members()) {
    if (!fits_depth(value, most - 1)) return false;
  }
  return true;
}

// The inside of a JSON string. What is itself JSON is there as its text.
void append_within_string(const Json& value, std::string& out) {
  if (value.is_null()) return;
  const size_t begin = out.size();
  if (value.is_string()) {
    value.dump_to(out, JsonEscape::rails);
  } else if (value.is_array() || value.is_object()) {
    Json(value.dump()).dump_to(out, JsonEscape::rails);
  } else {
    out += value.text();
    return;
  }
  out.pop_back();
  out.erase(begin, 1);
}

}  // namespace

std::string_view to_string(TemplateRoot root) {
  return kRootNames[static_cast<size_t>(root)];
}

bool TemplateContext::allows(TemplateRoot root) const {
  return std::ranges::find(roots, root) != roots.end();
}

// --- Placeholder -------------------------------------------------------------------------

std::optional<Placeholder> Placeholder::parse(std::string_view text, const TemplateContext& context,
                                              std::string& error) {
  const auto wrong = [&](std::string why) -> std::optional<Placeholder> {
    error = in_braces(text) + ": " + std::move(why);
    return std::nullopt;
  };
  Placeholder made;
  made.text_ = text;
  std::string_view rest = text;
  if (const size_t bar = rest.find('|'); bar != rest.npos) {
    made.otherwise_ = rest.substr(bar + 1);
    rest = rest.substr(0, bar);
  }
  constexpr std::string_view kGlobalId = "gid:";
  if (rest.starts_with(kGlobalId)) {
    rest.remove_prefix(kGlobalId.size());
    made.global_id_ = GlobalId::of_itself;
    if (const size_t colon = rest.rfind(':'); colon != rest.npos) {
      made.global_id_ = GlobalId::of_model;
      made.model_ = rest.substr(0, colon);
      made.app_ = context.global_id_app;
      rest.remove_prefix(colon + 1);
      if (!is_model_name(made.model_)) return wrong("'" + made.model_ + "' is not the name of a model");
      if (made.app_.empty()) return wrong("global-id-app has to say whose models these are");
    }
  }
  const std::string_view root = rest.substr(0, rest.find('.'));
  const auto found = std::ranges::find(kRootNames, root);
  if (found != kRootNames.end()) made.root_ = static_cast<TemplateRoot>(found - kRootNames.begin());
  if (found == kRootNames.end() || !context.allows(made.root_)) {
    std::string names;
    for (const TemplateRoot allowed : context.roots) {
      names += (names.empty() ? "" : ", ") + std::string(to_string(allowed));
    }
    return wrong(names.empty() ? "there are no placeholders here" : "here there are " + names);
  }
  for (rest.remove_prefix(root.size()); !rest.empty();) {
    rest.remove_prefix(1);  // the dot
    const std::string_view step = rest.substr(0, rest.find('.'));
    if (step.empty()) return wrong("a name is missing beside a dot");
    made.steps_.emplace_back(step);
    rest.remove_prefix(step.size());
  }
  return made;
}

const Json& Placeholder::find_plain(const TemplateValues& values) const {
  const Json* at = values.root(root_);
  if (at == nullptr) return null_json();
  for (const std::string& step : steps_) {
    if (at->is_array()) {
      const std::optional<size_t> index = element_index(step);
      at = index ? &(*at)[*index] : &null_json();
    } else {
      at = &(*at)[step];
    }
  }
  return *at;
}

const Json& Placeholder::find(const TemplateValues& values, Json& made) const {
  const Json& found = find_plain(values);
  if (found.is_null()) return otherwise_;
  if (global_id_ == GlobalId::none) return found;
  const std::string_view id = found.text();
  std::string param = global_id_ == GlobalId::of_model
                          ? (id.empty() ? std::string() : global_id_param(app_, model_, id))
                          : global_id_param(id);
  if (param.empty()) return null_json();
  made = std::move(param);
  return made;
}

// --- TextTemplate ------------------------------------------------------------------------

std::optional<TextTemplate> TextTemplate::parse(std::string_view text, const TemplateContext& context,
                                                std::string& error) {
  TextTemplate made;
  made.text_ = text;
  Part part;
  const auto end_part = [&] {
    append_within_string(part.text, part.json);
    made.parts_.push_back(std::exchange(part, {}));
  };
  for (size_t i = 0; i < text.size(); ++i) {
    const char c = text[i];
    const bool doubled = i + 1 < text.size() && text[i + 1] == c;
    if ((c == '{' || c == '}') && doubled) {
      part.text += c;
      ++i;
    } else if (c == '{') {
      const size_t end = text.find_first_of("{}", i + 1);
      if (end == text.npos || text[end] == '{') {
        error = "'" + std::string(text.substr(i)) + "': a { has no }; {{ stands for the brace itself";
        return std::nullopt;
      }
      part.placeholder = Placeholder::parse(text.substr(i + 1, end - i - 1), context, error);
      if (!part.placeholder) return std::nullopt;
      end_part();
      i = end;
    } else if (c == '}') {
      error = "'" + std::string(text) + "': a } has no {; }} stands for the brace itself";
      return std::nullopt;
    } else {
      part.text += c;
    }
  }
  if (!part.text.empty() || made.parts_.empty()) end_part();
  return made;
}

std::optional<TextTemplate> TextTemplate::parse_name(std::string_view text, const TemplateContext& context,
                                                     std::string& error) {
  std::optional<TextTemplate> made = parse(text, context, error);
  if (!made) return std::nullopt;
  if (text.empty()) {
    error = "it is empty";
    return std::nullopt;
  }
  for (size_t i = 0; i < made->parts_.size(); ++i) {
    const Part& part = made->parts_[i];
    if (has_control_character(part.text)) {
      error = "it holds a control character";
      return std::nullopt;
    }
    if (!part.placeholder) continue;
    if (is_container(part.placeholder->root()) && part.placeholder->steps().empty()) {
      error = in_braces(part.placeholder->text()) + " is not a single value; name one of its members";
      return std::nullopt;
    }
    if (i > 0 && part.text.empty()) {
      error = "between " + in_braces(made->parts_[i - 1].placeholder->text()) + " and " +
              in_braces(part.placeholder->text()) +
              " there is no text, so nobody could tell one from the other";
      return std::nullopt;
    }
  }
  return made;
}

std::optional<std::string> TextTemplate::name(const TemplateValues& values, std::string* why) const {
  return spell(values, false, why);
}

std::optional<std::string> TextTemplate::operand(const TemplateValues& values) const {
  return spell(values, true, nullptr);
}

std::optional<std::string> TextTemplate::spell(const TemplateValues& values, bool controls,
                                               std::string* why) const {
  const auto refused = [why](const Placeholder& placeholder,
                             const char* reason) -> std::optional<std::string> {
    if (why != nullptr) *why = in_braces(placeholder.text()) + " " + reason;
    return std::nullopt;
  };
  std::string made;
  Json gid;
  for (size_t i = 0; i < parts_.size(); ++i) {
    made += parts_[i].text;
    if (!parts_[i].placeholder) break;
    const Placeholder& placeholder = *parts_[i].placeholder;
    const Json& value = placeholder.find(values, gid);
    if (value.is_null()) return refused(placeholder, "is not there");
    if (value.is_array() || value.is_object()) return refused(placeholder, "is not a single value");
    const std::string_view text = value.text();
    if (text.empty()) return refused(placeholder, "is empty");
    if (!controls && has_control_character(text)) return refused(placeholder, "holds a control character");
    const size_t begin = made.size();
    made += text;
    // Only what another placeholder follows could be read in two ways. The text behind has to
    // be met there first, also where the end of the value would be its beginning.
    if (i + 1 < parts_.size() && parts_[i + 1].placeholder) {
      const std::string& behind = parts_[i + 1].text;
      if ((made.substr(begin) + behind).find(behind) != text.size()) {
        return refused(placeholder, "holds the text that separates it from the next");
      }
    }
  }
  return made;
}

void TextTemplate::append_json(const TemplateValues& values, std::string& out) const {
  Json gid;
  if (const Placeholder* const one = bare()) {
    one->find(values, gid).dump_to(out, JsonEscape::rails);
    return;
  }
  out += '"';
  for (const Part& part : parts_) {
    out += part.json;
    if (part.placeholder) append_within_string(part.placeholder->find(values, gid), out);
  }
  out += '"';
}

const Placeholder* TextTemplate::bare() const {
  if (parts_.size() != 1 || !parts_.front().placeholder || !parts_.front().text.empty()) return nullptr;
  return &*parts_.front().placeholder;
}

// --- PayloadTemplate ---------------------------------------------------------------------

std::optional<PayloadTemplate> PayloadTemplate::parse(const Json& shape, const TemplateContext& context,
                                                      std::string& error) {
  PayloadTemplate made;
  made.pieces_.emplace_back();
  if (!made.add(shape, 0, context, error)) return std::nullopt;
  return made;
}

bool PayloadTemplate::add(const Json& shape, size_t nesting, const TemplateContext& context,
                          std::string& error) {
  const auto json = [this]() -> std::string& { return pieces_.back().json; };
  bool first = true;
  if (shape.is_array()) {
    json() += '[';
    for (const Json& element : shape.elements()) {
      if (!std::exchange(first, false)) json() += ',';
      if (!add(element, nesting + 1, context, error)) return false;
    }
    json() += ']';
  } else if (shape.is_object()) {
    json() += '{';
    for (const auto& [key, value] : shape.members()) {
      if (!std::exchange(first, false)) json() += ',';
      Json(key).dump_to(json(), JsonEscape::rails);
      json() += ':';
      if (!add(value, nesting + 1, context, error)) return false;
    }
    json() += '}';
  } else if (shape.is_string()) {
    std::optional<TextTemplate> text = TextTemplate::parse(shape.text(), context, error);
    if (!text) return false;
    if (text->constant()) {
      text->append_json({}, json());
    } else {
      pieces_.back().value = std::move(text);
      pieces_.back().nesting = nesting;
      pieces_.emplace_back();
    }
  } else {
    shape.dump_to(json(), JsonEscape::rails);
  }
  return true;
}

PayloadTemplate::Rendering PayloadTemplate::render(const TemplateValues& values, size_t bytes_max,
                                                   std::string& out) const {
  out.clear();
  for (const Piece& piece : pieces_) {
    out += piece.json;
    if (piece.value) {
      // Nobody would read it as JSON.
      if (const Placeholder* const one = piece.value->bare()) {
        Json gid;
        if (!fits_depth(one->find(values, gid), Json::kDepthMax - piece.nesting)) return Rendering::too_deep;
      }
      piece.value->append_json(values, out);
    }
    if (out.size() > bytes_max) return Rendering::too_large;
  }
  return Rendering::ok;
}

std::vector<const Placeholder*> PayloadTemplate::placeholders() const {
  std::vector<const Placeholder*> found;
  for (const Piece& piece : pieces_) {
    if (!piece.value) continue;
    for (const TextTemplate::Part& part : piece.value->parts()) {
      if (part.placeholder) found.push_back(&*part.placeholder);
    }
  }
  return found;
}

}  // namespace ringcast
