// Cores and descriptor limits of this process, read from the kernel. Any thread.
#include "io/machine.h"

#include <pthread.h>
#include <sched.h>
#include <sys/resource.h>
#include <unistd.h>

#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <fstream>
#include <memory>
#include <sstream>
#include <thread>

namespace ringcast {
namespace {

// Cores a mask may name. The kernel refuses a mask shorter than its own, which on
// the largest machines exceeds cpu_set_t's 1,024.
constexpr size_t kCpusMax = 8192;

struct CpuSetFree {
  void operator()(cpu_set_t* set) const { CPU_FREE(set); }
};
using CpuSet = std::unique_ptr<cpu_set_t, CpuSetFree>;

// "max 100000", "150000 100000"; 0 if there is no such file or no quota.
double quota_v2(const std::string& folder) {
  std::ifstream file(folder + "/cpu.max");
  double quota_us = 0;
  double period_us = 0;
  // "max" is no number: the read fails and no quota is what it means.
  return file >> quota_us >> period_us && period_us > 0 ? quota_us / period_us : 0;
}

double quota_v1(const std::string& folder) {
  std::ifstream quota_file(folder + "/cpu.cfs_quota_us");
  std::ifstream period_file(folder + "/cpu.cfs_period_us");
  double quota_us = 0;
  double period_us = 0;
  if (!(quota_file >> quota_us && period_file >> period_us)) return 0;
  return quota_us > 0 && period_us > 0 ? quota_us / period_us : 0;  // -1: none
}

// The tightest quota of `path` and of every group above it. Inside a container the
// path may name the host's tree, of which only the mount's root is to be seen here:
// folders that are not there say nothing.
double tightest(const std::string& mount, std::string path, double (*quota_of)(const std::string&)) {
  double tightest = 0;
  for (;;) {
    while (!path.empty() && path.back() == '/') path.pop_back();
    const double quota = quota_of(mount + path);
    if (quota > 0 && (tightest == 0 || quota < tightest)) tightest = quota;
    if (path.empty()) return tightest;
    path.erase(path.rfind('/'));
  }
}

bool has_cpu_controller(const std::string& controllers) {
  std::istringstream names(controllers);
  for (std::string name; std::getline(names, name, ',');) {
    if (name == "cpu") return true;
  }
  return false;
}

}  // namespace

std::vector<int> allowed_cpus() {
  std::vector<int> cpus;
  const CpuSet set(CPU_ALLOC(kCpusMax));
  const size_t bytes = CPU_ALLOC_SIZE(kCpusMax);
  if (set && sched_getaffinity(0, bytes, set.get()) == 0) {
    for (size_t cpu = 0; cpu < kCpusMax; ++cpu) {
      if (CPU_ISSET_S(cpu, bytes, set.get())) cpus.push_back(static_cast<int>(cpu));
    }
  }
  return cpus;
}

double cgroup_cpu_quota(const std::string& root) {
  double quota = 0;
  const auto narrow = [&](double other) {
    if (other > 0 && (quota == 0 || other < quota)) quota = other;
  };
  std::ifstream groups(root + "/proc/self/cgroup");
  const std::string mounts = root + "/sys/fs/cgroup";
  // Lines are "hierarchy:controllers:path"; version 2 is hierarchy 0 without controllers.
  for (std::string line; std::getline(groups, line);) {
    const size_t first = line.find(':');
    const size_t second = first == std::string::npos ? first : line.find(':', first + 1);
    if (second == std::string::npos) continue;
    const std::string controllers = line.substr(first + 1, second - first - 1);
    const std::string path = line.substr(second + 1);
    if (controllers.empty()) {
      narrow(tightest(mounts, path, quota_v2));
      narrow(tightest(mounts + "/unified", path, quota_v2));
    } else if (has_cpu_controller(controllers)) {
      narrow(tightest(mounts + "/" + controllers, path, quota_v1));
      if (controllers != "cpu") narrow(tightest(mounts + "/cpu", path, quota_v1));
    }
  }
  return quota;
}

size_t available_cpus() {
  size_t cpus = allowed_cpus().size();
  if (cpus == 0) cpus = std::max(1U, std::thread::hardware_concurrency());
  const double quota = cgroup_cpu_quota("");
  if (quota > 0 && quota < static_cast<double>(cpus)) cpus = static_cast<size_t>(std::ceil(quota));
  return std::max<size_t>(cpus, 1);
}

bool pin_this_thread(int cpu) {
  if (cpu < 0 || static_cast<size_t>(cpu) >= kCpusMax) return false;
  const CpuSet set(CPU_ALLOC(kCpusMax));
  if (!set) return false;
  const size_t bytes = CPU_ALLOC_SIZE(kCpusMax);
  CPU_ZERO_S(bytes, set.get());
  CPU_SET_S(static_cast<size_t>(cpu), bytes, set.get());
  return pthread_setaffinity_np(pthread_self(), bytes, set.get()) == 0;
}

size_t raise_descriptor_limit() {
  rlimit limit{};
  if (getrlimit(RLIMIT_NOFILE, &limit) != 0) return 0;
  if (limit.rlim_cur < limit.rlim_max) {
    const rlimit raised{.rlim_cur = limit.rlim_max, .rlim_max = limit.rlim_max};
    if (setrlimit(RLIMIT_NOFILE, &raised) == 0) limit = raised;
  }
  return static_cast<size_t>(limit.rlim_cur);
}

uint64_t resident_memory_bytes() {
  std::ifstream file("/proc/self/statm");
  uint64_t size_pages = 0;
  uint64_t resident_pages = 0;
  return file >> size_pages >> resident_pages ? resident_pages * static_cast<uint64_t>(sysconf(_SC_PAGESIZE))
                                              : 0;
}

uint64_t kernel_tcp_memory_bytes() {
  std::ifstream file("/proc/net/sockstat");
  for (std::string line; std::getline(file, line);) {
    // "TCP: inuse 27 orphan 0 tw 3 alloc 29 mem 5"
    const size_t mem = line.starts_with("TCP:") ? line.rfind(" mem ") : line.npos;
    if (mem == line.npos) continue;
    return std::strtoull(line.c_str() + mem + 5, nullptr, 10) * static_cast<uint64_t>(sysconf(_SC_PAGESIZE));
  }
  return 0;
}

}  // namespace ringcast
