// A whole server in one thread: k shards on one simulated network, virtual time, and
// clients that speak HTTP, WebSocket and Action Cable, and misbehave on demand. One
// seed decides the interleaving and the faults, so a run repeats exactly.
//
// Each shard runs on a stack of its own and sleeps where it would: in its backend, until
// something of its own completes, its deadline comes, or somebody rings its bell.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/log.h"
#include "base/prng.h"
#include "shard/raw_socket.h"
#include "shard/session.h"
#include "shard/shard.h"
#include "support/deflate_peer.h"
#include "tests/sim/sim_backend.h"

namespace ringcast::sim {

class World;

// The far end of a connection. What it receives it takes apart into the HTTP answer and
// frames; a frame that is not what a server may send fails the test.
class Client {
 public:
  struct Frame {
    Opcode opcode;
    std::string payload;
  };

  Client(World& world, int fd) : world_(world), fd_(fd) {}
  Client(const Client&) = delete;
  Client& operator=(const Client&) = delete;

  // --- What it does ----------------------------------------------------------------
  void send(std::string_view bytes);  // queued; goes as the network takes it
  void request(std::string_view method, std::string_view target, std::string_view body = {},
               std::string_view headers = {});
  void upgrade(std::string_view target, std::string_view headers = {});
  // With an offer of permessage-deflate, as `permessage-deflate; client_max_window_bits=10`;
  // where it is agreed, most data messages go compressed, and what comes may be.
  void offer_deflate(std::string_view offer) { deflate_offer_ = offer; }
  // A whole message: data in one frame or, with `pieces`, in several.
  void send_frame(Opcode opcode, std::string_view payload, size_t pieces = 1);
  void send_close(unsigned code, std::string_view reason = {});
  void subscribe(std::string_view identifier) { command("subscribe", identifier); }
  void unsubscribe(std::string_view identifier) { command("unsubscribe", identifier); }
  void perform(std::string_view identifier, std::string_view data) { command("message", identifier, data); }

  void shutdown();  // FIN
  void close();     // as a process that ends: RST if something was unread
  void vanish();    // RST

  bool reading = true;              // whether it takes what comes
  size_t read_bytes = SIZE_MAX;     // at most so much at once
  Duration latency_max{};           // its process moves at most so long after the last time
  bool answers_pings = true;        // WebSocket pings
  bool answers_close = true;        // a Close frame with a Close frame
  bool keeps_frames = true;         // or only counts them
  bool closes_after_server = true;  // its own end, when the server closed
  std::function<void(const Frame&)> on_frame = {};
  std::function<void()> on_upgrade = {};  // it has read the 101

  // --- What it saw -----------------------------------------------------------------
  bool open() const { return fd_ >= 0; }
  bool upgraded() const { return upgraded_; }
  bool ended() const { return finished_ || was_reset_; }  // the server closed
  bool finished() const { return finished_; }
  bool was_reset() const { return was_reset_; }
  const std::string& raw() const { return raw_; }  // bytes of the HTTP phase not taken apart
  std::string take_raw() { return std::exchange(raw_, {}); }
  const std::string& head() const { return head_; }  // of the 101
  const std::vector<Frame>& frames() const { return frames_; }
  uint64_t frames_seen() const { return frames_seen_; }
  uint64_t bytes_seen() const { return bytes_seen_; }
  size_t unsent() const { return out_.size(); }
  bool fin_sent() const { return fin_sent_; }
  std::optional<unsigned> close_code() const { return close_code_; }
  const std::string& close_reason() const { return close_reason_; }

  // Texts that are no pings of Action Cable, in order.
  std::vector<std::string> texts() const;
  size_t count(std::string_view text) const;
  size_t pings() const { return pings_; }  // Action Cable's

  // The network's side: moves what can be moved. Whether anything was.
  bool pump();
  // When it will have something to move, if nobody else moves.
  Instant moves_at() const;

 private:
  friend class World;
  bool has_to_move() const;
  void command(std::string_view command, std::string_view identifier, std::string_view data = {});
  void take_apart();
  void take(Frame frame);
  void agree_on_deflate();

  World& world_;
  int fd_;
  std::string out_;
  std::string in_;
  std::string raw_;
  std::string head_;
  bool asked_upgrade_ = false;
  bool upgraded_ = false;
  bool finished_ = false;
  bool was_reset_ = false;
  bool fin_sent_ = false;
  Instant next_move_{};
  std::vector<Frame> frames_;
  uint64_t frames_seen_ = 0;
  uint64_t bytes_seen_ = 0;
  size_t pings_ = 0;
  std::optional<unsigned> close_code_;
  std::string close_reason_;
  std::string deflate_offer_;
  std::unique_ptr<DeflatingPeer> deflate_;  // what it sends, once agreed
  int inflate_window_bits_ = 15;
};

// What a test hangs on a conversation of its server.
class ScriptedSocket : public RawSocket {
 public:
  using RawSocket::RawSocket;
  static ScriptedSocket& of(RawSocket& socket) { return static_cast<ScriptedSocket&>(socket); }
  std::unique_ptr<Attachment> attachment;
};
class ScriptedSession : public Session {
 public:
  using Session::Session;
  static ScriptedSession& of(Session& session) { return static_cast<ScriptedSession&>(session); }
  std::unique_ptr<Attachment> attachment;
};

// What an embedder would have written, as functions that a test may replace.
struct RawScript {
  std::function<bool(const Exchange&, HttpAnswer&)> authorize = {};
  std::function<CallResult(RawSocket&)> open = {};
  std::function<CallResult(RawSocket&, Opcode, MutableBytes)> message = {};
  std::function<void(RawSocket&, CloseCode, std::string_view)> close = {};
  std::function<void(RawSocket&, std::string_view)> error = {};
};

struct ChannelScript {
  std::function<CallResult(SessionChannel&)> subscribed = {};
  std::function<void(SessionChannel&)> unsubscribed = {};
  std::function<bool(SessionChannel&, std::string_view action, const Json& data, CallResult&)> perform = {};
  std::function<CallResult(SessionChannel&, uint32_t)> timer = {};
};

struct Scripts {
  std::map<std::string, RawScript, std::less<>> raw;
  std::map<std::string, ChannelScript, std::less<>> channels;
  std::function<CallResult(Session&, const Exchange&)> connect = {};
  std::function<void(Session&)> disconnect = {};
  std::function<CallResult(const Exchange&, HttpAnswer&)> http = {};
  // What the handlers were called with, in order: "open 3", "close 3 1006" …
  std::vector<std::string> calls;
  // Embedders' objects must balance however a connection ends.
  int64_t open_sockets = 0, open_sessions = 0, open_channels = 0;
};

struct WorldOptions {
  ShardIndex shards = 1;
  Limits limits = {};
  uint64_t seed = 1;
  bool faults = false;
  // Where it is said that something is wrong; empty: a failure of the test that runs.
  std::function<void(const std::string&)> fail = {};
  Trace* trace = nullptr;
};

// Routes: /chat/:room (raw; stream room_ROOM; text and binary are broadcast), /echo,
// /raw/:script (a RawScript by name), /cable (ChatChannel: stream chat_<room_id>, action
// `receive` broadcasts the data; others by script), any other path over HTTP.
class World {
 public:
  explicit World(const WorldOptions& options);
  ~World();
  World(const World&) = delete;
  World& operator=(const World&) = delete;

  Client& connect(ShardIndex shard = 0);
  Client& open_socket(std::string_view target, ShardIndex shard = 0);  // upgraded when it returns
  Client& open_cable(ShardIndex shard = 0);                            // and welcomed

  // From another thread than the shards', as far as they can tell.
  bool publish(std::string_view stream, std::string_view payload, PayloadKind kind = PayloadKind::text);
  void post(ShardIndex shard, Inbox::Task task);
  void drain(Duration within);
  void stop();

  // One move of one actor. False if nobody has anything to do before time moves on.
  bool step();
  // That shard moves, whether or not it has anything to do: a sleeper is woken for nothing.
  void turn(ShardIndex shard);
  // Until nobody has; time stands still. Fails the test if that takes for ever.
  void settle();
  // Virtual time, with everything that happens meanwhile.
  void advance(Duration duration);
  // Steps, and time as the shards sleep, until `done` or `within` has passed.
  bool run_until(const std::function<bool()>& done, Duration within = seconds(60));

  // A shard that is passed over where others move: how likely it moves when chosen.
  void set_pace(ShardIndex shard, double pace) { paces_[shard] = pace; }
  // Time jumps, whoever has something to do. The sum of all jumps so far.
  void jump(Duration duration);
  Duration jumped() const { return jumped_; }

  // What clients have agreed on and done; the server's part is in its counters.
  struct Deflated {
    uint64_t agreed = 0;
    uint64_t with_takeover = 0;       // of the client's
    uint64_t with_small_window = 0;   // of the server's
    uint64_t sent = 0, received = 0;  // compressed messages
  };
  Deflated deflated;

  // After each turn of a shard.
  std::function<void(ShardIndex)> on_turn = {};
  // Turns that had something to do, of all shards; and all steps of all actors.
  uint64_t turns_with_work() const;
  uint64_t steps() const { return steps_; }

  void fail(const std::string& what);
  bool failed() const { return failed_; }

  // Ends everything and asserts that nothing is left of it.
  void finish();
  bool ended() const;

  Instant now() const { return network_.now(); }
  Network& network() { return network_; }
  SimBackend& backend(ShardIndex index) { return *backends_[index]; }
  ServerContext& context() { return context_; }
  Shard& shard(ShardIndex index) { return *shards_[index]; }
  ShardIndex shards() const { return static_cast<ShardIndex>(shards_.size()); }
  Scripts& scripts() { return scripts_; }
  Faults& faults() { return faults_; }
  Prng& prng() { return prng_; }
  ShardIndex home_of(std::string_view stream) { return shards_[0]->home_of(hash64(stream)); }
  // A stream's name beginning with `prefix` whose home is that shard.
  std::string stream_at(ShardIndex home, std::string_view prefix);

  uint64_t total(Counter Counters::*counter) const;
  uint64_t ended_by(EndReason reason) const;
  uint64_t dropped_for(DropReason reason) const;

 private:
  friend class Client;
  class Fiber;

  bool runnable(ShardIndex index) const;
  bool pump_clients();
  void equal(uint64_t found, uint64_t wanted, const char* what);
  void move_time(Instant until);
  static Routes make_routes(Scripts& scripts);

  const std::function<void(const std::string&)> fail_;
  bool failed_ = false;
  Trace* const trace_;
  uint64_t steps_ = 0;
  Duration jumped_{};
  std::vector<double> paces_;
  std::vector<ShardIndex> ready_;
  Prng prng_;
  Faults faults_;
  Network network_;
  Scripts scripts_;
  Logger logger_;
  const Routes routes_;
  ServerContext context_;
  std::vector<SimBackend*> backends_;  // owned by the shards
  std::vector<uint16_t> ports_;
  std::vector<std::unique_ptr<Shard>> shards_;
  std::vector<std::unique_ptr<Fiber>> fibers_;
  std::vector<std::unique_ptr<Client>> clients_;
  std::vector<Client*> moving_;  // those whose socket is open
  std::vector<std::byte> client_buffer_ = std::vector<std::byte>(256 * 1024);
};

// The identifier of a ChatChannel's room.
std::string chat_room(std::string_view room);
std::string channel_identifier(std::string_view channel);
std::string confirmation(std::string_view identifier);
std::string rejection(std::string_view identifier);
std::string cable_message(std::string_view identifier, std::string_view payload);

}  // namespace ringcast::sim
