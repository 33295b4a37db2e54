// Counts allocations, for tests that say there are none. Its operators new and delete
// take the place of the standard ones in the whole program.
#pragma once

#include <cstdint>

namespace ringcast::test {

// Of the calling thread, so far; whatever others do meanwhile.
uint64_t allocations();

}  // namespace ringcast::test
