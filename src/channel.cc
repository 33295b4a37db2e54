// Action Cable as an embedder sees it: connections and channels, between the session
// that drives them and the classes that decide. One CableSession per connection, one
// CableChannel per subscription, both on their connection's shard and thread only.
#include "ringcast/channel.h"

#include <stdexcept>
#include <type_traits>
#include <utility>
#include <vector>

#include "auth/global_id.h"
#include "cable_route.h"
#include "http_access.h"
#include "protocol/json.h"
#include "rpc_session.h"
#include "server_core.h"
#include "shard/session.h"
#include "shard/shard.h"
#include "stream_channel.h"
#include "tagged_log.h"

namespace ringcast {
namespace internal {

// Owns the embedder's connection object, if there is one.
class CableSession final : public Session {
 public:
  CableSession(Connection& connection, const Route& route) : Session(connection, route) {}
  ~CableSession() override {
    if (rpc()) rpc()->ended();
    if (known()) ours().connection.reset();  // while it can ask us yet
  }

  // On a route without a class of its own, one is made once there is something to keep in it.
  CableConnection& connection() {
    if (known_connection() == nullptr) own(std::make_unique<CableConnection>());
    return *known_connection();
  }

  // Of the receive() under way: whether the channel's class has one of its own.
  bool received = false;

  ServerCore& core() const { return definition().core; }
  Logger& logger() const { return core().logger(); }

 private:
  CallResult connect(const Exchange& exchange) override;
  bool renew(std::string_view token) override;
  void disconnected() override;
  std::unique_ptr<SessionChannel> make_channel(ChannelIdentifierRef identifier) override;

  // Only its make_session() makes one of these.
  const CableDefinition& definition() const {
    return static_cast<const CableGate&>(*route().cable).definition();
  }
  void decide(const Exchange& exchange);
  // What a source has found.
  struct Named {
    std::string name;
    Json value;
  };
  bool identify(const IdentifierDefinition& definition, const RequestData& data, const Request& request,
                std::vector<Named>& named);
  void refuse(const RequestData& data, std::string_view why);
  void name_connection();
  void ask_application(const RequestData& data);
  void recognized(std::string_view identifiers);
  // What `make` makes, or null if it throws.
  template <class Make>
  std::invoke_result_t<Make> make(std::string_view name, Make&& make) {
    std::invoke_result_t<Make> made;
    if (guarded(logger(), name, [&] { made = make(); }) == CallResult::failed) {
      shard().counters().callback_exceptions.add();
    }
    return made;
  }

  struct Ours final : Extra {
    std::unique_ptr<CableConnection> connection;
    std::shared_ptr<RpcSession> rpc;  // where an application is asked
  };
  std::unique_ptr<Extra> make_extra() override { return std::make_unique<Ours>(); }
  Ours& ours() { return static_cast<Ours&>(extra()); }
  const Ours* known() const { return static_cast<const Ours*>(known_extra()); }
  CableConnection* known_connection() const { return known() ? known()->connection.get() : nullptr; }
  RpcSession* rpc() const { return known() ? known()->rpc.get() : nullptr; }

  void own(std::unique_ptr<CableConnection> connection) {
    connection->session_ = this;
    ours().connection = std::move(connection);
  }
  const Json& known_identifiers() const {
    return known_connection() ? known_connection()->identifiers() : no_identifiers();
  }
};

// A hundred thousand sessions pay 100 KB for each byte.
static_assert(sizeof(CableSession) == 56);

CallResult CableSession::connect(const Exchange& exchange) {
  return guarded(logger(), "connect", [&] { decide(exchange); });
}

void CableSession::decide(const Exchange& exchange) {
  const RequestData data(exchange, core().server(), core().identity());
  const Request request = RequestAccess::make(data);

  if (definition().make_connection) {
    auto made = definition().make_connection();
    if (made == nullptr) throw std::logic_error("the connection's factory made nothing");
    own(std::move(made));
  }

  std::vector<Named> named;
  for (const IdentifierDefinition& identifier : definition().identifiers) {
    if (!identify(identifier, data, request, named)) return;
  }
  for (const auto& allowed : definition().guards) {
    if (!allowed(request)) return refuse(data, "the route's authorize() said no");
  }
  if (CableConnection* const connection = known_connection()) {
    connection->connect(request);
    if (connection->rejected()) return refuse(data, "the connection's connect() said no");
  }
  if (definition().tags) {
    for (const std::string& tag : definition().tags(request, connection())) connection().add_tags({tag});
  } else {
    for (const auto& [name, value] : named) {
      if (!names_somebody(value)) continue;
      connection().add_tags({name + ":" + std::string(value.text())});
    }
  }
  name_connection();
  if (core().rpc() != nullptr && definition().ask_application) ask_application(data);
  if (const Jwt* const jwt = data.jwt_asked(); jwt != nullptr && *jwt && jwt->expires_unix_ms) {
    expire_at(*jwt->expires_unix_ms);
  }
}

// What other processes know the connection by: models by their GlobalIDs, other text as it is,
// all else as JSON.
void CableSession::name_connection() {
  for (const auto& [name, value] : known_identifiers().members()) {
    if (!names_somebody(value)) continue;
    std::string text = value.is_string() ? std::string(value.text()) : value.dump();
    Session::identify(name, std::move(text), identifier_param(value));
  }
}

// Who has been identified here, or by a token of AnyCable's, comes in unasked.
void CableSession::ask_application(const RequestData& data) {
  ours().rpc = std::make_shared<RpcSession>(*core().rpc(), *this, data.exchange);
  std::string identifiers;
  for (const auto& [name, value] : known_identifiers().members()) {
    if (!names_somebody(value)) continue;
    identifiers += identifiers.empty() ? '{' : ',';
    append_json_string(identifiers, name);
    identifiers += ':';
    append_json_string(identifiers, identifier_param(value));
  }
  if (!identifiers.empty()) identifiers += '}';
  if (!core().identity().jwt.keys.empty()) {
    const Jwt& jwt = data.jwt();
    if (!jwt && jwt.error != JwtError::missing) return refuse(data, "the token is not good");
    if (jwt) {
      const auto ext = jwt.claims["ext"].as_string();
      if (!ext && identifiers.empty()) return refuse(data, "the token has no ext");
      // Verbatim: by this text the application disconnects them.
      if (ext && identifiers.empty()) recognized(*ext);
      if (ext) identifiers = *ext;
    }
  }
  if (!identifiers.empty()) return rpc()->known_as(std::move(identifiers));
  rpc()->connect([this](std::string_view told) { recognized(told); });
}

// By the application, in JSON that names who it is.
void CableSession::recognized(std::string_view identifiers) {
  const std::optional<Json> named = Json::parse(identifiers);
  if (!named || !named->is_object()) return;
  for (const auto& [name, value] : named->members()) {
    connection().identify(name, value);
    if (!value.is_null()) connection().add_tags({name + ":" + std::string(value.text())});
  }
  name_connection();
}

// False: refused.
bool CableSession::identify(const IdentifierDefinition& definition, const RequestData& data,
                            const Request& request, std::vector<Named>& named) {
  if (!definition.source) {
    std::optional<Json> value = definition.ask(request);
    if (!value) {
      refuse(data, definition.name + " is not known");
      return false;
    }
    connection().identify(definition.name, std::move(*value));
    return true;
  }
  IdentifierValue found = definition.source->evaluate(RequestCredentials(data));
  if (!found) {
    note_cookie(data.exchange, definition.source->text(), found.cookie_error);
    refuse(data, found.reason);
    return false;
  }
  named.push_back({definition.name, found.value});
  connection().identify(definition.name, std::move(found.value));
  return true;
}

// A client whose token has expired is told, for it may know how to get another.
void CableSession::refuse(const RequestData& data, std::string_view why) {
  const Jwt* const jwt = data.jwt_asked();
  const bool bad_token = jwt != nullptr && !*jwt && jwt->error != JwtError::missing;
  const std::string reason = bad_token ? "the token " + std::string(describe(jwt->error)) : std::string(why);
  Shard& shard = this->shard();
  shard.log().log(shard.now(), LogLevel::info, "unauthorized",
                  {{"connection", number()},
                   {"route", std::string_view(definition().pattern)},
                   {"why", std::string_view(reason)}});
  reject_unauthorized(bad_token && jwt->error == JwtError::expired ? "token_expired" : "unauthorized");
}

// A token and nothing else: what a refresh brings.
class TokenAlone final : public CredentialSource {
 public:
  TokenAlone(const Jwt& jwt, const KeyRing& keys, int64_t now_unix_ms)
      : jwt_(jwt), keys_(keys), now_unix_ms_(now_unix_ms) {}

  std::optional<std::string> cookie(std::string_view) const override { return std::nullopt; }
  std::optional<std::string> header(std::string_view) const override { return std::nullopt; }
  std::optional<std::string> query(std::string_view) const override { return std::nullopt; }
  const Json* claims() const override { return &jwt_.claims; }
  const KeyRing& keys() const override { return keys_; }
  int64_t now_unix_ms() const override { return now_unix_ms_; }

 private:
  const Jwt& jwt_;
  const KeyRing& keys_;
  const int64_t now_unix_ms_;
};

// Whoever holds a valid token of somebody else must not live on by it: what the tokens'
// claims made of the connection, the new one makes of it too. Identifiers that a function
// of the embedder's found cannot be found again without a request, so they refuse.
bool CableSession::renew(std::string_view token) {
  const Identity& identity = core().identity();
  const int64_t now_unix_ms = shard().unix_ms();
  const Jwt jwt = verify_jwt(identity.jwt, token, now_unix_ms);
  if (!jwt) return false;
  const TokenAlone credentials(jwt, identity.cookies, now_unix_ms);
  // AnyCable's tokens name the connection by their ext.
  const auto ext = jwt.claims["ext"].as_string();
  bool same = rpc() && definition().identifiers.empty() && ext && *ext == rpc()->identifiers();
  for (const IdentifierDefinition& definition : definition().identifiers) {
    if (!definition.source) return false;
    if (!definition.source->needs_jwt()) continue;
    const IdentifierValue found = definition.source->evaluate(credentials);
    if (!found || found.value != known_identifiers()[definition.name]) return false;
    same = true;
  }
  if (!same) return false;
  expire_at(jwt.expires_unix_ms.value_or(INT64_MAX));
  return true;
}

void CableSession::disconnected() {
  CableConnection* const connection = known_connection();
  if (connection != nullptr &&
      guarded(logger(), "disconnected", [&] { connection->disconnected(); }) == CallResult::failed) {
    shard().counters().callback_exceptions.add();
  }
  if (rpc()) rpc()->ended();
}

// --- Channels -----------------------------------------------------------------------

// Owns the embedder's channel object, which as a rule lies behind it in the same block.
class CableChannel final : public SessionChannel {
 public:
  static std::unique_ptr<CableChannel> make(const ChannelDefinition& definition, CableSession& session,
                                            ChannelIdentifierRef identifier) {
    const ChannelDefinition::Class& made = *definition.made_in_place;
    return std::unique_ptr<CableChannel>(new (Whole{place_of(made) + made.bytes})
                                             CableChannel(definition, session, std::move(identifier)));
  }
  // Without a definition: it was found by its name.
  CableChannel(const ChannelDefinition* definition, CableSession& session, ChannelIdentifierRef identifier,
               std::unique_ptr<Channel> channel)
      : SessionChannel(session, std::move(identifier)), definition_(definition), channel_(channel.release()) {
    channel_->subscription_ = this;
  }
  ~CableChannel() override {
    if (in_place()) {
      channel_->~Channel();
    } else {
      delete channel_;
    }
  }

  static void* operator new(size_t bytes) { return ::operator new(bytes); }
  static void operator delete(void* block) { ::operator delete(block); }

  // --- For Channel ---

  // Whether the class has one of its own.
  bool receive(const Json& data) {
    session().received = true;
    channel_->receive(data);
    return session().received;
  }
  // The base class's was reached.
  void nothing_received() { session().received = false; }

  void call_periodically(std::chrono::milliseconds interval, std::function<void()> callback) {
    constexpr std::chrono::milliseconds kShortest(10);
    periodics().push_back(std::move(callback));
    periodically(std::max(interval, kShortest), static_cast<uint32_t>(periodics().size() - 1));
  }

  // Where that cannot be, a subscription that begins is rejected.
  bool stream_or_reject(std::string_view stream) {
    if (stream_from(stream)) return true;
    reject();
    logger().log(LogLevel::warn, "stream_refused", {{"channel", name()}, {"bytes", uint64_t{stream.size()}}});
    return false;
  }

  CableSession& session() const { return static_cast<CableSession&>(SessionChannel::session()); }
  // That clients know it by.
  std::string_view name() const {
    if (definition_ != nullptr) return definition_->name;
    return channel_name();
  }

 private:
  CallResult subscribed() override {
    return guarded(logger(), "subscribed", [this] { channel_->subscribed(); });
  }

  void unsubscribed() override {
    if (guarded(logger(), "unsubscribed", [this] { channel_->unsubscribed(); }) == CallResult::failed) {
      session().shard().counters().callback_exceptions.add();
    }
  }

  bool perform(std::string_view action, const Json& data, CallResult& result) override {
    if (definition_ != nullptr) {
      const auto found = definition_->actions.find(action);
      if (found != definition_->actions.end()) {
        result = guarded(logger(), action, [&] { found->second(*channel_, data); });
        return true;
      }
    }
    bool known = true;  // what throws is an action
    result = guarded(logger(), action, [&] { known = channel_->perform(action, data); });
    return known;
  }

  CallResult timer(uint32_t index) override {
    return guarded(logger(), "periodically", [&] { periodics()[index](); });
  }

  Logger& logger() const { return session().logger(); }

  struct Calling final : Extra {
    std::vector<std::function<void()>> periodics;  // by the index given to the session
  };
  std::unique_ptr<Extra> make_extra() override { return std::make_unique<Calling>(); }
  std::vector<std::function<void()>>& periodics() { return static_cast<Calling&>(extra()).periodics; }

  CableChannel(const ChannelDefinition& definition, CableSession& session, ChannelIdentifierRef identifier)
      : SessionChannel(session, std::move(identifier)),
        definition_(&definition),
        channel_(definition.made_in_place->make(reinterpret_cast<std::byte*>(this) +
                                                place_of(*definition.made_in_place))) {
    channel_->subscription_ = this;
  }

  // A block with room behind it for what is made there.
  struct Whole {
    size_t bytes;
  };
  static void* operator new(size_t, Whole whole) { return ::operator new(whole.bytes); }
  static void operator delete(void* block, Whole) { ::operator delete(block); }

  static size_t place_of(const ChannelDefinition::Class& made) {
    return (sizeof(CableChannel) + made.alignment - 1) / made.alignment * made.alignment;
  }
  bool in_place() const { return definition_ != nullptr && definition_->made_in_place; }

  const ChannelDefinition* const definition_;
  Channel* const channel_;  // owned
};

// A hundred thousand subscriptions pay 100 KB for each byte.
static_assert(sizeof(CableChannel) == 56);

std::unique_ptr<Session> CableGate::make_session(Connection& connection, const Route& route) {
  return std::make_unique<CableSession>(connection, route);
}

std::unique_ptr<SessionChannel> CableSession::make_channel(ChannelIdentifierRef identifier) {
  const std::string_view name = identifier->channel();
  for (const auto& find : definition().finders) {
    if (auto made = make(name, [&] { return find(name); })) {
      return std::make_unique<CableChannel>(nullptr, *this, std::move(identifier), std::move(made));
    }
  }
  const auto found = definition().channels.find(name);
  if (found == definition().channels.end()) {
    if (rpc() && !is_stream_channel(core().identity(), name, identifier->params())) {
      return rpc()->make_channel(*this, std::move(identifier));
    }
    return make_stream_channel(core().identity(), *this, std::move(identifier));
  }
  const ChannelDefinition& channel = found->second;
  if (channel.made_in_place) {
    return make(channel.name, [&]() -> std::unique_ptr<SessionChannel> {
      return CableChannel::make(channel, *this, std::move(identifier));
    });
  }
  auto made = make(channel.name, channel.make);
  if (made == nullptr) return nullptr;
  return std::make_unique<CableChannel>(&channel, *this, std::move(identifier), std::move(made));
}

}  // namespace internal

// --- CableConnection --------------------------------------------------------------------

void CableConnection::connect(const Request&) {}
void CableConnection::disconnected() {}

CableConnection::Description& CableConnection::description() {
  if (!description_) description_ = std::make_unique<Description>();
  return *description_;
}

const Json& CableConnection::identifiers() const {
  return description_ ? description_->identifiers : internal::no_identifiers();
}
const Json& CableConnection::identifier(std::string_view name) const {
  return identifiers()[name];
}
const std::vector<std::string>& CableConnection::tags() const {
  static const std::vector<std::string> kNone;
  return description_ ? description_->tags : kNone;
}

uint64_t CableConnection::number() const {
  return session_ == nullptr ? 0 : session_->number();  // in its constructor: none yet
}

void CableConnection::identify(std::string_view name, Json value) {
  description().identifiers.set(name, std::move(value));
}

void CableConnection::reject_unauthorized() {
  description().rejected = true;
}

std::string CableConnection::socket_id() const {
  return session_->socket_id();
}

void CableConnection::disconnect(std::string_view reason, bool reconnect) {
  session_->disconnect(reason, reconnect);
}

void CableConnection::add_tags(std::initializer_list<std::string_view> tags) {
  std::vector<std::string> added(tags.begin(), tags.end());
  std::vector<std::string>& known = description().tags;
  known.insert(known.end(), added.begin(), added.end());
  session_->add_tags(std::move(added));
}

void CableConnection::log(LogLevel level, std::string_view event, std::initializer_list<LogField> fields) {
  internal::log_tagged(session_->logger(), level, event, session_->tags(), number(), fields);
}

Server& CableConnection::server() const {
  return session_->core().server();
}

// --- Channel ----------------------------------------------------------------------------

namespace {

// A channel's constructor runs before there is a subscription; what it calls then is
// the embedder's bug and ends in the log like any other exception.
internal::CableChannel& bound(internal::CableChannel* subscription) {
  if (subscription == nullptr) throw std::logic_error("a channel has no subscription in its constructor");
  return *subscription;
}

}  // namespace

void Channel::subscribed() {}
void Channel::unsubscribed() {}
void Channel::receive(const Json&) {
  bound(subscription_).nothing_received();
}
bool Channel::perform(std::string_view action, const Json& data) {
  return action == "receive" && bound(subscription_).receive(data);
}

const Json& Channel::params() const {
  return bound(subscription_).params();
}
std::string_view Channel::identifier() const {
  return bound(subscription_).identifier();
}
CableConnection& Channel::connection() const {
  return bound(subscription_).session().connection();
}
Server& Channel::server() const {
  return bound(subscription_).session().core().server();
}
std::string_view Channel::channel_name() const {
  return bound(subscription_).name();
}

bool Channel::stream_from(std::string_view stream) {
  return bound(subscription_).stream_or_reject(stream);
}
void Channel::stop_stream_from(std::string_view stream) {
  bound(subscription_).stop_stream_from(stream);
}
void Channel::stop_all_streams() {
  bound(subscription_).stop_all_streams();
}

BroadcastStatus Channel::broadcast(std::string_view stream, Text text) {
  Session& session = bound(subscription_).session();
  return internal::told(session.broadcast(stream, PayloadKind::text, as_bytes(text.view())));
}
BroadcastStatus Channel::broadcast(std::string_view stream, Binary binary) {
  Session& session = bound(subscription_).session();
  return internal::told(session.broadcast(stream, PayloadKind::binary, binary.bytes()));
}
BroadcastStatus Channel::broadcast(std::string_view stream, const Json& json) {
  const std::string text = json.dump();
  Session& session = bound(subscription_).session();
  return internal::told(session.broadcast(stream, PayloadKind::json, as_bytes(text)));
}

void Channel::transmit(const Json& json) {
  bound(subscription_).transmit(json);
}
void Channel::reject() {
  bound(subscription_).reject();
}
void Channel::periodically(std::chrono::milliseconds interval, std::function<void()> callback) {
  bound(subscription_).call_periodically(interval, std::move(callback));
}

}  // namespace ringcast
