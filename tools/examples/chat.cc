// A chat over Action Cable and over raw WebSockets, and a way in over HTTP: the whole
// of it, on the installed library.
//
//   c++ -std=c++20 chat.cc $(pkg-config --cflags --libs ringcast) -o chat && ./chat
//   curl -d 'message=hello' http://127.0.0.1:8080/rooms/general
#include <ringcast/ringcast.h>

#include <string>

// One object per subscription, living on its connection's shard; callbacks of one
// connection never run at the same time.
class ChatChannel : public ringcast::Channel {
 public:
  void subscribed() override {
    if (!params().has("room_id")) return reject();
    stream_from(room());
  }
  void receive(const ringcast::Json& data) override {
    broadcast(room(), {{"message", data["message"]}, {"sender", connection().identifier("current_user")}});
  }
  void wave() {
    broadcast(room(), {{"message", "waves"}, {"sender", connection().identifier("current_user")}});
  }

 private:
  std::string room() const { return "chat_" + params().string("room_id"); }
};

int main(int argc, char** argv) {
  ringcast::Server server(ringcast::Options::from_command_line(argc, argv));

  server.cable("/cable")
      .identified_by("current_user", [](const ringcast::Request& request) { return request.cookie("user"); })
      .channel<ChatChannel>("ChatChannel", {{"wave", &ChatChannel::wave}});

  server.websocket(
      "/rooms/:room",
      {.open = [](ringcast::WebSocket& socket) { socket.stream_from("chat_" + socket.parameter("room")); },
       .message =
           [](ringcast::WebSocket& socket, ringcast::Text text) {
             const std::string sender = "Client " + std::to_string(socket.number());
             socket.broadcast("chat_" + socket.parameter("room"),
                              {{"message", text.view()}, {"sender", sender}});
           }});

  server.post("/rooms/:room", [](const ringcast::Request& request, ringcast::Response& response) {
    const ringcast::Json said = {{"message", request.form("message")}, {"sender", "HTTP"}};
    const auto status = request.server().broadcast("chat_" + request.parameter("room"), said);
    response.status(status == ringcast::BroadcastStatus::ok ? 200 : 503);
    response.json({{"status", to_string(status)}});
  });

  return server.run();  // until SIGTERM; Server::start and stop for those who own the process
}
