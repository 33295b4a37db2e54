// Signals kept from the calling thread for as long as this lives. Threads started
// meanwhile inherit the mask for good: a library's threads take none of their process's
// signals. Used on the thread that made it.
#pragma once

#include <pthread.h>
#include <signal.h>

namespace ringcast {

class SignalsBlocked {
 public:
  // All of them.
  SignalsBlocked() {
    sigset_t all;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before_);
  }
  explicit SignalsBlocked(const sigset_t& signals) { pthread_sigmask(SIG_BLOCK, &signals, &before_); }
  ~SignalsBlocked() { pthread_sigmask(SIG_SETMASK, &before_, nullptr); }
  SignalsBlocked(const SignalsBlocked&) = delete;
  SignalsBlocked& operator=(const SignalsBlocked&) = delete;

 private:
  sigset_t before_;
};

}  // namespace ringcast
