// getaddrinfo, where it can hold up nobody. Owned by an adapter; its thread only.
#include "adapter/resolver.h"

#include <arpa/inet.h>
#include <netdb.h>
#include <netinet/in.h>
#include <sys/un.h>

#include <cstddef>
#include <cstring>
#include <mutex>
#include <optional>
#include <thread>
#include <utility>

namespace ringcast {
namespace {

Resolver::Answer look_up(const std::string& host, uint16_t port, int flags) {
  addrinfo hints = {};
  hints.ai_family = AF_UNSPEC;
  hints.ai_socktype = SOCK_STREAM;
  hints.ai_flags = flags | AI_NUMERICSERV;
  addrinfo* list = nullptr;
  const int error = getaddrinfo(host.c_str(), std::to_string(port).c_str(), &hints, &list);
  if (error != 0) return {{}, "cannot resolve " + host + ": " + gai_strerror(error)};
  Resolver::Answer answer;
  for (const addrinfo* at = list; at != nullptr; at = at->ai_next) {
    EngineAddress address;
    std::memcpy(&address.storage, at->ai_addr, at->ai_addrlen);
    address.bytes = at->ai_addrlen;
    answer.addresses.push_back(address);
  }
  freeaddrinfo(list);
  return answer;
}

}  // namespace

struct Resolver::Shared {
  std::mutex mutex;  // guards the rest
  std::optional<Answer> answer;
  std::function<void()> wake;  // empty once the resolver is gone
};

std::string EngineAddress::ip() const {
  char text[INET6_ADDRSTRLEN] = "";
  if (storage.ss_family == AF_INET) {
    inet_ntop(AF_INET, &reinterpret_cast<const sockaddr_in*>(&storage)->sin_addr, text, sizeof text);
  } else if (storage.ss_family == AF_INET6) {
    inet_ntop(AF_INET6, &reinterpret_cast<const sockaddr_in6*>(&storage)->sin6_addr, text, sizeof text);
  }
  return text;
}

Resolver::Resolver(std::function<void()> wake, LookUp look_up)
    : shared_(std::make_shared<Shared>()), look_up_(std::move(look_up)) {
  shared_->wake = std::move(wake);
}

Resolver::~Resolver() {
  std::lock_guard lock(shared_->mutex);
  shared_->wake = nullptr;
}

void Resolver::ask(const std::string& host, uint16_t port, Instant answer_by) {
  if (busy_) return;
  busy_ = true;
  answer_by_ = answer_by;
  Answer numeric = look_up(host, port, AI_NUMERICHOST);
  if (!numeric.addresses.empty()) {
    std::lock_guard lock(shared_->mutex);
    shared_->answer = std::move(numeric);
    return;
  }
  // It inherits the adapter's mask of signals: all are blocked.
  std::thread([shared = shared_, look = look_up_, host, port] {
    Answer answer = look ? look(host, port) : look_up(host, port, 0);
    std::lock_guard lock(shared->mutex);
    shared->answer = std::move(answer);
    if (shared->wake) shared->wake();
  }).detach();
}

void Resolver::ask_path(const std::string& path) {
  if (busy_) return;
  busy_ = true;
  Answer answer;
  EngineAddress address;
  auto* to = reinterpret_cast<sockaddr_un*>(&address.storage);
  if (path.size() >= sizeof to->sun_path) {
    answer.error = "the socket's path is longer than " + std::to_string(sizeof to->sun_path - 1) + " bytes";
  } else {
    to->sun_family = AF_UNIX;
    std::memcpy(to->sun_path, path.data(), path.size());
    address.bytes = static_cast<socklen_t>(offsetof(sockaddr_un, sun_path) + path.size() + 1);
    answer.addresses.push_back(address);
  }
  std::lock_guard lock(shared_->mutex);
  shared_->answer = std::move(answer);
}

bool Resolver::late(Instant now) {
  if (now < answer_by_) return false;
  answer_by_ = kNever;
  return true;
}

bool Resolver::take(Answer& answer) {
  if (!busy_) return false;
  std::lock_guard lock(shared_->mutex);
  if (!shared_->answer) return false;
  answer = std::move(*shared_->answer);
  shared_->answer.reset();
  busy_ = false;
  answer_by_ = kNever;
  return true;
}

}  // namespace ringcast
