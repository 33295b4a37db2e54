// Whether somebody who chooses a value can spell the name of a stream that is somebody
// else's: with "chat_{params.room}" and "chat_for_{identifiers.user}" in one file the room
// "for_7" would be user 7's private stream. Names are taken as patterns and intersected, so
// what is not found cannot be spelled. Pure.
#pragma once

#include <optional>
#include <string>

#include "app/declared.h"

namespace ringcast {

struct StreamConflict {
  size_t line = 0;
  std::string reason;
};

// The first there is.
std::optional<StreamConflict> find_stream_conflict(const Declarations& declarations);

}  // namespace ringcast
