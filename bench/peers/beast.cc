// A small chat server on Boost.Beast as its own examples write one: asynchronous, one
// thread, a queue of shared messages for each session. Rooms by path; /echo. beast PORT
#include <netinet/tcp.h>
#include <sys/resource.h>

// Boost 1.74's awaitable.hpp forgets this one.
#include <utility>

#include <boost/asio.hpp>
#include <boost/beast/core.hpp>
#include <boost/beast/http.hpp>
#include <boost/beast/websocket.hpp>
#include <cstdlib>
#include <deque>
#include <memory>
#include <string>
#include <unordered_map>
#include <unordered_set>

namespace asio = boost::asio;
namespace beast = boost::beast;
namespace http = beast::http;
namespace websocket = beast::websocket;
using tcp = asio::ip::tcp;

class Session;
using Room = std::unordered_set<Session*>;
using Message = std::shared_ptr<const std::string>;

std::unordered_map<std::string, Room> rooms;

class Session : public std::enable_shared_from_this<Session> {
 public:
  explicit Session(tcp::socket socket) : stream_(std::move(socket)) {}
  ~Session() {
    if (room_ != nullptr) room_->erase(this);
  }

  void start() {
    http::async_read(stream_.next_layer(), buffer_, request_,
                     [self = shared_from_this()](beast::error_code error, size_t) {
                       if (!error) self->upgrade();
                     });
  }

  void send(Message message) {
    queue_.push_back(std::move(message));
    if (queue_.size() == 1) write();
  }

 private:
  void upgrade() {
    stream_.read_message_max(16 << 20);
    stream_.async_accept(request_, [self = shared_from_this()](beast::error_code error) {
      if (error) return;
      const std::string path(self->request_.target());
      self->request_ = {};
      self->echo_ = path.rfind("/echo", 0) == 0;
      if (!self->echo_) {
        self->room_ = &rooms[path];
        self->room_->insert(self.get());
      }
      self->read();
    });
  }

  void read() {
    stream_.async_read(buffer_, [self = shared_from_this()](beast::error_code error, size_t) {
      if (error) return self->leave();
      auto message = std::make_shared<const std::string>(beast::buffers_to_string(self->buffer_.data()));
      self->buffer_.consume(self->buffer_.size());
      self->stream_.text(self->stream_.got_text());
      if (self->echo_) {
        self->send(message);
      } else if (self->room_ != nullptr) {
        for (Session* member : *self->room_) member->send(message);
      }
      self->read();
    });
  }

  void write() {
    stream_.async_write(asio::buffer(*queue_.front()),
                        [self = shared_from_this()](beast::error_code error, size_t) {
                          if (error) return self->leave();
                          self->queue_.pop_front();
                          if (!self->queue_.empty()) self->write();
                        });
  }

  void leave() {
    if (room_ != nullptr) room_->erase(this);
    room_ = nullptr;
  }

  websocket::stream<tcp::socket> stream_;
  beast::flat_buffer buffer_;
  http::request<http::empty_body> request_;
  std::deque<Message> queue_;
  Room* room_ = nullptr;
  bool echo_ = false;
};

void accept(tcp::acceptor& acceptor) {
  acceptor.async_accept([&](beast::error_code error, tcp::socket socket) {
    if (!error) {
      socket.set_option(tcp::no_delay(true));
      std::make_shared<Session>(std::move(socket))->start();
    }
    accept(acceptor);
  });
}

int main(int argc, char** argv) {
  if (argc != 2) return 2;
  rlimit limit{};
  getrlimit(RLIMIT_NOFILE, &limit);
  limit.rlim_cur = limit.rlim_max;
  setrlimit(RLIMIT_NOFILE, &limit);
  asio::io_context context(1);
  tcp::acceptor acceptor(context);
  const tcp::endpoint endpoint(asio::ip::address_v4::loopback(),
                               static_cast<unsigned short>(std::atoi(argv[1])));
  acceptor.open(endpoint.protocol());
  acceptor.set_option(tcp::acceptor::reuse_address(true));
  acceptor.bind(endpoint);
  acceptor.listen(4096);
  accept(acceptor);
  context.run();
}
