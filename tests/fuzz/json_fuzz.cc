// Any bytes as JSON: the verdict must be that of the plain second reader, both
// of our readers must agree on it, and what was read must survive being written.
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <string>
#include <vector>

#include "protocol/json.h"
#include "support/json_reference.h"

namespace {

void require(bool condition) {
  if (!condition) std::abort();
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace ringcast;
  const std::string_view text(reinterpret_cast<const char*>(data), size);

  const bool expected = test::JsonReference::valid(text, Json::kDepthMax);
  require(valid_json(as_bytes(text)) == expected);
  const std::optional<Json> json = Json::parse(text);
  require(json.has_value() == expected);
  if (json) {
    for (const std::string& written : {json->dump(), json->dump_rails()}) {
      require(test::JsonReference::valid(written, Json::kDepthMax));
      const std::optional<Json> again = Json::parse(written);
      require(again && *again == *json && again->dump() == json->dump());
    }
    if (json->is_number()) {
      // Conversions of whatever number: no value, or one of its own.
      const std::optional<int64_t> integer = json->as_int64();
      const std::optional<double> real = json->as_double();
      require(!integer || (real && static_cast<double>(*integer) == *real));
    }
  }

  // The same bytes as text to be written: always JSON, whatever they are.
  std::string literal;
  append_json_string(literal, text, size % 2 ? JsonEscape::rails : JsonEscape::minimal);
  require(test::JsonReference::valid(literal, Json::kDepthMax));
  return 0;
}
