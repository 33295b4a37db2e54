// The adapter for PostgreSQL: LISTEN on one connection, NOTIFY on another, both through
// libpq and kept for ever. Otherwise as redis_adapter.h: up means both ways, and a message
// to ourselves finds paths that are dead at one end.
//
// A message that leaves a socket out goes as any other, behind a notification that says so
// to Ringcast's servers alone: postgres_exclusion.h.
//
// Payloads end at 7,999 bytes and hold no zero byte. Needs sessions of its own: LISTEN
// does not survive a pooler that shares connections between transactions.
#pragma once

#include <functional>
#include <memory>
#include <string>

#include "adapter/adapter.h"
#include "adapter/adapter_queue.h"
#include "adapter/resolver.h"
#include "adapter/wire_names.h"
#include "base/log.h"
#include "base/time.h"

namespace ringcast {

struct PostgresOptions {
  std::string url = {};  // postgresql://user:password@host:port/database?sslmode=…, or "host=… dbname=…"
  WireNames names = {};
  AdapterLimits limits = {};
  bool socket_ids = false;             // messages may leave sockets out: hear whom
  std::string client_name = {};        // application_name; empty: "Ringcast-PID-…"
  milliseconds connect_timeout{5000};  // until logged in
  milliseconds reply_timeout{5000};    // for any statement
  milliseconds canary_interval{1000};
  milliseconds canary_timeout{5000};
  milliseconds backoff_max{500};
  milliseconds stop_grace{1000};              // for what is still to be published when the adapter ends
  std::function<void()> thread_started = {};  // called first on the adapter's thread
  Resolver::LookUp look_up = {};              // in the system's place
};

// nullptr if it cannot be made; `*error` then says why in one sentence. That PostgreSQL is
// not there is no reason: it may come.
std::unique_ptr<Adapter> make_postgres_adapter(PostgresOptions options, Logger& logger, std::string* error);

}  // namespace ringcast
