// Tries a backend out before anybody depends on it: kernels, seccomp filters and
// emulations of Linux differ in what they do with an operation they accept. Makes a
// few local sockets and drives turns; the thread that calls it.
#pragma once

#include <string>

#include "io/backend.h"

namespace ringcast {

// Accepts, receives, sends, falls short, waits, cancels and closes once each. False
// with the name of the step in `*failed` if one of them comes out wrong or not at all.
bool passes_self_test(Backend& backend, std::string* failed);

}  // namespace ringcast
