// From options to an application that can be asked.
#include "rpc_service.h"

#include "auth/crypto.h"
#include "base/ascii.h"
#include "identity.h"
#include "protocol/http_syntax.h"

namespace ringcast::internal {
namespace {

// AnyCable's: what its server and its gem make of one secret for the whole application.
std::string derived_secret(std::string_view application_secret) {
  return HmacKey(as_bytes(application_secret), Digest::sha256).sign_hex("rpc-cable");
}

// AnyCable's other way of being asked, which those who come from there may have.
bool looks_like_grpc(std::string_view url) {
  return url.starts_with("grpc") || (url.find("://") == url.npos && url.find(':') != url.npos);
}

std::string read_rpc_secret(const Options& options, std::string& secret) {
  if (!options.rpc_secret_file.empty()) {
    if (std::string problem = read_secret("rpc-secret-file", options.rpc_secret_file, secret);
        !problem.empty()) {
      return problem;
    }
    if (!http::is_value(secret)) return "rpc-secret-file holds a character that no header may";
  } else if (!options.anycable_secret_file.empty()) {
    std::string application;
    if (std::string problem = read_secret("anycable-secret-file", options.anycable_secret_file, application);
        !problem.empty()) {
      return problem;
    }
    secret = derived_secret(application);
  }
  return {};
}

}  // namespace

std::optional<RpcPlan> plan_rpc(const Options& options, std::string* error) {
  RpcPlan plan;
  if (looks_like_grpc(options.rpc_url)) {
    *error = "rpc-url: calls go over HTTP, as in http://127.0.0.1:3000/_anycable; gRPC is not spoken";
    return {};
  }
  const std::optional<HttpUrl> url = HttpUrl::parse(options.rpc_url, error);
  if (!url) {
    *error = "rpc-url: " + *error;
    return {};
  }
  plan.pool.url = *url;
  if (*error = read_rpc_secret(options, plan.pool.secret); !error->empty()) return {};
  for (const std::string& name : options.rpc_headers) {
    if (!http::is_token(name)) {
      *error = "rpc-headers: '" + name + "' is no header's name";
      return {};
    }
    std::string& kept = plan.headers.emplace_back();
    for (const char c : name) kept += lower(c);
  }
  plan.pool.timeout = milliseconds(options.rpc_timeout_ms);
  plan.pool.concurrency = static_cast<uint32_t>(options.rpc_concurrency);
  plan.pool.waiting_max = options.rpc_queue;
  plan.pool.disconnects_per_second = static_cast<uint32_t>(options.rpc_disconnects_per_second);
  plan.pool.thread_started = options.thread_started;
  return plan;
}

std::string RpcService::describe(const Exchange& exchange, std::string_view host) const {
  std::string url(exchange.request.target());
  if (url.starts_with('/')) {
    url = std::string(exchange.tls ? "https://" : "http://").append(host).append(url);
  }
  std::vector<std::pair<std::string, std::string>> headers;
  for (const std::string& name : headers_) {
    std::string value;
    for (const HttpHeader& line : exchange.request.headers()) {
      if (!equals_ignoring_case(line.name, name)) continue;
      // Cookies are the one list that commas do not join (RFC 6265 5.4).
      if (!value.empty()) value += name == "cookie" ? "; " : ", ";
      value += line.value;
    }
    if (!value.empty()) headers.emplace_back(name, std::move(value));
  }
  headers.emplace_back("REMOTE_ADDR", exchange.peer.to_string());
  return encode_rpc_origin(url, headers);
}

}  // namespace ringcast::internal
