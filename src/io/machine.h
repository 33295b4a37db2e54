// What the machine gives this process: cores, and room for descriptors. Read at
// start by whoever decides about the process (the binary, Options); any thread.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

namespace ringcast {

// The cores this thread may run on, ascending.
std::vector<int> allowed_cpus();

// How many cores' worth of time this process can have: the cores allowed, bounded by
// the cgroup's quota (v1 and v2, every level up to the root), rounded up. At least 1.
size_t available_cpus();

// The same with the files under another root, as tests lay them out: `root` stands
// for "/". 0 means no quota.
double cgroup_cpu_quota(const std::string& root);

// Binds the calling thread to one core. False if the core is not allowed.
bool pin_this_thread(int cpu);

// Raises the soft limit of open descriptors to the hard one and returns what holds
// afterwards. For the binary: a library does not change its host's limits.
size_t raise_descriptor_limit();

// This process's resident memory, in bytes (/proc/self/statm); 0 if it cannot be read.
uint64_t resident_memory_bytes();

// What TCP sockets hold in the kernel, in bytes: of all processes of this network
// namespace, since nothing counts them apart (/proc/net/sockstat); 0 if it cannot be read.
uint64_t kernel_tcp_memory_bytes();

}  // namespace ringcast
