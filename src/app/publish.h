// ringcast publish STREAM [JSON|-]: publishes one message, or every line of the standard
// input, through a server's POST /_broadcast or straight into the engine. Main thread.
#pragma once

namespace ringcast {

// `argv[0]` is the word "publish". The process's exit status: 0 when everything was
// accepted, 1 when something was not, 2 for a mistake in the arguments.
int publish_command(int argc, const char* const* argv);

}  // namespace ringcast
