#include "pipe.h"

#include <signal.h>

#include <utility>

#include "settings.h"

namespace load {

Pipe::Pipe(const std::string& command) {
  signal(SIGPIPE, SIG_IGN);  // flush() says it
  stream_ = popen(command.c_str(), "we");
  if (stream_ == nullptr) fail("cannot run the command of --pipe");
}

Pipe::~Pipe() {
  close();
}

void Pipe::write(std::string_view text) {
  std::fwrite(text.data(), 1, text.size(), stream_);
}

bool Pipe::flush() {
  return std::fflush(stream_) == 0 && std::ferror(stream_) == 0;
}

bool Pipe::close() {
  return stream_ == nullptr || pclose(std::exchange(stream_, nullptr)) == 0;
}

}  // namespace load
