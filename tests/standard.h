// The same for tests: GoogleTest before all. See src/standard.h.
#include <gtest/gtest.h>

#include "../src/standard.h"
