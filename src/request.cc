// What a callback reads of a request. Views and values; shard thread.
#include "ringcast/request.h"

#include "http_access.h"

namespace ringcast {
namespace internal {

const FormFields& RequestData::query() const {
  // A query nobody can decode has no fields; the request is still good.
  if (!query_) query_ = parse_urlencoded(exchange.request.query()).value_or(FormFields());
  return *query_;
}

const FormFields& RequestData::body_fields() const {
  if (body_) return *body_;
  body_.emplace();
  const std::string_view type = exchange.request.header("content-type");
  std::optional<FormFields> fields;
  if (is_media_type(type, "application/x-www-form-urlencoded")) {
    fields = parse_urlencoded(as_text(exchange.body));
  } else if (is_media_type(type, "multipart/form-data")) {
    if (const auto boundary = media_type_parameter(type, "boundary")) {
      fields = parse_multipart(as_text(exchange.body), *boundary);
    }
  }
  if (fields) body_ = std::move(fields);
  return *body_;
}

}  // namespace internal

namespace {

std::string value_of(const FormFields& fields, std::string_view name) {
  const std::string* value = fields.find(name);
  return value == nullptr ? std::string() : *value;
}

}  // namespace

std::string_view Request::method() const {
  return data_->exchange.request.method();
}
std::string_view Request::path() const {
  return data_->exchange.request.path();
}
std::string_view Request::query_string() const {
  return data_->exchange.request.query();
}
std::string_view Request::body() const {
  return as_text(data_->exchange.body);
}
std::string_view Request::header(std::string_view name) const {
  return data_->exchange.request.header(name);
}
bool Request::has_header(std::string_view name) const {
  return data_->exchange.request.count(name) > 0;
}

std::string Request::parameter(std::string_view name) const {
  for (const PathParameter& parameter : data_->exchange.parameters) {
    if (parameter.name == name) return parameter.value;
  }
  return {};
}

std::string Request::query(std::string_view name) const {
  return value_of(data_->query(), name);
}
bool Request::has_query(std::string_view name) const {
  return data_->query().find(name) != nullptr;
}

std::string Request::form(std::string_view name) const {
  const FormFields& body = data_->body_fields();
  return body.find(name) != nullptr ? value_of(body, name) : query(name);
}
bool Request::has_form(std::string_view name) const {
  return data_->body_fields().find(name) != nullptr || has_query(name);
}

std::optional<Json> Request::json() const {
  if (!is_media_type(header("content-type"), "application/json")) return std::nullopt;
  return Json::parse(body());
}

std::string Request::remote_address() const {
  return data_->exchange.peer.to_string();
}
Server& Request::server() const {
  return data_->server;
}

}  // namespace ringcast
