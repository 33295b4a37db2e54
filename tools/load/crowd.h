// Publishers, subscribers, those who never read and those who pass by: the connections of
// fanout, soak, storm and idle, with what each is subscribed to, and every delivery
// checked by Flows. One thread.
#pragma once

#include <deque>
#include <optional>
#include <string>
#include <vector>

#include "base/prng.h"
#include "connections.h"
#include "flows.h"
#include "histogram.h"
#include "pipe.h"
#include "report.h"
#include "settings.h"
#include "wire.h"

namespace load {

class Crowd : private Listener {
 public:
  explicit Crowd(const Settings& settings);

  // Opens and subscribes everybody, as many handshakes at a time as --depth says (200);
  // ends the program if that takes more than a minute.
  void open(Progress& progress);
  // The first `count` members only, beyond those that are open.
  void open_members(size_t count, Progress& progress);

  // One message, on the next stream in turn or by popularity. False if its publisher is gone.
  bool publish(uint64_t intended);
  void flush_publishers();
  void poll(uint64_t deadline) { connections_.poll(deadline); }

  // Lets passers-by come and go, as --churn says.
  void churn(uint64_t now);

  // Cuts every member with RST and lets all come back at once. Their subscriptions begin
  // anew. Each return is added to `returns`.
  void cut_members();
  void return_members(Histogram& returns, Progress& progress);
  // Polls until nothing is under way, or for so long that it must count as lost. Then all
  // members of a stream must have heard the same.
  void drain();

  size_t members() const { return member_count_; }
  size_t streams() const { return settings_.streams; }
  // Whether there is a stream that somebody can publish to.
  bool publishable() const { return !publishable_.empty(); }
  Flows& flows() { return flows_; }
  uint64_t idle_ns() const { return connections_.idle_ns(); }
  uint64_t stuck_cut() const { return stuck_cut_; }
  uint64_t visits() const { return visits_; }
  uint64_t late_pings() const { return late_pings_; }
  uint64_t refused() const { return refused_; }
  const Histogram& joins() const { return joins_; }

 private:
  void opened(Connection& connection) override;
  size_t received(Connection& connection, std::string_view bytes, uint64_t now) override;
  void lost(Connection& connection, std::string_view why) override;

  bool is_cable(uint32_t stream) const {
    return settings_.protocol == Protocol::cable ||
           (settings_.protocol == Protocol::mixed && stream % 2 == 1);
  }
  uint32_t draw_stream();
  void assign_streams();
  void begin_subscriptions(Connection& connection);
  void connect(Connection& connection);
  void subscribe(Connection& connection);
  void confirmed(Connection& connection);
  void message(Connection& connection, const Frame& frame, std::string_view whole, uint64_t now);
  std::string identifier(const Connection& connection, uint32_t stream) const;
  void await(size_t ready, Progress& progress, const char* what);
  void compare_orders();
  uint32_t flow_of(uint32_t stream, size_t publisher) const {
    return static_cast<uint32_t>(stream * flows_per_stream_ + publisher);
  }

  const Settings& settings_;
  std::vector<Target> targets_;
  ringcast::Prng prng_;
  const uint64_t flows_per_stream_;
  Flows flows_;
  Connections connections_;
  std::vector<double> popularity_;                    // cumulative; empty without --zipf
  std::vector<std::vector<uint32_t>> streams_of_;     // by connection
  std::vector<std::vector<uint32_t>> publishers_of_;  // by stream: connections
  std::vector<uint32_t> publishable_;                 // streams that somebody hears
  std::optional<Pipe> pipe_;                          // publishes after the others
  std::vector<uint64_t> publisher_turn_;              // by stream
  std::vector<uint32_t> to_flush_;
  size_t member_count_ = 0;
  size_t ready_ = 0;
  uint64_t stream_turn_ = 0;
  uint64_t opening_at_ = 0;
  bool opening_ = false;
  std::deque<uint32_t> retry_;

  struct Visit {
    uint32_t connection;
    uint64_t leave_at;
  };
  std::deque<Visit> present_;
  std::vector<uint32_t> absent_;
  double visits_due_ = 0;
  uint64_t churned_at_ = 0;

  uint64_t stuck_cut_ = 0, visits_ = 0, late_pings_ = 0, refused_ = 0;
  Histogram joins_;  // from connect to the confirmed subscription
  Histogram* returns_ = nullptr;
};

}  // namespace load
