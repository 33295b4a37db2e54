// Form fields, as queries, application/x-www-form-urlencoded and
// multipart/form-data bodies carry them. A body is parsed whole: the request
// parser has bounded it. Values only; any thread.
#pragma once

#include <cstddef>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace ringcast {

struct FormLimits {
  size_t fields_max = 256;            // fields, and parts of a multipart body
  size_t part_head_bytes_max = 4096;  // the headers of one part
};

// The fields of a query or a form body, in order; names and values are valid UTF-8.
// Names are taken as they are: "a[b]" is a name, not a structure.
class FormFields {
 public:
  // A field that is given several times is worth its last value. Null: not given.
  const std::string* find(std::string_view name) const;
  size_t size() const { return fields_.size(); }

  struct Field {
    std::string name;
    std::string value;
  };
  std::span<const Field> all() const { return fields_; }
  void add(std::string name, std::string value);

 private:
  std::vector<Field> fields_;
};

// application/x-www-form-urlencoded, also a request's query. Nothing when an escape is
// malformed, the text is not UTF-8 or there are too many fields: a 400.
std::optional<FormFields> parse_urlencoded(std::string_view text, const FormLimits& limits = {});

// multipart/form-data (RFC 7578) with the boundary of its Content-Type. Parts with a
// file name are skipped. Nothing when the body is malformed or past a limit: a 400.
std::optional<FormFields> parse_multipart(std::string_view body, std::string_view boundary,
                                          const FormLimits& limits = {});

// A field like Content-Type in two: whether it names `type` (no case), parameters aside.
bool is_media_type(std::string_view content_type, std::string_view type);
// The value of its parameter `name`, unquoted. Nothing when absent, or when the
// parameters are malformed or give it twice.
std::optional<std::string> media_type_parameter(std::string_view content_type, std::string_view name);

}  // namespace ringcast
