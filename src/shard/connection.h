// One peer: its socket's life, what it sends and what it is sent. Bytes come in as
// completions and go through the HTTP exchange, then through the WebSocket reader
// to a raw socket or an Action Cable session; bytes go out through the outbox and
// the cursors of its subscriptions, in one send a turn. Owned by its shard, on its
// thread only.
//
// Every operation asked of the backend is accounted for: terminate() cancels, each
// completion joins, and the last one (the close) releases the slot.
#pragma once

#include <cstdint>
#include <memory>
#include <string_view>
#include <vector>

#include "auth/trusted_proxies.h"
#include "base/slab.h"
#include "base/timer_wheel.h"
#include "io/backend.h"
#include "io/socket.h"
#include "protocol/frame.h"
#include "protocol/http_request.h"
#include "protocol/websocket.h"
#include "shard/connection_activity.h"
#include "shard/counters.h"
#include "shard/limits.h"
#include "shard/message.h"

namespace ringcast {

class ConnectionPhase;
class RawSocket;
class Session;
class Shard;
class TlsContext;
struct HttpPhase;
struct Route;
struct Stream;
struct Subscription;

using ConnectionId = SlotId;

constexpr Token token_of(ConnectionId id) {
  return {uint64_t{id.slot} << kSlotGenerationBits | id.generation};
}
constexpr ConnectionId connection_of(Token token) {
  return {static_cast<uint32_t>(token.value >> kSlotGenerationBits),
          static_cast<uint32_t>(token.value & kSlotGenerationMax)};
}
// Those of anything else have no generation.
constexpr bool names_connection(Token token) {
  return (token.value & kSlotGenerationMax) != 0;
}

inline constexpr uint32_t kNotInBatch = UINT32_MAX;

class Connection final : public Timer {
 public:
  enum class State : uint8_t {
    http,         // requests and their answers
    open,         // a WebSocket
    closing,      // our last bytes are queued or sent; input is discarded until the peer is done
    terminating,  // operations are being ended; the close completes last and releases the slot
  };

  // With `tls`, that is what the peer has to speak.
  Connection(Shard& shard, int fd, uint64_t number, IpAddress peer,
             std::shared_ptr<const TlsContext> tls = {});
  Connection(const Connection&) = delete;
  Connection& operator=(const Connection&) = delete;
  ~Connection();

  void start();
  void completed(const Completion& completion);

  // --- Sending -------------------------------------------------------------------

  // A whole message of this connection's own, behind what its subscriptions of
  // channel `owner` (0: all of them) were sent before it.
  void send_message(Opcode opcode, Bytes payload, uint32_t owner = 0);
  // A text frame in answer to a command: behind what was sent of our own before it,
  // ahead of every stream.
  void send_reply(Bytes text);
  // A frame that overtakes data: control frames and pings.
  void send_urgent(Opcode opcode, Bytes payload);
  // Raw bytes of the HTTP phase, the 101 included.
  std::vector<std::byte>& http_output();

  // Begins the closing handshake; `reason` is what the peer reads, `why` what we count.
  void close(CloseCode code, std::string_view reason, EndReason why);
  // Ends it now, at any point of its life. `reset`: the peer gets RST.
  void terminate(EndReason why, bool reset = false);

  // --- Streams --------------------------------------------------------------------

  // The hub says that a subscription of `owner` is live.
  void subscription_live(uint32_t owner);

  // A cursor of ours was lapped and its stream's policy is to close.
  void close_too_slow() { shed("too_slow", "too slow", EndReason::too_slow, DropReason::lapped); }
  // The memory ceiling is reached and we hold the most.
  void evict();
  // Stalled, with more than its limit waiting: loses what its policies let go, or ends.
  void trim_backlog();

  bool has_session() const { return phase_kind_ == PhaseKind::cable && state_ == State::open; }
  // Null unless its conversation goes on.
  Session* session() const;
  // Server restart: tells the peer and closes.
  void drain();
  // Somebody, somewhere, disconnected whoever this is.
  void disconnect_remotely(bool reconnect);

  // --- Who it is ---------------------------------------------------------------------

  // The client's address: the socket's peer, or whom trusted proxies speak for.
  const IpAddress& peer() const { return peer_; }
  // The next four while requests are read; what outlives that goes by their Exchange.
  // Whether the client's own connection is by TLS, here or at a trusted proxy.
  bool secure() const;
  // Whether a trusted proxy writes its requests' headers.
  bool through_proxy() const;
  // Goes by what trusted proxies say of this request. False: its client has too many
  // connections.
  bool admit(const HttpRequest& request);
  // The Host that the client named, a trusted proxy's word included.
  std::string_view host(const HttpRequest& request) const;

  // --- For the hub and the send batch ----------------------------------------------

  ConnectionId id() const { return Slab<Connection>::id_of(*this); }
  int fd() const { return fd_; }
  State state() const { return state_; }
  Shard& shard() const { return shard_; }
  uint64_t number() const { return number_; }
  // The window of the compressed frames it takes; 0: none.
  uint8_t window_bits() const { return window_bits_; }
  TlsLink* tls() const { return activity_ ? activity_->tls.get() : nullptr; }
  // Its turn has come (Shard::may_shake_hands).
  void shake_hands();

  // Whether a send may be queued now.
  bool can_send() const { return !blocked_ && !holding_ && !fin_sent_ && state_ != State::terminating; }
  // The 101 waits for its streams.
  bool holding() const { return holding_; }
  // Goes on only once it knows how its send ended: nothing else may ever wake it.
  bool awaits_settling() const { return paused_ || state_ == State::closing; }
  // Waits for writability, without progress since.
  bool stalled() const { return blocked_; }
  // Of a stalled connection whose cursor is in the way of its log: when it may be lapped.
  // The grace begins when this is first asked, and anew whenever the peer's kernel has
  // taken something since: a reader that reads slowly is not one that does not read.
  Instant may_be_lapped_at();

  // Where a stream's name says nothing else: its route's.
  LapPolicy lap_policy() const { return lap_policy_; }

  // Bytes that wait to be sent to it, in the outbox and in the logs (shared with others).
  size_t backlog_bytes() const;
  // Bytes that came and are not yet a whole message or request.
  size_t input_bytes() const;

  // What the batch settles.
  Outbox* outbox() const { return activity_ ? activity_->outbox.get() : nullptr; }
  void send_settled(size_t bytes, bool took_all);
  void send_failed(int error);
  void after_settling();
  void prepend_rest(Bytes rest);

  // Streams only while the conversation lasts: nothing follows a Close.
  Subscription* subscriptions() const { return subscriptions_; }
  void add_subscription(Subscription& subscription);
  void remove_subscription(Subscription& subscription);
  size_t subscription_count() const;
  Subscription* find_subscription(uint32_t owner, std::string_view stream) const;

  // Ends it. What was published until now is still sent, unless the peer stalls.
  void leave(Subscription& subscription);

  // What waits in the stream's logs is sent by itself, and what stands in them by then is
  // not: around a message that is for everybody else.
  void leave_logs_of(const Stream& stream);
  void skip_to_head_of(const Stream& stream);

  bool is(const SocketId& socket) const;

  // Reads on if nothing asks for a pause any more.
  void maybe_resume();
  // The mailboxes have room again (Shard::wait_for_room).
  void room_again();

  // The timer that it is has come due.
  void expire();

 private:
  // Input
  void received(const Completion& completion);
  void received_bytes(MutableBytes bytes);
  void received_records(Bytes records);
  void received_plaintext(MutableBytes bytes);
  bool take_proxy_header(MutableBytes& bytes);
  void set_peer(const IpAddress& peer);
  ForwardedClient forwarded_client(const HttpRequest& request) const;
  void handshake_done();
  void tls_failed();
  void arm_recv();
  void process(MutableBytes input);
  bool process_http(MutableBytes& input);
  bool process_websocket(MutableBytes& input);
  uint64_t message_bytes_max(const Route& route) const;
  void handle(const WebSocketReader::Event& event);
  void open_conversation();
  void release_output_if_live();
  void peer_closed(CloseCode code, std::string_view reason);
  void peer_finished();
  void fail(CloseCode code, std::string_view problem);

  // Flow control
  bool must_pause();
  void pause(MutableBytes rest);

  // Output
  Outbox& open_outbox();
  bool has_output() const;      // something of its own is to be sent, if only to be let go of
  size_t output_bytes() const;  // and how much
  size_t outbox_bytes() const { return outbox() ? outbox()->size() : 0; }
  void append_message(std::vector<std::byte>& to, Opcode opcode, Bytes payload);
  void count_outbox();
  void drop_unbegun_output();
  void shed(std::string_view disconnect, std::string_view reason, EndReason why, DropReason drop);
  void count_input();
  void take_streams_into_outbox(uint32_t owner);
  void take_into_outbox(Subscription& subscription);
  void wait_for_writability(bool progress);
  void catch_up_with_latest();

  // Ends
  void begin_closing(EndReason why);
  void end_subscriptions();
  void end_conversation(CloseCode code, std::string_view reason);
  void output_done();
  void join();

  // Time
  void schedule();
  Instant keep_alive_due() const;
  Instant pong_due() const;
  void keep_alive();
  void beat(Session& session);

  // Its phase; null unless it is of that kind.
  enum class PhaseKind : uint8_t { http, raw, cable };
  HttpPhase* http() const;
  RawSocket* raw() const;
  Session* cable() const;

  // What is under way with it: null, or made when it is not there.
  using Impeded = ConnectionActivity::Impeded;
  ConnectionActivity& activity();
  Impeded& impeded();
  Impeded* impediments() const { return activity_ ? activity_->impeded.get() : nullptr; }
  WebSocketReader* reader() const { return activity_ ? activity_->reader.get() : nullptr; }
  void release_outbox();
  void forget_impediments();
  void rest();

  // Members stand in the order of their use: those that a fan-out reads of each subscriber
  // come first, in two cache lines.
  State state_ : 2 = State::http;
  PhaseKind phase_kind_ : 2 = PhaseKind::http;
  uint8_t window_bits_ : 4 = 0;
  LapPolicy lap_policy_ : 2;
  EndReason end_reason_ : 5 = EndReason::peer_closed;
  static_assert(kEndReasons <= 1 << 5);
  bool recv_armed_ : 1 = false;
  bool recv_cancelled_ : 1 = false;  // and not completed yet
  bool poll_armed_ : 1 = false;
  bool close_submitted_ : 1 = false;
  bool close_completed_ : 1 = false;
  bool paused_ : 1 = false;       // reading is stopped until there is room for what it would cause
  bool processing_ : 1 = false;   // input is being handled further up the stack
  bool blocked_ : 1 = false;      // waits for writability
  bool in_the_way_ : 1 = false;   // lap_grace_since counts
  bool stall_begun_ : 1 = false;  // stalled_since counts: bytes wait since then without progress
  bool holding_ : 1 = false;      // the 101 waits until the subscriptions of open() are live
  bool fin_received_ : 1 = false;
  bool fin_sent_ : 1 = false;
  // Nothing the peer says matters any more: its Close came, or it broke the rules.
  bool peer_done_ : 1 = false;
  bool waits_for_room_ : 1 = false;  // in the shard's list
  bool awaits_pong_ : 1 = false;
  bool address_counted_ : 1 = false;
  bool raw_open_ : 1 = false;  // between a RawSocket's open and its end

 public:
  bool dirty : 1 = false;              // in the shard's list
  bool listed_stalled : 1 = false;     // likewise
  uint32_t batch_entry = kNotInBatch;  // this turn's send

 private:
  const int fd_;
  Shard& shard_;
  std::unique_ptr<ConnectionActivity> activity_;
  Subscription* subscriptions_ = nullptr;
  std::unique_ptr<ConnectionPhase> phase_;
  // When it was last heard; with awaits_pong_, when it was last asked to say something.
  Instant heard_at_{};
  const uint64_t number_;
  IpAddress peer_;
};

// A hundred thousand connections pay 100 KB for each byte.
static_assert(sizeof(Connection) == 104);

}  // namespace ringcast
