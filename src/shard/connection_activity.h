// What a connection has only while something is under way with it: most of a hundred
// thousand are idle most of the time, and have none. Owned by its connection; shard
// thread only.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <vector>

#include "base/spares.h"
#include "base/time.h"
#include "protocol/websocket.h"
#include "shard/outbox.h"
#include "shard/tls_link.h"

namespace ringcast {

struct ConnectionActivity {
  // Of one that is stalled, not read from, or closing.
  struct Impeded {
    std::vector<std::byte> held;  // input that came while reading was paused
    Instant stalled_since{};
    Instant lap_grace_since{};
    uint32_t lap_queue_bytes = 0;  // what the kernel held then
    Instant closing_until = kNever;
  };

  bool over() const {
    return !outbox && !reader && !impeded && !tls && outbox_counted == 0 && input_counted == 0;
  }

  std::unique_ptr<Outbox> outbox;           // while there is something of its own to be sent
  std::unique_ptr<WebSocketReader> reader;  // while a message has begun, and where messages are compressed
  std::unique_ptr<Impeded> impeded;
  std::unique_ptr<TlsLink> tls;  // where that is spoken, from the first to the last octet
  // What of the outbox and of input_bytes() stands in the gauges; neither grows beyond 4 GiB.
  uint32_t outbox_counted = 0;
  uint32_t input_counted = 0;
};

using ActivityPool = Spares<ConnectionActivity>;

}  // namespace ringcast
