// The pool against applications: one that answers (a server of our own), and others that
// close, hang or are not there.
#include "rpc/rpc_pool.h"

#include <arpa/inet.h>
#include <gtest/gtest.h>
#include <sys/socket.h>
#include <unistd.h>

#include <atomic>
#include <filesystem>
#include <functional>
#include <future>
#include <thread>

#include "ringcast/ringcast.h"
#include "tests/adapter/logged_lines.h"
#include "tests/support/certificates.h"

namespace ringcast {
namespace {

constexpr std::chrono::seconds kDeadline(60);

std::string url_of(uint16_t port) {
  return "http://127.0.0.1:" + std::to_string(port) + "/_anycable";
}

struct Pool {
  explicit Pool(std::string_view url, RpcPoolOptions options = {}) {
    std::string error;
    options.url = HttpUrl::parse(url, &error).value();
    pool = RpcPool::create(std::move(options), lines.logger(), &error);
    EXPECT_NE(pool, nullptr) << error;
    pool->start();
  }

  std::future<RpcReply> call(std::string body = "{}", RpcMethod method = RpcMethod::command) {
    auto promise = std::make_shared<std::promise<RpcReply>>();
    pool->call(
        {.method = method, .body = std::move(body), .socket_id = "sid7", .done = [promise](RpcReply&& reply) {
           promise->set_value(std::move(reply));
         }});
    return promise->get_future();
  }
  uint64_t count(RpcMethod method, RpcResult result) const {
    return pool->counters().calls[static_cast<size_t>(method)][static_cast<size_t>(result)].load();
  }

  LoggedLines lines;
  std::unique_ptr<RpcPool> pool;
};

RpcReply answer(std::future<RpcReply> future) {
  if (future.wait_for(kDeadline) != std::future_status::ready) {
    ADD_FAILURE() << "no answer";
    std::abort();
  }
  return future.get();
}

// Takes connections on a port of loopback and does with each what it is told, on a thread of
// its own.
class Application {
 public:
  using Serve = std::function<void(int socket, int number)>;  // number: of the connection, from 0

  explicit Application(Serve serve) : serve_(std::move(serve)), listener_(socket(AF_INET, SOCK_STREAM, 0)) {
    sockaddr_in address = {};
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    socklen_t bytes = sizeof address;
    EXPECT_EQ(bind(listener_, reinterpret_cast<sockaddr*>(&address), bytes), 0);
    EXPECT_EQ(listen(listener_, 64), 0);
    getsockname(listener_, reinterpret_cast<sockaddr*>(&address), &bytes);
    port_ = ntohs(address.sin_port);
    acceptor_ = std::thread([this] {
      for (int number = 0;; ++number) {
        const int client = accept(listener_, nullptr, nullptr);
        if (client < 0) return;
        connections_ = number + 1;
        threads_.emplace_back([this, client, number] {
          serve_(client, number);
          ::close(client);
        });
      }
    });
  }
  ~Application() {
    ::shutdown(listener_, SHUT_RDWR);
    acceptor_.join();
    for (std::thread& thread : threads_) thread.join();
    ::close(listener_);
  }

  uint16_t port() const { return port_; }
  int connections() const { return connections_; }

 private:
  const Serve serve_;
  const int listener_;
  uint16_t port_ = 0;
  std::atomic<int> connections_{0};
  std::thread acceptor_;
  std::vector<std::thread> threads_;
};

// A request with its body, or what came of it before the peer closed.
std::string read_request(int socket) {
  std::string text;
  char buffer[4096];
  for (;;) {
    const size_t head = text.find("\r\n\r\n");
    const size_t length = text.find("Content-Length: ");
    if (head != text.npos && length != text.npos &&
        text.size() >= head + 4 + std::stoul(text.substr(length + 16))) {
      return text;
    }
    const ssize_t bytes = read(socket, buffer, sizeof buffer);
    if (bytes <= 0) return text;
    text.append(buffer, static_cast<size_t>(bytes));
  }
}

void write_answer(int socket, std::string_view body, std::string_view head = "HTTP/1.1 200 OK") {
  const std::string text = std::string(head) + "\r\nContent-Length: " + std::to_string(body.size()) +
                           "\r\n\r\n" + std::string(body);
  EXPECT_EQ(send(socket, text.data(), text.size(), MSG_NOSIGNAL), static_cast<ssize_t>(text.size()));
}

constexpr std::string_view kSuccess = R"({"status":1})";

TEST(RpcPool, AsksAndKeepsTheConnection) {
  std::string seen;
  Application application([&](int socket, int) {
    for (std::string request; !(request = read_request(socket)).empty();) {
      if (seen.empty()) seen = request;
      write_answer(socket, R"({"status":1,"streams":["a"]})");
    }
  });
  Pool pool(url_of(application.port()), {.secret = "s3cret"});
  for (int i = 0; i < 5; ++i) {
    const RpcReply reply = answer(pool.call(R"({"command":"subscribe"})"));
    EXPECT_EQ(reply.result, RpcResult::success);
    EXPECT_EQ(reply.answer.streams, (std::vector<std::string>{"a"}));
  }
  EXPECT_EQ(application.connections(), 1);
  EXPECT_EQ(seen,
            "POST /_anycable/command HTTP/1.1\r\nHost: 127.0.0.1:" + std::to_string(application.port()) +
                "\r\nUser-Agent: Ringcast\r\nContent-Type: application/json\r\nAccept: application/json\r\n"
                "Content-Length: 23\r\nAuthorization: Bearer s3cret\r\nX-AnyCable-Meta-sid: sid7\r\n\r\n"
                R"({"command":"subscribe"})");
  EXPECT_EQ(pool.count(RpcMethod::command, RpcResult::success), 5u);
  pool.pool->stop();
  EXPECT_EQ(pool.pool->counters().in_flight.load(), 0u);
  EXPECT_EQ(pool.pool->counters().pending.load(), 0u);
  EXPECT_EQ(answer(pool.call()).result, RpcResult::unavailable) << "after the end";
}

TEST(RpcPool, SpeaksTlsToAServerOfItsName) {
  char folder[] = "/tmp/ringcast-rpc-XXXXXX";
  ASSERT_NE(mkdtemp(folder), nullptr);
  const TestCertificateFiles files = write_test_certificate(make_test_certificate(), folder);
  Options options;
  options.tls_listen = {"127.0.0.1:0"};
  options.tls_cert = files.certificate;
  options.tls_key = files.key;
  options.handle_signals = false;
  Server server(options);
  server.post("/_anycable/connect", [](const Request&, Response& response) {
    response.json({{"status", 2}, {"transmissions", Json::array({"bye"})}});
  });
  ASSERT_TRUE(server.start());
  const std::string port = server.addresses()[0].substr(server.addresses()[0].rfind(':'));
  Pool pool("https://localhost" + port + "/_anycable", {.tls = {.ca_file = files.certificate}});
  for (int i = 0; i < 3; ++i) {
    const RpcReply reply = answer(pool.call("{}", RpcMethod::connect));
    EXPECT_EQ(reply.result, RpcResult::failure);
    EXPECT_EQ(reply.answer.transmissions, (std::vector<std::string>{"bye"}));
  }
  EXPECT_EQ(server.stats().accepted, 1u);
  Pool distrustful("https://localhost" + port, {.timeout = milliseconds(300)});
  EXPECT_EQ(answer(distrustful.call()).result, RpcResult::unavailable);
  EXPECT_TRUE(distrustful.lines.await({"rpc_down", "certificate"}));
  std::filesystem::remove_all(folder);
}

TEST(RpcPool, NonsenseIsToldApartFromSilence) {
  const struct {
    std::string_view head, body;
    RpcResult result;
  } cases[] = {
      {"HTTP/1.1 200 OK", "<html>", RpcResult::nonsense},
      {"HTTP/1.1 200 OK", R"({"status":1,"streams":7})", RpcResult::nonsense},
      {"HTTP/1.1 500 Oops", "", RpcResult::nonsense},
      {"HTTP/1.1 401 No", "", RpcResult::nonsense},
      {"HTTP/1.1 200 OK", R"({"status":0,"error_msg":"x"})", RpcResult::error},
      {"HTTP/1.1 200 OK", R"({})", RpcResult::error},
      {"HTTP/1.1 502 Bad Gateway", "", RpcResult::unavailable},
      {"not HTTP", "", RpcResult::unavailable},
      {"HTTP/1.1 200 OK\r\nContent-Length: 1", "two lengths", RpcResult::unavailable},
  };
  for (const auto& each : cases) {
    Application application([&](int socket, int) {
      while (!read_request(socket).empty()) write_answer(socket, each.body, each.head);
    });
    Pool pool(url_of(application.port()));
    EXPECT_EQ(answer(pool.call()).result, each.result) << each.head << each.body;
  }
}

TEST(RpcPool, AnAnswerWithoutEndIsNotRead) {
  Application application([&](int socket, int) {
    read_request(socket);
    const std::string_view head = "HTTP/1.1 200 OK\r\n\r\n";
    (void)!send(socket, head.data(), head.size(), MSG_NOSIGNAL);
    const std::string block(65536, ' ');
    while (send(socket, block.data(), block.size(), MSG_NOSIGNAL) > 0) {
    }
  });
  Pool pool(url_of(application.port()), {.answer_bytes_max = 1 << 20});
  EXPECT_EQ(answer(pool.call()).result, RpcResult::unavailable);
  EXPECT_TRUE(pool.lines.await({"rpc_down", "the body is too long"}));
}

TEST(RpcPool, WhatWasNotActedOnIsAskedAgain) {
  std::atomic<int> refused{0};
  Application application([&](int socket, int) {
    while (!read_request(socket).empty()) {
      if (refused++ < 3) {
        write_answer(socket, "", "HTTP/1.1 503 Busy");
      } else {
        write_answer(socket, kSuccess);
      }
    }
  });
  Pool pool(url_of(application.port()));
  EXPECT_EQ(answer(pool.call()).result, RpcResult::success);
  EXPECT_EQ(pool.pool->counters().retries.load(), 3u);
}

TEST(RpcPool, WhatMayHaveBeenActedOnIsNot) {
  std::atomic<int> requests{0};
  Application application([&](int socket, int) {
    read_request(socket);
    ++requests;  // and closes without a word
  });
  Pool pool(url_of(application.port()));
  EXPECT_EQ(answer(pool.call()).result, RpcResult::unavailable);
  EXPECT_EQ(requests, 1);
  EXPECT_EQ(pool.pool->counters().retries.load(), 0u);
}

TEST(RpcPool, NobodyThereIsTriedUntilTheTimeIsOver) {
  uint16_t port = 0;
  {
    port = Application([](int, int) {}).port();
  }
  Pool pool(url_of(port), {.timeout = milliseconds(1000)});
  EXPECT_EQ(answer(pool.call()).result, RpcResult::unavailable);
  EXPECT_GE(pool.pool->counters().retries.load(), 1u);
  EXPECT_TRUE(pool.lines.await({"rpc_down", "cannot connect"}));
  EXPECT_EQ(pool.lines.count("rpc_down"), 1u) << "one line for the change";
}

TEST(RpcPool, ANameThatDoesNotResolveIsUnavailable) {
  Pool pool("http://no-such-host.invalid/", {.timeout = milliseconds(200)});
  EXPECT_EQ(answer(pool.call()).result, RpcResult::unavailable);
}

TEST(RpcPool, WaitsNoLongerThanTheTimeout) {
  Application application([&](int socket, int) {
    read_request(socket);
    read_request(socket);  // until the pool closes
  });
  Pool pool(url_of(application.port()), {.timeout = milliseconds(100)});
  EXPECT_EQ(answer(pool.call()).result, RpcResult::timeout);
  EXPECT_EQ(pool.count(RpcMethod::command, RpcResult::timeout), 1u);
}

TEST(RpcPool, AsksNoMoreAtOnceThanItMay) {
  std::atomic<int> running{0}, most{0};
  std::promise<void> go;
  const std::shared_future<void> gone = go.get_future().share();
  Application application([&](int socket, int) {
    while (!read_request(socket).empty()) {
      most = std::max<int>(most, ++running);
      gone.wait();
      --running;
      write_answer(socket, kSuccess);
    }
  });
  Pool pool(url_of(application.port()),
            {.timeout = milliseconds(30'000), .concurrency = 3, .waiting_max = 20});
  std::vector<std::future<RpcReply>> calls;
  for (int i = 0; i < 20; ++i) calls.push_back(pool.call());
  while (running < 3) std::this_thread::yield();
  while (pool.pool->counters().pending.load() != 17) std::this_thread::yield();
  for (int i = 0; i < 3; ++i) calls.push_back(pool.call());
  EXPECT_EQ(answer(pool.call()).result, RpcResult::full);
  go.set_value();
  for (auto& call : calls) EXPECT_EQ(answer(std::move(call)).result, RpcResult::success);
  EXPECT_EQ(most, 3);
  EXPECT_LE(application.connections(), 3);
}

TEST(RpcPool, AConnectionThatIsClosedBetweenCallsCostsNone) {
  Application application([&](int socket, int) {
    read_request(socket);
    write_answer(socket, kSuccess);  // which says that the connection stays
  });
  Pool pool(url_of(application.port()));
  for (int i = 0; i < 3; ++i) {
    EXPECT_EQ(answer(pool.call()).result, RpcResult::success);
    while (pool.pool->counters().connections.load() > 0) std::this_thread::yield();
  }
  EXPECT_EQ(application.connections(), 3);
}

TEST(RpcPool, StopsAskingWhenNearlyAllFailsAndTriesAgain) {
  std::atomic<bool> well{false};
  Application application([&](int socket, int) {
    while (!read_request(socket).empty() && well) write_answer(socket, kSuccess);
  });
  Pool pool(url_of(application.port()));
  for (int i = 0; i < 10; ++i) EXPECT_EQ(answer(pool.call()).result, RpcResult::unavailable);
  EXPECT_EQ(answer(pool.call()).result, RpcResult::breaker);
  EXPECT_TRUE(pool.pool->counters().breaker_open.load());
  well = true;
  RpcReply reply;
  do {
    reply = answer(pool.call());
    std::this_thread::sleep_for(std::chrono::milliseconds(20));
  } while (reply.result == RpcResult::breaker);
  EXPECT_EQ(reply.result, RpcResult::success);
  EXPECT_FALSE(pool.pool->counters().breaker_open.load());
  EXPECT_TRUE(pool.lines.await({"rpc_breaker_closed"}));
  EXPECT_EQ(application.connections(), 11);
}

TEST(RpcPool, FarewellsArePacedAndSaidBeforeTheEnd) {
  std::atomic<int> said{0};
  Application application([&](int socket, int) {
    while (!read_request(socket).empty()) {
      ++said;
      write_answer(socket, kSuccess);
    }
  });
  Pool pool(url_of(application.port()), {.disconnects_per_second = 1, .stop_grace = milliseconds(60'000)});
  for (int i = 0; i < 30; ++i) (void)pool.call("{}", RpcMethod::disconnect);
  EXPECT_EQ(answer(pool.call()).result, RpcResult::success) << "they hold nobody up";
  EXPECT_LT(said, 30);
  pool.pool->stop();
  EXPECT_EQ(said, 31);
}

}  // namespace
}  // namespace ringcast
