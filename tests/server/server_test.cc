// The library as an embedder uses it, whole: servers in this process, real loopback
// sockets, the public headers alone.
#include "ringcast/server.h"

#include <gtest/gtest.h>
#include <netinet/tcp.h>
#include <signal.h>

#include <atomic>
#include <future>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include "peer.h"

namespace ringcast {
namespace {

using test::Peer;

Options local(uint64_t shards = 2) {
  Options options;
  options.listen = {"127.0.0.1:0"};
  options.shards = shards;
  options.handle_signals = false;
  return options;
}

std::string subscribe(std::string_view identifier) {
  return Json({{"command", "subscribe"}, {"identifier", identifier}}).dump();
}
std::string perform(std::string_view identifier, const Json& data) {
  return Json({{"command", "message"}, {"identifier", identifier}, {"data", data.dump()}}).dump();
}
std::string confirmed(std::string_view identifier) {
  return Json({{"identifier", identifier}, {"type", "confirm_subscription"}}).dump();
}
std::string rejected(std::string_view identifier) {
  return Json({{"identifier", identifier}, {"type", "reject_subscription"}}).dump();
}
std::string delivered(std::string_view identifier, const Json& message) {
  return Json({{"identifier", identifier}, {"message", message}}).dump();
}

// --- The test adapter ------------------------------------------------------------------

class Greeter : public Channel {
  void subscribed() override { stream_from("greetings"); }
  void receive(const Json& data) override { (void)broadcast("greetings", {{"hello", data["name"]}}); }
};

TEST(TestAdapter, RemembersWhatWasBroadcastAsRailsDoes) {
  Options options = local();
  options.adapter = AdapterChoice::test;
  Server server(options);
  server.cable("/cable").channel<Greeter>("Greeter");
  EXPECT_EQ(server.broadcasts("s"), std::vector<std::string>());  // nor before it starts
  ASSERT_TRUE(server.start());
  EXPECT_EQ(server.broadcast("s", Json{{"n", 1}}), BroadcastStatus::ok);
  EXPECT_EQ(server.broadcast("s", "text"), BroadcastStatus::ok);
  EXPECT_EQ(server.broadcast({{"t", "1.10"}, {"s", "2"}, {"t", "3"}}), BroadcastStatus::ok);
  EXPECT_EQ(server.publisher("t").publish("4"), BroadcastStatus::ok);
  EXPECT_EQ(server.broadcasts("s"), (std::vector<std::string>{R"({"n":1})", R"("text")", "2"}));
  EXPECT_EQ(server.broadcasts("t"), (std::vector<std::string>{"1.10", "3", "4"}));
  EXPECT_EQ(server.broadcasts("u"), std::vector<std::string>());

  const std::string identifier = R"({"channel":"Greeter"})";
  Peer peer(server.addresses()[0]);
  ASSERT_EQ(peer.upgrade("/cable"), 101);
  peer.next();
  peer.send_text(subscribe(identifier));
  EXPECT_EQ(peer.next(), confirmed(identifier));
  peer.send_text(perform(identifier, {{"name", "Ann"}}));
  EXPECT_EQ(peer.next(), delivered(identifier, {{"hello", "Ann"}}));
  EXPECT_EQ(server.broadcasts("greetings"), std::vector<std::string>{R"({"hello":"Ann"})"});

  server.clear_broadcasts("s");
  EXPECT_EQ(server.broadcasts("s"), std::vector<std::string>());
  EXPECT_EQ(server.broadcasts("t").size(), 3u);
  server.clear_broadcasts();
  EXPECT_EQ(server.broadcasts("t"), std::vector<std::string>());
}

// --- A life --------------------------------------------------------------------------

TEST(Server, PicksAPortAndServesOnIt) {
  Server server(local());
  server.get("/hello/:who", [](const Request& request, Response& response) {
    response.text("hello " + request.parameter("who") + request.query("mark"));
  });
  EXPECT_FALSE(server.ready());
  ASSERT_TRUE(server.start());
  EXPECT_TRUE(server.ready());
  ASSERT_EQ(server.addresses().size(), 1u);
  Peer peer(server.addresses()[0]);
  EXPECT_EQ(peer.request("GET", "/hello/a%20b?mark=%21"), 200);
  EXPECT_EQ(peer.body(), "hello a b!");
  EXPECT_EQ(peer.request("GET", "/nowhere"), 404);
  server.stop();
  EXPECT_FALSE(server.ready());
  EXPECT_FALSE(Peer(server.addresses()[0]).connected());
}

// What the kernel is to find out by itself, it was told of every socket, on each backend.
TEST(Server, AcceptedSocketsHaveTheTimeoutsOfTheOptions) {
  for (const BackendChoice backend : {BackendChoice::io_uring, BackendChoice::epoll}) {
    const bool io_uring = backend == BackendChoice::io_uring;
    SCOPED_TRACE(io_uring ? "io_uring" : "epoll");
    Options options = local(1);
    options.backend = backend;
    options.tcp_user_timeout_s = 17;
    options.tcp_keepalive_s = 23;
    Server server(options);
    server.get("/", [](const Request&, Response& response) { response.text("here"); });
    if (const StartResult result = server.start(); !result) {
      EXPECT_TRUE(io_uring) << result.error;  // which a machine may forbid
      continue;
    }
    Peer peer(server.addresses()[0]);
    EXPECT_EQ(peer.request("GET", "/"), 200);
    // The server's end of it is one of this process's descriptors.
    const auto address_of = [](int fd, auto call) {
      sockaddr_in address{};
      socklen_t bytes = sizeof address;
      const bool known = call(fd, reinterpret_cast<sockaddr*>(&address), &bytes) == 0;
      return known && address.sin_family == AF_INET ? ntohs(address.sin_port) : 0;
    };
    int accepted = -1;
    for (int fd = 0; fd < 1024 && accepted < 0; ++fd) {
      if (fd == peer.fd() || address_of(fd, getpeername) != address_of(peer.fd(), getsockname)) continue;
      accepted = fd;
    }
    ASSERT_GE(accepted, 0);
    const auto option = [&](int level, int name) {
      int value = -1;
      socklen_t bytes = sizeof value;
      EXPECT_EQ(getsockopt(accepted, level, name, &value, &bytes), 0);
      return value;
    };
    EXPECT_EQ(option(IPPROTO_TCP, TCP_USER_TIMEOUT), 17'000);
    EXPECT_EQ(option(SOL_SOCKET, SO_KEEPALIVE), 1);
    EXPECT_EQ(option(IPPROTO_TCP, TCP_KEEPIDLE), 23);
    EXPECT_EQ(option(IPPROTO_TCP, TCP_NODELAY), 1);
  }
}

TEST(Server, ATakenPortIsASentence) {
  Server first(local(1));
  ASSERT_TRUE(first.start());
  Options options = local(1);
  options.listen = first.addresses();
  Server second(options);
  const StartResult result = second.start();
  EXPECT_FALSE(result);
  EXPECT_NE(result.error.find(first.addresses()[0]), std::string::npos) << result.error;
  EXPECT_EQ(second.broadcast("s", "x"), BroadcastStatus::stopped);
}

TEST(Server, MistakesInRoutesAreToldAtTheStart) {
  const auto problem_of = [](auto add) {
    Server server(local(1));
    add(server);
    return server.start().error;
  };
  const auto nothing = [](const Request&, Response&) {};
  EXPECT_EQ(problem_of([&](Server& server) { server.get("no-slash", nothing); }),
            "'no-slash' is not a path pattern");
  EXPECT_EQ(problem_of([&](Server& server) { server.route("BREW", "/", nothing); }),
            "'BREW' is not a method that can be routed");
  EXPECT_EQ(problem_of([&](Server& server) { server.get("/", nullptr); }), "the route / has no handler");
  struct Sly : Channel {
    void act() {}
  };
  EXPECT_EQ(problem_of([](Server& server) {
              server.cable("/cable").channel<Sly>("Sly", {{"subscribed", &Sly::act}});
            }),
            "'subscribed' of channel Sly cannot be an action");
}

TEST(Server, StartsOnceAndStopsAnyNumberOfTimes) {
  Server server(local(1));
  server.stop();
  ASSERT_TRUE(server.start());
  EXPECT_FALSE(server.start());
  server.stop();
  server.stop();
  EXPECT_FALSE(server.start());
  EXPECT_EQ(server.broadcast("s", "x"), BroadcastStatus::stopped);
}

TEST(Server, LeavesTheSignalsOfItsProcessAlone) {
  sigset_t before, after;
  pthread_sigmask(SIG_SETMASK, nullptr, &before);
  struct sigaction term_before, term_after;
  sigaction(SIGTERM, nullptr, &term_before);
  std::promise<bool> blocked;
  {
    Options options = local(1);
    options.thread_started = [&blocked, first = std::make_shared<std::atomic<bool>>(true)] {
      sigset_t mask;
      pthread_sigmask(SIG_SETMASK, nullptr, &mask);
      if (first->exchange(false)) blocked.set_value(sigismember(&mask, SIGTERM) == 1);
    };
    Server server(options);
    ASSERT_TRUE(server.start());
    EXPECT_TRUE(blocked.get_future().get());
  }
  pthread_sigmask(SIG_SETMASK, nullptr, &after);
  sigaction(SIGTERM, nullptr, &term_after);
  EXPECT_EQ(sigismember(&before, SIGTERM), sigismember(&after, SIGTERM));
  EXPECT_EQ(term_before.sa_handler, term_after.sa_handler);
}

TEST(Server, RunReturnsWhenAnotherThreadStopsIt) {
  Server server(local(1));
  std::promise<int> status;
  std::thread thread([&] { status.set_value(server.run()); });
  while (!server.ready()) std::this_thread::yield();
  server.stop();
  EXPECT_EQ(status.get_future().get(), 0);
  thread.join();
}

TEST(Server, ADrainTellsEverybodyWhy) {
  Server server(local());
  server.cable("/cable");
  server.websocket("/raw", {.open = [](WebSocket& socket) { socket.send("hi"); }});
  ASSERT_TRUE(server.start());
  Peer cable(server.addresses()[0]);
  Peer raw(server.addresses()[0]);
  ASSERT_EQ(cable.upgrade("/cable"), 101);
  ASSERT_EQ(raw.upgrade("/raw"), 101);
  ASSERT_EQ(cable.next(), R"({"type":"welcome"})");
  ASSERT_EQ(raw.next(), "hi");
  std::thread stopper([&] { server.stop(std::chrono::seconds(30)); });
  EXPECT_EQ(cable.next(), R"({"type":"disconnect","reason":"server_restart","reconnect":true})");
  EXPECT_EQ(cable.next(), "close:1000 ");
  EXPECT_TRUE(raw.next().starts_with("close:1001"));
  cable.close();
  raw.close();
  stopper.join();
}

TEST(Server, ACallbackMayStopItsServer) {
  Server server(local(1));
  server.post("/stop", [](const Request& request, Response&) { request.server().stop(); });
  ASSERT_TRUE(server.start());
  Peer peer(server.addresses()[0]);
  peer.request("POST", "/stop");
  EXPECT_EQ(server.run(), 0);
}

// --- HTTP ----------------------------------------------------------------------------

TEST(Server, ARequestIsReadInEveryForm) {
  Server server(local(1));
  server.post("/r", [](const Request& request, Response& response) {
    response.json({{"form", request.form("a")},
                   {"has", request.has_form("b")},
                   {"query", request.query("a")},
                   {"cookie", request.cookie("c").value_or("none")},
                   {"header", request.header("X-Thing")},
                   {"json", request.json().value_or(Json())["a"]},
                   {"from", request.remote_address()},
                   {"path", request.path()}});
  });
  ASSERT_TRUE(server.start());
  Peer peer(server.addresses()[0]);
  ASSERT_EQ(peer.request("POST", "/r?a=query&b=",
                         "Content-Type: application/x-www-form-urlencoded\r\nX-Thing: t\r\n"
                         "Cookie: x=1; c=%C3%A9+%21; c=second\r\n",
                         "a=form+%26"),
            200);
  EXPECT_EQ(peer.body(),
            R"({"form":"form &","has":true,"query":"query","cookie":"é !","header":"t","json":null,)"
            R"("from":"127.0.0.1","path":"/r"})");
  ASSERT_EQ(
      peer.request("POST", "/r?a=q", "Content-Type: application/json; charset=utf-8\r\n", R"({"a":1.10})"),
      200);
  EXPECT_EQ(Json::parse(peer.body())->string("json"), "1.10");
  EXPECT_EQ(Json::parse(peer.body())->string("form"), "q");
}

TEST(Server, AnAnswerCannotBeSplitByItsHeaders) {
  Server server(local(1));
  server.get("/", [](const Request& request, Response& response) {
    response.header("X-Good", "yes");
    EXPECT_FALSE(response.header("X-Bad", "a\r\nInjected: 1"));
    EXPECT_FALSE(response.header("Content-Length", "1"));
    if (request.has_query("to")) response.redirect("/there");
  });
  ASSERT_TRUE(server.start());
  Peer peer(server.addresses()[0]);
  EXPECT_EQ(peer.request("GET", "/"), 200);
  EXPECT_NE(peer.head().find("X-Good: yes\r\n"), std::string::npos);
  EXPECT_EQ(peer.head().find("Injected"), std::string::npos);
  EXPECT_EQ(peer.request("GET", "/?to"), 302);
  EXPECT_NE(peer.head().find("Location: /there\r\n"), std::string::npos);
}

TEST(Server, WhatAHandlerThrowsIsA500AndCounted) {
  Server server(local(1));
  server.get("/throw", [](const Request&, Response&) { throw std::runtime_error("secret detail"); });
  server.get("/throw/int", [](const Request&, Response&) { throw 1; });
  ASSERT_TRUE(server.start());
  for (const char* path : {"/throw", "/throw/int"}) {
    Peer peer(server.addresses()[0]);
    EXPECT_EQ(peer.request("GET", path), 500);
    EXPECT_EQ(peer.body().find("secret"), std::string::npos);
  }
  EXPECT_EQ(server.stats().callback_errors, 2u);
}

// --- Raw WebSockets --------------------------------------------------------------------

TEST(WebSocket, RoomsHearWhatIsSaidInThem) {
  Server server(local());
  server.websocket(
      "/rooms/:room",
      {.open = [](WebSocket& socket) { socket.stream_from("room_" + socket.parameter("room")); },
       .message = [](WebSocket& socket,
                     Text text) { socket.broadcast("room_" + socket.parameter("room"), text); }});
  ASSERT_TRUE(server.start());
  Peer one(server.addresses()[0]), two(server.addresses()[0]), other(server.addresses()[0]);
  ASSERT_EQ(one.upgrade("/rooms/a"), 101);
  ASSERT_EQ(two.upgrade("/rooms/a"), 101);
  ASSERT_EQ(other.upgrade("/rooms/b"), 101);
  one.send_text("hello");
  EXPECT_EQ(one.next(), "hello");
  EXPECT_EQ(two.next(), "hello");
  EXPECT_EQ(server.broadcast("room_b", Binary("\x01\x02")), BroadcastStatus::ok);
  EXPECT_EQ(other.next(), "\x01\x02");
  EXPECT_EQ(server.broadcast("room_b", {{"n", 1}}), BroadcastStatus::ok);
  EXPECT_EQ(other.next(), R"({"n":1})");
}

TEST(WebSocket, KnowsItsRequestAsItWasSent) {
  Server server(local());
  const auto tell = [](WebSocket& socket) {
    socket.send(Json{{"path", socket.path()}, {"id", socket.parameter("id")}, {"q", socket.query("q")}});
  };
  server.websocket("/plain", {.open = tell});
  server.websocket("/of/:id", {.open = tell});
  ASSERT_TRUE(server.start());
  const std::pair<const char*, const char*> cases[] = {
      {"/plain", R"({"path":"/plain","id":"","q":""})"},
      {"/plain?q=%31", R"({"path":"/plain","id":"","q":"1"})"},
      {"/pl%61in", R"({"path":"/pl%61in","id":"","q":""})"},
      {"/of/%37?q=a", R"({"path":"/of/%37","id":"7","q":"a"})"},
      {"/of/:id", R"({"path":"/of/:id","id":":id","q":""})"},
  };
  for (const auto& [target, told] : cases) {
    Peer peer(server.addresses()[0]);
    ASSERT_EQ(peer.upgrade(target), 101) << target;
    EXPECT_EQ(peer.next(), told) << target;
  }
}

TEST(WebSocket, KeepsStateAndOneNumber) {
  Server server(local());
  server.websocket("/count", {.message = [](WebSocket& socket, Text) {
                     int& count = socket.data<int>();
                     socket.send(std::to_string(++count) + " of " + std::to_string(socket.number()) + " at " +
                                 socket.query("at"));
                   }});
  ASSERT_TRUE(server.start());
  Peer one(server.addresses()[0]), two(server.addresses()[0]);
  ASSERT_EQ(one.upgrade("/count?at=x"), 101);
  ASSERT_EQ(two.upgrade("/count?at=y"), 101);
  one.send_text("");
  one.send_text("");
  two.send_text("");
  const std::string first = one.next();
  const std::string second = one.next();
  const std::string others = two.next();
  ASSERT_TRUE(first.starts_with("1 of ") && first.ends_with(" at x")) << first;
  EXPECT_EQ("1" + second.substr(1), first);
  EXPECT_TRUE(others.starts_with("1 of ") && others.ends_with(" at y")) << others;
  EXPECT_NE(others.substr(0, others.find(" at")), first.substr(0, first.find(" at")));
}

TEST(WebSocket, ClosesWithCodeAndReasonOnceForEachOpen) {
  std::mutex mutex;
  std::vector<std::string> closed;
  Server server(local(1));
  server.websocket("/", {.message =
                             [](WebSocket& socket, Text text) {
                               if (text.view() == "bye") socket.close(4001, "mine");
                               if (text.view() == "bad") socket.close(1005);
                               if (text.view() == "throw") throw std::runtime_error("callback");
                             },
                         .close =
                             [&](WebSocket&, uint16_t code, std::string_view reason) {
                               std::lock_guard lock(mutex);
                               closed.push_back(std::to_string(code) + " " + std::string(reason));
                             }});
  ASSERT_TRUE(server.start());
  Peer ours(server.addresses()[0]), theirs(server.addresses()[0]), wrong(server.addresses()[0]),
      bad(server.addresses()[0]);
  ASSERT_EQ(ours.upgrade("/"), 101);
  ours.send_text("throw");  // costs that message only
  ours.send_text("bye");
  EXPECT_EQ(ours.next(), "close:4001 mine");
  ASSERT_EQ(bad.upgrade("/"), 101);
  bad.send_text("bad");
  EXPECT_EQ(bad.next(), "close:1000 ");
  ASSERT_EQ(theirs.upgrade("/"), 101);
  theirs.send_frame(8, std::string("\x0f\xa2", 2) + "left");
  EXPECT_EQ(theirs.next(), "close:4002 left");
  ASSERT_EQ(wrong.upgrade("/"), 101);
  wrong.send_frame(2, "binary on a text route");
  EXPECT_TRUE(wrong.next().starts_with("close:1003"));
  server.stop();
  std::lock_guard lock(mutex);
  EXPECT_EQ(closed.size(), 4u);
  EXPECT_NE(std::find(closed.begin(), closed.end(), "4002 left"), closed.end());
  EXPECT_EQ(server.stats().callback_errors, 1u);
}

TEST(WebSocket, IsRefusedBeforeTheUpgrade) {
  Server server(local(1));
  server.websocket("/", {.open = [](WebSocket&) {},
                         .authorize = [](const Request& request) { return request.query("key") == "right"; },
                         .page = [](const Request&, Response& response) { response.html("<p>page</p>"); }});
  ASSERT_TRUE(server.start());
  const std::string address = server.addresses()[0];
  EXPECT_EQ(Peer(address).upgrade("/?key=wrong"), 401);
  EXPECT_EQ(Peer(address).upgrade("/?key=right"), 101);
  EXPECT_EQ(Peer(address).upgrade("/?key=right", "Origin: https://elsewhere.example\r\n"), 403);
  EXPECT_EQ(Peer(address).upgrade("/?key=right", "Origin: http://" + address + "\r\n"), 101);
  Peer plain(address);
  EXPECT_EQ(plain.request("GET", "/"), 200);
  EXPECT_EQ(plain.body(), "<p>page</p>");
}

TEST(Server, OriginsCanBeChangedWhileItRuns) {
  Server server(local());
  server.websocket("/", {.open = [](WebSocket&) {}});
  ASSERT_TRUE(server.start());
  const std::string address = server.addresses()[0];
  EXPECT_EQ(Peer(address).upgrade("/", "Origin: https://a.example\r\n"), 403);
  server.set_allowed_origins({"https://a.example"});
  // Each shard takes it in its next turn; a connection accepted later may still meet
  // the turn before.
  int status = 0;
  for (int tries = 0; tries < 1000 && status != 101; ++tries) {
    status = Peer(address).upgrade("/", "Origin: https://a.example\r\n");
  }
  EXPECT_EQ(status, 101);
}

// --- Action Cable ------------------------------------------------------------------------

class RoomChannel : public Channel {
 public:
  static inline std::atomic<int> unsubscribes = 0;

  void subscribed() override {
    if (!params().has("room_id")) return reject();
    transmit({{"hello", connection().identifier("current_user")}});
    stream_from(room());
  }
  void unsubscribed() override { ++unsubscribes; }
  void receive(const Json& data) override {
    broadcast(room(), {{"message", data["message"]}, {"sender", connection().identifier("current_user")}});
  }
  void whisper(const Json& data) { transmit(data["text"]); }
  void leave() { stop_all_streams(); }
  void fail() { throw std::runtime_error("action"); }
  void later() {
    periodically(std::chrono::milliseconds(10), [this, count = 0]() mutable {
      if (++count <= 2) transmit(count);
    });
  }

 private:
  std::string room() const { return "chat_" + params().string("room_id"); }
};

class ModelChannel : public Channel {
 public:
  void subscribed() override { stream_for({"post", params().string("id")}); }
  void receive(const Json& data) override { broadcast_to({"post", params().string("id")}, data["message"]); }
};

class ThrowingChannel : public Channel {
 public:
  void subscribed() override { throw std::runtime_error("subscribed"); }
};

class EagerChannel : public Channel {
 public:
  EagerChannel() { stream_from("too early"); }
};

class Cable : public testing::Test {
 protected:
  Cable() : server_(local()) {
    server_.cable("/cable")
        .identified_by("current_user", [](const Request& request) { return request.cookie("user"); })
        .channel<RoomChannel>("RoomChannel", {{"whisper", &RoomChannel::whisper},
                                              {"leave", &RoomChannel::leave},
                                              {"fail", &RoomChannel::fail},
                                              {"later", &RoomChannel::later}})
        .channel<ModelChannel>("Blog::ModelChannel")
        .channel<ThrowingChannel>("ThrowingChannel")
        .channel<EagerChannel>("EagerChannel");
    EXPECT_TRUE(server_.start());
    address_ = server_.addresses()[0];
  }

  void join(Peer& peer, const std::string& user) {
    ASSERT_EQ(peer.upgrade("/cable", "Cookie: user=" + user + "\r\n"), 101);
    ASSERT_EQ(peer.next(), R"({"type":"welcome"})");
  }

  Server server_;
  std::string address_;
};

constexpr std::string_view kRoom = R"({"channel":"RoomChannel","room_id":7})";

TEST_F(Cable, WithoutItsIdentifierAConnectionIsUnauthorized) {
  Peer peer(address_);
  ASSERT_EQ(peer.upgrade("/cable"), 101);
  EXPECT_EQ(peer.next(), R"({"type":"disconnect","reason":"unauthorized","reconnect":false})");
  EXPECT_EQ(peer.next(), "close:1000 ");
}

TEST_F(Cable, TransmitsInSubscribedComeBeforeTheConfirmation) {
  Peer peer(address_);
  join(peer, "ann");
  peer.send_text(subscribe(kRoom));
  EXPECT_EQ(peer.next(), delivered(kRoom, {{"hello", "ann"}}));
  EXPECT_EQ(peer.next(), confirmed(kRoom));
}

TEST_F(Cable, TwoClientsChat) {
  Peer ann(address_), bob(address_);
  join(ann, "ann");
  join(bob, "bob");
  constexpr std::string_view kRoomAsText = R"({"channel":"RoomChannel","room_id":"7"})";
  ann.send_text(subscribe(kRoom));
  bob.send_text(subscribe(kRoomAsText));
  ann.next();
  bob.next();
  ASSERT_EQ(ann.next(), confirmed(kRoom));
  ASSERT_EQ(bob.next(), confirmed(kRoomAsText));
  ann.send_text(perform(kRoom, {{"message", "<hi>"}, {"action", "receive"}}));
  const Json said = {{"message", "<hi>"}, {"sender", "ann"}};
  EXPECT_EQ(ann.next(), delivered(kRoom, said));
  EXPECT_EQ(bob.next(), delivered(kRoomAsText, said));
  EXPECT_EQ(server_.broadcast("chat_7", "not JSON"), BroadcastStatus::ok);
  EXPECT_EQ(bob.next(), delivered(kRoomAsText, "not JSON"));
  EXPECT_EQ(server_.broadcast("chat_7", "1.10"), BroadcastStatus::ok);
  EXPECT_EQ(bob.next(), delivered(kRoomAsText, Json::number("1.10")));
}

TEST_F(Cable, OnlyRegisteredActionsAreCalled) {
  Peer peer(address_);
  join(peer, "ann");
  peer.send_text(subscribe(kRoom));
  peer.next();
  ASSERT_EQ(peer.next(), confirmed(kRoom));
  for (const char* action : {"subscribed", "unsubscribed", "room", "_private", "nothing", "fail"}) {
    peer.send_text(perform(kRoom, {{"action", action}}));
  }
  peer.send_text(perform(kRoom, {{"action", "whisper"}, {"text", "only me"}}));
  EXPECT_EQ(peer.next(), delivered(kRoom, "only me"));
  EXPECT_EQ(server_.stats().callback_errors, 1u);
}

TEST_F(Cable, RejectionsAndUnknownChannelsAreTold) {
  Peer peer(address_);
  join(peer, "ann");
  for (const std::string_view identifier :
       {R"({"channel":"RoomChannel"})", R"({"channel":"NoChannel"})", R"({"channel":"ThrowingChannel"})",
        R"({"channel":"EagerChannel"})"}) {
    peer.send_text(subscribe(identifier));
    EXPECT_EQ(peer.next(), rejected(identifier));
  }
  EXPECT_EQ(server_.stats().callback_errors, 2u);
}

TEST_F(Cable, StreamsForModelsAreNamedAsRailsNamesThem) {
  Peer peer(address_);
  join(peer, "ann");
  constexpr std::string_view kPost = R"({"channel":"Blog::ModelChannel","id":5})";
  peer.send_text(subscribe(kPost));
  ASSERT_EQ(peer.next(), confirmed(kPost));
  EXPECT_EQ(broadcasting_for("Blog::ModelChannel", {"post", 5}), "blog:model:post:5");
  EXPECT_EQ(server_.broadcast("blog:model:post:5", Json("outside")), BroadcastStatus::ok);
  EXPECT_EQ(peer.next(), delivered(kPost, "outside"));
  EXPECT_EQ(server_.broadcast_to("Blog::ModelChannel", {"post", 5}, "to"), BroadcastStatus::ok);
  EXPECT_EQ(peer.next(), delivered(kPost, "to"));
  peer.send_text(perform(kPost, {{"message", "inside"}}));
  EXPECT_EQ(peer.next(), delivered(kPost, "inside"));
}

TEST_F(Cable, AStreamThatWasStoppedIsSilent) {
  Peer peer(address_);
  join(peer, "ann");
  peer.send_text(subscribe(kRoom));
  peer.next();
  ASSERT_EQ(peer.next(), confirmed(kRoom));
  peer.send_text(perform(kRoom, {{"action", "leave"}}));
  peer.send_text(perform(kRoom, {{"message", "nobody hears"}}));
  peer.send_text(perform(kRoom, {{"action", "whisper"}, {"text", "after"}}));
  EXPECT_EQ(peer.next(), delivered(kRoom, "after"));
}

TEST_F(Cable, PeriodicCallbacksComeWhileTheSubscriptionLives) {
  Peer peer(address_);
  join(peer, "ann");
  peer.send_text(subscribe(kRoom));
  peer.next();
  ASSERT_EQ(peer.next(), confirmed(kRoom));
  peer.send_text(perform(kRoom, {{"action", "later"}}));
  EXPECT_EQ(peer.next(), delivered(kRoom, 1));
  EXPECT_EQ(peer.next(), delivered(kRoom, 2));
}

TEST_F(Cable, EverySubscriptionIsUnsubscribedOnce) {
  const int before = RoomChannel::unsubscribes;
  {
    Peer left(address_), vanished(address_);
    join(left, "ann");
    join(vanished, "bob");
    for (Peer* peer : {&left, &vanished}) {
      peer->send_text(subscribe(kRoom));
      peer->next();
      ASSERT_EQ(peer->next(), confirmed(kRoom));
    }
    left.send_text(Json({{"command", "unsubscribe"}, {"identifier", kRoom}}).dump());
    vanished.close();
  }
  server_.stop();
  EXPECT_EQ(RoomChannel::unsubscribes - before, 2);
}

// Of any shape: the Channel within it stands where the compiler puts it, and it asks for a place of
// its own kind.
struct Before {
  virtual ~Before() = default;
  std::string text = "a text that is longer than any string holds within itself";
};
template <size_t kAlignment>
class ShapedChannel : private Before, public Channel {
 public:
  ShapedChannel() { ++alive; }
  ~ShapedChannel() override { --alive; }
  void subscribed() override {
    const bool in_place = reinterpret_cast<uintptr_t>(&number_) % kAlignment == 0;
    transmit({{"text", text}, {"in_place", in_place}, {"number", number_}});
  }

  static inline std::atomic<int> alive = 0;

 private:
  alignas(kAlignment) int number_ = 17;
};

TEST(Server, ChannelsMayHaveAnyShape) {
  {
    Server server(local());
    server.cable("/cable")
        .channel<ShapedChannel<4>>("Four")
        .channel<ShapedChannel<16>>("Sixteen")
        .channel<ShapedChannel<64>>("SixtyFour");
    ASSERT_TRUE(server.start());
    Peer peer(server.addresses()[0]);
    ASSERT_EQ(peer.upgrade("/cable"), 101);
    peer.next();  // the welcome
    for (const std::string_view name : {"Four", "Sixteen", "SixtyFour"}) {
      const std::string identifier = Json({{"channel", name}}).dump();
      peer.send_text(subscribe(identifier));
      EXPECT_EQ(peer.next(),
                delivered(identifier, {{"text", Before().text}, {"in_place", true}, {"number", 17}}));
      EXPECT_EQ(peer.next(), confirmed(identifier));
    }
    EXPECT_EQ(ShapedChannel<4>::alive + ShapedChannel<16>::alive + ShapedChannel<64>::alive, 3);
  }
  EXPECT_EQ(ShapedChannel<4>::alive + ShapedChannel<16>::alive + ShapedChannel<64>::alive, 0);
}

TEST(Server, StopsOnAllItsAddresses) {
  Options options = local();
  options.listen = {"127.0.0.1:0", "127.0.0.1:0", "127.0.0.1:0"};
  Server server(options);
  server.websocket("/", {.open = [](WebSocket& socket) { socket.send("here"); }});
  ASSERT_TRUE(server.start());
  const std::vector<std::string> addresses = server.addresses();
  ASSERT_EQ(addresses.size(), 3u);
  for (const std::string& address : addresses) {
    Peer peer(address);
    ASSERT_EQ(peer.upgrade("/"), 101);
    EXPECT_EQ(peer.next(), "here");
  }
  server.stop();
}

// Looks its names up itself, and knows one action.
class Found : public Channel {
 public:
  void subscribed() override { transmit({{"name", channel_name()}}); }
  bool perform(std::string_view action, const Json& data) override {
    if (action == "shout") transmit(data["text"]);
    if (action == "throw") throw std::runtime_error("perform");
    return action == "shout";
  }
};

TEST(Server, ChannelsAreFoundByNameBeforeThoseThatWereRegistered) {
  Server server(local());
  server.cable("/cable")
      .channels([](std::string_view name) -> std::unique_ptr<Channel> {
        if (name == "Broken") throw std::runtime_error("find");
        return name.starts_with("Found") || name == "Greeter" ? std::make_unique<Found>() : nullptr;
      })
      .channel<Greeter>("Greeter")
      .channel<Greeter>("Other");
  ASSERT_TRUE(server.start());
  Peer peer(server.addresses()[0]);
  ASSERT_EQ(peer.upgrade("/cable"), 101);
  peer.next();
  for (const char* name : {"Found::One", "Greeter"}) {
    const std::string identifier = Json({{"channel", name}}).dump();
    peer.send_text(subscribe(identifier));
    EXPECT_EQ(peer.next(), delivered(identifier, {{"name", name}}));
    EXPECT_EQ(peer.next(), confirmed(identifier));
    peer.send_text(perform(identifier, {{"action", "none"}}));
    peer.send_text(perform(identifier, {{"action", "throw"}}));
    peer.send_text(perform(identifier, {{"text", "receive is no action of its own"}}));
    peer.send_text(perform(identifier, {{"action", "shout"}, {"text", "hi"}}));
    EXPECT_EQ(peer.next(), delivered(identifier, "hi"));
  }
  peer.send_text(subscribe(R"({"channel":"Other"})"));
  EXPECT_EQ(peer.next(), confirmed(R"({"channel":"Other"})"));
  for (const char* name : {"Broken", "Nobody"}) {
    const std::string identifier = Json({{"channel", name}}).dump();
    peer.send_text(subscribe(identifier));
    EXPECT_EQ(peer.next(), rejected(identifier));
  }
}

TEST(WebSocket, AsksWhoComesWhereTheRouteSaysSo) {
  Options options = local();
  options.identified_by = {"user=query.user"};
  Server server(options);
  server.websocket("/who", {.open = [](WebSocket& socket) { socket.send(socket.identifiers()); },
                            .identified = true,
                            .allow =
                                [](const Request& request, const Json& identifiers) {
                                  return identifiers["user"].text() != request.query("not");
                                }});
  ASSERT_TRUE(server.start());
  EXPECT_EQ(Peer(server.addresses()[0]).upgrade("/who"), 401);
  EXPECT_EQ(Peer(server.addresses()[0]).upgrade("/who?user=ann&not=ann"), 403);
  Peer peer(server.addresses()[0]);
  ASSERT_EQ(peer.upgrade("/who?user=ann"), 101);
  EXPECT_EQ(peer.next(), R"({"user":"ann"})");
  EXPECT_EQ(server.disconnect({{"user", "ann"}}, true), BroadcastStatus::ok);
  EXPECT_EQ(peer.next(), "close:1012 remote");

  Server unasked(local());
  unasked.websocket("/who", {.identified = true});
  EXPECT_NE(unasked.start().error.find("no identified-by says how"), std::string::npos);
}

TEST(Server, ConnectionClassesDecide) {
  struct Guarded : CableConnection {
    void connect(const Request& request) override {
      const std::string name = request.query("name");
      if (name.empty()) return reject_unauthorized();
      if (name == "throw") throw std::runtime_error("connect");
      identify("name", name);
      add_tags({"ActionCable", name});
      log(LogLevel::info, "came", {{"path", request.path()}});
    }
  };
  struct Asking : Channel {
    void subscribed() override { transmit(connection().identifiers()); }
    void out() { connection().disconnect("remote", false); }
  };
  std::promise<std::string> logged;
  Options options = local(1);
  options.log_sink = [&logged, told = false](std::string_view line) mutable {
    if (!told && line.find("came") != line.npos) {
      told = true;
      logged.set_value(std::string(line));
    }
  };
  Server server(options);
  server.cable("/cable").connection<Guarded>().channel<Asking>("Asking", {{"out", &Asking::out}});
  ASSERT_TRUE(server.start());
  for (const char* path : {"/cable", "/cable?name=throw"}) {
    Peer peer(server.addresses()[0]);
    ASSERT_EQ(peer.upgrade(path), 101);
    EXPECT_EQ(peer.next(), R"({"type":"disconnect","reason":"unauthorized","reconnect":false})");
  }
  Peer peer(server.addresses()[0]);
  ASSERT_EQ(peer.upgrade("/cable?name=ann"), 101);
  EXPECT_EQ(peer.next(), R"({"type":"welcome"})");
  constexpr std::string_view kAsking = R"({"channel":"Asking"})";
  peer.send_text(subscribe(kAsking));
  EXPECT_EQ(peer.next(), delivered(kAsking, {{"name", "ann"}}));
  EXPECT_EQ(peer.next(), confirmed(kAsking));
  const std::string line = logged.get_future().get();
  EXPECT_NE(line.find("ActionCable"), std::string::npos) << line;
  EXPECT_NE(line.find("ann"), std::string::npos) << line;
  peer.send_text(perform(kAsking, {{"action", "out"}}));
  EXPECT_EQ(peer.next(), R"({"type":"disconnect","reason":"remote","reconnect":false})");
  EXPECT_EQ(peer.next(), "close:1000 ");
}

// --- Publishing from any thread ------------------------------------------------------------

TEST(StreamPublisher, ManyThreadsKeepEachTheirOrder) {
  constexpr int kThreads = 4, kEach = 500;
  Server server(local());
  server.websocket("/", {.open = [](WebSocket& socket) { socket.stream_from("numbers"); }});
  ASSERT_TRUE(server.start());
  Peer one(server.addresses()[0]), two(server.addresses()[0]);
  ASSERT_EQ(one.upgrade("/"), 101);
  ASSERT_EQ(two.upgrade("/"), 101);
  std::vector<std::thread> threads;
  for (int thread = 0; thread < kThreads; ++thread) {
    threads.emplace_back([publisher = server.publisher("numbers"), thread] {
      for (int i = 0; i < kEach; ++i) {
        while (publisher.publish(std::to_string(thread) + " " + std::to_string(i)) == BroadcastStatus::full) {
          std::this_thread::yield();
        }
      }
    });
  }
  std::vector<int> next(kThreads, 0);
  for (int i = 0; i < kThreads * kEach; ++i) {
    const std::string message = one.next();
    ASSERT_EQ(message, two.next()) << "subscribers differ in their order";
    const size_t thread = static_cast<size_t>(message[0] - '0');
    ASSERT_LT(thread, next.size()) << message;
    EXPECT_EQ(message.substr(2), std::to_string(next[thread]++));
  }
  for (std::thread& thread : threads) thread.join();
}

TEST(StreamPublisher, OutlivesItsServer) {
  StreamPublisher nowhere;
  EXPECT_EQ(nowhere.publish("x"), BroadcastStatus::stopped);
  {
    Server server(local(1));
    ASSERT_TRUE(server.start());
    nowhere = server.publisher("stream");
    EXPECT_EQ(nowhere.stream(), "stream");
    EXPECT_EQ(nowhere.publish("x"), BroadcastStatus::ok);
  }
  EXPECT_EQ(nowhere.publish("x"), BroadcastStatus::stopped);
}

TEST(Broadcast, WhatCannotBePublishedIsSaid) {
  Options options = local(1);
  options.max_message_bytes = 128;
  options.stream_name_bytes = 16;
  Server server(options);
  EXPECT_EQ(server.broadcast("s", "early"), BroadcastStatus::stopped);
  ASSERT_TRUE(server.start());
  EXPECT_EQ(server.broadcast("s", std::string(128, 'x')), BroadcastStatus::ok);
  EXPECT_EQ(server.broadcast("s", std::string(129, 'x')), BroadcastStatus::too_large);
  EXPECT_EQ(server.broadcast(std::string(17, 's'), "x"), BroadcastStatus::too_large);
  EXPECT_EQ(server.broadcast("", "x"), BroadcastStatus::too_large);
  EXPECT_EQ(server.broadcast("s", "\xff"), BroadcastStatus::invalid);
  EXPECT_EQ(server.broadcast("s", Binary("\xff")), BroadcastStatus::ok);
  EXPECT_EQ(server.stats().dropped, 4u);
}

TEST(Broadcast, ABatchIsPublishedWholeOrNotAtAll) {
  Options options = local(2);
  options.broadcast_inbox = 16;
  Server server(options);
  server.websocket("/", {.open = [](WebSocket& socket) { socket.stream_from("s"); }});
  ASSERT_TRUE(server.start());
  Peer peer(server.addresses()[0]);
  ASSERT_EQ(peer.upgrade("/"), 101);
  EXPECT_EQ(server.broadcast({{"s", "bad"}, {"s", "\xff"}}), BroadcastStatus::invalid);
  EXPECT_EQ(server.broadcast(std::vector<Server::Broadcast>(17, {"s", "bad"})), BroadcastStatus::too_large);
  std::vector<Server::Broadcast> batch;
  for (int i = 0; i < 12; ++i) batch.push_back({"s", std::to_string(i)});
  EXPECT_EQ(server.broadcast(batch), BroadcastStatus::ok);
  for (int i = 0; i < 12; ++i) EXPECT_EQ(peer.next(), std::to_string(i));
}

TEST(StreamKey, IsMadeOfStringsNumbersAndListsOfThem) {
  EXPECT_EQ(StreamKey("a").text(), "a");
  EXPECT_EQ(StreamKey(-7).text(), "-7");
  EXPECT_EQ((StreamKey{"a", 7, std::string("b")}).text(), "a:7:b");
  EXPECT_EQ(global_id_param("app", "Post", "1"), "Z2lkOi8vYXBwL1Bvc3QvMQ");
}

TEST(Metrics, TellWhatStatsTell) {
  Server server(local(2));
  server.websocket("/", {.open = [](WebSocket& socket) { socket.stream_from("s"); }});
  ASSERT_TRUE(server.start());
  Peer peer(server.addresses()[0]);
  ASSERT_EQ(peer.upgrade("/"), 101);
  ASSERT_EQ(server.broadcast("s", "x"), BroadcastStatus::ok);
  ASSERT_EQ(peer.next(), "x");
  const Stats stats = server.stats();
  EXPECT_EQ(stats.shards, 2u);
  EXPECT_EQ(stats.websockets, 1u);
  EXPECT_EQ(stats.subscriptions, 1u);
  EXPECT_EQ(stats.publishes, 1u);
  EXPECT_EQ(stats.deliveries, 1u);
  const std::string metrics = server.metrics_text();
  EXPECT_NE(metrics.find("# TYPE ringcast_publishes_total counter\n"), std::string::npos);
  EXPECT_NE(metrics.find("ringcast_ended_total{shard=\"0\",reason=\"too_slow\"} 0\n"), std::string::npos);
  EXPECT_NE(metrics.find("ringcast_ready 1\n"), std::string::npos);
}

}  // namespace
}  // namespace ringcast
