#include "shard/expiry.h"

#include "shard/shard.h"

namespace ringcast {

Expiry::Expiry(Shard& shard, int64_t unix_ms, void* owner, Expired expired)
    : shard_(shard), unix_ms_(unix_ms), owner_(owner), expired_(expired), deadline_(this, [](void* self) {
        static_cast<Expiry*>(self)->look();
      }) {
  shard_.timers().schedule(deadline_, shard_.now());
}

void Expiry::cancel() {
  shard_.timers().cancel(deadline_);
}

void Expiry::look() {
  constexpr int64_t kLookAgain_ms = 10 * 60 * 1000;
  const int64_t now_unix_ms = shard_.unix_ms();
  if (now_unix_ms >= unix_ms_) return expired_(owner_);
  // Compared before it is subtracted: a token may name any year.
  const int64_t wait_ms = unix_ms_ < now_unix_ms + kLookAgain_ms ? unix_ms_ - now_unix_ms : kLookAgain_ms;
  shard_.timers().schedule(deadline_, shard_.now() + milliseconds(wait_ms));
}

}  // namespace ringcast
