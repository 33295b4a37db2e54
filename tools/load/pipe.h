// A publisher that is no connection: the standard input of a command that the shell runs.
// Owned by the crowd. Writing waits for a command that does not read.
#pragma once

#include <cstdio>
#include <string>
#include <string_view>

namespace load {

class Pipe {
 public:
  explicit Pipe(const std::string& command);
  Pipe(const Pipe&) = delete;
  Pipe& operator=(const Pipe&) = delete;
  ~Pipe();

  void write(std::string_view text);
  // False: the command has ended.
  bool flush();
  // Waits for the command's end. False if it says that something went wrong.
  bool close();

 private:
  FILE* stream_;
};

}  // namespace load
