// The verifier: every message that was published and who must still get it, and whether
// what came is what had to come. Knows nothing of sockets. One thread.
//
// Subscribers of one stream are sent the same bytes, so a flow keeps the frames as the
// first subscriber got them: that one's are parsed and checked, the others' are compared
// with them as one run of bytes. This lets one core check every octet of more than ten
// million deliveries a second. Where the bytes differ (identifiers, control frames in
// between) a frame is parsed by itself.
#pragma once

#include <cstdint>
#include <deque>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "connections.h"
#include "dialect.h"
#include "histogram.h"

namespace load {

// What went wrong; all 0 on a good server.
struct Errors {
  uint64_t lost = 0;        // never came
  uint64_t duplicated = 0;  // came again
  uint64_t reordered = 0;   // came after a later one
  uint64_t corrupt = 0;     // not the text that was sent, or nothing sent at all
  uint64_t cut = 0;         // connections that the server ended, or a pipe's command
  uint64_t disagreed = 0;   // connections that heard several publishers in another order than others

  uint64_t all() const { return lost + duplicated + reordered + corrupt + cut + disagreed; }
};

class Flows {
 public:
  Flows(size_t count, size_t text_bytes) : flows_(count), pad_(text_bytes, 'x') {}

  // How many connections must get each of the flow's messages from now on.
  void set_members(uint32_t flow, uint32_t members) { flows_[flow].members = members; }

  // Notes a message as under way and returns its number.
  uint64_t published(uint32_t flow, uint64_t intended);
  uint64_t next_number(uint32_t flow) const { return flows_[flow].base + flows_[flow].sent.size(); }

  // The frames at the front of `bytes` that are deliveries of the connection's only
  // subscription, as far as they equal the flow's log. Returns their bytes.
  size_t match(Subscription& subscription, std::string_view bytes, uint64_t now);

  // What a payload carries, if it carries a message at all.
  std::optional<Delivery> read(std::string_view payload) const { return read_delivery(payload, pad_); }

  // One frame that carried `delivery`. Counts what is wrong with it.
  void deliver(Connection& connection, const Delivery& delivery, std::string_view frame, uint64_t now);
  // The same for somebody who came and goes: only order counts, from the first on.
  void overhear(Connection& connection, const Delivery& delivery);
  // A text that no publisher sent.
  void refuse(const Connection& connection, std::string_view payload);

  // The server has ended this connection: nobody waits for what it did not get.
  void leave(const Connection& connection, uint64_t now);

  // What is still under way is lost. Call once, at the end.
  void give_up();

  // From now on latencies are those of messages intended from `since` on.
  void measure_from(uint64_t since);

  uint64_t under_way() const { return under_way_; }
  uint64_t deliveries() const { return deliveries_; }
  uint64_t completed() const { return completed_; }
  const Histogram& latencies() const { return latencies_; }
  Histogram& latencies() { return latencies_; }
  // From the intended time to the last of its deliveries, per message and per burst.
  const Histogram& completions() const { return completions_; }
  const Histogram& bursts() const { return bursts_; }
  Errors& errors() { return errors_; }

  // Writes the first few errors to standard error.
  void complain(const Connection& connection, const std::string& what);

 private:
  struct Sent {
    uint64_t intended;
    uint64_t end = 0;  // in the log; 0 until the first subscriber got it
    uint32_t missing;
  };
  struct Flow {
    uint32_t members = 0;
    uint64_t base = 0;  // number of sent.front()
    std::deque<Sent> sent;
    std::string log;
    uint64_t log_base = 0;
    uint64_t logged = 0;  // messages ever put into the log
  };

  void arrived(Sent& sent, uint64_t now);
  void retire(Flow& flow);

  std::vector<Flow> flows_;
  const std::string pad_;  // what texts are filled up with
  uint64_t under_way_ = 0, deliveries_ = 0, completed_ = 0, measure_from_ = 0;
  Histogram latencies_, completions_, bursts_;
  // Of the messages with one intended time, which are a burst: how many are under way.
  std::unordered_map<uint64_t, uint64_t> burst_missing_;
  Errors errors_;
  // Numbers that were passed over, by connection and flow: only errors make entries.
  std::unordered_map<uint64_t, std::vector<uint64_t>> skipped_;
};

}  // namespace load
