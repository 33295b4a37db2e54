// A test cannot go on when OpenSSL refuses what it asks: says why and ends. Any thread.
#pragma once

#include <openssl/err.h>

#include <cstdio>
#include <cstdlib>

namespace ringcast {

inline void require_openssl(bool condition) {
  if (condition) return;
  ERR_print_errors_fp(stderr);
  std::abort();
}

}  // namespace ringcast
