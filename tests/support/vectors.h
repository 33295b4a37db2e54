// What real systems were recorded doing, from tests/data.
#pragma once

#include <gtest/gtest.h>

#include <fstream>
#include <iterator>
#include <string>

#include "ringcast/json.h"

namespace ringcast::test {

inline std::string read_data(const std::string& name) {
  std::ifstream file("tests/data/" + name, std::ios::binary);
  if (!file) ADD_FAILURE() << name << ": run from the project's root";
  return std::string(std::istreambuf_iterator<char>(file), {});
}

inline Json read_vectors(const std::string& name) {
  auto json = Json::parse(read_data(name));
  if (!json) ADD_FAILURE() << name << " is not JSON";
  return json ? *json : Json();
}

}  // namespace ringcast::test
