// A file with a secret in it, for servers that read theirs from files; gone with this.
#pragma once

#include <stdlib.h>
#include <unistd.h>

#include <fstream>
#include <string>
#include <string_view>

namespace ringcast::test {

class SecretFile {
 public:
  explicit SecretFile(std::string_view content) {
    close(mkstemp(path_.data()));
    write(content);
  }
  ~SecretFile() { unlink(path_.c_str()); }
  SecretFile(const SecretFile&) = delete;
  SecretFile& operator=(const SecretFile&) = delete;

  void write(std::string_view content) { std::ofstream(path_, std::ios::binary) << content; }
  const std::string& path() const { return path_; }

 private:
  std::string path_ = "/tmp/ringcast-secret-XXXXXX";
};

}  // namespace ringcast::test
