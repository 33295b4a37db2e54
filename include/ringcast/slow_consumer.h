// What becomes of a subscriber that does not read as fast as its stream is published.
#pragma once

#include <cstdint>

namespace ringcast {

// A subscriber is slow once its stream's log (Options::frame_log_bytes) is full and the
// peer's kernel has taken nothing for Options::lap_grace_ms. Until then publishers wait
// for it. What it loses is counted in ringcast_dropped_total, by reason.
enum class SlowConsumer : uint8_t {
  close,        // told (Action Cable: disconnect `too_slow`, reconnect) and closed with 1013
  drop_oldest,  // loses the oldest messages still waiting, and goes on with the rest
  latest,       // goes on with the newest message after every stall; publishers never wait for it
};

}  // namespace ringcast
