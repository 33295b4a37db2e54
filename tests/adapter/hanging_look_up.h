// A name server that answers no sooner than it is told to, and then with loopback. Any thread.
#pragma once

#include <arpa/inet.h>
#include <netinet/in.h>

#include <atomic>
#include <cstring>
#include <future>
#include <memory>
#include <string>

#include "adapter/resolver.h"

namespace ringcast {

class HangingLookUp {
 public:
  Resolver::LookUp look_up() const {
    // It may be asked, and be waiting, when this is gone.
    return [answer = answer_, asked = asked_](const std::string&, uint16_t port) {
      ++*asked;
      answer.wait();
      sockaddr_in address = {};
      address.sin_family = AF_INET;
      address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
      address.sin_port = htons(port);
      EngineAddress loopback;
      std::memcpy(&loopback.storage, &address, sizeof address);
      loopback.bytes = sizeof address;
      return Resolver::Answer{{loopback}, {}};
    };
  }
  void answer() { promise_.set_value(); }
  int asked() const { return *asked_; }

 private:
  std::promise<void> promise_;
  std::shared_future<void> answer_ = promise_.get_future().share();
  std::shared_ptr<std::atomic<int>> asked_ = std::make_shared<std::atomic<int>>(0);
};

}  // namespace ringcast
