// What a stream of the application is called on the engine. Values only; any thread.
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace ringcast {

struct WireNames {
  // Rails' channel_prefix: "prefix:stream". Empty: none, no colon either.
  std::string prefix = {};
  // Streams that keep their name all the same (base/glob.h): rooms of raw WebSockets, which
  // other programs publish to under the bare name.
  std::vector<std::string> unprefixed = {"room_*"};

  std::string to_wire(std::string_view stream) const;

  // Why no two streams could be told apart on the engine; empty if they can. A prefix
  // that a bare name can begin with would let somebody who chooses a room's name read
  // another stream.
  std::string problem() const;
};

// PostgreSQL cuts names off at 63 bytes; longer ones become the SHA-1 of all of it, in
// hex, as in Rails. Rails up to 8.1 counts characters instead: names of up to 63
// characters and more than 63 bytes never worked there.
std::string postgres_channel(std::string_view wire);

}  // namespace ringcast
