#include "shard/raw_socket.h"

#include "protocol/cable.h"
#include "protocol/form.h"
#include "shard/connection.h"
#include "shard/shard.h"

namespace ringcast {

RawSocket::RawSocket(Connection& connection, const Route& route, std::vector<PathParameter> parameters,
                     std::string query)
    : connection_(connection), route_(route), parameters_(std::move(parameters)), query_(std::move(query)) {}

bool RawSocket::send(Opcode opcode, Bytes payload) {
  if (connection_.state() != Connection::State::open) return false;
  connection_.send_message(opcode, payload);
  return true;
}

void RawSocket::close(CloseCode code, std::string_view reason) {
  connection_.close(code, reason, EndReason::closed_by_handler);
}

bool RawSocket::stream_from(std::string_view stream) {
  const Limits& limits = shard().limits();
  if (connection_.state() != Connection::State::open) return false;
  if (stream.empty() || stream.size() > limits.stream_name_bytes || is_internal_channel(stream)) return false;
  if (connection_.find_subscription(0, stream) != nullptr) return true;
  if (connection_.subscription_count() >= limits.subscriptions_per_connection) return false;
  bool live = false;
  shard().hub().subscribe(connection_, 0, stream, nullptr, live);
  return true;
}

void RawSocket::stop_stream_from(std::string_view stream) {
  if (Subscription* subscription = connection_.find_subscription(0, stream)) {
    shard().hub().unsubscribe(*subscription);
  }
}

PublishStatus RawSocket::broadcast(std::string_view stream, PayloadKind kind, Bytes payload) {
  return shard().publish(stream, kind, payload);
}

std::string_view RawSocket::parameter(std::string_view name) const {
  for (const PathParameter& parameter : parameters_) {
    if (parameter.name == name) return parameter.value;
  }
  return {};
}

std::optional<std::string> RawSocket::query(std::string_view name) const {
  const std::optional<FormFields> fields = parse_urlencoded(query_);
  if (!fields) return {};
  const std::string* value = fields->find(name);
  return value == nullptr ? std::nullopt : std::optional(*value);
}

uint64_t RawSocket::number() const {
  return connection_.number();
}
const IpAddress& RawSocket::peer() const {
  return connection_.peer();
}
Shard& RawSocket::shard() const {
  return connection_.shard();
}

void RawSocket::identify(std::string_view name) {
  if (name.empty() || identity_) return;
  identity_ = std::make_unique<Identities::Member>();
  shard().context().identities.add(*identity_, shard(), connection_.id(), name);
}

void RawSocket::expire_at(int64_t unix_ms) {
  expiry_ = std::make_unique<Expiry>(shard(), unix_ms, this, [](void* self) {
    static_cast<RawSocket*>(self)->connection_.close(CloseCode::policy_violation, "token_expired",
                                                     EndReason::unauthorized);
  });
}

void RawSocket::open(const Exchange& exchange) {
  opened_ = true;
  if (route_.websocket->open(*this, exchange) == CallResult::ok) return;
  shard().counters().callback_exceptions.add();
  connection_.close(CloseCode::internal_error, {}, EndReason::internal_error);
}

void RawSocket::message(Opcode opcode, MutableBytes payload) {
  if (opcode == Opcode::binary && route_.text_only) {
    connection_.close(CloseCode::unsupported_data, "text messages only", EndReason::invalid_data);
    return;
  }
  if (route_.websocket->message(*this, opcode, payload) == CallResult::ok) return;
  shard().counters().callback_exceptions.add();
  route_.websocket->error(*this, "the message callback failed");
}

void RawSocket::protocol_error(std::string_view problem) {
  route_.websocket->error(*this, problem);
}

void RawSocket::ended(CloseCode code, std::string_view reason) {
  if (!opened_) return;
  opened_ = false;
  if (expiry_) expiry_->cancel();
  if (identity_) shard().context().identities.remove(*identity_);
  identity_.reset();
  route_.websocket->close(*this, code, reason);
}

}  // namespace ringcast
