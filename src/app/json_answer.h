// The shape of every JSON answer of the binary's HTTP endpoints. Shard threads.
#pragma once

#include <string_view>

#include "ringcast/response.h"

namespace ringcast {

inline void answer_error(Response& response, int status, std::string_view message) {
  response.status(status).json({{"status", "error"}, {"message", message}});
}

}  // namespace ringcast
