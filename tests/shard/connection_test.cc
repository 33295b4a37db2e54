// One connection's life on a simulated network: HTTP, the upgrade, what it reads and
// what it writes, its deadlines and its ends.
#include <gtest/gtest.h>

#include "support/client_frames.h"
#include "tests/sim/world.h"

namespace ringcast {
namespace {

using sim::Client;
using sim::World;

size_t occurrences(std::string_view text, std::string_view what) {
  size_t count = 0;
  for (size_t at = text.find(what); at != std::string_view::npos; at = text.find(what, at + 1)) ++count;
  return count;
}

// --- HTTP -----------------------------------------------------------------------------

TEST(ConnectionHttp, PipelinedRequestsAreAnsweredInOrder) {
  World world({});
  Client& client = world.connect();
  for (int i = 0; i < 20; ++i) client.request("GET", "/pages/" + std::to_string(i));
  client.request("POST", "/pages/last", "body", "Connection: close\r\n");
  world.settle();  // all of it without a moment's wait
  ASSERT_TRUE(client.ended());
  EXPECT_EQ(occurrences(client.raw(), "HTTP/1.1 200 OK"), 21u);
  size_t at = 0;
  for (int i = 0; i < 20; ++i) {
    at = client.raw().find("GET /pages/" + std::to_string(i) + " ", at);
    ASSERT_NE(at, std::string::npos) << i;
  }
  EXPECT_NE(client.raw().find("POST /pages/last body", at), std::string::npos);
  EXPECT_TRUE(client.finished()) << "a FIN, not a reset";
}

TEST(ConnectionHttp, PipelinedRequestsOfAPeerThatReadsNothingWait) {
  World world({});
  world.scripts().http = [](const Exchange&, HttpAnswer& answer) {
    answer.body.assign(100'000, 'x');
    return CallResult::ok;
  };
  Client& client = world.connect();
  client.reading = false;
  for (int i = 0; i < 50; ++i) client.request("GET", "/pages/x");
  world.settle();
  // One answer fills the socket; the next is not even thought of.
  EXPECT_LE(world.total(&Counters::http_requests), 2u);
  client.reading = true;
  ASSERT_TRUE(world.run_until([&] { return occurrences(client.raw(), "200 OK") == 50; }));
}

TEST(ConnectionHttp, AHeadCutAtEveryByte) {
  World world({});
  const std::string head = "GET /pages/cut HTTP/1.1\r\nHost: sim\r\nX-Long: aaaaaaaaaaaaaaaaaaaa\r\n\r\n";
  Client& client = world.connect();
  for (size_t cut = 1; cut < head.size(); ++cut) {
    client.send(head.substr(0, cut));
    world.settle();
    client.send(head.substr(cut));
    world.settle();
    ASSERT_EQ(occurrences(client.raw(), "200 OK"), cut);
  }
}

TEST(ConnectionHttp, ErrorsAreAnsweredAndEndTheConnection) {
  World world({});
  for (const auto& [request, status] : std::initializer_list<std::pair<std::string, std::string>>{
           {"GARBAGE\r\n\r\n", "400"},
           {"GET /pages/x HTTP/1.1\r\n\r\n", "400"},  // no Host
           {"GET / HTTP/1.1\r\nHost: sim\r\nX: " + std::string(20'000, 'x') + "\r\n\r\n", "431"},
           {"GET /cable HTTP/1.1\r\nHost: sim\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
            "Sec-WebSocket-Version: 8\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n",
            "426"},
           {"GET /echo HTTP/1.1\r\nHost: sim\r\n\r\n", "426"}}) {
    Client& client = world.connect();
    client.send(request);
    ASSERT_TRUE(world.run_until([&] { return client.ended(); })) << request;
    world.settle();
    EXPECT_TRUE(client.raw().starts_with("HTTP/1.1 " + status)) << client.raw();
    EXPECT_TRUE(client.finished());
    client.close();
  }
  // Not an error of the connection: it goes on.
  Client& client = world.connect();
  client.request("GET", "/nowhere");
  client.request("DELETE", "/pages/x");
  client.request("GET", "/pages/x");
  world.settle();
  EXPECT_EQ(occurrences(client.raw(), "HTTP/1.1 404"), 1u);
  EXPECT_EQ(occurrences(client.raw(), "HTTP/1.1 405"), 1u);
  EXPECT_EQ(occurrences(client.raw(), "HTTP/1.1 200"), 1u);
}

TEST(ConnectionHttp, AHandlersExceptionIs500) {
  World world({});
  world.scripts().http = [](const Exchange&, HttpAnswer&) { return CallResult::failed; };
  Client& client = world.connect();
  client.request("GET", "/pages/x");
  world.settle();
  EXPECT_TRUE(client.raw().starts_with("HTTP/1.1 500"));
  EXPECT_EQ(world.total(&Counters::callback_exceptions), 1u);
}

TEST(ConnectionHttp, AHalfClosedClientGetsItsAnswer) {
  World world({});
  Client& client = world.connect();
  client.request("GET", "/pages/x");
  ASSERT_TRUE(client.pump());
  client.shutdown();
  ASSERT_TRUE(world.run_until([&] { return client.ended(); }));
  world.settle();
  EXPECT_TRUE(client.raw().starts_with("HTTP/1.1 200"));
  EXPECT_TRUE(client.finished());
}

// --- Deadlines ------------------------------------------------------------------------

TEST(ConnectionDeadlines, AHandshakeHasTenSecondsHoweverItDribbles) {
  World world({});
  Client& silent = world.connect();
  Client& dribbling = world.connect();
  world.settle();
  for (int i = 0; i < 9; ++i) {
    dribbling.send("G");
    world.advance(seconds(1));
  }
  EXPECT_FALSE(silent.ended());
  EXPECT_FALSE(dribbling.ended());
  world.advance(milliseconds(1100));
  EXPECT_TRUE(silent.ended());
  EXPECT_TRUE(dribbling.ended());
  EXPECT_EQ(world.ended_by(EndReason::handshake_timeout), 2u);
}

TEST(ConnectionDeadlines, KeepAliveIsLongerAndBeginsWithTheAnswer) {
  World world({});
  Client& client = world.connect();
  client.request("GET", "/pages/x");
  world.advance(seconds(30));
  client.request("GET", "/pages/x");
  world.advance(seconds(59));
  EXPECT_FALSE(client.ended());
  world.advance(seconds(2));
  EXPECT_TRUE(client.ended());
  EXPECT_EQ(world.ended_by(EndReason::idle_timeout), 1u);
}

TEST(ConnectionDeadlines, ASecondRequestThatNeverEndsIsNotIdle) {
  World world({});
  Client& client = world.connect();
  client.request("GET", "/pages/x");
  world.advance(seconds(30));
  client.send("GET /pages");
  world.advance(seconds(9));
  EXPECT_FALSE(client.ended());
  world.advance(seconds(2));
  EXPECT_TRUE(client.ended());
  EXPECT_EQ(world.ended_by(EndReason::handshake_timeout), 1u);
}

TEST(ConnectionDeadlines, AnIdleSocketIsPingedAndAPongKeepsIt) {
  World world({});
  Client& alive = world.open_socket("/echo");
  Client& dead = world.open_socket("/echo");
  dead.answers_pings = false;
  dead.answers_close = false;
  world.advance(seconds(26));
  ASSERT_EQ(alive.frames().size(), 1u);
  EXPECT_EQ(alive.frames()[0].opcode, Opcode::ping);
  world.advance(seconds(27));
  EXPECT_FALSE(dead.close_code().has_value());
  world.advance(seconds(4));
  EXPECT_EQ(dead.close_code(), 1008u);
  EXPECT_FALSE(alive.close_code().has_value());
  world.advance(seconds(6));  // the peer never answers the Close either
  EXPECT_TRUE(dead.ended());
  EXPECT_EQ(world.ended_by(EndReason::pong_timeout), 1u);
  world.advance(seconds(200));
  EXPECT_FALSE(alive.ended());
  // Pinged each interval, and never a second time before the pong.
  EXPECT_GE(alive.frames().size(), 5u);
}

TEST(ConnectionDeadlines, WhoIsNotReadFromIsNotBlamedForItsSilence) {
  World world({});
  Client& client = world.open_socket("/echo");
  // A slow reader with much to read: the echo stops reading from it for a minute and more.
  client.read_bytes = 32 * 1024;
  client.reading = false;
  const std::string message(1'000'000, 'x');
  for (int i = 0; i < 6; ++i) client.send_frame(Opcode::binary, message);
  for (int second = 0; second < 120 && !client.ended(); ++second) {
    client.reading = true;
    client.pump();
    client.pump();
    client.reading = false;
    world.advance(seconds(1));
  }
  EXPECT_FALSE(client.ended());
  EXPECT_FALSE(client.close_code().has_value());
  client.reading = true;
  client.read_bytes = SIZE_MAX;
  EXPECT_TRUE(world.run_until([&] {
    return std::count_if(client.frames().begin(), client.frames().end(),
                         [](const auto& frame) { return frame.opcode == Opcode::binary; }) == 6;
  }));
}

TEST(ConnectionDeadlines, NoProgressAtAllIsAWriteStall) {
  World world({});
  Client& client = world.open_socket("/chat/a");
  Client& other = world.open_socket("/chat/a");
  client.reading = false;
  other.keeps_frames = false;
  for (int i = 0; i < 20; ++i) ASSERT_TRUE(world.publish("room_a", std::string(20'000, 'x')));
  world.advance(seconds(29));
  EXPECT_EQ(world.ended_by(EndReason::write_stall), 0u);
  world.advance(seconds(2));
  EXPECT_EQ(world.ended_by(EndReason::write_stall), 1u);
  client.reading = true;
  world.settle();
  EXPECT_TRUE(client.was_reset());
  EXPECT_FALSE(other.ended());
  EXPECT_EQ(other.frames_seen(), 20u + 1u) << "twenty messages and a ping";
}

TEST(ConnectionDeadlines, SomeProgressIsNoWriteStall) {
  Limits limits;
  limits.raw_ping_interval = {};  // a pong would be late, and that is another deadline
  World world({.limits = limits});
  Client& client = world.open_socket("/chat/a");
  client.keeps_frames = false;
  client.reading = false;
  for (int i = 0; i < 100; ++i) ASSERT_TRUE(world.publish("room_a", std::string(20'000, 'x')));
  for (int i = 0; i < 10; ++i) {
    world.advance(seconds(20));
    client.reading = true;
    client.read_bytes = 60'000;
    client.pump();
    client.reading = false;
  }
  EXPECT_FALSE(client.ended());
  client.reading = true;
  client.read_bytes = SIZE_MAX;
  world.settle();
  EXPECT_GE(client.frames_seen(), 100u);
}

// --- The closing handshake ------------------------------------------------------------

TEST(ConnectionClose, ThePeersCloseIsEchoedAndTheServerEndsFirst) {
  World world({});
  Client& client = world.open_socket("/echo");
  client.answers_close = client.closes_after_server = false;
  client.send_close(4001, "bye");
  world.settle();
  EXPECT_EQ(client.close_code(), 4001u);
  EXPECT_EQ(client.close_reason(), "bye");
  EXPECT_TRUE(client.finished());
  EXPECT_EQ(world.total(&Counters::connections), 1u) << "until the client's FIN";
  EXPECT_EQ(world.scripts().calls.back(), "close 1 4001");
  client.close();
  world.settle();
  EXPECT_EQ(world.total(&Counters::connections), 0u);
  EXPECT_EQ(world.ended_by(EndReason::peer_closed), 1u);
}

TEST(ConnectionClose, AnEmptyCloseIsAnsweredWith1000AndToldAs1005) {
  World world({});
  Client& client = world.open_socket("/echo");
  client.answers_close = false;
  client.send_frame(Opcode::close, "");
  world.settle();
  EXPECT_EQ(client.close_code(), 1000u);
  EXPECT_EQ(world.scripts().calls.back(), "close 1 1005");
}

TEST(ConnectionClose, WhoNeverAnswersOursIsEndedInTheEnd) {
  World world({});
  world.scripts().raw["bye"] = {.open = [](RawSocket& socket) {
    socket.send(Opcode::text, as_bytes("last words"));
    socket.close(CloseCode::normal, "done");
    socket.send(Opcode::text, as_bytes("too late"));
    return CallResult::ok;
  }};
  Client& client = world.connect();
  client.answers_close = client.closes_after_server = false;
  client.upgrade("/raw/bye");
  world.settle();
  EXPECT_EQ(client.texts(), std::vector<std::string>{"last words"});
  EXPECT_EQ(client.close_code(), 1000u);
  world.advance(seconds(4));
  EXPECT_FALSE(client.ended());
  world.advance(seconds(2));
  EXPECT_TRUE(client.ended());
  EXPECT_EQ(world.scripts().calls.back(), "close 1 1006");
}

TEST(ConnectionClose, WhatComesBehindOurCloseIsNotHeard) {
  World world({});
  int heard = 0;
  world.scripts().raw["once"] = {.message = [&](RawSocket& socket, Opcode, MutableBytes) {
    ++heard;
    socket.close(CloseCode::normal, "");
    return CallResult::ok;
  }};
  Client& client = world.open_socket("/raw/once");
  for (int i = 0; i < 5; ++i) client.send_frame(Opcode::text, "x");
  ASSERT_TRUE(world.run_until([&] { return client.ended(); }));
  world.settle();
  EXPECT_EQ(heard, 1);
  EXPECT_TRUE(client.finished());
  EXPECT_EQ(world.scripts().calls.back(), "close 1 1000");
}

TEST(ConnectionClose, RulesBrokenHaveTheirCodes) {
  World world({});
  const std::string huge = encode({.opcode = 2, .payload = "", .declared_bytes = uint64_t{1} << 40});
  for (const auto& [target, bytes, code] :
       std::initializer_list<std::tuple<std::string, std::string, unsigned>>{
           {"/echo", encode({.payload = "x", .masked = false}), 1002},
           {"/echo", encode({.payload = "\xff"}), 1007},
           {"/echo", huge, 1009},
           {"/texts", encode({.opcode = 2, .payload = "x"}), 1003}}) {
    Client& client = world.open_socket(target);
    client.send(bytes);
    ASSERT_TRUE(world.run_until([&] { return client.ended(); }));
    world.settle();
    EXPECT_EQ(client.close_code(), code);
    EXPECT_TRUE(client.finished()) << code << ": a Close and a FIN, not a reset";
  }
}

TEST(ConnectionClose, PeersThatVanish) {
  World world({});
  Client& reset = world.open_socket("/chat/a");
  Client& closed = world.open_socket("/chat/a");
  reset.vanish();
  closed.close();
  world.settle();
  EXPECT_EQ(world.ended_by(EndReason::peer_vanished), 2u);
  EXPECT_EQ(world.total(&Counters::connections), 0u);
  EXPECT_EQ(world.total(&Counters::subscriptions), 0u);
  EXPECT_EQ(world.scripts().open_sockets, 0);
}

TEST(ConnectionClose, AHandlerThatFailsToOpenIs1011) {
  World world({});
  world.scripts().raw["broken"] = {.open = [](RawSocket&) { return CallResult::failed; }};
  Client& client = world.open_socket("/raw/broken");
  ASSERT_TRUE(world.run_until([&] { return client.ended(); }));
  world.settle();
  EXPECT_EQ(client.close_code(), 1011u);
}

// --- The upgrade ----------------------------------------------------------------------

TEST(ConnectionUpgrade, NothingLeavesBeforeTheStreamIsLive) {
  World world({.shards = 2});
  const std::string room = world.stream_at(1, "room_");
  // Turn shard 0 alone: the home has heard nothing yet.
  Client& client = world.connect(0);
  client.upgrade("/chat/" + room.substr(5));
  client.pump();
  for (int i = 0; i < 10; ++i) world.turn(0);
  client.pump();
  EXPECT_EQ(client.bytes_seen(), 0u);
  EXPECT_EQ(world.total(&Counters::websockets), 1u);
  world.settle();
  EXPECT_TRUE(client.upgraded());
  // Whoever has seen the 101 misses nothing.
  ASSERT_TRUE(world.publish(room, "first"));
  world.settle();
  EXPECT_EQ(client.texts(), std::vector<std::string>{"first"});
}

TEST(ConnectionUpgrade, WhatIsPipelinedBehindTheHandshakeWaitsForIt) {
  World world({.shards = 2});
  const std::string room = world.stream_at(1, "room_");
  Client& client = world.connect(0);
  client.upgrade("/chat/" + room.substr(5));
  client.send_frame(Opcode::text, "said at once");
  world.settle();
  EXPECT_EQ(client.texts(), std::vector<std::string>{"said at once"});
}

// The home's acknowledgement lies in the lane behind more broadcasts than a log holds:
// the newcomer, whose 101 waits, must not keep them all waiting.
TEST(ConnectionUpgrade, ASocketThatWaitsForItsStreamsHoldsNobodyUp) {
  Limits limits;
  limits.frame_log_bytes = 256 * 1024;
  limits.message_bytes = 64 * 1024;
  World world({.shards = 2, .limits = limits});
  const std::string busy = world.stream_at(1, "busy");
  const std::string quiet = world.stream_at(1, "quiet");
  world.scripts().raw["one"] = {.open = [&](RawSocket& socket) {
    return socket.stream_from(busy) ? CallResult::ok : CallResult::failed;
  }};
  world.scripts().raw["both"] = {.open = [&](RawSocket& socket) {
    return socket.stream_from(busy) && socket.stream_from(quiet) ? CallResult::ok : CallResult::failed;
  }};
  Client& old = world.open_socket("/raw/one", 0);
  Client& newcomer = world.connect(0);
  newcomer.upgrade("/raw/both");
  newcomer.pump();
  // The home numbers a flood before it sees the subscribe.
  for (int i = 0; i < 3; ++i) world.turn(1);
  for (int i = 0; i < 20; ++i)
    ASSERT_TRUE(world.publish(busy, std::string(60'000, static_cast<char>('a' + i))));
  world.turn(1);
  for (int i = 0; i < 4; ++i) world.turn(0);
  ASSERT_TRUE(world.run_until([&] { return old.frames_seen() == 20; }, seconds(5)));
  ASSERT_TRUE(world.run_until([&] { return newcomer.upgraded(); }, seconds(5)));
  ASSERT_TRUE(world.publish(busy, "after"));
  ASSERT_TRUE(world.publish(quiet, "also"));
  world.settle();
  ASSERT_GE(newcomer.texts().size(), 2u);
  EXPECT_EQ(newcomer.count("after"), 1u);
  EXPECT_EQ(newcomer.count("also"), 1u);
}

TEST(ConnectionUpgrade, RefusedByTheHandler) {
  World world({});
  world.scripts().raw["private"] = {.authorize = [](const Exchange&, HttpAnswer& refusal) {
    refusal.status = 401;
    return false;
  }};
  Client& client = world.connect();
  client.upgrade("/raw/private");
  ASSERT_TRUE(world.run_until([&] { return client.ended(); }));
  world.settle();
  EXPECT_TRUE(client.raw().starts_with("HTTP/1.1 401"));
  EXPECT_TRUE(world.scripts().calls.empty());
}

// --- Reading and writing --------------------------------------------------------------

TEST(ConnectionFlow, EchoStopsReadingFromAPeerThatDoesNotRead) {
  Limits limits;
  World world({.limits = limits});
  Client& client = world.open_socket("/echo");
  client.reading = false;
  const std::string message(50'000, 'x');
  for (int i = 0; i < 200; ++i) client.send_frame(Opcode::binary, message);
  world.settle();
  const Counters& counters = world.shard(0).counters();
  // The outbox's high water, one message beyond, and what lay in buffers.
  EXPECT_LE(counters.received_bytes.value(), limits.outbox_bytes + 400'000);
  EXPECT_LE(counters.outbox_bytes.value(), limits.outbox_bytes + 100'000);
  EXPECT_GT(client.unsent(), 5'000'000u);
  client.reading = true;
  ASSERT_TRUE(world.run_until([&] { return client.frames_seen() == 200; }));
  for (const auto& frame : client.frames()) ASSERT_EQ(frame.payload, message);
  EXPECT_EQ(counters.outbox_bytes.value(), 0u);
}

TEST(ConnectionFlow, PingsAreAnsweredAheadOfData) {
  World world({});
  Client& client = world.open_socket("/echo");
  client.send_frame(Opcode::ping, "are you there");
  world.settle();
  ASSERT_EQ(client.frames().size(), 1u);
  EXPECT_EQ(client.frames()[0].opcode, Opcode::pong);
  EXPECT_EQ(client.frames()[0].payload, "are you there");
}

// Whatever a send takes, frames stay whole: streams, own messages and pings together, cut
// at each byte position in turn.
TEST(ConnectionFlow, ShortSendsOfEverySizeKeepFrameBoundaries) {
  for (size_t buffer = 1; buffer <= 120; ++buffer) {
    World world({.seed = buffer});
    world.scripts().raw["mixed"] = {.open =
                                        [](RawSocket& socket) {
                                          return socket.stream_from("one") && socket.stream_from("two")
                                                     ? CallResult::ok
                                                     : CallResult::failed;
                                        },
                                    .message =
                                        [](RawSocket& socket, Opcode opcode, MutableBytes payload) {
                                          socket.send(opcode, payload);
                                          return CallResult::ok;
                                        }};
    Client& client = world.open_socket("/raw/mixed");
    // The server's end is the newest descriptor.
    world.network().set_send_buffer(world.network().lowest_free_descriptor() - 1, buffer);
    std::string one, two, own;
    for (int i = 0; i < 12; ++i) {
      const std::string number = std::to_string(i);
      ASSERT_TRUE(world.publish("one", "one" + number + std::string(static_cast<size_t>(i), 'x')));
      ASSERT_TRUE(world.publish("two", "two" + number));
      client.send_frame(Opcode::text, "own" + number);
      client.send_frame(Opcode::ping, number);
      one += "one" + number + std::string(static_cast<size_t>(i), 'x') + ",";
      two += "two" + number + ",";
      own += "own" + number + ",";
      for (size_t steps = world.prng().below(12); steps > 0; --steps) world.step();
    }
    ASSERT_TRUE(world.run_until([&] { return client.frames_seen() == 48; })) << buffer;
    std::string seen_one, seen_two, seen_own;
    int pongs = 0;
    for (const auto& frame : client.frames()) {
      if (frame.opcode == Opcode::pong) {
        EXPECT_EQ(frame.payload, std::to_string(pongs++));
      } else if (frame.payload.starts_with("one")) {
        seen_one += frame.payload + ",";
      } else if (frame.payload.starts_with("two")) {
        seen_two += frame.payload + ",";
      } else {
        seen_own += frame.payload + ",";
      }
    }
    ASSERT_EQ(seen_one, one) << buffer;
    ASSERT_EQ(seen_two, two) << buffer;
    ASSERT_EQ(seen_own, own) << buffer;
  }
}

TEST(ConnectionFlow, AnOwnMessageFollowsWhatWasBroadcastBefore) {
  World world({});
  world.scripts().raw["order"] = {
      .open = [](RawSocket& socket) { return socket.stream_from("s") ? CallResult::ok : CallResult::failed; },
      .message =
          [](RawSocket& socket, Opcode, MutableBytes) {
            socket.send(Opcode::text, as_bytes("own"));
            return CallResult::ok;
          }};
  Client& client = world.open_socket("/raw/order");
  client.reading = false;
  // Stall it, so that broadcasts wait in the log.
  for (int i = 0; i < 10; ++i) ASSERT_TRUE(world.publish("s", std::string(20'000, 'x')));
  world.settle();
  ASSERT_TRUE(world.publish("s", "before"));
  world.settle();
  client.send_frame(Opcode::text, "go");
  world.settle();
  ASSERT_TRUE(world.publish("s", "behind"));
  world.settle();
  client.reading = true;
  world.settle();
  const auto texts = client.texts();
  ASSERT_EQ(texts.size(), 13u);
  EXPECT_EQ(texts[10], "before");
  EXPECT_EQ(texts[11], "own");
  EXPECT_EQ(texts[12], "behind");
}

TEST(ConnectionFlow, AHandlerThatSendsToAStalledPeerForEverEndsItAsTooSlow) {
  World world({});
  RawSocket* socket = nullptr;
  world.scripts().raw["flood"] = {.open = [&](RawSocket& opened) {
    socket = &opened;
    return CallResult::ok;
  }};
  Client& client = world.open_socket("/raw/flood");
  client.reading = false;
  bool taken = true;
  for (int i = 0; i < 100 && taken; ++i) {
    world.post(0, [&](Shard&) { taken = socket->send(Opcode::text, as_bytes(std::string(50'000, 'x'))); });
    world.settle();
  }
  EXPECT_FALSE(taken);
  EXPECT_LE(world.total(&Counters::outbox_bytes), 1'200'000u);
  client.reading = true;
  ASSERT_TRUE(world.run_until([&] { return client.ended(); }));
  world.settle();
  EXPECT_EQ(client.close_code(), 1013u);
  EXPECT_TRUE(world.run_until([&] { return world.ended_by(EndReason::too_slow) == 1u; }));
}

// --- Any end at any point -------------------------------------------------------------

TEST(ConnectionEnds, EndingAnywhereLeavesNothingBehind) {
  for (uint64_t seed = 0; seed < 300 && !testing::Test::HasFailure(); ++seed) {
    SCOPED_TRACE("seed " + std::to_string(seed));
    World world({.shards = static_cast<ShardIndex>(1 + seed % 2), .seed = seed, .faults = true});
    auto& faults = world.faults();
    using sim::Fault;
    for (const Fault fault : {Fault::short_send, Fault::split_recv, Fault::late, Fault::reorder}) {
      faults[fault] = 0.2;
    }
    for (const Fault fault : {Fault::recv_ends, Fault::recv_enobufs, Fault::cancel_race}) faults[fault] = 0.1;
    std::vector<Client*> clients;
    for (int i = 0; i < 6; ++i) {
      Client& client = world.connect(static_cast<ShardIndex>(world.prng().below(world.shards())));
      clients.push_back(&client);
      switch (world.prng().below(4)) {
        case 0:
          client.upgrade("/echo");
          break;
        case 1:
          client.upgrade("/chat/a");
          break;
        case 2:
          client.upgrade("/cable");
          client.subscribe(sim::chat_room("7"));
          break;
        default:
          client.request("GET", "/pages/x");
          client.request("POST", "/pages/x", std::string(5000, 'x'));
      }
      for (int j = 0; j < 5; ++j) client.send_frame(Opcode::text, std::string(world.prng().below(3000), 'x'));
      client.reading = world.prng().chance(0.7);
    }
    for (size_t steps = world.prng().below(150); steps > 0; --steps) {
      if (!world.step()) world.advance(milliseconds(world.prng().below(3000)));
      Client& client = *clients[world.prng().below(clients.size())];
      if (!client.open()) continue;
      switch (world.prng().below(30)) {
        case 0:
          client.close();
          break;
        case 1:
          client.vanish();
          break;
        case 2:
          client.shutdown();
          break;
        case 3:
          client.send_close(1000);
          break;
        case 4:
          (void)world.publish("room_a", std::string(world.prng().below(100'000), 'x'));
          break;
        default:
          break;
      }
    }
    world.finish();
  }
}

}  // namespace
}  // namespace ringcast
