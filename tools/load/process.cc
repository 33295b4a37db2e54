#include "process.h"

#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <string>

namespace load {
namespace {

std::string folder_of(uint64_t pid) {
  return "/proc/" + std::to_string(pid);
}

// The bytes on the line that starts with `key` ("VmHWM:   123 kB"); 0 without it.
uint64_t kilobytes_of(const std::string& path, const std::string& key) {
  std::ifstream file(path);
  for (std::string word; file >> word;) {
    uint64_t kilobytes = 0;
    if (word == key && file >> kilobytes) return kilobytes * 1024;
  }
  return 0;
}

}  // namespace

uint64_t now_ns() {
  timespec time;
  clock_gettime(CLOCK_MONOTONIC, &time);
  return static_cast<uint64_t>(time.tv_sec) * 1'000'000'000 + static_cast<uint64_t>(time.tv_nsec);
}

uint64_t cpu_ns(const std::vector<uint64_t>& pids) {
  uint64_t total = 0;
  for (const uint64_t pid : pids) {
    std::error_code error;
    for (const auto& task : std::filesystem::directory_iterator(folder_of(pid) + "/task", error)) {
      std::ifstream file(task.path() / "schedstat");
      uint64_t ns = 0;
      if (file >> ns) total += ns;
    }
  }
  return total;
}

uint64_t own_cpu_ns() {
  timespec time;
  clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &time);
  return static_cast<uint64_t>(time.tv_sec) * 1'000'000'000 + static_cast<uint64_t>(time.tv_nsec);
}

uint64_t resident_bytes(const std::vector<uint64_t>& pids) {
  uint64_t total = 0;
  for (const uint64_t pid : pids) {
    std::ifstream file(folder_of(pid) + "/statm");
    uint64_t size = 0, resident = 0;
    if (file >> size >> resident) total += resident * static_cast<uint64_t>(sysconf(_SC_PAGESIZE));
  }
  return total;
}

uint64_t peak_resident_bytes(const std::vector<uint64_t>& pids) {
  uint64_t total = 0;
  for (const uint64_t pid : pids) total += kilobytes_of(folder_of(pid) + "/status", "VmHWM:");
  return total;
}

uint64_t kernel_slab_bytes() {
  return kilobytes_of("/proc/meminfo", "SUnreclaim:");
}

uint64_t raise_descriptor_limit() {
  rlimit limit{};
  getrlimit(RLIMIT_NOFILE, &limit);
  limit.rlim_cur = limit.rlim_max;
  setrlimit(RLIMIT_NOFILE, &limit);
  getrlimit(RLIMIT_NOFILE, &limit);
  return limit.rlim_cur;
}

}  // namespace load
