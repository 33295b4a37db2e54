#include "shard/raw_socket.h"

#include <cstring>

#include "protocol/cable.h"
#include "protocol/form.h"
#include "shard/connection.h"
#include "shard/shard.h"

namespace ringcast {

RequestTarget::RequestTarget(std::string_view path, std::string_view query,
                             std::span<const PathParameter> parameters) {
  std::string parts;
  const auto append = [&parts](std::string_view part) {
    size_t bytes = part.size();
    for (; bytes >= 0x80; bytes >>= 7) parts += static_cast<char>(bytes | 0x80);
    parts += static_cast<char>(bytes);
    parts += part;
  };
  append(path);
  append(query);
  for (const PathParameter& parameter : parameters) append(parameter.value);
  parts_ = std::make_unique_for_overwrite<char[]>(parts.size());
  std::memcpy(parts_.get(), parts.data(), parts.size());
}

std::string_view RequestTarget::part(size_t index) const {
  const char* at = parts_.get();
  for (;; --index) {
    size_t bytes = 0;
    unsigned octet;
    unsigned shift = 0;
    do {
      octet = static_cast<unsigned char>(*at++);
      bytes |= size_t{octet & 0x7f} << shift;
      shift += 7;
    } while (octet & 0x80);
    if (index == 0) return {at, bytes};
    at += bytes;
  }
}

RawSocket::RawSocket(Connection& connection, const Route& route, const Exchange& exchange)
    : connection_(connection),
      route_(route),
      target_(exchange.request.path() == route.name && exchange.request.query().empty() &&
                      exchange.parameters.empty()
                  ? RequestTarget()
                  : RequestTarget(exchange.request.path(), exchange.request.query(), exchange.parameters)) {}

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
  shard().hub().subscribe(connection_, 0, stream, {}, live);
  return true;
}

void RawSocket::stop_stream_from(std::string_view stream) {
  if (Subscription* subscription = connection_.find_subscription(0, stream)) {
    connection_.leave(*subscription);
  }
}

PublishStatus RawSocket::broadcast(std::string_view stream, PayloadKind kind, Bytes payload) {
  return shard().publish(stream, kind, payload);
}

std::string_view RawSocket::parameter(std::string_view name) const {
  const std::optional<size_t> index = route_.pattern.parameter_index(name);
  return index ? target_.parameter(*index) : std::string_view();
}

std::optional<std::string> RawSocket::query(std::string_view name) const {
  if (!target_ || target_.query().empty()) return {};
  const std::optional<FormFields> fields = parse_urlencoded(target_.query());
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
  std::unique_ptr<Identities::Member>& identity = extra().identity;
  if (name.empty() || identity) return;
  identity = std::make_unique<Identities::Member>();
  shard().context().identities.add(*identity, shard(), connection_.id(), name);
}

void RawSocket::expire_at(int64_t unix_ms) {
  extra().expiry = std::make_unique<Expiry>(shard(), unix_ms, this, [](void* self) {
    static_cast<RawSocket*>(self)->connection_.close(CloseCode::policy_violation, "token_expired",
                                                     EndReason::unauthorized);
  });
}

void RawSocket::open() {
  if (opened() == CallResult::ok) return;
  shard().counters().callback_exceptions.add();
  connection_.close(CloseCode::internal_error, {}, EndReason::internal_error);
}

void RawSocket::message(Opcode opcode, MutableBytes payload) {
  if (opcode == Opcode::binary && route_.text_only) {
    connection_.close(CloseCode::unsupported_data, "text messages only", EndReason::invalid_data);
    return;
  }
  if (received(opcode, payload) == CallResult::ok) return;
  shard().counters().callback_exceptions.add();
  erred("the message callback failed");
}

void RawSocket::protocol_error(std::string_view problem) {
  erred(problem);
}

void RawSocket::ended(CloseCode code, std::string_view reason) {
  if (extra_) {
    if (extra_->expiry) extra_->expiry->cancel();
    if (extra_->identity) shard().context().identities.remove(*extra_->identity);
    extra_->identity.reset();
  }
  closed(code, reason);
}

}  // namespace ringcast
