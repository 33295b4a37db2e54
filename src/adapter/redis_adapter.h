// The adapter for Redis. Two connections, one to subscribe and one to publish; both are
// kept for ever: whatever happens to them, another attempt follows within half a second.
//
// Up means both ways: publishes are sent only while all streams are subscribed, so what
// is published here also comes back here. A message to ourselves, the canary, is sent
// every second; if it does not come back in time, both connections are made anew.
#pragma once

#include <functional>
#include <memory>
#include <string>

#include "adapter/adapter.h"
#include "adapter/adapter_queue.h"
#include "adapter/client_tls.h"
#include "adapter/redis_url.h"
#include "adapter/resolver.h"
#include "adapter/wire_names.h"
#include "base/log.h"
#include "base/time.h"
#include "io/make_backend.h"

namespace ringcast {

struct RedisOptions {
  RedisUrl url = {};
  ClientTlsOptions tls = {};  // for rediss://
  WireNames names = {};
  AdapterLimits limits = {};
  bool anycable = false;         // listen to __anycable__ too
  std::string client_name = {};  // CLIENT SETNAME; empty: "Ringcast-PID-…"
  BackendKind backend = BackendKind::automatic;
  milliseconds connect_timeout{5000};  // from the connect to the end of the login
  milliseconds reply_timeout{5000};    // for any command
  milliseconds canary_interval{1000};
  milliseconds canary_timeout{5000};
  milliseconds backoff_max{500};
  milliseconds stop_grace{1000};              // for what is still to be published when the adapter ends
  std::function<void()> thread_started = {};  // called first on the adapter's thread
  Resolver::LookUp look_up = {};              // in the system's place
};

// nullptr if it cannot be made; `*error` then says why in one sentence. That Redis is not
// there is no reason: it may come.
std::unique_ptr<Adapter> make_redis_adapter(RedisOptions options, Logger& logger, std::string* error);

}  // namespace ringcast
