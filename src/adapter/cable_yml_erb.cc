// The handful of Ruby expressions that a cable.yml holds, read by a small parser: a string
// or a variable of the environment, with a default. Pure functions; any thread.
#include <optional>
#include <string>
#include <string_view>
#include <utility>

#include "adapter/cable_yml.h"

namespace ringcast {
namespace {

bool is_space(char c) {
  return c == ' ' || c == '\t' || c == '\n' || c == '\r';
}

std::string_view trimmed(std::string_view text) {
  while (!text.empty() && is_space(text.front())) text.remove_prefix(1);
  while (!text.empty() && is_space(text.back())) text.remove_suffix(1);
  return text;
}

// What an expression gives: a text, or nil. Ruby's ERB writes nil as nothing.
using Value = std::optional<std::string>;

class Expression {
 public:
  Expression(std::string_view text, const EnvironmentLookup& variable) : rest_(text), variable_(variable) {}

  // expression = primary ("||" primary)*. False: it is none of those that are understood.
  bool read(Value& value) {
    if (!primary(value)) return false;
    while (take("||")) {
      Value other;
      if (!primary(other)) return false;
      if (!value) value = std::move(other);
    }
    space();
    return rest_.empty();
  }

  // The variable that is missing, when an ENV.fetch without a default did not find it.
  const std::string& missing() const { return missing_; }

 private:
  void space() {
    while (!rest_.empty() && is_space(rest_.front())) rest_.remove_prefix(1);
  }

  bool take(std::string_view token) {
    space();
    if (!rest_.starts_with(token)) return false;
    rest_.remove_prefix(token.size());
    return true;
  }

  bool primary(Value& value) {
    if (take("ENV.fetch")) return fetch(value);
    if (take("ENV[")) {
      std::string name;
      if (!string(name) || !take("]")) return false;
      value = variable_(name);
      return true;
    }
    return scalar(value);
  }

  // ENV.fetch("NAME"), ENV.fetch("NAME", default), ENV.fetch("NAME") { default }
  bool fetch(Value& value) {
    std::string name;
    if (!take("(") || !string(name)) return false;
    const std::string missing_before = missing_;
    Value otherwise;
    bool has_default = false;
    if (take(",")) {
      if (!default_value(otherwise)) return false;
      has_default = true;
    }
    if (!take(")")) return false;
    if (take("{")) {
      if (has_default || !default_value(otherwise) || !take("}")) return false;
      has_default = true;
    }
    value = variable_(name);
    if (value) {
      missing_ = missing_before;  // what its default lacks does not matter
      return true;
    }
    if (!has_default && missing_.empty()) missing_ = name;
    value = std::move(otherwise);
    return true;
  }

  // Defaults may be variables in turn.
  bool default_value(Value& value) { return ++depth_ <= kDepthMax && primary(value); }

  bool scalar(Value& value) {
    space();
    if (take("nil")) {
      value.reset();
      return true;
    }
    std::string text;
    if (!rest_.empty() && rest_.front() >= '0' && rest_.front() <= '9') {
      while (!rest_.empty() && rest_.front() >= '0' && rest_.front() <= '9') {
        text += rest_.front();
        rest_.remove_prefix(1);
      }
    } else if (!string(text)) {
      return false;
    }
    value = std::move(text);
    return true;
  }

  // 'text' or "text"; of escapes only \\ and the quotes. Interpolation is Ruby, and refused.
  bool string(std::string& text) {
    space();
    if (rest_.empty() || (rest_.front() != '"' && rest_.front() != '\'')) return false;
    const char quote = rest_.front();
    rest_.remove_prefix(1);
    while (!rest_.empty() && rest_.front() != quote) {
      if (quote == '"' && rest_.starts_with("#{")) return false;
      if (rest_.front() == '\\') {
        rest_.remove_prefix(1);
        if (rest_.empty() || (rest_.front() != '\\' && rest_.front() != quote)) return false;
      }
      text += rest_.front();
      rest_.remove_prefix(1);
    }
    if (rest_.empty()) return false;
    rest_.remove_prefix(1);
    return true;
  }

  static constexpr int kDepthMax = 8;

  std::string_view rest_;
  const EnvironmentLookup& variable_;
  std::string missing_;
  int depth_ = 0;
};

}  // namespace

std::optional<std::string> expand_erb(std::string_view text, const EnvironmentLookup& variable,
                                      std::string* error) {
  std::string expanded;
  size_t line = 1;
  const auto refuse = [&](const std::string& why) {
    *error = "cable.yml, line " + std::to_string(line) + ": " + why;
    return std::nullopt;
  };
  const auto pass = [&](std::string_view plain) {
    for (const char c : plain) line += c == '\n';
  };
  for (;;) {
    const size_t begin = text.find("<%");
    expanded += text.substr(0, begin);
    pass(text.substr(0, begin));
    if (begin == std::string_view::npos) return expanded;
    text.remove_prefix(begin + 2);
    if (text.starts_with('%')) {  // <%% stands for <%
      expanded += "<%";
      text.remove_prefix(1);
      continue;
    }
    const size_t end = text.find("%>");
    if (end == std::string_view::npos) return refuse("<% without %>");
    std::string_view tag = text.substr(0, end);
    const std::string shown = "<%" + std::string(tag) + "%>";
    text.remove_prefix(end + 2);
    const bool eats_line = tag.ends_with('-');
    if (eats_line) tag.remove_suffix(1);
    if (tag.starts_with('#')) {
      // A comment.
    } else if (tag.starts_with('=')) {
      Expression expression(trimmed(tag.substr(1)), variable);
      Value value;
      if (!expression.read(value)) {
        return refuse("Ringcast does not run Ruby: " + shown +
                      " is not ENV.fetch(\"NAME\") { \"default\" }, ENV.fetch(\"NAME\", \"default\") or "
                      "ENV[\"NAME\"]; write the value out, or pass it as a flag");
      }
      if (!expression.missing().empty()) {
        return refuse(shown + " needs the environment variable " + expression.missing() +
                      ", which is not set");
      }
      expanded += value.value_or("");
    } else {
      return refuse("Ringcast does not run Ruby: " + shown + "; write the value out, or pass it as a flag");
    }
    pass(shown);
    if (eats_line && text.starts_with('\n')) {
      text.remove_prefix(1);
      ++line;
    }
  }
}

}  // namespace ringcast
