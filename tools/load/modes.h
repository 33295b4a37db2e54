// One function for each mode: runs it, prints what it found, returns the exit status.
#pragma once

#include "settings.h"

namespace load {

int run_fanout(const Settings& settings);  // and soak
int run_echo(const Settings& settings);
int run_connect(const Settings& settings);
int run_idle(const Settings& settings);
int run_storm(const Settings& settings);

}  // namespace load
