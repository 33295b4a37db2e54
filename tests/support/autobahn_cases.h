// The 301 cases of the Autobahn test suite's categories 1-7, 9 and 10, as data: what to
// send, in which pieces, and what an echo server owes in return. One table, two readers:
// tests/protocol runs it against the message reader, tests/blackbox against a server.
// Knows nothing of src/. Values only; any thread.
#pragma once

#include <cstddef>
#include <functional>
#include <ostream>
#include <string>
#include <vector>

namespace ringcast {

struct AutobahnCase {
  // Something sent at once, or in chops of so many octets.
  struct Step {
    std::string bytes = {};
    size_t chop_bytes = 0;
    // How many of `replies` must have come before the next step is taken: it may be
    // owed because of the reply (a pong within a message) or be proof of fail-fast.
    size_t replies_due = 0;
  };
  // A whole message or a pong.
  struct Reply {
    unsigned opcode = 1;
    std::string payload = {};
    friend bool operator==(const Reply&, const Reply&) = default;
  };
  enum class Ending {
    client_closes,  // all replies in, the client sends 1000 and is answered 1000
    close_sent,     // `steps` holds the client's Close
    server_fails,   // the server closes, without having been asked to
  };

  std::vector<Step> steps = {};
  std::vector<Reply> replies = {};
  Ending ending = Ending::client_closes;
  // The code in the server's Close frame; 0 stands for an empty body.
  std::vector<unsigned> close_codes = {1000};
};

struct AutobahnEntry {
  std::string id;  // as the suite counts, "6.4.3"
  std::string about;
  std::function<AutobahnCase()> make;  // payloads go up to 16 MiB: made when needed

  bool in(unsigned category) const { return id.starts_with(std::to_string(category) + "."); }
};

const std::vector<AutobahnEntry>& autobahn_entries();

// How googletest prints them where an expectation fails: payloads by their size.
inline void PrintTo(const AutobahnCase::Reply& reply, std::ostream* out) {
  *out << "{opcode " << reply.opcode << ", " << reply.payload.size()
       << " bytes: " << reply.payload.substr(0, 40) << "}";
}
inline void PrintTo(const AutobahnEntry& entry, std::ostream* out) {
  *out << entry.id << ": " << entry.about;
}

// An id as a test's name: "6_4_3".
std::string autobahn_test_name(const AutobahnEntry& entry);

}  // namespace ringcast
