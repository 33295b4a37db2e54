#include "shard/http_exchange.h"

#include <string>

#include "auth/origin.h"
#include "protocol/http_response.h"
#include "shard/connection.h"
#include "shard/shard.h"

namespace ringcast {
namespace {

HttpLimits http_limits(const Limits& limits) {
  HttpLimits result;
  result.head_bytes_max = limits.request_head_bytes;
  result.headers_max = limits.request_headers;
  result.body_bytes_max = limits.request_body_bytes;
  return result;
}

// Action Cable's order of preference is the client's; these are what we know.
constexpr std::string_view kCableSubprotocols[] = {"actioncable-v1-json", "actioncable-unsupported"};

}  // namespace

HttpExchange::HttpExchange(Connection& connection, int admission)
    : connection_(connection), parser_(http_limits(connection.shard().limits())), admission_(admission) {}

HttpExchange::Outcome HttpExchange::process(MutableBytes& input) {
  for (;;) {
    const HttpRequestParser::Event event = parser_.next(input);
    using Kind = HttpRequestParser::Event::Kind;
    switch (event.kind) {
      case Kind::need_more:
        return Outcome::need_more;
      case Kind::head: {
        const Outcome outcome = on_head();
        if (outcome != Outcome::need_more) return outcome;
        break;
      }
      case Kind::expect_continue:
        append_continue(connection_.http_output());
        break;
      case Kind::body:
        body_.insert(body_.end(), event.body.begin(), event.body.end());
        break;
      case Kind::complete:
        return on_complete();
      case Kind::error:
        end_reason_ = EndReason::bad_request;
        return refuse(event.status, event.reason);
    }
  }
}

Exchange HttpExchange::exchange() const {
  return {.shard = connection_.shard(),
          .request = parser_.request(),
          .parameters = parameters_,
          .body = body_,
          .peer = connection_.peer(),
          .connection_number = connection_.number(),
          .host = connection_.host(parser_.request()),
          .tls = connection_.secure(),
          .through_proxy = connection_.through_proxy()};
}

HttpExchange::Outcome HttpExchange::on_head() {
  const HttpRequest& request = parser_.request();
  connection_.shard().counters().http_requests.add();
  if (admission_ != 0) {
    end_reason_ = EndReason::policy;
    return refuse(admission_, "at capacity");
  }
  if (!connection_.admit(request)) {
    end_reason_ = EndReason::policy;
    return refuse(429, "too many connections from this address");
  }
  const std::optional<UrlPath> path = UrlPath::parse(request.path());
  if (!path) return refuse(400, "the path does not decode");

  const Upgrade upgrade = check_upgrade(request);
  const bool asks_upgrade = upgrade.kind != Upgrade::Kind::not_upgrade;
  Routes::Match match = connection_.shard().routes().match(*path, request.method(), asks_upgrade);
  if (match.route == nullptr) {
    HttpAnswer answer{.status = match.status, .content_type = "text/plain; charset=utf-8"};
    if (match.cable) {
      // What Rails says to whatever is no handshake: its clients' tooling looks for it.
      answer.status = 404;
      answer.body = "Page not found";
    } else {
      answer.body = std::string(reason_phrase(match.status)) + "\n";
    }
    if (!match.allow.empty()) answer.headers.push_back({"Allow", match.allow});
    if (match.status == 426 && !match.cable) {
      append_refusal(connection_.http_output(), upgrade_required(), request.method() == "HEAD");
      connection_.shard().counters().refused.add();
      return Outcome::closing;
    }
    return refuse(answer, "no route");
  }
  route_ = match.route;
  parameters_ = std::move(match.parameters);
  if (route_->kind != Route::Kind::http) return on_upgrade(upgrade);
  if (route_->request_body_bytes != 0) parser_.set_body_bytes_max(route_->request_body_bytes);
  return Outcome::need_more;
}

HttpExchange::Outcome HttpExchange::on_upgrade(const Upgrade& upgrade) {
  const HttpRequest& request = parser_.request();
  Shard& shard = connection_.shard();
  const bool cable = route_->kind == Route::Kind::cable;
  if (upgrade.kind == Upgrade::Kind::refused) {
    end_reason_ = EndReason::bad_request;
    append_refusal(connection_.http_output(), upgrade, request.method() == "HEAD");
    shard.counters().refused.add();
    shard.note_refusal(connection_, upgrade.status, upgrade.reason);
    return Outcome::closing;
  }
  if (shard.draining()) {
    end_reason_ = EndReason::drain;
    return refuse(503, "the server is restarting");
  }
  if (route_->check_origin && origin_refused()) {
    end_reason_ = EndReason::unauthorized;
    if (!cable) return refuse(403, "the origin is not allowed");
    return refuse(
        HttpAnswer{.status = 404, .content_type = "text/plain; charset=utf-8", .body = "Page not found"},
        "the origin is not allowed");
  }
  if (!cable) {
    HttpAnswer refusal{.status = 403, .content_type = "text/plain; charset=utf-8", .body = "Forbidden\n"};
    if (!route_->websocket->authorize(exchange(), refusal, bearer_)) {
      end_reason_ = EndReason::unauthorized;
      return refuse(refusal, "the handler refused");
    }
  }
  const std::string_view subprotocol =
      cable ? choose_subprotocol(request, kCableSubprotocols) : std::string_view();
  const Limits& limits = shard.limits();
  if (limits.deflate)
    deflate_ = negotiate_deflate(request, {.client_takeover = limits.deflate_client_takeover});
  append_switching_protocols(connection_.http_output(), upgrade.key, subprotocol,
                             deflate_ ? deflate_response(*deflate_) : std::string());
  shard.counters().upgrades.add();
  return Outcome::upgraded;
}

// A browser says where a page came from, a native client says nothing.
bool HttpExchange::origin_refused() const {
  const HttpRequest& request = parser_.request();
  const OriginPolicy& policy = connection_.shard().origins();
  if (request.count("origin") == 0) return policy.required;
  return !origin_allowed(request.header("origin"), connection_.host(request), connection_.secure(),
                         policy.allowed);
}

HttpExchange::Outcome HttpExchange::on_complete() {
  HttpAnswer answer;
  if (route_->http->handle(exchange(), answer) == CallResult::failed) {
    connection_.shard().counters().callback_exceptions.add();
    answer = {.status = 500, .content_type = "text/plain; charset=utf-8", .body = "Internal Server Error\n"};
  }
  const Outcome outcome = this->answer(answer);
  if (outcome == Outcome::answered) {
    parser_.reset();
    route_ = nullptr;
    parameters_.clear();
    body_ = {};
  }
  return outcome;
}

HttpExchange::Outcome HttpExchange::answer(const HttpAnswer& answer) {
  const HttpRequest& request = parser_.request();
  Shard& shard = connection_.shard();
  const bool close = answer.close || !request.keep_alive() || shard.draining();
  const std::string date = http_date(shard.unix_ms() / 1000);
  std::vector<HttpHeader> headers{{"Date", date}};
  for (const auto& header : answer.headers) headers.push_back({header.name, header.value});
  append_response(connection_.http_output(), {.status = answer.status,
                                              .content_type = answer.content_type,
                                              .body = answer.body,
                                              .headers = headers,
                                              .close = close,
                                              .head_only = request.method() == "HEAD"});
  return close ? Outcome::closing : Outcome::answered;
}

// Also for an error of framing: what was read of the request until then says whether
// its method was HEAD, and no more is asked of it.
HttpExchange::Outcome HttpExchange::refuse(int status, std::string_view why) {
  HttpReply reply = error_reply(status);
  reply.head_only = parser_.request().method() == "HEAD";
  const HttpHeader retry[] = {{"Retry-After", "1"}};
  if (status == 429 || status == 503) reply.headers = retry;
  append_response(connection_.http_output(), reply);
  connection_.shard().counters().refused.add();
  connection_.shard().note_refusal(connection_, status, why);
  return Outcome::closing;
}

HttpExchange::Outcome HttpExchange::refuse(const HttpAnswer& refusal, std::string_view why) {
  // A body that nobody reads would be taken for the next request.
  HttpAnswer last = refusal;
  last.close = last.close || parser_.request().has_body() || route_ != nullptr;
  connection_.shard().counters().refused.add();
  connection_.shard().note_refusal(connection_, refusal.status, why);
  const Outcome outcome = answer(last);
  if (outcome == Outcome::answered) {
    // The parser reports `complete` for a request without a body before it starts anew.
    MutableBytes nothing;
    const auto event = parser_.next(nothing);
    RC_ASSERT(event.kind == HttpRequestParser::Event::Kind::complete);
    parser_.reset();
  }
  return outcome;
}

}  // namespace ringcast
