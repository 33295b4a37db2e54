// Configuration files and templates. Whatever the file says, it is understood or there is one
// sentence with its line; whatever a client sends, a payload is JSON that can be read again,
// within its bound, and a stream's name holds what its template says and no control characters.
//
// The input: a file, or (behind a first line "payload" or "name") a template, a line feed and
// the JSON that its placeholders are looked up in.
#include <algorithm>
#include <cstdint>
#include <cstdlib>
#include <string>
#include <string_view>

#include "app/declared_reader.h"
#include "app/template.h"

namespace {

using namespace ringcast;

void require(bool truth) {
  if (!truth) std::abort();
}

const TemplateContext kContext{{TemplateRoot::data, TemplateRoot::params, TemplateRoot::identifiers}, "app"};

bool has_control(std::string_view text) {
  return std::ranges::any_of(text, [](unsigned char c) { return c < 0x20 || c == 0x7f; });
}

void check_payload(std::string_view text, const TemplateValues& values) {
  const auto shape = Json::parse(text);
  std::string error;
  const auto payload = PayloadTemplate::parse(shape ? *shape : Json(text), kContext, error);
  if (!payload) return require(!error.empty());
  std::string out;
  for (const size_t most : {size_t{100}, size_t{1} << 20}) {
    if (payload->render(values, most, out) != PayloadTemplate::Rendering::ok) continue;
    const auto again = Json::parse(out);
    require(out.size() <= most && again);
    // What could end a page's script is escaped.
    require(out.find_first_of("<>&") == std::string::npos);
  }
}

void check_name(std::string_view text, const TemplateValues& values) {
  std::string error, why;
  const auto made = TextTemplate::parse_name(text, kContext, error);
  if (!made) return require(!error.empty());
  const auto name = made->name(values, &why);
  if (!name) return require(!why.empty());
  require(!name->empty() && !has_control(*name) && made->operand(values) == name);
  require(name->starts_with(made->parts().front().text));
}

// What OptionTable lets through: letters beyond ASCII stand in strings and comments only.
void check_file(std::string_view text) {
  if (std::ranges::any_of(text, [](unsigned char c) { return c >= 0x80; })) return;
  for (const bool known : {true, false}) {
    DeclarationContext context{.global_id_app = known ? "app" : "", .identifiers = {}};
    if (known) context.identifiers = {"user", "symbols", "current_user"};
    Declarations declared;
    const std::string mistake = read_declarations(text, "f", context, declared);
    if (mistake.empty()) continue;
    require(mistake.starts_with("f:") && mistake.find(": ") != std::string::npos);
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  const size_t first = text.find('\n');
  const std::string_view word = text.substr(0, first);
  if (word != "payload" && word != "name") {
    check_file(text);
    return 0;
  }
  const size_t second = first == text.npos ? text.npos : text.find('\n', first + 1);
  if (second == text.npos) return 0;
  const std::string_view shape = text.substr(first + 1, second - first - 1);
  const Json json = Json::parse(text.substr(second + 1)).value_or(Json(text.substr(second + 1)));
  TemplateValues values;
  values.set(TemplateRoot::data, json).set(TemplateRoot::params, json);
  if (word == "payload") {
    check_payload(shape, values);
  } else {
    check_name(shape, values);
  }
  return 0;
}
