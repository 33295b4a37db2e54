// A real engine as a child process in a temporary folder: started, hung, killed and
// started again by a test. Ended by its pid, and by the kernel if the test crashes. One thread.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

namespace ringcast {

// A folder of a test's own; gone with this.
class TemporaryFolder {
 public:
  TemporaryFolder();
  ~TemporaryFolder();
  TemporaryFolder(const TemporaryFolder&) = delete;
  TemporaryFolder& operator=(const TemporaryFolder&) = delete;

  const std::string& path() const { return path_; }

 private:
  std::string path_;
};

uint16_t free_tcp_port();

class EngineProcess {
 public:
  EngineProcess() = default;
  EngineProcess(const EngineProcess&) = delete;
  EngineProcess& operator=(const EngineProcess&) = delete;
  ~EngineProcess() { end(9); }

  // With `user` not 0, as that user and group. Output goes to `log`.
  void start(const std::vector<std::string>& arguments, const std::string& log, uid_t user = 0,
             gid_t group = 0);
  // Sends the signal and waits for the end.
  void end(int signal);
  void signal(int number);
  bool running() const { return pid_ > 0; }

 private:
  pid_t pid_ = -1;
};

// Tries until it is so; aborts with `what` after a minute.
void await_engine(const std::string& what, const std::function<bool()>& is_so);

std::string read_file(const std::string& path);
void write_file(const std::string& path, const std::string& text);

}  // namespace ringcast
