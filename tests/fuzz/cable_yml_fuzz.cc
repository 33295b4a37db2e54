// cable.yml with any bytes in it: an answer, or a refusal with a reason.
#include <cstddef>
#include <cstdint>
#include <cstdlib>

#include "adapter/cable_yml.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  std::string error;
  const auto variable = [](const std::string& name) -> std::optional<std::string> {
    if (name.size() % 2 == 0) return std::nullopt;
    return "a value";
  };
  const auto cable = ringcast::read_cable_yml(text, "production", variable, &error);
  if (!cable && error.empty()) std::abort();
  return 0;
}
