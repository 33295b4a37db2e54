#include "shard/session.h"

#include <algorithm>
#include <iterator>
#include <utility>

#include "base/hash.h"
#include "shard/connection.h"
#include "shard/shard.h"

namespace ringcast {
namespace {

uint32_t hash32(std::string_view identifier) {
  return static_cast<uint32_t>(StringHash()(identifier));
}

}  // namespace

// --- SessionChannel -------------------------------------------------------------------

SessionChannel::SessionChannel(Session& session, ChannelIdentifierRef identifier)
    : session_(session), identifier_(std::move(identifier)), index_(session.next_index_++) {}

SessionChannel::~SessionChannel() = default;

bool SessionChannel::stream_from(std::string_view stream) {
  Connection& connection = session_.connection_;
  const Limits& limits = connection.shard().limits();
  if (state_ == State::ended || connection.state() != Connection::State::open) return false;
  if (stream.empty() || stream.size() > limits.stream_name_bytes || is_internal_channel(stream)) return false;
  if (connection.find_subscription(index_, stream) != nullptr) return true;
  if (connection.subscription_count() >= limits.subscriptions_per_connection) return false;
  bool live = false;
  connection.shard().hub().subscribe(connection, index_, stream, identifier_, live);
  if (!live) ++streams_pending_;
  return true;
}

void SessionChannel::stop_stream_from(std::string_view stream) {
  Subscription* const subscription = session_.connection_.find_subscription(index_, stream);
  if (subscription == nullptr) return;
  if (!subscription->log.stream.live) --streams_pending_;
  session_.connection_.leave(*subscription);
}

void SessionChannel::stop_all_streams() {
  Subscription* subscription = session_.connection_.subscriptions();
  while (subscription != nullptr) {
    Subscription* const next = subscription->next;
    if (subscription->owner == index_) session_.connection_.leave(*subscription);
    subscription = next;
  }
  streams_pending_ = 0;
}

void SessionChannel::transmit(const Json& message) {
  if (state_ == State::ended) return;
  std::string text;
  append_message(text, encode_identifier(identifier_->text()), message.dump());
  session_.connection_.send_message(Opcode::text, as_bytes(text), index_);
}

void SessionChannel::reject() {
  if (in_subscribed_) reject_asked_ = true;
}

void SessionChannel::ask() {
  RC_ASSERT(in_subscribed_);
  undecided_ = true;
  session_.hold();
}

void SessionChannel::accept(std::vector<std::string> messages) {
  RC_ASSERT(undecided_);
  undecided_ = false;
  if (!messages.empty()) extra().confirmation = std::move(messages);
  if (streams_pending_ == 0) session_.confirm(*this);
}

void SessionChannel::refuse(std::span<const std::string> messages) {
  RC_ASSERT(undecided_);
  undecided_ = false;
  Session& session = session_;
  const ChannelIdentifierRef identifier = identifier_;
  session.end_channel(*this);  // and this is gone
  if (messages.empty()) return session.reject(identifier->text());
  session.shard().counters().rejects.add();
  for (const std::string& message : messages) session.send_reply(message);
}

void SessionChannel::periodically(Duration interval, uint32_t index) {
  if (state_ == State::ended) return;
  extra().periodics.push_back(std::make_unique<Periodic>(*this, interval, index));
}

SessionChannel::Periodic::Periodic(SessionChannel& channel, Duration interval, uint32_t index)
    : channel(channel),
      interval(interval),
      index(index),
      deadline(this, [](void* self) { static_cast<Periodic*>(self)->due(); }) {
  Shard& shard = channel.session_.shard();
  shard.timers().schedule(deadline, shard.now() + interval);
}

void SessionChannel::Periodic::due() {
  Shard& shard = channel.session_.shard();
  shard.timers().schedule(deadline, shard.now() + interval);
  // As in Rails, timers begin with the confirmation.
  if (channel.state_ != SessionChannel::State::confirmed) return;
  if (channel.session_.connection_.state() != Connection::State::open) return;
  if (channel.timer(index) == CallResult::failed) shard.counters().callback_exceptions.add();
}

// --- ChannelList ----------------------------------------------------------------------

ChannelList::Listed::Listed(std::unique_ptr<SessionChannel> channel)
    : hash(hash32(channel->identifier())), channel(std::move(channel)) {}

SessionChannel* ChannelList::find(std::string_view identifier) const {
  const Table* const table = this->table();
  if (table == nullptr) return alone() != nullptr && alone()->identifier() == identifier ? alone() : nullptr;
  const uint32_t hash = hash32(identifier);
  for (const Listed& listed : *table) {
    if (listed.hash == hash && listed.channel->identifier() == identifier) return listed.channel.get();
  }
  return nullptr;
}

SessionChannel* ChannelList::at_index(uint32_t index) const {
  const Table* const table = this->table();
  if (table == nullptr) return alone() != nullptr && alone()->index_ == index ? alone() : nullptr;
  const auto found =
      std::ranges::find(*table, index, [](const Listed& listed) { return listed.channel->index_; });
  return found == table->end() ? nullptr : found->channel.get();
}

void ChannelList::add(std::unique_ptr<SessionChannel> channel) {
  if (empty()) return hold(std::move(channel));
  if (!has_table()) {
    auto table = std::make_unique<Table>();
    table->emplace_back(std::unique_ptr<SessionChannel>(alone()));
    held_ = reinterpret_cast<uintptr_t>(table.release()) | kIsTable;
  }
  table()->emplace_back(std::move(channel));
}

// The last takes the place of the one that goes.
void ChannelList::remove(SessionChannel& channel) {
  std::unique_ptr<SessionChannel> removed;
  if (Table* const table = this->table()) {
    const auto found =
        std::ranges::find(*table, &channel, [](const Listed& listed) { return listed.channel.get(); });
    RC_ASSERT(found != table->end());
    std::swap(*found, table->back());
    removed = std::move(table->back().channel);
    table->pop_back();
    if (table->size() > 1) return;
    const std::unique_ptr<Table> emptied(table);
    hold(std::move(emptied->front().channel));
  } else {
    RC_ASSERT(alone() == &channel);
    removed.reset(alone());
    held_ = 0;
  }
}

// --- Session --------------------------------------------------------------------------

Session::Session(Connection& connection, const Route& route) : connection_(connection), route_(route) {}

Session::~Session() {
  RC_ASSERT(channels_.empty());
  forget_identity();
}

void Session::identify(std::string name, std::string value, std::string param) {
  extra().identifiers.push_back({std::move(name), std::move(value), std::move(param)});
}

std::optional<std::string_view> Session::identified(std::string_view name) const {
  if (!extra_) return {};
  for (const Identified& known : extra_->identifiers) {
    if (known.name == name) return known.value;
  }
  return {};
}

std::string Session::connection_identifier() const {
  std::vector<std::string_view> params;
  if (extra_) {
    for (const Identified& identified : extra_->identifiers) params.push_back(identified.param);
  }
  return ringcast::connection_identifier(params);
}

void Session::add_tags(std::vector<std::string> tags) {
  for (const std::string& tag : tags) {
    std::string& text = extra().tags;
    if (!text.empty()) text += ' ';
    text += '[' + tag + ']';
  }
}

void Session::expire_at(int64_t unix_ms) {
  extra().expiry = std::make_unique<Expiry>(shard(), unix_ms, this, [](void* self) {
    static_cast<Session*>(self)->disconnect("token_expired", true, EndReason::unauthorized);
  });
}

void Session::disconnect(std::string_view reason, bool reconnect, EndReason why) {
  if (connection_.state() != Connection::State::open) return;
  std::string& reply = shard().reply();
  append_disconnect(reply, reason, reconnect);
  connection_.send_message(Opcode::text, as_bytes(reply));
  connection_.close(CloseCode::normal, {}, why);
}

PublishStatus Session::broadcast(std::string_view stream, PayloadKind kind, Bytes payload) {
  return shard().publish(stream, kind, payload);
}

std::string Session::socket_id() const {
  if (!extra_ || extra_->socket_secret == 0) return {};
  return SocketId::of(shard().index(), connection_.id(), extra_->socket_secret)
      .to_string(shard().context().socket_seed);
}

uint64_t Session::number() const {
  return connection_.number();
}
const IpAddress& Session::peer() const {
  return connection_.peer();
}
Shard& Session::shard() const {
  return connection_.shard();
}

bool Session::congested() const {
  const Limits& limits = shard().limits();
  return extra_ && (extra_->waiting_commands >= limits.pending_commands ||
                    extra_->waiting_bytes >= limits.outbox_bytes);
}

void Session::send_reply(std::string_view message) {
  connection_.send_reply(as_bytes(message));
}

void Session::send_behind(const SessionChannel& channel, std::string_view message) {
  connection_.send_message(Opcode::text, as_bytes(message), channel.index_);
}

void Session::close(CloseCode code, std::string_view reason, EndReason why) {
  connection_.close(code, reason, why);
}

// --- Holding --------------------------------------------------------------------------

void Session::hold() {
  RC_ASSERT(!held());
  extra().hold = std::make_unique<Hold>();
}

// Each goes the ordinary way, as if it came now. One of them may begin the next hold, or end
// the session.
void Session::release() {
  RC_ASSERT(held());
  const std::unique_ptr<Hold> before = std::move(extra().hold);
  if (before->deadline) shard().timers().cancel(*before->deadline);
  while (!held() && !before->waiting.empty()) {
    Command command = std::move(before->waiting.front());
    before->waiting.pop_front();
    count_no_longer(command);
    execute(command);
  }
  if (held()) {
    std::deque<Command>& waiting = extra().hold->waiting;
    std::ranges::move(waiting, std::back_inserter(before->waiting));
    waiting = std::move(before->waiting);
  }
  connection_.maybe_resume();
}

void Session::forget_hold() {
  if (!held()) return;
  const std::unique_ptr<Hold> hold = std::move(extra().hold);
  if (hold->deadline) shard().timers().cancel(*hold->deadline);
  for (const Command& command : hold->waiting) count_no_longer(command);
}

void Session::wait_for_release(const Command& command) {
  // One answer is enough, and a client that hears none for half a second asks again.
  if (command.kind == Command::Kind::subscribe && is_asked_already(command.identifier)) return;
  count_waiting(command);
  extra().hold->waiting.push_back(command);
}

// Whether the last that was said about the identifier, and not answered, is a subscribe.
bool Session::is_asked_already(std::string_view identifier) {
  const auto about_it = [&](const Command& command) { return command.identifier == identifier; };
  const std::deque<Command>& waiting = extra().hold->waiting;
  const auto last = std::find_if(waiting.rbegin(), waiting.rend(), about_it);
  if (last != waiting.rend()) return last->kind == Command::Kind::subscribe;
  const SessionChannel* const channel = channels_.find(identifier);
  return channel != nullptr && channel->state_ == SessionChannel::State::subscribing &&
         !channel->has_waiting();
}

void Session::count_waiting(const Command& command) {
  ++extra().waiting_commands;
  extra().waiting_bytes += command.identifier.size() + command.data.size();
}

void Session::count_no_longer(const Command& command) {
  --extra().waiting_commands;
  extra().waiting_bytes -= command.identifier.size() + command.data.size();
}

// --- The beginning and the end --------------------------------------------------------

void Session::open(const Exchange& exchange) {
  if (shard().context().socket_seed != 0) extra().socket_secret = shard().random() | 1;
  if (connect(exchange) == CallResult::failed) {
    shard().counters().callback_exceptions.add();
    reject_unauthorized();
  }
  if (connection_.state() != Connection::State::open) return;
  if (extra_ && !extra_->refusal.empty()) return turn_away();
  if (!held()) return welcome();
  std::unique_ptr<Deadline>& deadline = extra().hold->deadline;
  deadline = std::make_unique<Deadline>(this, [](void* self) {
    static_cast<Session*>(self)->disconnect({}, true, EndReason::handshake_timeout);
  });
  shard().timers().schedule(*deadline, shard().now() + shard().limits().handshake_timeout);
}

void Session::turn_away(std::span<const std::string> messages) {
  forget_hold();
  for (const std::string& message : messages) send_reply(message);
  if (messages.empty()) {
    std::string& reply = shard().reply();
    const bool reasoned = extra_ && !extra_->refusal.empty();
    append_disconnect(reply, reasoned ? extra_->refusal : "unauthorized", false);
    send_reply(reply);
  }
  connection_.close(CloseCode::normal, {}, EndReason::unauthorized);
}

void Session::welcome(std::span<const std::string> messages) {
  welcomed_ = true;
  // Before the welcome: whoever has seen that can be disconnected.
  if (const std::string name = connection_identifier(); !name.empty()) {
    std::unique_ptr<Identities::Member>& identity = extra().identity;
    identity = std::make_unique<Identities::Member>();
    shard().context().identities.add(*identity, shard(), connection_.id(), name);
  }
  for (const std::string& message : messages) send_reply(message);
  if (!messages.empty()) return;
  std::string& reply = shard().reply();
  append_welcome(reply, socket_id());
  send_reply(reply);
}

void Session::forget_identity() {
  if (!extra_ || !extra_->identity) return;
  shard().context().identities.remove(*extra_->identity);
  extra_->identity.reset();
}

void Session::ended() {
  over_ = true;
  forget_hold();
  if (extra_ && extra_->expiry) extra_->expiry->cancel();
  forget_identity();
  while (!channels_.empty()) end_channel(channels_.last());
  if (welcomed_) {
    welcomed_ = false;
    disconnected();
  }
}

void Session::message(Opcode opcode, MutableBytes payload) {
  if (opcode != Opcode::text) {
    ignore("a binary message");
    return;
  }
  if (!within_rate()) {
    connection_.close(CloseCode::policy_violation, "too many commands", EndReason::policy);
    return;
  }
  shard().counters().commands.add();
  Command& command = shard().command();
  decode_command(as_text(payload), command);
  execute(command);
}

bool Session::within_rate() {
  const uint32_t most = shard().limits().commands_per_second;
  if (most == 0) return true;
  if (shard().now() - extra().second_began >= seconds(1)) {
    extra().second_began = shard().now();
    extra().commands_this_second = 0;
  }
  return ++extra().commands_this_second <= most;
}

void Session::execute(Command& command) {
  if (connection_.state() != Connection::State::open) return;
  switch (command.kind) {
    case Command::Kind::pong:
      return;
    case Command::Kind::unknown:
      return ignore("an unknown command");
    case Command::Kind::malformed:
      return ignore(command.problem);
    case Command::Kind::refresh:
    case Command::Kind::subscribe:
    case Command::Kind::unsubscribe:
    case Command::Kind::message:
      break;
  }
  if (held()) return wait_for_release(command);
  if (command.kind == Command::Kind::refresh) return refresh(command.data);
  SessionChannel* const channel = channels_.find(command.identifier);
  if (channel != nullptr && channel->state_ == SessionChannel::State::subscribing) {
    // Said again before it was answered: one answer is enough. Everything else about
    // this identifier waits for that answer, and nothing about any other does.
    if (command.kind == Command::Kind::subscribe && !channel->has_waiting()) return;
    count_waiting(command);
    channel->extra().waiting.push_back(command);
    return;
  }
  switch (command.kind) {
    case Command::Kind::subscribe:
      if (channel != nullptr) return confirm(*channel);  // @rails/actioncable repeats itself until confirmed
      return subscribe(command);
    case Command::Kind::unsubscribe:
      if (channel == nullptr) return ignore("unsubscribe from what was not subscribed to");
      return end_channel(*channel);
    case Command::Kind::message:
      if (channel == nullptr) return ignore("a message to what was not subscribed to");
      return perform(*channel, command);
    default:
      RC_ASSERT(false);
  }
}

void Session::refresh(std::string_view token) {
  const bool confirmed = renew(token);
  if (!confirmed) ignore("a token that is not this connection's");
  std::string& reply = shard().reply();
  append_refreshed(reply, confirmed);
  connection_.send_reply(as_bytes(reply));
}

void Session::subscribe(Command& command) {
  const Limits& limits = shard().limits();
  ChannelIdentifierRef identifier = shard().identifiers().find_or_decode(command.identifier);
  if (!identifier) return ignore("an identifier that names no channel");
  if (command.identifier.size() > limits.identifier_bytes) {
    ignore("an identifier over its limit");
    return reject(command.identifier);
  }
  if (channels_.size() >= limits.subscriptions_per_connection) {
    ignore("more subscriptions than the limit");
    return reject(command.identifier);
  }

  std::unique_ptr<SessionChannel> made = make_channel(std::move(identifier));
  if (!made) {
    // Silence would make the client ask every 500 ms for ever.
    ignore("an unknown channel");
    return reject(command.identifier);
  }
  SessionChannel& channel = *made;
  channels_.add(std::move(made));

  channel.in_subscribed_ = true;
  const CallResult result = channel.subscribed();
  channel.in_subscribed_ = false;
  if (result == CallResult::failed) shard().counters().callback_exceptions.add();
  if (result == CallResult::failed || channel.reject_asked_) {
    const ChannelIdentifierRef refused = channel.identifier_;
    end_channel(channel);
    return reject(refused->text());
  }
  if (channel.streams_pending_ == 0 && !channel.undecided_) confirm(channel);
}

void Session::reject(std::string_view identifier) {
  shard().counters().rejects.add();
  std::string& reply = shard().reply();
  append_reject(reply, identifier);
  connection_.send_reply(as_bytes(reply));
}

void Session::confirm(SessionChannel& channel) {
  channel.state_ = SessionChannel::State::confirmed;
  shard().counters().confirms.add();
  if (channel.extra_ && !channel.extra_->confirmation.empty()) {
    const std::vector<std::string> own = std::exchange(channel.extra_->confirmation, {});
    for (const std::string& message : own) send_reply(message);
    return;
  }
  std::string& reply = shard().reply();
  append_confirm(reply, channel.identifier());
  connection_.send_reply(as_bytes(reply));
}

void Session::subscription_live(uint32_t owner) {
  SessionChannel* const found = channels_.at_index(owner);
  RC_ASSERT(found != nullptr);
  SessionChannel& channel = *found;
  RC_ASSERT(channel.streams_pending_ > 0);
  --channel.streams_pending_;
  if (channel.state_ != SessionChannel::State::subscribing || channel.streams_pending_ > 0) return;
  if (channel.undecided_) return;
  confirm(channel);
  run_waiting(channel);
}

// The commands that came meanwhile, as if they came now. One of them may end the
// channel and the next begin it anew: each goes the ordinary way.
void Session::run_waiting(SessionChannel& channel) {
  if (!channel.has_waiting()) return connection_.maybe_resume();
  std::vector<Command> waiting = std::exchange(channel.extra_->waiting, {});
  for (Command& command : waiting) count_no_longer(command);
  size_t executed = 0;
  while (!held() && executed < waiting.size()) execute(waiting[executed++]);
  if (held()) {
    // They came before whatever waits for the release.
    for (size_t i = waiting.size(); i-- > executed;) {
      count_waiting(waiting[i]);
      extra().hold->waiting.push_front(std::move(waiting[i]));
    }
  }
  connection_.maybe_resume();
}

void Session::perform(SessionChannel& channel, const Command& command) {
  std::optional<Action> action = decode_action(command.data);
  if (!action) return ignore("data that is no action");
  if (!is_dispatchable_action(action->action)) return ignore("an action nobody may call");
  if (channel.pass_on(command.data)) return;
  CallResult result = CallResult::ok;
  if (!channel.perform(action->action, action->data, result)) return ignore("an unknown action");
  if (result == CallResult::failed) shard().counters().callback_exceptions.add();
}

void Session::end_channel(SessionChannel& channel) {
  channel.stop_all_streams();
  channel.state_ = SessionChannel::State::ended;
  if (channel.extra_) {
    for (const auto& periodic : channel.extra_->periodics) shard().timers().cancel(periodic->deadline);
    for (const Command& command : channel.extra_->waiting) count_no_longer(command);
  }
  channel.unsubscribed();
  channels_.remove(channel);
}

void Session::ignore(std::string_view problem) {
  shard().counters().dropped_for(DropReason::command_ignored).add();
  shard().log().log(shard().now(), LogLevel::info, "command_ignored",
                    {{"connection", connection_.number()}, {"problem", problem}, {"tags", tags()}});
  const uint32_t budget = shard().limits().error_budget;
  if (budget != 0 && ++extra().errors > budget) {
    connection_.close(CloseCode::policy_violation, "too many meaningless commands", EndReason::policy);
  }
}

}  // namespace ringcast
