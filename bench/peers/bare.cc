// The bare limit: what the kernel's TCP costs when nobody adds anything. One thread, one
// epoll, one send(2) for each message to each socket of a room, or with `coalesced` one for
// all the messages that a single recv brought; on /echo, what one recv brought goes back in
// one send. `spinning` sleeps only after 10 ms in which nothing came: the others need the
// core when it is their turn. No HTTP parser, no checks, no limits, no writability: it
// answers every request with the one right answer to the load generator's constant key. Not
// a server, a measuring stick. bare PORT [coalesced|spinning]
#include <arpa/inet.h>
#include <netinet/tcp.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

namespace {

struct Client {
  int fd;
  bool upgraded = false;
  bool echo = false;
  std::vector<Client*>* room = nullptr;
  size_t place = 0;  // in its room
  std::string held;
};

constexpr std::string_view kAnswer =
    "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    "Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n";

std::map<std::string, std::vector<Client*>> rooms;
int epoll_fd;
bool coalesced = false;

void close_client(Client* client) {
  if (client->room != nullptr) {
    (*client->room)[client->place] = client->room->back();
    (*client->room)[client->place]->place = client->place;
    client->room->pop_back();
  }
  close(client->fd);
  delete client;
}

// Waits for the socket: a message must not be cut off in the middle.
void send_all(int fd, const char* bytes, size_t size) {
  while (size > 0) {
    const ssize_t sent = send(fd, bytes, size, MSG_NOSIGNAL);
    if (sent < 0 && errno != EAGAIN) return;
    if (sent <= 0) continue;
    bytes += sent;
    size -= static_cast<size_t>(sent);
  }
}

// Whole frames at the front of `bytes` as the server sends them; returns what they took.
size_t unmask(std::string_view bytes, std::string& out, std::vector<size_t>& ends) {
  size_t at = 0;
  for (;;) {
    const auto* p = reinterpret_cast<const unsigned char*>(bytes.data()) + at;
    const size_t left = bytes.size() - at;
    if (left < 6) return at;
    size_t header = 2;
    uint64_t size = p[1] & 0x7f;
    const size_t length_bytes = size == 126 ? 2 : size == 127 ? 8 : 0;
    if (left < header + length_bytes + 4) return at;
    if (length_bytes > 0) size = 0;
    for (size_t i = 0; i < length_bytes; ++i) size = size << 8 | p[header + i];
    header += length_bytes;
    if (left < header + 4 + size) return at;
    out.append(reinterpret_cast<const char*>(p), header);
    out[out.size() - header + 1] &= 0x7f;
    const size_t begin = out.size();
    out.append(reinterpret_cast<const char*>(p) + header + 4, size);
    uint64_t key;
    std::memcpy(&key, p + header, 4);
    std::memcpy(reinterpret_cast<char*>(&key) + 4, p + header, 4);
    size_t i = 0;
    for (; i + 8 <= size; i += 8) {
      uint64_t word;
      std::memcpy(&word, out.data() + begin + i, 8);
      word ^= key;
      std::memcpy(out.data() + begin + i, &word, 8);
    }
    for (; i < size; ++i) out[begin + i] = static_cast<char>(out[begin + i] ^ p[header + (i & 3)]);
    ends.push_back(out.size());
    at += header + 4 + size;
  }
}

void upgrade(Client* client, std::string_view head) {
  const std::string path(head.substr(4, head.find(' ', 4) - 4));
  send_all(client->fd, kAnswer.data(), kAnswer.size());
  client->upgraded = true;
  client->echo = path.starts_with("/echo");
  if (client->echo) return;
  client->room = &rooms[path];
  client->place = client->room->size();
  client->room->push_back(client);
}

void readable(Client* client) {
  static std::vector<char> buffer(1 << 20);
  static std::string out;
  static std::vector<size_t> ends;
  const ssize_t got = recv(client->fd, buffer.data(), buffer.size(), 0);
  if (got < 0 && errno == EAGAIN) return;
  if (got <= 0) return close_client(client);
  std::string_view bytes(buffer.data(), static_cast<size_t>(got));
  if (!client->held.empty()) {
    client->held.append(bytes);
    bytes = client->held;
  }
  if (!client->upgraded) {
    if (bytes.find("\r\n\r\n") != bytes.npos) upgrade(client, bytes);
    return;
  }
  out.clear();
  ends.clear();
  const size_t used = unmask(bytes, out, ends);
  if (client->echo) {
    send_all(client->fd, out.data(), out.size());
  } else {
    size_t from = 0;
    if (coalesced && !ends.empty()) ends.assign(1, out.size());
    for (const size_t end : ends) {
      for (Client* member : *client->room) send_all(member->fd, out.data() + from, end - from);
      from = end;
    }
  }
  client->held = std::string(bytes.substr(used));
}

}  // namespace

int main(int argc, char** argv) {
  coalesced = argc == 3 && std::string_view(argv[2]) == "coalesced";
  const bool spinning = argc == 3 && std::string_view(argv[2]) == "spinning";
  if (argc != 2 && !coalesced && !spinning) {
    return std::fputs("usage: bare PORT [coalesced|spinning]\n", stderr), 2;
  }
  rlimit limit{};
  getrlimit(RLIMIT_NOFILE, &limit);
  limit.rlim_cur = limit.rlim_max;
  setrlimit(RLIMIT_NOFILE, &limit);

  const int listener = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
  const int on = 1;
  setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
  setsockopt(listener, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_port = htons(static_cast<uint16_t>(std::atoi(argv[1])));
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  if (bind(listener, reinterpret_cast<sockaddr*>(&address), sizeof address) != 0 ||
      listen(listener, 4096) != 0) {
    return std::perror("bare"), 1;
  }
  epoll_fd = epoll_create1(EPOLL_CLOEXEC);
  epoll_event event{.events = EPOLLIN, .data = {.ptr = nullptr}};
  epoll_ctl(epoll_fd, EPOLL_CTL_ADD, listener, &event);
  using Clock = std::chrono::steady_clock;
  for (Clock::time_point last{};;) {
    epoll_event events[256];
    const bool sleeps = !spinning || Clock::now() - last > std::chrono::milliseconds(10);
    const int count = epoll_wait(epoll_fd, events, 256, sleeps ? -1 : 0);
    if (spinning && count > 0) last = Clock::now();
    for (int i = 0; i < count; ++i) {
      if (events[i].data.ptr != nullptr) {
        readable(static_cast<Client*>(events[i].data.ptr));
        continue;
      }
      for (int fd; (fd = accept4(listener, nullptr, nullptr, SOCK_NONBLOCK | SOCK_CLOEXEC)) >= 0;) {
        auto* client = new Client{.fd = fd, .held = {}};
        epoll_event readable_event{.events = EPOLLIN, .data = {.ptr = client}};
        epoll_ctl(epoll_fd, EPOLL_CTL_ADD, fd, &readable_event);
      }
    }
  }
}
