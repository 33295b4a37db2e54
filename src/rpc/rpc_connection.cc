// HTTP/1.1 over a socket of the pool's backend.
#include "rpc/rpc_connection.h"

#include <algorithm>
#include <utility>

#include "base/assert.h"
#include "protocol/http_syntax.h"

namespace ringcast {

RpcConnection::RpcConnection(uint16_t lane, std::string host, std::shared_ptr<const ClientTlsContext> tls,
                             const HttpResponseLimits& limits)
    // The lane is in the token's lowest bits.
    : stream_(Token{lane}, uint64_t{1} << 16, std::move(host), std::move(tls)), parser_(limits) {}

void RpcConnection::open(const EngineAddress& address, std::vector<Submission>& submissions) {
  asked_ = seen_ = answered_ = false;
  parser_.abandon();
  body_.clear();
  failure_ = stream_.open(address, submissions);
}

void RpcConnection::close(std::string why, std::vector<Submission>& submissions) {
  if (!stream_.is_open()) return;
  failure_ = std::move(why);
  stream_.close(submissions);
}

// --- Out -----------------------------------------------------------------------------

void RpcConnection::request(std::string_view head, std::string_view body) {
  RC_ASSERT(!asked_);
  asked_ = true;
  seen_ = answered_ = false;
  request_at_ = stream_.appended();
  for (const std::string_view part : {head, body}) stream_.append(as_bytes(part));
}

// An answer may lie in front of a reset that a send meets: but what failed to leave was not seen.
void RpcConnection::short_send(const Completion& completion, std::vector<Submission>& submissions) {
  const uint64_t before = stream_.taken();
  ClientStream::News news = stream_.short_send(completion);
  note_sent(before);
  if (news.kind == ClientStream::News::Kind::failed) close(std::move(news.why), submissions);
}

void RpcConnection::settle_send() {
  const uint64_t before = stream_.taken();
  stream_.settle_send();
  note_sent(before);
}

void RpcConnection::note_sent(uint64_t taken_before) {
  if (stream_.taken() > taken_before && stream_.moved() > request_at_) seen_ = true;
}

// --- In ------------------------------------------------------------------------------

void RpcConnection::completed(const Completion& completion, std::vector<Submission>& submissions) {
  inbound_.clear();
  ClientStream::News news = stream_.completed(completion, inbound_);
  if (!inbound_.empty()) take_bytes(inbound_, submissions);
  switch (news.kind) {
    case ClientStream::News::Kind::none:
    case ClientStream::News::Kind::connected:
    case ClientStream::News::Kind::bytes:
      return;
    case ClientStream::News::Kind::ended:
      return peer_closed(std::move(news.why), submissions);
    case ClientStream::News::Kind::failed:
      return close(std::move(news.why), submissions);
  }
}

void RpcConnection::take_bytes(Bytes bytes, std::vector<Submission>& submissions) {
  if (!asked_ || answered_) return close("the application spoke without being asked", submissions);
  for (;;) {
    using Kind = HttpResponseParser::Event::Kind;
    const HttpResponseParser::Event event = parser_.next(bytes);
    switch (event.kind) {
      case Kind::need_more:
        return;
      case Kind::head:
        break;
      case Kind::body:
        body_ += as_text(event.body);
        break;
      case Kind::complete:
        answered_ = true;
        // What follows answers nothing, so who knows what the next would be.
        if (!bytes.empty()) close("the application answered twice", submissions);
        return;
      case Kind::error:
        return close("not HTTP: " + std::string(event.reason), submissions);
    }
  }
}

void RpcConnection::peer_closed(std::string why, std::vector<Submission>& submissions) {
  if (why.empty()) why = "closed by the application";
  if (asked_ && !answered_ && answer_begun()) {
    const HttpResponseParser::Event event = parser_.closed();
    answered_ = event.kind == HttpResponseParser::Event::Kind::complete;
    if (!answered_) why = event.reason;
  }
  close(std::move(why), submissions);
}

Duration RpcConnection::keep_alive_for(Duration at_most) const {
  if (stage() != Stage::open || !answered_ || !parser_.keep_alive() || stream_.unsent_bytes() > 0) return {};
  Duration trusted = at_most;
  // "Keep-Alive: timeout=5, max=100": a second less, for what is on its way.
  (void)http::any_list_member(parser_.header("keep-alive"), [&](std::string_view member) {
    if (!member.starts_with("timeout=")) return false;
    const auto told = http::parse_length(member.substr(8));
    if (told && *told < 3600) trusted = std::min<Duration>(trusted, seconds(static_cast<int64_t>(*told) - 1));
    return true;
  });
  return std::max(trusted, Duration{});
}

void RpcConnection::forget_answer() {
  RC_ASSERT(answered_);
  asked_ = answered_ = seen_ = false;
  parser_.reset();
  body_.clear();
}

}  // namespace ringcast
