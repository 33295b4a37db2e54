// How long to wait before the next attempt to connect. Doubling keeps a dead server from being hammered, the random
// half keeps a thousand pages that lost the same server from coming back in the same millisecond.

const kFirstMs = 500;
const kCapMs = 8000;

export class Backoff {
  constructor(random = Math.random) {
    this.random_ = random;
    this.attempts_ = 0;
  }

  // 250-500 ms, 0.5-1 s, 1-2 s, 2-4 s, then 4-8 s for good.
  nextDelayMs() {
    const whole = Math.min(kCapMs, kFirstMs * 2 ** this.attempts_);
    this.attempts_ += 1;
    return whole * (0.5 + 0.5 * this.random_());
  }

  reset() {
    this.attempts_ = 0;
  }
}
